/* SPDX-License-Identifier: Apache-2.0 */
/* Who may claim an address that another NVE's VSI has (K18), and answers that wait for
 * the far ends (K6 REMOTE): both at the authority and at the edge. */
#include "test.h"

#include "core/registry.h"
#include "edge_env.h"

/* ---- the authority ---- */

enum { N_NVE = 3 };
struct world {
    struct registry *r;
    uint64_t now, ref;
    uint32_t nve[N_NVE + 1];
    struct registry_out last; /* of REGISTERED, GRANT, REJECT */
    uint32_t n_confirms;
};

static struct ip
vtep_n(uint32_t n)
{
    return ip_v4(0x0a000000 + n);
}

static void
world_run(struct world *w)
{
    struct registry_out o;
    while (registry_output(w->r, &o)) {
        if (o.type == REG_STORE && o.id)
            registry_stored(w->r, o.id, 0, w->now);
        if (o.type == REG_REGISTERED || o.type == REG_GRANT || o.type == REG_REJECT)
            w->last = o;
        w->n_confirms += o.type == REG_CONFIRM;
    }
}

static void
world_up(struct world *w, uint32_t i)
{
    char name[8] = {'n', 'v', 'e', (char)('0' + i)};
    struct ip vtep = vtep_n(i);
    w->nve[i] = registry_nve_up(w->r, name, &vtep, false, w->now);
    assert_true(w->nve[i] > 0);
    world_run(w);
}

static void
world_start(struct world *w, bool known)
{
    struct registry_conf c = {.seed = 1, .recover_us = 5000000, .stale_us = 10000000};
    struct vn_rec vn = {.vni = 5, .name = "red"};
    w->r = registry_new(&c, w->now);
    registry_load_vn(w->r, &vn);
    for (uint32_t i = 1; known && i <= N_NVE; i++) {
        char name[8] = {'n', 'v', 'e', (char)('0' + i)};
        registry_load_nve(w->r, name);
    }
    registry_load_epoch(w->r, 0, NULL, known ? 1000000 : 1, 0, w->now);
    registry_loaded(w->r, w->now);
    world_run(w);
    for (uint32_t i = 1; i <= N_NVE; i++)
        world_up(w, i);
}

static void
world_pass(struct world *w, uint64_t us)
{
    w->now += us;
    registry_tick(w->r, w->now);
    world_run(w);
}

static struct mapping_rec
key_rec(uint64_t vsi, uint64_t epoch, uint64_t migration_id)
{
    return (struct mapping_rec){.vni = 5,
        .mac = env_mac(1),
        .vsi = vsi,
        .epoch = epoch,
        .migration_id = migration_id};
}

static const struct registry_out *
claim(struct world *w, uint32_t i, uint64_t vsi)
{
    struct mapping_rec m = key_rec(vsi, 0, 0);
    memset(&w->last, 0, sizeof w->last);
    registry_register(w->r, w->nve[i], ++w->ref, &m, true, false, w->now);
    world_run(w);
    return &w->last;
}

static const struct registry_out *
reserve(struct world *w, uint32_t i, uint64_t vsi, uint64_t migration_id)
{
    struct mapping_rec m = key_rec(vsi, 0, migration_id);
    memset(&w->last, 0, sizeof w->last);
    registry_reserve(w->r, w->nve[i], ++w->ref, &m, w->now);
    world_run(w);
    return &w->last;
}

static const struct registry_out *
tell(struct world *w, uint32_t i, const struct mapping_rec *m, bool refresh)
{
    memset(&w->last, 0, sizeof w->last);
    registry_register(w->r, w->nve[i], ++w->ref, m, false, refresh, w->now);
    world_run(w);
    return &w->last;
}

static void
assert_taken_by(const struct registry_out *o, uint32_t i)
{
    struct ip holder = vtep_n(i);
    assert_int_equal(o->type, REG_REJECT);
    assert_int_equal(o->reason, REG_CONFLICT);
    assert_true(ip_equal(&o->rec.owner, &holder));
}

