/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong around an edge: a journal that takes a record later than it said, an
 * authority that forgot a virtual network while nobody was connected, refusals of a
 * claim on its way, a configuration that no longer allows what the journal holds. */
#include "test.h"

#include "edge_env.h"

static uint32_t
find_pending(const struct env *v, uint8_t type)
{
    for (uint32_t i = 0; i < v->n_pending; i++)
        if (v->pending[i].type == type && (type != EDGE_JOURNAL || v->pending[i].id))
            return i;
    fail_msg("nothing of type %u is awaited", type);
    return 0;
}

static uint32_t
records_of(const struct env *v, uint8_t kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_record; i++)
        n += v->record[i].kind == kind;
    return n;
}

static struct mapping_rec
remote(uint32_t vni, uint32_t mac, uint64_t epoch)
{
    return (struct mapping_rec){.vni = vni,
        .mac = env_mac(mac),
        .owner = ip_v4(0x0a000002),
        .epoch = epoch,
        .migration_id = 77,
        .n_ips = 1,
        .ips = {ip_v4(0xc0a80000 + mac)}};
}

/* Completes what is local: the data plane and the journal. */
static void
run_local(struct env *v)
{
    v->authority_mute = 1;
    env_run(v);
    v->authority_mute = 0;
}

/* K7: the disk was full when the record was to be written, and it stays staged. What
 * was refused must not come back at the next start. */
static void
test_refused_by_the_journal(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 5, 1);
    uint32_t c = env_send(v, &rq);
    while (v->n_pending && v->pending[0].type != EDGE_JOURNAL)
        env_complete_in_order(v, 0);
    uint32_t i = find_pending(v, EDGE_JOURNAL);
    v->pending[i].fail = 1;
    env_run(v);
    assert_int_equal(v->answers[c].r.code, TNS_NO_RESOURCES);
    assert_int_equal(records_of(v, RECORD_ATTACHMENT), 0);
    env_quiet(v);
    /* The old state stands in the journal again where there was one (A9). */
    env_do(v, TNS_ASSOC, 1, 2, 5, 2);
    rq = env_rq(TNS_ASSOC, 1, 2, &n, 6, 3);
    c = env_send(v, &rq);
    while (v->n_pending && v->pending[0].type != EDGE_JOURNAL)
        env_complete_in_order(v, 0);
    i = find_pending(v, EDGE_JOURNAL);
    v->pending[i].fail = 1;
    env_run(v);
    assert_int_equal(v->answers[c].r.code, TNS_NO_RESOURCES);
    assert_int_equal(v->answers[c].r.kept, 1);
    env_restart(v);
    env_run(v);
    assert_int_equal(env_state(v, 1, 1), ATT_NULL);
    assert_int_equal(env_state(v, 1, 2), ATT_ASSOC);
    struct mac two = env_mac(2), three = env_mac(3);
    assert_true(env_fdb_find(v, 5, &two) >= 0);
    assert_true(env_fdb_find(v, 6, &three) < 0);
    env_free(v);
}

