/* SPDX-License-Identifier: Apache-2.0 */
/* Servers: one uplink each, with Berth's agent, or a plain VDP station (station.c), or
 * somebody hostile: what each does with its VMs' frames, and what it waits for. */
#include "servers.h"
#include <jansson.h>
#include <stdlib.h>

#define ASK_MAX (20 * SEC) /* an agent answers, or says that nobody did */

void
server_wake(struct world *w, uint32_t i, uint64_t deadline)
{
    struct server *s = &w->servers[i];
    if (deadline == TIMER_NEVER || s->wake_at <= deadline)
        return;
    s->wake_at = deadline < w->now ? w->now : deadline;
    world_push(w, EV_WAKE_SERVER, s->wake_at, i, s->inc);
}

/* ---- tags ---- */

struct attachment *
server_att(struct world *w, uint32_t i, uint32_t vm, bool make)
{
    struct server *s = &w->servers[i];
    struct attachment *a = NULL;
    for (uint32_t k = 0; k < s->n_atts; k++)
        if (s->atts[k].used && s->atts[k].vm == vm)
            return &s->atts[k];
    if (!make)
        return NULL;
    for (uint32_t k = 0; k < s->n_atts && !a; k++)
        if (!s->atts[k].used)
            a = &s->atts[k];
    if (!a) {
        s->atts = mem_grow(s->atts, (s->n_atts + 1) * sizeof(*s->atts));
        a = &s->atts[s->n_atts++];
    }
    memset(a, 0, sizeof(*a));
    a->used = true;
    a->vm = vm;
    return a;
}

void
att_set(struct world *w, uint32_t i, uint32_t vm, uint32_t vid, bool pass)
{
    struct attachment *a = server_att(w, i, vm, true);
    TRACE(w, "server=%u vm=%u has tag %u%s", i, vm, vid, pass ? "" : ", closed");
    a->vid = vid;
    if (vid)
        a->had = vid;
    a->pass = pass;
}

void
att_clear(struct world *w, uint32_t i, uint32_t vm)
{
    struct attachment *a = server_att(w, i, vm, false);
    if (!a)
        return;
    TRACE(w, "server=%u vm=%u has no tag", i, vm);
    a->used = false;
}

/* ---- requests and their answers ---- */

struct ask *
ask_new(struct world *w, uint32_t i, uint32_t vm, uint8_t verb)
{
    struct server *s = &w->servers[i];
    struct ask *a = NULL;
    for (uint32_t k = 0; k < s->n_asks && !a; k++)
        if (!s->asks[k].open)
            a = &s->asks[k];
    if (!a) {
        s->asks = mem_grow(s->asks, (s->n_asks + 1) * sizeof(*s->asks));
        a = &s->asks[s->n_asks++];
    }
    *a = (struct ask){
        .vm = vm, .verb = verb, .at_us = w->now, .open = true, .id = ++s->next_ask};
    w->counts[verb]++;
    return a;
}

struct ask *
ask_find(struct server *s, uint64_t id)
{
    for (uint32_t k = 0; k < s->n_asks; k++)
        if (s->asks[k].open && s->asks[k].id == id)
            return &s->asks[k];
    return NULL;
}

static void
asks_check(struct world *w, uint32_t i)
{
    struct server *s = &w->servers[i];
    for (uint32_t k = 0; k < s->n_asks; k++)
        if (s->asks[k].open && s->asks[k].at_us + ASK_MAX < w->now)
            sim_fail(w, "answered-once",
                "server=%u: no answer to %s of vm=%u, asked at %llu us", i,
                verb_names[s->asks[k].verb], s->asks[k].vm,
                (unsigned long long)s->asks[k].at_us);
}

void
asked(struct world *w, uint32_t i, struct ask *a, bool ok, bool unpublished,
    const char *why)
{
    struct vm *v = &w->vms[a->vm];
    TRACE(w, "server=%u vm=%u %s: %s%s%s", i, a->vm, verb_names[a->verb],
        ok ? "ok" : "refused: ", why ? why : "", unpublished ? " unpublished" : "");
    a->open = false;
    a->granted = ok;
    if (ok)
        w->oks[a->verb]++;
    else
        w->refusals++;
    if (ok && a->verb == V_ASSOC && v->run == i + 1 && !v->mover)
        v->sure = i + 1;
    if (v->want == i + 1 && v->final == FINAL_ASKED && a->verb == V_ASSOC) {
        v->final = !ok ? FINAL_REFUSED : unpublished ? FINAL_UNPUBLISHED : FINAL_OK;
        v->confirmed_us = w->now;
    }
    mover_answer(w, i, a, ok);
}

