/* SPDX-License-Identifier: Apache-2.0 */
/* Only hardware type 1 with 6 octets and protocol IPv4 with 4: all else is not for us.
 */
#include "wire/arp.h"

#include "wire/eth.h"
#include "wire/tlv.h"

bool
arp_decode(struct rd *r, struct arp *arp)
{
    *arp = (struct arp){.op = 0};
    bool ours = rd_u16(r) == 1;
    ours &= rd_u16(r) == ETH_TYPE_IPV4;
    ours &= rd_u16(r) == 0x0604; /* sizes: 6 and 4 octets */
    arp->op = rd_u16(r);
    rd_bytes(r, arp->sender_mac.b, sizeof arp->sender_mac.b);
    arp->sender_ip = ip_v4(rd_u32(r));
    rd_bytes(r, arp->target_mac.b, sizeof arp->target_mac.b);
    arp->target_ip = ip_v4(rd_u32(r));
    return ours && !r->err;
}

void
arp_encode(struct wr *w, const struct arp *arp)
{
    wr_u16(w, 1);
    wr_u16(w, ETH_TYPE_IPV4);
    wr_u16(w, 0x0604);
    wr_u16(w, arp->op);
    wr_bytes(w, arp->sender_mac.b, sizeof arp->sender_mac.b);
    wr_u32(w, ip_to_v4(&arp->sender_ip));
    wr_bytes(w, arp->target_mac.b, sizeof arp->target_mac.b);
    wr_u32(w, ip_to_v4(&arp->target_ip));
}

bool
arp_is_probe(const struct arp *arp)
{
    return arp->op == ARP_REQUEST && ip_to_v4(&arp->sender_ip) == 0;
}

bool
arp_is_announce(const struct arp *arp)
{
    return ip_equal(&arp->sender_ip, &arp->target_ip) && !arp_is_probe(arp);
}

int
arp_print(const struct arp *arp, char *text, size_t size)
{
    char sm[MAC_STR], tm[MAC_STR], si[IP_STR], ti[IP_STR];
    const char *op = arp->op == ARP_REQUEST ? "request"
                     : arp->op == ARP_REPLY ? "reply"
                                            : "other";
    return tlv_text(text, size, 0, "arp %s %s %s > %s %s", op,
        ip_str(&arp->sender_ip, si), mac_str(&arp->sender_mac, sm),
        ip_str(&arp->target_ip, ti), mac_str(&arp->target_mac, tm));
}