/* A virtual network was deleted, another one changed, while no session stood (K5). */
static void
test_vn_changed_behind_our_back(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    env_do(v, TNS_ASSOC, 1, 1, 5, 1);
    env_do(v, TNS_ASSOC, 1, 2, 6, 2);
    env_do(v, TNS_ASSOC, 1, 3, 7, 3);
    env_do(v, TNS_ASSOC, 1, 4, 8, 4);
    env_do(v, TNS_TERMINATE, 1, 4, 0, 0);
    env_tick(v, 600 * 1000000ull); /* nobody refers to 8 any more; it is cached */
    env_do(v, TNS_ASSOC, 1, 1, 5, 1);
    env_do(v, TNS_ASSOC, 1, 2, 6, 2);
    env_do(v, TNS_ASSOC, 1, 3, 7, 3);
    edge_session(v->e, false, v->now);
    env_run(v);
    edge_session(v->e, true, v->now);
    env_pull(v);
    uint32_t asked = 0, notices = v->n_notices;
    for (uint32_t i = 0; i < v->n_pending;) {
        struct vn_rec rec = v->pending[i].vn;
        if (v->pending[i].type != EDGE_VN_LOOKUP) {
            i++;
            continue;
        }
        ENV_DEL(v->pending, v->n_pending, i);
        asked |= 1u << rec.vni;
        if (rec.vni == 5) {
            edge_vn(v->e, &rec, -ENOENT, v->now);
        } else {
            struct vn_rec now;
            assert_true(env_vn_rec(&rec, &now));
            if (rec.vni == 6)
                now.mtu = 1400;
            edge_vn(v->e, &now, 0, v->now);
        }
    }
    assert_int_equal(asked, 1u << 5 | 1u << 6 | 1u << 7);
    env_run(v);
    assert_int_not_equal(env_state(v, 1, 1), ATT_ASSOC);
    assert_int_equal(env_state(v, 1, 2), ATT_ASSOC);
    assert_int_equal(v->n_notices, notices + 2); /* 1 is gone, 2 has another MTU */
    assert_int_equal(env_state(v, 1, 3), ATT_ASSOC);
    struct env_answer *a = env_do(v, TNS_ASSOC, 1, 2, 6, 2);
    assert_int_equal(a->r.code, TNS_OK);
    assert_int_equal(a->r.mtu, 1400);
    /* What was only cached is asked for again. */
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 4, &n, 8, 4);
    uint32_t c = env_send(v, &rq);
    uint32_t i = find_pending(v, EDGE_VN_LOOKUP);
    struct vn_rec rec = v->pending[i].vn;
    ENV_DEL(v->pending, v->n_pending, i);
    edge_vn(v->e, &rec, -ENOENT, v->now);
    env_run(v);
    assert_int_equal(v->answers[c].r.code, TNS_UNKNOWN_VN);
    env_free(v);
}

/* The authority refuses a claim: nothing stands, and what was known of the owner comes
 * back. */
static void
test_claim_refused(void **state)
{
    static const struct {
        int status;
        uint8_t code;
    } cases[] = {
        {-ESTALE, TNS_MOVED         },
        {-EEXIST, TNS_CONFLICT      },
        {-EACCES, TNS_NOT_AUTHORISED},
        {-ENOSPC, TNS_NO_RESOURCES  },
        {-ENOENT, TNS_UNKNOWN_VN    },
    };
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct env *v = env_new(true);
        struct mac one = env_mac(1);
        env_do(v, TNS_ASSOC, 2, 9, 5, 9); /* the VN is in use here */
        struct mapping_rec rec = remote(5, 1, 10), got;
        edge_map_set(v->e, &rec, 0, v->now);
        env_run(v);
        struct tns_entry n;
        struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 5, 1);
        rq.has_epoch = 1;
        rq.epoch = 11;
        rq.migration_id = 3;
        uint32_t c = env_send(v, &rq), queries = v->n_queries;
        run_local(v);
        uint32_t i = find_pending(v, EDGE_REGISTER), id = v->pending[i].id;
        ENV_DEL(v->pending, v->n_pending, i);
        edge_registered(v->e, id, 0, 0, cases[k].status, v->now);
        env_run(v);
        assert_int_equal(v->answers[c].r.code, cases[k].code);
        assert_int_equal(env_state(v, 1, 1), ATT_NULL);
        assert_true(v->n_queries > queries);
        assert_true(mac_equal(&v->query.mac, &one));
        edge_map_set(v->e, &rec, 0, v->now);
        env_run(v);
        assert_true(mapping_find(v->e, 5, &one, NULL, &got, NULL));
        assert_true(ip_equal(&got.owner, &rec.owner));
        assert_int_equal(got.epoch, 10);
        env_quiet(v);
        env_free(v);
    }
}

/* A claim by number over what stands here, at the same port or at another, is refused:
 * what stands has its own number again, and asks for no other (K3). */
