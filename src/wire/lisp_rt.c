/* SPDX-License-Identifier: Apache-2.0 */
/* One row per message type (LISP_RT_TYPES) bounds its body and names its sender; one
 * pair of functions per kind of entry. Bodies are sequences of entries up to their end,
 * so a batch needs no count that could lie. */
#include "wire/lisp_rt.h"

#include <sodium.h>
#include <string.h>

static const struct type_row {
    uint16_t type, least, most;
    uint8_t from;
    const char *name;
} rows[] = {
#define X(name, number, least, most, who) {number, least, most, LISP_RT_##who, #name},
    LISP_RT_TYPES(X)
#undef X
};

static const struct type_row *
row_of(uint16_t type)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].type == type)
            return &rows[i];
    return NULL;
}

const char *
lisp_rt_type_str(uint16_t type)
{
    const struct type_row *row = row_of(type);
    return row ? row->name : "?";
}

bool
lisp_rt_known(uint16_t type)
{
    return row_of(type) != NULL;
}

const char *
lisp_rt_reason_str(uint8_t reason)
{
    static const char *const names[LISP_RT_N_REASONS] = {"none", "stale epoch",
        "epoch conflict", "no such VN", "policy", "no resources", "not ready",
        "not the owner", "malformed", "authentication", "version", "peer is silent",
        "peer does not read", "shutdown", "replaced by a newer session", "protocol",
        "connection lost"};
    return reason < LISP_RT_N_REASONS ? names[reason] : "?";
}

/* ---- frames ---- */

int
lisp_rt_frame_get(const uint8_t *p, size_t n, struct lisp_rt_frame *f)
{
    if (n < 4)
        return 0;
    struct rd r = rd_of(p, n);
    f->type = rd_u16(&r);
    f->whole = rd_u16(&r);
    if (f->whole < LISP_RT_OVERHEAD || f->whole > LISP_RT_FRAME_MAX)
        return -1;
    if (n < f->whole)
        return 0;
    f->id = rd_u32(&r);
    f->size = f->whole - LISP_RT_OVERHEAD;
    f->body = rd_ptr(&r, f->size);
    return rd_u32(&r) == LISP_RT_MARKER ? 1 : -1;
}

enum lisp_err
lisp_rt_check(uint16_t type, size_t size, enum lisp_rt_side from)
{
    const struct type_row *row = row_of(type);
    if (!row || !(row->from & from))
        return LISP_ERR_TYPE;
    if (size < row->least)
        return LISP_ERR_SHORT;
    return size > row->most ? LISP_ERR_TRAILING : LISP_OK;
}

size_t
lisp_rt_frame_begin(struct wr *w, uint16_t type, uint32_t id)
{
    size_t start = w->pos;
    wr_u16(w, type);
    wr_u16(w, 0);
    wr_u32(w, id);
    return start;
}

void
lisp_rt_frame_end(struct wr *w, size_t start)
{
    wr_u32(w, LISP_RT_MARKER);
    if (w->pos - start > LISP_RT_FRAME_MAX)
        w->err = true;
    if (!w->err)
        wr_patch_u16(w, start + 2, w->pos - start);
}

/* ---- names ---- */

static uint8_t
name_get(struct rd *r, char name[LISP_RT_NAME + 1], enum lisp_err *err)
{
    uint8_t n = rd_u8(r);
    memset(name, 0, LISP_RT_NAME + 1);
    if (n > LISP_RT_NAME) {
        *err = LISP_ERR_MANY;
        return 0;
    }
    rd_bytes(r, name, n);
    for (unsigned i = 0; !r->err && i < n; i++)
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
            *err = LISP_ERR_UNSUPPORTED;
    return r->err ? 0 : n;
}

static void
name_put(struct wr *w, const char *name, uint8_t n)
{
    if (n > LISP_RT_NAME)
        w->err = true;
    wr_u8(w, n);
    if (!w->err)
        wr_bytes(w, name, n);
}

static enum lisp_err
done(const struct rd *r, enum lisp_err err)
{
    return r->err ? LISP_ERR_SHORT : err;
}

/* ---- handshake ---- */

enum lisp_err
lisp_rt_hello_get(struct rd *r, bool with_vtep, struct lisp_rt_hello *m)
{
    enum lisp_err err = LISP_OK;
    memset(m, 0, sizeof *m);
    m->version = rd_u8(r);
    m->id_size = name_get(r, m->id, &err);
    if (!err && with_vtep)
        err = lisp_ip_get(r, &m->vtep);
    rd_bytes(r, m->nonce, sizeof m->nonce);
    if (!err && (!m->id_size || (with_vtep && ip_is_none(&m->vtep))))
        err = LISP_ERR_UNSUPPORTED;
    return done(r, err);
}

void
lisp_rt_hello_put(struct wr *w, bool with_vtep, const struct lisp_rt_hello *m)
{
    wr_u8(w, m->version);
    name_put(w, m->id, m->id_size);
    if (with_vtep)
        lisp_ip_put(w, &m->vtep);
    wr_bytes(w, m->nonce, sizeof m->nonce);
}

