/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's records: there and back, fixed octets, and no belief in damage. */
#include "test.h"

#include "base/rng.h"
#include "core/record.h"
#include "core/tag.h"

static void
draw(struct rng *r, struct record_attachment *a, struct record_entry *entries)
{
    *a = (struct record_attachment){.port = 1 + rng_below(r, DP_PORT_MAX - 1),
        .cookie = (uint32_t)rng_next(r),
        .state = (uint8_t)(1 + rng_below(r, ATT_N_STATES - 1)),
        .prev = (uint8_t)rng_below(r, ATT_N_STATES),
        .flags = (uint8_t)rng_next(r),
        .op = (uint8_t)rng_below(r, TNS_N_OPS),
        .epoch = rng_next(r),
        .migration_id = rng_next(r),
        .idle_us = rng_next(r),
        .n_entries = (uint16_t)rng_below(r, RECORD_ENTRIES_MAX + 1),
        .entries = entries};
    a->id.format = (uint8_t)(1 + rng_below(r, 5));
    rng_bytes(r, a->id.b, sizeof a->id.b);
    rng_bytes(r, a->profile.manager, sizeof a->profile.manager);
    a->profile.type_id = rng_below(r, 1 << 24);
    a->profile.version = (uint8_t)rng_next(r);
    for (uint16_t i = 0; i < a->n_entries; i++) {
        struct record_entry *n = &entries[i];
        *n = (struct record_entry){.vni = rng_below(r, VNI_MAX + 1),
            .vid = (uint16_t)rng_below(r, VID_MAX + 1),
            .flags = (uint8_t)rng_next(r),
            .pcp = (uint8_t)rng_below(r, 8),
            .low_trust = (uint8_t)rng_next(r),
            .n_ips = (uint8_t)rng_below(r, TNS_IPS_MAX + 1),
            .epoch = rng_next(r),
            .migration_id = rng_next(r)};
        rng_bytes(r, n->mac.b, sizeof n->mac.b);
        n->mac.b[0] &= 0xfe;
        rng_bytes(r, n->ips, n->n_ips * sizeof *n->ips);
        if (n->flags & RECORD_ENTRY_TARGET) {
            rng_bytes(r, n->target.b, sizeof n->target.b);
            n->target_epoch = rng_next(r);
            n->target_migration_id = rng_next(r);
        }
    }
}

static void
test_attachment_round_trip(void **state)
{
    (void)state;
    static struct record_entry one[RECORD_ENTRIES_MAX], two[RECORD_ENTRIES_MAX];
    static uint8_t bytes[RECORD_SIZE_MAX];
    struct rng r;
    rng_seed(&r, 7);
    for (int i = 0; i < 2000; i++) {
        struct record_attachment a, b = {.entries = two};
        struct record_fault f;
        draw(&r, &a, one);
        memset(two, 0, sizeof two);
        uint16_t size = record_attachment_encode(&a, bytes, sizeof bytes);
        if (size == 0)
            continue; /* 192 entries of 8 IPs are more than a record may be */
        assert_true(record_attachment_decode(&b, bytes, size, &f));
        assert_memory_equal(&a.id, &b.id, sizeof a.id);
        assert_int_equal(a.port, b.port);
        assert_int_equal(a.cookie, b.cookie);
        assert_int_equal(a.state, b.state);
        assert_int_equal(a.prev, b.prev);
        assert_int_equal(a.flags, b.flags);
        assert_int_equal(a.op, b.op);
        assert_true(a.epoch == b.epoch && a.migration_id == b.migration_id);
        assert_true(a.idle_us == b.idle_us);
        assert_int_equal(a.profile.type_id, b.profile.type_id);
        assert_memory_equal(a.profile.manager, b.profile.manager, 16);
        assert_int_equal(a.n_entries, b.n_entries);
        for (uint16_t k = 0; k < a.n_entries; k++) {
            assert_int_equal(one[k].vni, two[k].vni);
            assert_memory_equal(&one[k].mac, &two[k].mac, 6);
            assert_int_equal(one[k].vid, two[k].vid);
            assert_int_equal(one[k].flags, two[k].flags);
            assert_int_equal(one[k].low_trust, two[k].low_trust);
            assert_true(one[k].epoch == two[k].epoch);
            assert_int_equal(one[k].n_ips, two[k].n_ips);
            assert_memory_equal(
                one[k].ips, two[k].ips, one[k].n_ips * sizeof(struct ip));
            assert_true(ip_equal(&one[k].target, &two[k].target));
            assert_true(one[k].target_epoch == two[k].target_epoch);
            assert_true(one[k].target_migration_id == two[k].target_migration_id);
        }
        /* Any shorter record is refused, and says where. */
        for (int k = 0; k < 20; k++) {
            uint16_t cut = (uint16_t)rng_below(&r, size);
            assert_false(record_attachment_decode(&b, bytes, cut, &f));
            assert_non_null(f.what);
            assert_true(f.at <= cut);
        }
        assert_false(record_attachment_decode(&b, bytes, size + 1u, &f));
    }
}

