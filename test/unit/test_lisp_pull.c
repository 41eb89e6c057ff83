/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "lisp_gen.h"
#include "proto/lisp_pull.h"

#define SEC 1000000u
static const struct lisp_dialect *const dia = &lisp_dialect_default;

static struct lisp_pull *
pull_new(uint64_t max)
{
    struct lisp_pull_conf conf = {.port = 4342, .seed = 9};
    conf.self = ip_v4(0xc0000201);
    conf.server = ip_v4(0xc00002fe);
    conf.settings[LISP_PULL_MAX] = max;
    return lisp_pull_new(&conf, 0);
}

static struct lisp_pull_out
next(struct lisp_pull *p, uint8_t type)
{
    static struct lisp_pull_out out;
    assert_true(lisp_pull_output(p, &out));
    assert_int_equal(out.type, type);
    return out;
}

static void
none(struct lisp_pull *p)
{
    struct lisp_pull_out out;
    assert_false(lisp_pull_output(p, &out));
}

/* The Map-Request inside the next ECM. */
static struct lisp_request
question_out(struct lisp_pull *p)
{
    struct lisp_pull_out out = next(p, LISP_POUT_SEND);
    struct lisp_ecm e;
    struct lisp_request m;
    assert_int_equal(ip_to_v4(&out.to), 0xc00002fe);
    assert_int_equal(out.port, LISP_PORT);
    assert_int_equal(lisp_ecm_decode(out.bytes, out.size, &e), LISP_OK);
    assert_int_equal(e.sport, 4342);
    assert_int_equal(e.dport, LISP_PORT);
    assert_int_equal(lisp_request_decode(e.payload, e.size, &m), LISP_OK);
    assert_int_equal(ip_to_v4(&m.itrs[0]), 0xc0000201);
    return m;
}

static void
answer(struct lisp_pull *p, uint64_t nonce, const struct lisp_eid *eid, bool positive)
{
    struct ip from = ip_v4(0xc0000209);
    struct lisp_record rec;
    memset(&rec, 0, sizeof rec);
    rec.eid = *eid;
    rec.ttl_min = 15;
    rec.n_rlocs = positive;
    rec.rlocs[0].ip = from;
    struct lisp_reply m = {.nonce = nonce, .n_records = 1};
    uint8_t b[512];
    size_t n = lisp_reply_encode(&m, &rec, dia, b, sizeof b);
    lisp_pull_input(p, &from, 4342, b, n, 0);
}

static void
asks(void **state)
{
    (void)state;
    struct lisp_pull *p = pull_new(0);
    struct ip ip = ip_v4(0x0a010203);
    struct lisp_eid eid = lisp_eid_ip(7, &ip);
    uint64_t now = 5 * SEC;
    assert_int_equal(lisp_pull_request(p, &eid, now), LISP_PULL_ASKED);
    assert_int_equal(lisp_pull_request(p, &eid, now + 10), LISP_PULL_PENDING);
    struct lisp_request m = question_out(p);
    none(p);
    assert_true(lisp_eid_equal(&m.eids[0], &eid));

    answer(p, m.nonce + 1, &eid, true); /* not ours */
    none(p);
    struct ip other = ip_v4(0x0a010204);
    struct lisp_eid wrong = lisp_eid_ip(7, &other);
    answer(p, m.nonce, &wrong, true); /* right nonce, wrong EID */
    wrong = lisp_eid_ip(8, &ip);
    answer(p, m.nonce, &wrong, true); /* wrong VN */
    none(p);
    assert_int_equal(lisp_pull_counter(p, LISP_PC_STRAY), 3);

    answer(p, m.nonce, &eid, true);
    struct lisp_pull_out out = next(p, LISP_POUT_ANSWER);
    assert_true(lisp_eid_equal(&out.eid, &eid));
    assert_int_equal(out.record.n_rlocs, 1);
    none(p);
    answer(p, m.nonce, &eid, true); /* once only */
    none(p);

    /* one packet per second and key, whatever is asked */
    assert_int_equal(lisp_pull_request(p, &eid, now + 999999), LISP_PULL_LIMITED);
    assert_int_equal(lisp_pull_request(p, &eid, now + SEC), LISP_PULL_ASKED);
    struct lisp_request again = question_out(p);
    assert_true(again.nonce != m.nonce);
    wrong = eid;
    wrong.prefix_len = 24;
    wrong.ip = ip_v4(0x0a010200);
    answer(p, again.nonce, &wrong, false); /* a hole of 256 addresses covers ours */
    out = next(p, LISP_POUT_NEGATIVE);
    assert_true(lisp_eid_equal(&out.eid, &eid));
    assert_int_equal(out.record.eid.prefix_len, 24);
    lisp_pull_free(p);
}

