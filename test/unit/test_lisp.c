/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "lisp_gen.h"

static const struct lisp_dialect *const dia = &lisp_dialect_default;

static void
map_request(void **state)
{
    (void)state;
    uint8_t b[256], out[256];
    struct lisp_request m;
    size_t n = vector_read("request", b, sizeof b);
    assert_int_equal(lisp_request_decode(b, n, &m), LISP_OK);
    assert_int_equal(m.nonce, 0x0102030405060708);
    assert_int_equal(m.source.kind, LISP_EID_NONE);
    assert_int_equal(m.n_itrs, 1);
    assert_int_equal(ip_to_v4(&m.itrs[0]), 0xc0000201);
    assert_int_equal(m.n_eids, 1);
    struct ip ip = ip_v4(0x0a010203);
    struct lisp_eid want = lisp_eid_ip(0x1234, &ip);
    assert_true(lisp_eid_equal(&m.eids[0], &want));
    assert_int_equal(lisp_request_encode(&m, dia, out, sizeof out), n);
    assert_memory_equal(b, out, n);

    n = vector_read("request_flags", b, sizeof b);
    assert_int_equal(lisp_request_decode(b, n, &m), LISP_OK);
    assert_true(m.authoritative && m.probe && m.smr && m.pitr && m.smr_invoked &&
                m.local_xtr && m.no_reply);
    assert_int_equal(m.n_itrs, 2);
    assert_int_equal(m.eids[0].prefix_len, 64);
    assert_int_equal(m.eids[0].vni, 0);
    assert_int_equal(lisp_request_encode(&m, dia, out, sizeof out), n);
    assert_memory_equal(b, out, n);
    char text[LISP_EID_STR];
    assert_string_equal(lisp_eid_str(&m.eids[0], text), "0:2001:db8:2::/64");
}

static void
ecm(void **state)
{
    (void)state;
    uint8_t b[256], bare[256], out[256];
    size_t n = vector_read("ecm_request", b, sizeof b);
    size_t n_bare = vector_read("request", bare, sizeof bare);
    struct lisp_ecm e, back;
    assert_int_equal(lisp_ecm_decode(b, n, &e), LISP_OK);
    assert_int_equal(ip_to_v4(&e.src), 0xc0000201);
    assert_int_equal(ip_to_v4(&e.dst), 0x0a010203);
    assert_int_equal(e.sport, 50000);
    assert_int_equal(e.dport, LISP_PORT);
    assert_int_equal(e.size, n_bare);
    assert_memory_equal(e.payload, bare, n_bare);
    for (int v6 = 0; v6 < 2; v6++) {
        if (v6) {
            assert_true(ip_parse("2001:db8::1", &e.src));
            assert_true(ip_parse("2001:db8::2", &e.dst));
        }
        size_t m = lisp_ecm_encode(&e, out, sizeof out);
        assert_int_equal(m, n_bare + 12 + (v6 ? 40 : 20));
        assert_int_equal(lisp_ecm_decode(out, m, &back), LISP_OK);
        assert_true(ip_equal(&back.src, &e.src) && ip_equal(&back.dst, &e.dst));
        assert_memory_equal(back.payload, bare, n_bare);
        for (size_t i = 0; i < m; i++) /* no octet may be changed unseen */
            if (i > 3 && !(v6 && i < 12)) {
                out[i] ^= 0x10;
                assert_int_not_equal(lisp_ecm_decode(out, m, &back), LISP_OK);
                out[i] ^= 0x10;
            }
        for (size_t i = 0; i < m; i++)
            assert_int_not_equal(lisp_ecm_decode(out, i, &back), LISP_OK);
    }
    e.dst = ip_v4(1);
    assert_int_equal(lisp_ecm_encode(&e, out, sizeof out), 0);
    b[0] |= 8; /* LISP-SEC */
    assert_int_equal(lisp_ecm_decode(b, n, &e), LISP_ERR_UNSUPPORTED);
}

