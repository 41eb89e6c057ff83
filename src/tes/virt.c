/* SPDX-License-Identifier: Apache-2.0 */
/* Domains, their interfaces and the commands that facts ask for. A hook waits until all
 * commands that it led to have ended, and is refused when one of them was; nobody waits
 * for what an event leads to, so that is repeated until it succeeds or a later fact
 * asks for something else. */
#include "tes/virt.h"
#include "base/log.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define RETRY_US     200000
#define RETRY_MAX_US 30000000
#define COMES_US     30000000 /* an announced VM of which nothing more is heard */

/* --- the tables --- */

static struct virt_dom *
dom_at(const struct tes *t, uint32_t d)
{
    return pool_at(&t->virt->doms, d);
}

static struct virt_nic *
nic_at(const struct tes *t, uint32_t n)
{
    return pool_at(&t->virt->nics, n);
}

static uint32_t
hash_of(const struct map *m, const struct vsiid *id)
{
    uint8_t key[VM_KEY_SIZE];
    vm_key_write(id, key);
    return map_hash(m, key, sizeof(key));
}

static bool
dom_has_uuid(const void *ctx, uint32_t d, const void *key)
{
    return vsiid_equal(&dom_at(ctx, d)->uuid, key);
}

static bool
nic_has_vsi(const void *ctx, uint32_t n, const void *key)
{
    return vsiid_equal(&nic_at(ctx, n)->is.vsi, key);
}

void
virt_init(struct tes *t)
{
    struct virt *w = t->virt = mem_alloc(sizeof(*w));
    pool_init(&w->doms, sizeof(struct virt_dom), t->conf.max_vms);
    pool_init(&w->nics, sizeof(struct virt_nic), t->conf.max_vms);
    map_init(&w->by_uuid, dom_has_uuid, t, t->conf.seed);
    map_init(&w->by_vsi, nic_has_vsi, t, t->conf.seed);
    fifo_init(&w->done, sizeof(struct virt_done));
}

void
virt_free(struct tes *t)
{
    struct virt *w = t->virt;
    for (uint32_t i = 0; i < VIRT_WAITS; i++)
        mem_free(w->waits[i].req_id);
    fifo_done(&w->done);
    map_done(&w->by_vsi);
    map_done(&w->by_uuid);
    pool_done(&w->nics);
    pool_done(&w->doms);
    mem_free(w);
}

static uint32_t
dom_find(const struct tes *t, const struct vsiid *uuid)
{
    return map_find(&t->virt->by_uuid, hash_of(&t->virt->by_uuid, uuid), uuid);
}

static uint32_t
nic_of_vsi(const struct tes *t, const struct vsiid *id)
{
    return map_find(&t->virt->by_vsi, hash_of(&t->virt->by_vsi, id), id);
}

static uint32_t
nic_find(const struct tes *t, uint32_t d, const struct mac *mac)
{
    uint32_t n = dom_at(t, d)->first_nic;
    while (n && !mac_equal(&nic_at(t, n)->is.mac, mac))
        n = nic_at(t, n)->next;
    return n;
}

static uint32_t
dom_add(struct tes *t, const struct vsiid *uuid)
{
    struct virt *w = t->virt;
    uint32_t d = pool_get(&w->doms);
    struct virt_dom *dom;
    if (!d)
        return 0;
    dom = dom_at(t, d);
    dom->uuid = *uuid;
    dom->next = w->first_dom;
    if (dom->next)
        dom_at(t, dom->next)->prev = d;
    w->first_dom = d;
    map_add(&w->by_uuid, hash_of(&w->by_uuid, uuid), d);
    return d;
}

static void
nic_remove(struct tes *t, uint32_t n)
{
    struct virt_nic *nic = nic_at(t, n);
    uint32_t *at = &dom_at(t, nic->dom)->first_nic;
    while (*at != n)
        at = &nic_at(t, *at)->next;
    *at = nic->next;
    timers_clear(&t->timers, &nic->timer);
    map_del(&t->virt->by_vsi, hash_of(&t->virt->by_vsi, &nic->is.vsi), n);
    pool_put(&t->virt->nics, n);
}

