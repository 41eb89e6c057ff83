/* SPDX-License-Identifier: Apache-2.0 */
/* Berth's own TLV: the octets of doc/protocol/berth-tlv.md, round trips, refusals. */
#include "test.h"
#include "base/rng.h"
#include "wire/berth_tlv.h"
#include "wire/cisco_tlv.h"
#include "wire/vdp.h"

static enum berth_tlv_result
decode(const void *bytes, size_t size, struct berth_tlv *tlv)
{
    return berth_tlv_decode(rd_of(bytes, size), tlv);
}
#define FIXED                                                                          \
    "\x01\x01\x05\x02\x00"                                                             \
    "\0\0\0\0\0\0\x01\x02"                                                             \
    "\x11\x22\x33\x44\x55\x66\x77\x88"
#define DECODE(s) decode(s, sizeof s - 1, &tlv)

/* The example of the document, octet by octet. */
static void
octets(void **state)
{
    (void)state;
    static const uint8_t want[] = {0xfe, 0x2f, 0x42, 0x45, 0x52, 0x01, 0x01, 0x05, 0x02,
        0x00, 0, 0, 0, 0, 0, 0, 0x01, 0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
        0x88, 0x02, 0x09, 0x00, 10, 1, 2, 3, 10, 1, 2, 4, 0x06, 0x04, 'b', 'l', 'u',
        'e', 0x08, 0x04, 192, 0, 2, 7};
    struct berth_tlv t = {.op = BERTH_OP_EMIGRATE,
        .phase = BERTH_PHASE_COMMIT,
        .epoch = 258,
        .migration = 0x1122334455667788,
        .n_ips = 2,
        .vn_name = "blue",
        .target = ip_v4(0xc0000207)};
    t.ips[0].ip = ip_v4(0x0a010203);
    t.ips[1].ip = ip_v4(0x0a010204);
    uint8_t bytes[600];
    struct wr w = wr_of(bytes, sizeof bytes);
    berth_tlv_encode(&w, BERTH_OUI, &t);
    assert_int_equal(w.pos, sizeof want);
    assert_memory_equal(bytes, want, sizeof want);
    char text[300];
    berth_tlv_print(&t, text, sizeof text);
    assert_string_equal(text, "berth emigrate/commit flags 00 epoch 258 migration "
                              "1122334455667788 ip 0:10.1.2.3 ip 0:10.1.2.4 vn blue "
                              "target 192.0.2.7");
}

static void
random_text(struct rng *rng, char *text, size_t size)
{
    size_t n = rng_below(rng, (uint32_t)size);
    memset(text, 0, size);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(' ' + rng_below(rng, 95));
}

static struct ip
random_ip(struct rng *rng)
{
    struct ip ip = ip_v4((uint32_t)rng_next(rng) | 1);
    if (rng_chance(rng, 500000)) {
        rng_bytes(rng, ip.b, sizeof ip.b);
        ip.b[0] = 0x20;
    }
    return ip;
}

