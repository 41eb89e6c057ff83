/* SPDX-License-Identifier: Apache-2.0 */
/* A whole agent and the bridge side of VDP and LLDP, joined by a wire in virtual time.
 * The test sets what the bridge answers; tags and journal are carried out at once
 * unless held. */
#ifndef BERTH_TEST_TES_PAIR_H
#define BERTH_TEST_TES_PAIR_H
#include "test.h"
#include "base/mem.h"
#include "proto/lldp_evb.h"
#include "proto/vdp_bridge.h"
#include "tes/node.h"

#define LINES_MAX   512
#define JOURNAL_MAX 1024
struct journal_rec {
    uint8_t key[32], p[1024];
    uint16_t key_size;
    uint32_t size;
};
struct pair {
    struct tes *tes;
    struct vdp_bridge *bridge;
    struct lldp_evb *lldp;
    uint64_t now;
    /* the bridge's answers */
    uint8_t code, reason, keep;
    uint16_t vid;
    uint64_t epoch; /* grows with each claim */
    struct ip nve;  /* the bridge tells its address */
    bool mute;      /* frames to the bridge are lost */
    bool virt;      /* the agent follows a hypervisor */
    bool berth;     /* answers carry Berth's TLV */
    struct vdp_request last;
    struct vdp_entry last_entry;
    unsigned n_requests, n_keepalives;
    /* outputs */
    char *lines[LINES_MAX];
    unsigned n_lines;
    unsigned n_tags, n_untags, n_frames;
    struct tes_tag tag;
    int tag_status;
    bool hold_tags;
    uint32_t held[64], n_held;
    struct journal_rec journal[JOURNAL_MAX];
    unsigned n_journal;
    uint64_t more;
    unsigned n_looks, n_writes;
    char ops[1024]; /* of Berth that have reached the bridge: op/phase:epoch+paused */
    char written[4096];
};

static const struct mac pair_server = {
    {2, 0, 0, 0, 0, 1}
};
static const struct mac pair_port = {
    {2, 0, 0, 0, 0, 2}
};

static void
pair_journal(struct pair *p, const struct tes_out *o)
{
    unsigned i = 0;
    while (i < p->n_journal && memcmp(p->journal[i].key, o->key, o->key_size) != 0)
        i++;
    if (!o->size) {
        if (i < p->n_journal)
            p->journal[i] = p->journal[--p->n_journal];
        return;
    }
    if (i == p->n_journal)
        p->n_journal++;
    assert_true(p->n_journal <= JOURNAL_MAX && o->size <= sizeof(p->journal[i].p));
    memcpy(p->journal[i].key, o->key, o->key_size);
    p->journal[i].key_size = o->key_size;
    memcpy(p->journal[i].p, o->p, o->size);
    p->journal[i].size = o->size;
}

static void
pair_out(struct pair *p, const struct tes_out *o)
{
    struct tes_in in = {0};
    switch ((enum tes_out_type)o->type) {
    case TES_OUT_FRAME:
        p->n_frames++;
        if (p->mute)
            break;
        if (o->p[12] == 0x88)
            lldp_evb_input(p->lldp, o->p, o->size, p->now);
        else
            vdp_bridge_input(p->bridge, o->p, o->size, p->now);
        break;
    case TES_OUT_TAG:
        p->n_tags++;
        p->tag = o->tag;
        if (p->hold_tags) {
            p->held[p->n_held++] = o->id;
            break;
        }
        in.type = TES_IN_TAGGED;
        in.id = o->id;
        in.status = p->tag_status;
        tes_input(p->tes, &in, p->now);
        break;
    case TES_OUT_UNTAG:
        p->n_untags++;
        p->tag = o->tag;
        p->tag.pass = p->tag.vid = 0;
        break;
    case TES_OUT_CONTROL:
        assert_true(p->n_lines < LINES_MAX);
        p->lines[p->n_lines] = mem_alloc(o->size + 1);
        memcpy(p->lines[p->n_lines++], o->p, o->size);
        if (o->more)
            p->more = o->conn;
        break;
    case TES_OUT_JOURNAL:
        pair_journal(p, o);
        in.type = TES_IN_JOURNAL_DONE;
        in.id = o->id;
        tes_input(p->tes, &in, p->now);
        break;
    case TES_OUT_DOMAIN_LOOK:
        p->n_looks++;
        break;
    case TES_OUT_DOMAIN_WRITE:
        p->n_writes++;
        snprintf(p->written, sizeof(p->written), "%s", (const char *)o->p);
        break;
    case TES_OUT_COUNTERS:
        in.type = TES_IN_COUNTERS;
        tes_input(p->tes, &in, p->now);
        break;
    }
}

