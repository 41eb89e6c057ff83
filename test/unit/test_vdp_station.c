/* SPDX-License-Identifier: Apache-2.0 */
/* The station alone against hand-made answers, and back to back with the bridge. */
#include "vdp_pair.h"

#define N_MAX 512
struct world {
    uint32_t n_requests, n_claims, n_keepalives; /* seen by the bridge's node */
    uint32_t claims[N_MAX]; /* per VSI: requests that change something */
    uint32_t n_events[8];
    uint8_t state[N_MAX]; /* 0 unknown, 1 ok, 2 refused or lost, 3 gone */
    uint16_t vid[N_MAX];
    uint8_t refuse_code;
    bool refuse_keep;
};

static uint32_t
number_of(const struct vdp_key *key)
{
    return (uint32_t)key->id.b[14] << 8 | key->id.b[15];
}

static void
node_answers(struct pair *p, const struct vdp_request *r)
{
    struct world *w = p->ctx;
    static struct vdp_entry e[VDP_ENTRIES_MAX];
    uint32_t n = number_of(&r->key);
    w->n_requests++;
    w->n_keepalives += r->keepalive;
    if (!r->keepalive) {
        w->n_claims++;
        w->claims[n]++;
    }
    memcpy(e, r->entries, r->n_entries * sizeof *e);
    for (uint16_t i = 0; i < r->n_entries; i++) {
        if (e[i].vid == 0) {
            e[i].vid = (uint16_t)(2 + n);
            e[i].ps = true;
            e[i].pcp = 5;
        }
    }
    struct vdp_answer a = {.code = w->refuse_code,
        .keep = w->refuse_keep,
        .n_entries = r->n_entries,
        .entries = e,
        .has_berth = true};
    a.berth.op = r->berth.op;
    a.berth.epoch = 77;
    a.berth.mtu = 1450;
    assert_true(vdp_bridge_answer(p->bridge, r->handle, &a, p->now_us));
    assert_false(vdp_bridge_answer(p->bridge, r->handle, &a, p->now_us)); /* once */
}

static void
station_hears(struct pair *p, const struct vdp_station_out *o)
{
    struct world *w = p->ctx;
    uint32_t n = number_of(&o->key);
    w->n_events[o->event]++;
    if (o->event == VDP_STATION_RESULT && o->code == 0 && o->type != VDP_DEASSOC) {
        w->state[n] = 1;
        w->vid[n] = o->entries[0].vid;
        assert_true(!o->has_berth || o->berth.flags & BERTH_FLAG_RESPONSE);
    } else if (o->event == VDP_STATION_RESULT && o->code == 0) {
        w->state[n] = 3;
    } else {
        w->state[n] = 2;
    }
}

static struct vdp_station_request
request(uint32_t n, enum berth_op op, bool berth, struct vdp_entry *e)
{
    struct vdp_station_request r = {.cookie = n,
        .filter_format = VDP_FILTER_GROUP_MAC,
        .n_entries = 1,
        .entries = e};
    *e = (struct vdp_entry){
        .group = 70000, .mac = {{2, 0, 0, 9, (uint8_t)(n >> 8), (uint8_t)n}}};
    memcpy(r.key.mgrid, "mgr", 3);
    r.key.type_id = 5;
    r.key.id = (struct vsiid){.format = VSIID_UUID};
    r.key.id.b[14] = (uint8_t)(n >> 8);
    r.key.id.b[15] = (uint8_t)n;
    assert_true(vdp_station_op(&r, op, BERTH_PHASE_NONE));
    r.has_berth = berth;
    return r;
}

static void
ask(struct pair *p, uint32_t n, enum berth_op op, bool berth)
{
    struct vdp_entry e;
    struct vdp_station_request r = request(n, op, berth, &e);
    assert_true(vdp_station_request(p->station, &r, p->now_us));
}

static void
open_pair(struct pair *p, struct world *w, uint64_t seed, bool ours)
{
    struct mac bm = pair_bridge_mac, sm = pair_station_mac;
    struct vdp_bridge_conf b = vdp_bridge_defaults(&bm);
    struct vdp_station_conf s = vdp_station_defaults(&sm);
    memset(w, 0, sizeof *w);
    b.seed = s.seed = seed;
    pair_init(p, seed, &b, &s);
    p->on_request = node_answers;
    p->on_event = station_hears;
    p->ctx = w;
    vdp_bridge_set_peer(p->bridge, &sm, &b.timers, ours, false, p->now_us);
    vdp_station_set_peer(p->station, &b.timers, ours, false, p->now_us);
}

#define SECOND 1000000ull

