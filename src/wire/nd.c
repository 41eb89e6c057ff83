/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes what RFC 4861 7.1.1 and 7.1.2 tell a node to check, and reports the facts
 * that decide who answers (K14) instead of deciding. Extension headers are walked so
 * that the message behind them is seen for what it is, and marked; a fragment is not
 * looked into. */
#include "wire/nd.h"

#include <string.h>

#include "wire/tlv.h"

#define IPV6_HEADER 40
enum ipv6_next { NEXT_HOP = 0, NEXT_ROUTING = 43, NEXT_ICMP6 = 58, NEXT_DEST = 60 };
enum nd_option { ND_OPT_SLLA = 1, ND_OPT_TLLA = 2 };

const char *
nd_reason_str(enum nd_reason reason)
{
    switch (reason) {
    case ND_OK:
        return "ok";
    case ND_NOT_ND:
        return "not neighbor discovery";
    case ND_SHORT:
        return "too short";
    case ND_CHECKSUM:
        return "wrong checksum";
    case ND_OPTION:
        return "malformed option";
    case ND_INVALID:
        return "invalid field";
    }
    return "?";
}

static uint32_t
sum_bytes(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    if (n & 1)
        sum += (uint32_t)p[n - 1] << 8;
    return sum;
}

/* ICMPv6 checksum with its pseudo header (RFC 4443 2.3); 0 over a packet that is right.
 */
