/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "lisp_gen.h"
#include "wire/lisp_rt.h"

static const struct lisp_dialect *const dia = &lisp_dialect_default;

static void
frames(void **state)
{
    (void)state;
    uint8_t b[64];
    struct wr w = wr_of(b, sizeof b);
    size_t at = lisp_rt_frame_begin(&w, LISP_RT_SUBSCRIBE, 7);
    wr_u32(&w, 4096);
    lisp_rt_frame_end(&w, at);
    assert_false(w.err);
    static const uint8_t want[] = {
        0xfb, 0x0a, 0, 16, 0, 0, 0, 7, 0, 0, 0x10, 0, 0x9f, 0xac, 0xad, 0xe9};
    assert_int_equal(w.pos, sizeof want);
    assert_memory_equal(b, want, sizeof want);
    struct lisp_rt_frame f;
    for (size_t i = 0; i < w.pos; i++)
        assert_int_equal(lisp_rt_frame_get(b, i, &f), 0);
    assert_int_equal(lisp_rt_frame_get(b, w.pos, &f), 1);
    assert_int_equal(f.type, LISP_RT_SUBSCRIBE);
    assert_int_equal(f.id, 7);
    assert_int_equal(f.size, 4);
    assert_int_equal(f.whole, 16);
    b[15] ^= 1;
    assert_int_equal(lisp_rt_frame_get(b, w.pos, &f), -1);
    static const uint16_t bad_sizes[] = {0, 11, LISP_RT_FRAME_MAX + 1, 0xffff};
    for (int i = 0; i < 4; i++) {
        b[2] = bad_sizes[i] >> 8;
        b[3] = bad_sizes[i];
        assert_int_equal(lisp_rt_frame_get(b, 4, &f), -1);
    }
}

static void
table(void **state)
{
    (void)state;
    assert_int_equal(lisp_rt_check(LISP_RT_HELLO, 50, LISP_RT_NVE), LISP_OK);
    assert_int_equal(lisp_rt_check(LISP_RT_HELLO, 50, LISP_RT_NVA), LISP_ERR_TYPE);
    assert_int_equal(lisp_rt_check(LISP_RT_AUTH, 31, LISP_RT_NVE), LISP_ERR_SHORT);
    assert_int_equal(lisp_rt_check(LISP_RT_AUTH, 33, LISP_RT_NVE), LISP_ERR_TRAILING);
    assert_int_equal(lisp_rt_check(0x1234, 0, LISP_RT_NVE), LISP_ERR_TYPE);
    assert_int_equal(lisp_rt_check(LISP_RT_KEEPALIVE, 0, LISP_RT_NVA), LISP_OK);
    assert_string_equal(lisp_rt_type_str(LISP_RT_GRANT), "GRANT");
    assert_string_equal(lisp_rt_type_str(1), "?");
    for (int i = 0; i < LISP_RT_N_REASONS; i++)
        assert_non_null(lisp_rt_reason_str(i));
    assert_string_equal(lisp_rt_reason_str(255), "?");
}

static struct lisp_rt_hello
gen_hello(struct rng *r, bool with_vtep)
{
    struct lisp_rt_hello h = {.version = LISP_RT_VERSION};
    h.id_size = 1 + rng_below(r, LISP_RT_NAME);
    memset(h.id, 'a' + rng_below(r, 20), h.id_size);
    if (with_vtep)
        h.vtep = gen_ip(r);
    rng_bytes(r, h.nonce, sizeof h.nonce);
    return h;
}

#define BACK(put, get, m, got, ...)                                                    \
    do {                                                                               \
        struct wr w_ = wr_of(b, sizeof b);                                             \
        put;                                                                           \
        assert_false(w_.err);                                                          \
        size_t n_ = w_.pos;                                                            \
        struct rd r_ = rd_of(b, n_);                                                   \
        memset(&got, 0, sizeof got);                                                   \
        assert_int_equal(get, LISP_OK);                                                \
        assert_int_equal(rd_left(&r_), 0);                                             \
        for (size_t i_ = 0; i_ < n_; i_++) {                                           \
            r_ = rd_of(b, i_);                                                         \
            assert_int_not_equal(get, LISP_OK);                                        \
        }                                                                              \
        r_ = rd_of(b, n_);                                                             \
        assert_int_equal(get, LISP_OK);                                                \
    } while (0)