/* ---- Berth's agent ---- */

static void
vm_of_ifname(const char *ifname, uint32_t *vm)
{
    *vm = 0;
    for (const char *c = ifname + 1; *c; c++)
        *vm = *vm * 10 + (uint32_t)(*c - '0');
}

static void
control_line(struct world *w, uint32_t i, const struct tes_out *o)
{
    struct server *s = &w->servers[i];
    json_t *j = json_loadb((const char *)o->p, o->size, 0, NULL);
    json_t *ok = json_object_get(j, "ok");
    uint64_t id = (uint64_t)json_integer_value(json_object_get(j, "id"));
    struct ask *a = ask_find(s, id);
    if (!j || !id || (o->last != 0) != (ok != NULL)) {
        sim_fail(w, "control", "server=%u: a reply that is none: %.*s", i, (int)o->size,
            (const char *)o->p);
    } else if (!a) {
        sim_fail(w, "answered-once", "server=%u: a second answer: %.*s", i,
            (int)o->size, (const char *)o->p);
    } else if (!o->last) {
        struct vm *v = &w->vms[a->vm];
        const char *epoch = json_string_value(json_object_get(j, "epoch"));
        a->row = true;
        if (epoch && a->verb == V_IMMP)
            v->epoch = strtoull(epoch, NULL, 10);
        if (json_is_true(json_object_get(j, "unpublished")))
            a->ok = true;
        v->far = json_is_true(json_object_get(j, "confirmed"));
    } else {
        asked(w, i, a, json_is_true(ok), a->ok,
            json_string_value(json_object_get(j, "error")));
    }
    json_decref(j);
}

static void
tes_out_do(struct world *w, uint32_t i, const struct tes_out *o)
{
    struct server *s = &w->servers[i];
    uint64_t at;
    uint32_t vm;
    struct event *e;
    switch ((enum tes_out_type)o->type) {
    case TES_OUT_FRAME:
        if (o->size < sizeof(s->sample)) {
            memcpy(s->sample, o->p, o->size);
            s->sample_size = o->size;
        }
        net_link(w, i, true, o->p, o->size);
        break;
    case TES_OUT_TAG:
        vm_of_ifname(o->tag.ifname, &vm);
        server_att(w, i, vm, true)->named = true;
        at = w->now + slow_delay(w);
        if (at < s->last_tagged_at)
            at = s->last_tagged_at;
        s->last_tagged_at = at;
        e = world_push_octets(w, EV_TAGGED, at, i, s->inc, &o->tag, sizeof(o->tag));
        e->a = o->id;
        break;
    case TES_OUT_UNTAG:
        at = w->now > s->last_tagged_at ? w->now : s->last_tagged_at;
        vm_of_ifname(o->tag.ifname, &vm);
        e = world_push(w, EV_TAGGED, at, i, s->inc);
        e->b = vm + 1;
        break;
    case TES_OUT_CONTROL:
        control_line(w, i, o);
        break;
    case TES_OUT_JOURNAL:
        if (o->size)
            tab_put(&s->journal, o->key, o->key_size, o->p, o->size);
        else
            tab_del(&s->journal, o->key, o->key_size);
        if (o->id)
            world_push(w, EV_TES_JOURNAL, w->now + slow_delay(w), i, s->inc)->a = o->id;
        break;
    case TES_OUT_DOMAIN_LOOK:
    case TES_OUT_DOMAIN_WRITE:
    case TES_OUT_COUNTERS:
        break;
    }
}

static uint64_t
tes_out_hash(uint64_t h, const struct tes_out *o)
{
    uint64_t v[] = {o->type, o->id, o->tag.vid, o->tag.pass, o->conn};
    h = hash_octets(h, v, sizeof(v));
    return o->size ? hash_octets(h, o->p, o->size) : h;
}

static void
tes_feed(struct world *w, uint32_t i, const struct tes_in *in)
{
    struct server *s = &w->servers[i];
    struct tes_out o;
    uint64_t h = 0;
    uint32_t outs = 0;
    if (!s->alive || w->failed)
        return;
    tes_input(s->tes, in, w->now);
    while (tes_output(s->tes, &o)) {
        h = tes_out_hash(h, &o);
        tes_out_do(w, i, &o);
        if (++outs > 100000) {
            sim_fail(
                w, "endless", "server=%u: more than %u outputs of one input", i, outs);
            return;
        }
    }
    sim_hash_u64(w, h);
    server_wake(w, i, tes_deadline(s->tes));
}

