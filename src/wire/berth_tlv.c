/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed part, then sub-TLVs with the header of VDP's own TLVs, one table row each. What
 * is unknown is skipped below type 64 and refused from there on, so that a later
 * version can say which of its additions must not be ignored
 * (doc/protocol/berth-tlv.md). Texts are printable ASCII: they end in logs and JSON. */
#include "wire/berth_tlv.h"

#include <string.h>

enum sub_type {
    SUB_IPV4 = 1,
    SUB_IPV6,
    SUB_VN_NAME,
    SUB_TARGET,
    SUB_SOURCE,
    SUB_REASON,
    SUB_MTU,
    SUB_PROOF,
    SUB_TAG,
    SUB_VNI,
    SUB_CRITICAL = 64,
};

const char *
berth_tlv_result_str(enum berth_tlv_result result)
{
    switch (result) {
    case BERTH_TLV_GOOD:
        return "good";
    case BERTH_TLV_OTHER:
        return "another subtype";
    case BERTH_TLV_SHORT:
        return "too short";
    case BERTH_TLV_VERSION:
        return "unknown version";
    case BERTH_TLV_VALUE:
        return "invalid value";
    case BERTH_TLV_LENGTH:
        return "invalid length";
    case BERTH_TLV_CRITICAL:
        return "unknown critical sub-TLV";
    }
    return "?";
}

static const char *const op_names[BERTH_N_OPS] = {"none", "preassoc", "assoc",
    "suspend", "resume", "emigrate", "immigrate", "terminate", "keepalive", "addresses",
    "notify"};
static const char *const phase_names[BERTH_N_PHASES] = {
    "none", "prepare", "commit", "pre", "asso", "hold"};
static const char *const reason_names[BERTH_N_REASONS] = {"none",
    "failed authorization", "conflict of policies", "insufficient resources", "busy",
    "bad message", "no state", "invalid state", "moved", "unknown VN",
    "address conflict", "tag conflict", "MTU too small", "authority out of reach",
    "aged out", "withdrawn by the administrator", "other"};

const char *
berth_op_str(uint8_t op)
{
    return op < BERTH_N_OPS ? op_names[op] : "?";
}

const char *
berth_phase_str(uint8_t phase)
{
    return phase < BERTH_N_PHASES ? phase_names[phase] : "?";
}

const char *
berth_reason_str(uint8_t reason)
{
    return reason < BERTH_N_REASONS ? reason_names[reason] : "?";
}

/* ---- sub-TLVs ---- */

static bool
add_ip(struct berth_tlv *tlv, struct ip ip, uint8_t entry)
{
    if (tlv->n_ips == BERTH_IPS_MAX)
        return false;
    tlv->ips[tlv->n_ips++] = (struct berth_ip){ip, entry};
    return true;
}

static enum berth_tlv_result
decode_ipv4(struct berth_tlv *tlv, struct rd *r)
{
    uint8_t entry = rd_u8(r);
    if (rd_left(r) % 4)
        return BERTH_TLV_LENGTH;
    while (rd_left(r)) {
        struct ip ip = ip_v4(rd_u32(r));
        if (ip_to_v4(&ip) == 0)
            return BERTH_TLV_VALUE;
        if (!add_ip(tlv, ip, entry))
            return BERTH_TLV_LENGTH;
    }
    return BERTH_TLV_GOOD;
}

static struct ip
get_ipv6(struct rd *r)
{
    struct ip ip;
    rd_bytes(r, ip.b, sizeof ip.b);
    return ip;
}

static enum berth_tlv_result
decode_ipv6(struct berth_tlv *tlv, struct rd *r)
{
    uint8_t entry = rd_u8(r);
    if (rd_left(r) % 16)
        return BERTH_TLV_LENGTH;
    while (rd_left(r)) {
        struct ip ip = get_ipv6(r);
        if (ip_is_none(&ip) || ip_is_v4(&ip))
            return BERTH_TLV_VALUE;
        if (!add_ip(tlv, ip, entry))
            return BERTH_TLV_LENGTH;
    }
    return BERTH_TLV_GOOD;
}

