/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "base/rng.h"
#include "wire/eth.h"

static void
round_trip(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    static const uint16_t types[] = {0x0800, 0x86dd, 0x8940, 0x88cc, 0x05dc, 0};
    for (int run = 0; run < 5000; run++) {
        struct eth a, b;
        memset(&a, 0, sizeof a);
        rng_bytes(&rng, a.dst.b, 6);
        rng_bytes(&rng, a.src.b, 6);
        a.type = types[rng_below(&rng, 6)];
        a.n_tags = (uint8_t)rng_below(&rng, 3);
        for (uint8_t i = 0; i < a.n_tags; i++)
            a.tags[i] = (struct eth_tag){
                rng_chance(&rng, 500000) ? ETH_TYPE_VLAN : ETH_TYPE_QINQ,
                (uint16_t)rng_next(&rng)};
        uint8_t bytes[64];
        struct wr w = wr_of(bytes, sizeof bytes);
        eth_encode(&w, &a);
        assert_int_equal(w.pos, ETH_HEADER_SIZE + 4 * a.n_tags);
        for (size_t n = 0; n <= w.pos; n++) {
            struct rd r = rd_of(bytes, n);
            assert_int_equal(eth_decode(&r, &b), n == w.pos);
        }
        assert_memory_equal(&a, &b, sizeof a);
        eth_pad(&w);
        assert_int_equal(w.pos, ETH_MIN_SIZE);
    }
}

static void
tags(void **state)
{
    (void)state;
    static const uint8_t frame[] = {1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 1, 1, 0x88,
        0xa8, 0x00, 0x05, 0x81, 0x00, 0xb0, 0x64, 0x81, 0x00, 0, 7, 0x89, 0x40};
    struct rd r = rd_of(frame, sizeof frame);
    struct eth e;
    assert_true(eth_decode(&r, &e));
    assert_int_equal(e.n_tags, 2);
    assert_int_equal(eth_tci_vid(e.tags[1].tci), 100);
    assert_int_equal(eth_tci_pcp(e.tags[1].tci), 5);
    assert_int_equal(
        e.type, ETH_TYPE_VLAN); /* a third tag is not taken for a payload */
    assert_true(mac_equal(&e.dst, &eth_mac_ncb));
    assert_int_equal(eth_tci(100, 5), 0xa064);
    char text[120];
    int n = eth_print(&e, text, sizeof text);
    assert_int_equal(n, strlen(text));
    assert_string_equal(text,
        "02:00:00:00:01:01 > 01:80:c2:00:00:00 vid 5 pcp 0 vid 100 "
        "pcp 5 type 8100");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(tags)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