static void
clean_link(void **state)
{
    (void)state;
    for (int ours = 0; ours < 2; ours++) {
        struct pair p;
        struct world w;
        open_pair(&p, &w, 1, ours);
        for (uint32_t n = 0; n < 300; n++)
            ask(&p, n, BERTH_OP_ASSOC, ours);
        pair_run(&p, 5 * SECOND);
        assert_int_equal(vdp_bridge_n_vsis(p.bridge), 300);
        assert_int_equal(vdp_station_n_vsis(p.station), 300);
        assert_int_equal(w.n_events[VDP_STATION_RESULT], 300);
        assert_int_equal(w.n_claims, 300);
        for (uint32_t n = 0; n < 300; n++) {
            assert_int_equal(w.state[n], 1);
            assert_int_equal(w.vid[n], 2 + n);
        }
        assert_int_equal(p.n_no_end + p.n_oversize, 0);
        /* Full PDUs: 41 octets per VSI, 62 with Berth's TLV. */
        assert_true(p.n_bridge_pdus <= (ours ? 25 : 11));
        if (!ours)
            assert_true(p.min_gap_us >= ECP_LINK_GAP_US);
        /* Keep-alives are seen as such and never as claims. */
        pair_run(&p, 400 * SECOND);
        assert_int_equal(w.n_claims, 300);
        assert_true(w.n_keepalives >= 300);
        assert_int_equal(w.n_events[VDP_STATION_LOST], 0);
        for (uint32_t n = 0; n < 300; n++)
            ask(&p, n, BERTH_OP_TERMINATE, ours);
        pair_run(&p, p.now_us + 5 * SECOND);
        for (uint32_t n = 0; n < 300; n++)
            assert_int_equal(w.state[n], 3);
        assert_int_equal(vdp_bridge_n_vsis(p.bridge), 0);
        assert_int_equal(vdp_station_n_vsis(p.station), 0);
        pair_done(&p);
    }
}

/* Loss, copies and reordering: all end associated and nothing is executed twice. */
static void
bad_link(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct pair p;
        struct world w;
        open_pair(&p, &w, seed, seed & 1);
        p.loss = 50000 * (uint32_t)(seed % 5);
        p.copy = 200000;
        p.delay_us = seed % 3 ? 3000 : 20000;
        const uint32_t n_vsis = 60;
        for (uint32_t n = 0; n < n_vsis; n++) {
            ask(&p, n, BERTH_OP_ASSOC, seed & 1);
            if (n % 7 == 0)
                pair_run(&p, p.now_us + rng_below(&p.rng, 4000));
        }
        /* What was given up is asked again by its owner, as a node would. */
        for (int round = 0; round < 20; round++) {
            pair_run(&p, p.now_us + 60 * SECOND);
            for (uint32_t n = 0; n < n_vsis; n++)
                if (w.state[n] == 2) {
                    w.state[n] = 0;
                    ask(&p, n, BERTH_OP_ASSOC, seed & 1);
                }
        }
        for (uint32_t n = 0; n < n_vsis; n++) {
            assert_int_equal(w.state[n], 1);
            assert_int_equal(w.vid[n], 2 + n);
            assert_int_equal(w.claims[n], 1);
        }
        assert_int_equal(vdp_bridge_n_vsis(p.bridge), n_vsis);
        assert_int_equal(p.n_no_end + p.n_oversize, 0);
        if (!(seed & 1))
            assert_true(p.min_gap_us >= ECP_LINK_GAP_US);
        /* An old copy of an association does not come back after the end of the VSI. */
        for (uint32_t n = 0; n < n_vsis; n++)
            ask(&p, n, BERTH_OP_TERMINATE, seed & 1);
        for (int round = 0; round < 20; round++) {
            pair_run(&p, p.now_us + 60 * SECOND);
            for (uint32_t n = 0; n < n_vsis; n++)
                if (w.state[n] == 2) {
                    w.state[n] = 0;
                    ask(&p, n, BERTH_OP_TERMINATE, seed & 1);
                }
        }
        assert_int_equal(vdp_bridge_n_vsis(p.bridge), 0);
        assert_int_equal(vdp_station_n_vsis(p.station), 0);
        pair_done(&p);
    }
}

static void
one_request_at_a_time(void **state)
{
    (void)state;
    struct pair p;
    struct world w;
    open_pair(&p, &w, 3, true);
    ask(&p, 1, BERTH_OP_ASSOC, true);
    ask(&p, 1, BERTH_OP_SUSPEND, true);
    ask(&p, 1, BERTH_OP_RESUME, true); /* takes the place of the one that waits */
    pair_run(&p, SECOND);
    assert_int_equal(w.n_events[VDP_STATION_SUPERSEDED], 1);
    assert_int_equal(w.n_events[VDP_STATION_RESULT], 2);
    assert_int_equal(w.claims[1], 2);
    ask(&p, 1, BERTH_OP_SUSPEND, true);
    pair_run(&p, 2 * SECOND);
    assert_int_equal(w.claims[1], 3); /* S and the operation make it another request */
    pair_done(&p);
}

