/* SPDX-License-Identifier: Apache-2.0 */
#include "edge_fake.h"

#include "base/rng.h"
#include "core/keytab.h"
#include "core/mapping_int.h"

enum { VN = 5000, ATT = 7 };

static int
setup(void **state)
{
    (void)state;
    fake_open(4096);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    fake_close();
    return 0;
}

static enum mapping_verdict
local_set(uint32_t n, uint32_t att, uint64_t epoch)
{
    struct ip ips[2] = {ip_v4(0xc0a80000u + n), ip6_n(n)};
    struct mapping_local l = {.vni = VN,
        .att = att,
        .port = 3,
        .vid = 100,
        .pcp = 5,
        .mac = mac_n(n),
        .n_ips = 2,
        .ips = ips,
        .epoch = epoch,
        .migration_id = epoch * 1000 + 1};
    enum mapping_verdict v = mapping_local_set(&F.e, &l, TICKET_ATT_DP, 99);
    if (v == MAPPING_ACCEPTED || v == MAPPING_SAME) {
        /* Exactly one ticket, and it is on the last operation. */
        uint32_t n_tickets = 0;
        for (uint32_t i = 0; i < F.n; i++)
            n_tickets += F.kind[i] == TICKET_ATT_DP;
        assert_int_equal(n_tickets, 1);
        assert_int_equal(F.kind[F.n - 1], TICKET_ATT_DP);
        assert_int_equal(F.ref[F.n - 1], 99);
    } else {
        assert_int_equal(F.n, 0);
    }
    fake_run();
    return v;
}

static enum mapping_verdict
remote_set(struct mapping_rec rec, uint64_t seq, uint32_t *att)
{
    enum mapping_verdict v = mapping_remote_set(&F.e, &rec, seq, att);
    fake_run();
    return v;
}

static enum mapping_verdict
remote_del(struct mapping_rec rec, uint64_t seq)
{
    enum mapping_verdict v = mapping_remote_del(&F.e, &rec, seq);
    fake_run();
    return v;
}

static int
fdb_kind(uint32_t n)
{
    struct mac mac = mac_n(n);
    const struct dp_op *op = fake_fdb(VN, &mac);
    return op ? op->u.fdb.kind : -1;
}

static bool
fdb_to(uint32_t n, int kind, uint8_t owner)
{
    struct mac mac = mac_n(n);
    struct ip vtep = ip_v4(0x0a000000u + owner);
    const struct dp_op *op = fake_fdb(VN, &mac);
    return op && op->u.fdb.kind == kind && ip_equal(&op->u.fdb.vtep, &vtep) &&
           fake_member(0, vtep);
}

static void
test_local(void **state)
{
    (void)state;
    struct mac mac = mac_n(1);
    struct ip v4 = ip_v4(0xc0a80001), v6 = ip6_n(1);
    struct mapping_rec rec;
    uint32_t att;
    assert_int_equal(local_set(1, ATT, 10), MAPPING_ACCEPTED);
    const struct dp_op *op = fake_fdb(VN, &mac);
    assert_int_equal(op->u.fdb.kind, FDB_LOCAL);
    assert_int_equal(op->u.fdb.port, 3);
    assert_int_equal(op->u.fdb.vid, 100);
    assert_int_equal(op->u.fdb.pcp, 5);
    assert_true(mac_equal(fake_neigh(VN, &v4), &mac));
    assert_true(mac_equal(fake_neigh(VN, &v6), &mac));
    assert_true(mapping_find(&F.e, VN, NULL, &v6, &rec, &att));
    assert_int_equal(att, ATT);
    assert_int_equal(rec.epoch, 10);
    assert_true(ip_equal(&rec.owner, &F.e.conf.vtep));
    assert_int_equal(local_set(1, ATT, 10), MAPPING_SAME);
    assert_int_equal(local_set(1, ATT, 9), MAPPING_STALE);
    assert_int_equal(
        local_set(1, ATT + 1, 10), MAPPING_ACCEPTED); /* F15: the other port */
    mapping_local_clear(&F.e, VN, &mac, ATT, true);   /* no longer its own */
    fake_run();
    assert_int_equal(fdb_kind(1), FDB_LOCAL);
    mapping_local_clear(&F.e, VN, &mac, ATT + 1, false);
    fake_run();
    assert_int_equal(fdb_kind(1), -1);
    assert_null(fake_neigh(VN, &v4));
    assert_int_equal(mapping_count(&F.e), 0);
}

/* E3, E4: newer wins, equal is heard from the owner only, withdrawals name (owner,
 * epoch). */