static void
test_another_vsi_may_not_claim(void **state)
{
    (void)state;
    struct world w = {.now = 1000000};
    world_start(&w, false);
    const struct registry_out *o = claim(&w, 1, 111);
    assert_int_equal(o->type, REG_REGISTERED);
    uint64_t epoch = o->rec.epoch;
    assert_taken_by(claim(&w, 2, 222), 1);
    assert_taken_by(reserve(&w, 2, 222, 7), 1); /* no way around by a migration */
    struct mapping_rec now;
    struct mac mac = env_mac(1);
    assert_int_equal(registry_peek(w.r, 5, &mac, NULL, &now, NULL), REG_FOUND);
    assert_int_equal(now.epoch, epoch); /* untouched */
    assert_int_equal(now.vsi, 111);
    /* The same NVE knows itself which of its VSIs has it. */
    assert_int_equal(claim(&w, 1, 333)->type, REG_REGISTERED);
    assert_int_equal(claim(&w, 1, 111)->type, REG_REGISTERED);
    /* The same VSI elsewhere is a move. */
    o = reserve(&w, 2, 111, 8);
    assert_int_equal(o->type, REG_GRANT);
    struct mapping_rec m = key_rec(111, o->rec.epoch, 8);
    assert_int_equal(tell(&w, 2, &m, false)->type, REG_REGISTERED);
    assert_int_equal(claim(&w, 3, 111)->type, REG_REGISTERED);
    assert_taken_by(claim(&w, 1, 222), 3);
    registry_free(w.r);
}

/* Signalled state beats inferred state (requirements 1.6), whichever came first. */
static void
test_learned_gives_way(void **state)
{
    (void)state;
    struct world w = {.now = 1000000};
    world_start(&w, false);
    assert_int_equal(claim(&w, 1, 0)->type, REG_REGISTERED); /* learned */
    assert_int_equal(claim(&w, 2, 0)->type, REG_REGISTERED); /* and seen elsewhere */
    assert_int_equal(claim(&w, 3, 222)->type, REG_REGISTERED);
    uint64_t epoch = w.last.rec.epoch;
    assert_taken_by(claim(&w, 1, 0), 3);
    assert_taken_by(reserve(&w, 1, 0, 7), 3);
    /* What it had before is stale now; what comes back with a number is as ever. */
    struct mapping_rec m = key_rec(0, epoch - 1, 1), now;
    assert_int_equal(tell(&w, 2, &m, true)->reason, REG_STALE);
    struct mac mac = env_mac(1);
    assert_int_equal(registry_peek(w.r, 5, &mac, NULL, &now, NULL), REG_FOUND);
    assert_true(now.epoch == epoch && now.vsi == 222);
    /* Lost, it is still its own; gone, it is free. */
    registry_nve_down(w.r, w.nve[3], w.now);
    world_pass(&w, 9000000);
    assert_taken_by(claim(&w, 1, 0), 3);
    world_pass(&w, 1500000);
    assert_int_equal(claim(&w, 1, 0)->type, REG_REGISTERED);
    registry_free(w.r);
}

/* A router without a session names no VSI, and no number of its makes up for that. */
static void
test_a_foreign_router_gives_way(void **state)
{
    (void)state;
    struct world w = {.now = 1000000};
    world_start(&w, false);
    struct ip vtep = vtep_n(9);
    uint32_t router = registry_nve_up(w.r, "router", &vtep, true, w.now);
    uint64_t epoch = claim(&w, 1, 111)->rec.epoch;
    for (int want = 0; want < 2; want++) {
        struct mapping_rec m = key_rec(0, want ? 0 : epoch + 5, 3);
        registry_register(w.r, router, ++w.ref, &m, want, !want, w.now);
        world_run(&w);
        assert_taken_by(&w.last, 1);
    }
    struct mapping_rec gone = key_rec(111, epoch, 0);
    registry_withdraw(w.r, w.nve[1], 0, &gone, w.now);
    struct mapping_rec m = key_rec(0, 0, 0);
    registry_register(w.r, router, ++w.ref, &m, true, false, w.now);
    world_run(&w);
    assert_int_equal(w.last.type, REG_REGISTERED);
    assert_int_equal(claim(&w, 2, 222)->type, REG_REGISTERED);
    registry_free(w.r);
}

static void
test_free_when_the_holder_is_gone(void **state)
{
    (void)state;
    struct world w = {.now = 1000000};
    world_start(&w, false);
    struct mapping_rec m = key_rec(0, claim(&w, 1, 111)->rec.epoch, 0);
    assert_taken_by(claim(&w, 2, 222), 1);
    registry_withdraw(w.r, w.nve[1], 0, &m, w.now);
    assert_int_equal(claim(&w, 2, 222)->type, REG_REGISTERED);
    /* A lost session: held for T_stale, then free. */
    registry_nve_down(w.r, w.nve[2], w.now);
    world_pass(&w, 9000000);
    assert_taken_by(claim(&w, 3, 333), 2);
    world_pass(&w, 1500000);
    assert_int_equal(claim(&w, 3, 333)->type, REG_REGISTERED);
    registry_free(w.r);
}