enum lisp_err
lisp_rt_welcome_get(struct rd *r, struct lisp_rt_welcome *m)
{
    m->incarnation = rd_u64(r);
    m->hold_ms = rd_u32(r);
    m->reserved = rd_u32(r);
    rd_bytes(r, m->mac, sizeof m->mac);
    return done(r, LISP_OK);
}

void
lisp_rt_welcome_put(struct wr *w, const struct lisp_rt_welcome *m)
{
    wr_u64(w, m->incarnation);
    wr_u32(w, m->hold_ms);
    wr_u32(w, m->reserved);
    wr_bytes(w, m->mac, sizeof m->mac);
}

/* ---- entries ---- */

/* Keys of the session are always of a VN. */
static enum lisp_err
key_check(const struct lisp_eid *eid)
{
    bool ours = eid->kind == LISP_EID_IP || eid->kind == LISP_EID_MAC;
    return ours && eid->vni ? LISP_OK : LISP_ERR_EID;
}

enum lisp_err
lisp_rt_key_get(struct rd *r, struct lisp_eid *eid)
{
    uint8_t prefix_len = rd_u8(r);
    enum lisp_err err = lisp_eid_get(r, prefix_len, eid);
    return done(r, err ? err : key_check(eid));
}

void
lisp_rt_key_put(struct wr *w, const struct lisp_dialect *d, const struct lisp_eid *eid)
{
    wr_u8(w, eid->prefix_len);
    lisp_eid_put(w, d, eid);
}

enum lisp_err
lisp_rt_entry_get(
    struct rd *r, const struct lisp_dialect *d, bool with_ref, struct lisp_rt_entry *m)
{
    m->ref = with_ref ? rd_u64(r) : 0;
    m->flags = rd_u8(r);
    enum lisp_err err = lisp_record_get(r, d, &m->record);
    return done(r, err ? err : key_check(&m->record.eid));
}

void
lisp_rt_entry_put(struct wr *w, const struct lisp_dialect *d, bool with_ref,
    const struct lisp_rt_entry *m)
{
    if (with_ref)
        wr_u64(w, m->ref);
    wr_u8(w, m->flags);
    lisp_record_put(w, d, &m->record);
}

enum lisp_err
lisp_rt_withdraw_get(struct rd *r, struct lisp_rt_withdraw *m)
{
    m->ref = rd_u64(r);
    m->epoch = rd_u64(r);
    enum lisp_err err = lisp_ip_get(r, &m->owner);
    if (err)
        return err;
    return lisp_rt_key_get(r, &m->eid);
}

void
lisp_rt_withdraw_put(
    struct wr *w, const struct lisp_dialect *d, const struct lisp_rt_withdraw *m)
{
    wr_u64(w, m->ref);
    wr_u64(w, m->epoch);
    lisp_ip_put(w, &m->owner);
    lisp_rt_key_put(w, d, &m->eid);
}

enum lisp_err
lisp_rt_answer_get(struct rd *r, bool reject, struct lisp_rt_answer *m)
{
    memset(m, 0, sizeof *m);
    m->ref = rd_u64(r);
    m->epoch = rd_u64(r);
    m->migration_id = rd_u64(r);
    if (!reject)
        return done(r, LISP_OK);
    m->reason = rd_u8(r);
    return lisp_ip_get(r, &m->owner);
}

void
lisp_rt_answer_put(struct wr *w, bool reject, const struct lisp_rt_answer *m)
{
    wr_u64(w, m->ref);
    wr_u64(w, m->epoch);
    wr_u64(w, m->migration_id);
    if (!reject)
        return;
    wr_u8(w, m->reason);
    lisp_ip_put(w, &m->owner);
}

enum lisp_err
lisp_rt_reserve_get(struct rd *r, bool with_vsi, struct lisp_rt_reserve *m)
{
    m->ref = rd_u64(r);
    m->epoch = rd_u64(r);
    m->migration_id = rd_u64(r);
    m->vni = rd_u32(r);
    rd_bytes(r, m->mac.b, 6);
    m->vsi = with_vsi ? rd_u64(r) : 0;
    return done(r, m->vni && m->vni <= VNI_MAX ? LISP_OK : LISP_ERR_EID);
}

void
lisp_rt_reserve_put(struct wr *w, bool with_vsi, const struct lisp_rt_reserve *m)
{
    wr_u64(w, m->ref);
    wr_u64(w, m->epoch);
    wr_u64(w, m->migration_id);
    wr_u32(w, m->vni);
    wr_bytes(w, m->mac.b, 6);
    if (with_vsi)
        wr_u64(w, m->vsi);
}

enum lisp_err
lisp_rt_reserved_get(struct rd *r, struct lisp_rt_reserved *m)
{
    m->epoch = rd_u64(r);
    m->migration_id = rd_u64(r);
    m->vni = rd_u32(r);
    rd_bytes(r, m->mac.b, 6);
    enum lisp_err err = lisp_ip_get(r, &m->target);
    if (!err && (!m->vni || m->vni > VNI_MAX))
        err = LISP_ERR_EID;
    return done(r, err);
}