static uint16_t
icmp6_sum(const struct ip *src, const struct ip *dst, const uint8_t *p, size_t n)
{
    uint32_t sum = sum_bytes(0, src->b, sizeof src->b);
    sum = sum_bytes(sum, dst->b, sizeof dst->b);
    sum += (uint32_t)n + NEXT_ICMP6;
    sum = sum_bytes(sum, p, n);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static enum nd_reason
decode_options(struct rd *r, struct nd *nd)
{
    while (rd_left(r)) {
        uint8_t type = rd_u8(r), units = rd_u8(r);
        if (units == 0) /* RFC 4861 4.6: such a packet is dropped */
            return ND_OPTION;
        struct rd body = rd_sub(r, (size_t)units * 8 - 2);
        if (r->err)
            return ND_OPTION;
        if (type == ND_OPT_SLLA && units == 1) {
            nd->n_slla += nd->n_slla < UINT8_MAX;
            rd_bytes(&body, nd->slla.b, sizeof nd->slla.b);
        } else if (type == ND_OPT_TLLA && units == 1) {
            nd->n_tlla += nd->n_tlla < UINT8_MAX;
            rd_bytes(&body, nd->tlla.b, sizeof nd->tlla.b);
        } else {
            nd->n_other += nd->n_other < UINT8_MAX;
        }
    }
    return ND_OK;
}

static bool
is_group(const struct ip *ip)
{
    return ip->b[0] == 0xff;
}

static bool
is_solicited_node(const struct ip *ip)
{
    static const uint8_t prefix[13] = {0xff, 0x02, [11] = 0x01, 0xff};
    return memcmp(ip->b, prefix, sizeof prefix) == 0;
}

/* RFC 4861 7.1.1 and 7.1.2, field by field. */
static bool
is_valid(const struct nd *nd, uint8_t code)
{
    if (nd->hop_limit != 255 || code != 0 || is_group(&nd->target))
        return false;
    if (nd->type == ND_NS && ip_is_none(&nd->src))
        return is_solicited_node(&nd->dst) && nd->n_slla == 0;
    if (nd->type == ND_NA && is_group(&nd->dst))
        return !(nd->flags & ND_NA_SOLICITED);
    return true;
}

enum nd_reason
nd_decode(struct rd *r, struct nd *nd)
{
    memset(nd, 0, sizeof *nd);
    uint32_t word = rd_u32(r);
    uint16_t size = rd_u16(r);
    uint8_t next = rd_u8(r);
    nd->hop_limit = rd_u8(r);
    rd_bytes(r, nd->src.b, sizeof nd->src.b);
    rd_bytes(r, nd->dst.b, sizeof nd->dst.b);
    if (r->err)
        return ND_SHORT;
    if (word >> 28 != 6)
        return ND_NOT_ND;
    struct rd body = rd_sub(r, size); /* what follows is Ethernet padding */
    if (r->err)
        return ND_SHORT;
    while (!body.err && /* or 0, which reads give then, would go on for ever */
           (next == NEXT_HOP || next == NEXT_ROUTING || next == NEXT_DEST)) {
        nd->ext_header = true;
        next = rd_u8(&body);
        uint8_t units = rd_u8(&body);
        rd_skip(&body, (size_t)units * 8 + 6);
    }
    if (body.err)
        return ND_SHORT;
    if (next != NEXT_ICMP6)
        return ND_NOT_ND;
    size_t n = rd_left(&body);
    const uint8_t *icmp = rd_ptr(&body, n);
    body = rd_of(icmp, icmp ? n : 0);
    nd->type = rd_u8(&body);
    uint8_t code = rd_u8(&body);
    rd_skip(&body, 2);
    if (body.err)
        return ND_SHORT;
    if (nd->type != ND_NS && nd->type != ND_NA)
        return ND_NOT_ND;
    nd->flags = rd_u8(&body);
    if (nd->type == ND_NS)
        nd->flags = 0;
    rd_skip(&body, 3);
    rd_bytes(&body, nd->target.b, sizeof nd->target.b);
    if (body.err)
        return ND_SHORT;
    if (icmp6_sum(&nd->src, &nd->dst, icmp, n) != 0)
        return ND_CHECKSUM;
    enum nd_reason reason = decode_options(&body, nd);
    if (reason == ND_OK && !is_valid(nd, code))
        reason = ND_INVALID;
    return reason;
}

static void
encode_option(struct wr *w, enum nd_option type, const struct mac *mac)
{
    wr_u8(w, type);
    wr_u8(w, 1);
    wr_bytes(w, mac->b, sizeof mac->b);
}

void
nd_encode(struct wr *w, const struct nd *nd)
{
    uint16_t n = (uint16_t)(24 + (nd->n_slla ? 8 : 0) + (nd->n_tlla ? 8 : 0));
    wr_u32(w, 6u << 28);
    wr_u16(w, n);
    wr_u8(w, NEXT_ICMP6);
    wr_u8(w, nd->hop_limit);
    wr_bytes(w, nd->src.b, sizeof nd->src.b);
    wr_bytes(w, nd->dst.b, sizeof nd->dst.b);
    size_t at = w->pos;
    wr_u8(w, nd->type);
    wr_zero(w, 3); /* code, checksum */
    wr_u8(w, nd->type == ND_NA ? nd->flags : 0);
    wr_zero(w, 3);
    wr_bytes(w, nd->target.b, sizeof nd->target.b);
    if (nd->n_slla)
        encode_option(w, ND_OPT_SLLA, &nd->slla);
    if (nd->n_tlla)
        encode_option(w, ND_OPT_TLLA, &nd->tlla);
    if (!w->err)
        wr_patch_u16(w, at + 2, icmp6_sum(&nd->src, &nd->dst, w->p + at, n));
}

bool
nd_is_dad(const struct nd *nd)
{
    return nd->type == ND_NS && ip_is_none(&nd->src);
}

bool
nd_is_plain_ns(const struct nd *nd)
{
    return nd->type == ND_NS && nd->hop_limit == 255 && !nd->ext_header &&
           nd->n_slla == 1 && nd->n_tlla == 0 && nd->n_other == 0;
}

struct ip
nd_solicited_node(const struct ip *target)
{
    struct ip ip = {
        {0xff, 0x02, [11] = 0x01, [12] = 0xff}
    };
    memcpy(ip.b + 13, target->b + 13, 3);
    return ip;
}

struct mac
nd_multicast_mac(const struct ip *group)
{
    struct mac mac = {
        {0x33, 0x33}
    };
    memcpy(mac.b + 2, group->b + 12, 4);
    return mac;
}

int
nd_print(const struct nd *nd, char *text, size_t size)
{
    char src[IP_STR], dst[IP_STR], target[IP_STR], mac[MAC_STR];
    int at = tlv_text(text, size, 0, "nd %s %s > %s target %s",
        nd->type == ND_NS ? "ns" : "na", ip_str(&nd->src, src), ip_str(&nd->dst, dst),
        ip_str(&nd->target, target));
    if (nd->n_slla)
        at = tlv_text(text, size, at, " slla %s", mac_str(&nd->slla, mac));
    if (nd->n_tlla)
        at = tlv_text(text, size, at, " tlla %s", mac_str(&nd->tlla, mac));
    return tlv_text(text, size, at, " flags %02x hop %u%s", nd->flags, nd->hop_limit,
        nd->ext_header ? " ext" : "");
}
