/* SPDX-License-Identifier: Apache-2.0 */
/* Tags are taken while the type is a tag's (802.1Q 9.5), at most two: what hides behind
 * a third is nobody's business here, and its type says that it is a tag. */
#include "wire/eth.h"

#include "wire/tlv.h"

const struct mac eth_mac_ncb = {
    {0x01, 0x80, 0xc2, 0x00, 0x00, 0x00}
};

static bool
is_tag(uint16_t type)
{
    return type == ETH_TYPE_VLAN || type == ETH_TYPE_QINQ;
}

bool
eth_decode(struct rd *r, struct eth *eth)
{
    *eth = (struct eth){.n_tags = 0};
    rd_bytes(r, eth->dst.b, sizeof eth->dst.b);
    rd_bytes(r, eth->src.b, sizeof eth->src.b);
    eth->type = rd_u16(r);
    while (is_tag(eth->type) && eth->n_tags < 2) {
        eth->tags[eth->n_tags].tpid = eth->type;
        eth->tags[eth->n_tags].tci = rd_u16(r);
        eth->n_tags++;
        eth->type = rd_u16(r);
    }
    return !r->err;
}

void
eth_encode(struct wr *w, const struct eth *eth)
{
    wr_bytes(w, eth->dst.b, sizeof eth->dst.b);
    wr_bytes(w, eth->src.b, sizeof eth->src.b);
    for (uint8_t i = 0; i < eth->n_tags && i < 2; i++) {
        wr_u16(w, eth->tags[i].tpid);
        wr_u16(w, eth->tags[i].tci);
    }
    wr_u16(w, eth->type);
}

void
eth_pad(struct wr *w)
{
    if (!w->err && w->pos < ETH_MIN_SIZE)
        wr_zero(w, ETH_MIN_SIZE - w->pos);
}

uint16_t
eth_tci(uint16_t vid, uint8_t pcp)
{
    return (uint16_t)((pcp & 7) << 13 | (vid & 0xfff));
}

uint16_t
eth_tci_vid(uint16_t tci)
{
    return tci & 0xfff;
}

uint8_t
eth_tci_pcp(uint16_t tci)
{
    return tci >> 13;
}

int
eth_print(const struct eth *eth, char *text, size_t size)
{
    char dst[MAC_STR], src[MAC_STR];
    int at = tlv_text(
        text, size, 0, "%s > %s", mac_str(&eth->src, src), mac_str(&eth->dst, dst));
    for (uint8_t i = 0; i < eth->n_tags && i < 2; i++)
        at = tlv_text(text, size, at, " vid %u pcp %u", eth_tci_vid(eth->tags[i].tci),
            eth_tci_pcp(eth->tags[i].tci));
    return tlv_text(text, size, at, " type %04x", eth->type);
}
