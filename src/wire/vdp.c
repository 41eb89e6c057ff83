/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the TLVs. A VSI TLV is believed only when its length is 25 plus the
 * entries it counts (41.2.9). A sender that writes more entries than nine bits can tell
 * (61 MAC/VID become length 1) would otherwise leave half a filter to be read as TLVs:
 * that case is recognised by the count, and the octets it really wrote are stepped
 * over. */
#include "wire/vdp.h"

#include <string.h>

#define VSI_NAMED                                                                      \
    22 /* octets up to the end of the VSIID: then the sender can be answered */

static const struct {
    const char *name;
    uint8_t size;
} filters[] = {
    [VDP_FILTER_VID] = {"vid",           2 },
    [VDP_FILTER_MAC] = {"mac/vid",       8 },
    [VDP_FILTER_GROUP] = {"group/vid",     6 },
    [VDP_FILTER_GROUP_MAC] = {"group/mac/vid", 12},
};
#define N_FILTERS (sizeof filters / sizeof filters[0])

uint8_t
vdp_entry_size(uint8_t format)
{
    return format < N_FILTERS ? filters[format].size : 0;
}

uint16_t
vdp_entries_max(uint8_t format)
{
    uint8_t size = vdp_entry_size(format);
    return size ? VDP_FILTER_SIZE_MAX / size : 0;
}

static bool
has_group(uint8_t format)
{
    return format == VDP_FILTER_GROUP || format == VDP_FILTER_GROUP_MAC;
}

static bool
has_mac(uint8_t format)
{
    return format == VDP_FILTER_MAC || format == VDP_FILTER_GROUP_MAC;
}

struct vdp_entry
vdp_entry_get(uint8_t format, const uint8_t *filter, uint16_t i)
{
    uint8_t size = vdp_entry_size(format);
    struct rd r = rd_of(filter + (size_t)i * size, size);
    struct vdp_entry e = {.group = 0};
    if (has_group(format))
        e.group = rd_u32(&r);
    if (has_mac(format))
        rd_bytes(&r, e.mac.b, sizeof e.mac.b);
    uint16_t tci = rd_u16(&r);
    e.vid = tci & 0xfff;
    e.pcp = tci >> 12 & 7;
    e.ps = tci >> 15;
    return e;
}

uint16_t
vdp_entry_tci(const struct vdp_entry *e)
{
    return (uint16_t)((e->ps ? 0x8000 : 0) | (e->pcp & 7) << 12 | (e->vid & 0xfff));
}

void
vdp_entry_put(uint8_t format, uint8_t *filter, uint16_t i, const struct vdp_entry *e)
{
    uint8_t size = vdp_entry_size(format);
    struct wr w = wr_of(filter + (size_t)i * size, size);
    if (has_group(format))
        wr_u32(&w, e->group);
    if (has_mac(format))
        wr_bytes(&w, e->mac.b, sizeof e->mac.b);
    wr_u16(&w, vdp_entry_tci(e));
}

const char *
vdp_code_str(uint8_t code)
{
    static const char *const names[] = {"ok", "invalid format",
        "insufficient resources", "no contact to the VSI manager", "other",
        "invalid VID, GroupID or MAC"};
    return code < sizeof names / sizeof names[0] ? names[code] : "unknown code";
}

const char *
vdp_reason_str(uint8_t reason)
{
    static const char *const names[] = {"good", "VSI TLV too short",
        "length does not fit the entries", "more entries than a TLV can hold",
        "PDU ends inside the TLV", "unknown VSIID format", "unknown filter format",
        "no VSI manager id in front", "more than one VSI manager id",
        "VSI manager id is not of 16 octets"};
    return reason < sizeof names / sizeof names[0] ? names[reason] : "?";
}

/* ---- decoding: each row gets the TLV, and the PDU's cursor, which stands behind it
 * ---- */

static void
bad_pdu(struct vdp_pdu *pdu, enum vdp_reason reason)
{
    if (pdu->reason == VDP_GOOD)
        pdu->reason = reason;
}

