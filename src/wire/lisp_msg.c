/* SPDX-License-Identifier: Apache-2.0 */
/* LISP control messages (RFC 9301 clause 5) and their authentication. A decoder walks
 * all records once, so that whoever iterates over them later meets no surprise. */
#include "wire/lisp.h"

#include <sodium.h>
#include <string.h>

#define AUTH_AT 16 /* type word, nonce, key id, algorithm, length */
#define ID_SIZE (LISP_XTR_ID_SIZE + 8)

int
lisp_type_of(const void *p, size_t n)
{
    return n ? *(const uint8_t *)p >> 4 : -1;
}

/* ---- Map-Request ---- */

enum lisp_err
lisp_request_decode(const void *p, size_t n, struct lisp_request *m)
{
    struct rd r = rd_of(p, n);
    uint32_t head = rd_u32(&r);
    if (r.err)
        return LISP_ERR_SHORT;
    if (head >> 28 != LISP_MAP_REQUEST)
        return LISP_ERR_TYPE;
    m->authoritative = head & 1u << 27;
    m->probe = head & 1u << 25;
    m->smr = head & 1u << 24;
    m->pitr = head & 1u << 23;
    m->smr_invoked = head & 1u << 22;
    m->local_xtr = head & 1u << 14;
    m->no_reply = head & 1u << 13;
    m->n_itrs = m->n_eids = 0;
    m->nonce = rd_u64(&r);
    enum lisp_err err = lisp_eid_get(&r, -1, &m->source);
    unsigned irc = (head >> 8 & 31) + 1;
    for (unsigned i = 0; !err && i < irc; i++) {
        struct ip ip;
        err = lisp_ip_get(&r, &ip);
        if (!err && !ip_is_none(&ip) && m->n_itrs < LISP_ITRS_MAX)
            m->itrs[m->n_itrs++] = ip;
    }
    unsigned n_eids = head & 0xff;
    if (!err && (!n_eids || n_eids > LISP_EIDS_MAX))
        err = LISP_ERR_MANY;
    for (unsigned i = 0; !err && i < n_eids; i++) {
        rd_skip(&r, 1);
        uint8_t prefix_len = rd_u8(&r);
        err = lisp_eid_get(&r, prefix_len, &m->eids[m->n_eids++]);
    }
    if (err)
        return r.err ? LISP_ERR_SHORT : err;
    if (head & 1u << 26) { /* M: a mapping nobody vouched for: checked, not used */
        struct lisp_record rec;
        err = lisp_record_get(&r, &lisp_dialect_default, &rec);
        if (err && err != LISP_ERR_OUI)
            return r.err ? LISP_ERR_SHORT : err;
        if (err)
            return LISP_OK; /* what follows a strange record is beyond reading */
    }
    if (head & 1u << 20) /* I: xTR-ID and Site-ID (RFC 9437 clause 4) */
        rd_skip(&r, ID_SIZE);
    return r.err ? LISP_ERR_SHORT : rd_left(&r) ? LISP_ERR_TRAILING : LISP_OK;
}

size_t
lisp_request_encode(
    const struct lisp_request *m, const struct lisp_dialect *d, void *out, size_t cap)
{
    struct wr w = wr_of(out, cap);
    if (!m->n_itrs || m->n_itrs > LISP_ITRS_MAX || !m->n_eids ||
        m->n_eids > LISP_EIDS_MAX)
        return 0;
    wr_u32(&w, (uint32_t)LISP_MAP_REQUEST << 28 | (uint32_t)m->authoritative << 27 |
                   (uint32_t)m->probe << 25 | (uint32_t)m->smr << 24 |
                   (uint32_t)m->pitr << 23 | (uint32_t)m->smr_invoked << 22 |
                   (uint32_t)m->local_xtr << 14 | (uint32_t)m->no_reply << 13 |
                   (uint32_t)(m->n_itrs - 1) << 8 | m->n_eids);
    wr_u64(&w, m->nonce);
    lisp_eid_put(&w, d, &m->source);
    for (unsigned i = 0; i < m->n_itrs; i++)
        lisp_ip_put(&w, &m->itrs[i]);
    for (unsigned i = 0; i < m->n_eids; i++) {
        wr_u8(&w, 0);
        wr_u8(&w, m->eids[i].prefix_len);
        lisp_eid_put(&w, d, &m->eids[i]);
    }
    return w.err ? 0 : w.pos;
}

/* ---- Map-Reply ---- */

/* Cursor over n records, which are walked to see that they are sound. */
static enum lisp_err
records_walk(struct rd *r, unsigned n, const struct lisp_dialect *d, struct rd *records)
{
    size_t start = r->pos;
    for (unsigned i = 0; i < n; i++) {
        struct lisp_record rec;
        enum lisp_err err = lisp_record_get(r, d, &rec);
        if (err)
            return r->err ? LISP_ERR_SHORT : err;
    }
    *records = rd_of(r->p + start, r->pos - start);
    return LISP_OK;
}

