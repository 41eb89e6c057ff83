/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and records; the messages around them are in lisp_msg.c.
 *
 * Addresses are the heart of it: an AFI, or an LCAF with its own length around more of
 * them. The table of AFIs tells how long an address is, so what we have no use for can
 * be stepped over; an AFI without a row ends the message, since nobody can know its
 * length. An EID that is well-formed but strange to us becomes LISP_EID_OTHER (it gets
 * a negative answer); a strange locator is left out and counted. */
#include "wire/lisp.h"

#include <stdio.h>
#include <string.h>

const struct lisp_dialect lisp_dialect_default = {LISP_OUI_LAB, LISP_AFI_MAC};

#define AFI_NAME           17 /* distinguished name: octets up to a NUL */
#define LCAF_LIST          1
#define LCAF_IID           2
#define LCAF_VENDOR        255 /* RFC 9306 */
#define VENDOR_VERSION     1
#define VENDOR_F_LOW_TRUST 0x01 /* an octet says which addresses were learned */
#define VENDOR_F_VSI       0x02 /* the print of the VSI follows the owner */

static const struct afi_row {
    uint16_t afi;
    uint8_t size;
} afis[] = {
    {LISP_AFI_NONE,  0 },
    {LISP_AFI_IPV4,  4 },
    {LISP_AFI_IPV6,  16},
    {LISP_AFI_MAC,   6 },
    {18,             4 }, /* AS number */
    {LISP_AFI_MAC48, 6 },
    {16390,          8 }, /* 64-bit MAC */
};

const char *
lisp_err_str(enum lisp_err err)
{
    static const char *const names[LISP_N_ERR] = {"ok", "short", "octets left over",
        "wrong type", "bad EID", "bad locator", "bad LCAF", "bad count",
        "bad authentication", "bad inner packet", "unknown OUI", "unsupported"};
    return (unsigned)err < LISP_N_ERR ? names[err] : "?";
}

uint16_t
lisp_version_of(uint64_t epoch)
{
    return epoch % 4095 + 1; /* 0 means "no version" (RFC 9302) */
}

/* ---- EIDs ---- */

struct lisp_eid
lisp_eid_ip(uint32_t vni, const struct ip *ip)
{
    struct lisp_eid eid = {.vni = vni, .kind = LISP_EID_IP, .ip = *ip};
    eid.prefix_len = ip_is_v4(ip) ? 32 : 128;
    return eid;
}

struct lisp_eid
lisp_eid_mac(uint32_t vni, const struct mac *mac)
{
    struct lisp_eid eid = {.vni = vni, .kind = LISP_EID_MAC, .mac = *mac};
    eid.prefix_len = 48;
    return eid;
}

bool
lisp_eid_equal(const struct lisp_eid *a, const struct lisp_eid *b)
{
    return a->vni == b->vni && a->kind == b->kind && a->prefix_len == b->prefix_len &&
           mac_equal(&a->mac, &b->mac) && ip_equal(&a->ip, &b->ip);
}

const char *
lisp_eid_str(const struct lisp_eid *eid, char *text)
{
    char addr[IP_STR] = "-";
    switch ((enum lisp_eid_kind)eid->kind) {
    case LISP_EID_IP:
        ip_str(&eid->ip, addr);
        break;
    case LISP_EID_MAC:
        mac_str(&eid->mac, addr);
        break;
    case LISP_EID_NONE:
    case LISP_EID_OTHER:
        break;
    }
    snprintf(text, LISP_EID_STR, "%u:%s/%u", eid->vni, addr, eid->prefix_len);
    return text;
}

/* One prefix has one form, so that EIDs compare octet by octet. */
static void
mask_host_bits(struct ip *ip, unsigned bits)
{
    for (unsigned i = bits / 8; i < 16; i++) {
        unsigned keep = i == bits / 8 ? bits % 8 : 0;
        ip->b[i] &= keep ? 0xff << (8 - keep) & 0xff : 0;
    }
}