static void
dom_remove(struct tes *t, uint32_t d)
{
    struct virt *w = t->virt;
    struct virt_dom *dom = dom_at(t, d);
    while (dom->first_nic)
        nic_remove(t, dom->first_nic);
    if (dom->prev)
        dom_at(t, dom->prev)->next = dom->next;
    else
        w->first_dom = dom->next;
    if (dom->next)
        dom_at(t, dom->next)->prev = dom->prev;
    timers_clear(&t->timers, &dom->timer);
    map_del(&w->by_uuid, hash_of(&w->by_uuid, &dom->uuid), d);
    pool_put(&w->doms, d);
}

/* The first interface has the domain's UUID; each other one that UUID with its MAC in
 * place of the last six octets. What the domain carries goes first: both ends of a
 * migration must come to the same. */
static struct vsiid
vsi_of(const struct tes *t, uint32_t d, const struct virt_nic_fact *f)
{
    const struct virt_dom *dom = dom_at(t, d);
    struct vsiid id = f->vsi;
    if (!id.format || nic_of_vsi(t, &id))
        id = dom->uuid;
    if (dom->first_nic && nic_of_vsi(t, &id))
        memcpy(id.b + 10, f->mac.b, sizeof(f->mac.b));
    return id;
}

static uint32_t
nic_add(struct tes *t, uint32_t d, const struct virt_nic_fact *f)
{
    struct vsiid id = vsi_of(t, d, f);
    uint32_t n = nic_of_vsi(t, &id) ? 0 : pool_get(&t->virt->nics), *at;
    struct virt_nic *nic;
    if (!n) {
        log_warn(
            "virt", "domain=%s: no room for one more interface", dom_at(t, d)->name);
        return 0;
    }
    nic = nic_at(t, n);
    nic->is = *f;
    nic->is.vsi = id;
    nic->dom = d;
    for (at = &dom_at(t, d)->first_nic; *at; at = &nic_at(t, *at)->next)
        ;
    *at = n;
    map_add(&t->virt->by_vsi, hash_of(&t->virt->by_vsi, &id), n);
    return n;
}

/* What a fact does not tell stays as it was. */
static void
nic_update(struct virt_nic *nic, const struct virt_nic_fact *f)
{
    if (f->ifname[0])
        memcpy(nic->is.ifname, f->ifname, sizeof(nic->is.ifname));
    if (f->uplink[0])
        memcpy(nic->is.uplink, f->uplink, sizeof(nic->is.uplink));
    if (f->vn[0] || f->vni) {
        memcpy(nic->is.vn, f->vn, sizeof(nic->is.vn));
        nic->is.vni = f->vni;
    }
    if (f->n_ips) {
        memcpy(nic->is.ips, f->ips, sizeof(nic->is.ips));
        nic->is.n_ips = f->n_ips;
    }
    if (!nic->is.epoch) { /* later our own word is newer */
        nic->is.epoch = f->epoch;
        nic->is.migration = f->migration;
    }
}

/* --- outputs --- */

static void
output(struct tes *t, uint8_t type, uint32_t d, const char *text)
{
    struct tes_out *o = tes_out_push(t, type);
    char uuid[VSIID_STR];
    vsiid_str(&dom_at(t, d)->uuid, uuid);
    o->key = tes_bytes(t, uuid, strlen(uuid) + 1);
    o->key_size = (uint16_t)strlen(uuid);
    if (!text)
        return;
    o->p = tes_bytes(t, text, strlen(text) + 1);
    o->size = (uint32_t)strlen(text);
}

static void
look(struct tes *t, uint32_t d)
{
    output(t, TES_OUT_DOMAIN_LOOK, d, NULL);
}

static void
write_residences(struct tes *t, uint32_t d)
{
    struct virt_dom *dom = dom_at(t, d);
    char text[256 + VIRT_NICS_MAX * 192];
    size_t at = (size_t)snprintf(text, sizeof(text), "<residences>");
    for (uint32_t n = dom->first_nic; n && sizeof(text) - at > 256;
         n = nic_at(t, n)->next) {
        const struct virt_nic *nic = nic_at(t, n);
        char mac[MAC_STR], id[VSIID_STR];
        if (!nic->is.epoch)
            continue;
        at += (size_t)snprintf(text + at, sizeof(text) - at,
            "<residence mac='%s' vsi='%s' epoch='%llu' migration='%llu'/>",
            mac_str(&nic->is.mac, mac), vsiid_str(&nic->is.vsi, id),
            (unsigned long long)nic->is.epoch, (unsigned long long)nic->is.migration);
    }
    snprintf(text + at, sizeof(text) - at, "</residences>");
    output(t, TES_OUT_DOMAIN_WRITE, d, text);
}