enum lisp_err
lisp_reply_decode(
    const void *p, size_t n, const struct lisp_dialect *d, struct lisp_reply *m)
{
    struct rd r = rd_of(p, n);
    uint32_t head = rd_u32(&r);
    m->nonce = rd_u64(&r);
    if (r.err)
        return LISP_ERR_SHORT;
    if (head >> 28 != LISP_MAP_REPLY)
        return LISP_ERR_TYPE;
    m->probe = head & 1u << 27;
    m->echo_nonce = head & 1u << 26;
    m->secure = head & 1u << 25;
    m->n_records = head & 0xff;
    enum lisp_err err = records_walk(&r, m->n_records, d, &m->records);
    if (err)
        return err;
    /* With S, LISP-SEC data follows (RFC 9303); it is for who asked for it. */
    return rd_left(&r) && !m->secure ? LISP_ERR_TRAILING : LISP_OK;
}

size_t
lisp_reply_encode(const struct lisp_reply *m, const struct lisp_record *records,
    const struct lisp_dialect *d, void *out, size_t cap)
{
    struct wr w = wr_of(out, cap);
    wr_u32(&w, (uint32_t)LISP_MAP_REPLY << 28 | (uint32_t)m->probe << 27 |
                   (uint32_t)m->echo_nonce << 26 | m->n_records);
    wr_u64(&w, m->nonce);
    for (unsigned i = 0; i < m->n_records; i++)
        lisp_record_put(&w, d, &records[i]);
    return w.err ? 0 : w.pos;
}

/* ---- Map-Register, Map-Notify, Map-Notify-Ack ---- */

enum lisp_err
lisp_register_decode(
    const void *p, size_t n, const struct lisp_dialect *d, struct lisp_register *m)
{
    struct rd r = rd_of(p, n);
    uint32_t head = rd_u32(&r);
    memset(m, 0, sizeof *m);
    m->type = head >> 28;
    m->nonce = rd_u64(&r);
    m->key_id = rd_u8(&r);
    m->alg = rd_u8(&r);
    m->auth_size = rd_u16(&r);
    m->auth = rd_ptr(&r, m->auth_size);
    if (r.err)
        return LISP_ERR_SHORT;
    if (m->type < LISP_MAP_REGISTER || m->type > LISP_MAP_NOTIFY_ACK)
        return LISP_ERR_TYPE;
    m->n_records = head & 0xff;
    enum lisp_err err = records_walk(&r, m->n_records, d, &m->records);
    if (err)
        return err;
    if (m->type == LISP_MAP_REGISTER) {
        m->proxy = head & 1u << 27;
        m->secure = head & 1u << 26;
        m->has_id = head & 1u << 25;
        m->eid_notify = head & 1u << 12;
        m->use_ttl = head & 1u << 11;
        m->merge = head & 1u << 10;
        m->want_notify = head & 1u << 8;
    } else {
        m->has_id = rd_left(&r) == ID_SIZE; /* copied from the Map-Register, no bit */
    }
    if (m->has_id) {
        rd_bytes(&r, m->xtr_id, sizeof m->xtr_id);
        m->site_id = rd_u64(&r);
    }
    return r.err ? LISP_ERR_SHORT : rd_left(&r) ? LISP_ERR_TRAILING : LISP_OK;
}

size_t
lisp_register_encode(const struct lisp_register *m, const struct lisp_record *records,
    const struct lisp_key *key, const struct lisp_dialect *d, void *out, size_t cap)
{
    struct wr w = wr_of(out, cap);
    uint32_t flags = 0;
    if (m->type == LISP_MAP_REGISTER)
        flags = (uint32_t)m->proxy << 27 | (uint32_t)m->secure << 26 |
                (uint32_t)m->has_id << 25 | (uint32_t)m->eid_notify << 12 |
                (uint32_t)m->use_ttl << 11 | (uint32_t)m->merge << 10 |
                (uint32_t)m->want_notify << 8;
    wr_u32(&w, (uint32_t)m->type << 28 | flags | m->n_records);
    wr_u64(&w, m->nonce);
    wr_u8(&w, key->id);
    wr_u8(&w, key->alg);
    uint16_t auth_size = key->alg == LISP_ALG_NONE ? 0 : LISP_AUTH_SIZE;
    wr_u16(&w, auth_size);
    wr_zero(&w, auth_size);
    for (unsigned i = 0; i < m->n_records; i++)
        lisp_record_put(&w, d, &records[i]);
    if (m->has_id) {
        wr_bytes(&w, m->xtr_id, sizeof m->xtr_id);
        wr_u64(&w, m->site_id);
    }
    if (w.err || !lisp_register_sign(out, w.pos, key))
        return 0;
    return w.pos;
}

