/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "base/rng.h"
#include "wire/nd.h"

/* An NS as a Linux host sends it: fe80::1 asks for fe80::2. */
static struct nd
plain_ns(void)
{
    struct nd nd = {
        .type = ND_NS, .hop_limit = 255, .n_slla = 1, .slla = {{2, 0, 0, 0, 0, 1}}};
    assert_true(ip_parse("fe80::1", &nd.src));
    assert_true(ip_parse("fe80::2", &nd.target));
    nd.dst = nd_solicited_node(&nd.target);
    return nd;
}

static size_t
encode(const struct nd *nd, uint8_t bytes[256])
{
    struct wr w = wr_of(bytes, 256);
    nd_encode(&w, nd);
    assert_false(w.err);
    return w.pos;
}

static enum nd_reason
decode(const uint8_t *bytes, size_t n, struct nd *nd)
{
    uint8_t *p = malloc(n ? n : 1);
    memcpy(p, bytes, n);
    struct rd r = rd_of(p, n);
    enum nd_reason reason = nd_decode(&r, nd);
    free(p);
    return reason;
}

static void
round_trip(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 4861);
    for (int run = 0; run < 5000; run++) {
        struct nd a = {.type = rng_chance(&rng, 500000) ? ND_NS : ND_NA,
                      .hop_limit = 255},
                  b;
        rng_bytes(&rng, a.src.b, 16);
        rng_bytes(&rng, a.dst.b, 16);
        rng_bytes(&rng, a.target.b, 16);
        a.src.b[0] = a.dst.b[0] = a.target.b[0] = 0x20;
        if (a.type == ND_NA)
            a.flags = (uint8_t)rng_next(&rng);
        a.n_slla = rng_chance(&rng, 500000);
        a.n_tlla = rng_chance(&rng, 500000);
        if (a.n_slla)
            rng_bytes(&rng, a.slla.b, 6);
        if (a.n_tlla)
            rng_bytes(&rng, a.tlla.b, 6);
        uint8_t bytes[256];
        size_t n = encode(&a, bytes);
        assert_int_equal(decode(bytes, n, &b), ND_OK);
        assert_memory_equal(&a, &b, sizeof a);
        assert_int_equal(
            decode(bytes, n + 20, &b), ND_OK); /* Ethernet padding behind */
        for (size_t cut = 0; cut < n; cut++)
            assert_int_not_equal(decode(bytes, cut, &b), ND_OK);
        size_t at = 40 + rng_below(&rng, (uint32_t)n - 40);
        bytes[at] ^= 1;
        assert_int_not_equal(decode(bytes, n, &b), ND_OK);
    }
}

/* K14: only the plainest solicitation may be answered at the edge. */
static void
plain(void **state)
{
    (void)state;
    struct nd nd = plain_ns(), got;
    uint8_t bytes[256];
    size_t n = encode(&nd, bytes);
    assert_int_equal(n, 40 + 32);
    assert_true(bytes[42] == 0x7a && bytes[43] == 0x97); /* worked out elsewhere */
    assert_int_equal(decode(bytes, n, &got), ND_OK);
    assert_true(nd_is_plain_ns(&got) && !nd_is_dad(&got));
    char text[200];
    nd_print(&got, text, sizeof text);
    assert_string_equal(text, "nd ns fe80::1 > ff02::1:ff00:2 target fe80::2 slla "
                              "02:00:00:00:00:01 flags 00 hop 255");
    struct mac group = nd_multicast_mac(&nd.dst);
    assert_memory_equal(group.b, "\x33\x33\xff\x00\x00\x02", 6);
    nd.n_tlla = 1; /* another option */
    n = encode(&nd, bytes);
    assert_int_equal(decode(bytes, n, &got), ND_OK);
    assert_false(nd_is_plain_ns(&got));
    nd.n_slla = nd.n_tlla = 0;
    n = encode(&nd, bytes);
    assert_int_equal(decode(bytes, n, &got), ND_OK);
    assert_false(nd_is_plain_ns(&got));
    nd.hop_limit = 254; /* came through a router */
    n = encode(&nd, bytes);
    assert_int_equal(decode(bytes, n, &got), ND_INVALID);
    assert_false(nd_is_plain_ns(&got));
    nd = plain_ns();
    memset(&nd.src, 0, sizeof nd.src); /* DAD must not carry an address (7.1.1) */
    n = encode(&nd, bytes);
    assert_int_equal(decode(bytes, n, &got), ND_INVALID);
    nd.n_slla = 0;
    n = encode(&nd, bytes);
    assert_int_equal(decode(bytes, n, &got), ND_OK);
    assert_true(nd_is_dad(&got));
    nd.target.b[0] = 0xff;
    n = encode(&nd, bytes);
    assert_int_equal(decode(bytes, n, &got), ND_INVALID);
}

/* An extension header hides nothing, and is told. */
static void
extension(void **state)
{
    (void)state;
    struct nd nd = plain_ns(), got;
    uint8_t bytes[256], ext[256];
    size_t n = encode(&nd, bytes);
    memcpy(ext, bytes, 40);
    ext[5] += 8;
    ext[6] = 60; /* destination options, padded */
    memcpy(ext + 40, (const uint8_t[]){58, 0, 1, 4, 0, 0, 0, 0}, 8);
    memcpy(ext + 48, bytes + 40, n - 40);
    assert_int_equal(decode(ext, n + 8, &got), ND_OK);
    assert_true(got.ext_header && !nd_is_plain_ns(&got));
    ext[41] = 200;
    assert_int_equal(decode(ext, n + 8, &got), ND_SHORT);
    for (int next = 0; next <= 60; next += next == 0 ? 43 : 17) {
        uint8_t cut[40]; /* headers announced, and none there: an end, not a loop */
        memcpy(cut, bytes, sizeof cut);
        cut[4] = cut[5] = 0;
        cut[6] = (uint8_t)next;
        assert_int_equal(decode(cut, sizeof cut, &got), ND_SHORT);
    }
    bytes[6] = 17;
    assert_int_equal(decode(bytes, n, &got), ND_NOT_ND);
    bytes[6] = 58;
    bytes[0] = 0x45;
    assert_int_equal(decode(bytes, n, &got), ND_NOT_ND);
    nd.flags = 0xff;
    nd.type = ND_NA; /* solicited to a group is no answer (7.1.2) */
    n = encode(&nd, bytes);
    assert_int_equal(decode(bytes, n, &got), ND_INVALID);
    for (int i = ND_OK; i <= ND_INVALID; i++)
        assert_string_not_equal(nd_reason_str((enum nd_reason)i), "?");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip),
        cmocka_unit_test(plain), cmocka_unit_test(extension)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