/* One sub-TLV per run of addresses of one entry; within a family the order survives. */
static void
encode_ips(struct wr *w, const struct berth_tlv *tlv, bool v4)
{
    bool open = false;
    uint8_t entry = 0;
    size_t at = 0;
    for (uint8_t i = 0; i < tlv->n_ips; i++) {
        const struct berth_ip *ip = &tlv->ips[i];
        if (ip_is_v4(&ip->ip) != v4)
            continue;
        if (!open || ip->entry != entry) {
            if (open)
                tlv_end(w, at);
            open = true;
            entry = ip->entry;
            at = tlv_begin(w, v4 ? SUB_IPV4 : SUB_IPV6);
            wr_u8(w, entry);
        }
        if (v4)
            wr_u32(w, ip_to_v4(&ip->ip));
        else
            wr_bytes(w, ip->ip.b, sizeof ip->ip.b);
    }
    if (open)
        tlv_end(w, at);
}

static void
encode_ipv4(struct wr *w, const struct berth_tlv *tlv)
{
    encode_ips(w, tlv, true);
}

static void
encode_ipv6(struct wr *w, const struct berth_tlv *tlv)
{
    encode_ips(w, tlv, false);
}

static int
print_ips(const struct berth_tlv *tlv, char *text, size_t size, int at)
{
    char ip[IP_STR];
    for (uint8_t i = 0; i < tlv->n_ips; i++)
        at = tlv_text(text, size, at, " ip %u:%s", tlv->ips[i].entry,
            ip_str(&tlv->ips[i].ip, ip));
    return at;
}

/* Zero-terminates into dst of dst_size; false when it does not fit or is not printable.
 */