/* Asked before the authority knew us (K8): the answer counts, and once more it is
 * asked. */
static void
asks_again(void **state)
{
    (void)state;
    struct lisp_pull *p = pull_new(0);
    struct ip ip = ip_v4(0x0a010203), other = ip_v4(0x0a010204);
    struct lisp_eid eid = lisp_eid_ip(7, &ip), done = lisp_eid_ip(7, &other);
    uint64_t now = 5 * SEC;
    lisp_pull_request(p, &done, now); /* answered before the session, one after it */
    struct lisp_request m = question_out(p);
    answer(p, m.nonce, &done, true);
    next(p, LISP_POUT_ANSWER);
    lisp_pull_request(p, &eid, now + 10);
    m = question_out(p);
    lisp_pull_again(p);
    assert_int_equal(lisp_pull_request(p, &done, now + 20), LISP_PULL_LIMITED);
    answer(p, m.nonce, &eid, true);
    next(p, LISP_POUT_ANSWER);
    none(p);
    lisp_pull_tick(p, now + SEC - 1); /* no sooner than a second after */
    none(p);
    lisp_pull_tick(p, now + SEC + 9);
    struct lisp_request first = question_out(p);
    assert_true(lisp_eid_equal(&first.eids[0], &done));
    none(p);
    lisp_pull_tick(p, now + SEC + 10);
    struct lisp_request second = question_out(p);
    assert_true(lisp_eid_equal(&second.eids[0], &eid));
    assert_true(second.nonce != m.nonce);
    answer(p, m.nonce, &eid, true); /* that was to the other question */
    none(p);
    answer(p, first.nonce, &done, true);
    next(p, LISP_POUT_ANSWER);
    answer(p, second.nonce, &eid, false);
    next(p, LISP_POUT_NEGATIVE);
    lisp_pull_tick(p, now + 3 * SEC);
    none(p); /* once */
    assert_int_equal(lisp_pull_deadline(p), TIMER_NEVER);
    lisp_pull_free(p);
}

static void
repeats(void **state)
{
    (void)state;
    struct lisp_pull *p = pull_new(0);
    struct mac mac = {
        {2, 0, 0, 0, 0, 1}
    };
    struct lisp_eid eid = lisp_eid_mac(7, &mac);
    uint64_t now = 0, last = 0, nonce;
    assert_int_equal(lisp_pull_request(p, &eid, now), LISP_PULL_ASKED);
    nonce = question_out(p).nonce;
    for (int i = 0; i < 3; i++) {
        now = lisp_pull_deadline(p);
        assert_true(now - last == (uint64_t)SEC << i);
        last = now;
        lisp_pull_tick(p, now - 1);
        none(p);
        lisp_pull_tick(p, now);
        assert_int_equal(question_out(p).nonce, nonce);
    }
    now = lisp_pull_deadline(p);
    lisp_pull_tick(p, now);
    struct lisp_pull_out out = next(p, LISP_POUT_TIMEOUT);
    assert_true(lisp_eid_equal(&out.eid, &eid));
    none(p);
    assert_int_equal(lisp_pull_deadline(p), TIMER_NEVER);
    assert_int_equal(lisp_pull_counter(p, LISP_PC_TIMEOUTS), 1);

    /* cancelled: no more packets, no timeout */
    assert_int_equal(lisp_pull_request(p, &eid, now), LISP_PULL_ASKED);
    question_out(p);
    lisp_pull_cancel(p, &eid);
    lisp_pull_tick(p, lisp_pull_deadline(p));
    none(p);
    assert_int_equal(lisp_pull_deadline(p), TIMER_NEVER);
    lisp_pull_free(p);
}