static void
round_trip(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 5);
    uint8_t b[2048];
    for (int run = 0; run < 300; run++) {
        bool flag = rng_chance(&r, 500000);
        struct lisp_rt_hello h = gen_hello(&r, flag), h2;
        BACK(
            lisp_rt_hello_put(&w_, flag, &h), lisp_rt_hello_get(&r_, flag, &h2), h, h2);
        assert_memory_equal(&h, &h2, sizeof h);

        struct lisp_rt_welcome wel = {rng_next(&r), rng_next(&r), 0, {0}}, wel2;
        rng_bytes(&r, wel.mac, sizeof wel.mac);
        BACK(
            lisp_rt_welcome_put(&w_, &wel), lisp_rt_welcome_get(&r_, &wel2), wel, wel2);
        assert_memory_equal(&wel, &wel2, sizeof wel);

        struct lisp_rt_entry e = {.ref = flag ? rng_next(&r) : 0,
                                 .flags = rng_next(&r)},
                             e2;
        e.record = gen_record(&r, true);
        BACK(lisp_rt_entry_put(&w_, dia, flag, &e),
            lisp_rt_entry_get(&r_, dia, flag, &e2), e, e2);
        assert_int_equal(e.ref, e2.ref);
        assert_int_equal(e.flags, e2.flags);
        assert_record_equal(&e.record, &e2.record);

        struct lisp_rt_withdraw wd = {rng_next(&r), rng_next(&r), gen_ip(&r),
                                    gen_eid(&r, true)},
                                wd2;
        BACK(lisp_rt_withdraw_put(&w_, dia, &wd), lisp_rt_withdraw_get(&r_, &wd2), wd,
            wd2);
        assert_memory_equal(&wd, &wd2, sizeof wd);

        struct lisp_rt_answer a = {.ref = rng_next(&r),
                                  .epoch = rng_next(&r),
                                  .migration_id = rng_next(&r)},
                              a2;
        if (flag) {
            a.reason = rng_below(&r, LISP_RT_N_REASONS);
            a.owner = gen_ip(&r);
        }
        BACK(lisp_rt_answer_put(&w_, flag, &a), lisp_rt_answer_get(&r_, flag, &a2), a,
            a2);
        assert_memory_equal(&a, &a2, sizeof a);

        struct lisp_rt_reserve res = {rng_next(&r), rng_next(&r), rng_next(&r),
                                   1 + rng_below(&r, VNI_MAX), gen_mac(&r),
                                   flag ? rng_next(&r) : 0},
                               res2;
        BACK(lisp_rt_reserve_put(&w_, flag, &res),
            lisp_rt_reserve_get(&r_, flag, &res2), res, res2);
        assert_true(res.ref == res2.ref && res.epoch == res2.epoch &&
                    res.vni == res2.vni && mac_equal(&res.mac, &res2.mac) &&
                    res.vsi == res2.vsi);

        struct lisp_rt_reserved told = {rng_next(&r), rng_next(&r),
                                    1 + rng_below(&r, VNI_MAX), gen_mac(&r),
                                    gen_ip(&r)},
                                told2;
        BACK(lisp_rt_reserved_put(&w_, &told), lisp_rt_reserved_get(&r_, &told2), told,
            told2);
        assert_true(told.epoch == told2.epoch &&
                    told.migration_id == told2.migration_id && told.vni == told2.vni &&
                    mac_equal(&told.mac, &told2.mac) &&
                    ip_equal(&told.target, &told2.target));

        struct lisp_rt_vn vn = {.ref = rng_next(&r), .vni = 1 + rng_below(&r, VNI_MAX)},
                          vn2;
        if (!flag) {
            vn.mtu = rng_next(&r);
            vn.arp_policy = rng_next(&r);
            vn.reply_mode = rng_next(&r);
            vn.flags = rng_next(&r);
        }
        vn.name_size = rng_below(&r, LISP_RT_NAME + 1);
        memset(vn.name, 'x', vn.name_size);
        BACK(lisp_rt_vn_put(&w_, flag, &vn), lisp_rt_vn_get(&r_, flag, &vn2), vn, vn2);
        assert_memory_equal(&vn, &vn2, sizeof vn);

        struct lisp_rt_member mem = {1 + rng_below(&r, VNI_MAX), flag, gen_ip(&r)},
                              mem2;
        BACK(lisp_rt_member_put(&w_, &mem), lisp_rt_member_get(&r_, &mem2), mem, mem2);
        assert_true(mem.vni == mem2.vni && mem.gone == mem2.gone &&
                    ip_equal(&mem.vtep, &mem2.vtep));

        struct lisp_rt_confirm c = {rng_next(&r), gen_eid(&r, true)}, c2;
        BACK(lisp_rt_confirm_put(&w_, dia, &c), lisp_rt_confirm_get(&r_, &c2), c, c2);
        assert_true(c.epoch == c2.epoch && lisp_eid_equal(&c.eid, &c2.eid));
    }
}