static void
test_verdicts(void **state)
{
    (void)state;
    uint32_t att;
    struct mapping_rec r5 = rec_n(VN, 1, 2, 5), other = rec_n(VN, 1, 3, 5);
    mapping_vn(&F.e, VN, true);
    assert_int_equal(remote_set(r5, 1, NULL), MAPPING_ACCEPTED);
    assert_true(fdb_to(1, FDB_REMOTE, 2));
    assert_int_equal(F.ack, 1);
    assert_int_equal(remote_set(r5, 2, NULL), MAPPING_SAME);
    assert_int_equal(F.ack, 2);
    assert_int_equal(remote_set(other, 3, NULL), MAPPING_CONFLICT);
    other.migration_id = r5.migration_id + 1;
    other.owner = r5.owner;
    assert_int_equal(remote_set(other, 4, NULL), MAPPING_SAME); /* his own, E6 */
    assert_int_equal(remote_set(rec_n(VN, 1, 3, 4), 5, NULL), MAPPING_STALE);
    assert_true(fdb_to(1, FDB_REMOTE, 2));
    assert_int_equal(remote_del(rec_n(VN, 1, 3, 5), 6), MAPPING_STALE);
    assert_int_equal(remote_del(rec_n(VN, 1, 2, 4), 7), MAPPING_STALE);
    assert_true(fdb_to(1, FDB_REMOTE, 2));
    assert_int_equal(remote_set(rec_n(VN, 1, 3, 6), 8, NULL), MAPPING_ACCEPTED);
    assert_true(fdb_to(1, FDB_REMOTE, 3));
    assert_false(fake_member(0, ip_v4(0x0a000002))); /* K11: nothing is left of it */
    assert_int_equal(local_set(1, ATT, 6), MAPPING_CONFLICT);
    assert_int_equal(local_set(1, ATT, 7), MAPPING_ACCEPTED);
    assert_int_equal(remote_set(rec_n(VN, 1, 3, 6), 9, NULL), MAPPING_STALE);
    assert_int_equal(remote_set(rec_n(VN, 1, 3, 7), 10, NULL), MAPPING_CONFLICT);
    assert_int_equal(
        remote_set(rec_n(VN, 1, 1, 9), 11, NULL), MAPPING_SAME); /* our own */
    assert_int_equal(remote_set(rec_n(VN, 1, 4, 8), 12, &att), MAPPING_TOOK_LOCAL);
    assert_int_equal(att, ATT);
    assert_true(
        fdb_to(1, FDB_RELAY, 4)); /* D1: it was ours, and a newer one is known */
    assert_int_equal(F.ack, 12);
    assert_int_equal(remote_del(rec_n(VN, 1, 4, 8), 13), MAPPING_ACCEPTED);
    assert_int_equal(fdb_kind(1), -1);
    struct mac mac = mac_n(1);
    assert_int_equal(mapping_epoch(&F.e, VN, &mac), 8);
    mapping_tomb_clear(&F.e, VN, &mac);
    assert_int_equal(mapping_count(&F.e), 0);
    /* What cannot be a mapping is refused but acknowledged. */
    struct mapping_rec bad = rec_n(VN, 1, 2, 5);
    bad.mac.b[0] = 1;
    assert_int_equal(remote_set(bad, 14, NULL), MAPPING_STALE);
    bad = rec_n(0, 1, 2, 5);
    assert_int_equal(remote_set(bad, 15, NULL), MAPPING_STALE);
    bad = rec_n(VN, 1, 2, 5);
    bad.owner = (struct ip){{0}};
    assert_int_equal(remote_set(bad, 16, NULL), MAPPING_STALE);
    assert_int_equal(F.ack, 16);
    assert_int_equal(mapping_count(&F.e), 0);
}

static void
test_tombstone(void **state)
{
    (void)state;
    struct mac mac = mac_n(1);
    local_set(1, ATT, 10);
    mapping_local_clear(&F.e, VN, &mac, ATT, true);
    fake_run();
    assert_int_equal(fdb_kind(1), -1); /* no newer owner known: dropped, not relayed */
    assert_int_equal(remote_set(rec_n(VN, 1, 2, 10), 1, NULL), MAPPING_STALE);
    assert_int_equal(remote_set(rec_n(VN, 1, 2, 11), 2, NULL), MAPPING_ACCEPTED);
    assert_true(fdb_to(1, FDB_RELAY, 2));
    mapping_tomb_clear(&F.e, VN, &mac); /* T_tomb */
    fake_run();
    assert_true(fdb_to(1, FDB_REMOTE, 2));
    /* Out of the journal: older than the known owner: relay; not older: nobody. */
    mapping_tomb_set(&F.e, VN, &mac, 9);
    fake_run();
    assert_true(fdb_to(1, FDB_RELAY, 2));
    mapping_tomb_set(&F.e, VN, &mac, 11);
    fake_run();
    assert_int_equal(fdb_kind(1), -1);
    /* The VM comes back: D4. */
    assert_int_equal(local_set(1, ATT, 12), MAPPING_ACCEPTED);
    assert_int_equal(fdb_kind(1), FDB_LOCAL);
    mapping_tomb_clear(&F.e, VN, &mac);
    fake_run();
    assert_int_equal(fdb_kind(1), FDB_LOCAL);
}

