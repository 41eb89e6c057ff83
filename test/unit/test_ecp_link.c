/* SPDX-License-Identifier: Apache-2.0 */
/* Stop and wait: numbers, retransmission, acks, duplicates, the gap. */
#include "test.h"
#include "base/rng.h"
#include "proto/ecp_link.h"

static const struct mac us =
                            {
                                {2, 0, 0, 0, 2, 1}
},
                        peer = {{2, 0, 0, 0, 1, 1}};

static struct ecp_link *
open_link(uint64_t gap_us)
{
    struct ecp_link_conf c = {
        .self = us, .retries = 3, .rte_us = 2560, .gap_us = gap_us, .queue_max = 2};
    return ecp_link_new(&c, 0);
}

static size_t
from_peer(uint8_t *frame, uint8_t op, uint16_t seq, uint8_t body)
{
    struct wr w = wr_of(frame, ECP_FRAME_MAX);
    eth_encode(
        &w, &(struct eth){.dst = eth_mac_ncb, .src = peer, .type = ETH_TYPE_ECP});
    ecp_encode(&w, &(struct ecp){ECP_VERSION, op, ECP_VDP, seq});
    if (op == ECP_REQUEST)
        wr_u8(&w, body);
    return w.pos;
}

static enum ecp_link_in
take(struct ecp_link *l, uint8_t op, uint16_t seq, uint8_t body, uint64_t now)
{
    uint8_t frame[ECP_FRAME_MAX];
    const uint8_t *p;
    size_t n;
    enum ecp_link_in in =
        ecp_link_input(l, frame, from_peer(frame, op, seq, body), now, &p, &n);
    assert_int_equal(p != NULL, in == ECP_LINK_DELIVER);
    if (p)
        assert_true(n == 1 && p[0] == body);
    return in;
}

/* 0: nothing; else op and sequence of the frame that came out. */
static bool
give(struct ecp_link *l, uint64_t now, struct ecp *ecp)
{
    uint8_t frame[ECP_FRAME_MAX];
    size_t n = ecp_link_output(l, now, frame);
    if (n == 0)
        return false;
    struct rd r = rd_of(frame, n);
    struct eth eth;
    assert_true(n >= ETH_MIN_SIZE && eth_decode(&r, &eth) && ecp_decode(&r, ecp));
    assert_true(mac_equal(&eth.src, &us) && mac_equal(&eth.dst, &eth_mac_ncb));
    return true;
}

static void
retransmission(void **state)
{
    (void)state;
    struct ecp_link *l = open_link(10000);
    struct ecp e;
    assert_true(ecp_link_ready(l, 0));
    assert_int_equal(ecp_link_deadline(l), TIMER_NEVER);
    assert_true(ecp_link_send(l, (const uint8_t *)"a", 1, 0));
    assert_false(ecp_link_ready(l, 0));
    uint64_t now = 5;
    for (int i = 0; i < 4; i++) { /* R + 1 transmissions, each RTE */
        assert_true(give(l, now, &e));
        assert_true(e.op == ECP_REQUEST && e.seq == 1);
        assert_false(give(l, now, &e));
        assert_int_equal(ecp_link_deadline(l), now + 2560);
        now = ecp_link_deadline(l);
    }
    assert_false(give(l, now, &e));
    assert_int_equal(ecp_link_counters(l)->lost, 1);
    assert_int_equal(ecp_link_counters(l)->tx_again, 3);
    assert_int_equal(take(l, ECP_ACK, 1, 0, now), ECP_LINK_IGNORED); /* too late */
    assert_true(ecp_link_send(l, (const uint8_t *)"b", 1, now));
    assert_false(give(l, now, &e)); /* the gap counts from the last transmission */
    now += 10000 - 2560;
    assert_int_equal(ecp_link_deadline(l), now);
    assert_true(give(l, now, &e));
    assert_int_equal(e.seq, 2);
    assert_int_equal(take(l, ECP_ACK, 1, 0, now), ECP_LINK_IGNORED);
    assert_int_equal(take(l, ECP_ACK, 2, 0, now), ECP_LINK_ACKED);
    assert_int_equal(take(l, ECP_ACK, 2, 0, now), ECP_LINK_IGNORED);
    ecp_link_free(l);
}

