/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "lisp_gen.h"
#include "proto/lisp_server.h"

#define SEC 1000000u
static const struct lisp_dialect *const dia = &lisp_dialect_default;

static void
fast_path(void **state)
{
    (void)state;
    uint8_t b[256], out[1024];
    struct ip from = ip_v4(0xc0000201), owner = ip_v4(0xc0000209);
    struct lisp_query q;
    size_t n = vector_read("ecm_request", b, sizeof b);
    assert_int_equal(lisp_server_fast(&from, 40000, b, n, &q), LISP_SERVER_QUERY);
    assert_int_equal(q.nonce, 0x0102030405060708);
    assert_true(ip_equal(&q.to, &from) && ip_equal(&q.from, &from));
    assert_int_equal(q.port, 50000); /* the inner port: where the ITR waits */
    assert_int_equal(q.eid.vni, 0x1234);
    assert_int_equal(ip_to_v4(&q.eid.ip), 0x0a010203);
    assert_false(q.more || q.smr_invoked);

    /* centralised: the answer carries MAC_B */
    struct lisp_record rec;
    memset(&rec, 0, sizeof rec);
    rec.eid = q.eid;
    rec.ttl_min = 15;
    rec.n_rlocs = 1;
    rec.rlocs[0].ip = owner;
    rec.rlocs[0].has_mac = rec.rlocs[0].has_epoch = true;
    rec.rlocs[0].mac = (struct mac){
        {2, 0, 0, 0, 0, 0xb}
    };
    rec.rlocs[0].epoch = 5;
    size_t m = lisp_server_reply(&q, dia, &rec, out, sizeof out);
    struct lisp_reply reply;
    struct lisp_record got;
    assert_int_equal(lisp_reply_decode(out, m, dia, &reply), LISP_OK);
    assert_int_equal(reply.nonce, q.nonce);
    assert_int_equal(lisp_record_get(&reply.records, dia, &got), LISP_OK);
    assert_record_equal(&rec, &got);
    assert_int_equal(lisp_server_reply(&q, dia, &rec, out, m - 1), 0);

    m = lisp_server_negative(&q, dia, LISP_ACT_DROP, 1, out, sizeof out);
    assert_int_equal(lisp_reply_decode(out, m, dia, &reply), LISP_OK);
    assert_int_equal(lisp_record_get(&reply.records, dia, &got), LISP_OK);
    assert_true(got.n_rlocs == 0 && got.act == LISP_ACT_DROP && got.ttl_min == 1);

    /* distributed: the same Map-Request goes on to the owner */
    m = lisp_server_forward(&q, &owner, out, sizeof out);
    struct lisp_ecm e;
    assert_int_equal(lisp_ecm_decode(out, m, &e), LISP_OK);
    assert_true(ip_equal(&e.src, &from) && e.sport == 50000 && e.dport == LISP_PORT);
    assert_int_equal(e.size, q.request_size);
    assert_memory_equal(e.payload, q.request, e.size);

    /* bare, as foreign ITRs and tests send it */
    n = vector_read("request", b, sizeof b);
    assert_int_equal(lisp_server_fast(&from, 40000, b, n, &q), LISP_SERVER_QUERY);
    assert_int_equal(q.port, 40000);
    m = lisp_server_forward(&q, &owner, out, sizeof out);
    assert_int_equal(lisp_ecm_decode(out, m, &e), LISP_OK);
    assert_true(
        ip_equal(&e.dst, &owner) && ip_equal(&e.src, &from) && e.sport == 40000);

    /* an IPv6 asker with only an IPv4 ITR-RLOC cannot be answered over what it came by
     */
    struct ip from6;
    assert_true(ip_parse("2001:db8::5", &from6));
    assert_int_equal(lisp_server_fast(&from6, 1, b, n, &q), LISP_SERVER_BAD);
    assert_int_equal(q.err, LISP_ERR_RLOC);
}

