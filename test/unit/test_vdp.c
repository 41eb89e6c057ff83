/* SPDX-License-Identifier: Apache-2.0 */
/* VDP PDUs: 99 captured messages, round trips, and what a hostile sender can write. */
#include "test.h"
#include <ctype.h>
#include "base/rng.h"
#include "wire/cisco_tlv.h"
#include "wire/ecp.h"
#include "wire/eth.h"
#include "wire/lldp.h"
#include "wire/berth_tlv.h"
#include "wire/vdp.h"

/* ---- captured messages: decoded to the notation of messages.txt, and encoded again
 * ---- */

static int
show_vsi(const struct vdp_vsi *v, char *text, size_t size, int at)
{
    at = tlv_text(text, size, at, " | %s %02x %u %u %u ", vdp_type_str(v->type),
        v->status, v->type_id, v->type_version, v->id.format);
    for (int i = 0; i < 16; i++)
        at = tlv_text(text, size, at, "%02x", v->id.b[i]);
    at = tlv_text(text, size, at, " %u", v->filter_format);
    for (uint16_t i = 0; i < v->n_entries; i++) {
        struct vdp_entry e = vdp_entry_get(v->filter_format, v->filter, i);
        char mac[MAC_STR];
        at = tlv_text(text, size, at, " [%u %s %u %u %u]", e.group,
            mac_str(&e.mac, mac), e.ps, e.pcp, e.vid);
    }
    struct rd r = rd_of(v->org, v->org_size);
    struct vdp_org org;
    while (vdp_org_next(&r, &org)) {
        at = tlv_text(text, size, at, " | org %zu %06x%02x", org.body.size + 3, org.oui,
            org.body.p[0]);
        struct cisco_tlv c;
        assert_true(cisco_tlv_decode(org.body, &c));
        assert_true(vsiid_equal(&c.vsi, &v->id));
        uint8_t again[600];
        struct wr w = wr_of(again, sizeof again);
        cisco_tlv_encode(&w, &c);
        assert_false(w.err);
        assert_memory_equal(again + 5, org.body.p, org.body.size);
    }
    return at;
}

/* Writes what was found into text and the canonical frame into w. */
static void
show(const uint8_t *frame, size_t size, char *text, size_t text_size, struct wr *w)
{
    struct rd r = rd_of(frame, size);
    struct eth eth;
    assert_true(eth_decode(&r, &eth));
    assert_true(mac_equal(&eth.dst, &eth_mac_ncb));
    eth_encode(w, &eth);
    int at =
        tlv_text(text, text_size, 0, "%s", eth.src.b[4] == 1 ? "station" : "bridge");
    if (eth.type == ETH_TYPE_LLDP) {
        struct lldp lldp;
        assert_int_equal(lldp_decode(&r, BERTH_OUI, &lldp), LLDP_GOOD);
        lldp_encode(w, BERTH_OUI, &lldp);
        const struct lldp_evb_tlv *e = &lldp.evb;
        if (lldp.ttl_s == 0)
            tlv_text(text, text_size, at, " | bye");
        else
            tlv_text(text, text_size, at,
                " | evb %02x %02x r %u rte %u mode %u rwd %u %d rka %u %d", e->bridge,
                e->station, e->timers.retries, e->timers.rte, e->mode, e->timers.rwd,
                e->rol_rwd, e->timers.rka, e->rol_rka);
        return;
    }
    struct ecp ecp;
    assert_true(ecp_decode(&r, &ecp));
    assert_int_equal(ecp.version, ECP_VERSION);
    assert_int_equal(ecp.subtype, ECP_VDP);
    ecp_encode(w, &ecp);
    at = tlv_text(text, text_size, at, " | ecp %s %u", ecp.op ? "ack" : "req", ecp.seq);
    size_t n = rd_left(&r);
    struct vdp_pdu pdu;
    enum vdp_reason reason = vdp_decode(rd_ptr(&r, n), n, &pdu);
    if (ecp.op == ECP_ACK) {
        if (pdu.end)
            tlv_text(text, text_size, at, " | end");
        return;
    }
    assert_int_equal(reason, VDP_GOOD);
    assert_int_equal(pdu.n_bad + pdu.n_unknown + pdu.n_over + pdu.n_stray_org, 0);
    vdp_encode(w, &pdu);
    at = tlv_text(text, text_size, at, " | manager ");
    for (int i = 0; i < VDP_MGRID_SIZE; i++)
        at = tlv_text(text, text_size, at, "%02x", pdu.mgrid[i]);
    for (uint16_t i = 0; i < pdu.n_vsis; i++) {
        assert_int_equal(pdu.vsis[i].reason, VDP_GOOD);
        at = show_vsi(&pdu.vsis[i], text, text_size, at);
    }
    if (pdu.end)
        tlv_text(text, text_size, at, " | end");
}

