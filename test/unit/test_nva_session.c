/* SPDX-License-Identifier: Apache-2.0 */
/* NVEs at the authority: registration, grants, pushes, confirmations (K4, K5), restarts
 * with the recorded disk (K7), and what bad peers get. */
#include "nva_rig.h"

/* K11: who pulls a VN's mappings hears of its members, or it would drop their frames.
 */
static void
test_members_alone(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    lisp_session_watch(b->s, 5000);
    rig_run(r);
    assert_int_equal(rig_count(b, LISP_SEV_SNAPSHOT_END), 1);
    assert_int_equal(rig_count(b, LISP_SEV_MEMBER), 1);
    assert_true(ip_equal(&rig_event(b, LISP_SEV_MEMBER)->vtep, &a->vtep));
    rig_register(r, a, 2, 5000, 2, 0, LISP_RT_F_CLAIM);
    assert_int_equal(rig_count(b, LISP_SEV_NOTIFY), 0);
    /* The VN is pushed from now on: all of it comes. */
    lisp_session_subscribe(b->s, 5000);
    rig_run(r);
    assert_int_equal(rig_count(b, LISP_SEV_NOTIFY), 2);
    rig_free(r);
}

/* K11: an edge takes the first packet of one that is new in a VN, however late it hears
 * of that: every endpoint is known from the beginning of the session. */
static void
test_endpoints(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    struct rig_nve *a = rig_nve(r, 0);
    assert_int_equal(a->n_lists, 1);
    assert_int_equal(a->n_known, 0);
    struct rig_nve *b = rig_nve(r, 1);
    rig_run(r);
    assert_true(a->n_known == 1 && rig_knows(a, &b->vtep));
    assert_true(b->n_known == 1 && rig_knows(b, &a->vtep));
    /* A restart of the authority tells it anew; who has not said yet what it has is not
     * gone (F13), so the list ends with T_recover at last. */
    rig_kill(r);
    rig_start(r);
    rig_pass(r, 20000000);
    assert_int_equal(a->n_lists, 1);
    rig_pass(r, 20000000);
    assert_int_equal(a->n_lists, 2);
    assert_true(rig_knows(a, &b->vtep) && rig_knows(b, &a->vtep));
    rig_free(r);
}