static void
round_trip(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 127);
    int n_fit = 0;
    for (int run = 0; run < 20000; run++) {
        struct berth_tlv a, b;
        uint8_t proof[BERTH_PROOF_MAX];
        memset(&a, 0, sizeof a);
        a.op = (uint8_t)rng_below(&rng, BERTH_N_OPS);
        a.phase = (uint8_t)rng_below(&rng, BERTH_N_PHASES);
        a.flags = (uint8_t)rng_next(&rng);
        a.epoch = rng_next(&rng);
        a.migration = rng_next(&rng);
        a.n_ips =
            (uint8_t)rng_below(&rng, rng_chance(&rng, 100000) ? BERTH_IPS_MAX + 1 : 4);
        bool v4 = rng_chance(&rng, 500000); /* IPv4 come first on the wire */
        for (uint8_t i = 0; i < a.n_ips; i++) {
            do
                a.ips[i].ip = random_ip(&rng);
            while (ip_is_v4(&a.ips[i].ip) != v4);
            a.ips[i].entry = (uint8_t)rng_below(&rng, 3);
        }
        a.n_tags = (uint8_t)rng_below(&rng, BERTH_TAGS_MAX + 1);
        for (uint8_t i = 0; i < a.n_tags; i++)
            a.tags[i] =
                (struct berth_tag){(uint8_t)rng_next(&rng), (uint8_t)rng_below(&rng, 4),
                    (uint16_t)rng_next(&rng), (uint16_t)rng_next(&rng)};
        a.reason = (uint8_t)rng_below(&rng, BERTH_N_REASONS);
        if (a.reason)
            random_text(&rng, a.reason_text, sizeof a.reason_text);
        random_text(&rng, a.vn_name, sizeof a.vn_name);
        a.mtu = (uint16_t)rng_next(&rng);
        a.vni = rng_below(&rng, VNI_MAX + 1);
        if (rng_chance(&rng, 500000))
            a.target = random_ip(&rng);
        if (rng_chance(&rng, 500000))
            a.source = random_ip(&rng);
        a.proof_size = (uint16_t)rng_below(&rng, rng_chance(&rng, 200000) ? 401 : 9);
        rng_bytes(&rng, proof, sizeof proof);
        a.proof = proof;
        uint8_t bytes[600];
        struct wr w = wr_of(bytes, sizeof bytes);
        berth_tlv_encode(&w, BERTH_OUI, &a);
        if (w.err)
            continue; /* above 511 octets */
        n_fit++;
        struct rd r = rd_of(bytes, w.pos);
        struct vdp_org org;
        assert_true(vdp_org_next(&r, &org));
        assert_int_equal(org.oui, BERTH_OUI);
        assert_int_equal(berth_tlv_decode(org.body, &b), BERTH_TLV_GOOD);
        assert_int_equal(a.proof_size, b.proof_size);
        if (a.proof_size)
            assert_memory_equal(a.proof, b.proof, a.proof_size);
        assert_memory_equal(a.ips, b.ips, sizeof a.ips);
        a.proof = b.proof = NULL;
        assert_string_equal(a.vn_name, b.vn_name);
        assert_string_equal(a.reason_text, b.reason_text);
        assert_true(a.op == b.op && a.phase == b.phase && a.flags == b.flags &&
                    a.epoch == b.epoch && a.migration == b.migration &&
                    a.mtu == b.mtu && a.vni == b.vni && a.reason == b.reason && a.n_tags == b.n_tags);
        assert_true(ip_equal(&a.target, &b.target) && ip_equal(&a.source, &b.source));
        assert_memory_equal(a.tags, b.tags, sizeof a.tags);
        for (size_t n = 0; n < org.body.size; n += 1 + n / 8) { /* cut */
            uint8_t *p = malloc(n ? n : 1);
            memcpy(p, org.body.p, n);
            decode(p, n, &b);
            free(p);
        }
    }
    assert_true(n_fit > 15000);
}