static void
test_addresses(void **state)
{
    (void)state;
    struct mac m1 = mac_n(1), m2 = mac_n(2), m3 = mac_n(3);
    struct ip a = ip_v4(0xc0a80001), b = ip_v4(0xc0a80099),
              ll = {
                  {0xfe, 0x80, [15] = 9}
    };
    mapping_vn(&F.e, VN, true);
    remote_set(rec_n(VN, 1, 2, 5), 1, NULL);
    /* The latest signalled claim holds the address; the other takes over when it goes.
     */
    struct mapping_rec r2 = rec_n(VN, 2, 3, 6);
    r2.ips[0] = a;
    remote_set(r2, 2, NULL);
    assert_true(mac_equal(fake_neigh(VN, &a), &m2));
    remote_set(rec_n(VN, 1, 2, 5), 3, NULL); /* a refresh is no new claim */
    assert_true(mac_equal(fake_neigh(VN, &a), &m2));
    remote_del(r2, 4);
    assert_true(mac_equal(fake_neigh(VN, &a), &m1));
    /* Snooped: refused where another was signalled with it, or this one with others. */
    local_set(3, ATT, 7);
    assert_false(mapping_learn_ip(&F.e, VN, &m3, &a));
    assert_false(mapping_learn_ip(&F.e, VN, &m3, &b));
    assert_true(mapping_learn_ip(&F.e, VN, &m3, &ll));
    assert_int_equal(F.e.counters[EDGEC_LEARN_REFUSED], 2);
    struct mapping_local l = {.vni = VN,
        .att = 8,
        .port = 3,
        .vid = 100,
        .mac = m2,
        .epoch = 8,
        .migration_id = 1};
    mapping_local_set(&F.e, &l, TICKET_ATT_DP, 1);
    assert_true(mapping_learn_ip(&F.e, VN, &m2, &b));
    assert_false(mapping_learn_ip(&F.e, VN, &m2, &b));
    struct ip bad[] = {{{0}}, ip_v4(0), ip_v4(0xe0000001), ip_v4(0xffffffff),
        ip_v4(0x7f000001), {{0xff, 2, [15] = 1}}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mapping_learn_ip(&F.e, VN, &m2, &bad[i]));
    for (uint32_t i = 0; i < 20; i++) {
        struct ip more = ip_v4(0xc0a80100 + i);
        assert_int_equal(mapping_learn_ip(&F.e, VN, &m2, &more), i < 7);
    }
    struct mapping_rec rec;
    assert_true(mapping_find(&F.e, VN, &m2, NULL, &rec, NULL));
    assert_int_equal(rec.n_ips, 8);
    assert_int_equal(rec.low_trust, 0xff);
    fake_run();
    /* Another snooped claim takes it over, a signalled one too and for good (K8). */
    struct mapping_local l4 = l;
    l4.mac = mac_n(4);
    mapping_local_set(&F.e, &l4, TICKET_ATT_DP, 1);
    assert_true(mapping_learn_ip(&F.e, VN, &l4.mac, &b));
    fake_run();
    assert_true(mac_equal(fake_neigh(VN, &b), &l4.mac));
    assert_true(mapping_learn_ip(&F.e, VN, &m2, &b)); /* its own event moves it (K1) */
    struct mapping_rec r5 = rec_n(VN, 5, 2, 5);
    r5.ips[0] = b;
    remote_set(r5, 5, NULL);
    assert_true(mac_equal(fake_neigh(VN, &b), &r5.mac));
    assert_false(mapping_learn_ip(&F.e, VN, &m2, &b));
    /* It is gone: one of the snooped claims takes over. */
    remote_del(r5, 6);
    assert_true(
        mac_equal(fake_neigh(VN, &b), &m2) || mac_equal(fake_neigh(VN, &b), &l4.mac));
}