static size_t
unhex(const char *hex, uint8_t *to)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        to[i] = (uint8_t)v;
    }
    return n;
}

static size_t
without_zeros(const uint8_t *p, size_t n)
{
    while (n && p[n - 1] == 0)
        n--;
    return n;
}

static void
captured_messages(void **state)
{
    (void)state;
    FILE *f = fopen(TEST_DATA "/vdp/messages.txt", "r");
    assert_non_null(f);
    char want[1024], hex[4096], got[1024];
    int n = 0;
    while (fgets(want, sizeof want, f)) {
        if (want[0] == '#')
            continue;
        assert_non_null(fgets(hex, sizeof hex, f));
        want[strcspn(want, "\n")] = hex[strcspn(hex, "\n")] = '\0';
        uint8_t frame[2048], again[2048];
        size_t size = unhex(hex, frame);
        struct wr w = wr_of(again, sizeof again);
        show(frame, size, got, sizeof got, &w);
        assert_string_equal(got, want);
        /* Ours has an End TLV always, and no padding: both are zeros at the end. */
        assert_false(w.err);
        size_t kept = without_zeros(frame, size);
        assert_int_equal(without_zeros(again, w.pos), kept);
        assert_memory_equal(again, frame, kept);
        n++;
    }
    fclose(f);
    assert_int_equal(n, 99);
}

/* ---- round trip ---- */

static void
random_vsi(struct rng *rng, struct vdp_vsi *v, uint8_t *filter, uint8_t *org)
{
    memset(v, 0, sizeof *v);
    v->type = (uint8_t)(VDP_PREASSOC + rng_below(rng, 4));
    v->status = (uint8_t)rng_next(rng);
    v->type_id = (uint32_t)rng_next(rng) & 0xffffff;
    v->type_version = (uint8_t)rng_next(rng);
    v->id.format = (uint8_t)(VSIID_IPV4 + rng_below(rng, 5));
    rng_bytes(rng, v->id.b, sizeof v->id.b);
    v->filter_format = (uint8_t)(VDP_FILTER_VID + rng_below(rng, 4));
    uint32_t max = rng_chance(rng, 100000) ? vdp_entries_max(v->filter_format) : 4;
    v->n_entries = (uint16_t)rng_below(rng, max + 1);
    for (uint16_t i = 0; i < v->n_entries; i++) {
        struct vdp_entry e = {.group = (uint32_t)rng_next(rng),
            .vid = (uint16_t)rng_below(rng, 4096),
            .pcp = (uint8_t)rng_below(rng, 8),
            .ps = rng_chance(rng, 500000)};
        rng_bytes(rng, e.mac.b, sizeof e.mac.b);
        vdp_entry_put(v->filter_format, filter, i, &e);
        struct vdp_entry back = vdp_entry_get(v->filter_format, filter, i);
        assert_int_equal(vdp_entry_tci(&back), vdp_entry_tci(&e));
    }
    v->filter = filter;
    if (rng_chance(rng, 300000)) {
        struct wr w = wr_of(org, 600);
        for (uint32_t k = rng_below(rng, 3) + 1; k; k--) {
            size_t at = tlv_begin(&w, VDP_ORG);
            wr_u24(&w, (uint32_t)rng_next(rng) & 0xffffff);
            for (uint32_t i = rng_below(rng, 60); i; i--)
                wr_u8(&w, (uint8_t)rng_next(rng));
            tlv_end(&w, at);
        }
        v->org = org;
        v->org_size = (uint16_t)w.pos;
    }
}