static void
pair_op(struct pair *p, const struct vdp_request *r)
{
    size_t n = strlen(p->ops);
    if (!r->has_berth || n + 100 > sizeof(p->ops))
        return;
    n += (size_t)sprintf(p->ops + n, "%s%s", n ? " " : "", berth_op_str(r->berth.op));
    if (r->berth.phase)
        n += (size_t)sprintf(p->ops + n, "/%s", berth_phase_str(r->berth.phase));
    if (r->berth.epoch)
        n += (size_t)sprintf(p->ops + n, ":%llu", (unsigned long long)r->berth.epoch);
    if (r->berth.op == BERTH_OP_IMMIGRATE && r->s)
        sprintf(p->ops + n, "+paused");
}

static void
pair_answer(struct pair *p, const struct vdp_request *r)
{
    struct vdp_entry e[4];
    struct vdp_answer a = {.code = p->code, .keep = p->keep, .n_entries = r->n_entries};
    p->n_requests++;
    p->n_keepalives += r->keepalive;
    if (!r->keepalive) {
        p->last = *r;
        p->last_entry = r->entries[0];
        pair_op(p, r);
    }
    memcpy(e, r->entries, r->n_entries * sizeof(e[0]));
    for (uint16_t i = 0; i < r->n_entries; i++)
        if (!e[i].vid)
            e[i].vid = p->vid;
    a.entries = e;
    if (p->berth) {
        a.has_berth = true;
        a.berth.reason = p->reason;
        a.berth.mtu = 1450;
        a.berth.target = p->nve;
        a.berth.epoch = r->berth.epoch ? r->berth.epoch
                        : r->keepalive ? p->epoch
                                       : ++p->epoch;
    }
    vdp_bridge_answer(p->bridge, r->handle, &a, p->now);
}

static bool
pair_bridge(struct pair *p)
{
    struct vdp_bridge_out b;
    struct lldp_evb_out l;
    bool any = false;
    while (vdp_bridge_output(p->bridge, p->now, &b)) {
        any = true;
        if (b.kind == VDP_BRIDGE_REQUEST) {
            pair_answer(p, b.request);
        } else {
            struct tes_in in = {
                .type = TES_IN_FRAME, .p = b.frame, .size = (uint32_t)b.frame_size};
            if (!p->mute)
                tes_input(p->tes, &in, p->now);
        }
    }
    while (lldp_evb_output(p->lldp, p->now, &l)) {
        any = true;
        if (l.event == LLDP_EVB_FRAME) {
            struct tes_in in = {
                .type = TES_IN_FRAME, .p = l.frame, .size = (uint32_t)l.frame_size};
            if (!p->mute)
                tes_input(p->tes, &in, p->now);
        } else {
            vdp_bridge_set_peer(p->bridge, &pair_server, &l.state.timers, l.state.berth,
                l.restarted, p->now);
        }
    }
    return any;
}

/* Until nothing moves, without time passing. */
static void
pair_settle(struct pair *p)
{
    struct tes_out o;
    bool any = true;
    for (unsigned turns = 0; any; turns++) {
        assert_true(turns < 100000);
        any = false;
        while (tes_output(p->tes, &o)) {
            pair_out(p, &o);
            any = true;
        }
        if (p->more) {
            struct tes_in in = {.type = TES_IN_CONTROL_MORE, .conn = p->more};
            p->more = 0;
            tes_input(p->tes, &in, p->now);
            any = true;
        }
        any = pair_bridge(p) || any;
    }
}

static void
pair_run(struct pair *p, uint64_t us)
{
    uint64_t end = p->now + us;
    pair_settle(p);
    for (;;) {
        uint64_t at = tes_deadline(p->tes), b = vdp_bridge_deadline(p->bridge);
        uint64_t l = lldp_evb_deadline(p->lldp);
        at = b < at ? b : at;
        at = l < at ? l : at;
        if (at > end)
            break;
        if (at > p->now)
            p->now = at;
        tes_input(p->tes, &(struct tes_in){.type = TES_IN_TICK}, p->now);
        pair_settle(p);
    }
    p->now = end;
}