static void
test_snapshot(void **state)
{
    (void)state;
    struct ip v2 = ip_v4(0x0a000002), v3 = ip_v4(0x0a000003);
    mapping_vn(&F.e, VN, true);
    assert_false(mapping_synced(&F.e));
    local_set(9, ATT, 3);
    for (uint32_t i = 1; i <= 4; i++)
        remote_set(rec_n(VN, i, 2, 5), i, NULL);
    remote_set(rec_n(VN, 5, 2, 5), 0, NULL); /* pulled */
    remote_set(rec_n(VN + 1, 6, 2, 5), 0, NULL);
    mapping_member(&F.e, VN, &v2, true, 5);
    mapping_member(&F.e, VN, &v3, true, 6);
    mapping_member(&F.e, VN, &F.e.conf.vtep, true, 7); /* never to ourselves */
    fake_run();
    assert_int_equal(F.ack, 7);
    assert_true(fake_member(VN, v3) && fake_member(VN, v2));
    assert_false(fake_member(VN, F.e.conf.vtep));
    mapping_snapshot(&F.e, VN, true, 8);
    mapping_member(&F.e, VN, &v2, true, 9);
    remote_set(rec_n(VN, 1, 2, 5), 10, NULL);
    remote_set(rec_n(VN, 3, 3, 6), 11, NULL);
    mapping_snapshot(&F.e, VN, false, 12);
    fake_run();
    assert_int_equal(F.ack, 12);
    assert_true(mapping_synced(&F.e));
    assert_true(fdb_to(1, FDB_REMOTE, 2) && fdb_to(3, FDB_REMOTE, 3));
    assert_int_equal(fdb_kind(2), -1);
    assert_int_equal(fdb_kind(4), -1);
    assert_true(fdb_to(5, FDB_REMOTE, 2)); /* pulled ones and local ones stay */
    assert_int_equal(fdb_kind(9), FDB_LOCAL);
    assert_true(fake_member(VN, v2) && !fake_member(VN, v3));
    mapping_vn(&F.e, VN, false);
    fake_run();
    assert_int_equal(mapping_count(&F.e), 2); /* the local one, and the other VN's */
    assert_false(fake_member(VN, v2));
}

/* K11: endpoints of all NVEs come as VN 0, and stay known as long as that list or a
 * mapping names them. */
static void
test_endpoints(void **state)
{
    (void)state;
    struct ip v2 = ip_v4(0x0a000002), v3 = ip_v4(0x0a000003);
    mapping_vn(&F.e, VN, true);
    mapping_snapshot(&F.e, 0, true, 1);
    mapping_member(&F.e, 0, &v2, true, 2);
    mapping_member(&F.e, 0, &v3, true, 3);
    mapping_snapshot(&F.e, 0, false, 4);
    fake_run();
    assert_int_equal(F.ack, 4);
    assert_false(mapping_synced(&F.e)); /* the VN's own list is still to come */
    assert_true(fake_member(0, v2) && fake_member(0, v3));
    remote_set(rec_n(VN, 1, 2, 5), 5, NULL);
    mapping_member(&F.e, VN, &v2, true, 6);
    struct mapping_rec gone = rec_n(VN, 1, 2, 5);
    mapping_remote_del(&F.e, &gone, 7);
    mapping_member(&F.e, VN, &v2, false, 8);
    fake_run();
    assert_true(fake_member(0, v2) && !fake_member(VN, v2));
    remote_set(rec_n(VN, 1, 2, 6), 9, NULL);
    mapping_member(&F.e, 0, &v2, false, 10);
    mapping_member(&F.e, 0, &v3, false, 11);
    fake_run();
    assert_true(fake_member(0, v2) && !fake_member(0, v3));
    mapping_member(&F.e, 0, &v2, true, 12);
    mapping_vn(&F.e, VN, false);
    fake_run();
    assert_true(fake_member(0, v2));
    /* A new session names it no more, at once or by its end. */
    mapping_session(&F.e, false);
    mapping_session(&F.e, true);
    fake_run();
    assert_true(fake_member(0, v2));
    mapping_snapshot(&F.e, 0, true, 21);
    mapping_member(&F.e, 0, &v3, true, 22);
    mapping_snapshot(&F.e, 0, false, 23);
    fake_run();
    assert_int_equal(F.ack, 23);
    assert_true(fake_member(0, v3) && !fake_member(0, v2));
    mapping_member(&F.e, 0, &v3, false, 24);
    fake_run();
    assert_int_equal(F.n_member, 0);
}

/* What we said ourselves is nobody's stale word. */
static void
test_echo(void **state)
{
    (void)state;
    struct ip self = F.e.conf.vtep;
    struct mapping_rec mine = rec_n(VN, 9, 1, 2), none = {.vni = VN};
    mine.owner = self;
    mapping_vn(&F.e, VN, true);
    local_set(9, ATT, 3);
    mapping_remote_set(&F.e, &mine, 1, NULL);
    mapping_remote_del(&F.e, &mine, 2);
    mapping_local_clear(&F.e, VN, &mine.mac, ATT, false);
    mapping_remote_set(&F.e, &mine, 3, NULL);
    mapping_remote_del(&F.e, &mine, 4);
    mapping_remote_del(&F.e, &none, 5); /* only to be acknowledged */
    fake_run();
    assert_int_equal(F.ack, 5);
    assert_int_equal(F.e.counters[EDGEC_STALE_MAPS], 0);
    local_set(9, ATT, 3);
    mapping_remote_set(&F.e,
        &(struct mapping_rec){
            .vni = VN, .mac = mine.mac, .owner = ip_v4(0x0a000002), .epoch = 1},
        6, NULL);
    assert_int_equal(F.e.counters[EDGEC_STALE_MAPS], 1);
}