static void
bounded(void **state)
{
    (void)state;
    struct lisp_pull *p = pull_new(64);
    struct rng r;
    rng_seed(&r, 3);
    unsigned asked = 0, full = 0;
    for (int i = 0; i < 1000; i++) {
        struct lisp_eid eid = gen_eid(&r, true);
        enum lisp_pull_verdict v = lisp_pull_request(p, &eid, i);
        asked += v == LISP_PULL_ASKED;
        full += v == LISP_PULL_FULL;
        struct lisp_pull_out out;
        while (lisp_pull_output(p, &out))
            continue;
    }
    assert_int_equal(asked, 64);
    assert_int_equal(full, 936);
    for (uint64_t now = 0; now < 60; now++)
        lisp_pull_tick(p, now * SEC);
    unsigned timeouts = 0;
    struct lisp_pull_out out;
    while (lisp_pull_output(p, &out))
        timeouts += out.type == LISP_POUT_TIMEOUT;
    assert_int_equal(timeouts, 64);
    assert_int_equal(lisp_pull_deadline(p), TIMER_NEVER);
    lisp_pull_free(p);
}

/* Distributed mode: what the authority routes here is a question, and may wait. */
static void
answers(void **state)
{
    (void)state;
    struct lisp_pull *asker = pull_new(0), *owner = pull_new(0);
    struct ip ip = ip_v4(0x0a010203), from = ip_v4(0xc00002fe);
    struct lisp_eid eid = lisp_eid_ip(7, &ip);
    lisp_pull_request(asker, &eid, 0);
    struct lisp_pull_out out = next(asker, LISP_POUT_SEND);
    lisp_pull_input(owner, &from, 4342, out.bytes, out.size, 0);
    struct lisp_pull_question q = next(owner, LISP_POUT_QUESTION).question;
    none(owner);
    assert_true(lisp_eid_equal(&q.eid, &eid));
    assert_int_equal(ip_to_v4(&q.to), 0xc0000201);
    assert_int_equal(q.port, 4342);
    struct lisp_record rec;
    memset(&rec, 0, sizeof rec);
    rec.eid = eid;
    rec.ttl_min = 15;
    rec.authoritative = true;
    rec.n_rlocs = 1;
    rec.rlocs[0].ip = ip_v4(0xc0000209);
    rec.rlocs[0].has_mac = true;
    rec.rlocs[0].mac = (struct mac){
        {2, 0, 0, 0, 0, 0xb}
    };
    assert_true(lisp_pull_reply(owner, &q, &rec));
    out = next(owner, LISP_POUT_SEND);
    assert_int_equal(ip_to_v4(&out.to), 0xc0000201);
    from = ip_v4(0xc0000209);
    lisp_pull_input(asker, &from, 4342, out.bytes, out.size, 0);
    out = next(asker, LISP_POUT_ANSWER);
    assert_int_equal(out.record.rlocs[0].mac.b[5], 0x0b); /* <VNID, IP_B, MAC_B> */

    /* and negative */
    lisp_pull_request(asker, &eid, SEC);
    out = next(asker, LISP_POUT_SEND);
    lisp_pull_input(owner, &from, 4342, out.bytes, out.size, 0);
    q = next(owner, LISP_POUT_QUESTION).question;
    assert_true(lisp_pull_reply(owner, &q, NULL));
    out = next(owner, LISP_POUT_SEND);
    lisp_pull_input(asker, &from, 4342, out.bytes, out.size, 0);
    out = next(asker, LISP_POUT_NEGATIVE);
    assert_int_equal(out.record.ttl_min, 1);
    assert_int_equal(out.record.act, LISP_ACT_DROP);

    /* a probe is answered as one (RFC 9301 clause 7.1) */
    struct lisp_request probe = {.nonce = 5, .probe = true, .n_itrs = 1, .n_eids = 1};
    probe.itrs[0] = from;
    probe.eids[0] = eid;
    uint8_t b[256];
    size_t n = lisp_request_encode(&probe, dia, b, sizeof b);
    lisp_pull_input(owner, &from, 50001, b, n, 0);
    q = next(owner, LISP_POUT_QUESTION).question;
    assert_true(q.probe && q.port == 50001);
    assert_true(lisp_pull_reply(owner, &q, &rec));
    out = next(owner, LISP_POUT_SEND);
    struct lisp_reply m;
    assert_int_equal(lisp_reply_decode(out.bytes, out.size, dia, &m), LISP_OK);
    assert_true(m.probe && m.nonce == 5);
    lisp_pull_free(asker);
    lisp_pull_free(owner);
}