static void
map_reply(void **state)
{
    (void)state;
    uint8_t b[256], out[256];
    struct lisp_reply m;
    struct lisp_record rec;
    size_t n = vector_read("reply_mac_b", b, sizeof b);
    assert_int_equal(lisp_reply_decode(b, n, dia, &m), LISP_OK);
    assert_int_equal(m.n_records, 1);
    assert_int_equal(lisp_record_get(&m.records, dia, &rec), LISP_OK);
    assert_int_equal(rec.ttl_min, 15);
    assert_true(rec.authoritative);
    assert_int_equal(rec.version, lisp_version_of(5));
    assert_int_equal(rec.n_rlocs, 1);
    const struct lisp_rloc *l = &rec.rlocs[0];
    assert_true(l->has_mac && l->has_epoch && l->local && l->reachable && !l->probed);
    assert_int_equal(l->mac.b[5], 0x0b);
    assert_int_equal(l->epoch, 5);
    assert_int_equal(l->migration_id, 0x77);
    assert_true(ip_equal(&l->owner, &l->ip));
    assert_int_equal(lisp_reply_encode(&m, &rec, dia, out, sizeof out), n);
    assert_memory_equal(b, out, n);

    /* RFC 9306 clause 4: another OUI drops the message */
    struct lisp_dialect other = {0x00005e, LISP_AFI_MAC48};
    assert_int_equal(lisp_reply_decode(b, n, &other, &m), LISP_ERR_OUI);
    lisp_record_plain(&rec);
    m.n_records = 1;
    size_t plain = lisp_reply_encode(&m, &rec, dia, out, sizeof out);
    assert_int_equal(lisp_reply_decode(out, plain, &other, &m), LISP_OK);

    n = vector_read("reply_negative", b, sizeof b);
    assert_int_equal(lisp_reply_decode(b, n, dia, &m), LISP_OK);
    assert_int_equal(lisp_record_get(&m.records, dia, &rec), LISP_OK);
    assert_int_equal(rec.n_rlocs, 0);
    assert_int_equal(rec.act, LISP_ACT_DROP_POLICY);
    assert_int_equal(rec.eid.prefix_len, 24);
    assert_int_equal(lisp_reply_encode(&m, &rec, dia, out, sizeof out), n);
    assert_memory_equal(b, out, n);
    assert_int_equal(lisp_version_of(0), 1);
    assert_int_equal(lisp_version_of(4094), 4095);
    assert_int_equal(lisp_version_of(4095), 1);
}

static void
map_register(void **state)
{
    (void)state;
    uint8_t b[256], out[256];
    struct lisp_register m;
    struct lisp_record rec;
    struct lisp_key none = {0};
    struct lisp_dialect mac48 = {LISP_OUI_LAB, LISP_AFI_MAC48};
    size_t n = vector_read("register_mac48", b, sizeof b);
    assert_int_equal(lisp_register_decode(b, n, dia, &m), LISP_OK);
    assert_true(m.proxy && m.has_id && m.use_ttl && m.want_notify);
    assert_false(m.secure || m.eid_notify || m.merge);
    assert_int_equal(m.site_id, 42);
    assert_int_equal(m.xtr_id[15], 15);
    assert_int_equal(lisp_record_get(&m.records, dia, &rec), LISP_OK);
    assert_int_equal(rec.eid.kind, LISP_EID_MAC);
    assert_int_equal(rec.eid.vni, 7);
    assert_int_equal(lisp_register_encode(&m, &rec, &none, &mac48, out, sizeof out), n);
    assert_memory_equal(b, out, n);
    bool covered;
    assert_false(
        lisp_register_verify(b, n, &m, &none, &covered)); /* "none" proves nothing */

    n = vector_read("notify_ack", b, sizeof b);
    assert_int_equal(lisp_register_decode(b, n, dia, &m), LISP_OK);
    assert_int_equal(m.type, LISP_MAP_NOTIFY_ACK);
    assert_false(m.has_id);
}