static void
decode_mgrid(struct vdp_pdu *pdu, struct tlv *tlv, struct rd *r, bool first, bool fits)
{
    (void)r;
    pdu->owner = 0;
    if (!first)
        bad_pdu(pdu, VDP_BAD_TWO_MGRIDS);
    else if (!fits)
        bad_pdu(pdu, VDP_BAD_MGRID_LENGTH);
    else
        rd_bytes(&tlv->body, pdu->mgrid, sizeof pdu->mgrid);
}

/* The filter of a VSI whose fixed part is in `fixed`. *extent: octets the sender wrote.
 */
static enum vdp_reason
check_vsi(const struct tlv *tlv, size_t avail, const struct vdp_vsi *v, size_t *extent)
{
    uint8_t entry = vdp_entry_size(v->filter_format);
    size_t real = VDP_VSI_FIXED + (size_t)v->n_entries * entry;
    if (avail >= VDP_VSI_FIXED && real > TLV_BODY_MAX &&
        (tlv->size >= VDP_VSI_FIXED || (real & TLV_BODY_MAX) == tlv->size)) {
        *extent = real < avail ? real : avail;
        return VDP_BAD_OVERFLOW;
    }
    if (!tlv->whole)
        return VDP_BAD_TRUNCATED;
    if (tlv->size < VDP_VSI_FIXED)
        return VDP_BAD_SHORT;
    if (v->id.format < VSIID_IPV4 || v->id.format > VSIID_UUID)
        return VDP_BAD_VSIID_FORMAT;
    if (entry == 0)
        return VDP_BAD_FILTER_FORMAT;
    return tlv->size == real ? VDP_GOOD : VDP_BAD_LENGTH;
}

static void
decode_vsi(struct vdp_pdu *pdu, struct tlv *tlv, struct rd *r, bool first, bool fits)
{
    (void)first, (void)fits; /* judged by its own reasons */
    size_t have = rd_left(&tlv->body), start = r->pos - have;
    size_t avail = r->size - start, extent = have;
    struct rd fixed = rd_of(r->p + start, avail);
    struct vdp_vsi v = {.type = tlv->type};
    v.status = rd_u8(&fixed);
    v.type_id = rd_u24(&fixed);
    v.type_version = rd_u8(&fixed);
    v.id.format = rd_u8(&fixed);
    rd_bytes(&fixed, v.id.b, sizeof v.id.b);
    bool named = !fixed.err;
    v.filter_format = rd_u8(&fixed);
    v.n_entries = rd_u16(&fixed);
    v.reason = check_vsi(tlv, avail, &v, &extent);
    r->pos = start + extent;
    pdu->owner = 0;
    if (!named || (have < VSI_NAMED && v.reason != VDP_BAD_OVERFLOW)) {
        pdu->n_bad++;
        return;
    }
    if (v.reason == VDP_GOOD) {
        v.filter = r->p + start + VDP_VSI_FIXED;
    } else {
        v.n_entries = 0;
        if (have == VSI_NAMED) /* what stands behind is another TLV's */
            v.filter_format = 0;
    }
    if (pdu->n_vsis < VDP_VSIS_MAX) {
        pdu->vsis[pdu->n_vsis++] = v;
        pdu->owner = pdu->n_vsis;
    } else {
        pdu->n_over++;
    }
}

/* Org TLVs of one VSI are kept as one stretch of the PDU, from the first to the last.
 */
static void
decode_org(struct vdp_pdu *pdu, struct tlv *tlv, struct rd *r, bool first, bool fits)
{
    (void)first;
    if (!fits) {
        pdu->n_bad++;
        return;
    }
    if (pdu->owner == 0) {
        pdu->n_stray_org++;
        return;
    }
    struct vdp_vsi *v = &pdu->vsis[pdu->owner - 1];
    if (!v->org)
        v->org = r->p + r->pos - tlv->size - TLV_HEADER_SIZE;
    v->org_size = (uint16_t)(r->p + r->pos - v->org);
}

static void
decode_end(struct vdp_pdu *pdu, struct tlv *tlv, struct rd *r, bool first, bool fits)
{
    (void)tlv, (void)first, (void)fits;
    pdu->end = true;
    r->pos = r->size; /* the rest is padding */
}

/* ---- encoding and printing: i is the number of the VSI ---- */

