/* SPDX-License-Identifier: Apache-2.0 */
/* Facts: what is told of a domain, applied to each of its interfaces. */
#include "tes/virt_int.h"
#include "base/log.h"
#include <jansson.h>
#include <string.h>

#define ASK_US 30000000 /* while there is nobody to ask */

void
virt_gone(struct tes *t, uint32_t d)
{
    struct virt_dom *dom = virt_dom_at(t, d);
    for (uint32_t n = dom->first_nic; n; n = virt_nic_at(t, n)->next)
        virt_nic_means(t, n, VIRT_GONE, 0);
    virt_dom_remove(t, d);
}

uint32_t
virt_dom_of(struct tes *t, const struct virt_fact *f)
{
    uint32_t d = virt_dom_find(t, &f->uuid);
    if (!d)
        d = virt_dom_add(t, &f->uuid);
    if (!d) {
        log_warn("virt", "domain=%s: the table is full, raise max_vms", f->name);
        return 0;
    }
    if (f->name[0])
        memcpy(virt_dom_at(t, d)->name, f->name, sizeof(f->name));
    virt_dom_at(t, d)->listing = t->virt->listing;
    timers_clear(&t->timers, &virt_dom_at(t, d)->timer);
    return d;
}

/* A description is complete, but for an interface that only its network has told of. */
void
virt_take_nics(struct tes *t, uint32_t d, const struct virt_fact *f)
{
    struct virt_dom *dom = virt_dom_at(t, d);
    uint32_t next;
    for (uint32_t i = 0; i < f->n_nics; i++) {
        uint32_t n = virt_nic_find(t, d, &f->nics[i].mac);
        if (!n)
            n = virt_nic_add(t, d, &f->nics[i]);
        else if (f->has_domain || !virt_nic_at(t, n)->is.is_meant)
            virt_nic_update(virt_nic_at(t, n), &f->nics[i]);
        if (n)
            virt_nic_at(t, n)->fresh = !f->has_domain;
    }
    if (!f->has_domain)
        return;
    dom->known = 1;
    for (uint32_t n = dom->first_nic; n; n = next) {
        bool there = virt_nic_at(t, n)->fresh;
        next = virt_nic_at(t, n)->next;
        for (uint32_t i = 0; i < f->n_nics && !there; i++)
            there = mac_equal(&f->nics[i].mac, &virt_nic_at(t, n)->is.mac);
        if (there)
            continue;
        virt_nic_means(t, n, VIRT_GONE, 0);
        virt_nic_remove(t, n);
    }
}

/* Coming and being made are told apart by what was heard before. */
enum virt_means
virt_in_context(struct virt_dom *dom, enum virt_means means)
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
    case VIRT_BACK: /* and of this the target */
        return dom->incoming ? VIRT_NOTHING : means;
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

uint32_t
virt_apply(struct tes *t, uint32_t d, enum virt_means means, uint32_t wait)
{
    uint32_t n_deeds = 0;
    means = virt_in_context(virt_dom_at(t, d), means);
    for (uint32_t n = virt_dom_at(t, d)->first_nic; n; n = virt_nic_at(t, n)->next)
        n_deeds += virt_nic_means(t, n, means, wait);
    return n_deeds;
}

/* Runs and has no tap that we know of: its hook was not run, or before we were here. */
static bool
lacks_tap(const struct tes *t, uint32_t d)
{
    for (uint32_t n = virt_dom_at(t, d)->first_nic; n; n = virt_nic_at(t, n)->next)
        if (!virt_nic_at(t, n)->is.ifname[0])
            return true;
    return false;
}

static void
take_event(struct tes *t, const char *event, const char *detail)
{
    enum virt_means means = virt_event_means(event, detail);
    struct virt_fact *f = &t->virt->fact;
    uint32_t d = virt_dom_find(t, &f->uuid);
    if (means == VIRT_NOTHING || (!d && (means == VIRT_GONE || virt_is_hint(means))))
        return;
    d = virt_dom_of(t, f);
    if (!d)
        return;
    log_note("virt", "domain=%s: %s/%s", virt_dom_at(t, d)->name, event, detail);
    if (means == VIRT_GONE) {
        virt_gone(t, d);
        return;
    }
    virt_apply(t, d, means, 0);
    if (virt_is_hint(means))
        return;
    if (means == VIRT_LOOK || !virt_dom_at(t, d)->known || lacks_tap(t, d))
        virt_look(t, d);
}

static void
take_state(struct tes *t, const char *state)
{
    struct virt_fact *f = &t->virt->fact;
    enum virt_means means = virt_state_means(state);
    uint32_t d;
    if (means == VIRT_GONE) {
        d = virt_dom_find(t, &f->uuid);
        if (d)
            virt_gone(t, d);
        return;
    }
    d = virt_dom_of(t, f);
    if (!d)
        return;
    virt_take_nics(t, d, f);
    virt_apply(t, d, means, 0);
}

/* Is it one of a domain whose description was not understood? */
static bool
may_have(const struct tes *t, const struct vsiid *vsi)
{
    for (uint32_t d = t->virt->first_dom; d; d = virt_dom_at(t, d)->next)
        if (!virt_dom_at(t, d)->known &&
            memcmp(virt_dom_at(t, d)->uuid.b, vsi->b, VIRT_VSI_SAME) == 0)
            return true;
    return false;
}

/* Of an earlier run, or missed: it is not there any more. */
static void
reap(struct tes *t)
{
    uint32_t next;
    for (uint32_t d = t->virt->first_dom; d; d = next) {
        next = virt_dom_at(t, d)->next;
        if (virt_dom_at(t, d)->listing != t->virt->listing &&
            !virt_dom_at(t, d)->timer.at)
            virt_gone(t, d);
    }
    for (uint32_t h = t->first_vm; h; h = next) {
        struct vm *v = vm_at(t, h);
        struct vm_command c = {.id = v->id, .op = TNS_TERMINATE, .virt = 1};
        next = v->next;
        if (v->virt && v->state != VM_TERM && !virt_nic_of_vsi(t, &v->id) &&
            !may_have(t, &v->id))
            vm_command(t, &c);
    }
}

/* Nothing is known of it but that it is there: what runs stays as it is. */
static void
take_wrong(struct tes *t, const char *why)
{
    const struct virt_fact *f = &t->virt->fact;
    uint32_t d = f->uuid.format ? virt_dom_of(t, f) : 0;
    log_err("virt", "domain=%s: %s: what runs stays as it is until that is mended",
        f->name, why);
    if (d)
        virt_dom_at(t, d)->known = 0;
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
        take_wrong(t, why);
    } else if (strcmp(event, "missing") == 0) {
        take_state(t, "off");
    } else if (strcmp(event, "is") == 0) {
        take_state(t, state ? state : "");
    } else {
        take_event(t, event, detail ? detail : "");
    }
    json_decref(o);
}

void
virt_timer(struct tes *t, uint32_t kind, uint32_t ref)
{
    if (kind == TIMER_NIC) {
        t->n.repeats++;
        virt_nic_means(t, ref, virt_nic_at(t, ref)->means, 0);
        return;
    }
    if (!t->virt->up) /* nobody to ask */
        timers_set(&t->timers, &virt_dom_at(t, ref)->timer, t->now_us + ASK_US,
            TIMER_DOM, ref);
    else
        virt_look(t, ref);
}

bool
virt_is_up(const struct tes *t)
{
    return t->virt->up;
}