static void
tes_ask(struct world *w, uint32_t i, uint32_t vm, uint8_t verb)
{
    static const char *const cmds[] = {"vm associate", "vm preassociate", "vm suspend",
        "vm resume", "vm terminate", "vm emigrate", "vm emigrate", "vm immigrate",
        "vm immigrate", [V_EMIGH] = "vm emigrate", [V_PAUSED] = "vm immigrate"};
    struct vm *v = &w->vms[vm];
    uint64_t id = ask_new(w, i, vm, verb)->id;
    char line[1024], vsi[VSIID_STR], mac[MAC_STR], ip[IP_STR];
    int n = snprintf(line, sizeof(line), "{\"cmd\":\"%s\",\"vsi\":\"%s\",\"id\":%llu",
        cmds[verb], vsiid_str(&v->id, vsi), (unsigned long long)id);
    if (verb == V_ASSOC || verb == V_PRE || verb == V_IMMP || verb == V_IMMA ||
        verb == V_PAUSED) {
        n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"if\":\"v%u\"", vm);
        if (vm % 3 == 1)
            n +=
                snprintf(line + n, sizeof(line) - (size_t)n, ",\"vn\":\"vn%u\"", v->vn);
        else
            n += snprintf(
                line + n, sizeof(line) - (size_t)n, ",\"vni\":%u", vni_of(v->vn));
        if (!v->wild)
            n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"mac\":\"%s\"",
                mac_str(&v->mac, mac));
        if (!v->noip && !v->wild)
            n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"ips\":[\"%s\"]",
                ip_str(&v->ip, ip));
    }
    if (w->confirm && verb == V_ASSOC)
        n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"confirm\":true");
    if (verb == V_EMIGC)
        n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"phase\":\"commit\"");
    if (verb == V_EMIGH)
        n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"phase\":\"hold\"");
    if (verb == V_PAUSED)
        n += snprintf(line + n, sizeof(line) - (size_t)n,
            ",\"phase\":\"asso\",\"suspended\":true");
    if (verb == V_IMMA)
        n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"phase\":\"asso\"");
    if ((verb == V_IMMA || verb == V_EMIGC) && v->epoch)
        n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"epoch\":\"%llu\"",
            (unsigned long long)v->epoch);
    if (verb == V_IMMP)
        n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"migration\":\"%llu\"",
            (unsigned long long)v->migration);
    n += snprintf(line + n, sizeof(line) - (size_t)n, "}");
    struct tes_in in = {.type = TES_IN_CONTROL,
        .conn = 1,
        .p = (const uint8_t *)line,
        .size = (uint32_t)n};
    tes_feed(w, i, &in);
}

static int
journal_compare(const void *x, const void *y)
{
    const struct tab_row *const *a = x, *const *b = y;
    return (*a)->seq < (*b)->seq ? -1 : 1;
}

static void
tes_boot(struct world *w, uint32_t i)
{
    struct server *s = &w->servers[i];
    const char *uplinks[] = {"up0"};
    char name[16];
    struct tes_conf c = {.name = name,
        .evb_rte = 8,
        .evb_retries = 3,
        .evb_rwd = 15,
        .evb_rka = (uint8_t)w->sc->rka,
        .reflective_relay = i % 2,
        .tries = 3,
        .trace_events = 16,
        .retry_max_us = 5 * SEC,
        .uplinks = uplinks,
        .n_uplinks = 1,
        .seed = w->sc->seed * 31 + i * 17 + s->inc};
    struct tab_row **rows = mem_alloc((s->journal.n + 1) * sizeof(*rows)), *r;
    uint32_t n = 0;
    snprintf(name, sizeof(name), "tes%u", i);
    s->tes = tes_new(&c, w->now);
    for (uint32_t it = 0; (r = tab_each(&s->journal, &it));)
        rows[n++] = r;
    qsort(rows, n, sizeof(struct tab_row *), journal_compare);
    for (uint32_t k = 0; k < n; k++) {
        uint8_t *p = mem_alloc(rows[k]->val_size + 1);
        struct tes_in in = {.type = TES_IN_RESTORE, .p = p, .size = rows[k]->val_size};
        memcpy(p, rows[k]->val, rows[k]->val_size);
        tes_feed(w, i, &in);
        mem_free(p);
    }
    mem_free(rows);
    struct tes_in up = {.type = TES_IN_UPLINK, .up = s->up, .mac = s->mac};
    tes_feed(w, i, &up);
    for (uint32_t k = 0; k < s->n_atts; k++)
        s->atts[k].named = false;
    struct tes_in done = {.type = TES_IN_RESTORED};
    tes_feed(w, i, &done);
    for (uint32_t k = 0; k < s->n_atts; k++) /* berth-tes sweeps what nobody wants */
        s->atts[k].used &= s->atts[k].named;
}