/* HMAC-SHA-256-128 and HKDF against values computed with Python's hmac module. */
static void
known_answers(void **state)
{
    (void)state;
    static const uint8_t plain[16] = {0xe6, 0x69, 0x82, 0x4a, 0x4f, 0xe2, 0xd0, 0x2d,
        0xb7, 0x06, 0x4b, 0x17, 0x11, 0x75, 0x2c, 0xe7},
                         hkdf[16] = {0xbc, 0xd7, 0x32, 0xdf, 0x16, 0x5e, 0x94, 0x18,
                             0xfa, 0x01, 0xbe, 0x2e, 0x6d, 0x76, 0xcc, 0x63};
    struct lisp_key key = {.id = 3, .alg = LISP_ALG_SHA256_128, .size = 6};
    memcpy(key.secret, "secret", 6);
    struct lisp_register m = {.type = LISP_MAP_REGISTER,
        .nonce = 9,
        .has_id = true,
        .site_id = 42,
        .n_records = 1,
        .want_notify = true};
    struct ip ip = ip_v4(0x0a010203);
    struct lisp_record rec = {.ttl_min = 3, .n_rlocs = 1};
    rec.eid = lisp_eid_ip(7, &ip);
    rec.rlocs[0].ip = ip_v4(0xc0000201);
    rec.rlocs[0].prio = 1;
    uint8_t b[256];
    for (int alg = LISP_ALG_SHA256_128; alg <= LISP_ALG_SHA256_128_HKDF; alg++) {
        key.alg = alg;
        size_t n = lisp_register_encode(&m, &rec, &key, dia, b, sizeof b);
        struct lisp_register back;
        bool covered;
        assert_int_equal(n, 16 + 16 + 28 + 12 + 24);
        assert_int_equal(lisp_register_decode(b, n, dia, &back), LISP_OK);
        assert_memory_equal(back.auth, alg == LISP_ALG_SHA256_128 ? plain : hkdf, 16);
        assert_true(lisp_register_verify(b, n, &back, &key, &covered) && covered);
        for (size_t i = 0; i < n; i++) {
            b[i] ^= 1;
            if (lisp_register_decode(b, n, dia, &back) == LISP_OK)
                assert_false(lisp_register_verify(b, n, &back, &key, &covered));
            b[i] ^= 1;
        }
        key.secret[0] ^= 1;
        assert_int_equal(lisp_register_decode(b, n, dia, &back), LISP_OK);
        assert_false(lisp_register_verify(b, n, &back, &key, &covered));
        key.secret[0] ^= 1;
        key.alg ^= 1; /* the other algorithm is not accepted in its place */
        assert_false(lisp_register_verify(b, n, &back, &key, &covered));
        key.alg ^= 1;

        /* signed as far as the last record only: accepted, and said so */
        struct lisp_register bare = m;
        uint8_t c[256];
        bare.has_id = false;
        size_t k = lisp_register_encode(&bare, &rec, &key, dia, c, sizeof c);
        assert_int_equal(k, n - 24);
        memcpy(b, c, 16);
        b[0] |= 2;
        c[0] |= 2;
        assert_true(lisp_register_sign(c, k, &key));
        memcpy(b + 16, c + 16, 16);
        assert_int_equal(lisp_register_decode(b, n, dia, &back), LISP_OK);
        assert_true(lisp_register_verify(b, n, &back, &key, &covered));
        assert_false(covered);
    }
}