static void
smrs(void **state)
{
    (void)state;
    struct lisp_pull *a = pull_new(0), *b = pull_new(0);
    struct ip to = ip_v4(0xc0000202), from = ip_v4(0xc0000201), ip = ip_v4(1);
    struct lisp_eid eid = lisp_eid_ip(7, &ip), other = lisp_eid_ip(8, &ip);
    assert_true(lisp_pull_smr(a, &to, &eid, 0));
    assert_false(lisp_pull_smr(a, &to, &eid, 3 * SEC - 1));
    assert_true(lisp_pull_smr(a, &to, &other, 1));
    assert_true(lisp_pull_smr(a, &to, &eid, 3 * SEC));
    struct lisp_pull_out out = next(a, LISP_POUT_SEND);
    assert_true(ip_equal(&out.to, &to) && out.port == LISP_PORT);
    lisp_pull_input(b, &from, 4342, out.bytes, out.size, 0);
    out = next(b, LISP_POUT_SMR);
    assert_true(lisp_eid_equal(&out.eid, &eid) && ip_equal(&out.from, &from));
    none(b); /* nothing is sent by itself: who is told asks first (D5) */
    /* The question that follows says why; one without an SMR does not. */
    struct lisp_request m;
    struct lisp_ecm e;
    for (int i = 0; i < 2; i++) {
        lisp_pull_request(b, i ? &other : &eid, 0);
        struct lisp_pull_out q = next(b, LISP_POUT_SEND);
        assert_int_equal(lisp_ecm_decode(q.bytes, q.size, &e), LISP_OK);
        assert_int_equal(lisp_request_decode(e.payload, e.size, &m), LISP_OK);
        assert_int_equal(m.smr_invoked, !i);
        assert_false(m.smr);
    }
    assert_int_equal(lisp_pull_counter(b, LISP_PC_SMR_INVOKED), 1);
    /* In an ECM the sender is anybody. */
    uint8_t bare[256], ecm[512];
    struct lisp_request s = {.smr = true, .n_itrs = 1, .n_eids = 1};
    s.itrs[0] = from;
    s.source = s.eids[0] = eid;
    e = (struct lisp_ecm){
        .src = from, .dst = to, .sport = 4342, .dport = LISP_PORT, .payload = bare};
    e.size = lisp_request_encode(&s, dia, bare, sizeof bare);
    size_t n = lisp_ecm_encode(&e, ecm, sizeof ecm);
    assert_true(n > 0);
    lisp_pull_input(b, &from, 4342, ecm, n, 0);
    none(b);
    /* A flood: a second's worth is taken, then as many as the rate says. */
    unsigned taken = 0;
    for (uint64_t i = 0; i < 30000; i++) {
        lisp_pull_input(b, &from, 4342, bare, e.size, SEC + i * 100);
        while (lisp_pull_output(b, &out))
            taken += out.type == LISP_POUT_SMR;
    }
    assert_in_range(taken, 3900, 4001); /* 3 s at 1000 and one burst */
    assert_int_equal(lisp_pull_counter(b, LISP_PC_SMR_LIMITED), 30000 - taken);
    struct ip quiet = ip_v4(0xc0000203); /* and who does not flood us is heard */
    lisp_pull_input(b, &quiet, 4342, bare, e.size, 4 * SEC);
    next(b, LISP_POUT_SMR);
    lisp_pull_free(a);
    lisp_pull_free(b);
}

static void
junk(void **state)
{
    (void)state;
    struct lisp_pull *p = pull_new(0);
    struct ip from = ip_v4(1);
    struct rng r;
    rng_seed(&r, 8);
    struct lisp_pull_out out;
    for (int i = 0; i < 20000; i++) {
        uint8_t b[96];
        size_t n = rng_below(&r, sizeof b + 1);
        rng_bytes(&r, b, n);
        static const uint8_t types[] = {0x10, 0x20, 0x80, 0x40};
        if (n)
            b[0] = types[i % 4] | (b[0] & 15);
        lisp_pull_input(p, &from, 1, b, n, 0);
        while (lisp_pull_output(p, &out))
            assert_int_not_equal(out.type, LISP_POUT_ANSWER);
    }
    assert_true(lisp_pull_counter(p, LISP_PC_BAD) > 15000);
    for (unsigned i = 0; i < LISP_PC_N; i++)
        assert_string_not_equal(lisp_pull_counter_name(i), "?");
    lisp_pull_free(p);
    lisp_pull_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(asks),
        cmocka_unit_test(asks_again), cmocka_unit_test(repeats),
        cmocka_unit_test(bounded), cmocka_unit_test(answers), cmocka_unit_test(smrs),
        cmocka_unit_test(junk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