/* A restarted authority takes both that held the key at different times; the newest
 * epoch wins, and no refresh is refused for whose it is. */
static void
test_refresh_is_not_refused(void **state)
{
    (void)state;
    for (int first = 1; first <= 2; first++) {
        struct world w = {.now = 1000000};
        world_start(&w, true);
        assert_true(registry_recovering(w.r));
        struct mapping_rec m[3] = {{0}, key_rec(111, 40, 4), key_rec(222, 50, 5)};
        assert_int_equal(
            tell(&w, (uint32_t)first, &m[first], true)->type, REG_REGISTERED);
        uint32_t second = 3 - (uint32_t)first;
        const struct registry_out *o = tell(&w, second, &m[second], true);
        if (second == 2)
            assert_int_equal(o->type, REG_REGISTERED);
        else
            assert_int_equal(o->reason, REG_STALE);
        struct mapping_rec now;
        struct mac mac = env_mac(1);
        assert_int_equal(registry_peek(w.r, 5, &mac, NULL, &now, NULL), REG_FOUND);
        assert_int_equal(now.epoch, 50);
        /* A claim waits for the end of the recovery, then it is looked at. */
        assert_int_equal(claim(&w, 3, 333)->ref, 0);
        world_pass(&w, 5000000);
        assert_taken_by(&w.last, 2);
        registry_free(w.r);
    }
}

/* ---- the edge ---- */

/* The authority's part is played by the test: what is asked waits until it is answered.
 */
static struct env *
mute_env(void)
{
    struct env *v = env_new(true);
    env_do(v, TNS_ASSOC, 2, 9, 5, 9); /* VN 5 is known and in use */
    v->authority_mute = 1;
    return v;
}

static struct env_pending
asked(struct env *v, uint8_t type)
{
    for (uint32_t i = 0; i < v->n_pending; i++)
        if (v->pending[i].type == type) {
            struct env_pending p = v->pending[i];
            ENV_DEL(v->pending, v->n_pending, i);
            return p;
        }
    fail_msg("nothing was asked");
    return (struct env_pending){0};
}

static void
remote(struct env *v, uint64_t epoch)
{
    struct mapping_rec m = key_rec(0, epoch, 77);
    m.owner = ip_v4(0x0a000063);
    edge_map_set(v->e, &m, 0, v->now);
    env_run(v);
}

static const struct ip far = {
    {[10] = 0xff, 0xff, 10, 0, 0, 99}
};

static void
conflict(struct env *v, uint8_t type)
{
    struct env_pending p = asked(v, type);
    struct vsiid id = env_vsi_id(1);
    assert_int_equal(p.want, 1);
    assert_true(p.rec.vsi == vsiid_print(&id));
    edge_conflict(v->e, p.id, &far, v->now);
    env_run(v);
}

static void
test_refused_claim_is_undone(void **state)
{
    (void)state;
    static const uint8_t ops[] = {TNS_ASSOC, TNS_IMMIGRATE_ASSO, TNS_IMMIGRATE_PRE};
    struct mac mac = env_mac(1);
    for (size_t i = 0; i < sizeof ops; i++)
        for (int known = 0; known < 2; known++) {
            struct env *v = mute_env();
            uint32_t tags = tag_count(v->e), vaps = v->n_vap, vsis = v->n_vsi;
            uint64_t queries = edge_counter(v->e, EDGEC_QUERIES);
            if (known)
                remote(v, 40);
            env_do(v, ops[i], 1, 1, 5, 1);
            uint32_t c = v->n_answers - 1;
            assert_int_equal(v->answers[c].times, 0);
            conflict(v, ops[i] == TNS_IMMIGRATE_PRE ? EDGE_RESERVE : EDGE_REGISTER);
            const struct tns_response *r = &v->answers[c].r;
            assert_int_equal(v->answers[c].times, 1);
            assert_int_equal(r->code, TNS_CONFLICT);
            assert_non_null(strstr(r->reason, "10.0.0.99"));
            assert_non_null(strstr(r->reason, "02:00:00:00:00:01"));
            assert_int_equal(edge_counter(v->e, EDGEC_CONFLICTS), 1);
            assert_int_equal(env_state(v, 1, 1), ATT_NULL);
            assert_int_equal(tag_count(v->e), tags);
            assert_int_equal(v->n_vap, vaps);
            assert_int_equal(v->n_vsi, vsis);
            int fdb = env_fdb_find(v, 5, &mac);
            assert_true(fdb < 0 || v->fdb[fdb].kind == FDB_REMOTE);
            /* What the claim covered is asked for: the holder has nothing new to say.
             */
            bool covered = known && ops[i] != TNS_IMMIGRATE_PRE;
            if (covered)
                assert_true(fdb < 0 && edge_counter(v->e, EDGEC_QUERIES) > queries);
            if (known) {
                remote(v, 40);
                assert_int_equal(v->fdb[env_fdb_find(v, 5, &mac)].kind, FDB_REMOTE);
            }
            env_quiet(v);
            /* Free again: the next claim is granted. */
            v->authority_mute = 0;
            assert_int_equal(env_do(v, TNS_ASSOC, 1, 1, 5, 1)->r.code, TNS_OK);
            env_quiet(v);
            env_free(v);
        }
}