static void
round_trip(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 41);
    for (int run = 0; run < 5000; run++) {
        static uint8_t filters[8][512], orgs[8][600], bytes[8192], again[8192];
        struct vdp_pdu pdu = {.n_vsis = (uint16_t)rng_below(&rng, 8), .end = true},
                       back;
        rng_bytes(&rng, pdu.mgrid, sizeof pdu.mgrid);
        for (uint16_t i = 0; i < pdu.n_vsis; i++)
            random_vsi(&rng, &pdu.vsis[i], filters[i], orgs[i]);
        struct wr w = wr_of(bytes, sizeof bytes);
        vdp_encode(&w, &pdu);
        assert_false(w.err);
        size_t sum = 18 + 2;
        for (uint16_t i = 0; i < pdu.n_vsis; i++)
            sum += vdp_vsi_size(&pdu.vsis[i]);
        assert_int_equal(w.pos, sum);
        assert_int_equal(vdp_decode(bytes, w.pos, &back), VDP_GOOD);
        assert_int_equal(back.n_vsis, pdu.n_vsis);
        assert_true(back.end);
        for (uint16_t i = 0; i < pdu.n_vsis; i++) {
            const struct vdp_vsi *a = &pdu.vsis[i], *b = &back.vsis[i];
            assert_int_equal(b->reason, VDP_GOOD);
            assert_int_equal(a->type, b->type);
            assert_int_equal(a->status, b->status);
            assert_int_equal(a->type_id, b->type_id);
            assert_true(vsiid_equal(&a->id, &b->id));
            assert_int_equal(a->n_entries, b->n_entries);
            assert_int_equal(a->org_size, b->org_size);
            if (a->org_size)
                assert_memory_equal(a->org, b->org, a->org_size);
        }
        struct wr x = wr_of(again, sizeof again);
        vdp_encode(&x, &back);
        assert_int_equal(x.pos, w.pos);
        assert_memory_equal(again, bytes, w.pos);
    }
}

/* ---- malformed ---- */

#define MGRID "0a106d677231000000000000000000000000"
#define ID    "05112233445566778899aabbccddee0001"

static enum vdp_reason
decode_hex(const char *hex, struct vdp_pdu *pdu)
{
    static uint8_t bytes[2048];
    memset(bytes, 0xee, sizeof bytes);
    size_t n = unhex(hex, bytes);
    return vdp_decode(bytes, n, pdu);
}

static void
manager_rules(void **state)
{
    (void)state;
    struct vdp_pdu pdu;
    const char *vsi = "061b0000000504" ID "0100010064";
    char text[400];
    assert_int_equal(decode_hex("", &pdu), VDP_BAD_NO_MGRID);
    assert_int_equal(decode_hex("0000", &pdu), VDP_BAD_NO_MGRID);
    assert_int_equal(decode_hex(vsi, &pdu), VDP_BAD_NO_MGRID);
    snprintf(text, sizeof text, "%s" MGRID, vsi);
    assert_int_equal(decode_hex(text, &pdu), VDP_BAD_NO_MGRID);
    snprintf(text, sizeof text, MGRID "%s" MGRID, vsi);
    assert_int_equal(decode_hex(text, &pdu), VDP_BAD_TWO_MGRIDS);
    assert_int_equal(decode_hex("0a046d677231", &pdu), VDP_BAD_MGRID_LENGTH);
    assert_int_equal(decode_hex("0a116d67723100000000000000000000000000", &pdu),
        VDP_BAD_MGRID_LENGTH);
    assert_int_equal(decode_hex("0a106d6772", &pdu), VDP_BAD_MGRID_LENGTH);
    assert_int_equal(decode_hex(MGRID, &pdu), VDP_GOOD);
    snprintf(text, sizeof text, MGRID "%s", vsi);
    assert_int_equal(decode_hex(text, &pdu), VDP_GOOD);
    assert_int_equal(pdu.n_vsis, 1);
    assert_false(pdu.end);
}

/* A TLV with a readable identity is given with its reason; those behind it still count.
 */
