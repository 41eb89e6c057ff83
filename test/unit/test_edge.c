/* SPDX-License-Identifier: Apache-2.0 */
/* The whole domain of an NVE under random sequences: requests, link changes, foreign
 * claims, lost sessions, failing data planes and restarts, with completions in any
 * order. Whatever happens, every request is answered once, data plane and states agree
 * when all is quiet, and after the end of everything nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "edge_env.h"

#define VSIS 12
#define MACS 10

static struct tns_request
draw_request(struct rng *r, struct tns_entry *n)
{
    static const uint8_t ops[] = {TNS_ASSOC, TNS_ASSOC, TNS_ASSOC, TNS_PREASSOC,
        TNS_SUSPEND, TNS_RESUME, TNS_EMIGRATE_PREPARE, TNS_EMIGRATE_COMMIT,
        TNS_IMMIGRATE_PRE, TNS_IMMIGRATE_ASSO, TNS_TERMINATE, TNS_TERMINATE,
        TNS_KEEPALIVE};
    uint32_t vsi = 1 + rng_below(r, VSIS);
    struct tns_request rq = {.op = ops[rng_below(r, sizeof ops)],
        .port = 1 + rng_below(r, 4),
        .id = env_vsi_id(vsi),
        .berth_station = (uint8_t)rng_below(r, 2),
        .suspended = rng_below(r, 8) == 0,
        .hold = rng_below(r, 2) == 0,
        .entries = n};
    bool bare = rng_below(r, 8) == 0 && rq.op != TNS_ASSOC;
    rq.n_entries = bare ? 0 : (uint16_t)(1 + rng_below(r, 3));
    for (uint16_t i = 0; i < rq.n_entries; i++) {
        /* A VSI mostly keeps to its own MACs, and sometimes takes another's. */
        uint32_t mac = rng_below(r, 10) ? vsi * 4 + i : 4 + rng_below(r, MACS * 4);
        n[i] = (struct tns_entry){.vn_ref = VN_BY_VNI,
            .vni = 1 + rng_below(r, 5),
            .has_mac = rng_below(r, 12) != 0,
            .mac = env_mac(mac)};
        if (rng_below(r, 10) == 0) {
            n[i].vn_ref = VN_BY_NAME;
            snprintf(n[i].vn_name, sizeof n[i].vn_name, "vn%u", 1 + rng_below(r, 120));
        }
        if (rng_below(r, 6) == 0)
            n[i].vid = (uint16_t)(2 + rng_below(r, 8));
        if (rng_below(r, 3) == 0) {
            n[i].ps = 1;
            n[i].pcp = (uint8_t)rng_below(r, 8);
        }
        n[i].n_ips = (uint8_t)rng_below(r, 4);
        for (uint8_t k = 0; k < n[i].n_ips; k++)
            n[i].ips[k] = ip_v4(0x0a010000 + mac * 8 + k);
    }
    if (rng_below(r, 12) == 0) {
        rq.has_epoch = 1;
        rq.epoch = 1 + rng_below(r, 40);
        rq.migration_id = rng_below(r, 3);
        if (rng_below(r, 2))
            rq.peer_nve = ip_v4(0x0a000002 + rng_below(r, 3));
    }
    return rq;
}