/* An IPv4 address in IPv6 clothes would be one key with two spellings. */
static bool
v6_get(struct rd *r, struct ip *ip)
{
    rd_bytes(r, ip->b, 16);
    return r->err || !ip_is_v4(ip);
}

static enum lisp_err
ip_eid_get(struct rd *r, uint16_t afi, int prefix_len, struct lisp_eid *eid)
{
    int most = afi == LISP_AFI_IPV4 ? 32 : 128;
    if (afi == LISP_AFI_IPV4)
        eid->ip = ip_v4(rd_u32(r));
    else if (!v6_get(r, &eid->ip))
        return LISP_ERR_EID;
    if (prefix_len > most)
        return LISP_ERR_EID;
    eid->kind = LISP_EID_IP;
    eid->prefix_len = prefix_len < 0 ? most : prefix_len;
    mask_host_bits(&eid->ip, eid->prefix_len + 128 - most);
    return LISP_OK;
}

static enum lisp_err
plain_eid_get(struct rd *r, uint16_t afi, int prefix_len, struct lisp_eid *eid)
{
    switch (afi) {
    case LISP_AFI_NONE:
        eid->kind = LISP_EID_NONE;
        return LISP_OK;
    case LISP_AFI_IPV4:
    case LISP_AFI_IPV6:
        return ip_eid_get(r, afi, prefix_len, eid);
    case LISP_AFI_MAC:
    case LISP_AFI_MAC48:
        rd_bytes(r, eid->mac.b, 6);
        if (prefix_len > 48)
            return LISP_ERR_EID;
        eid->prefix_len = prefix_len < 0 ? 48 : prefix_len;
        eid->kind = eid->prefix_len == 48 ? LISP_EID_MAC : LISP_EID_OTHER;
        return LISP_OK;
    default:
        return LISP_ERR_EID;
    }
}

/* Flags and reserved octets are ignored on receipt (RFC 8060 clause 3). */
static struct rd
lcaf_open(struct rd *r, uint8_t *type)
{
    rd_skip(r, 2);
    *type = rd_u8(r);
    rd_skip(r, 1);
    uint16_t size = rd_u16(r);
    return rd_sub(r, size);
}

/* Octets of an EID that we only step over must not linger in a key. */
static void
eid_blank(struct lisp_eid *eid)
{
    uint8_t prefix_len = eid->prefix_len;
    memset(eid, 0, sizeof *eid);
    eid->kind = LISP_EID_OTHER;
    eid->prefix_len = prefix_len;
}

static enum lisp_err
lcaf_eid_get(struct rd *r, int prefix_len, struct lisp_eid *eid)
{
    uint8_t type;
    struct rd in = lcaf_open(r, &type);
    if (r->err)
        return LISP_ERR_SHORT;
    if (type == LCAF_VENDOR)
        return LISP_ERR_OUI; /* no vendor's EIDs are known here */
    if (type != LCAF_IID) {
        eid_blank(eid);
        return LISP_OK;
    }
    eid->vni = rd_u32(&in);
    uint16_t afi = rd_u16(&in);
    if (in.err)
        return LISP_ERR_LCAF;
    if (afi == LISP_AFI_LCAF) {
        eid_blank(eid);
        return LISP_OK;
    }
    enum lisp_err err = plain_eid_get(&in, afi, prefix_len, eid);
    if (err)
        return err;
    if (in.err || rd_left(&in))
        return LISP_ERR_LCAF;
    if (eid->vni > VNI_MAX || eid->kind == LISP_EID_NONE || eid->kind == LISP_EID_OTHER)
        eid_blank(eid);
    return LISP_OK;
}

enum lisp_err
lisp_eid_get(struct rd *r, int prefix_len, struct lisp_eid *eid)
{
    memset(eid, 0, sizeof *eid);
    eid->prefix_len = prefix_len < 0 ? 0 : prefix_len;
    uint16_t afi = rd_u16(r);
    if (r->err)
        return LISP_ERR_SHORT;
    enum lisp_err err = afi == LISP_AFI_LCAF ? lcaf_eid_get(r, prefix_len, eid)
                                             : plain_eid_get(r, afi, prefix_len, eid);
    if (!err && r->err)
        return LISP_ERR_SHORT;
    if (!err && eid->kind == LISP_EID_OTHER)
        eid_blank(eid);
    return err;
}

