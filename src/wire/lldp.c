/* SPDX-License-Identifier: Apache-2.0 */
/* Chassis, port and TTL must be the first three TLVs (802.1AB 9.2.7.7.1), else the
 * frame is refused. A malformed optional TLV is counted and does not cost the others.
 */
#include "wire/lldp.h"

#include <string.h>

#include "wire/berth_tlv.h"

#define EVB_OUI     0x0080c2
#define EVB_SUBTYPE 0x0d
#define ROL         0x20

uint64_t
evb_exp_us(uint8_t exp)
{
    return (uint64_t)10 << (exp & 31);
}

const char *
lldp_reason_str(enum lldp_reason reason)
{
    switch (reason) {
    case LLDP_GOOD:
        return "good";
    case LLDP_BAD_ORDER:
        return "chassis, port and TTL do not come first";
    case LLDP_BAD_LENGTH:
        return "invalid length of chassis, port or TTL";
    case LLDP_BAD_TRUNCATED:
        return "frame ends inside a TLV";
    case LLDP_BAD_TWO:
        return "chassis, port or TTL comes twice";
    }
    return "?";
}

static void
decode_id(struct lldp_id *id, struct rd *r)
{
    id->subtype = rd_u8(r);
    size_t n = rd_left(r);
    id->size = (uint8_t)(n < sizeof id->b ? n : sizeof id->b); /* cut, not refused */
    rd_bytes(r, id->b, id->size);
}

static void
encode_id(struct wr *w, uint8_t type, const struct lldp_id *id)
{
    size_t at = tlv_begin(w, type);
    wr_u8(w, id->subtype);
    wr_bytes(w, id->b, id->size);
    tlv_end(w, at);
}

static int
print_id(const char *word, const struct lldp_id *id, char *text, size_t size, int at)
{
    at = tlv_text(text, size, at, " %s %u:", word, id->subtype);
    for (uint8_t i = 0; i < id->size; i++)
        at = tlv_text(text, size, at, "%02x", id->b[i]);
    return at;
}

static void
decode_chassis(struct lldp *lldp, struct rd *r)
{
    decode_id(&lldp->chassis, r);
}

static void
encode_chassis(struct wr *w, uint32_t oui, const struct lldp *lldp)
{
    (void)oui;
    encode_id(w, LLDP_CHASSIS, &lldp->chassis);
}

static int
print_chassis(const struct lldp *lldp, char *text, size_t size, int at)
{
    return print_id("chassis", &lldp->chassis, text, size, at);
}

static void
decode_port(struct lldp *lldp, struct rd *r)
{
    decode_id(&lldp->port, r);
}

static void
encode_port(struct wr *w, uint32_t oui, const struct lldp *lldp)
{
    (void)oui;
    encode_id(w, LLDP_PORT, &lldp->port);
}

static int
print_port(const struct lldp *lldp, char *text, size_t size, int at)
{
    return print_id("port", &lldp->port, text, size, at);
}

static void
decode_ttl(struct lldp *lldp, struct rd *r)
{
    lldp->ttl_s = rd_u16(r);
}

static void
encode_ttl(struct wr *w, uint32_t oui, const struct lldp *lldp)
{
    (void)oui;
    size_t at = tlv_begin(w, LLDP_TTL);
    wr_u16(w, lldp->ttl_s);
    tlv_end(w, at);
}

static int
print_ttl(const struct lldp *lldp, char *text, size_t size, int at)
{
    return tlv_text(text, size, at, " ttl %u", lldp->ttl_s);
}

static void
decode_evb(struct lldp *lldp, struct rd *r)
{
    struct lldp_evb_tlv *evb = &lldp->evb;
    evb->bridge = rd_u8(r);
    evb->station = rd_u8(r);
    uint8_t retries = rd_u8(r), rwd = rd_u8(r), rka = rd_u8(r);
    evb->timers = (struct evb_timers){
        .retries = retries >> 5, .rte = retries & 31, .rwd = rwd & 31, .rka = rka & 31};
    evb->mode = rwd >> 6;
    evb->rol_rwd = rwd & ROL;
    evb->rol_rka = rka & ROL;
    lldp->has_evb = true;
}

static void
encode_evb(struct wr *w, uint32_t oui, const struct lldp *lldp)
{
    (void)oui;
    if (!lldp->has_evb)
        return;
    const struct lldp_evb_tlv *evb = &lldp->evb;
    const struct evb_timers *t = &evb->timers;
    size_t at = tlv_begin(w, LLDP_ORG);
    wr_u24(w, EVB_OUI);
    wr_u8(w, EVB_SUBTYPE);
    wr_u8(w, evb->bridge);
    wr_u8(w, evb->station);
    wr_u8(w, (uint8_t)(t->retries << 5 | (t->rte & 31)));
    wr_u8(w, (uint8_t)(evb->mode << 6 | (evb->rol_rwd ? ROL : 0) | (t->rwd & 31)));
    wr_u8(w, (uint8_t)((evb->rol_rka ? ROL : 0) | (t->rka & 31)));
    tlv_end(w, at);
}

static int
print_evb(const struct lldp *lldp, char *text, size_t size, int at)
{
    if (!lldp->has_evb)
        return at;
    const struct evb_timers *t = &lldp->evb.timers;
    return tlv_text(text, size, at,
        " evb mode %u bridge %02x station %02x r %u rte %u rwd %u rka %u",
        lldp->evb.mode, lldp->evb.bridge, lldp->evb.station, t->retries, t->rte, t->rwd,
        t->rka);
}