/* ---- authentication (clause 5.6) ---- */

static const char *
salt_of(uint8_t type)
{
    return type == LISP_MAP_REGISTER ? "Map-Register Authentication"
           : type == LISP_MAP_NOTIFY ? "Map-Notify Authentication"
                                     : "Map-Notify-Ack Authentication";
}

/* per-msg-key = KDF(nonce + PSK, s): HKDF of RFC 5869 with s as salt, no info, and one
 * block of output. Algorithms without a KDF use the secret itself. */
static size_t
message_key(const uint8_t *p, const struct lisp_key *key, uint8_t out[LISP_KEY_MAX])
{
    if (key->alg == LISP_ALG_SHA256_128) {
        memcpy(out, key->secret, key->size);
        return key->size;
    }
    crypto_auth_hmacsha256_state st;
    uint8_t prk[32], one = 1;
    const char *salt = salt_of(p[0] >> 4);
    crypto_auth_hmacsha256_init(&st, (const uint8_t *)salt, strlen(salt));
    crypto_auth_hmacsha256_update(&st, p + 4, 8);
    crypto_auth_hmacsha256_update(&st, key->secret, key->size);
    crypto_auth_hmacsha256_final(&st, prk);
    crypto_auth_hmacsha256_init(&st, prk, sizeof prk);
    crypto_auth_hmacsha256_update(&st, &one, 1);
    crypto_auth_hmacsha256_final(&st, out);
    return 32;
}

static bool
key_usable(const struct lisp_key *key)
{
    return key->size && key->size <= LISP_KEY_MAX &&
           (key->alg == LISP_ALG_SHA256_128 || key->alg == LISP_ALG_SHA256_128_HKDF);
}

/* Over n octets, with the authentication data taken as zero. */
static void
message_mac(const uint8_t *p, size_t n, size_t auth_size, const struct lisp_key *key,
    uint8_t mac[32])
{
    static const uint8_t zero[32];
    uint8_t secret[LISP_KEY_MAX];
    size_t size = message_key(p, key, secret);
    crypto_auth_hmacsha256_state st;
    crypto_auth_hmacsha256_init(&st, secret, size);
    crypto_auth_hmacsha256_update(&st, p, AUTH_AT);
    crypto_auth_hmacsha256_update(&st, zero, auth_size);
    crypto_auth_hmacsha256_update(
        &st, p + AUTH_AT + auth_size, n - AUTH_AT - auth_size);
    crypto_auth_hmacsha256_final(&st, mac);
}

bool
lisp_register_sign(void *p, size_t n, const struct lisp_key *key)
{
    uint8_t *b = p, mac[32];
    if (n < AUTH_AT)
        return false;
    size_t auth_size = (size_t)b[14] << 8 | b[15];
    b[12] = key->id;
    b[13] = key->alg;
    if (key->alg == LISP_ALG_NONE)
        return auth_size == 0;
    if (!key_usable(key) || auth_size != LISP_AUTH_SIZE || n - AUTH_AT < auth_size)
        return false;
    message_mac(b, n, auth_size, key, mac);
    memcpy(b + AUTH_AT, mac, auth_size);
    return true;
}

/* RFC 4868 cuts the HMAC to 16 octets; implementations are seen that send all 32. */
bool
lisp_register_verify(const void *p, size_t n, const struct lisp_register *m,
    const struct lisp_key *key, bool *id_covered)
{
    uint8_t mac[32];
    *id_covered = true;
    if (!key_usable(key) || m->key_id != key->id || m->alg != key->alg ||
        (m->auth_size != LISP_AUTH_SIZE && m->auth_size != sizeof mac))
        return false;
    message_mac(p, n, m->auth_size, key, mac);
    if (sodium_memcmp(mac, m->auth, m->auth_size) == 0)
        return true;
    if (!m->has_id)
        return false;
    *id_covered = false;
    message_mac(p, n - ID_SIZE, m->auth_size, key, mac);
    return sodium_memcmp(mac, m->auth, m->auth_size) == 0;
}

/* ---- Encapsulated Control Message ---- */

static uint32_t
sum_octets(uint32_t sum, const uint8_t *p, size_t n)
{
    for (; n > 1; p += 2, n -= 2)
        sum += (uint32_t)p[0] << 8 | p[1];
    return n ? sum + ((uint32_t)p[0] << 8) : sum;
}

static uint16_t
sum_fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* udp: header and payload; its checksum field takes part, so a right one gives 0. */
static uint16_t
udp_sum(const struct ip *src, const struct ip *dst, const uint8_t *udp, size_t n)
{
    size_t skip = ip_is_v4(src) ? 12 : 0;
    uint32_t sum = sum_octets(17 + n, src->b + skip, 16 - skip);
    sum = sum_octets(sum, dst->b + skip, 16 - skip);
    return sum_fold(sum_octets(sum, udp, n));
}