static void
refusals(void **state)
{
    (void)state;
    struct pair p;
    struct world w;
    open_pair(&p, &w, 4, true);
    w.refuse_code = VDP_CODE_RESOURCES;
    ask(&p, 1, BERTH_OP_ASSOC, true);
    pair_run(&p, SECOND);
    assert_int_equal(w.state[1], 2);
    assert_int_equal(vdp_station_n_vsis(p.station), 0);
    assert_int_equal(vdp_bridge_n_vsis(p.bridge), 0);
    w.refuse_code = VDP_CODE_OK;
    ask(&p, 1, BERTH_OP_ASSOC, true);
    pair_run(&p, 2 * SECOND);
    assert_int_equal(w.state[1], 1);
    w.refuse_code = VDP_CODE_OTHER;
    w.refuse_keep = true;
    ask(&p, 1, BERTH_OP_SUSPEND, true);
    pair_run(&p, 3 * SECOND);
    assert_int_equal(vdp_station_n_vsis(p.station), 1);
    assert_int_equal(vdp_bridge_n_vsis(p.bridge), 1);
    w.refuse_keep = false; /* the next keep-alive ends it */
    pair_run(&p, 400 * SECOND);
    assert_int_equal(w.n_events[VDP_STATION_LOST], 1);
    assert_int_equal(vdp_station_n_vsis(p.station), 0);
    pair_done(&p);
}

static void
unsolicited(void **state)
{
    (void)state;
    struct pair p;
    struct world w;
    open_pair(&p, &w, 5, true);
    for (uint32_t n = 0; n < 40; n++)
        ask(&p, n, BERTH_OP_ASSOC, false);
    pair_run(&p, SECOND);
    uint32_t pdus = p.n_bridge_pdus;
    for (uint32_t n = 0; n < 40; n++) {
        struct vdp_entry e;
        struct vdp_key key = request(n, BERTH_OP_ASSOC, false, &e).key;
        struct berth_tlv why = {.reason = BERTH_REASON_MOVED};
        assert_true(vdp_bridge_deassoc(p.bridge, &key.id, &why, p.now_us));
        assert_false(vdp_bridge_deassoc(p.bridge, &key.id, &why, p.now_us));
    }
    pair_run(&p, 2 * SECOND);
    assert_int_equal(w.n_events[VDP_STATION_DEASSOC], 40);
    assert_true(p.n_bridge_pdus - pdus <= 3);
    assert_int_equal(vdp_station_n_vsis(p.station), 0);
    assert_int_equal(vdp_bridge_n_vsis(p.bridge), 0);
    pair_done(&p);
}

static void
silent_bridge(void **state)
{
    (void)state;
    struct mac sm = pair_station_mac;
    struct vdp_station_conf c = vdp_station_defaults(&sm);
    struct vdp_station *s = vdp_station_new(&c, 0);
    struct vdp_entry e;
    struct vdp_station_request r = request(1, BERTH_OP_ASSOC, true, &e);
    assert_true(vdp_station_request(s, &r, 0));
    uint64_t now = 0;
    struct vdp_station_out o = {.event = VDP_STATION_FRAME};
    uint32_t n_frames = 0;
    while (o.event == VDP_STATION_FRAME) {
        if (vdp_station_output(s, now, &o)) {
            n_frames += o.event == VDP_STATION_FRAME;
            continue;
        }
        uint64_t due = vdp_station_deadline(s);
        assert_true(due > now && due != TIMER_NEVER);
        now = due;
    }
    assert_int_equal(o.event, VDP_STATION_TIMEOUT);
    assert_int_equal(o.cookie, 1);
    assert_int_equal(n_frames, 2 * 4); /* two tries of R + 1 transmissions */
    assert_true(now >= 2 * vdp_station_response_wait_us(&c.timers));
    assert_int_equal(vdp_station_n_vsis(s), 0);
    vdp_station_free(s);
}