static void
bad_vsis(void **state)
{
    (void)state;
    static const struct {
        const char *tlv;
        enum vdp_reason reason;
    } cases[] = {
        {"06160000000504" ID,                VDP_BAD_SHORT        },
        {"06170000000504" ID "01",           VDP_BAD_SHORT        },
        {"06180000000504" ID "0100",         VDP_BAD_SHORT        },
        {"061a0000000504" ID "01000100",     VDP_BAD_LENGTH       },
        {"061c0000000504" ID "010001006400", VDP_BAD_LENGTH       },
        {"061b0000000504" ID "0100020064",   VDP_BAD_LENGTH       },
        {"061b0000000504" ID "0200010064",   VDP_BAD_LENGTH       },
        {"061b0000000504" ID "0000010064",   VDP_BAD_FILTER_FORMAT},
        {"061b0000000504" ID "0500010064",   VDP_BAD_FILTER_FORMAT},
        {"061b0000000504"
         "00112233445566778899aabbccddee0001"
         "0100010064",              VDP_BAD_VSIID_FORMAT },
        {"061b0000000504"
         "06112233445566778899aabbccddee0001"
         "0100010064",              VDP_BAD_VSIID_FORMAT },
        {"061b0000000504" ID "01ffff0064",   VDP_BAD_OVERFLOW     },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct vdp_pdu pdu;
        char text[600];
        snprintf(text, sizeof text,
            MGRID "%s"
                  "081b0000000507" ID "0100010065"
                  "0000",
            cases[i].tlv);
        assert_int_equal(decode_hex(text, &pdu), VDP_GOOD);
        assert_true(pdu.n_vsis >= 1);
        assert_int_equal(pdu.vsis[0].reason, cases[i].reason);
        assert_int_equal(pdu.vsis[0].n_entries, 0);
        assert_int_equal(pdu.vsis[0].id.b[15], 1);
        if (cases[i].reason == VDP_BAD_OVERFLOW)
            continue;
        assert_int_equal(pdu.n_vsis, 2);
        assert_int_equal(pdu.vsis[1].reason, VDP_GOOD);
        assert_int_equal(pdu.vsis[1].type, VDP_DEASSOC);
        assert_int_equal(pdu.vsis[1].type_version, 7);
        assert_true(pdu.end);
    }
    /* Too short to say who it is: counted only, and what follows it is nobody else's.
     */
    struct vdp_pdu pdu;
    assert_int_equal(decode_hex(MGRID "061b0000000504" ID "0100010064"
                                      "fe0400000caa"
                                      "0601ee"
                                      "fe0400000cbb"
                                      "0000",
                         &pdu),
        VDP_GOOD);
    assert_int_equal(pdu.n_vsis, 1);
    assert_int_equal(pdu.vsis[0].org_size, 6);
    assert_int_equal(pdu.n_stray_org, 1);
    assert_int_equal(decode_hex(MGRID "0601ee"
                                      "0600"
                                      "0000",
                         &pdu),
        VDP_GOOD);
    assert_int_equal(pdu.n_vsis, 0);
    assert_int_equal(pdu.n_bad, 2);
    assert_int_equal(decode_hex(MGRID "6002aabb"
                                      "fe02aabb"
                                      "fe0300000c"
                                      "00",
                         &pdu),
        VDP_GOOD);
    assert_int_equal(pdu.n_unknown, 1);
    assert_int_equal(pdu.n_stray_org, 1);
    assert_int_equal(pdu.n_bad, 2);
}

/* lldpad writes the length modulo 512. The octets it wrote are not read as TLVs. */
static void
overflow(void **state)
{
    (void)state;
    for (uint16_t n = 61; n <= 120; n++) {
        uint8_t bytes[2048], filter[2048];
        for (uint16_t i = 0; i < n; i++)
            vdp_entry_put(VDP_FILTER_MAC, filter, i,
                &(struct vdp_entry){
                    .mac = {{2, 0, 0, 0, 8, (uint8_t)i}}, .vid = 27 << 2});
        struct wr w = wr_of(bytes, sizeof bytes);
        vdp_encode_mgrid(&w, (const uint8_t[16]){'m'});
        wr_u16(&w, (uint16_t)(VDP_ASSOC << 9 | ((25 + 8 * n) & 511)));
        wr_zero(&w, 5);
        wr_u8(&w, VSIID_UUID);
        wr_zero(&w, 15);
        wr_u8(&w, 7);
        wr_u8(&w, VDP_FILTER_MAC);
        wr_u16(&w, n);
        wr_bytes(&w, filter, 8u * n);
        struct vdp_vsi next = {
            .type = VDP_DEASSOC,
            .id = {.format = VSIID_UUID},
            .filter_format = 1,
            .n_entries = 1,
            .filter = (const uint8_t[2]){ 0,                 100}
        };
        vdp_encode_vsi(&w, &next);
        vdp_encode_end(&w);
        struct vdp_pdu pdu;
        assert_int_equal(vdp_decode(bytes, w.pos, &pdu), VDP_GOOD);
        assert_int_equal(pdu.n_vsis, 2);
        assert_int_equal(pdu.vsis[0].reason, VDP_BAD_OVERFLOW);
        assert_int_equal(pdu.vsis[0].id.b[15], 7);
        assert_int_equal(pdu.vsis[0].n_entries, 0);
        assert_int_equal(pdu.vsis[1].reason, VDP_GOOD);
        assert_int_equal(pdu.vsis[1].type, VDP_DEASSOC);
        assert_int_equal(pdu.n_bad + pdu.n_unknown, 0);
        assert_true(pdu.end);
    }
    struct wr w = wr_of((uint8_t[2048]){0}, 2048);
    struct vdp_vsi v = {.type = VDP_ASSOC,
        .filter_format = VDP_FILTER_MAC,
        .n_entries = 61,
        .filter = (uint8_t[488]){0}};
    vdp_encode_vsi(&w, &v);
    assert_true(w.err); /* and we never write one */
}