/* --- commands --- */

static uint32_t
uplink_of(const struct tes *t, const struct virt_nic *nic)
{
    uint32_t u = nic->is.uplink[0] ? tes_uplink_find(t, nic->is.uplink) : 0;
    if (u == t->n_up)
        u = 0;
    while (!nic->is.uplink[0] && u + 1 < t->n_up && !t->up[u].up)
        u++;
    return u;
}

static void
describe(const struct tes *t, const struct virt_nic *nic, struct vm_command *c)
{
    const struct virt_nic_fact *f = &nic->is;
    uint32_t h;
    c->given = GIVE_MAC | GIVE_VN;
    c->par.mac = f->mac;
    c->par.vni = f->vni;
    c->par.has_vni = f->vni != 0;
    memcpy(c->par.vn, f->vn, sizeof(c->par.vn));
    if (f->ifname[0]) {
        c->given |= GIVE_IF;
        memcpy(c->par.ifname, f->ifname, sizeof(c->par.ifname));
    }
    if (f->n_ips) {
        c->given |= GIVE_IPS;
        c->par.n_ips = f->n_ips;
        memcpy(c->par.ips, f->ips, sizeof(c->par.ips));
    }
    h = vm_find(t, &f->vsi);
    if (!h || vm_at(t, h)->state == VM_TERM) {
        c->has_uplink = true;
        c->par.uplink = uplink_of(t, nic);
    }
}

static const uint8_t deed_op[VIRT_N_DEEDS] = {
    [VIRT_DO_PREASSOC] = TNS_PREASSOC,
    [VIRT_DO_ASSOC] = TNS_ASSOC,
    [VIRT_DO_REPEAT] = TNS_ASSOC,
    [VIRT_DO_SUSPEND] = TNS_SUSPEND,
    [VIRT_DO_RESUME] = TNS_RESUME,
    [VIRT_DO_EMIGRATE] = TNS_EMIGRATE_COMMIT,
    [VIRT_DO_IMM_PRE] = TNS_IMMIGRATE_PRE,
    [VIRT_DO_IMM_ASSO] = TNS_IMMIGRATE_ASSO,
    [VIRT_DO_IMM_PAUSED] = TNS_IMMIGRATE_ASSO,
    [VIRT_DO_TERMINATE] = TNS_TERMINATE,
};

/* The epoch that goes along: none is a claim of its own. */
static void
set_epoch(const struct tes *t, const struct virt_nic *nic, enum virt_deed deed,
    struct vm_command *c)
{
    uint32_t h = vm_find(t, &nic->is.vsi);
    const struct vm *v = h ? vm_at(t, h) : NULL;
    c->par.suspended = deed == VIRT_DO_IMM_PAUSED;
    if (nic->claims)
        return;
    if (deed == VIRT_DO_IMM_PRE) { /* more than the one it has had (K4) */
        c->par.epoch = nic->is.epoch;
    } else if (deed == VIRT_DO_REPEAT) {
        c->par.epoch = nic->is.epoch;
        c->par.migration = nic->is.migration;
    } else if (c->op == TNS_IMMIGRATE_ASSO && v &&
               (v->state == VM_IMMIG || (v->state == VM_ASSOC && c->par.suspended))) {
        c->par.epoch = v->epoch;
        c->par.migration = v->par.migration;
    }
}