static void
test_register_and_push(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, ",\"mtu\":1400,\"arp\":\"flood\"");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    assert_non_null(rig_event(a, LISP_SEV_UP));
    assert_int_equal(rig_event(a, LISP_SEV_UP)->incarnation, r->conf.incarnation);

    lisp_session_vn_lookup(b->s, 9, 0, "vn5000");
    lisp_session_vn_lookup(b->s, 10, 4711, "");
    rig_run(r);
    struct lisp_session_event *e = rig_event(b, LISP_SEV_VN);
    assert_non_null(e);
    assert_int_equal(e->vn.ref, 9);
    assert_int_equal(e->vn.vni, 5000);
    assert_int_equal(e->vn.mtu, 1400);
    assert_int_equal(e->vn.arp_policy, LISP_VN_ARP_FLOOD);
    e = rig_event(b, LISP_SEV_REJECT);
    assert_int_equal(e->ref, 10);
    assert_int_equal(e->reason, LISP_RT_R_NO_VN);

    lisp_session_subscribe(b->s, 5000);
    rig_run(r);
    assert_int_equal(rig_count(b, LISP_SEV_SNAPSHOT_BEGIN), 1);
    assert_int_equal(rig_count(b, LISP_SEV_SNAPSHOT_END), 1);

    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    e = rig_event(a, LISP_SEV_ACK);
    assert_non_null(e);
    uint64_t epoch = e->epoch;
    assert_true(epoch > 0);
    e = rig_event(b, LISP_SEV_NOTIFY);
    assert_non_null(e);
    assert_int_equal(e->record.rlocs[0].epoch, epoch);
    assert_true(ip_equal(&e->record.rlocs[0].owner, &a->vtep));
    assert_int_equal(e->record.rlocs[0].n_ips, 1);
    assert_int_equal(rig_count(b, LISP_SEV_MEMBER), 1);
    /* b has acknowledged: the far ends are installed. */
    e = rig_event(a, LISP_SEV_CONFIRM);
    assert_non_null(e);
    assert_int_equal(e->epoch, epoch);

    /* Nobody speaks for another NVE. */
    struct mapping_rec m = {
        .vni = 5000, .mac = rig_mac(2), .owner = b->vtep, .epoch = 5};
    struct lisp_record rec;
    lisp_record_of(&m, NULL, &rec);
    lisp_session_register(a->s, 77, 0, &rec);
    rig_run(r);
    e = rig_event(a, LISP_SEV_REJECT);
    assert_int_equal(e->ref, 77);
    assert_int_equal(e->reason, LISP_RT_R_POLICY);

    /* Stale ones are told who owns it; only the owner withdraws (E4). */
    rig_register(r, b, 78, 5000, 1, epoch - 1, 0);
    e = rig_event(b, LISP_SEV_REJECT);
    assert_int_equal(e->reason, LISP_RT_R_STALE);
    assert_int_equal(e->epoch, epoch);
    assert_true(ip_equal(&e->owner, &a->vtep));
    struct mac mac = rig_mac(1);
    struct lisp_eid eid = lisp_eid_mac(5000, &mac);
    lisp_session_withdraw(b->s, 80, &eid, &a->vtep, epoch);
    rig_run(r);
    assert_int_equal(rig_event(b, LISP_SEV_REJECT)->reason, LISP_RT_R_NOT_OWNER);
    lisp_session_withdraw(a->s, 81, &eid, &a->vtep, epoch);
    rig_run(r);
    assert_int_equal(rig_event(a, LISP_SEV_ACK)->ref, 81);
    assert_int_equal(rig_event(b, LISP_SEV_NOTIFY)->record.ttl_min, 0);
    rig_free(r);
}

static void
test_migration(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1), *c = rig_nve(r, 2);
    lisp_session_subscribe(c->s, 5000);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    uint64_t e1 = rig_event(a, LISP_SEV_ACK)->epoch;
    struct mac mac = rig_mac(1);
    lisp_session_reserve(b->s, 2, 5000, &mac, 0, e1, 0xabcdef);
    rig_run(r);
    struct lisp_session_event *g = rig_event(b, LISP_SEV_GRANT);
    assert_non_null(g);
    uint64_t e2 = g->epoch;
    assert_true(e2 > e1);
    assert_int_equal(g->migration_id, 0xabcdef);
    struct lisp_session_event *t = rig_event(a, LISP_SEV_RESERVED);
    assert_non_null(t); /* the old owner hears where the VM goes to */
    assert_true(t->epoch == e2 && t->migration_id == 0xabcdef && t->vni == 5000 &&
                mac_equal(&t->mac, &mac) && ip_equal(&t->owner, &b->vtep));
    uint8_t last;
    char row[256];
    snprintf(row, sizeof row,
        "{\"vni\":5000,\"vn\":\"vn5000\",\"mac\":\"02:00:00:00:00:01\",\"owner\":"
        "\"10.255.0.1\",\"target\":\"10.255.0.2\",\"epoch\":\"%llu\",\"migration\":"
        "\"11259375\",\"age_s\":0.0}\n",
        (unsigned long long)e2);
    assert_string_equal(rig_ctl(r, "{\"cmd\":\"show reservations\"}", &last), row);
    assert_string_equal(
        rig_ctl(r, "{\"cmd\":\"show reservations\",\"vni\":5001}", &last), "");
    assert_non_null(
        strstr(rig_ctl(r, "{\"cmd\":\"show mappings\"}", &last), "\"frozen\":false"));
    assert_null(rig_event(b, LISP_SEV_RESERVED));
    assert_null(rig_event(c, LISP_SEV_RESERVED));
    struct mapping_rec m = {.vni = 5000,
        .mac = mac,
        .owner = b->vtep,
        .epoch = e2,
        .migration_id = 0xabcdef};
    struct lisp_record rec;
    lisp_record_of(&m, NULL, &rec);
    lisp_session_register(b->s, 3, 0, &rec);
    rig_run(r);
    assert_int_equal(rig_event(b, LISP_SEV_ACK)->epoch, e2);
    /* The subscriber, and the old owner although it subscribed to nothing (D1). */
    assert_true(
        ip_equal(&rig_event(c, LISP_SEV_NOTIFY)->record.rlocs[0].owner, &b->vtep));
    assert_true(
        ip_equal(&rig_event(a, LISP_SEV_NOTIFY)->record.rlocs[0].owner, &b->vtep));
    rig_free(r);
}