static void
fast_refusals(void **state)
{
    (void)state;
    uint8_t b[256];
    struct ip from = ip_v4(0xc0000201);
    struct lisp_query q;
    size_t n = vector_read("request", b, sizeof b);
    static const uint8_t bits[] = {2, 1}; /* probe: clause 5.2 MUST drop; SMR */
    for (int i = 0; i < 2; i++) {
        b[0] |= bits[i];
        assert_int_equal(lisp_server_fast(&from, 1, b, n, &q), LISP_SERVER_BAD);
        assert_int_equal(q.err, LISP_ERR_UNSUPPORTED);
        b[0] &= ~bits[i];
    }
    for (size_t i = 1; i < n; i++) {
        uint8_t *c = malloc(i);
        memcpy(c, b, i);
        assert_int_equal(lisp_server_fast(&from, 1, c, i, &q), LISP_SERVER_BAD);
        free(c);
    }
    assert_int_equal(lisp_server_fast(&from, 1, b, 0, &q), LISP_SERVER_OTHER);
    b[0] = 0x30;
    assert_int_equal(lisp_server_fast(&from, 1, b, n, &q), LISP_SERVER_OTHER);
}

/* ---- the machine ---- */

static const struct ip XTR = {
    {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}
};
static struct lisp_key key1 = {
    .id = 1, .alg = LISP_ALG_SHA256_128, .size = 5, .secret = "apple"};

static struct lisp_server *
server_new(void)
{
    struct lisp_server_conf conf = {.seed = 4};
    conf.settings[LISP_SERVER_MAX_XTRS] = 16;
    struct lisp_server *s = lisp_server_new(&conf, 0);
    assert_true(lisp_server_key_set(s, 42, &key1));
    return s;
}

static size_t
registration(uint64_t nonce, uint8_t xtr, const struct lisp_key *key, uint8_t *b)
{
    struct ip ip = ip_v4(0x0a010203);
    struct lisp_register m = {.type = LISP_MAP_REGISTER,
        .nonce = nonce,
        .has_id = true,
        .site_id = 42,
        .n_records = 1,
        .want_notify = true,
        .proxy = true};
    m.xtr_id[0] = xtr;
    struct lisp_record rec;
    memset(&rec, 0, sizeof rec);
    rec.eid = lisp_eid_ip(7, &ip);
    rec.ttl_min = 3;
    rec.n_rlocs = 1;
    rec.rlocs[0].ip = XTR;
    return lisp_register_encode(&m, &rec, key, dia, b, 512);
}

static bool
takes(struct lisp_server *s, const uint8_t *b, size_t n, struct lisp_server_out *out)
{
    lisp_server_input(s, &XTR, 4342, b, n, 0);
    return lisp_server_output(s, out) && out->type == LISP_SVOUT_REGISTER;
}

static void
registers(void **state)
{
    (void)state;
    struct lisp_server *s = server_new();
    struct lisp_server_out out;
    uint8_t b[512];
    size_t n = registration(100, 1, &key1, b);
    assert_true(takes(s, b, n, &out));
    assert_true(out.reg.id_covered && out.reg.message.proxy);
    assert_int_equal(out.reg.message.nonce, 100);
    struct lisp_record rec;
    assert_int_equal(lisp_record_get(&out.reg.message.records, dia, &rec), LISP_OK);
    assert_int_equal(rec.eid.vni, 7);
    assert_true(lisp_server_registered(s));
    assert_true(lisp_server_output(s, &out));
    assert_int_equal(out.type, LISP_SVOUT_SEND);
    assert_true(ip_equal(&out.to, &XTR) && out.port == 4342);
    struct lisp_register m;
    bool covered;
    assert_int_equal(lisp_register_decode(out.bytes, out.size, dia, &m), LISP_OK);
    assert_true(m.type == LISP_MAP_NOTIFY && m.nonce == 100 && m.site_id == 42);
    assert_true(
        lisp_register_verify(out.bytes, out.size, &m, &key1, &covered) && covered);
    assert_false(lisp_server_output(s, &out));
    assert_false(lisp_server_registered(s)); /* once */

    /* replays and older nonces; the next is fine; another xTR counts for itself */
    assert_false(takes(s, b, n, &out));
    n = registration(99, 1, &key1, b);
    assert_false(takes(s, b, n, &out));
    assert_int_equal(lisp_server_counter(s, LISP_VC_REPLAYS), 2);
    n = registration(5, 2, &key1, b);
    assert_true(takes(s, b, n, &out));
    n = registration(101, 1, &key1, b);
    assert_true(takes(s, b, n, &out));
    /* after a restart the stored nonce holds */
    uint8_t xtr[LISP_XTR_ID_SIZE] = {3};
    assert_true(lisp_server_nonce_set(s, xtr, 42, 1, 1000));
    n = registration(1000, 3, &key1, b);
    assert_false(takes(s, b, n, &out));
    n = registration(1001, 3, &key1, b);
    assert_true(takes(s, b, n, &out));
    lisp_server_free(s);
}

