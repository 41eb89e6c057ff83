/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "base/rng.h"
#include "wire/arp.h"

static void
round_trip(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 826);
    for (int run = 0; run < 5000; run++) {
        struct arp a = {.op = (uint16_t)rng_next(&rng),
                       .sender_ip = ip_v4((uint32_t)rng_next(&rng)),
                       .target_ip = ip_v4((uint32_t)rng_next(&rng))},
                   b;
        rng_bytes(&rng, a.sender_mac.b, 6);
        rng_bytes(&rng, a.target_mac.b, 6);
        uint8_t bytes[ARP_SIZE];
        struct wr w = wr_of(bytes, sizeof bytes);
        arp_encode(&w, &a);
        assert_true(!w.err && w.pos == ARP_SIZE);
        for (size_t n = 0; n <= ARP_SIZE; n++) {
            struct rd r = rd_of(bytes, n);
            assert_int_equal(arp_decode(&r, &b), n == ARP_SIZE);
        }
        assert_memory_equal(&a, &b, sizeof a);
        for (size_t i = 0; i < 6; i++) { /* another hardware, protocol or size */
            bytes[i] ^= 1;
            struct rd r = rd_of(bytes, ARP_SIZE);
            assert_false(arp_decode(&r, &b));
            bytes[i] ^= 1;
        }
    }
}

static void
kinds(void **state)
{
    (void)state;
    static const uint8_t request[ARP_SIZE] = {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1,
        10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2};
    struct rd r = rd_of(request, sizeof request);
    struct arp a;
    assert_true(arp_decode(&r, &a));
    assert_int_equal(a.op, ARP_REQUEST);
    assert_true(ip_to_v4(&a.target_ip) == 0x0a000002);
    assert_false(arp_is_probe(&a) || arp_is_announce(&a));
    char text[160];
    int n = arp_print(&a, text, sizeof text);
    assert_int_equal(n, strlen(text));
    assert_string_equal(text, "arp request 10.0.0.1 02:00:00:00:00:01 > 10.0.0.2 "
                              "00:00:00:00:00:00");
    a.target_ip = a.sender_ip;
    assert_true(arp_is_announce(&a) && !arp_is_probe(&a));
    a.sender_ip = ip_v4(0);
    assert_true(arp_is_probe(&a) && !arp_is_announce(&a));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(kinds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