static void
round_trip(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 11);
    for (int run = 0; run < 4000; run++) {
        struct lisp_dialect d = {rng_next(&r) & 0xffffff,
            rng_chance(&r, 500000) ? LISP_AFI_MAC : LISP_AFI_MAC48};
        struct lisp_record recs[3], got;
        uint8_t b[4096];
        struct lisp_key key = {.id = 1, .alg = 2 + rng_below(&r, 2), .size = 32};
        struct lisp_register m = {.type = LISP_MAP_REGISTER + rng_below(&r, 3),
            .nonce = rng_next(&r),
            .n_records = rng_below(&r, 4),
            .has_id = rng_chance(&r, 500000)};
        if (m.has_id)
            m.site_id = rng_next(&r);
        for (int i = 0; i < m.n_records; i++)
            recs[i] = gen_record(&r, false);
        size_t n = lisp_register_encode(&m, recs, &key, &d, b, sizeof b);
        struct lisp_register back;
        bool covered;
        assert_true(n > 0);
        assert_int_equal(lisp_register_decode(b, n, &d, &back), LISP_OK);
        assert_true(lisp_register_verify(b, n, &back, &key, &covered) && covered);
        assert_int_equal(back.nonce, m.nonce);
        assert_int_equal(back.site_id, m.site_id);
        for (int i = 0; i < m.n_records; i++) {
            assert_int_equal(lisp_record_get(&back.records, &d, &got), LISP_OK);
            assert_record_equal(&recs[i], &got);
            struct wr w = wr_of(b + 3000, 1096);
            lisp_record_put(&w, &d, &recs[i]);
            assert_false(w.err);
            assert_true(w.pos <= LISP_RECORD_MAX);
        }
        assert_int_equal(rd_left(&back.records), 0);

        struct lisp_request q = {.nonce = rng_next(&r),
                                .n_itrs = 1 + rng_below(&r, 4),
                                .n_eids = 1 + rng_below(&r, LISP_EIDS_MAX),
                                .smr = rng_chance(&r, 500000)},
                            q2;
        for (int i = 0; i < q.n_itrs; i++)
            q.itrs[i] = gen_ip(&r);
        for (int i = 0; i < q.n_eids; i++)
            q.eids[i] = gen_eid(&r, false);
        n = lisp_request_encode(&q, &d, b, sizeof b);
        assert_true(n > 0);
        assert_int_equal(lisp_request_decode(b, n, &q2), LISP_OK);
        assert_int_equal(q2.nonce, q.nonce);
        assert_int_equal(q2.smr, q.smr);
        for (int i = 0; i < q.n_itrs; i++)
            assert_true(ip_equal(&q.itrs[i], &q2.itrs[i]));
        for (int i = 0; i < q.n_eids; i++)
            assert_true(lisp_eid_equal(&q.eids[i], &q2.eids[i]));
        for (size_t i = 0; i < n; i++)
            assert_int_not_equal(lisp_request_decode(b, i, &q2), LISP_OK);
        b[n] = 0;
        assert_int_equal(lisp_request_decode(b, n + 1, &q2), LISP_ERR_TRAILING);
    }
}

static const struct {
    const char *hex;
    enum lisp_err err;
} strange_eids[] = {
  /* after the mask length: octets of an EID, and what becomes of it with mask 32 */
    {"0001 0a010203",                                 LISP_OK       },
    {"0001 0a0102",                                   LISP_ERR_SHORT},
    {"0002 00000000000000000000ffff0a010203",         LISP_ERR_EID  }, /* v4 in v6 clothes */
    {"0063 0a010203",                                 LISP_ERR_EID  }, /* unknown AFI */
    {"4003 0000 02 00 000a 00000001 0001 0a010203",   LISP_OK       },
    {"4003 0000 02 00 0009 00000001 0001 0a0102",     LISP_ERR_LCAF },
    {"4003 0000 02 00 000b 00000001 0001 0a01020300", LISP_ERR_LCAF },
    {"4003 0000 02 00 ffff 00000001 0001 0a010203",   LISP_ERR_SHORT},
    {"4003 0000 02 00 000a 01000000 0001 0a010203",
     LISP_OK                                                        }, /* beyond 24 bits: OTHER */
    {"4003 0000 05 00 0002 0000",                     LISP_OK       }, /* geo: OTHER */
    {"4003 0000 ff 00 0004 00123456",                 LISP_ERR_OUI  },
    {"4003 0000 02 00 0006 00000001 4003",            LISP_OK       }, /* nested: OTHER */
    {"40",                                            LISP_ERR_SHORT},
};

static void
eids(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof strange_eids / sizeof *strange_eids; i++) {
        uint8_t b[64];
        size_t n = 0;
        unsigned v;
        int used;
        for (const char *p = strange_eids[i].hex; sscanf(p, " %2x%n", &v, &used) == 1;
             p += used)
            b[n++] = v;
        struct rd r = rd_of(b, n);
        struct lisp_eid eid;
        assert_int_equal(lisp_eid_get(&r, 32, &eid), strange_eids[i].err);
        if (!strange_eids[i].err)
            assert_int_equal(rd_left(&r), 0);
    }
    uint8_t v4[] = {0, 1, 10, 1, 2, 3};
    struct lisp_eid eid;
    struct rd r = rd_of(v4, 6);
    assert_int_equal(lisp_eid_get(&r, 33, &eid), LISP_ERR_EID);
    r = rd_of(v4, 6);
    assert_int_equal(lisp_eid_get(&r, 9, &eid), LISP_OK);
    assert_int_equal(ip_to_v4(&eid.ip), 0x0a000000); /* host bits are cleared */
    r = rd_of(v4, 6);
    assert_int_equal(lisp_eid_get(&r, 0, &eid), LISP_OK);
    assert_true(ip_is_v4(&eid.ip) && ip_to_v4(&eid.ip) == 0);
}