/* ---- servers ---- */

void
server_make(struct world *w, uint32_t i)
{
    struct server *s = &w->servers[i];
    s->nve = i / w->sc->ports;
    s->port = i % w->sc->ports + 1;
    s->mac = (struct mac){
        {2, 0xcc, 0, 0, (uint8_t)(i >> 8), (uint8_t)i}
    };
    s->up = true;
    if (rnd(&w->rng, 100) < w->sc->plain)
        s->kind = SERVER_PLAIN;
    if (i + 1 < w->n_servers && rnd(&w->rng, 100) < w->sc->hostile)
        s->kind = SERVER_HOSTILE; /* the last one never is: somebody must be there */
    tab_init(&s->journal);
}

void
server_boot(struct world *w, uint32_t i)
{
    struct server *s = &w->servers[i];
    s->alive = true;
    s->wake_at = TIMER_NEVER;
    if (s->kind == SERVER_TES)
        tes_boot(w, i);
    else if (s->kind == SERVER_PLAIN)
        plain_boot(w, i);
}

static void
server_stop(struct world *w, uint32_t i)
{
    struct server *s = &w->servers[i];
    (void)w;
    s->alive = false;
    tes_free(s->tes);
    vdp_station_free(s->station);
    lldp_evb_free(s->lldp);
    s->tes = NULL;
    s->station = NULL;
    s->lldp = NULL;
    for (uint32_t k = 0; k < s->n_asks; k++)
        s->asks[k].open = false;
}

void
server_crash(struct world *w, uint32_t i, uint64_t down_us)
{
    struct server *s = &w->servers[i];
    if (!s->alive)
        return;
    for (uint32_t v = 0; v < w->sc->vms; v++)
        if (w->vms[v].here == i + 1)
            cover_fault(FAULT_7);
    server_stop(w, i);
    s->inc++;
    s->last_tagged_at = 0;
    if (s->kind == SERVER_PLAIN)
        for (uint32_t k = 0; k < s->n_atts; k++)
            s->atts[k].used =
                false; /* it keeps nothing; whoever manages the VMs asks anew */
    for (uint32_t v = 0; v < w->sc->vms; v++)
        if (w->vms[v].want == i + 1 && w->vms[v].final == FINAL_ASKED)
            w->vms[v].final = FINAL_REFUSED;
    world_push(w, EV_START_SERVER, w->now + down_us, i, 0);
}

void
server_done(struct world *w, uint32_t i)
{
    struct server *s = &w->servers[i];
    server_stop(w, i);
    tab_done(&s->journal);
    mem_free(s->atts);
    mem_free(s->asks);
    mem_free(s->plain);
}

void
server_ask(struct world *w, uint32_t i, uint32_t vm, uint8_t verb)
{
    struct server *s = &w->servers[i];
    if (!s->alive)
        return;
    if (s->kind == SERVER_TES)
        tes_ask(w, i, vm, verb);
    else if (s->kind == SERVER_PLAIN)
        plain_ask(w, i, vm, verb);
}

void
server_link(struct world *w, uint32_t i, bool up)
{
    struct server *s = &w->servers[i];
    struct tes_in t = {.type = TES_IN_UPLINK, .up = up, .mac = s->mac};
    struct nve_in n = {.type = NVE_IN_PORT,
        .port = s->port,
        .up = up,
        .mac = {
            {2, 0xee, 0, (uint8_t)(s->nve >> 8), (uint8_t)s->nve, (uint8_t)s->port}}};
    n.mac.b[2] = 0;
    n.mac.b[3] = (uint8_t)(s->nve >> 8);
    s->up = up;
    if (s->alive && s->kind == SERVER_TES)
        tes_feed(w, i, &t);
    if (s->alive && s->kind == SERVER_PLAIN) {
        lldp_evb_set_carrier(s->lldp, up, w->now);
        plain_pump(w, i);
    }
    if (w->nves[s->nve].up)
        nve_in(w, s->nve, &n);
}