static void
test_session_lost(void **state)
{
    (void)state;
    mapping_vn(&F.e, VN, true);
    mapping_session(&F.e, true);
    mapping_snapshot(&F.e, VN, true, 1);
    remote_set(rec_n(VN, 1, 2, 5), 2, NULL);
    remote_set(rec_n(VN, 2, 2, 5), 3, NULL);
    mapping_snapshot(&F.e, VN, false, 4);
    remote_set(rec_n(VN + 1, 3, 2, 5), 0, NULL);
    struct mac absent = mac_n(77);
    F.e.conf.settings[SET_NEG_US] = 100000000;
    mapping_negative(&F.e, VN, &absent, NULL, 0);
    fake_clear();
    assert_true(fake_neg(VN, &absent, NULL));
    mapping_session(&F.e, false);
    fake_run();
    assert_false(mapping_synced(&F.e));
    assert_true(fdb_to(1, FDB_REMOTE, 2)); /* K11: it still forwards */
    fake_time(F.e.now_us + 59000000);
    assert_true(fdb_to(1, FDB_REMOTE, 2));
    mapping_session(&F.e, true);
    fake_run();
    assert_int_equal(
        F.n_queries, 1); /* what was pulled is asked again, the denial dropped */
    assert_int_equal(F.last_query.u.query.vni, VN + 1);
    assert_false(fake_neg(VN, &absent, NULL));
    F.ack = 0;
    mapping_snapshot(&F.e, VN, true, 1);
    remote_set(rec_n(VN, 1, 2, 5), 2, NULL);
    remote_set(rec_n(VN + 1, 3, 2, 5), 0, NULL);
    mapping_snapshot(&F.e, VN, false, 3);
    fake_run();
    assert_int_equal(F.ack, 3);
    fake_time(F.e.now_us + 61000000);
    assert_true(fdb_to(1, FDB_REMOTE, 2));
    assert_int_equal(fdb_kind(2), -1);
    assert_int_equal(mapping_count(&F.e), 2);
    mapping_session(&F.e, false);
    fake_time(F.e.now_us + 61000000);
    assert_int_equal(mapping_count(&F.e), 0);
    assert_int_equal(F.n_member, 0);
}

static void
test_negative(void **state)
{
    (void)state;
    struct mac m = mac_n(1);
    struct ip ip = ip_v4(0xc0a80001);
    mapping_negative(&F.e, VN, &m, NULL, 5000000);
    mapping_negative(&F.e, VN, NULL, &ip, 0);
    mapping_negative(&F.e, VN, NULL, NULL, 0); /* nothing */
    fake_run();
    assert_true(fake_neg(VN, &m, NULL) && fake_neg(VN, NULL, &ip));
    assert_int_equal(F.n_neg, 2);
    remote_set(rec_n(VN, 1, 2, 5), 0, NULL); /* a positive answer ends them */
    assert_int_equal(F.n_neg, 0);
    mapping_negative(&F.e, VN, NULL, &ip, 0); /* pulled knowledge: the address alone */
    fake_run();
    assert_null(fake_neigh(VN, &ip));
    assert_int_equal(fdb_kind(1), FDB_REMOTE);
    mapping_negative(&F.e, VN, &m, NULL, 0);
    fake_run();
    assert_int_equal(fdb_kind(1), -1);
    local_set(1, ATT, 9);
    assert_int_equal(F.n_neg, 0);
    mapping_negative(&F.e, VN, &m, NULL, 0); /* we know better */
    fake_run();
    assert_int_equal(F.n_neg, 0);
    for (uint32_t i = 0; i < 20000; i++) { /* bounded */
        struct mac x = mac_n(i + 100);
        mapping_negative(&F.e, VN + 1, &x, NULL, 0);
        F.n = 0;
    }
    assert_int_equal(F.e.counters[EDGEC_NEGATIVES], 4 + 16384);
    fake_time(F.e.now_us + 20000000);
}