/* All or none (A20): one that was granted is given back; two refusals are one answer.
 */
static void
test_refused_with_others(void **state)
{
    (void)state;
    for (int both = 0; both < 2; both++) {
        struct env *v = mute_env();
        struct tns_entry n[2];
        struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n[1], 5, 2);
        rq = env_rq(TNS_ASSOC, 1, 1, &n[0], 5, 1);
        rq.n_entries = 2;
        uint32_t c = env_send(v, &rq);
        env_run(v);
        struct env_pending p[2] = {asked(v, EDGE_REGISTER), asked(v, EDGE_REGISTER)};
        int first = mac_equal(&p[0].rec.mac, &n[0].mac) ? 0 : 1;
        edge_conflict(v->e, p[first].id, &far, v->now);
        if (both)
            edge_conflict(v->e, p[!first].id, &far, v->now);
        else
            edge_registered(v->e, p[!first].id, 60, 4, 0, v->now);
        env_run(v);
        assert_int_equal(v->answers[c].times, 1);
        assert_int_equal(v->answers[c].r.code, TNS_CONFLICT);
        assert_int_equal(env_state(v, 1, 1), ATT_NULL);
        assert_true(env_fdb_find(v, 5, &n[0].mac) < 0);
        assert_true(env_fdb_find(v, 5, &n[1].mac) < 0);
        env_quiet(v);
        env_free(v);
    }
}

/* Its push comes while the claim is on its way: no tombstone stays behind. */
static void
test_refused_after_the_push(void **state)
{
    (void)state;
    struct mac mac = env_mac(1);
    struct env *v = mute_env();
    env_do(v, TNS_ASSOC, 1, 1, 5, 1);
    remote(v, 40);
    conflict(v, EDGE_REGISTER);
    assert_int_equal(v->answers[v->n_answers - 1].r.code, TNS_CONFLICT);
    assert_int_equal(v->fdb[env_fdb_find(v, 5, &mac)].kind, FDB_REMOTE);
    struct edge_map_view m;
    for (uint32_t it = 0; edge_each_mapping(v->e, &it, &m);)
        assert_int_equal(m.tomb, 0);
    env_quiet(v);
    env_free(v);
}

/* After T_publish nobody waits: it stays unpublished, asks who has it, and gives way.
 */
static void
test_late_refusal(void **state)
{
    (void)state;
    struct env *v = mute_env();
    env_do(v, TNS_ASSOC, 1, 1, 5, 1);
    uint32_t c = v->n_answers - 1;
    env_tick(v, 300000);
    env_run(v);
    assert_int_equal(v->answers[c].r.unpublished, 1);
    conflict(v, EDGE_REGISTER);
    assert_int_equal(env_state(v, 1, 1), ATT_ASSOC);
    assert_int_equal(edge_counter(v->e, EDGEC_CONFLICTS), 1);
    remote(v, 40);
    assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
    assert_int_equal(v->notice.type, NOTICE_MOVED);
    env_free(v);
}

/* Equal epochs of two migrations are no matter of VSIs: as ever. */
static void
test_epoch_conflict_is_another(void **state)
{
    (void)state;
    struct env *v = mute_env();
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_IMMIGRATE_ASSO, 1, 1, &n, 5, 1);
    rq.has_epoch = 1;
    rq.epoch = 50;
    rq.migration_id = 3;
    uint32_t c = env_send(v, &rq);
    env_run(v);
    struct env_pending p = asked(v, EDGE_REGISTER);
    assert_int_equal(p.want, 0);
    edge_conflict(v->e, p.id, &far, v->now);
    env_run(v);
    assert_int_equal(v->answers[c].r.code, TNS_CONFLICT);
    assert_non_null(strstr(v->answers[c].r.reason, "epoch"));
    assert_int_equal(env_state(v, 1, 1), ATT_NULL);
    env_free(v);
}