static void
strange_locators(void **state)
{
    (void)state;
    /* a name, an unapproved LCAF, and more locators than are kept */
    uint8_t b[512];
    struct wr w = wr_of(b, sizeof b);
    wr_u32(&w, 3);
    wr_u8(&w, 7);
    wr_u8(&w, 32);
    wr_u32(&w, 0);
    wr_u16(&w, 1);
    wr_u32(&w, 0x0a010203);
    for (int i = 0; i < 7; i++) {
        wr_u32(&w, 0x01010101);
        wr_u16(&w, 1);
        if (i == 0) {
            wr_u16(&w, 17);
            wr_bytes(&w, "tor-1", 6);
        } else if (i == 1) {
            wr_u16(&w, LISP_AFI_LCAF);
            wr_bytes(&w, "\0\0\x10\0\0\x02\1\2", 8);
        } else {
            wr_u16(&w, 1);
            wr_u32(&w, i);
        }
    }
    struct rd r = rd_of(b, w.pos);
    struct lisp_record rec;
    assert_int_equal(lisp_record_get(&r, dia, &rec), LISP_OK);
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(rec.n_rlocs, LISP_RLOCS_MAX);
    assert_int_equal(rec.n_skipped, 3);
    assert_int_equal(ip_to_v4(&rec.rlocs[0].ip), 2);
    for (size_t i = 0; i < w.pos; i++) {
        r = rd_of(b, i);
        assert_int_not_equal(lisp_record_get(&r, dia, &rec), LISP_OK);
    }
}

/* Lies: each octet of each vector set to each extreme; nothing may go wrong in silence.
 */
static void
lies(void **state)
{
    (void)state;
    static const char *const names[] = {"request", "request_flags", "ecm_request",
        "reply_mac_b", "reply_negative", "register_mac48", "notify_ack"};
    for (size_t v = 0; v < sizeof names / sizeof *names; v++) {
        uint8_t b[256];
        size_t n = vector_read(names[v], b, sizeof b);
        for (size_t i = 0; i < n; i++)
            for (int k = 0; k < 4; k++) {
                static const uint8_t extremes[] = {0, 0xff, 0x80, 0x7f};
                uint8_t *c = malloc(n), keep = b[i];
                b[i] = extremes[k];
                memcpy(c, b, n);
                b[i] = keep;
                struct lisp_request q;
                struct lisp_reply p;
                struct lisp_register g;
                struct lisp_ecm e;
                lisp_request_decode(c, n, &q);
                lisp_ecm_decode(c, n, &e);
                if (lisp_reply_decode(c, n, dia, &p) == LISP_OK)
                    for (int j = 0; j < p.n_records; j++) {
                        struct lisp_record rec;
                        assert_int_equal(
                            lisp_record_get(&p.records, dia, &rec), LISP_OK);
                    }
                lisp_register_decode(c, n, dia, &g);
                free(c);
            }
        for (size_t i = 0; i < n; i++) {
            struct lisp_reply p;
            struct lisp_register g;
            assert_int_not_equal(lisp_reply_decode(b, i, dia, &p), LISP_OK);
            assert_int_not_equal(lisp_register_decode(b, i, dia, &g), LISP_OK);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(map_request),
        cmocka_unit_test(ecm), cmocka_unit_test(map_reply),
        cmocka_unit_test(map_register), cmocka_unit_test(known_answers),
        cmocka_unit_test(round_trip), cmocka_unit_test(eids),
        cmocka_unit_test(strange_locators), cmocka_unit_test(lies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