/* Acknowledged only after the operations are done, in order, across failures (K5). */
static void
test_acknowledgement(void **state)
{
    (void)state;
    mapping_vn(&F.e, VN, true);
    F.stall = true;
    remote_set(rec_n(VN, 1, 2, 5), 1, NULL);
    remote_set(rec_n(VN, 2, 2, 5), 2, NULL);
    remote_set(rec_n(VN, 2, 2, 5), 3, NULL); /* causes nothing, waits all the same */
    assert_int_equal(F.ack, 0);
    for (uint32_t i = F.n_stalled; i-- > 1;)
        mapping_done(&F.e, F.stalled[i], 0);
    fake_run();
    assert_int_equal(F.ack, 0);
    mapping_done(&F.e, F.stalled[0], 0);
    fake_run();
    assert_int_equal(F.ack, 3);
    assert_int_equal(F.n_acks, 1);
    F.stall = false;
    F.n_stalled = 0;
    F.fail = 1;
    remote_set(rec_n(VN, 3, 2, 5), 4, NULL);
    remote_set(rec_n(VN, 4, 2, 5), 5, NULL);
    assert_int_equal(F.ack, 3);
    fake_time(F.e.now_us + 1000000); /* said again */
    assert_int_equal(F.ack, 5);
    assert_true(fdb_to(3, FDB_REMOTE, 2));
    F.fail = 1000000;
    remote_set(rec_n(VN, 5, 2, 5), 6, NULL);
    for (int i = 0; i < 3; i++) {
        fake_time(F.e.now_us + 1000000);
        assert_int_equal(F.ack, i < 2 ? 5 : 6); /* in the end it goes on */
    }
    F.fail = 0;
    /* The session breaks while operations are under way: no acknowledgement for them.
     */
    F.stall = true;
    F.ack = 0;
    remote_set(rec_n(VN, 6, 2, 5), 7, NULL);
    mapping_session(&F.e, false);
    mapping_session(&F.e, true);
    remote_set(rec_n(VN, 7, 2, 5), 1, NULL);
    for (uint32_t i = 0; i < F.n_stalled; i++)
        mapping_done(&F.e, F.stalled[i], 0);
    F.stall = false;
    F.n_stalled = 0;
    fake_run();
    assert_int_equal(F.ack, 1);
}

/* A VN that is pulled: its members are awaited, and taken before anybody stands in it.
 */
static void
test_watch(void **state)
{
    struct ip far = ip_v4(0x0a000002);
    (void)state;
    mapping_session(&F.e, true);
    assert_true(mapping_synced(&F.e));
    mapping_vn_watch(&F.e, VN);
    mapping_vn_watch(&F.e, VN);
    assert_false(mapping_synced(&F.e));
    mapping_snapshot(&F.e, VN, true, 1);
    mapping_member(&F.e, VN, &far, true, 2);
    mapping_snapshot(&F.e, VN, false, 3);
    fake_run();
    assert_true(fake_member(VN, far));
    assert_true(mapping_synced(&F.e));
    assert_int_equal(F.ack, 3);
    mapping_session(&F.e, false);
    assert_false(mapping_synced(&F.e));
    mapping_vn(&F.e, VN, true); /* pulled no more */
    assert_false(mapping_synced(&F.e));
    mapping_vn(&F.e, VN, false);
    assert_true(mapping_synced(&F.e));
}

/* Plain VDP (K8): any address that was denied may be that of the VM that came. */
static void
test_negative_ends_with_a_vm_without_addresses(void **state)
{
    struct mac none = {{0}};
    struct ip ip = ip_v4(0x0a000001), other = ip_v4(0x0a000002);
    struct mapping_rec r = rec_n(VN, 1, 2, 5);
    (void)state;
    mapping_vn(&F.e, VN, true);
    mapping_negative(&F.e, VN, &none, &ip, 0);
    mapping_negative(&F.e, VN + 1, &none, &other, 0);
    fake_run();
    assert_int_equal(F.e.map->negs.pool.n, 2);
    r.n_ips = 0;
    mapping_remote_set(&F.e, &r, 1, NULL);
    assert_int_equal(F.e.map->negs.pool.n, 1);
    fake_run();
}

static void
test_push_flood(void **state)
{
    (void)state;
    mapping_vn(&F.e, VN, true);
    F.stall = true;
    for (uint32_t i = 1; i <= 70000; i++) {
        struct mapping_rec r = rec_n(VN, 1, 2, i);
        r.n_ips = 0;
        mapping_remote_set(&F.e, &r, i, NULL);
        F.stalled[0] = F.ref[0];
        if (i > 65536) /* more than fit are acknowledged with the last one */
            mapping_done(&F.e, F.ref[F.n - 1], 0);
        else
            F.ref[0] = 0;
        F.n = 0;
    }
    assert_int_equal(F.ack, 0);
}

/* Many keys, NVEs and epochs, in any order with duplicates: the highest epoch owns
 * (E3), whatever was local, and the data plane says what the table says. */
