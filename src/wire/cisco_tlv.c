/* SPDX-License-Identifier: Apache-2.0 */
/* Octets as captured from stations that send them (test/data/vdp). The address family
 * is 1 for IPv4; 2 is taken for IPv6 after the same numbering. */
#include "wire/cisco_tlv.h"

#include "wire/tlv.h"

static void
get_vsiid(struct rd *r, struct vsiid *id)
{
    id->format = rd_u8(r);
    rd_bytes(r, id->b, sizeof id->b);
}

static void
put_vsiid(struct wr *w, const struct vsiid *id)
{
    wr_u8(w, id->format);
    wr_bytes(w, id->b, sizeof id->b);
}

static bool
decode_vm(struct rd *r, struct cisco_tlv *tlv)
{
    get_vsiid(r, &tlv->vm);
    tlv->name_size = (uint16_t)rd_left(r);
    tlv->name = (const char *)rd_ptr(r, tlv->name_size);
    return !r->err;
}

static void
encode_vm(struct wr *w, const struct cisco_tlv *tlv)
{
    put_vsiid(w, &tlv->vm);
    wr_bytes(w, tlv->name, tlv->name_size);
}

static int
print_vm(const struct cisco_tlv *tlv, char *text, size_t size)
{
    char id[VSIID_STR];
    int at = tlv_text(text, size, 0, "cisco vm %s name ", vsiid_str(&tlv->vm, id));
    for (uint16_t i = 0; i < tlv->name_size; i++) /* a peer's octets: printable only */
        at = tlv_text(text, size, at, "%c",
            tlv->name[i] > ' ' && tlv->name[i] < 0x7f ? tlv->name[i] : '?');
    return at;
}

static bool
decode_addr(struct rd *r, struct cisco_tlv *tlv)
{
    uint16_t family = rd_u16(r);
    if (family == 1)
        tlv->ip = ip_v4(rd_u32(r));
    else
        rd_bytes(r, tlv->ip.b, sizeof tlv->ip.b);
    return (family == 1 || family == 2) && !r->err && rd_left(r) == 0 &&
           (family == 1 || !ip_is_v4(&tlv->ip));
}

static void
encode_addr(struct wr *w, const struct cisco_tlv *tlv)
{
    bool v4 = ip_is_v4(&tlv->ip);
    wr_u16(w, v4 ? 1 : 2);
    if (v4)
        wr_u32(w, ip_to_v4(&tlv->ip));
    else
        wr_bytes(w, tlv->ip.b, sizeof tlv->ip.b);
}

static int
print_addr(const struct cisco_tlv *tlv, char *text, size_t size)
{
    char ip[IP_STR];
    return tlv_text(text, size, 0, "cisco address %s", ip_str(&tlv->ip, ip));
}

static const struct row {
    uint8_t type;
    const char *name;
    uint16_t min, max; /* octets after the subtype */
    bool (*decode)(struct rd *r, struct cisco_tlv *tlv);
    void (*encode)(struct wr *w, const struct cisco_tlv *tlv);
    int (*print)(const struct cisco_tlv *tlv, char *text, size_t size);
} rows[] = {
    {CISCO_VM,   "vm",      34, TLV_BODY_MAX - 4, decode_vm,   encode_vm,   print_vm  },
    {CISCO_ADDR, "address", 23, 35,               decode_addr, encode_addr, print_addr},
};

static const struct row *
row_of(uint8_t subtype)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].type == subtype)
            return &rows[i];
    return NULL;
}

bool
cisco_tlv_decode(struct rd body, struct cisco_tlv *tlv)
{
    *tlv = (struct cisco_tlv){.subtype = rd_u8(&body)};
    const struct row *row = row_of(tlv->subtype);
    if (body.err || !row || rd_left(&body) < row->min || rd_left(&body) > row->max)
        return false;
    get_vsiid(&body, &tlv->vsi);
    return row->decode(&body, tlv);
}

void
cisco_tlv_encode(struct wr *w, const struct cisco_tlv *tlv)
{
    const struct row *row = row_of(tlv->subtype);
    if (!row) {
        w->err = true;
        return;
    }
    size_t at = tlv_begin(w, TLV_ORG);
    wr_u24(w, CISCO_OUI);
    wr_u8(w, tlv->subtype);
    put_vsiid(w, &tlv->vsi);
    row->encode(w, tlv);
    tlv_end(w, at);
}

int
cisco_tlv_print(const struct cisco_tlv *tlv, char *text, size_t size)
{
    const struct row *row = row_of(tlv->subtype);
    return row ? row->print(tlv, text, size) : tlv_text(text, size, 0, "cisco ?");
}