static enum lisp_err
inner_v4(struct rd *r, struct lisp_ecm *m)
{
    const uint8_t *p = r->p + r->pos;
    size_t left = rd_left(r), head = (size_t)(p[0] & 15) * 4;
    if (left < 20 || head < 20 || head > left)
        return LISP_ERR_INNER;
    size_t total = (size_t)p[2] << 8 | p[3];
    if (total != left || p[9] != 17 || (p[6] & 0x3f) || p[7] ||
        sum_fold(sum_octets(0, p, head)))
        return LISP_ERR_INNER;
    rd_skip(r, 12);
    m->src = ip_v4(rd_u32(r));
    m->dst = ip_v4(rd_u32(r));
    rd_skip(r, head - 20);
    return LISP_OK;
}

static enum lisp_err
inner_v6(struct rd *r, struct lisp_ecm *m)
{
    const uint8_t *p = r->p + r->pos;
    size_t left = rd_left(r);
    if (left < 40 || ((size_t)p[4] << 8 | p[5]) != left - 40 || p[6] != 17)
        return LISP_ERR_INNER;
    rd_skip(r, 8);
    rd_bytes(r, m->src.b, 16);
    rd_bytes(r, m->dst.b, 16);
    return ip_is_v4(&m->src) || ip_is_v4(&m->dst) ? LISP_ERR_INNER : LISP_OK;
}

enum lisp_err
lisp_ecm_decode(const void *p, size_t n, struct lisp_ecm *m)
{
    struct rd r = rd_of(p, n);
    uint32_t head = rd_u32(&r);
    if (r.err || !rd_left(&r))
        return LISP_ERR_SHORT;
    if (head >> 28 != LISP_ECM)
        return LISP_ERR_TYPE;
    if (head & 1u << 27) /* S: authentication data of LISP-SEC comes first */
        return LISP_ERR_UNSUPPORTED;
    m->ddt = head & 1u << 26;
    unsigned version = r.p[r.pos] >> 4;
    enum lisp_err err = version == 4   ? inner_v4(&r, m)
                        : version == 6 ? inner_v6(&r, m)
                                       : LISP_ERR_INNER;
    if (err)
        return err;
    const uint8_t *udp = r.p + r.pos;
    size_t left = rd_left(&r);
    m->sport = rd_u16(&r);
    m->dport = rd_u16(&r);
    uint16_t size = rd_u16(&r), sum = rd_u16(&r);
    if (r.err || size != left)
        return LISP_ERR_INNER;
    /* A sender MUST fill the checksum, some do not: what they leave out is not checked.
     */
    if (sum && udp_sum(&m->src, &m->dst, udp, left))
        return LISP_ERR_INNER;
    m->payload = udp + 8;
    m->size = left - 8;
    return LISP_OK;
}

size_t
lisp_ecm_encode(const struct lisp_ecm *m, void *out, size_t cap)
{
    struct wr w = wr_of(out, cap);
    bool v4 = ip_is_v4(&m->src);
    if (v4 != ip_is_v4(&m->dst) || m->size > 65000)
        return 0;
    wr_u32(&w, (uint32_t)LISP_ECM << 28 | (uint32_t)m->ddt << 26);
    size_t ip_at = w.pos;
    if (v4) {
        wr_u32(&w, 0x45c00000 | (uint32_t)(28 + m->size)); /* DSCP CS6: control */
        wr_u32(&w, 0);
        wr_u32(&w, 64u << 24 | 17 << 16);
        wr_bytes(&w, m->src.b + 12, 4);
        wr_bytes(&w, m->dst.b + 12, 4);
    } else {
        wr_u32(&w, 0x6c000000);
        wr_u32(&w, (uint32_t)(8 + m->size) << 16 | 17 << 8 | 64);
        wr_bytes(&w, m->src.b, 16);
        wr_bytes(&w, m->dst.b, 16);
    }
    size_t udp_at = w.pos;
    wr_u16(&w, m->sport);
    wr_u16(&w, m->dport);
    wr_u16(&w, 8 + m->size);
    wr_u16(&w, 0);
    wr_bytes(&w, m->payload, m->size);
    if (w.err)
        return 0;
    if (v4)
        wr_patch_u16(&w, ip_at + 10, sum_fold(sum_octets(0, w.p + ip_at, 20)));
    uint16_t sum = udp_sum(&m->src, &m->dst, w.p + udp_at, w.pos - udp_at);
    wr_patch_u16(&w, udp_at + 6, sum ? sum : 0xffff);
    return w.pos;
}