static void
decode_hello(struct lldp *lldp, struct rd *r)
{
    lldp->hello.version = rd_u8(r);
    lldp->hello.role = rd_u8(r);
    lldp->hello.flags = rd_u16(r);
    lldp->hello.boot = rd_u32(r);
    lldp->has_hello = true;
}

static void
encode_hello(struct wr *w, uint32_t oui, const struct lldp *lldp)
{
    if (!lldp->has_hello)
        return;
    size_t at = tlv_begin(w, LLDP_ORG);
    wr_u24(w, oui);
    wr_u8(w, BERTH_SUBTYPE_HELLO);
    wr_u8(w, lldp->hello.version);
    wr_u8(w, lldp->hello.role);
    wr_u16(w, lldp->hello.flags);
    wr_u32(w, lldp->hello.boot);
    tlv_end(w, at);
}

static int
print_hello(const struct lldp *lldp, char *text, size_t size, int at)
{
    if (!lldp->has_hello)
        return at;
    return tlv_text(
        text, size, at, " berth role %u boot %08x", lldp->hello.role, lldp->hello.boot);
}

static const struct row {
    uint8_t type;
    const char *name;
    uint16_t min, max; /* of the body; of org TLVs after OUI and subtype */
    uint32_t oui;      /* org TLVs; 1 stands for Berth's, which is configured */
    uint8_t subtype;
    void (*decode)(struct lldp *lldp, struct rd *r);
    void (*encode)(struct wr *w, uint32_t oui, const struct lldp *lldp);
    int (*print)(const struct lldp *lldp, char *text, size_t size, int at);
} rows[] = {
    {LLDP_CHASSIS, "chassis", 2, 256,          0,       0,                   decode_chassis, encode_chassis,
     print_chassis                                                                                                      },
    {LLDP_PORT,    "port",    2, 256,          0,       0,                   decode_port,    encode_port,    print_port },
    {LLDP_TTL,     "ttl",     2, TLV_BODY_MAX, 0,       0,                   decode_ttl,     encode_ttl,     print_ttl  },
    {LLDP_ORG,     "evb",     5, 5,            EVB_OUI, EVB_SUBTYPE,         decode_evb,     encode_evb,     print_evb  },
    {LLDP_ORG,     "hello",   8, TLV_BODY_MAX, 1,       BERTH_SUBTYPE_HELLO, decode_hello,
     encode_hello,                                                                                           print_hello}, /* longer: a later version's additions */
};
#define N_ROWS (sizeof rows / sizeof rows[0])

static const struct row *
org_row(uint32_t oui, uint8_t subtype, uint32_t berth_oui)
{
    for (size_t i = LLDP_TTL; i < N_ROWS; i++)
        if ((rows[i].oui == 1 ? berth_oui : rows[i].oui) == oui &&
            rows[i].subtype == subtype)
            return &rows[i];
    return NULL;
}

static void
decode_org(struct lldp *lldp, struct tlv *tlv, uint32_t berth_oui)
{
    uint32_t oui = rd_u24(&tlv->body);
    uint8_t subtype = rd_u8(&tlv->body);
    const struct row *row = org_row(oui, subtype, berth_oui);
    size_t n = rd_left(&tlv->body);
    if (tlv->body.err || (row && (n < row->min || n > row->max)))
        lldp->n_bad++;
    else if (row)
        row->decode(lldp, &tlv->body);
    else
        lldp->n_skipped++;
}

enum lldp_reason
lldp_decode(struct rd *r, uint32_t oui, struct lldp *lldp)
{
    memset(lldp, 0, sizeof *lldp);
    struct tlv tlv;
    uint32_t n = 0;
    for (; tlv_next(r, &tlv); n++) {
        if (!tlv.whole)
            return LLDP_BAD_TRUNCATED;
        if (n < LLDP_TTL) {
            const struct row *row = &rows[n];
            if (tlv.type != row->type)
                return LLDP_BAD_ORDER;
            if (tlv.size < row->min || tlv.size > row->max)
                return LLDP_BAD_LENGTH;
            row->decode(lldp, &tlv.body);
        } else if (tlv.type == LLDP_END) {
            lldp->end = true;
            return LLDP_GOOD;
        } else if (tlv.type <= LLDP_TTL) {
            return LLDP_BAD_TWO;
        } else if (tlv.type == LLDP_ORG) {
            decode_org(lldp, &tlv, oui);
        } else {
            lldp->n_skipped++;
        }
    }
    if (rd_left(r)) /* one octet left over */
        return LLDP_BAD_TRUNCATED;
    /* End is optional since 802.1AB-2009; the first three TLVs are not. */
    return n >= LLDP_TTL ? LLDP_GOOD : LLDP_BAD_ORDER;
}

void
lldp_encode(struct wr *w, uint32_t oui, const struct lldp *lldp)
{
    for (size_t i = 0; i < N_ROWS; i++)
        rows[i].encode(w, oui, lldp);
    wr_u16(w, 0);
}

int
lldp_print(const struct lldp *lldp, char *text, size_t size)
{
    int at = tlv_text(text, size, 0, "lldp");
    for (size_t i = 0; i < N_ROWS; i++)
        at = rows[i].print(lldp, text, size, at);
    return at;
}