static void
test_number_refused(void **state)
{
    static const int statuses[] = {-ESTALE, -EEXIST, -ENOSPC};
    (void)state;
    for (uint32_t k = 0; k < 6; k++) {
        struct env *v = env_new(true);
        struct mac one = env_mac(1);
        struct mapping_rec got;
        uint32_t port = 1 + k % 2;
        uint64_t epoch = env_do(v, TNS_ASSOC, 1, 1, 5, 1)->r.epoch;
        assert_true(mapping_find(v->e, 5, &one, NULL, &got, NULL));
        uint64_t migration_id = got.migration_id;
        struct tns_entry n;
        struct tns_request rq = env_rq(TNS_IMMIGRATE_ASSO, port, 1, &n, 5, 1);
        rq.berth_station = 1;
        rq.has_epoch = 1;
        rq.epoch = epoch + 9;
        rq.migration_id = 3;
        uint32_t c = env_send(v, &rq);
        run_local(v);
        uint32_t i = find_pending(v, EDGE_REGISTER), id = v->pending[i].id;
        assert_int_equal(v->pending[i].rec.epoch, epoch + 9);
        ENV_DEL(v->pending, v->n_pending, i);
        edge_registered(v->e, id, 0, 0, statuses[k / 2], v->now);
        env_pull(v);
        assert_int_not_equal(v->answers[c].r.code, TNS_OK);
        i = find_pending(v, EDGE_REGISTER);
        assert_int_equal(v->pending[i].rec.epoch, epoch);
        assert_int_equal(v->pending[i].want, 0);
        env_run(v);
        assert_int_equal(env_state(v, 1, 1), ATT_ASSOC);
        assert_int_equal(env_state(v, 2, 1), ATT_NULL);
        assert_true(mapping_find(v->e, 5, &one, NULL, &got, NULL));
        assert_int_equal(got.epoch, epoch);
        assert_int_equal(got.migration_id, migration_id);
        env_quiet(v);
        env_free(v);
    }
}

/* A reservation is refused: the epoch of the tombstone is as it was (D1). */
static void
test_reservation_refused(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    uint64_t epoch = env_do(v, TNS_ASSOC, 1, 1, 5, 1)->r.epoch;
    struct mapping_rec rec = remote(5, 1, epoch + 20);
    edge_map_set(v->e, &rec, 0, v->now);
    env_run(v);
    assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_IMMIGRATE_PRE, 1, 1, &n, 5, 1);
    uint32_t c = env_send(v, &rq);
    run_local(v);
    uint32_t i = find_pending(v, EDGE_RESERVE), id = v->pending[i].id;
    ENV_DEL(v->pending, v->n_pending, i);
    edge_registered(v->e, id, 0, 0, -ENOSPC, v->now);
    env_run(v);
    assert_int_equal(v->answers[c].r.code, TNS_NO_RESOURCES);
    assert_int_equal(v->answers[c].r.epoch, epoch);
    assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
    env_free(v);
}

/* A restart while the VM is on its way back here. The number that is reserved says
 * nothing of the owner, whose older one counts as before, and nothing is relayed (D4).
 */
static void
test_restart_while_it_immigrates_K7(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct mac one = env_mac(1);
    uint64_t epoch = env_do(v, TNS_ASSOC, 1, 1, 5, 1)->r.epoch;
    struct mapping_rec rec = remote(5, 1, epoch + 1), got;
    edge_map_set(v->e, &rec, 0, v->now);
    env_run(v);
    assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
    assert_int_equal(v->fdb[env_fdb_find(v, 5, &one)].kind, FDB_RELAY);
    env_own(v, 5, &one)->known = epoch + 1;
    uint64_t reserved = env_do(v, TNS_IMMIGRATE_PRE, 1, 1, 5, 1)->r.epoch;
    assert_true(reserved > epoch + 1);
    for (int restarts = 0; restarts < 3; restarts++) {
        assert_int_equal(env_state(v, 1, 1), ATT_IMMIG);
        int fdb = env_fdb_find(v, 5, &one);
        assert_true(fdb >= 0 && v->fdb[fdb].kind == FDB_REMOTE);
        assert_true(ip_equal(&v->fdb[fdb].vtep, &rec.owner));
        assert_true(env_hold_find(v, 5, &one) >= 0);
        assert_false(mapping_tomb(v->e, 5, &one));
        assert_true(mapping_find(v->e, 5, &one, NULL, &got, NULL));
        assert_int_equal(got.epoch, rec.epoch);
        env_quiet(v);
        env_restart(v);
        env_run(v);
        assert_true(mapping_epoch(v->e, 5, &one) < reserved); /* it is nobody's yet */
        edge_map_set(v->e, &rec, 0, v->now);
        env_snapshots(v);
    }
    assert_int_equal(env_do(v, TNS_IMMIGRATE_ASSO, 1, 1, 5, 1)->r.epoch, reserved);
    env_quiet(v);
    env_free(v);
}

/* Somebody else had the VM that is awaited here, and withdrew. The owner of before, who
 * was away meanwhile, is the owner again, as at every NVE where nobody waits (E6). */