/* What a server says is a number is none: with the highest there would be no next one,
 * and one stands for something else between edge and authority. */
static void
test_epoch_out_of_range(void **state)
{
    (void)state;
    static const uint64_t epochs[] = {
        EPOCH_MAX, EPOCH_MAX + 1, INT64_MAX, UINT64_MAX - 1, EPOCH_RESERVED};
    static const uint8_t ops[] = {TNS_ASSOC, TNS_IMMIGRATE_PRE, TNS_IMMIGRATE_ASSO,
        TNS_RESUME, TNS_EMIGRATE_PREPARE};
    for (int authority = 0; authority < 2; authority++) {
        struct env *v = env_new(authority);
        struct tns_entry n;
        env_do(v, TNS_ASSOC, 1, 1, 5, 1);
        uint32_t c;
        for (uint32_t i = 0; i < 5; i++)
            for (uint32_t k = 0; k < 5; k++) {
                struct tns_request rq =
                    env_rq((enum tns_op)ops[k], 1 + k % 2, 1, &n, 5, 1);
                rq.has_epoch = 1;
                rq.epoch = epochs[i];
                rq.migration_id = 3;
                c = env_send(v, &rq);
                env_run(v);
                assert_int_equal(v->answers[c].r.code, TNS_BAD_MESSAGE);
                assert_non_null(strstr(v->answers[c].r.reason, "epoch"));
                assert_int_equal(
                    v->answers[c].r.kept, k % 2 == 0); /* stands at port 1 */
            }
        assert_int_equal(env_state(v, 1, 1), ATT_ASSOC);
        struct tns_request rq = env_rq(TNS_ASSOC, 2, 1, &n, 5, 1);
        rq.has_epoch = 1;
        rq.epoch = EPOCH_MAX - 1;
        c = env_send(v, &rq);
        env_run(v);
        assert_int_equal(v->answers[c].r.code, TNS_OK);
        env_do(v, TNS_ASSOC, 1, 1, 5, 1); /* moves on, all the same */
        assert_true(mapping_epoch(v->e, 5, &n.mac) >= EPOCH_MAX - 1);
        env_free(v);
    }
}

static void
test_learned_names_no_vsi(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n = {.vn_ref = VN_BY_VNI, .vni = 5};
    struct tns_request rq = {
        .op = TNS_ASSOC, .port = 1, .id = env_vsi_id(1), .n_entries = 1, .entries = &n};
    uint32_t c = env_send(v, &rq);
    env_run(v);
    v->authority_mute = 1;
    struct dp_event ev = {.type = DP_EV_LEARN,
        .port = 1,
        .vni = 5,
        .vid = v->answers[c].entries[0].vid,
        .src = env_mac(1)};
    edge_dp_event(v->e, &ev, v->now);
    env_run(v);
    assert_true(asked(v, EDGE_REGISTER).rec.vsi == 0);
    env_free(v);
}

/* Dropped without a trace, and not tried again for a while; who was signalled with it
 * is asked for. */
static void
test_learned_is_refused(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n = {.vn_ref = VN_BY_VNI, .vni = 5};
    struct tns_request rq = {
        .op = TNS_ASSOC, .port = 1, .id = env_vsi_id(1), .n_entries = 1, .entries = &n};
    uint32_t c = env_send(v, &rq);
    env_run(v);
    uint32_t vaps = v->n_vap, vsis = v->n_vsi;
    v->authority_mute = 1;
    struct dp_event ev = {.type = DP_EV_LEARN,
        .port = 1,
        .vni = 5,
        .vid = v->answers[c].entries[0].vid,
        .src = env_mac(1)};
    struct mac mac = env_mac(1);
    edge_dp_event(v->e, &ev, v->now);
    env_run(v);
    struct env_pending p = asked(v, EDGE_REGISTER);
    uint64_t queries = edge_counter(v->e, EDGEC_QUERIES);
    edge_conflict(v->e, p.id, &far, v->now);
    env_run(v);
    assert_int_equal(edge_counter(v->e, EDGEC_LEARN_REFUSED), 1);
    assert_int_equal(edge_counter(v->e, EDGEC_CONFLICTS), 1);
    assert_int_equal(edge_counter(v->e, EDGEC_QUERIES), queries + 1);
    assert_int_equal(v->n_vsi, vsis);
    assert_int_equal(v->n_vap, vaps);
    assert_true(env_fdb_find(v, 5, &mac) < 0);
    env_quiet(v);
    remote(v, 40);
    for (int i = 0; i < 3; i++) {
        edge_dp_event(v->e, &ev, v->now);
        env_run(v);
    }
    assert_int_equal(edge_counter(v->e, EDGEC_LEARN_REFUSED), 4);
    assert_int_equal(v->n_pending, 0);
    assert_int_equal(v->fdb[env_fdb_find(v, 5, &mac)].kind, FDB_REMOTE);
    /* Another one is learned as ever. */
    ev.src = mac = env_mac(2);
    edge_dp_event(v->e, &ev, v->now);
    env_run(v);
    p = asked(v, EDGE_REGISTER);
    assert_true(mac_equal(&p.rec.mac, &mac));
    edge_registered(v->e, p.id, 50, 3, 0, v->now);
    env_run(v);
    /* Later it may be free. */
    ev.src = mac = env_mac(1);
    env_tick(v, 38000000);
    v->n_pending = 0;
    edge_dp_event(v->e, &ev, v->now);
    env_run(v);
    p = asked(v, EDGE_REGISTER);
    assert_true(mac_equal(&p.rec.mac, &mac));
    env_free(v);
}