static void
act(struct tes *t, uint32_t n, enum virt_deed deed, uint32_t wait)
{
    struct virt_nic *nic = nic_at(t, n);
    struct vm_command c = {
        .id = nic->is.vsi, .op = deed_op[deed], .virt = 1, .wait = wait};
    char who[VSIID_STR];
    nic->deed = deed;
    log_note("virt", "domain=%s vsi=%s: %s", dom_at(t, nic->dom)->name,
        vsiid_str(&nic->is.vsi, who), virt_deed_str(deed));
    switch (deed) {
    case VIRT_DO_PREASSOC:
    case VIRT_DO_ASSOC:
    case VIRT_DO_REPEAT:
    case VIRT_DO_IMM_PRE:
    case VIRT_DO_IMM_ASSO:
    case VIRT_DO_IMM_PAUSED:
        describe(t, nic, &c);
        break;
    case VIRT_DO_NOTHING:
    case VIRT_DO_SUSPEND:
    case VIRT_DO_RESUME:
    case VIRT_DO_EMIGRATE:
    case VIRT_DO_TERMINATE:
    case VIRT_N_DEEDS:
        break;
    }
    set_epoch(t, nic, deed, &c);
    vm_command(t, &c);
}

/* The tap is there, or another one than before. */
static void
bind_tap(struct tes *t, const struct virt_nic *nic)
{
    uint32_t h = vm_find(t, &nic->is.vsi);
    if (h && nic->is.ifname[0] && strcmp(vm_at(t, h)->par.ifname, nic->is.ifname) != 0)
        vm_bind(t, h, nic->is.ifname);
}

/* Returns 1 when a command is on its way. */
static uint32_t
nic_means(struct tes *t, uint32_t n, enum virt_means means, uint32_t wait)
{
    struct virt_nic *nic = nic_at(t, n);
    uint32_t h = vm_find(t, &nic->is.vsi);
    enum virt_deed deed = virt_deed_of(means, h ? vm_state_soon(t, h) : VM_NEW);
    if (means == VIRT_COMPLETE &&
        (deed == VIRT_DO_NOTHING || vm_at(t, h)->state != VM_IMMIG))
        return 0; /* a hint; without a granted epoch it would be a claim */
    if (means == VIRT_NOTHING || means == VIRT_LOOK) {
        bind_tap(t, nic);
        return 0;
    }
    timers_clear(&t->timers, &nic->timer);
    nic->means = means;
    if (!h && !nic->is.vn[0] && !nic->is.vni)
        return 0; /* none of ours */
    if (nic->fresh && (means == VIRT_IS_RUNNING || means == VIRT_IS_PAUSED))
        return 0; /* the description is older than it */
    if (deed == VIRT_DO_REPEAT && !nic->is.epoch)
        deed = VIRT_DO_ASSOC;
    if (deed != VIRT_DO_NOTHING) {
        nic->wait = wait;
        act(t, n, deed, wait);
        return 1;
    }
    if (means != VIRT_GONE)
        bind_tap(t, nic);
    return 0;
}

static void
retry(struct tes *t, uint32_t n)
{
    struct virt_nic *nic = nic_at(t, n);
    uint64_t first = t->conf.retry_us ? t->conf.retry_us : RETRY_US;
    uint64_t top = t->conf.retry_max_us ? t->conf.retry_max_us : RETRY_MAX_US;
    uint64_t delay = nic->delay_us ? nic->delay_us : first;
    nic->delay_us = delay * 2 < top ? delay * 2 : top;
    timers_set(&t->timers, &nic->timer, t->now_us + delay, TIMER_NIC, n);
}

/* --- facts --- */

static void
gone(struct tes *t, uint32_t d)
{
    struct virt_dom *dom = dom_at(t, d);
    for (uint32_t n = dom->first_nic; n; n = nic_at(t, n)->next)
        nic_means(t, n, VIRT_GONE, 0);
    dom_remove(t, d);
}

static uint32_t
dom_of(struct tes *t, const struct virt_fact *f)
{
    uint32_t d = dom_find(t, &f->uuid);
    if (!d)
        d = dom_add(t, &f->uuid);
    if (!d) {
        log_warn("virt", "domain=%s: the table is full, raise max_vms", f->name);
        return 0;
    }
    if (f->name[0])
        memcpy(dom_at(t, d)->name, f->name, sizeof(f->name));
    dom_at(t, d)->listing = t->virt->listing;
    timers_clear(&t->timers, &dom_at(t, d)->timer);
    return d;
}