static bool
get_text(struct rd *r, char *dst, size_t dst_size)
{
    size_t n = rd_left(r);
    if (n >= dst_size)
        return false;
    rd_bytes(r, dst, n);
    dst[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (dst[i] < ' ' || dst[i] > '~')
            return false;
    return true;
}

static enum berth_tlv_result
decode_vn_name(struct berth_tlv *tlv, struct rd *r)
{
    return get_text(r, tlv->vn_name, sizeof tlv->vn_name) ? BERTH_TLV_GOOD
                                                          : BERTH_TLV_VALUE;
}

static void
encode_vn_name(struct wr *w, const struct berth_tlv *tlv)
{
    size_t n = strnlen(tlv->vn_name, sizeof tlv->vn_name - 1);
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (tlv->vn_name[i] < ' ' || tlv->vn_name[i] > '~')
            w->err = true; /* a name that differs is a wrong name */
    size_t at = tlv_begin(w, SUB_VN_NAME);
    wr_bytes(w, tlv->vn_name, n);
    tlv_end(w, at);
}

static int
print_vn_name(const struct berth_tlv *tlv, char *text, size_t size, int at)
{
    return tlv->vn_name[0] ? tlv_text(text, size, at, " vn %s", tlv->vn_name) : at;
}

static enum berth_tlv_result
decode_nve(struct ip *ip, struct rd *r)
{
    if (rd_left(r) != 4 && rd_left(r) != 16)
        return BERTH_TLV_LENGTH;
    bool v4 = rd_left(r) == 4;
    *ip = v4 ? ip_v4(rd_u32(r)) : get_ipv6(r);
    if (v4 ? ip_to_v4(ip) == 0 : ip_is_none(ip) || ip_is_v4(ip))
        return BERTH_TLV_VALUE;
    return BERTH_TLV_GOOD;
}

static void
encode_nve(struct wr *w, uint8_t type, const struct ip *ip)
{
    if (ip_is_none(ip))
        return;
    size_t at = tlv_begin(w, type);
    if (ip_is_v4(ip))
        wr_u32(w, ip_to_v4(ip));
    else
        wr_bytes(w, ip->b, sizeof ip->b);
    tlv_end(w, at);
}

static int
print_nve(const struct ip *ip, const char *word, char *text, size_t size, int at)
{
    char str[IP_STR];
    return ip_is_none(ip) ? at
                          : tlv_text(text, size, at, " %s %s", word, ip_str(ip, str));
}

static enum berth_tlv_result
decode_target(struct berth_tlv *tlv, struct rd *r)
{
    return decode_nve(&tlv->target, r);
}

static void
encode_target(struct wr *w, const struct berth_tlv *tlv)
{
    encode_nve(w, SUB_TARGET, &tlv->target);
}

static int
print_target(const struct berth_tlv *tlv, char *text, size_t size, int at)
{
    return print_nve(&tlv->target, "target", text, size, at);
}

static enum berth_tlv_result
decode_source(struct berth_tlv *tlv, struct rd *r)
{
    return decode_nve(&tlv->source, r);
}

static void
encode_source(struct wr *w, const struct berth_tlv *tlv)
{
    encode_nve(w, SUB_SOURCE, &tlv->source);
}

static int
print_source(const struct berth_tlv *tlv, char *text, size_t size, int at)
{
    return print_nve(&tlv->source, "source", text, size, at);
}

static enum berth_tlv_result
decode_reason(struct berth_tlv *tlv, struct rd *r)
{
    tlv->reason = rd_u8(r);
    /* A number from a later version is still a refusal. */
    if (tlv->reason == BERTH_REASON_NONE)
        return BERTH_TLV_VALUE;
    if (tlv->reason >= BERTH_N_REASONS)
        tlv->reason = BERTH_REASON_OTHER;
    return get_text(r, tlv->reason_text, sizeof tlv->reason_text) ? BERTH_TLV_GOOD
                                                                  : BERTH_TLV_VALUE;
}

static void
encode_reason(struct wr *w, const struct berth_tlv *tlv)
{
    if (tlv->reason == BERTH_REASON_NONE)
        return;
    size_t at = tlv_begin(w, SUB_REASON);
    wr_u8(w, tlv->reason);
    size_t n = strnlen(tlv->reason_text, sizeof tlv->reason_text - 1);
    for (size_t i = 0; i < n; i++) {
        char c = tlv->reason_text[i];
        wr_u8(w, c < ' ' || c > '~' ? '?' : (uint8_t)c);
    }
    tlv_end(w, at);
}

static int
print_reason(const struct berth_tlv *tlv, char *text, size_t size, int at)
{
    if (tlv->reason == BERTH_REASON_NONE)
        return at;
    return tlv_text(text, size, at, " reason \"%s\" %s", berth_reason_str(tlv->reason),
        tlv->reason_text);
}

static enum berth_tlv_result
decode_vni(struct berth_tlv *tlv, struct rd *r)
{
    tlv->vni = rd_u24(r);
    return tlv->vni ? BERTH_TLV_GOOD : BERTH_TLV_VALUE;
}

static void
encode_vni(struct wr *w, const struct berth_tlv *tlv)
{
    if (tlv->vni == 0)
        return;
    size_t at = tlv_begin(w, SUB_VNI);
    wr_u24(w, tlv->vni);
    tlv_end(w, at);
}

static int
print_vni(const struct berth_tlv *tlv, char *text, size_t size, int at)
{
    return tlv->vni ? tlv_text(text, size, at, " vni %u", tlv->vni) : at;
}

static enum berth_tlv_result
decode_mtu(struct berth_tlv *tlv, struct rd *r)
{
    tlv->mtu = rd_u16(r);
    return tlv->mtu ? BERTH_TLV_GOOD : BERTH_TLV_VALUE;
}

static void
encode_mtu(struct wr *w, const struct berth_tlv *tlv)
{
    if (tlv->mtu == 0)
        return;
    size_t at = tlv_begin(w, SUB_MTU);
    wr_u16(w, tlv->mtu);
    tlv_end(w, at);
}

static int
print_mtu(const struct berth_tlv *tlv, char *text, size_t size, int at)
{
    return tlv->mtu ? tlv_text(text, size, at, " mtu %u", tlv->mtu) : at;
}

static enum berth_tlv_result
decode_proof(struct berth_tlv *tlv, struct rd *r)
{
    tlv->proof_size = (uint16_t)rd_left(r);
    tlv->proof = rd_ptr(r, tlv->proof_size);
    return BERTH_TLV_GOOD;
}

static void
encode_proof(struct wr *w, const struct berth_tlv *tlv)
{
    if (tlv->proof_size == 0)
        return;
    if (tlv->proof_size > BERTH_PROOF_MAX)
        w->err = true;
    size_t at = tlv_begin(w, SUB_PROOF);
    wr_bytes(w, tlv->proof, tlv->proof_size);
    tlv_end(w, at);
}

static int
print_proof(const struct berth_tlv *tlv, char *text, size_t size, int at)
{
    if (tlv->proof_size == 0)
        return at;
    return tlv_text(text, size, at, " proof %u octets", tlv->proof_size);
}

static enum berth_tlv_result
decode_tag(struct berth_tlv *tlv, struct rd *r)
{
    if (tlv->n_tags == BERTH_TAGS_MAX)
        return BERTH_TLV_LENGTH;
    struct berth_tag *tag = &tlv->tags[tlv->n_tags++];
    tag->entry = rd_u8(r);
    tag->kind = rd_u8(r);
    tag->outer = rd_u16(r);
    tag->inner = rd_u16(r);
    return tag->kind <= BERTH_TAG_PORT ? BERTH_TLV_GOOD : BERTH_TLV_VALUE;
}

static void
encode_tag(struct wr *w, const struct berth_tlv *tlv)
{
    for (uint8_t i = 0; i < tlv->n_tags; i++) {
        size_t at = tlv_begin(w, SUB_TAG);
        wr_u8(w, tlv->tags[i].entry);
        wr_u8(w, tlv->tags[i].kind);
        wr_u16(w, tlv->tags[i].outer);
        wr_u16(w, tlv->tags[i].inner);
        tlv_end(w, at);
    }
}

static int
print_tag(const struct berth_tlv *tlv, char *text, size_t size, int at)
{
    for (uint8_t i = 0; i < tlv->n_tags; i++)
        at = tlv_text(text, size, at, " tag %u:%u/%04x/%04x", tlv->tags[i].entry,
            tlv->tags[i].kind, tlv->tags[i].outer, tlv->tags[i].inner);
    return at;
}

static const struct row {
    uint8_t type;
    const char *name;
    uint16_t min, max;
    bool many; /* may come more than once */
    enum berth_tlv_result (*decode)(struct berth_tlv *tlv, struct rd *r);
    void (*encode)(struct wr *w, const struct berth_tlv *tlv);
    int (*print)(const struct berth_tlv *tlv, char *text, size_t size, int at);
} rows[] = {
    {SUB_IPV4,    "ipv4",    5,  1 + 4 * BERTH_IPS_MAX,  true,  decode_ipv4,    encode_ipv4,
     print_ips                                                                                              },
    {SUB_IPV6,    "ipv6",    17, 1 + 16 * BERTH_IPS_MAX, true,  decode_ipv6,    encode_ipv6,
     NULL                                                                                                   }, /* shown with the others */
    {SUB_VN_NAME, "vn-name", 1,  BERTH_NAME_SIZE - 1,    false, decode_vn_name,
     encode_vn_name,                                                                           print_vn_name},
    {SUB_TARGET,  "target",  4,  16,                     false, decode_target,  encode_target, print_target },
    {SUB_SOURCE,  "source",  4,  16,                     false, decode_source,  encode_source, print_source },
    {SUB_REASON,  "reason",  1,  BERTH_TEXT_SIZE,        false, decode_reason,  encode_reason,
     print_reason                                                                                           },
    {SUB_MTU,     "mtu",     2,  2,                      false, decode_mtu,     encode_mtu,    print_mtu    },
    {SUB_PROOF,   "proof",   1,  BERTH_PROOF_MAX,        false, decode_proof,   encode_proof,
     print_proof                                                                                            },
    {SUB_TAG,     "tag",     6,  6,                      true,  decode_tag,     encode_tag,    print_tag    },
    {SUB_VNI,     "vni",     3,  3,                      false, decode_vni,     encode_vni,    print_vni    },
};
#define N_ROWS (sizeof rows / sizeof rows[0])

static const struct row *
row_of(uint8_t type)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].type == type)
            return &rows[i];
    return NULL;
}