static void
queue(void **state)
{
    (void)state;
    struct ecp_link *l = open_link(0);
    struct ecp e;
    uint8_t big[ECP_PAYLOAD_MAX + 1] = {0};
    assert_false(ecp_link_send(l, big, sizeof big, 0));
    for (int i = 0; i < 4; i++)
        assert_int_equal(ecp_link_send(l, big, sizeof big - 1, 0), i < 3);
    for (uint16_t seq = 1; seq <= 3; seq++) {
        assert_true(give(l, seq, &e));
        assert_int_equal(e.seq, seq);
        assert_false(give(l, seq, &e)); /* one outstanding */
        assert_int_equal(take(l, ECP_ACK, seq, 0, seq), ECP_LINK_ACKED);
    }
    assert_false(give(l, 4, &e));
    assert_true(ecp_link_ready(l, 4));
    /* 65535 is followed by 1 */
    for (uint32_t i = 4; i <= 65537; i++) {
        assert_true(ecp_link_send(l, big, 1, i));
        assert_true(give(l, i, &e));
        assert_int_equal(e.seq, i <= 65535 ? i : i - 65535);
        assert_int_equal(take(l, ECP_ACK, e.seq, 0, i), ECP_LINK_ACKED);
    }
    ecp_link_free(l);
}

static void
duplicates(void **state)
{
    (void)state;
    struct ecp_link *l = open_link(10000);
    struct ecp e;
    assert_int_equal(
        take(l, ECP_REQUEST, 700, 'x', 0), ECP_LINK_DELIVER); /* any first */
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(l, ECP_REQUEST, 700, 'x', 1), ECP_LINK_DUPLICATE);
    assert_int_equal(take(l, ECP_REQUEST, 701, 'x', 2), ECP_LINK_DELIVER);
    assert_int_equal(
        take(l, ECP_REQUEST, 700, 'x', 3), ECP_LINK_DUPLICATE); /* late copy */
    for (int i = 0; i < 6; i++) { /* all acked, in order, at once: no gap for acks */
        assert_int_equal(ecp_link_deadline(l), 0);
        assert_true(give(l, 3, &e));
        assert_true(e.op == ECP_ACK && e.seq == (i == 4 ? 701 : 700));
    }
    assert_false(give(l, 3, &e));
    /* A peer that started anew at a number seen: other content, or much later. */
    assert_int_equal(take(l, ECP_REQUEST, 701, 'y', 4), ECP_LINK_DELIVER);
    assert_int_equal(take(l, ECP_REQUEST, 701, 'y', 9000000), ECP_LINK_DELIVER);
    assert_int_equal(take(l, ECP_REQUEST, 701, 'y', 9000001), ECP_LINK_DUPLICATE);
    ecp_link_reset_peer(l);
    assert_int_equal(take(l, ECP_REQUEST, 701, 'y', 9000002), ECP_LINK_DELIVER);
    /* Acks that nobody pulls are bounded: then the peer's request is left alone. */
    int n = 0;
    while (take(l, ECP_REQUEST, (uint16_t)(1 + n), 'z', 9000003) == ECP_LINK_DELIVER)
        assert_true(++n < 100);
    ecp_link_free(l);
}

static void
refused(void **state)
{
    (void)state;
    struct ecp_link *l = open_link(0);
    struct rng rng;
    rng_seed(&rng, 5);
    uint8_t frame[ECP_FRAME_MAX];
    const uint8_t *p;
    size_t n, size = from_peer(frame, ECP_REQUEST, 1, 0);
    for (size_t cut = 0; cut < 18; cut++)
        assert_int_equal(ecp_link_input(l, frame, cut, 0, &p, &n), ECP_LINK_IGNORED);
    frame[14] = 0x18; /* operation 2 */
    assert_int_equal(ecp_link_input(l, frame, size, 0, &p, &n), ECP_LINK_IGNORED);
    frame[14] = 0x10, frame[15] = 2; /* PE-CSP */
    assert_int_equal(ecp_link_input(l, frame, size, 0, &p, &n), ECP_LINK_IGNORED);
    frame[15] = 1, frame[6] |= 1; /* from a group address */
    assert_int_equal(ecp_link_input(l, frame, size, 0, &p, &n), ECP_LINK_IGNORED);
    assert_int_equal(ecp_link_counters(l)->rx_refused, 21);
    for (int i = 0; i < 20000; i++) {
        rng_bytes(&rng, frame, 64);
        ecp_link_input(l, frame, rng_below(&rng, 65), 0, &p, &n);
    }
    ecp_link_free(l);
}

/* A neighbour that told hours for RTE by mistake, and the right time afterwards. */
static void
timers(void **state)
{
    (void)state;
    struct ecp_link *l = open_link(0);
    struct ecp ecp;
    ecp_link_set_timers(l, 3, UINT64_C(5000000000));
    assert_true(ecp_link_send(l, (const uint8_t *)"a", 1, 0));
    assert_true(give(l, 0, &ecp));
    assert_false(give(l, 10000, &ecp));
    ecp_link_set_timers(l, 3, 2560);
    assert_true(ecp_link_deadline(l) <= 10000);
    assert_true(give(l, 10000, &ecp));
    ecp_link_free(l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(retransmission),
        cmocka_unit_test(queue), cmocka_unit_test(duplicates),
        cmocka_unit_test(refused), cmocka_unit_test(timers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