static void
forgeries(void **state)
{
    (void)state;
    struct lisp_server *s = server_new();
    struct lisp_server_out out;
    uint8_t b[512];
    struct lisp_key wrong = key1;
    wrong.secret[0] ^= 1;
    size_t n = registration(1, 1, &wrong, b);
    assert_false(takes(s, b, n, &out));
    assert_int_equal(lisp_server_counter(s, LISP_VC_BAD_AUTH), 1);
    wrong = key1;
    wrong.id = 9;
    n = registration(1, 1, &wrong, b);
    assert_false(takes(s, b, n, &out));
    assert_int_equal(lisp_server_counter(s, LISP_VC_NO_KEY), 1);
    wrong = key1;
    wrong.alg = LISP_ALG_NONE; /* unsigned */
    n = registration(1, 1, &wrong, b);
    assert_false(takes(s, b, n, &out));
    n = registration(1, 1, &key1, b);
    for (size_t i = 0; i < n; i++) { /* no octet can be changed */
        b[i] ^= 4;
        assert_false(takes(s, b, n, &out));
        b[i] ^= 4;
    }
    assert_true(takes(s, b, n, &out)); /* and none of that has used up its nonce */
    for (size_t i = 0; i < n; i++)
        assert_false(takes(s, b, i, &out));

    /* signed by the letter of clause 5.6: the xTR-ID is not covered, so changing it
     * must not make a replay fresh */
    n = registration(50, 7, &key1, b);
    size_t short_n = n - 24;
    assert_true(lisp_register_sign(b, short_n, &key1));
    assert_true(takes(s, b, n, &out));
    assert_false(out.reg.id_covered);
    assert_true(lisp_server_registered(s));
    assert_true(lisp_server_output(s, &out));
    struct lisp_register m;
    bool covered;
    assert_int_equal(lisp_register_decode(out.bytes, out.size, dia, &m), LISP_OK);
    assert_true(lisp_register_verify(out.bytes, out.size, &m, &key1, &covered));
    assert_false(covered);
    b[short_n] ^= 0x55;
    assert_false(takes(s, b, n, &out));
    assert_true(lisp_server_counter(s, LISP_VC_REPLAYS) > 0);

    assert_true(lisp_server_key_del(s, 42, 1));
    assert_false(lisp_server_key_del(s, 42, 1));
    n = registration(60, 1, &key1, b);
    assert_false(takes(s, b, n, &out));
    lisp_server_free(s);
}