void
lisp_rt_reserved_put(struct wr *w, const struct lisp_rt_reserved *m)
{
    wr_u64(w, m->epoch);
    wr_u64(w, m->migration_id);
    wr_u32(w, m->vni);
    wr_bytes(w, m->mac.b, 6);
    lisp_ip_put(w, &m->target);
}

enum lisp_err
lisp_rt_vn_get(struct rd *r, bool lookup, struct lisp_rt_vn *m)
{
    enum lisp_err err = LISP_OK;
    memset(m, 0, sizeof *m);
    m->ref = rd_u64(r);
    m->vni = rd_u32(r);
    if (!lookup) {
        m->mtu = rd_u32(r);
        m->arp_policy = rd_u8(r);
        m->reply_mode = rd_u8(r);
        m->flags = rd_u8(r);
    }
    m->name_size = name_get(r, m->name, &err);
    if (!err && (m->vni > VNI_MAX || (!m->vni && (!lookup || !m->name_size))))
        err = LISP_ERR_EID;
    return done(r, err);
}

void
lisp_rt_vn_put(struct wr *w, bool lookup, const struct lisp_rt_vn *m)
{
    wr_u64(w, m->ref);
    wr_u32(w, m->vni);
    if (!lookup) {
        wr_u32(w, m->mtu);
        wr_u8(w, m->arp_policy);
        wr_u8(w, m->reply_mode);
        wr_u8(w, m->flags);
    }
    name_put(w, m->name, m->name_size);
}

enum lisp_err
lisp_rt_member_get(struct rd *r, struct lisp_rt_member *m)
{
    m->vni = rd_u32(r);
    m->gone = rd_u8(r) & 1;
    enum lisp_err err = lisp_ip_get(r, &m->vtep);
    if (!err && (m->vni > VNI_MAX || ip_is_none(&m->vtep)))
        err = LISP_ERR_EID;
    return done(r, err);
}

void
lisp_rt_member_put(struct wr *w, const struct lisp_rt_member *m)
{
    wr_u32(w, m->vni);
    wr_u8(w, m->gone);
    lisp_ip_put(w, &m->vtep);
}

enum lisp_err
lisp_rt_confirm_get(struct rd *r, struct lisp_rt_confirm *m)
{
    m->epoch = rd_u64(r);
    return lisp_rt_key_get(r, &m->eid);
}

void
lisp_rt_confirm_put(
    struct wr *w, const struct lisp_dialect *d, const struct lisp_rt_confirm *m)
{
    wr_u64(w, m->epoch);
    lisp_rt_key_put(w, d, &m->eid);
}

/* ---- authentication ---- */

/* HMAC over a label and all that both ends have said: identities, addresses, nonces. */
static void
transcript_mac(const uint8_t *key, size_t key_size, const char *label,
    const struct lisp_rt_hello *nve, const struct lisp_rt_hello *nva, uint8_t mac[32])
{
    uint8_t said[256];
    struct wr w = wr_of(said, sizeof said);
    lisp_rt_hello_put(&w, true, nve);
    lisp_rt_hello_put(&w, false, nva);
    crypto_auth_hmacsha256_state st;
    crypto_auth_hmacsha256_init(&st, key, key_size);
    crypto_auth_hmacsha256_update(&st, (const uint8_t *)label, strlen(label) + 1);
    crypto_auth_hmacsha256_update(&st, said, w.pos);
    crypto_auth_hmacsha256_final(&st, mac);
}

void
lisp_rt_handshake_mac(const uint8_t *key, size_t key_size, enum lisp_rt_side who,
    const struct lisp_rt_hello *nve, const struct lisp_rt_hello *nva,
    uint8_t mac[LISP_RT_MAC])
{
    transcript_mac(key, key_size,
        who == LISP_RT_NVE ? "berth session proof nve" : "berth session proof nva", nve,
        nva, mac);
}

void
lisp_rt_session_keys(const uint8_t *key, size_t key_size,
    const struct lisp_rt_hello *nve, const struct lisp_rt_hello *nva,
    struct lisp_rt_keys *keys)
{
    uint8_t raw[32];
    transcript_mac(key, key_size, "berth session key nve", nve, nva, raw);
    crypto_auth_hmacsha256_init(&keys->nve.state, raw, sizeof raw);
    transcript_mac(key, key_size, "berth session key nva", nve, nva, raw);
    crypto_auth_hmacsha256_init(&keys->nva.state, raw, sizeof raw);
    sodium_memzero(raw, sizeof raw);
}

void
lisp_rt_tag(const struct lisp_rt_key *key, uint64_t number, const uint8_t *frame,
    size_t head_and_body, uint8_t tag[LISP_RT_TAG])
{
    uint8_t count[8], mac[32];
    struct wr w = wr_of(count, sizeof count);
    wr_u64(&w, number);
    crypto_auth_hmacsha256_state st = key->state;
    crypto_auth_hmacsha256_update(&st, count, sizeof count);
    crypto_auth_hmacsha256_update(&st, frame, head_and_body);
    crypto_auth_hmacsha256_final(&st, mac);
    memcpy(tag, mac, LISP_RT_TAG);
}

bool
lisp_rt_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}