/* A description is complete, but for an interface that only its network has told of. */
static void
take_nics(struct tes *t, uint32_t d, const struct virt_fact *f)
{
    struct virt_dom *dom = dom_at(t, d);
    uint32_t next;
    for (uint32_t i = 0; i < f->n_nics; i++) {
        uint32_t n = nic_find(t, d, &f->nics[i].mac);
        if (n)
            nic_update(nic_at(t, n), &f->nics[i]);
        else
            n = nic_add(t, d, &f->nics[i]);
        if (n)
            nic_at(t, n)->fresh = !f->has_domain;
    }
    if (!f->has_domain)
        return;
    dom->known = 1;
    for (uint32_t n = dom->first_nic; n; n = next) {
        bool there = nic_at(t, n)->fresh;
        next = nic_at(t, n)->next;
        for (uint32_t i = 0; i < f->n_nics && !there; i++)
            there = mac_equal(&f->nics[i].mac, &nic_at(t, n)->is.mac);
        if (there)
            continue;
        nic_means(t, n, VIRT_GONE, 0);
        nic_remove(t, n);
    }
}

/* Coming and being made are told apart by what was heard before. */
static enum virt_means
in_context(struct virt_dom *dom, enum virt_means means)
{
    switch (means) {
    case VIRT_COMES:
        dom->incoming = 1;
        return means;
    case VIRT_PREPARES:
    case VIRT_STARTS:
    case VIRT_IS_MOVING:
        return dom->incoming ? VIRT_COMES : means;
    case VIRT_IS_PAUSED:
        return dom->incoming ? VIRT_COMES : means;
    case VIRT_COMPLETE: /* the source hears so as well, and who restores */
        return dom->incoming ? means : VIRT_NOTHING;
    case VIRT_PAUSED:
        means = dom->incoming ? VIRT_CAME_PAUSED : means;
        dom->incoming = 0;
        return means;
    case VIRT_RUNS:
    case VIRT_ARRIVED:
    case VIRT_IS_RUNNING:
    case VIRT_CAME_PAUSED:
        dom->incoming = 0;
        return means;
    case VIRT_NOTHING:
    case VIRT_LEAVES:
    case VIRT_GONE:
    case VIRT_LOOK:
    case VIRT_N_MEANS:
        return means;
    }
    return means;
}

static uint32_t
apply(struct tes *t, uint32_t d, enum virt_means means, uint32_t wait)
{
    uint32_t n_deeds = 0;
    means = in_context(dom_at(t, d), means);
    for (uint32_t n = dom_at(t, d)->first_nic; n; n = nic_at(t, n)->next)
        n_deeds += nic_means(t, n, means, wait);
    return n_deeds;
}

/* Runs and has no tap that we know of: its hook was not run, or before we were here. */
static bool
lacks_tap(const struct tes *t, uint32_t d)
{
    for (uint32_t n = dom_at(t, d)->first_nic; n; n = nic_at(t, n)->next)
        if (!nic_at(t, n)->is.ifname[0])
            return true;
    return false;
}

static void
take_event(struct tes *t, const char *event, const char *detail)
{
    enum virt_means means = virt_event_means(event, detail);
    struct virt_fact *f = &t->virt->fact;
    uint32_t d = dom_find(t, &f->uuid);
    if (means == VIRT_NOTHING || (!d && (means == VIRT_GONE || means == VIRT_COMPLETE)))
        return;
    d = dom_of(t, f);
    if (!d)
        return;
    log_note("virt", "domain=%s: %s/%s", dom_at(t, d)->name, event, detail);
    if (means == VIRT_GONE) {
        gone(t, d);
        return;
    }
    apply(t, d, means, 0);
    if (means == VIRT_COMPLETE)
        return;
    if (means == VIRT_LOOK || !dom_at(t, d)->known || lacks_tap(t, d))
        look(t, d);
}

static void
take_state(struct tes *t, const char *state)
{
    struct virt_fact *f = &t->virt->fact;
    enum virt_means means = virt_state_means(state);
    uint32_t d;
    if (means == VIRT_GONE) {
        d = dom_find(t, &f->uuid);
        if (d)
            gone(t, d);
        return;
    }
    d = dom_of(t, f);
    if (!d)
        return;
    take_nics(t, d, f);
    apply(t, d, means, 0);
}