void
server_frame(struct world *w, uint32_t i, const uint8_t *p, uint32_t size)
{
    struct server *s = &w->servers[i];
    if (!s->alive || !s->up)
        return;
    if (s->kind == SERVER_TES) {
        struct tes_in in = {.type = TES_IN_FRAME, .p = p, .size = size};
        tes_feed(w, i, &in);
    } else if (s->kind == SERVER_PLAIN) {
        if (size > 14 && p[12] == 0x88 && p[13] == 0xcc)
            lldp_evb_input(s->lldp, p, size, w->now);
        else
            vdp_station_input(s->station, p, size, w->now);
        plain_pump(w, i);
    }
}

/* What nobody should send: noise, and honest frames with bits turned over. */
void
server_garbage(struct world *w, uint32_t i, uint32_t n)
{
    uint8_t p[300];
    while (n--) {
        uint32_t size = 14 + (uint32_t)rnd(&w->rng, sizeof(p) - 14);
        const struct server *from = &w->servers[rnd(&w->rng, w->n_servers)];
        rng_bytes(&w->rng, p, sizeof(p));
        memcpy(p, eth_mac_ncb.b, 6);
        memcpy(p + 6, w->servers[i].mac.b, 6);
        p[12] = 0x89;
        p[13] = 0x40;
        if (rng_chance(&w->rng, 200000)) {
            p[12] = 0x88;
            p[13] = 0xcc;
        } else if (rng_chance(&w->rng, 700000) && from->sample_size > 40) {
            size = from->sample_size;
            memcpy(p, from->sample, size);
            /* never a claim in somebody's name: its VSIs are another's */
            for (uint32_t k = 14; k < size; k++)
                if (k > 40 && rng_chance(&w->rng, 300000))
                    p[k] = (uint8_t)(0xa0 | rnd(&w->rng, 96));
            p[rnd(&w->rng, size - 14) + 14] ^= (uint8_t)(1u << rnd(&w->rng, 8));
            for (uint32_t k = 14; k + 6 < size; k++)
                if (p[k] == 2 && p[k + 1] == 0 && p[k + 2] == 0)
                    p[k] = 6;
            memcpy(p + 6, w->servers[i].mac.b, 6);
        }
        net_link(w, i, true, p, size);
    }
}

static void
tagged(struct world *w, struct event *e)
{
    struct server *s = &w->servers[e->node];
    uint32_t vm;
    if (s->inc != e->inc)
        return;
    if (e->b) {
        att_clear(w, e->node, e->b - 1);
        return;
    }
    struct tes_tag t;
    memcpy(&t, e->p, sizeof(t));
    vm_of_ifname(t.ifname, &vm);
    att_set(w, e->node, vm, t.vid, t.pass);
    struct tes_in in = {.type = TES_IN_TAGGED, .id = e->a};
    tes_feed(w, e->node, &in);
}

void
server_event(struct world *w, struct event *e)
{
    struct server *s = &w->servers[e->node];
    bool mine = s->alive && s->inc == e->inc;
    switch (e->type) {
    case EV_WAKE_SERVER:
        if (!mine || s->wake_at != e->at)
            break;
        s->wake_at = TIMER_NEVER;
        if (w->now != w->same_us) {
            w->same_us = w->now;
            w->same_n = 0;
        }
        if (++w->same_n > 200000)
            sim_fail(w, "livelock", "server=%u: the deadline does not move", e->node);
        asks_check(w, e->node);
        if (s->kind == SERVER_TES)
            tes_feed(w, e->node, &(struct tes_in){.type = TES_IN_TICK});
        else
            plain_pump(w, e->node);
        break;
    case EV_FRAME_SERVER:
        server_frame(w, e->node, e->p, e->size);
        break;
    case EV_DATA_SERVER:
        if (s->up)
            server_data(w, e->node, e->a, e->p, e->size);
        else
            flight_lost(w, LOST_NET, s->nve, 0, e->p, e->size);
        break;
    case EV_TAGGED:
        if (mine)
            tagged(w, e);
        break;
    case EV_TES_JOURNAL:
        if (mine)
            tes_feed(
                w, e->node, &(struct tes_in){.type = TES_IN_JOURNAL_DONE, .id = e->a});
        break;
    case EV_START_SERVER:
        if (!s->alive)
            server_boot(w, e->node);
        break;
    case EV_LINK:
        if (s->link_until <= w->now)
            server_link(w, e->node, true);
        break;
    }
}