/* A subscriber that has not acknowledged holds back the confirmation, not the answer.
 */
/* The authority dies between the grant and the registration at that number. */
static void
test_migration_over_restart(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    lisp_session_register_end(a->s);
    lisp_session_register_end(b->s);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    struct lisp_session_event *ev = rig_event(a, LISP_SEV_ACK);
    uint64_t e1 = ev->epoch, id1 = ev->migration_id;
    struct mac mac = rig_mac(1);
    lisp_session_reserve(b->s, 2, 5000, &mac, 0, e1, 0xabcdef);
    rig_run(r);
    uint64_t e2 = rig_event(b, LISP_SEV_GRANT)->epoch;
    rig_forget(r);
    rig_kill(r);
    rig_start(r);
    rig_pass(r, 3000000);
    assert_non_null(rig_event(a, LISP_SEV_UP));
    r->migration = id1;
    rig_register(r, a, 3, 5000, 1, e1, LISP_RT_F_REFRESH);
    assert_int_equal(rig_event(a, LISP_SEV_ACK)->epoch, e1);
    lisp_session_register_end(a->s);
    rig_run(r);
    ev = rig_event(a, LISP_SEV_RESERVED); /* told again */
    assert_non_null(ev);
    assert_true(ev->epoch == e2 && ip_equal(&ev->owner, &b->vtep));
    /* Recovery holds up grants, not what was granted. */
    assert_true(registry_recovering(nva_registry(r->n)));
    r->migration = 0xabcdef;
    rig_register(r, b, 4, 5000, 1, e2, 0);
    ev = rig_event(b, LISP_SEV_ACK);
    assert_non_null(ev);
    assert_int_equal(ev->epoch, e2);
    ev = rig_event(a, LISP_SEV_NOTIFY); /* and relays */
    assert_non_null(ev);
    assert_true(ip_equal(&ev->record.rlocs[0].owner, &b->vtep));
    rig_free(r);
}

static void
test_confirmation_waits(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    lisp_session_subscribe(b->s, 5000);
    rig_run(r);
    b->lazy = true;
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    assert_non_null(rig_event(a, LISP_SEV_ACK));
    assert_non_null(rig_event(b, LISP_SEV_NOTIFY));
    assert_null(rig_event(a, LISP_SEV_CONFIRM));
    lisp_session_seq_ack(b->s, b->last_seq);
    rig_run(r);
    assert_non_null(rig_event(a, LISP_SEV_CONFIRM));
    rig_free(r);
}