static void
test_older_owner_while_it_immigrates_E6(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct mac one = env_mac(1);
    assert_int_equal(env_do(v, TNS_IMMIGRATE_PRE, 1, 1, 5, 1)->r.code, TNS_OK);
    struct mapping_rec before = remote(5, 1, 4), later = remote(5, 1, 7), got;
    later.owner = ip_v4(0x0a000003);
    edge_map_set(v->e, &before, 0, v->now);
    edge_map_set(v->e, &later, 0, v->now);
    edge_map_set(v->e, &before, 0, v->now);
    assert_true(mapping_find(v->e, 5, &one, NULL, &got, NULL));
    assert_true(ip_equal(&got.owner, &later.owner));
    edge_map_del(v->e, &later, 0, v->now);
    env_run(v);
    assert_true(env_fdb_find(v, 5, &one) < 0);
    edge_map_set(v->e, &before, 0, v->now);
    env_run(v);
    int fdb = env_fdb_find(v, 5, &one);
    assert_true(fdb >= 0 && v->fdb[fdb].kind == FDB_REMOTE);
    assert_true(ip_equal(&v->fdb[fdb].vtep, &before.owner));
    assert_true(env_hold_find(v, 5, &one) >= 0);
    env_quiet(v);
    env_free(v);
}

/* A restart with another configuration: untagged frames are another VN's, a port may no
 * longer join a VN. What the journal holds of it is not taken back (K9). */
static void
test_configuration_changed(void **state)
{
    static const uint32_t ranges[] = {90, 99};
    (void)state;
    struct env *v = env_new(false);
    struct env_answer *a = env_do(v, TNS_ASSOC, 4, 1, 7, 1);
    assert_int_equal(a->r.code, TNS_OK);
    assert_int_equal(a->entries[0].untagged, 1);
    assert_int_equal(env_do(v, TNS_ASSOC, 3, 2, 5, 2)->r.code, TNS_OK);
    assert_int_equal(env_do(v, TNS_ASSOC, 3, 3, 95, 3)->r.code, TNS_OK);
    assert_int_equal(env_do(v, TNS_ASSOC, 1, 4, 5, 4)->r.code, TNS_OK);
    edge_free(v->e);
    v->n_pending = 0;
    v->e = edge_new(&v->conf, v->now);
    struct edge_port_conf c = {.name = "p1", .domain = 1};
    assert_true(edge_port_add(v->e, 1, &c, v->now));
    c = (struct edge_port_conf){
        .name = "p3", .domain = 3, .vn_ranges = ranges, .n_vn_ranges = 1};
    assert_true(edge_port_add(v->e, 3, &c, v->now));
    c = (struct edge_port_conf){
        .name = "p4", .domain = 4, .native = NATIVE_VN, .native_vni = 8};
    assert_true(edge_port_add(v->e, 4, &c, v->now));
    for (uint32_t i = 0; i < v->n_record; i++)
        edge_restore(
            v->e, v->record[i].kind, v->record[i].bytes, v->record[i].size, v->now);
    for (uint32_t i = 1; i <= 99; i++) {
        struct vn_rec asked = {.vni = i}, rec;
        env_vn_rec(&asked, &rec);
        edge_vn(v->e, &rec, 0, v->now);
    }
    edge_restored(v->e, v->now);
    env_run(v);
    assert_int_equal(env_state(v, 4, 1), ATT_NULL);
    assert_int_equal(env_state(v, 3, 2), ATT_NULL);
    assert_int_equal(env_state(v, 3, 3), ATT_ASSOC);
    assert_int_equal(env_state(v, 1, 4), ATT_ASSOC);
    assert_int_equal(records_of(v, RECORD_ATTACHMENT), 2);
    /* The untagged VAP of the port is the new VN's alone. */
    a = env_do(v, TNS_ASSOC, 4, 5, 8, 5);
    assert_int_equal(a->r.code, TNS_OK);
    assert_int_equal(a->entries[0].untagged, 1);
    int vap = env_vap_find(v, 4, 0);
    assert_true(vap >= 0);
    assert_int_equal(v->vap[vap].vni, 8);
    env_quiet(v);
    env_free(v);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_by_the_journal),
        cmocka_unit_test(test_vn_changed_behind_our_back),
        cmocka_unit_test(test_claim_refused),
        cmocka_unit_test(test_number_refused),
        cmocka_unit_test(test_reservation_refused),
        cmocka_unit_test(test_restart_while_it_immigrates_K7),
        cmocka_unit_test(test_older_owner_while_it_immigrates_E6),
        cmocka_unit_test(test_configuration_changed),
    };
    return cmocka_run_group_tests_name("edge_faults", tests, NULL, NULL);
}