static void
test_property_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng rng;
        struct mapping_rec recs[24];
        uint32_t n_recs = 0;
        rng_seed(&rng, seed);
        fake_close();
        fake_open(64);
        mapping_vn(&F.e, VN, true);
        for (uint32_t key = 1; key <= 3; key++)
            for (uint32_t i = 0, n = 1 + rng_below(&rng, 8); i < n; i++)
                recs[n_recs++] =
                    rec_n(VN, key, (uint8_t)(2 + rng_below(&rng, 5)), 10 * (i + 1));
        uint64_t best[4] = {0}, mine[4] = {0};
        uint8_t owner[4] = {0};
        for (uint32_t step = 0, seq = 1; step < 80; step++) {
            struct mapping_rec r =
                recs[step < 60 ? rng_below(&rng, n_recs) : step % n_recs];
            uint32_t key = r.mac.b[5], att = 0;
            if (rng_below(&rng, 6) == 0) {
                uint64_t epoch = 10 * rng_below(&rng, 10) + 5;
                enum mapping_verdict v = local_set(key, 1000 + key, epoch);
                assert_int_equal(
                    v == MAPPING_ACCEPTED || v == MAPPING_SAME, epoch >= best[key]);
                if (epoch >= best[key]) {
                    best[key] = mine[key] = epoch;
                    owner[key] = 1;
                }
                continue;
            }
            enum mapping_verdict v = remote_set(r, seq++, &att);
            if (r.epoch > best[key]) {
                assert_int_equal(
                    v, owner[key] == 1 ? MAPPING_TOOK_LOCAL : MAPPING_ACCEPTED);
                assert_int_equal(att, owner[key] == 1 ? 1000 + key : 0);
                best[key] = r.epoch;
                owner[key] = r.owner.b[15];
            } else {
                assert_int_equal(
                    v, r.epoch == best[key] ? MAPPING_SAME : MAPPING_STALE);
            }
        }
        for (uint32_t key = 1; key <= 3; key++) {
            struct mac mac = mac_n(key);
            assert_int_equal(mapping_epoch(&F.e, VN, &mac), best[key]);
            if (owner[key] == 1)
                assert_int_equal(fdb_kind(key), FDB_LOCAL);
            else if (owner[key])
                assert_true(
                    fdb_to(key, mine[key] ? FDB_RELAY : FDB_REMOTE, owner[key]));
        }
    }
}

/* Everything that can happen, at random: the data plane equals what a walk would emit.
 */
static void
test_property_consistency(void **state)
{
    (void)state;
    static struct dp_op fdb[FAKE_TAB], neigh[FAKE_TAB], member[FAKE_TAB];
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        fake_close();
        fake_open(24);
        uint64_t seq = 1;
        for (uint32_t step = 0; step < 400; step++) {
            uint32_t key = 1 + rng_below(&rng, 30), vni = VN + rng_below(&rng, 2);
            struct mapping_rec r =
                rec_n(vni, key, (uint8_t)(1 + rng_below(&rng, 5)), rng_below(&rng, 50));
            r.n_ips = (uint8_t)rng_below(&rng, 4);
            r.low_trust = (uint8_t)rng_next(&rng);
            for (uint32_t i = 0; i < r.n_ips; i++)
                r.ips[i] = rng_below(&rng, 2) ? ip_v4(0xc0a80000 + rng_below(&rng, 8))
                                              : ip6_n(rng_below(&rng, 8));
            struct mapping_local l = {.vni = vni,
                .att = key,
                .port = 1 + key % 3,
                .vid = 10,
                .mac = r.mac,
                .n_ips = r.n_ips,
                .ips = r.ips,
                .low_trust = r.low_trust,
                .epoch = r.epoch,
                .migration_id = 1};
            switch (rng_below(&rng, 14)) {
            case 0:
            case 1:
                mapping_local_set(&F.e, &l, TICKET_ATT_DP, 1);
                break;
            case 2:
                mapping_local_clear(&F.e, vni, &r.mac, key, rng_below(&rng, 2));
                break;
            case 3:
                mapping_tomb_clear(&F.e, vni, &r.mac);
                break;
            case 4:
                mapping_learn_ip(&F.e, vni, &r.mac, &r.ips[0]);
                break;
            case 5:
            case 6:
            case 7:
                mapping_remote_set(&F.e, &r, rng_below(&rng, 3) ? seq++ : 0, NULL);
                break;
            case 8:
                mapping_remote_del(&F.e, &r, seq++);
                break;
            case 9:
                mapping_negative(
                    &F.e, vni, rng_below(&rng, 2) ? &r.mac : NULL, &r.ips[0], 0);
                break;
            case 10:
                mapping_snapshot(&F.e, vni, rng_below(&rng, 2), seq++);
                break;
            case 11:
                mapping_member(&F.e, vni, &r.owner, rng_below(&rng, 2), seq++);
                break;
            case 12:
                if (rng_below(&rng, 8) == 0) {
                    mapping_session(&F.e, rng_below(&rng, 2));
                    fake_run();
                    F.ack = 0;
                    seq = 1;
                } else if (rng_below(&rng, 2)) {
                    mapping_vn(&F.e, vni, rng_below(&rng, 2));
                } else {
                    mapping_tomb_set(&F.e, vni, &r.mac, r.epoch);
                }
                break;
            default:
                fake_time(F.e.now_us + rng_below(&rng, 20000000));
            }
            fake_clear();
        }
        uint32_t n_fdb = F.n_fdb, n_neigh = F.n_neigh, n_member = F.n_member;
        memcpy(fdb, F.fdb, sizeof fdb);
        memcpy(neigh, F.neigh, sizeof neigh);
        memcpy(member, F.member, sizeof member);
        F.n_fdb = F.n_neigh = F.n_member = 0;
        for (uint32_t it = 0; mapping_emit_next(&F.e, &it);)
            continue;
        fake_run();
        assert_int_equal(F.n_fdb, n_fdb);
        assert_int_equal(F.n_neigh, n_neigh);
        assert_int_equal(F.n_member, n_member);
        for (uint32_t i = 0; i < n_fdb; i++) {
            const struct dp_op *op = fake_fdb(fdb[i].u.fdb.vni, &fdb[i].u.fdb.mac);
            assert_non_null(op);
            assert_memory_equal(&op->u.fdb, &fdb[i].u.fdb, sizeof op->u.fdb);
        }
        for (uint32_t i = 0; i < n_neigh; i++)
            assert_true(
                mac_equal(fake_neigh(neigh[i].u.neigh.vni, &neigh[i].u.neigh.ip),
                    &neigh[i].u.neigh.mac));
        for (uint32_t i = 0; i < n_member; i++)
            assert_true(fake_member(member[i].u.member.vni, member[i].u.member.vtep));
        struct edge_map_view v;
        for (uint32_t it = 0, n = 0; mapping_each(&F.e, &it, &v); n++)
            assert_true(n < 24);
    }
}