/* Known at another NVE: claimed when it answers behind this port (RFC 9135 7.1, F9). */
static void
test_learned_elsewhere_is_probed_E5(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n = {.vn_ref = VN_BY_VNI, .vni = 5};
    struct tns_request rq = {
        .op = TNS_ASSOC, .port = 1, .id = env_vsi_id(1), .n_entries = 1, .entries = &n};
    uint32_t c = env_send(v, &rq);
    env_run(v);
    struct mapping_rec rec = {.vni = 5,
        .mac = env_mac(1),
        .n_ips = 1,
        .ips = {ip_v4(0x0a010005)},
        .owner = far,
        .epoch = 9,
        .migration_id = 1};
    edge_map_set(v->e, &rec, 0, v->now);
    struct dp_event ev = {.type = DP_EV_LEARN,
        .port = 1,
        .vni = 5,
        .vid = v->answers[c].entries[0].vid,
        .src = env_mac(1)};
    for (int i = 0; i < 3; i++) {
        edge_dp_event(v->e, &ev, v->now);
        env_run(v);
    }
    assert_int_equal(v->n_frames, 1); /* asked once, not claimed */
    assert_int_equal(v->frame_port, 1);
    assert_memory_equal(v->frame, rec.mac.b, 6);
    assert_int_equal(v->fdb[env_fdb_find(v, 5, &rec.mac)].kind, FDB_REMOTE);
    uint8_t arp[42] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 2};
    memcpy(arp, v->frame + 6, 6); /* whoever asked */
    memcpy(arp + 6, rec.mac.b, 6);
    memcpy(arp + 22, rec.mac.b, 6);
    memcpy(arp + 28, (uint8_t[]){10, 1, 0, 5}, 4);
    memcpy(arp + 32, v->frame + 6, 6);
    struct dp_event said = {.type = DP_EV_MISS_MAC,
        .port = 2, /* not from there */
        .vni = 5,
        .vid = ev.vid,
        .src = env_mac(1),
        .frame = arp,
        .size = sizeof arp};
    memcpy(said.dst.b, arp, 6);
    edge_dp_event(v->e, &said, v->now);
    env_run(v);
    assert_int_equal(v->fdb[env_fdb_find(v, 5, &rec.mac)].kind, FDB_REMOTE);
    said.port = 1;
    edge_dp_event(v->e, &said, v->now);
    env_run(v);
    const struct env_fdb *f = &v->fdb[env_fdb_find(v, 5, &rec.mac)];
    assert_true(f->kind == FDB_LOCAL && f->port == 1);
    assert_true(env_own(v, 5, &rec.mac)->here);
    /* Nothing known to ask for: claimed at once, the authority damps (E5). */
    rec.mac = ev.src = env_mac(2);
    rec.n_ips = 0;
    edge_map_set(v->e, &rec, 0, v->now);
    edge_dp_event(v->e, &ev, v->now);
    env_run(v);
    assert_int_equal(v->fdb[env_fdb_find(v, 5, &rec.mac)].kind, FDB_LOCAL);
    env_quiet(v);
    env_free(v);
}

/* ---- the far ends ---- */

static uint32_t
send_confirm(struct env *v, uint8_t op, uint32_t n_macs)
{
    struct tns_entry n[3];
    struct tns_request rq = env_rq(op, 1, 1, &n[0], 5, 1);
    for (uint32_t i = 1; i < n_macs; i++)
        env_rq(op, 1, 1, &n[i], 5, 1 + i);
    rq.n_entries = (uint16_t)n_macs;
    rq.confirm = 1;
    uint32_t c = env_send(v, &rq);
    env_run(v);
    return c;
}