/* Of an earlier run, or missed: it is not there any more. */
static void
reap(struct tes *t)
{
    uint32_t next;
    for (uint32_t d = t->virt->first_dom; d; d = next) {
        next = dom_at(t, d)->next;
        if (dom_at(t, d)->listing != t->virt->listing && !dom_at(t, d)->timer.at)
            gone(t, d);
    }
    for (uint32_t h = t->first_vm; h; h = next) {
        struct vm *v = vm_at(t, h);
        struct vm_command c = {.id = v->id, .op = TNS_TERMINATE, .virt = 1};
        next = v->next;
        if (v->virt && v->state != VM_TERM && !nic_of_vsi(t, &v->id))
            vm_command(t, &c);
    }
}

static void
take_link(struct tes *t, const json_t *o, const char *uri)
{
    const char *text = json_string_value(json_object_get(o, "text"));
    t->virt->up = json_is_true(json_object_get(o, "up"));
    if (t->virt->up)
        log_note("virt", "following %s", uri ? uri : "");
    else
        log_warn(
            "virt", "%s: %s; it is tried again", uri ? uri : "", text ? text : "away");
}

void
virt_input(struct tes *t, const uint8_t *line, uint32_t size)
{
    json_t *o = json_loadb((const char *)line, size, JSON_REJECT_DUPLICATES, NULL);
    const char *event = json_string_value(json_object_get(o, "event"));
    const char *detail = json_string_value(json_object_get(o, "detail"));
    const char *state = json_string_value(json_object_get(o, "state"));
    const char *text = json_string_value(json_object_get(o, "text")), *why;
    t->n.facts++;
    if (!event) {
        log_warn("virt", "a fact that says nothing: skipped");
    } else if (strcmp(event, "link") == 0) {
        take_link(t, o, json_string_value(json_object_get(o, "uri")));
    } else if (strcmp(event, "failed") == 0) {
        log_warn("virt", "%s", text ? text : "a call has failed");
    } else if (strcmp(event, "list") == 0) {
        t->virt->listing++;
    } else if (strcmp(event, "listed") == 0) {
        reap(t);
    } else if ((why = virt_fact_read(&t->virt->fact, o))) {
        log_warn("virt", "domain=%s: %s: it is not followed", t->virt->fact.name, why);
    } else if (strcmp(event, "missing") == 0) {
        take_state(t, "off");
    } else if (strcmp(event, "is") == 0) {
        take_state(t, state ? state : "");
    } else {
        take_event(t, event, detail ? detail : "");
    }
    json_decref(o);
}

/* --- hooks --- */

static struct virt_wait *
wait_find(struct tes *t, uint32_t id)
{
    struct virt_wait *w = &t->virt->waits[id % VIRT_WAITS];
    return id && w->id == id ? w : NULL;
}

static struct virt_wait *
wait_new(struct tes *t, uint64_t conn, char **req_id)
{
    for (uint32_t i = 0; i < VIRT_WAITS; i++) {
        uint32_t id = ++t->virt->n_waits;
        struct virt_wait *w = &t->virt->waits[id % VIRT_WAITS];
        if (!id || w->id)
            continue;
        *w = (struct virt_wait){.id = id, .conn = conn, .req_id = *req_id};
        *req_id = NULL;
        return w;
    }
    return NULL;
}

/* The hypervisor goes back, and may not say so to us. */
static void
take_back(struct tes *t, const struct virt_wait *w)
{
    uint32_t d = dom_find(t, &w->uuid);
    if (!d)
        return;
    dom_at(t, d)->incoming = 0;
    for (uint32_t n = dom_at(t, d)->first_nic; n; n = nic_at(t, n)->next) {
        struct virt_nic *nic = nic_at(t, n);
        uint32_t h = vm_find(t, &nic->is.vsi);
        uint8_t state = h ? vm_state_soon(t, h) : VM_NEW;
        if (nic->wait != w->id)
            continue;
        nic->wait = 0;
        if (state == VM_PREASSOC || state == VM_IMMIG)
            act(t, n, VIRT_DO_TERMINATE, 0);
    }
}