static void
draw_event(struct env *v, struct rng *r)
{
    struct tns_entry n[TNS_ENTRIES_MAX];
    struct tns_request rq;
    struct mapping_rec rec;
    uint32_t port;
    switch (rng_below(r, 27)) {
    case 0:
        env_tick(v, rng_below(r, 2000000));
        break;
    case 1:
        env_tick(v, 20000000 + rng_below(r, 400000000));
        break;
    case 2:
        port = 1 + rng_below(r, 4);
        edge_port_link(v->e, port, rng_below(r, 2), v->now);
        break;
    case 3: /* another NVE claims */
        rec = (struct mapping_rec){.vni = 1 + rng_below(r, 5),
            .mac = env_mac(4 + rng_below(r, VSIS * 4)),
            .owner = ip_v4(0x0a000002)};
        struct env_own *w = env_own(v, rec.vni, &rec.mac);
        w->known += 1;
        w->epoch = rec.epoch = w->known;
        w->here = 0;
        rec.migration_id = w->migration_id = ++v->epoch_source;
        edge_map_set(v->e, &rec, 0, v->now);
        break;
    case 4:
        if (v->conf.authority) {
            v->session = !v->session;
            v->authority_mute = 0;
            /* What the authority was asked dies with the session. */
            for (uint32_t i = 0; !v->session && i < v->n_pending;) {
                if (v->pending[i].type == EDGE_DP || v->pending[i].type == EDGE_JOURNAL)
                    i++;
                else
                    ENV_DEL(v->pending, v->n_pending, i);
            }
            edge_session(v->e, v->session, v->now);
        }
        break;
    case 7: /* another NVE is to have it */
    case 8:
        rec = (struct mapping_rec){.vni = 1 + rng_below(r, 5),
            .mac = env_mac(4 + rng_below(r, VSIS * 4)),
            .owner = ip_v4(0x0a000001 + rng_below(r, 4)),
            .epoch = rng_below(r, 60)};
        w = env_own(v, rec.vni, &rec.mac);
        if (rng_below(r, 4))
            rec.epoch = ++w->known;
        if (rng_below(r, 4))
            edge_reserved(v->e, &rec, v->now);
        else
            edge_unreserved(v->e, &rec, v->now);
        break;
    case 9: {
        struct dp_event ev = {.type = DP_EV_RELAYED,
            .vni = 1 + rng_below(r, 5),
            .dst = env_mac(4 + rng_below(r, VSIS * 4)),
            .ip = ip_v4(0x0a000001 + rng_below(r, 4))};
        edge_dp_event(v->e, &ev, v->now);
        edge_smr(v->e, ev.vni, &ev.dst, &ev.ip, v->now);
        break;
    }
    case 5:
        edge_port_reflect(v->e, 1 + rng_below(r, 4), rng_below(r, 2), v->now);
        break;
    case 6:
        if (v->n_vap) {
            const struct env_vap *a = &v->vap[rng_below(r, v->n_vap)];
            struct dp_event ev = {.type = DP_EV_LEARN,
                .port = a->port,
                .vni = a->vni,
                .vid = a->vid,
                .src = env_mac(4 + rng_below(r, 60))};
            if (a->wildcard)
                edge_dp_event(v->e, &ev, v->now);
        }
        break;
    default:
        rq = draw_request(r, n);
        env_send(v, &rq);
        break;
    }
    env_pull(v);
    while (v->n_pending && rng_below(r, 3)) {
        uint32_t i = rng_below(r, v->n_pending);
        /* The journal answers in order, being one file. */
        if (env_speaks(v, i))
            env_complete(v, i);
    }
}

static void
settle(struct env *v)
{
    env_run(v);
    env_tick(v, 1000000);
    env_run(v);
    env_tick(v, 1000000);
    env_run(v);
}

static void
end_all(struct env *v)
{
    if (v->conf.authority && !v->session) {
        v->session = 1;
        edge_session(v->e, true, v->now);
        env_run(v);
    }
    struct edge_att_view a;
    for (;;) {
        bool any = false;
        for (uint32_t it = 0; edge_each_attachment(v->e, &it, &a, v->now);)
            if (a.state != ATT_TERM) {
                struct tns_request rq = {.op = TNS_TERMINATE,
                    .port = a.port,
                    .id = a.id,
                    .berth_station = 1};
                env_send(v, &rq);
                any = true;
                break;
            }
        settle(v);
        if (!any)
            break;
    }
    env_tick(v, 1200000000);
    env_run(v);
    env_empty(v);
}