static void
mac_put(struct wr *w, const struct lisp_dialect *d, const struct mac *mac)
{
    wr_u16(w, d->mac_afi);
    wr_bytes(w, mac->b, 6);
}

void
lisp_ip_put(struct wr *w, const struct ip *ip)
{
    if (ip_is_none(ip)) {
        wr_u16(w, LISP_AFI_NONE);
    } else if (ip_is_v4(ip)) {
        wr_u16(w, LISP_AFI_IPV4);
        wr_bytes(w, ip->b + 12, 4);
    } else {
        wr_u16(w, LISP_AFI_IPV6);
        wr_bytes(w, ip->b, 16);
    }
}

enum lisp_err
lisp_ip_get(struct rd *r, struct ip *ip)
{
    memset(ip, 0, sizeof *ip);
    uint16_t afi = rd_u16(r);
    if (r->err)
        return LISP_ERR_SHORT;
    if (afi == LISP_AFI_IPV4)
        *ip = ip_v4(rd_u32(r));
    else if (afi == LISP_AFI_IPV6 && !v6_get(r, ip))
        return LISP_ERR_RLOC;
    else if (afi != LISP_AFI_IPV6 && afi != LISP_AFI_NONE)
        return LISP_ERR_RLOC;
    if (r->err)
        memset(ip, 0, sizeof *ip);
    return r->err ? LISP_ERR_SHORT : LISP_OK;
}

static size_t
lcaf_begin(struct wr *w, uint8_t type)
{
    wr_u16(w, LISP_AFI_LCAF);
    wr_u16(w, 0);
    wr_u8(w, type);
    wr_u8(w, 0);
    wr_u16(w, 0);
    return w->pos;
}

static void
lcaf_end(struct wr *w, size_t start)
{
    if (!w->err)
        wr_patch_u16(w, start - 2, w->pos - start);
}

static void
plain_eid_put(struct wr *w, const struct lisp_dialect *d, const struct lisp_eid *eid)
{
    if (eid->kind == LISP_EID_MAC) {
        mac_put(w, d, &eid->mac);
    } else if (eid->kind != LISP_EID_IP) {
        wr_u16(w, LISP_AFI_NONE);
    } else if (ip_is_v4(&eid->ip)) {
        wr_u16(w, LISP_AFI_IPV4);
        wr_bytes(w, eid->ip.b + 12, 4);
    } else {
        wr_u16(w, LISP_AFI_IPV6); /* also ::/0, which lisp_ip_put would call "none" */
        wr_bytes(w, eid->ip.b, 16);
    }
}

void
lisp_eid_put(struct wr *w, const struct lisp_dialect *d, const struct lisp_eid *eid)
{
    if (!eid->vni) {
        plain_eid_put(w, d, eid);
        return;
    }
    size_t start = lcaf_begin(w, LCAF_IID);
    wr_u32(w, eid->vni);
    plain_eid_put(w, d, eid);
    lcaf_end(w, start);
}

/* ---- locators and records ---- */

static bool
address_skip(struct rd *r, uint16_t afi)
{
    if (afi == LISP_AFI_LCAF) {
        uint8_t type;
        lcaf_open(r, &type);
        return !r->err;
    }
    if (afi == AFI_NAME) {
        while (!r->err && rd_u8(r))
            continue;
        return !r->err;
    }
    for (size_t i = 0; i < sizeof afis / sizeof afis[0]; i++)
        if (afis[i].afi == afi) {
            rd_skip(r, afis[i].size);
            return !r->err;
        }
    return false;
}