static uint8_t
waits_for(const struct env *v)
{
    struct edge_att_view a;
    struct vsiid id = env_vsi_id(1);
    for (uint32_t it = 0; edge_each_attachment(v->e, &it, &a, v->now);)
        if (vsiid_equal(&a.id, &id))
            return a.waiting;
    return 0;
}

static uint64_t
epoch_of(const struct env *v, uint32_t mac)
{
    struct mac m = env_mac(mac);
    return mapping_epoch(v->e, 5, &m);
}

static void
confirmed(struct env *v, uint32_t mac, uint64_t epoch)
{
    struct mac m = env_mac(mac);
    edge_confirmed(v->e, 5, &m, epoch, v->now);
    env_run(v);
}

static void
test_confirm_waits_for_all(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    uint32_t c = send_confirm(v, TNS_ASSOC, 2);
    assert_int_equal(v->answers[c].times, 0);
    assert_int_equal(waits_for(v), WAIT_REMOTE);
    assert_int_equal(env_state(v, 1, 1), ATT_ASSOC);
    confirmed(v, 1, epoch_of(v, 1) - 1); /* of an older residence */
    confirmed(v, 2, epoch_of(v, 2));
    assert_int_equal(v->answers[c].times, 0);
    confirmed(v, 1, epoch_of(v, 1));
    assert_int_equal(v->answers[c].times, 1);
    assert_int_equal(v->answers[c].r.code, TNS_OK);
    assert_int_equal(v->answers[c].r.unconfirmed, 0);
    assert_int_equal(waits_for(v), 0);
    /* Asked again it is known; without the flag nobody waits. */
    c = send_confirm(v, TNS_ASSOC, 2);
    assert_int_equal(v->answers[c].times, 1);
    assert_int_equal(v->answers[c].r.unconfirmed, 0);
    assert_int_equal(env_do(v, TNS_ASSOC, 2, 3, 5, 3)->times, 1);
    env_quiet(v);
    /* It stands in the journal before the answer: a restart while one waits keeps it.
     */
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 2, 4, &n, 5, 4);
    rq.confirm = 1;
    env_send(v, &rq);
    env_run(v);
    assert_int_equal(v->answers[v->n_answers - 1].times, 0);
    env_restart(v);
    env_run(v);
    assert_int_equal(env_state(v, 2, 4), ATT_ASSOC);
    env_free(v);
}

static void
test_confirm_before_the_journal(void **state)
{
    (void)state;
    struct env *v = mute_env();
    uint32_t c = send_confirm(v, TNS_ASSOC, 1);
    struct env_pending p = asked(v, EDGE_REGISTER);
    confirmed(v, 1, epoch_of(v, 1)); /* not acknowledged yet: of another time */
    edge_registered(v->e, p.id, 60, 4, 0, v->now);
    confirmed(v, 1, 60);
    env_run(v);
    assert_int_equal(v->answers[c].times, 1);
    assert_int_equal(v->answers[c].r.unconfirmed, 0);
    assert_int_equal(v->answers[c].r.epoch, 60);
    env_free(v);
}

static void
test_confirm_is_bounded(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    uint32_t c = send_confirm(v, TNS_ASSOC, 1);
    env_tick(v, 1900000);
    assert_int_equal(v->answers[c].times, 0);
    env_tick(v, 200000);
    assert_int_equal(v->answers[c].times, 1);
    assert_int_equal(v->answers[c].r.code, TNS_OK);
    assert_int_equal(v->answers[c].r.unconfirmed, 1);
    assert_int_equal(v->answers[c].r.unpublished, 0);
    env_quiet(v);
    /* The second asking waits again, until it comes. */
    c = send_confirm(v, TNS_ASSOC, 1);
    assert_int_equal(v->answers[c].times, 0);
    confirmed(v, 1, epoch_of(v, 1));
    assert_int_equal(v->answers[c].r.unconfirmed, 0);
    assert_int_equal(v->answers[c].times, 1);
    env_quiet(v);
    env_free(v);
    /* Nobody to ask: said at once. */
    v = env_new(false);
    c = send_confirm(v, TNS_ASSOC, 1);
    assert_int_equal(v->answers[c].times, 1);
    assert_int_equal(v->answers[c].r.unconfirmed, 1);
    env_free(v);
}