static void
test_restart(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, ",\"reply\":\"distributed\"");
    rig_vn(r, 5001, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    uint64_t top = 0;
    for (uint32_t i = 1; i <= 50; i++) {
        rig_register(r, a, i, 5000, i, 0, LISP_RT_F_CLAIM);
        uint64_t e = rig_event(a, LISP_SEV_ACK)->epoch;
        assert_true(e > top);
        top = e;
    }
    rig_register(r, b, 1, 5001, 1, 0, LISP_RT_F_CLAIM);
    top = rig_event(b, LISP_SEV_ACK)->epoch;
    for (unsigned round = 0; round < 3; round++) {
        rig_forget(r);
        rig_kill(r);
        assert_non_null(rig_event(a, LISP_SEV_DOWN));
        rig_start(r);
        assert_true(registry_recovering(nva_registry(r->n)));
        rig_pass(r, 3000000); /* they come back by themselves */
        assert_non_null(rig_event(a, LISP_SEV_UP));
        assert_non_null(rig_event(b, LISP_SEV_UP));
        /* Claims wait for what is not known yet (K4). */
        rig_register(r, a, 1000, 5000, 99, 0, LISP_RT_F_CLAIM);
        assert_null(rig_event(a, LISP_SEV_ACK));
        rig_register(r, b, 1, 5001, 1, top, LISP_RT_F_REFRESH);
        if (round == 0)
            assert_int_equal(rig_event(b, LISP_SEV_ACK)->epoch, top);
        lisp_session_register_end(a->s);
        rig_run(r);
        assert_null(rig_event(a, LISP_SEV_ACK));
        lisp_session_register_end(b->s);
        rig_run(r);
        assert_false(registry_recovering(nva_registry(r->n)));
        struct lisp_session_event *e = rig_event(a, LISP_SEV_ACK);
        assert_non_null(e);
        assert_true(e->epoch > top); /* no number twice */
        top = e->epoch;
        const struct vn_rec *vn = registry_vn(nva_registry(r->n), 0, "vn5000");
        assert_non_null(vn);
        assert_false(vn->centralised);
        assert_non_null(registry_vn(nva_registry(r->n), 5001, NULL));
    }
    rig_free(r);
}

/* Known NVEs that never come back: T_recover ends the wait. */
static void
test_recover_timeout(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    rig_nve(r, 0);
    struct rig_nve *b = rig_nve(r, 1);
    rig_kill(r);
    lisp_session_free(r->nves[0].s);
    r->nves[0].s = NULL;
    rig_start(r);
    rig_pass(r, 3000000);
    rig_register(r, b, 5, 5000, 1, 0, LISP_RT_F_CLAIM);
    lisp_session_register_end(b->s);
    rig_pass(r, 1000000);
    assert_null(rig_event(b, LISP_SEV_ACK));
    rig_pass(r, nva_settings[NVA_SET_RECOVER_US].def);
    assert_non_null(rig_event(b, LISP_SEV_ACK));
    rig_free(r);
}

static void
test_replace_and_loss(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *watcher = rig_nve(r, 2);
    lisp_session_subscribe(watcher->s, 5000);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    uint64_t epoch = rig_event(a, LISP_SEV_ACK)->epoch;
    r->migration = rig_event(a, LISP_SEV_ACK)->migration_id;
    /* The same NVE on another stream: the newer one counts, its mappings stay. */
    struct rig_nve *twin = &r->nves[5];
    twin->vtep = a->vtep;
    struct lisp_session_conf c = {.id = "tor1",
        .vtep = a->vtep,
        .key = (const uint8_t *)SECRET,
        .key_size = strlen(SECRET),
        .seed = 99};
    twin->s = lisp_session_new_client(&c, r->now);
    rig_run(r);
    assert_true(lisp_session_is_up(twin->s));
    assert_int_equal(rig_event(a, LISP_SEV_DOWN)->reason, LISP_RT_R_REPLACED);
    lisp_session_free(a->s);
    a->s = NULL;
    rig_run(r);
    assert_int_equal(registry_count(nva_registry(r->n)), 1);
    rig_register(r, twin, 1, 5000, 1, epoch, LISP_RT_F_REFRESH);
    lisp_session_register_end(twin->s);
    rig_run(r);
    assert_non_null(rig_event(twin, LISP_SEV_ACK));
    /* Another name with the same endpoint is refused while that one is up. */
    struct rig_nve *thief = &r->nves[6];
    c.id = "thief";
    thief->vtep = a->vtep;
    thief->s = lisp_session_new_client(&c, r->now);
    rig_run(r);
    assert_int_equal(rig_event(thief, LISP_SEV_DOWN)->reason, LISP_RT_R_CONFLICT);
    lisp_session_free(thief->s);
    thief->s = NULL;
    /* Lost: its mappings stand for T_stale, then go (K11). */
    lisp_session_stop(twin->s, LISP_RT_R_SHUTDOWN, r->now);
    rig_run(r);
    assert_int_equal(registry_count(nva_registry(r->n)), 1);
    rig_pass(r, nva_settings[NVA_SET_STALE_US].def + 1000000);
    assert_int_equal(registry_count(nva_registry(r->n)), 0);
    assert_int_equal(rig_event(watcher, LISP_SEV_NOTIFY)->record.ttl_min, 0);
    rig_free(r);
}