/* A bridge that lost its memory: told of its restart, the station signals all again. */
static void
bridge_restart(void **state)
{
    (void)state;
    struct pair p;
    struct world w;
    open_pair(&p, &w, 6, true);
    for (uint32_t n = 0; n < 100; n++)
        ask(&p, n, BERTH_OP_ASSOC, true);
    pair_run(&p, SECOND);
    struct mac bm = pair_bridge_mac, sm = pair_station_mac;
    struct vdp_bridge_conf b = vdp_bridge_defaults(&bm);
    struct vdp_bridge *old = p.bridge;
    p.bridge = vdp_bridge_new(&b, p.now_us);
    for (uint32_t n = 0; n < 50; n++) { /* half of them were in the journal */
        uint8_t bytes[VDP_BRIDGE_SAVE_MAX];
        struct vdp_entry e;
        struct vdp_key key = request(n, BERTH_OP_ASSOC, true, &e).key;
        size_t size = vdp_bridge_save(old, &key.id, bytes);
        assert_true(size > 0);
        assert_true(vdp_bridge_restore(p.bridge, bytes, size));
        assert_false(vdp_bridge_restore(p.bridge, bytes, size - 1));
    }
    vdp_bridge_free(old);
    memset(w.claims, 0, sizeof w.claims);
    vdp_bridge_set_peer(p.bridge, &sm, &b.timers, true, false, p.now_us);
    vdp_station_set_peer(p.station, &b.timers, true, true, p.now_us);
    pair_run(&p, 2 * SECOND);
    assert_int_equal(vdp_bridge_n_vsis(p.bridge), 100);
    for (uint32_t n = 0; n < 100; n++)
        assert_int_equal(w.claims[n], n < 50 ? 0 : 1);
    assert_int_equal(w.n_events[VDP_STATION_LOST], 0);
    pair_done(&p);
}

static void
limits(void **state)
{
    (void)state;
    struct mac sm = pair_station_mac;
    struct vdp_station_conf c = vdp_station_defaults(&sm);
    c.max_vsis = 2;
    c.max_managers = 2;
    struct vdp_station *s = vdp_station_new(&c, 0);
    struct vdp_entry e, many[61];
    struct vdp_station_request r = request(1, BERTH_OP_ASSOC, true, &e);
    r.filter_format = VDP_FILTER_MAC;
    memset(many, 0, sizeof many);
    r.entries = many;
    r.n_entries = 61; /* does not fit nine bits of length */
    assert_false(vdp_station_request(s, &r, 0));
    r.n_entries = 60;
    assert_true(vdp_station_request(s, &r, 0));
    r = request(2, BERTH_OP_ASSOC, true, &e);
    assert_true(vdp_station_request(s, &r, 0));
    r = request(3, BERTH_OP_ASSOC, true, &e);
    assert_false(vdp_station_request(s, &r, 0));
    assert_int_equal(vdp_station_counters(s)->refused_limit, 1);
    vdp_station_free(s);
}

static void
operations(void **state)
{
    (void)state;
    struct vdp_station_request r = {.cookie = 0};
    assert_true(vdp_station_op(&r, BERTH_OP_EMIGRATE, BERTH_PHASE_COMMIT));
    assert_true(
        r.type == VDP_ASSOC && r.s && !r.m && r.berth.phase == BERTH_PHASE_COMMIT);
    assert_true(vdp_station_op(&r, BERTH_OP_IMMIGRATE, BERTH_PHASE_PRE));
    assert_true(r.type == VDP_PREASSOC && r.m && !r.s);
    assert_true(vdp_station_op(&r, BERTH_OP_IMMIGRATE, BERTH_PHASE_ASSO));
    assert_true(r.type == VDP_ASSOC && r.m);
    assert_true(vdp_station_op(&r, BERTH_OP_SUSPEND, BERTH_PHASE_NONE));
    assert_true(r.type == VDP_ASSOC && r.s);
    assert_true(vdp_station_op(&r, BERTH_OP_TERMINATE, BERTH_PHASE_NONE));
    assert_int_equal(r.type, VDP_DEASSOC);
    assert_false(vdp_station_op(&r, BERTH_OP_KEEPALIVE, BERTH_PHASE_NONE));
    assert_false(vdp_station_op(&r, BERTH_OP_NOTIFY, BERTH_PHASE_NONE));
    /* Those of lldpad: R 3, RTE 8, RWD 20, RKA 20 */
    struct evb_timers t = {3, 8, 20, 20};
    assert_int_equal(vdp_station_keepalive_us(&t), 10485760);
    assert_int_equal(vdp_station_response_wait_us(&t), 15755520);
    assert_int_equal(vdp_bridge_lifetime_us(&t), 15755520);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_link),
        cmocka_unit_test(bad_link),
        cmocka_unit_test(one_request_at_a_time),
        cmocka_unit_test(refusals),
        cmocka_unit_test(unsolicited),
        cmocka_unit_test(silent_bridge),
        cmocka_unit_test(bridge_restart),
        cmocka_unit_test(limits),
        cmocka_unit_test(operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