/* Published late, within the time for the far ends: the number is in the journal. */
static void
test_confirm_after_a_late_grant(void **state)
{
    (void)state;
    struct env *v = mute_env();
    uint32_t c = send_confirm(v, TNS_ASSOC, 1);
    env_tick(v, 300000);
    env_run(v);
    assert_int_equal(v->answers[c].times, 0);
    assert_true(waits_for(v) & WAIT_REMOTE);
    struct env_pending p = asked(v, EDGE_REGISTER);
    edge_registered(v->e, p.id, 60, 4, 0, v->now);
    confirmed(v, 1, 60);
    assert_int_equal(v->answers[c].times, 1);
    assert_int_equal(v->answers[c].r.unconfirmed, 0);
    assert_int_equal(v->answers[c].r.unpublished, 0);
    env_restart(v);
    assert_int_equal(epoch_of(v, 1), 60);
    env_free(v);
}

/* What concerns the VSI ends the waiting; every request has its answer. */
static void
test_confirm_is_interrupted(void **state)
{
    (void)state;
    for (int how = 0; how < 6; how++) {
        struct env *v = env_new(true);
        uint32_t c = send_confirm(v, TNS_ASSOC, 1);
        struct vn_rec gone = {.vni = 5, .deleted = 1};
        switch (how) {
        case 0:
            assert_int_equal(env_do(v, TNS_KEEPALIVE, 1, 1, 0, 0)->r.code, TNS_OK);
            assert_int_equal(v->answers[c].times, 0);
            assert_int_equal(env_do(v, TNS_TERMINATE, 1, 1, 0, 0)->r.code, TNS_OK);
            assert_int_equal(env_state(v, 1, 1), ATT_TERM);
            break;
        case 1:
            remote(v, 1000);
            assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
            break;
        case 2:
            edge_vn(v->e, &gone, 0, v->now);
            env_run(v);
            assert_true(env_state(v, 1, 1) == ATT_TERM);
            break;
        case 3:
            edge_port_gone(v->e, 1, v->now);
            env_run(v);
            break;
        case 4:
            edge_port_link(v->e, 1, false, v->now);
            v->conf.settings[0] = 0;
            env_tick(v, 1999999); /* T_flap is longer than T_confirm: unconfirmed */
            assert_int_equal(v->answers[c].times, 0);
            env_tick(v, 1001000);
            env_run(v);
            assert_int_equal(env_state(v, 1, 1), ATT_SUSP);
            break;
        case 5:
            edge_session(v->e, false, v->now);
            edge_session(v->e, true, v->now); /* registered again, confirmed again */
            env_run(v);
            assert_int_equal(v->answers[c].times, 0);
            confirmed(v, 1, epoch_of(v, 1));
            assert_int_equal(v->answers[c].r.unconfirmed, 0);
            break;
        }
        assert_int_equal(v->answers[c].times, 1);
        assert_int_equal(attach_in_flight(v->e), 0);
        env_free(v);
    }
}

static void
test_print(void **state)
{
    (void)state;
    struct vsiid a = env_vsi_id(1), b = env_vsi_id(2), c = a;
    c.format = VSIID_LOCAL;
    assert_true(vsiid_print(&a) == vsiid_print(&a));
    assert_true(vsiid_print(&a) != vsiid_print(&b));
    assert_true(vsiid_print(&a) != vsiid_print(&c));
    /* The wire has it: the same on every machine, for ever. */
    assert_true(vsiid_print(&a) == UINT64_C(0x389e20c023136a80));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_vsi_may_not_claim),
        cmocka_unit_test(test_learned_gives_way),
        cmocka_unit_test(test_a_foreign_router_gives_way),
        cmocka_unit_test(test_free_when_the_holder_is_gone),
        cmocka_unit_test(test_refresh_is_not_refused),
        cmocka_unit_test(test_refused_claim_is_undone),
        cmocka_unit_test(test_refused_with_others),
        cmocka_unit_test(test_refused_after_the_push),
        cmocka_unit_test(test_late_refusal),
        cmocka_unit_test(test_epoch_conflict_is_another),
        cmocka_unit_test(test_epoch_out_of_range),
        cmocka_unit_test(test_learned_names_no_vsi),
        cmocka_unit_test(test_learned_is_refused),
        cmocka_unit_test(test_learned_elsewhere_is_probed_E5),
        cmocka_unit_test(test_confirm_waits_for_all),
        cmocka_unit_test(test_confirm_before_the_journal),
        cmocka_unit_test(test_confirm_is_bounded),
        cmocka_unit_test(test_confirm_after_a_late_grant),
        cmocka_unit_test(test_confirm_is_interrupted),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