static void
test_keys(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    /* A key that names the NVE goes before the one for all. */
    struct rig_nve *own = rig_nve_with(r, 0, "tor-own", "a secret of its own");
    assert_true(lisp_session_is_up(own->s));
    lisp_session_free(own->s);
    own->s = NULL;
    struct rig_nve *bad = rig_nve_with(r, 1, "tor-own", SECRET);
    assert_false(lisp_session_is_up(bad->s));
    assert_int_equal(rig_event(bad, LISP_SEV_DOWN)->reason, LISP_RT_R_AUTH);
    struct rig_nve *liar = rig_nve_with(r, 2, "tor9", "another secret");
    assert_false(lisp_session_is_up(liar->s));
    rig_free(r);
}

/* A peer that does not read: held back, then cut; the others are not hindered. */
static void
test_slow(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *slow = rig_nve(r, 1), *good = rig_nve(r, 2);
    lisp_session_subscribe(slow->s, 5000);
    lisp_session_subscribe(good->s, 5000);
    rig_run(r);
    struct nva_in in = {.type = NVA_IN_STREAM_BLOCKED, .conn = slow->conn};
    rig_feed(r, &in);
    unsigned seen = slow->n_seen;
    for (uint32_t i = 1; i <= 100; i++)
        rig_register(r, a, i, 5000, i, 0, LISP_RT_F_CLAIM);
    assert_int_equal(rig_count(good, LISP_SEV_NOTIFY), 100);
    assert_int_equal(slow->n_seen, seen);
    /* It takes octets again: the newest state of each key comes, in order. */
    in.type = NVA_IN_STREAM_DRAINED;
    rig_feed(r, &in);
    rig_run(r);
    assert_int_equal(rig_count(slow, LISP_SEV_NOTIFY), 100);
    in.type = NVA_IN_STREAM_BLOCKED;
    rig_feed(r, &in);
    slow->deaf = true;
    unsigned closed = r->n_closed;
    uint64_t hold = nva_settings[NVA_SET_HOLD_US].def;
    uint64_t conn = slow->conn;
    lisp_session_free(slow->s); /* a process that hangs: neither reads nor writes */
    slow->s = NULL;
    rig_pass(r, hold + 1000000);
    assert_int_equal(r->n_closed, closed + 1);
    assert_int_equal(r->last_closed, conn);
    assert_true(lisp_session_is_up(good->s));
    rig_free(r);
}

/* Octets that are no session at all, and half of one. */
static void
test_hostile(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct rng rng;
    uint8_t b[700], nonce[32] = {1};
    struct nva_out o;
    rng_seed(&rng, 42);
    rig_start(r);
    rig_vn(r, 5000, "");
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t conn = 100000 + i;
        struct nva_in in = {.type = NVA_IN_STREAM_OPEN,
            .conn = conn,
            .p = nonce,
            .size = sizeof nonce,
            .from = ip_v4(0x7f000001)};
        nva_input(r->n, &in, r->now);
        rng_bytes(&rng, b, sizeof b);
        if (i % 3 == 0) { /* a head that looks like HELLO */
            b[0] = 0xfb;
            b[1] = 0x01;
            b[2] = 0;
            b[3] = (uint8_t)rng_below(&rng, 200);
        }
        in = (struct nva_in){.type = NVA_IN_STREAM_DATA,
            .conn = conn,
            .p = b,
            .size = 1 + rng_below(&rng, sizeof b)};
        nva_input(r->n, &in, r->now);
        while (nva_output(r->n, &o))
            if (o.type == NVA_OUT_STREAM_DATA)
                assert_true(o.size < 200);
        if (i % 5 == 0) {
            in = (struct nva_in){.type = NVA_IN_STREAM_CLOSED, .conn = conn};
            nva_input(r->n, &in, r->now);
        }
        struct nva_in udp = {.type = NVA_IN_UDP,
            .p = b,
            .size = rng_below(&rng, sizeof b),
            .from = ip_v4(0x7f000001),
            .from_port = 5};
        b[0] = (uint8_t)(rng_below(&rng, 16) << 4);
        nva_input(r->n, &udp, r->now);
        while (nva_output(r->n, &o))
            continue;
    }
    /* Handshakes that never end are ended. */
    r->now += nva_settings[NVA_SET_HANDSHAKE_US].def + 1;
    struct nva_in tick = {.type = NVA_IN_TICK};
    nva_input(r->n, &tick, r->now);
    while (nva_output(r->n, &o))
        continue;
    uint8_t last;
    const char *rows = rig_ctl(r, "{\"cmd\":\"show sessions\"}", &last);
    assert_int_equal(last, 1);
    assert_string_equal(rows, "");
    rig_free(r);
}