static void
wait_end(struct tes *t, struct virt_wait *w)
{
    if (w->code[0]) {
        t->n.vetoes++;
        ctl_error(t, w->conn, w->req_id, w->code, "%s", w->text);
        take_back(t, w);
    } else {
        ctl_end(t, w->conn, w->req_id);
    }
    mem_free(w->req_id);
    memset(w, 0, sizeof(*w));
}

void
virt_client_gone(struct tes *t, uint64_t conn)
{
    for (uint32_t i = 0; i < VIRT_WAITS; i++) {
        struct virt_wait *w = &t->virt->waits[i];
        if (!w->id || w->conn != conn)
            continue;
        take_back(t, w);
        mem_free(w->req_id);
        memset(w, 0, sizeof(*w));
    }
}

static bool
ours(const struct virt_fact *f)
{
    for (uint32_t i = 0; i < f->n_nics; i++)
        if (f->nics[i].vn[0] || f->nics[i].vni)
            return true;
    return false;
}

static void
hook_ends(struct tes *t, const struct virt_fact *f)
{
    uint32_t d = dom_find(t, &f->uuid), n;
    if (!d)
        return;
    if (f->has_domain) {
        gone(t, d);
        return;
    }
    n = f->n_nics ? nic_find(t, d, &f->nics[0].mac) : 0;
    if (!n)
        return;
    nic_means(t, n, VIRT_GONE, 0);
    nic_remove(t, n);
}

static void
hook_begins(struct tes *t, const struct virt_fact *f, enum virt_means means,
    struct virt_wait *w)
{
    uint32_t d = dom_of(t, f), n;
    if (!d) {
        snprintf(w->code, sizeof(w->code), "no_resources");
        snprintf(w->text, sizeof(w->text),
            "the agent's table of VMs is full: raise max_vms");
        return;
    }
    w->uuid = f->uuid;
    take_nics(t, d, f);
    if (f->has_domain) {
        w->n_left = apply(t, d, means, w->id);
        if (means == VIRT_COMES) /* whether it comes is not sure yet */
            timers_set(
                &t->timers, &dom_at(t, d)->timer, t->now_us + COMES_US, TIMER_DOM, d);
        return;
    }
    n = nic_find(t, d, &f->nics[0].mac);
    if (n)
        w->n_left = nic_means(t, n, in_context(dom_at(t, d), means), w->id);
}

void
virt_hook(struct tes *t, uint64_t conn, const json_t *o, char **id)
{
    struct virt_fact *f = &t->virt->fact;
    const char *op = json_string_value(json_object_get(o, "op"));
    const char *why = virt_fact_read(f, o);
    enum virt_means means = op ? virt_hook_means(op) : VIRT_NOTHING;
    struct virt_wait *w;
    t->n.hooks++;
    if (why && ours(f)) {
        ctl_error(t, conn, *id, "bad_request", "%s", why);
        return;
    }
    if (why) { /* no machine of others is stopped because we do not understand it */
        log_warn("virt", "domain=%s: %s: it is not followed", f->name, why);
        ctl_end(t, conn, *id);
        return;
    }
    if (!t->conf.virt) {
        if (ours(f) && means != VIRT_GONE)
            ctl_error(t, conn, *id, "follows",
                "this agent follows no hypervisor: set libvirt in its configuration");
        else
            ctl_end(t, conn, *id);
        return;
    }
    log_note("virt", "domain=%s: hook %s", f->name, op ? op : "");
    if (means == VIRT_NOTHING || means == VIRT_GONE) {
        if (means == VIRT_GONE)
            hook_ends(t, f);
        ctl_end(t, conn, *id);
        return;
    }
    w = wait_new(t, conn, id);
    if (!w) {
        ctl_error(t, conn, *id, "busy", "too many hooks wait at once: try again");
        return;
    }
    hook_begins(t, f, means, w);
    if (!w->n_left)
        wait_end(t, w);
}

/* --- what became of it --- */