static void
sequence(uint64_t seed, bool authority, uint32_t fail, bool restarts, uint32_t n)
{
    struct rng r;
    env_seed = seed;
    rng_seed(&r, seed);
    struct env *v = env_new(authority);
    v->rng = &r;
    v->fail_dp = fail;
    v->fail_journal = fail;
    for (uint32_t i = 0; i < n; i++) {
        draw_event(v, &r);
        env_check(v);
        if (rng_below(&r, 40) == 0) {
            settle(v);
            env_quiet(v);
        }
        if (restarts && rng_below(&r, 60) == 0) {
            for (uint32_t k = 0; k < v->n_answers; k++)
                v->answers[k].times = 1; /* what was under way dies with the process */
            env_restart(v);
            if (authority && v->session)
                env_snapshots(v);
            settle(v);
            env_quiet(v);
        }
    }
    settle(v);
    env_quiet(v);
    v->fail_dp = v->fail_journal = 0;
    end_all(v);
    env_free(v);
}

static void
test_sequences_without_authority(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        sequence(seed, false, 0, false, 400);
}

static void
test_sequences_with_authority(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        sequence(1000 + seed, true, 0, false, 400);
}

static void
test_sequences_with_failures(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        sequence(2000 + seed, seed & 1, 30000, false, 400);
}

static void
test_sequences_with_restarts(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        sequence(3000 + seed, seed & 1, 0, true, 400);
}

/* The state of everything, as text that can be compared. */
static char *
snapshot(const struct env *v)
{
    static char text[2][65536];
    static int which;
    char *t = text[which ^= 1], id[VSIID_STR], mac[MAC_STR];
    size_t pos = 0;
    struct edge_att_view a;
    for (uint32_t port = 1; port <= 4; port++)
        for (uint32_t vsi = 1; vsi <= 64; vsi++)
            for (uint32_t it = 0; edge_each_attachment(v->e, &it, &a, v->now);) {
                struct vsiid want = env_vsi_id(vsi);
                if (a.port != port || !vsiid_equal(&a.id, &want))
                    continue;
                pos += (size_t)snprintf(t + pos, sizeof text[0] - pos,
                    "%u %s %s vni=%u vid=%u %s e=%llu n=%u ip=%u\n", a.port,
                    vsiid_str(&a.id, id), att_state_str(a.state), a.vni, a.vid,
                    mac_str(&a.mac, mac), (unsigned long long)a.epoch, a.n_entries,
                    a.n_ips);
            }
    struct edge_tag_view g;
    for (uint32_t d = 1; d <= 4; d++)
        for (uint16_t vid = 0; vid < 40; vid++)
            for (uint32_t it = 0; edge_each_tag(v->e, &it, &g, v->now);)
                if (g.domain == d && g.vid == vid)
                    pos += (size_t)snprintf(t + pos, sizeof text[0] - pos,
                        "tag %u/%u vni=%u refs=%u %u\n", d, vid, g.vni, g.refs,
                        g.state);
    return t;
}

static void
test_restart_gives_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rng r;
        env_seed = seed;
        rng_seed(&r, 77000 + seed);
        struct env *v = env_new(seed & 1);
        for (uint32_t i = 0; i < 60; i++) {
            struct tns_entry n[TNS_ENTRIES_MAX];
            struct tns_request rq = draw_request(&r, n);
            env_send(v, &rq);
            env_run(v);
        }
        char *before = strdup(snapshot(v));
        uint32_t n_vap = v->n_vap, n_vsi = v->n_vsi, n_fdb = v->n_fdb;
        env_restart(v);
        if (seed & 1)
            env_snapshots(v);
        env_run(v);
        assert_string_equal(before, snapshot(v));
        assert_int_equal(v->n_vap, n_vap);
        assert_int_equal(v->n_vsi, n_vsi);
        assert_int_equal(v->n_fdb, n_fdb);
        assert_int_equal(v->e->corrupt, 0);
        assert_false(v->syncing);
        env_quiet(v);
        free(before);
        end_all(v);
        env_free(v);
    }
}