void
vdp_encode_mgrid(struct wr *w, const uint8_t mgrid[VDP_MGRID_SIZE])
{
    size_t at = tlv_begin(w, VDP_MGRID);
    wr_bytes(w, mgrid, VDP_MGRID_SIZE);
    tlv_end(w, at);
}

void
vdp_encode_vsi(struct wr *w, const struct vdp_vsi *v)
{
    size_t at = tlv_begin(w, v->type);
    wr_u8(w, v->status);
    wr_u24(w, v->type_id);
    wr_u8(w, v->type_version);
    wr_u8(w, v->id.format);
    wr_bytes(w, v->id.b, sizeof v->id.b);
    wr_u8(w, v->filter_format);
    wr_u16(w, v->n_entries);
    if (v->n_entries)
        wr_bytes(w, v->filter, (size_t)v->n_entries * vdp_entry_size(v->filter_format));
    tlv_end(w, at);
    if (v->org_size)
        wr_bytes(w, v->org, v->org_size);
}

void
vdp_encode_end(struct wr *w)
{
    wr_u16(w, 0);
}

static void
encode_mgrid(struct wr *w, const struct vdp_pdu *pdu, uint16_t i)
{
    (void)i;
    vdp_encode_mgrid(w, pdu->mgrid);
}

static void
encode_vsi(struct wr *w, const struct vdp_pdu *pdu, uint16_t i)
{
    vdp_encode_vsi(w, &pdu->vsis[i]);
}

static void
encode_end(struct wr *w, const struct vdp_pdu *pdu, uint16_t i)
{
    (void)pdu, (void)i;
    vdp_encode_end(w);
}

static int
print_mgrid(const struct vdp_pdu *pdu, uint16_t i, char *text, size_t size, int at)
{
    (void)i;
    at = tlv_text(text, size, at, " ");
    for (int k = 0; k < VDP_MGRID_SIZE; k++)
        at = tlv_text(text, size, at, "%02x", pdu->mgrid[k]);
    return at;
}

static int
print_vsi(const struct vdp_pdu *pdu, uint16_t i, char *text, size_t size, int at)
{
    const struct vdp_vsi *v = &pdu->vsis[i];
    char id[VSIID_STR], mac[MAC_STR];
    at = tlv_text(text, size, at, " status %02x type %u version %u id %s", v->status,
        v->type_id, v->type_version, vsiid_str(&v->id, id));
    if (v->reason != VDP_GOOD)
        return tlv_text(text, size, at, " bad: %s", vdp_reason_str(v->reason));
    for (uint16_t k = 0; k < v->n_entries; k++) {
        struct vdp_entry e = vdp_entry_get(v->filter_format, v->filter, k);
        at = tlv_text(text, size, at, " [");
        if (has_group(v->filter_format))
            at = tlv_text(text, size, at, "group %u ", e.group);
        if (has_mac(v->filter_format))
            at = tlv_text(text, size, at, "mac %s ", mac_str(&e.mac, mac));
        at = tlv_text(text, size, at, "vid %u", e.vid);
        if (e.ps)
            at = tlv_text(text, size, at, " pcp %u", e.pcp);
        at = tlv_text(text, size, at, "]");
    }
    if (v->org_size)
        at = tlv_text(text, size, at, " org %u octets", v->org_size);
    return at;
}

#define VSI_ROW(type, name)                                                            \
    {                                                                                  \
        type, name, VDP_VSI_FIXED, TLV_BODY_MAX, decode_vsi, encode_vsi, print_vsi     \
    }
static const struct row {
    uint8_t type;
    const char *name;
    uint16_t min, max; /* body octets of a sound TLV */
    void (*decode)(
        struct vdp_pdu *pdu, struct tlv *tlv, struct rd *r, bool first, bool fits);
    void (*encode)(struct wr *w, const struct vdp_pdu *pdu, uint16_t i);
    int (*print)(
        const struct vdp_pdu *pdu, uint16_t i, char *text, size_t size, int at);
} rows[] = {
    {VDP_END,   "end",     0,              0,              decode_end,   encode_end,   NULL},
    VSI_ROW(VDP_PREASSOC, "preassoc"), VSI_ROW(VDP_PREASSOC_RR, "preassoc-rr"),
    VSI_ROW(VDP_ASSOC, "assoc"), VSI_ROW(VDP_DEASSOC, "deassoc"),
    {VDP_MGRID, "manager", VDP_MGRID_SIZE, VDP_MGRID_SIZE, decode_mgrid, encode_mgrid,
     print_mgrid                                                                           },
    {VDP_ORG,   "org",     3,              TLV_BODY_MAX,   decode_org,   NULL,
     NULL                                                                                  }, /* travels with its VSI */
};

