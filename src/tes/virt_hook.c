/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: one waits for its answer until all commands that it led to have ended, and is
 * refused when one of them was. */
#include "tes/virt_int.h"
#include "base/log.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define COMES_US 30000000 /* an announced VM of which nothing more is heard */

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
    uint32_t d = virt_dom_find(t, &w->uuid);
    if (!d)
        return;
    virt_dom_at(t, d)->incoming = 0;
    for (uint32_t n = virt_dom_at(t, d)->first_nic; n; n = virt_nic_at(t, n)->next) {
        struct virt_nic *nic = virt_nic_at(t, n);
        uint32_t h = vm_find(t, &nic->is.vsi);
        uint8_t state = h ? vm_state_soon(t, h) : VM_NEW;
        if (nic->wait != w->id)
            continue;
        nic->wait = 0;
        if (state == VM_PREASSOC || state == VM_IMMIG)
            virt_act(t, n, VIRT_DO_TERMINATE, 0);
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

bool
virt_hook_done(struct tes *t, const struct virt_done *d)
{
    struct virt_wait *w = wait_find(t, d->wait);
    if (!w)
        return false;
    if (!d->good && !w->code[0]) {
        snprintf(w->code, sizeof(w->code), "%s", d->code);
        snprintf(w->text, sizeof(w->text), "%s", d->text);
    }
    if (--w->n_left == 0)
        wait_end(t, w);
    return true;
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
        if (f->nics[i].vn[0] || f->nics[i].vni || f->nics[i].is_meant)
            return true;
    return false;
}

static void
hook_ends(struct tes *t, const struct virt_fact *f)
{
    uint32_t d = virt_dom_find(t, &f->uuid), n;
    if (!d)
        return;
    if (f->has_domain) {
        virt_gone(t, d);
        return;
    }
    n = f->n_nics ? virt_nic_find(t, d, &f->nics[0].mac) : 0;
    if (!n)
        return;
    virt_nic_means(t, n, VIRT_GONE, 0);
    virt_nic_remove(t, n);
}

static void
hook_begins(struct tes *t, const struct virt_fact *f, enum virt_means means,
    struct virt_wait *w)
{
    uint32_t d = virt_dom_of(t, f), n;
    if (!d) {
        snprintf(w->code, sizeof(w->code), "no_resources");
        snprintf(w->text, sizeof(w->text),
            "the agent's table of VMs is full: raise max_vms");
        return;
    }
    w->uuid = f->uuid;
    virt_take_nics(t, d, f);
    if (f->has_domain) {
        w->n_left = virt_apply(t, d, means, w->id);
        if (means == VIRT_COMES) /* whether it comes is not sure yet */
            timers_set(&t->timers, &virt_dom_at(t, d)->timer, t->now_us + COMES_US,
                TIMER_DOM, d);
        return;
    }
    n = virt_nic_find(t, d, &f->nics[0].mac);
    if (n)
        w->n_left =
            virt_nic_means(t, n, virt_in_context(virt_dom_at(t, d), means), w->id);
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