static void
test_full(void **state)
{
    (void)state;
    fake_close();
    fake_open(3);
    mapping_vn(&F.e, VN, true);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(remote_set(rec_n(VN, i, 2, 5), i, NULL), MAPPING_ACCEPTED);
    assert_int_equal(remote_set(rec_n(VN, 4, 2, 5), 4, NULL), MAPPING_FULL);
    assert_int_equal(local_set(4, ATT, 5), MAPPING_FULL);
    assert_int_equal(F.ack, 4);
    assert_int_equal(remote_set(rec_n(VN, 3, 9, 6), 5, NULL), MAPPING_ACCEPTED);
}

/* K19: MAC + IPv4 + IPv6 of one owner, 100,000 of them, all indexes included. */
static void
test_memory(void **state)
{
    (void)state;
    fake_close();
    fake_open(1000000);
    for (uint32_t i = 0; i < 100000; i++) {
        struct mapping_rec r = rec_n(VN + i % 100, i, 2, 5);
        assert_int_equal(mapping_remote_set(&F.e, &r, 0, NULL), MAPPING_ACCEPTED);
        F.n = 0;
    }
    double each = (double)mapping_bytes(&F.e) / 100000;
    print_message("NVE: %.1f octets per mapping\n", each);
    assert_true(each <= 200);
}

/* One VN, whoever speaks for it, does not take the holds of the others. */
static void
test_share_of_holds(void **state)
{
    (void)state;
    uint32_t n = 0;
    for (uint32_t i = 1; i <= VN_HOLDS + 100; i++) {
        mapping_hold(&F.e, VN,
            &(struct mac){
                {2, 1, 0, 0, (uint8_t)(i >> 8), (uint8_t)i}
        },
            ATT, true);
        for (uint32_t k = 0; k < F.n; k++)
            n += F.outs[k].type == EDGE_DP && F.outs[k].u.dp.type == DP_HOLD_SET;
        F.n = 0;
    }
    assert_int_equal(n, VN_HOLDS);
    struct mac other =
                   {
                       {2, 2, 0, 0, 0, 1}
    },
               first = {{2, 1, 0, 0, 0, 1}}, last = {{2, 1, 0, 0, 0xff, 0xff}};
    mapping_hold(&F.e, VN + 1, &other, ATT, true);
    assert_int_equal(F.n, 1);
    F.n = 0;
    mapping_hold(&F.e, VN, &first, ATT, false);
    F.n = 0;
    mapping_hold(&F.e, VN, &last, ATT, true);
    assert_int_equal(F.outs[F.n - 1].u.dp.type, DP_HOLD_SET);
    F.n = 0;
    for (int i = 0; i < 2; i++) { /* who allows no buffer has no hold */
        F.e.conf.settings[i ? SET_HOLD_FRAMES : SET_HOLD_US] = 0;
        other.b[5]++;
        mapping_hold(&F.e, VN + 1, &other, ATT, true);
        assert_int_equal(F.n, 0);
        mapping_hold(&F.e, VN + 1, &other, ATT, false);
        F.n = 0;
        F.e.conf.settings[i ? SET_HOLD_FRAMES : SET_HOLD_US] = 1000;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_local),
        T(test_verdicts),
        T(test_tombstone),
        T(test_addresses),
        T(test_snapshot),
        T(test_endpoints),
        T(test_echo),
        T(test_session_lost),
        T(test_negative),
        T(test_acknowledgement),
        T(test_watch),
        T(test_negative_ends_with_a_vm_without_addresses),
        T(test_push_flood),
        T(test_property_order),
        T(test_property_consistency),
        T(test_share_of_holds),
        T(test_full),
        T(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