/* Truncated at each octet, in a block of that size, for the sanitizer to see. */
static void
truncated(void **state)
{
    (void)state;
    FILE *f = fopen(TEST_DATA "/vdp/messages.txt", "r");
    assert_non_null(f);
    char line[4096];
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#' || !isxdigit((unsigned char)line[0]) || line[0] == 'b')
            continue;
        line[strcspn(line, "\n")] = '\0';
        uint8_t frame[2048];
        size_t size = unhex(line, frame);
        for (size_t n = 0; n + 18 <= size; n++) {
            uint8_t *p = malloc(n ? n : 1);
            memcpy(p, frame + 18, n);
            struct vdp_pdu pdu;
            char text[512];
            vdp_decode(p, n, &pdu);
            vdp_print(&pdu, text, sizeof text);
            for (uint16_t i = 0; i < pdu.n_vsis; i++)
                assert_true(
                    pdu.vsis[i].reason == VDP_GOOD || pdu.vsis[i].n_entries == 0);
            free(p);
        }
    }
    fclose(f);
}

static void
many_vsis(void **state)
{
    (void)state;
    uint8_t bytes[8192];
    struct wr w = wr_of(bytes, sizeof bytes);
    vdp_encode_mgrid(&w, (const uint8_t[16]){1});
    struct vdp_vsi v = {
        .type = VDP_ASSOC, .id = {.format = VSIID_LOCAL}, .filter_format = 1};
    for (int i = 0; i < VDP_VSIS_MAX + 5; i++)
        vdp_encode_vsi(&w, &v);
    struct vdp_pdu pdu;
    vdp_decode(bytes, w.pos, &pdu);
    assert_int_equal(pdu.n_vsis, VDP_VSIS_MAX);
    assert_int_equal(pdu.n_over, 5);
}

static void
words(void **state)
{
    (void)state;
    struct vdp_pdu pdu;
    char text[400];
    decode_hex(MGRID "0625000000050411223344556677889900aabbccddeeff0011"
                     "0000",
        &pdu);
    decode_hex(MGRID "06250000000504" ID "04000100011171525400000004d258"
                     "0000",
        &pdu);
    vdp_print(&pdu, text, sizeof text);
    assert_non_null(strstr(text, "assoc status 00 type 5 version 4"));
    assert_non_null(
        strstr(text, "[group 70001 mac 52:54:00:00:00:04 vid 600 pcp 5] | end"));
    assert_int_equal(vdp_print(&pdu, NULL, 0), strlen(text));
    assert_string_equal(vdp_code_str(2), "insufficient resources");
    assert_string_equal(vdp_code_str(9), "unknown code");
    assert_string_equal(
        vdp_reason_str(VDP_BAD_MGRID_LENGTH), "VSI manager id is not of 16 octets");
    assert_int_equal(vdp_entries_max(1), 243);
    assert_int_equal(vdp_entries_max(2), 60);
    assert_int_equal(vdp_entries_max(3), 81);
    assert_int_equal(vdp_entries_max(4), 40);
    assert_int_equal(vdp_entries_max(5), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captured_messages),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(manager_rules),
        cmocka_unit_test(bad_vsis),
        cmocka_unit_test(overflow),
        cmocka_unit_test(truncated),
        cmocka_unit_test(many_vsis),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