static void
test_corrupt_records_are_skipped(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    for (uint32_t i = 1; i <= 8; i++)
        env_do(v, TNS_ASSOC, 1, i, i, i);
    struct rng r;
    rng_seed(&r, 5);
    for (uint32_t round = 0; round < 300; round++) {
        edge_free(v->e);
        v->n_pending = 0;
        v->e = edge_new(&v->conf, v->now);
        env_ports(v);
        env_pull(v);
        for (uint32_t i = 0; i < v->n_record; i++) {
            uint8_t bytes[2048];
            uint16_t size = v->record[i].size;
            memcpy(bytes, v->record[i].bytes, size);
            if (rng_below(&r, 2))
                bytes[rng_below(&r, size)] ^= (uint8_t)(1 + rng_below(&r, 255));
            if (rng_below(&r, 4) == 0)
                size = (uint16_t)rng_below(&r, size);
            edge_restore(v->e, v->record[i].kind, bytes, size, v->now);
        }
        edge_restore(v->e, 99, (const uint8_t *)"x", 1, v->now);
        assert_true(v->e->corrupt > 0);
        edge_restored(v->e, v->now);
        struct edge_out o;
        while (edge_output(v->e, &o))
            ;
    }
    env_free(v);
}

/* Sizes (K19): what one attachment with MAC, IPv4 and IPv6 costs all of core. */
static void
test_bytes_per_attachment(void **state)
{
    (void)state;
    struct edge_conf conf = {.name = "n", .vtep = ip_v4(1), .seed = 3};
    struct edge *e = edge_new(&conf, 1);
    struct edge_out o;
    uint32_t n = 20000;
    for (uint32_t p = 1; p <= 8; p++) {
        struct edge_port_conf c = {.name = "p", .domain = p};
        edge_port_add(e, p, &c, 1);
    }
    struct vn_rec vn = {.vni = 9, .name = "x"};
    edge_vn(e, &vn, 0, 1);
    uint32_t answers = 0;
    for (uint32_t i = 1; i <= n; i++) {
        struct tns_entry t = {
            .vn_ref = VN_BY_VNI,
            .vni = 9,
            .has_mac = 1,
            .mac = env_mac(i),
            .n_ips = 2,
            .ips = {ip_v4(0x0a000000 + i), {{0x20, 1}}}
        };
        memcpy(&t.ips[1].b[12], &i, 4);
        struct tns_request rq = {.op = TNS_ASSOC,
            .port = 1 + i % 8,
            .id = env_vsi_id(i),
            .n_entries = 1,
            .entries = &t,
            .cookie = i};
        edge_request(e, &rq, 2);
        uint32_t ids[64], n_ids = 0;
        for (;;) {
            while (edge_output(e, &o)) {
                if (o.id)
                    ids[n_ids++] = o.id;
                answers += o.type == EDGE_ANSWER && o.u.answer.code == TNS_OK;
            }
            if (n_ids == 0)
                break;
            edge_done(e, ids[--n_ids], 0, 2);
        }
    }
    assert_int_equal(answers, n);
    size_t timers = (size_t)e->timers.n * 32;
    double each = (double)(attach_bytes(e) + mapping_bytes(e) + timers) / n;
    print_message(
        "%u attachments: attach %zu, mapping %zu, timers %zu: %.0f octets each "
        "(att %zu, entry %zu)\n",
        n, attach_bytes(e) / n, mapping_bytes(e) / n, timers / n, each,
        (size_t)e->att->atts.item_size, (size_t)e->att->entries.item_size);
    assert_true(each <= 450);
    edge_free(e);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences_without_authority),
        cmocka_unit_test(test_sequences_with_authority),
        cmocka_unit_test(test_sequences_with_failures),
        cmocka_unit_test(test_sequences_with_restarts),
        cmocka_unit_test(test_restart_gives_the_same),
        cmocka_unit_test(test_corrupt_records_are_skipped),
        cmocka_unit_test(test_bytes_per_attachment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