static enum lisp_err
vendor_get(struct rd in, const struct lisp_dialect *d, struct lisp_rloc *rloc)
{
    rd_skip(&in, 1);
    uint32_t oui = rd_u24(&in);
    if (in.err)
        return LISP_ERR_LCAF;
    if (oui != d->oui)
        return LISP_ERR_OUI; /* RFC 9306 clause 4: the message is dropped */
    uint8_t version = rd_u8(&in), flags = rd_u8(&in);
    if (in.err || rloc->has_epoch)
        return LISP_ERR_LCAF;
    if (version != VENDOR_VERSION)
        return LISP_OK; /* a later Berth's; the rest of the record still says where */
    rloc->epoch = rd_u64(&in);
    rloc->migration_id = rd_u64(&in);
    if (lisp_ip_get(&in, &rloc->owner))
        return LISP_ERR_LCAF;
    if (flags & VENDOR_F_VSI)
        rloc->vsi = rd_u64(&in);
    uint8_t low_trust = flags & VENDOR_F_LOW_TRUST ? rd_u8(&in) : 0;
    if (in.err)
        return LISP_ERR_LCAF;
    while (rd_left(&in)) {
        if (rloc->n_ips == LISP_IPS_MAX)
            return LISP_ERR_MANY;
        struct ip *ip = &rloc->ips[rloc->n_ips++];
        if (lisp_ip_get(&in, ip) || ip_is_none(ip))
            return LISP_ERR_LCAF;
    }
    rloc->low_trust = low_trust & (uint8_t)((1u << rloc->n_ips) - 1);
    rloc->has_epoch = true;
    return LISP_OK;
}

/* [RLOC, MAC_B, vendor LCAF] in any order; what we do not know is stepped over. */
static enum lisp_err
list_get(struct rd in, const struct lisp_dialect *d, struct lisp_rloc *rloc)
{
    while (rd_left(&in)) {
        uint16_t afi = rd_u16(&in);
        struct rd ahead = in;
        if ((afi == LISP_AFI_IPV4 || afi == LISP_AFI_IPV6) && ip_is_none(&rloc->ip)) {
            in.pos -= 2;
            if (lisp_ip_get(&in, &rloc->ip))
                return LISP_ERR_LCAF;
        } else if (afi == LISP_AFI_MAC || afi == LISP_AFI_MAC48) {
            rd_bytes(&in, rloc->mac.b, 6);
            rloc->has_mac = true;
        } else if (!address_skip(&in, afi)) {
            return LISP_ERR_LCAF;
        } else if (afi == LISP_AFI_LCAF) {
            uint8_t type;
            struct rd inner = lcaf_open(&ahead, &type);
            enum lisp_err err =
                type == LCAF_VENDOR ? vendor_get(inner, d, rloc) : LISP_OK;
            if (err)
                return err;
        }
    }
    return in.err ? LISP_ERR_LCAF : LISP_OK;
}

/* *keep is false for a locator that is none of ours to use. */
static enum lisp_err
rloc_get(struct rd *r, const struct lisp_dialect *d, struct lisp_rloc *rloc, bool *keep)
{
    memset(rloc, 0, sizeof *rloc);
    rloc->prio = rd_u8(r);
    rloc->weight = rd_u8(r);
    rloc->mprio = rd_u8(r);
    rloc->mweight = rd_u8(r);
    uint16_t flags = rd_u16(r), afi = rd_u16(r);
    rloc->local = flags & 4;
    rloc->probed = flags & 2;
    rloc->reachable = flags & 1;
    if (r->err)
        return LISP_ERR_SHORT;
    if (afi == LISP_AFI_IPV4 || afi == LISP_AFI_IPV6) {
        r->pos -= 2;
        enum lisp_err err = lisp_ip_get(r, &rloc->ip);
        if (err)
            return err;
    } else if (afi == LISP_AFI_LCAF) {
        uint8_t type;
        struct rd in = lcaf_open(r, &type);
        if (r->err)
            return LISP_ERR_SHORT;
        enum lisp_err err = type == LCAF_LIST     ? list_get(in, d, rloc)
                            : type == LCAF_VENDOR ? vendor_get(in, d, rloc)
                                                  : LISP_OK;
        if (err)
            return err;
    } else if (!address_skip(r, afi)) {
        return r->err ? LISP_ERR_SHORT : LISP_ERR_RLOC;
    }
    *keep = !ip_is_none(&rloc->ip);
    return LISP_OK;
}