static void
test_too_many(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->conf.settings[NVA_SET_MAX_STREAMS] = 2;
    rig_start(r);
    assert_true(lisp_session_is_up(rig_nve(r, 0)->s));
    assert_true(lisp_session_is_up(rig_nve(r, 1)->s));
    unsigned closed = r->n_closed;
    struct rig_nve *c = rig_nve(r, 2);
    assert_int_equal(r->n_closed, closed + 1);
    assert_false(lisp_session_is_up(c->s));
    rig_free(r);
}

static void
test_goodbye(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    struct rig_nve *a = rig_nve(r, 0);
    struct nva_in in = {.type = NVA_IN_STOP};
    rig_feed(r, &in);
    struct nva_out o;
    while (nva_output(r->n, &o))
        rig_out(r, &o);
    while (rig_nve_pull(r, a))
        continue;
    assert_int_equal(rig_event(a, LISP_SEV_DOWN)->reason, LISP_RT_R_SHUTDOWN);
    rig_free(r);
}

/* A key that was pulled and vanishes is pushed as negative, whatever it is asked by. */
static void
test_pulled_key_gone(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    uint64_t epoch = rig_event(a, LISP_SEV_ACK)->epoch;
    struct ip ip = ip_v4(0x0a000001);
    struct lisp_request q = {.nonce = 5,
        .n_itrs = 1,
        .itrs = {b->vtep},
        .n_eids = 1,
        .eids = {lisp_eid_ip(5000, &ip)}};
    uint8_t p[256], out[1500];
    uint32_t size =
        (uint32_t)lisp_request_encode(&q, &lisp_dialect_default, p, sizeof p);
    struct ip to;
    uint16_t port;
    assert_true(nva_udp_fast(r->n, p, size, &b->vtep, 4342, out, sizeof out, &to, &port,
                    r->now) > 0);
    rig_run(r);
    struct mac mac = rig_mac(1);
    struct lisp_eid eid = lisp_eid_mac(5000, &mac);
    lisp_session_withdraw(a->s, 2, &eid, &a->vtep, epoch);
    rig_run(r);
    struct lisp_session_event *e = rig_event(b, LISP_SEV_NOTIFY);
    assert_non_null(e);
    assert_int_equal(e->record.n_rlocs, 0);
    assert_int_equal(e->record.act, LISP_ACT_DROP);
    assert_true(e->record.ttl_min > 0);
    assert_int_equal(e->record.eid.kind, LISP_EID_IP);
    /* And it comes back by itself when somebody registers it. */
    rig_register(r, a, 3, 5000, 1, 0, LISP_RT_F_CLAIM);
    e = rig_event(b, LISP_SEV_NOTIFY);
    assert_int_equal(e->record.n_rlocs, 1);
    rig_free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_register_and_push),
        cmocka_unit_test(test_members_alone),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_migration),
        cmocka_unit_test(test_migration_over_restart),
        cmocka_unit_test(test_confirmation_waits),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_recover_timeout),
        cmocka_unit_test(test_replace_and_loss),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_pulled_key_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