static void
refusals(void **state)
{
    (void)state;
    uint8_t b[256];
    struct rng r;
    rng_seed(&r, 6);
    struct lisp_rt_hello h = gen_hello(&r, true), back;
    h.id[0] = '\n';
    struct wr w = wr_of(b, sizeof b);
    lisp_rt_hello_put(&w, true, &h);
    struct rd rd = rd_of(b, w.pos);
    assert_int_equal(lisp_rt_hello_get(&rd, true, &back), LISP_ERR_UNSUPPORTED);
    b[1] = 64; /* longer than a name may be */
    rd = rd_of(b, sizeof b);
    assert_int_equal(lisp_rt_hello_get(&rd, true, &back), LISP_ERR_MANY);
    h.id[0] = 'n';
    h.vtep = (struct ip){{0}};
    w = wr_of(b, sizeof b);
    lisp_rt_hello_put(&w, true, &h);
    rd = rd_of(b, w.pos);
    assert_int_equal(lisp_rt_hello_get(&rd, true, &back), LISP_ERR_UNSUPPORTED);

    struct lisp_rt_entry e = {.flags = 0}, e2; /* a key outside any VN */
    struct ip ip = ip_v4(1);
    e.record.eid = lisp_eid_ip(0, &ip);
    w = wr_of(b, sizeof b);
    lisp_rt_entry_put(&w, dia, true, &e);
    rd = rd_of(b, w.pos);
    assert_int_equal(lisp_rt_entry_get(&rd, dia, true, &e2), LISP_ERR_EID);
    struct lisp_rt_vn vn = {.ref = 1}, vn2;
    w = wr_of(b, sizeof b);
    lisp_rt_vn_put(&w, true, &vn);
    rd = rd_of(b, w.pos);
    assert_int_equal(lisp_rt_vn_get(&rd, true, &vn2), LISP_ERR_EID);
}

static void
proofs(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    struct lisp_rt_hello nve = gen_hello(&r, true), nva = gen_hello(&r, false);
    uint8_t a[32], b[32], t1[16], t2[16];
    struct lisp_rt_keys k1, k2;
    lisp_rt_handshake_mac((const uint8_t *)"key", 3, LISP_RT_NVE, &nve, &nva, a);
    lisp_rt_handshake_mac((const uint8_t *)"key", 3, LISP_RT_NVA, &nve, &nva, b);
    assert_false(
        lisp_rt_equal(a, b, 32)); /* a proof cannot be sent back as the other's */
    lisp_rt_handshake_mac((const uint8_t *)"kez", 3, LISP_RT_NVE, &nve, &nva, b);
    assert_false(lisp_rt_equal(a, b, 32));
    nve.vtep.b[15] ^= 1;
    lisp_rt_handshake_mac((const uint8_t *)"key", 3, LISP_RT_NVE, &nve, &nva, b);
    assert_false(lisp_rt_equal(a, b, 32));
    nve.vtep.b[15] ^= 1;
    lisp_rt_handshake_mac((const uint8_t *)"key", 3, LISP_RT_NVE, &nve, &nva, b);
    assert_true(lisp_rt_equal(a, b, 32));
    lisp_rt_session_keys((const uint8_t *)"key", 3, &nve, &nva, &k1);
    nva.nonce[31] ^= 1;
    lisp_rt_session_keys((const uint8_t *)"key", 3, &nve, &nva, &k2);
    lisp_rt_tag(&k1.nve, 1, a, 32, t1);
    lisp_rt_tag(&k1.nve, 2, a, 32, t2);
    assert_false(lisp_rt_equal(t1, t2, 16));
    lisp_rt_tag(&k1.nve, 1, a, 32, t2); /* the key is as it was */
    assert_true(lisp_rt_equal(t1, t2, 16));
    lisp_rt_tag(&k1.nva, 1, a, 32, t2);
    assert_false(lisp_rt_equal(t1, t2, 16));
    lisp_rt_tag(&k2.nve, 1, a, 32, t2);
    assert_false(lisp_rt_equal(t1, t2, 16));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(frames),
        cmocka_unit_test(table), cmocka_unit_test(round_trip),
        cmocka_unit_test(refusals), cmocka_unit_test(proofs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