static const struct row *
row_of(uint8_t type)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].type == type)
            return &rows[i];
    return NULL;
}

const char *
vdp_type_str(uint8_t type)
{
    const struct row *row = row_of(type);
    return row ? row->name : "unknown";
}

enum vdp_reason
vdp_decode(const uint8_t *payload, size_t size, struct vdp_pdu *pdu)
{
    memset(pdu, 0, offsetof(struct vdp_pdu, vsis));
    struct rd r = rd_of(payload, size);
    struct tlv tlv;
    bool first = true;
    while (!pdu->end && tlv_next(&r, &tlv)) {
        const struct row *row = row_of(tlv.type);
        if (first && tlv.type != VDP_MGRID)
            bad_pdu(pdu, VDP_BAD_NO_MGRID);
        if (row)
            row->decode(pdu, &tlv, &r, first,
                tlv.whole && tlv.size >= row->min && tlv.size <= row->max);
        else if (tlv.whole)
            pdu->n_unknown++;
        else
            pdu->n_bad++;
        first = false;
    }
    if (first)
        bad_pdu(pdu, VDP_BAD_NO_MGRID);
    if (rd_left(&r)) /* one octet: not even a header */
        pdu->n_bad++;
    return pdu->reason;
}

void
vdp_encode(struct wr *w, const struct vdp_pdu *pdu)
{
    row_of(VDP_MGRID)->encode(w, pdu, 0);
    for (uint16_t i = 0; i < pdu->n_vsis; i++) {
        const struct row *row = row_of(pdu->vsis[i].type);
        if (row && row->encode == encode_vsi)
            row->encode(w, pdu, i);
        else
            w->err = true;
    }
    row_of(VDP_END)->encode(w, pdu, 0);
}

size_t
vdp_vsi_size(const struct vdp_vsi *v)
{
    return TLV_HEADER_SIZE + VDP_VSI_FIXED +
           (size_t)v->n_entries * vdp_entry_size(v->filter_format) + v->org_size;
}

int
vdp_print(const struct vdp_pdu *pdu, char *text, size_t size)
{
    int at = tlv_text(text, size, 0, "vdp");
    if (pdu->reason != VDP_GOOD)
        at = tlv_text(text, size, at, " bad: %s", vdp_reason_str(pdu->reason));
    at = tlv_text(text, size, at, " %s", vdp_type_str(VDP_MGRID));
    at = print_mgrid(pdu, 0, text, size, at);
    for (uint16_t i = 0; i < pdu->n_vsis; i++) {
        const struct row *row = row_of(pdu->vsis[i].type);
        at = tlv_text(text, size, at, " | %s", vdp_type_str(pdu->vsis[i].type));
        if (row && row->print)
            at = row->print(pdu, i, text, size, at);
    }
    return tlv_text(text, size, at, "%s", pdu->end ? " | end" : "");
}

bool
vdp_org_next(struct rd *r, struct vdp_org *org)
{
    struct tlv tlv;
    while (tlv_next(r, &tlv)) {
        if (tlv.type != VDP_ORG || !tlv.whole || tlv.size < 3)
            continue;
        org->oui = rd_u24(&tlv.body);
        size_t n = rd_left(&tlv.body);
        org->body = rd_of(rd_ptr(&tlv.body, n), n);
        return true;
    }
    return false;
}

bool
vdp_key_equal(const struct vdp_key *a, const struct vdp_key *b)
{
    return a->type_id == b->type_id && a->type_version == b->type_version &&
           vsiid_equal(&a->id, &b->id) &&
           memcmp(a->mgrid, b->mgrid, sizeof a->mgrid) == 0;
}