enum lisp_err
lisp_record_get(struct rd *r, const struct lisp_dialect *d, struct lisp_record *rec)
{
    rec->ttl_min = rd_u32(r);
    uint8_t n = rd_u8(r), prefix_len = rd_u8(r);
    uint16_t act = rd_u16(r);
    rec->version = rd_u16(r) & 0xfff;
    rec->act = act >> 13;
    rec->authoritative = act & 0x1000;
    rec->n_rlocs = rec->n_skipped = 0;
    enum lisp_err err = lisp_eid_get(r, prefix_len, &rec->eid);
    if (!err && rec->eid.kind == LISP_EID_NONE)
        err = LISP_ERR_EID;
    for (unsigned i = 0; !err && i < n; i++) {
        struct lisp_rloc spare;
        bool fits = rec->n_rlocs < LISP_RLOCS_MAX, keep = false;
        err = rloc_get(r, d, fits ? &rec->rlocs[rec->n_rlocs] : &spare, &keep);
        if (fits && keep)
            rec->n_rlocs++;
        else
            rec->n_skipped++;
    }
    return err;
}

static void
rloc_put(struct wr *w, const struct lisp_dialect *d, const struct lisp_rloc *rloc)
{
    wr_u8(w, rloc->prio);
    wr_u8(w, rloc->weight);
    wr_u8(w, rloc->mprio);
    wr_u8(w, rloc->mweight);
    wr_u16(w, rloc->local << 2 | rloc->probed << 1 | rloc->reachable);
    if (!rloc->has_mac && !rloc->has_epoch) {
        lisp_ip_put(w, &rloc->ip);
        return;
    }
    size_t list = lcaf_begin(w, LCAF_LIST);
    lisp_ip_put(w, &rloc->ip);
    if (rloc->has_mac)
        mac_put(w, d, &rloc->mac);
    if (rloc->has_epoch) {
        size_t vendor = lcaf_begin(w, LCAF_VENDOR);
        wr_u8(w, 0);
        wr_u24(w, d->oui);
        wr_u8(w, VENDOR_VERSION);
        wr_u8(w, (rloc->low_trust ? VENDOR_F_LOW_TRUST : 0) |
                     (rloc->vsi ? VENDOR_F_VSI : 0));
        wr_u64(w, rloc->epoch);
        wr_u64(w, rloc->migration_id);
        lisp_ip_put(w, &rloc->owner);
        if (rloc->vsi)
            wr_u64(w, rloc->vsi);
        if (rloc->low_trust)
            wr_u8(w, rloc->low_trust);
        for (unsigned i = 0; i < rloc->n_ips && i < LISP_IPS_MAX; i++)
            lisp_ip_put(w, &rloc->ips[i]);
        lcaf_end(w, vendor);
    }
    lcaf_end(w, list);
}

void
lisp_record_put(
    struct wr *w, const struct lisp_dialect *d, const struct lisp_record *rec)
{
    unsigned n = rec->n_rlocs < LISP_RLOCS_MAX ? rec->n_rlocs : LISP_RLOCS_MAX;
    wr_u32(w, rec->ttl_min);
    wr_u8(w, n);
    wr_u8(w, rec->eid.prefix_len);
    wr_u16(w, (rec->act & 7) << 13 | (rec->authoritative ? 0x1000 : 0));
    wr_u16(w, rec->version & 0xfff);
    lisp_eid_put(w, d, &rec->eid);
    for (unsigned i = 0; i < n; i++)
        rloc_put(w, d, &rec->rlocs[i]);
}

void
lisp_record_plain(struct lisp_record *rec)
{
    for (unsigned i = 0; i < rec->n_rlocs; i++)
        rec->rlocs[i].has_mac = rec->rlocs[i].has_epoch = false;
}