static void
flood(void **state)
{
    (void)state;
    struct lisp_server *s = server_new(); /* room for 16 xTRs */
    struct lisp_server_out out;
    uint8_t b[512];
    unsigned taken = 0;
    for (unsigned i = 1; i < 200; i++)
        taken += takes(s, b, registration(1, i, &key1, b), &out);
    assert_int_equal(taken, 16);
    assert_int_equal(lisp_server_counter(s, LISP_VC_FULL), 183);
    struct rng r;
    rng_seed(&r, 2);
    for (int i = 0; i < 20000; i++) {
        size_t n = rng_below(&r, 200);
        rng_bytes(&r, b, n);
        if (n)
            b[0] = (i & 1 ? 0x30 : 0x50) | (b[0] & 15);
        assert_false(takes(s, b, n, &out));
    }
    lisp_server_free(s);
}

static void
notifies(void **state)
{
    (void)state;
    struct lisp_server *s = server_new();
    struct lisp_server_out out;
    struct rng r;
    rng_seed(&r, 12);
    struct lisp_record rec = gen_record(&r, true);
    assert_false(lisp_server_notify(s, 1, &XTR, 42, 9, &rec, 1, 0)); /* no such key */
    assert_true(lisp_server_notify(s, 5, &XTR, 42, 1, &rec, 1, 0));
    assert_true(lisp_server_output(s, &out));
    struct lisp_register m;
    uint8_t first[2048];
    size_t size = out.size;
    memcpy(first, out.bytes, size);
    assert_int_equal(lisp_register_decode(first, size, dia, &m), LISP_OK);
    static const unsigned at[] = {3, 6, 9, 15, 27, 51};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(lisp_server_deadline(s), at[i] * (uint64_t)SEC);
        lisp_server_tick(s, lisp_server_deadline(s));
        assert_true(lisp_server_output(s, &out));
        assert_int_equal(out.type, LISP_SVOUT_SEND);
        assert_memory_equal(out.bytes, first, size);
        assert_false(lisp_server_output(s, &out));
    }
    lisp_server_tick(s, lisp_server_deadline(s));
    assert_true(lisp_server_output(s, &out));
    assert_true(out.type == LISP_SVOUT_NOTIFY_LOST && out.ref == 5);
    assert_int_equal(lisp_server_deadline(s), TIMER_NEVER);

    /* acknowledged: by the right xTR, with the right key and nonce */
    assert_true(lisp_server_notify(s, 6, &XTR, 42, 1, &rec, 1, 100));
    assert_true(lisp_server_output(s, &out));
    assert_int_equal(lisp_register_decode(out.bytes, out.size, dia, &m), LISP_OK);
    struct lisp_register ack = {
        .type = LISP_MAP_NOTIFY_ACK, .nonce = m.nonce, .n_records = 1};
    uint8_t b[2048];
    struct lisp_key wrong = key1;
    wrong.secret[1] ^= 1;
    struct ip other = ip_v4(1);
    size_t n = lisp_register_encode(&ack, &rec, &wrong, dia, b, sizeof b);
    lisp_server_input(s, &XTR, 4342, b, n, 101);
    assert_false(lisp_server_output(s, &out));
    n = lisp_register_encode(&ack, &rec, &key1, dia, b, sizeof b);
    lisp_server_input(s, &other, 4342, b, n, 101);
    assert_false(lisp_server_output(s, &out));
    lisp_server_input(s, &XTR, 4342, b, n, 101);
    assert_true(lisp_server_output(s, &out));
    assert_true(out.type == LISP_SVOUT_NOTIFIED && out.ref == 6);
    assert_int_equal(lisp_server_deadline(s), TIMER_NEVER);
    lisp_server_input(s, &XTR, 4342, b, n, 102);
    assert_false(lisp_server_output(s, &out));
    for (unsigned i = 0; i < LISP_VC_N; i++)
        assert_string_not_equal(lisp_server_counter_name(i), "?");
    assert_true(
        lisp_server_notify(s, 7, &XTR, 42, 1, &rec, 1, 200)); /* freed while open */
    lisp_server_free(s);
    lisp_server_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fast_path),
        cmocka_unit_test(fast_refusals), cmocka_unit_test(registers),
        cmocka_unit_test(forgeries), cmocka_unit_test(flood),
        cmocka_unit_test(notifies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