void
virt_ended(struct tes *t, const struct vsiid *id, uint8_t op, uint32_t wait,
    const char *code, const char *text)
{
    struct virt_done *d = fifo_push(&t->virt->done);
    d->id = *id;
    d->op = op;
    d->wait = wait;
    d->good = code == NULL;
    if (!code)
        return;
    snprintf(d->code, sizeof(d->code), "%s", code);
    snprintf(d->text, sizeof(d->text), "%s", text);
}

static bool
is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(*words, word) != 0)
        words++;
    return *words != NULL;
}

/* Nobody waits. It does run here: when the edge or the authority knows it elsewhere,
 * that is claimed anew, without the epoch that was carried. */
static void
failed(struct tes *t, uint32_t n, const struct virt_done *d)
{
    static const char *const no_more[] = {"superseded", "unknown_vm", NULL};
    static const char *const elsewhere[] = {
        "moved", "no_state", "invalid_state", "conflict", NULL};
    struct virt_nic *nic = nic_at(t, n);
    char who[VSIID_STR];
    if (d->op == TNS_TERMINATE || is_one_of(d->code, no_more))
        return;
    log_warn("virt", "domain=%s vsi=%s: %s has failed: %s", dom_at(t, nic->dom)->name,
        vsiid_str(&nic->is.vsi, who), virt_deed_str(nic->deed), d->text);
    if (is_one_of(d->code, elsewhere)) {
        if (d->op == TNS_EMIGRATE_COMMIT || d->op == TNS_SUSPEND ||
            nic->means == VIRT_COMPLETE) /* its source may have it back */
            return;
        if (!nic->claims && (d->op == TNS_RESUME || d->op == TNS_IMMIGRATE_ASSO ||
                                d->op == TNS_ASSOC)) {
            nic->claims = 1;
            act(t, n,
                nic->deed == VIRT_DO_IMM_PAUSED ? VIRT_DO_IMM_PAUSED : VIRT_DO_ASSOC,
                0);
            return;
        }
    }
    retry(t, n);
}

static void
done(struct tes *t, const struct virt_done *d)
{
    struct virt_wait *w = wait_find(t, d->wait);
    uint32_t n = nic_of_vsi(t, &d->id);
    struct virt_nic *nic = n ? nic_at(t, n) : NULL;
    if (w) {
        if (!d->good && !w->code[0]) {
            snprintf(w->code, sizeof(w->code), "%s", d->code);
            snprintf(w->text, sizeof(w->text), "%s", d->text);
        }
        if (--w->n_left == 0)
            wait_end(t, w);
        return;
    }
    if (!nic)
        return;
    if (!d->good) {
        failed(t, n, d);
        return;
    }
    nic->delay_us = 0;
    nic->claims = 0;
    bind_tap(t, nic);
}

bool
virt_pump(struct tes *t)
{
    struct virt_done d;
    bool any = false;
    while (fifo_pop(&t->virt->done, &d)) {
        any = true;
        done(t, &d);
    }
    return any;
}

void
virt_stays(struct tes *t, uint32_t vm)
{
    const struct vm *v = vm_at(t, vm);
    uint32_t n = v->virt ? nic_of_vsi(t, &v->id) : 0;
    struct virt_nic *nic = n ? nic_at(t, n) : NULL;
    if (!nic || (v->state != VM_ASSOC && v->state != VM_SUSP) || !v->epoch ||
        (nic->is.epoch == v->epoch && nic->is.migration == v->par.migration))
        return;
    nic->is.epoch = v->epoch;
    nic->is.migration = v->par.migration;
    write_residences(t, nic->dom);
}

void
virt_timer(struct tes *t, uint32_t kind, uint32_t ref)
{
    if (kind == TIMER_NIC) {
        t->n.repeats++;
        nic_means(t, ref, nic_at(t, ref)->means, 0);
        return;
    }
    if (!t->virt->up) /* nobody to ask */
        timers_set(
            &t->timers, &dom_at(t, ref)->timer, t->now_us + COMES_US, TIMER_DOM, ref);
    else
        look(t, ref);
}

const char *
virt_domain_of(const struct tes *t, const struct vm *v)
{
    uint32_t n = v->virt ? nic_of_vsi(t, &v->id) : 0;
    return n ? dom_at(t, nic_at(t, n)->dom)->name : NULL;
}