static enum berth_tlv_result
decode_subs(struct rd *r, struct berth_tlv *tlv)
{
    uint32_t seen = 0;
    struct tlv sub;
    while (tlv_next(r, &sub)) {
        const struct row *row = row_of(sub.type);
        if (!sub.whole)
            return BERTH_TLV_LENGTH;
        if (!row) {
            if (sub.type >= SUB_CRITICAL)
                return BERTH_TLV_CRITICAL;
            tlv->n_unknown++;
            continue;
        }
        if (sub.size < row->min || sub.size > row->max)
            return BERTH_TLV_LENGTH;
        if (!row->many && seen & 1u << row->type)
            return BERTH_TLV_VALUE;
        seen |= 1u << row->type;
        enum berth_tlv_result result = row->decode(tlv, &sub.body);
        if (result != BERTH_TLV_GOOD)
            return result;
    }
    return rd_left(r) ? BERTH_TLV_LENGTH : BERTH_TLV_GOOD;
}

enum berth_tlv_result
berth_tlv_decode(struct rd body, struct berth_tlv *tlv)
{
    memset(tlv, 0, sizeof *tlv);
    uint8_t subtype = rd_u8(&body), version = rd_u8(&body);
    if (body.err)
        return BERTH_TLV_SHORT;
    if (subtype != BERTH_SUBTYPE_VSI)
        return BERTH_TLV_OTHER;
    if (version != BERTH_WIRE_VERSION)
        return BERTH_TLV_VERSION;
    tlv->op = rd_u8(&body);
    tlv->phase = rd_u8(&body);
    tlv->flags = rd_u8(&body);
    tlv->epoch = rd_u64(&body);
    tlv->migration = rd_u64(&body);
    if (body.err)
        return BERTH_TLV_SHORT;
    if (tlv->op >= BERTH_N_OPS || tlv->phase >= BERTH_N_PHASES)
        return BERTH_TLV_VALUE;
    return decode_subs(&body, tlv);
}

void
berth_tlv_encode(struct wr *w, uint32_t oui, const struct berth_tlv *tlv)
{
    size_t at = tlv_begin(w, TLV_ORG);
    wr_u24(w, oui);
    wr_u8(w, BERTH_SUBTYPE_VSI);
    wr_u8(w, BERTH_WIRE_VERSION);
    wr_u8(w, tlv->op);
    wr_u8(w, tlv->phase);
    wr_u8(w, tlv->flags);
    wr_u64(w, tlv->epoch);
    wr_u64(w, tlv->migration);
    for (size_t i = 0; i < N_ROWS; i++)
        rows[i].encode(w, tlv);
    tlv_end(w, at);
}

int
berth_tlv_print(const struct berth_tlv *tlv, char *text, size_t size)
{
    int at = tlv_text(text, size, 0, "berth %s/%s flags %02x epoch %llu migration %llx",
        berth_op_str(tlv->op), berth_phase_str(tlv->phase), tlv->flags,
        (unsigned long long)tlv->epoch, (unsigned long long)tlv->migration);
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].print)
            at = rows[i].print(tlv, text, size, at);
    return at;
}