static void
pair_say(struct pair *p, uint64_t conn, const char *json)
{
    struct tes_in in = {.type = TES_IN_CONTROL,
        .conn = conn,
        .p = (const uint8_t *)json,
        .size = (uint32_t)strlen(json)};
    tes_input(p->tes, &in, p->now);
}

static void
pair_forget_lines(struct pair *p)
{
    while (p->n_lines)
        mem_free(p->lines[--p->n_lines]);
}

/* The answer's lines; ends when the last one has come. */
static void
pair_call(struct pair *p, const char *json)
{
    pair_forget_lines(p);
    pair_say(p, 7, json);
    pair_run(p, 1000);
}

static const char *
pair_last(const struct pair *p)
{
    assert_true(p->n_lines > 0);
    return p->lines[p->n_lines - 1];
}

static void
pair_start_tes(struct pair *p)
{
    static const char *const uplinks[] = {"up0"};
    struct tes_conf c = {.name = "srv1",
        .reflective_relay = 1,
        .manager = "berth",
        .uplinks = uplinks,
        .n_uplinks = 1,
        .evb_rte = 8,
        .evb_retries = 3,
        .evb_rwd = 10,
        .evb_rka = 17,
        .max_vms = 1000,
        .virt = p->virt,
        .seed = 1};
    p->tes = tes_new(&c, p->now);
}

static void
pair_up(struct pair *p)
{
    tes_input(p->tes,
        &(struct tes_in){.type = TES_IN_UPLINK, .up = 1, .mac = pair_server}, p->now);
    pair_settle(p);
}

static void
pair_start_bridge(struct pair *p, bool reflect)
{
    struct vdp_bridge_conf bc = vdp_bridge_defaults(&pair_port);
    struct lldp_evb_conf lc = lldp_evb_defaults(LLDP_EVB_BRIDGE, &pair_port);
    bc.timers = lc.timers = (struct evb_timers){3, 8, 10, 17};
    bc.oui = lc.oui = BERTH_OUI;
    lc.hello = p->berth;
    lc.group_ids = true;
    lc.reflective_relay = reflect;
    lc.boot = (uint32_t)p->now + 1;
    p->bridge = vdp_bridge_new(&bc, p->now);
    p->lldp = lldp_evb_new(&lc, p->now);
    lldp_evb_set_carrier(p->lldp, true, p->now);
}

static struct pair *
pair_new(bool reflect)
{
    struct pair *p = mem_alloc(sizeof(*p));
    p->now = 1000000;
    p->vid = 100;
    p->epoch = 40;
    p->berth = true;
    pair_start_bridge(p, reflect);
    pair_start_tes(p);
    tes_input(p->tes, &(struct tes_in){.type = TES_IN_RESTORED}, p->now);
    pair_up(p);
    pair_run(p, 2000000);
    return p;
}

static void
pair_free(struct pair *p)
{
    pair_forget_lines(p);
    tes_free(p->tes);
    vdp_bridge_free(p->bridge);
    lldp_evb_free(p->lldp);
    mem_free(p);
}
#define VSI1 "00000000-0000-4000-8000-000000000001"
#define VSI2 "00000000-0000-4000-8000-000000000002"
#define VM1  "\"vsi\":\"" VSI1 "\""
#define ASSOC1                                                                         \
    "{\"cmd\":\"vm associate\"," VM1                                                   \
    ",\"vni\":5000,\"mac\":\"02:00:00:00:00:11\",\"ips\":[\"10.0.0.1\",\"fd00::1\"],"  \
    "\"if\":\"vm1\",\"id\":17}"

#define assert_says(text, part)                                                        \
    do {                                                                               \
        if (!strstr(text, part))                                                       \
            fail_msg("no %s in %s", part, text);                                       \
    } while (0)

static inline struct vdp_key
key_of_vsi1(void)
{
    struct vdp_key key = {.mgrid = "berth"};
    assert_true(vsiid_parse(VSI1, &key.id));
    return key;
}
#endif
