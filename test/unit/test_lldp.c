/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "base/rng.h"
#include "wire/berth_tlv.h"
#include "wire/lldp.h"

static void
random_id(struct rng *rng, struct lldp_id *id)
{
    memset(id, 0, sizeof *id);
    id->subtype = (uint8_t)rng_next(rng);
    id->size = (uint8_t)(1 + rng_below(rng, LLDP_ID_MAX));
    rng_bytes(rng, id->b, id->size);
}

static void
round_trip(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    for (int run = 0; run < 5000; run++) {
        struct lldp a, b;
        memset(&a, 0, sizeof a);
        random_id(&rng, &a.chassis);
        random_id(&rng, &a.port);
        a.ttl_s = (uint16_t)rng_next(&rng);
        a.has_evb = rng_chance(&rng, 500000);
        a.has_hello = rng_chance(&rng, 500000);
        if (a.has_evb) {
            struct lldp_evb_tlv *e = &a.evb;
            e->bridge = (uint8_t)rng_next(&rng);
            e->station = (uint8_t)rng_next(&rng);
            e->mode = (uint8_t)rng_below(&rng, 4);
            e->rol_rwd = rng_chance(&rng, 500000);
            e->rol_rka = rng_chance(&rng, 500000);
            e->timers = (struct evb_timers){(uint8_t)rng_below(&rng, 8),
                (uint8_t)rng_below(&rng, 32), (uint8_t)rng_below(&rng, 32),
                (uint8_t)rng_below(&rng, 32)};
        }
        if (a.has_hello)
            a.hello =
                (struct lldp_hello){(uint8_t)rng_next(&rng), (uint8_t)rng_next(&rng),
                    (uint16_t)rng_next(&rng), (uint32_t)rng_next(&rng)};
        a.end = true;
        uint8_t bytes[512], again[512];
        struct wr w = wr_of(bytes, sizeof bytes), x = wr_of(again, sizeof again);
        lldp_encode(&w, BERTH_OUI, &a);
        assert_false(w.err);
        struct rd r = rd_of(bytes, w.pos);
        assert_int_equal(lldp_decode(&r, BERTH_OUI, &b), LLDP_GOOD);
        assert_int_equal(a.has_evb, b.has_evb);
        assert_int_equal(a.has_hello, b.has_hello);
        assert_memory_equal(&a.hello, &b.hello, sizeof a.hello);
        lldp_encode(&x, BERTH_OUI, &b);
        assert_int_equal(x.pos, w.pos);
        assert_memory_equal(bytes, again, w.pos);
        char text[1024];
        lldp_print(&b, text, sizeof text);
        for (size_t n = 0; n < w.pos; n++) { /* cut at each octet */
            uint8_t *p = malloc(n ? n : 1);
            memcpy(p, bytes, n);
            r = rd_of(p, n);
            lldp_decode(&r, BERTH_OUI, &b);
            free(p);
        }
    }
}

static enum lldp_reason
decode(const char *bytes, size_t size, struct lldp *lldp)
{
    struct rd r = rd_of(bytes, size);
    return lldp_decode(&r, BERTH_OUI, lldp);
}
#define DECODE(s) decode(s, sizeof s - 1, &lldp)
#define HEAD                                                                           \
    "\x02\x02\x07"                                                                     \
    "A"                                                                                \
    "\x04\x02\x05"                                                                     \
    "p"

static void
rules(void **state)
{
    (void)state;
    struct lldp lldp;
    assert_int_equal(DECODE(""), LLDP_BAD_ORDER);
    assert_int_equal(DECODE("\0\0"), LLDP_BAD_ORDER);
    assert_int_equal(DECODE(HEAD), LLDP_BAD_ORDER);
    assert_int_equal(DECODE(HEAD "\x06\x02\0\x78"), LLDP_GOOD); /* End may be missing */
    assert_int_equal(lldp.ttl_s, 120);
    assert_false(lldp.end);
    assert_int_equal(DECODE(HEAD "\x06\x01\0"), LLDP_BAD_LENGTH);
    assert_int_equal(DECODE(HEAD "\x06\x02\0\x78\x06\x02\0\x78"), LLDP_BAD_TWO);
    assert_int_equal(DECODE(HEAD "\x06\x02\0\x78\x0a\x05xx"), LLDP_BAD_TRUNCATED);
    assert_int_equal(DECODE("\x04\x02\x05p\x02\x02\x07"
                            "A\x06\x02\0\x78"),
        LLDP_BAD_ORDER);
    assert_int_equal(
        DECODE("\x02\x01\x07\x04\x02\x05p\x06\x02\0\x78"), LLDP_BAD_LENGTH);
    /* A broken EVB TLV costs only itself; other TLVs are skipped. */
    assert_int_equal(DECODE(HEAD "\x06\x02\0\x78\xfe\x08\0\x80\xc2\x0d\x07\x0d\x68\x54"
                                 "\x0a\x03"
                                 "sys\xfe\x05\0\x12\x0f\x01\x01\xfe\x02\0\x80\0\0"),
        LLDP_GOOD);
    assert_false(lldp.has_evb);
    assert_int_equal(lldp.n_bad, 2);
    assert_int_equal(lldp.n_skipped, 2);
    assert_true(lldp.end);
    /* A longer hello is a later version's. */
    assert_int_equal(DECODE(HEAD "\x06\x02\0\x78\xfe\x0e"
                                 "BER\x02\x02\x01\0\0\0\0\0\x07xy"),
        LLDP_GOOD);
    assert_true(lldp.has_hello);
    assert_int_equal(lldp.hello.boot, 7);
    assert_int_equal(evb_exp_us(20), 10485760);
    assert_true(evb_exp_us(31) == 21474836480ull);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