static void
refusals(void **state)
{
    (void)state;
    struct berth_tlv tlv;
    assert_int_equal(DECODE(FIXED), BERTH_TLV_GOOD);
    assert_true(tlv.epoch == 258 && tlv.migration == 0x1122334455667788);
    assert_int_equal(DECODE(""), BERTH_TLV_SHORT);
    assert_int_equal(DECODE("\x01\x01\x05"), BERTH_TLV_SHORT);
    assert_int_equal(DECODE("\x02\x01"), BERTH_TLV_OTHER);
    assert_int_equal(DECODE("\x01\x02"), BERTH_TLV_VERSION);
    assert_int_equal(DECODE("\x01\x01\x0b\0\0"
                            "1234567812345678"),
        BERTH_TLV_VALUE);
    /* The last phase that is known, and the first that is not. */
    assert_int_equal(DECODE("\x01\x01\x05\x05\0"
                            "1234567812345678"),
        BERTH_TLV_GOOD);
    assert_int_equal(tlv.phase, BERTH_PHASE_HOLD);
    assert_int_equal(DECODE("\x01\x01\x05\x06\0"
                            "1234567812345678"),
        BERTH_TLV_VALUE);
    assert_int_equal(DECODE(FIXED "\x02"), BERTH_TLV_LENGTH);
    assert_int_equal(DECODE(FIXED "\x02\x05\0\x0a\x01"), BERTH_TLV_LENGTH);
    assert_int_equal(DECODE(FIXED "\x02\x06\0\x0a\x01\x02\x03\x04"), BERTH_TLV_LENGTH);
    assert_int_equal(DECODE(FIXED "\x02\x05\0\0\0\0\0"), BERTH_TLV_VALUE);
    assert_int_equal(DECODE(FIXED "\x0e\x02\0\0"), BERTH_TLV_VALUE);
    assert_int_equal(DECODE(FIXED "\x0e\x02\x05\xdc\x0e\x02\x05\xdc"), BERTH_TLV_VALUE);
    assert_int_equal(DECODE(FIXED "\x06\x02"
                                  "a\n"),
        BERTH_TLV_VALUE);
    assert_int_equal(DECODE(FIXED "\x08\x05"
                                  "12345"),
        BERTH_TLV_LENGTH);
    /* Unknown: skipped below 64, refused from there on. */
    assert_int_equal(DECODE(FIXED "\x7e\x01x"), BERTH_TLV_GOOD);
    assert_int_equal(tlv.n_unknown, 1);
    assert_int_equal(DECODE(FIXED "\x80\x01x"), BERTH_TLV_CRITICAL);
    assert_int_equal(DECODE(FIXED "\x0c\x01\xff"), BERTH_TLV_GOOD);
    assert_int_equal(tlv.reason, BERTH_REASON_OTHER);
    for (int i = 0; i <= BERTH_TLV_CRITICAL; i++)
        assert_string_not_equal(berth_tlv_result_str((enum berth_tlv_result)i), "?");
    for (uint8_t i = 0; i < BERTH_N_REASONS; i++)
        assert_non_null(berth_reason_str(i));
    assert_string_equal(berth_op_str(BERTH_N_OPS), "?");
    assert_string_equal(berth_phase_str(BERTH_PHASE_HOLD), "hold");
    assert_string_equal(berth_phase_str(BERTH_N_PHASES), "?");
}

static void
cisco(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 12);
    for (int run = 0; run < 5000; run++) {
        char name[100];
        struct cisco_tlv a = {.subtype =
                                  rng_chance(&rng, 500000) ? CISCO_VM : CISCO_ADDR},
                         b;
        a.vsi.format = a.vm.format = VSIID_UUID;
        rng_bytes(&rng, a.vsi.b, 16);
        rng_bytes(&rng, a.vm.b, 16);
        rng_bytes(&rng, name, sizeof name);
        a.name = name;
        a.name_size = (uint16_t)rng_below(&rng, 101);
        a.ip = random_ip(&rng);
        uint8_t bytes[600], again[600];
        struct wr w = wr_of(bytes, sizeof bytes), x = wr_of(again, sizeof again);
        cisco_tlv_encode(&w, &a);
        struct rd r = rd_of(bytes, w.pos);
        struct vdp_org org;
        assert_true(vdp_org_next(&r, &org) && org.oui == CISCO_OUI);
        assert_true(cisco_tlv_decode(org.body, &b));
        cisco_tlv_encode(&x, &b);
        assert_int_equal(w.pos, x.pos);
        assert_memory_equal(bytes, again, w.pos);
        char text[300];
        cisco_tlv_print(&b, text, sizeof text);
        for (size_t n = 0; n < org.body.size; n++) {
            uint8_t *p = malloc(n ? n : 1);
            memcpy(p, org.body.p, n);
            bool good = cisco_tlv_decode(rd_of(p, n), &b);
            assert_true(!good || a.subtype == CISCO_VM);
            free(p);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(octets),
        cmocka_unit_test(round_trip), cmocka_unit_test(refusals),
        cmocka_unit_test(cisco)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