static void
test_largest_fits(void **state)
{
    (void)state;
    static struct record_entry entries[RECORD_ENTRIES_MAX];
    static uint8_t bytes[RECORD_SIZE_MAX];
    struct record_attachment a = {.port = 1,
        .state = ATT_ASSOC,
        .entries = entries,
        .n_entries = TNS_ENTRIES_MAX + 128};
    assert_true(a.n_entries <= RECORD_ENTRIES_MAX);
    for (uint16_t i = 0; i < TNS_ENTRIES_MAX + 128; i++)
        entries[i] =
            (struct record_entry){.n_ips = TNS_IPS_MAX, .flags = RECORD_ENTRY_TARGET};
    assert_true(record_attachment_encode(&a, bytes, sizeof bytes) > 0);
}

static void
test_octets(void **state)
{
    (void)state;
    struct record_fault f;
    uint8_t p[128];
    static const uint8_t tag[] = {1, 0, 0, 0, 7, 0x0f, 0xfe, 1, 2, 3, TAG_DRAIN};
    struct record_tag t = {7, 0x010203, 4094, TAG_DRAIN}, t2;
    assert_int_equal(record_tag_encode(&t, p, sizeof p), sizeof tag);
    assert_memory_equal(p, tag, sizeof tag);
    assert_true(record_tag_decode(&t2, p, sizeof tag, &f));
    assert_true(t2.domain == 7 && t2.vni == 0x010203 && t2.vid == 4094);
    assert_int_equal(t2.state, TAG_DRAIN);
    static const uint8_t vn[] = {
        1, 0, 0, 5, 0, 0, 5, 0xaa, ARP_FLOOD, 1, 0, 3, 'r', 'e', 'd'};
    struct vn_rec v = {.vni = 5,
                      .mtu = 1450,
                      .arp = ARP_FLOOD,
                      .centralised = 1,
                      .name = "red"},
                  v2;
    assert_int_equal(record_vn_encode(&v, p, sizeof p), sizeof vn);
    assert_memory_equal(p, vn, sizeof vn);
    assert_true(record_vn_decode(&v2, p, sizeof vn, &f));
    assert_string_equal(v2.name, "red");
    for (size_t i = 0; i < sizeof vn; i++)
        assert_false(record_vn_decode(&v2, p, i, &f));
    p[0] = 2;
    assert_false(record_vn_decode(&v2, p, sizeof vn, &f));
    assert_string_equal(f.what, "version not known");
}

/* What an older program wrote is read as it was meant: there the flag said nothing. */
static void
test_first_version(void **state)
{
    (void)state;
    struct record_entry one = {.vni = 5, .flags = 1, .target_epoch = 9}, two[4];
    struct record_attachment a = {.port = 1,
                                 .state = ATT_EMIG,
                                 .n_entries = 1,
                                 .entries = &one},
                             b = {.entries = two};
    struct record_fault f;
    uint8_t p[512];
    uint16_t size = record_attachment_encode(&a, p, sizeof p);
    assert_int_equal(p[0], 1);
    assert_true(record_attachment_decode(&b, p, size, &f));
    one.flags |= RECORD_ENTRY_TARGET;
    uint16_t longer = record_attachment_encode(&a, p, sizeof p);
    assert_int_equal(longer, size + 32);
    assert_int_equal(p[0], 2);
    p[0] = 1;
    assert_false(record_attachment_decode(&b, p, longer, &f));
    assert_true(record_attachment_decode(&b, p, size, &f));
    assert_int_equal(two[0].flags, 1);
}

static void
test_damage(void **state)
{
    (void)state;
    static struct record_entry entries[RECORD_ENTRIES_MAX];
    static uint8_t bytes[RECORD_SIZE_MAX];
    struct rng r;
    rng_seed(&r, 9);
    for (int i = 0; i < 20000; i++) {
        struct record_attachment a = {.entries = entries};
        struct record_tag t;
        struct vn_rec v;
        struct record_fault f;
        size_t size = rng_below(&r, 400);
        rng_bytes(&r, bytes, size);
        if (size)
            bytes[0] = (uint8_t)(RECORD_VERSION + (i & 1));
        if (record_attachment_decode(&a, bytes, size, &f))
            assert_true(a.n_entries <= RECORD_ENTRIES_MAX && a.state < ATT_N_STATES);
        if (record_tag_decode(&t, bytes, size, &f))
            assert_true(t.vid <= VID_MAX);
        if (record_vn_decode(&v, bytes, size, &f))
            assert_true(memchr(v.name, 0, sizeof v.name) != NULL);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attachment_round_trip),
        cmocka_unit_test(test_largest_fits),
        cmocka_unit_test(test_octets),
        cmocka_unit_test(test_first_version),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
