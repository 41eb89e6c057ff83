/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that facts ask for, and what became of them. A hook waits until all that
 * it led to have ended; nobody waits for what an event leads to, so that is repeated
 * until it succeeds or a later fact asks for something else. */
#include "tes/virt_int.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

#define RETRY_US     200000
#define RETRY_MAX_US 30000000

/* --- outputs --- */

static void
output(struct tes *t, uint8_t type, uint32_t d, const char *text)
{
    struct tes_out *o = tes_out_push(t, type);
    char uuid[VSIID_STR];
    vsiid_str(&virt_dom_at(t, d)->uuid, uuid);
    o->key = tes_bytes(t, uuid, strlen(uuid) + 1);
    o->key_size = (uint16_t)strlen(uuid);
    if (!text)
        return;
    o->p = tes_bytes(t, text, strlen(text) + 1);
    o->size = (uint32_t)strlen(text);
}

void
virt_look(struct tes *t, uint32_t d)
{
    output(t, TES_OUT_DOMAIN_LOOK, d, NULL);
}

static void
write_residences(struct tes *t, uint32_t d)
{
    struct virt_dom *dom = virt_dom_at(t, d);
    char text[256 + VIRT_NICS_MAX * 192];
    size_t at = (size_t)snprintf(text, sizeof(text), "<residences>");
    for (uint32_t n = dom->first_nic; n && sizeof(text) - at > 256;
         n = virt_nic_at(t, n)->next) {
        const struct virt_nic *nic = virt_nic_at(t, n);
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
    c->given = GIVE_MAC;
    c->par.mac = f->mac;
    if (f->vn[0] || f->vni) {
        c->given |= GIVE_VN;
        c->par.vni = f->vni;
        c->par.has_vni = f->vni != 0;
        memcpy(c->par.vn, f->vn, sizeof(c->par.vn));
    }
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

void
virt_act(struct tes *t, uint32_t n, enum virt_deed deed, uint32_t wait)
{
    struct virt_nic *nic = virt_nic_at(t, n);
    struct vm_command c = {
        .id = nic->is.vsi, .op = deed_op[deed], .virt = 1, .wait = wait};
    char who[VSIID_STR];
    nic->deed = deed;
    log_note("virt", "domain=%s vsi=%s: %s", virt_dom_at(t, nic->dom)->name,
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

/* Is it in another network, or has it other addresses, than its domain says now? */
static bool
differs(const struct virt_nic_fact *f, const struct vm_params *p)
{
    if ((f->vn[0] || f->vni) &&
        (strcmp(f->vn, p->vn) != 0 || (f->vni && f->vni != p->vni)))
        return true;
    for (uint8_t i = 0; i < f->n_ips; i++)
        if (f->n_ips != p->n_ips || !ip_equal(&f->ips[i], &p->ips[i]))
            return true;
    return false;
}

/* The domain's metadata have changed while it stays here. */
static enum virt_deed
deed_of_change(
    const struct tes *t, const struct virt_nic *nic, uint32_t h, enum virt_means means)
{
    uint8_t state = h ? vm_state_soon(t, h) : VM_TERM;
    if (state == VM_TERM)
        return VIRT_DO_NOTHING;
    if (nic->is.none)
        return VIRT_DO_TERMINATE;
    if (!differs(&nic->is, &vm_at(t, h)->par))
        return VIRT_DO_NOTHING;
    if (means == VIRT_IS_RUNNING && state == VM_ASSOC)
        return VIRT_DO_ASSOC;
    return means == VIRT_IS_PAUSED && state == VM_SUSP ? VIRT_DO_IMM_PAUSED
                                                       : VIRT_DO_NOTHING;
}

/* Returns 1 when a command is on its way. */
uint32_t
virt_nic_means(struct tes *t, uint32_t n, enum virt_means means, uint32_t wait)
{
    struct virt_nic *nic = virt_nic_at(t, n);
    uint32_t h = vm_find(t, &nic->is.vsi);
    enum virt_deed deed = virt_deed_of(means, h ? vm_state_soon(t, h) : VM_NEW);
    if (virt_is_hint(means) && deed == VIRT_DO_NOTHING)
        return 0;
    if (means == VIRT_COMPLETE && vm_at(t, h)->state != VM_IMMIG)
        return 0; /* without a granted epoch it would be a claim */
    if (means == VIRT_NOTHING || means == VIRT_LOOK) {
        bind_tap(t, nic);
        return 0;
    }
    timers_clear(&t->timers, &nic->timer);
    nic->means = means;
    if (!h && !nic->is.vn[0] && !nic->is.vni)
        return 0; /* none of ours */
    if (nic->is.none && means != VIRT_GONE)
        deed = VIRT_DO_NOTHING;
    if (nic->fresh && (means == VIRT_IS_RUNNING || means == VIRT_IS_PAUSED))
        return 0; /* the description is older than it */
    if (deed == VIRT_DO_NOTHING &&
        (means == VIRT_IS_RUNNING || means == VIRT_IS_PAUSED))
        deed = deed_of_change(t, nic, h, means);
    if (deed == VIRT_DO_REPEAT && !nic->is.epoch)
        deed = VIRT_DO_ASSOC;
    if (deed != VIRT_DO_NOTHING) {
        nic->wait = wait;
        virt_act(t, n, deed, wait);
        if (nic->is.none && means != VIRT_GONE)
            write_residences(t, nic->dom);
        return 1;
    }
    if (means != VIRT_GONE)
        bind_tap(t, nic);
    return 0;
}

static void
retry(struct tes *t, uint32_t n)
{
    struct virt_nic *nic = virt_nic_at(t, n);
    uint64_t first = t->conf.retry_us ? t->conf.retry_us : RETRY_US;
    uint64_t top = t->conf.retry_max_us ? t->conf.retry_max_us : RETRY_MAX_US;
    uint64_t delay = nic->delay_us ? nic->delay_us : first;
    nic->delay_us = delay * 2 < top ? delay * 2 : top;
    timers_set(&t->timers, &nic->timer, t->now_us + delay, TIMER_NIC, n);
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
    struct virt_nic *nic = virt_nic_at(t, n);
    char who[VSIID_STR];
    if (d->op == TNS_TERMINATE || is_one_of(d->code, no_more))
        return;
    log_warn("virt", "domain=%s vsi=%s: %s has failed: %s",
        virt_dom_at(t, nic->dom)->name, vsiid_str(&nic->is.vsi, who),
        virt_deed_str(nic->deed), d->text);
    if (is_one_of(d->code, elsewhere)) {
        if (d->op == TNS_EMIGRATE_COMMIT || d->op == TNS_SUSPEND ||
            virt_is_hint(nic->means)) /* the other server may have it */
            return;
        if (!nic->claims && (d->op == TNS_RESUME || d->op == TNS_IMMIGRATE_ASSO ||
                                d->op == TNS_ASSOC)) {
            nic->claims = 1;
            virt_act(t, n,
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
    uint32_t n = virt_nic_of_vsi(t, &d->id);
    struct virt_nic *nic = n ? virt_nic_at(t, n) : NULL;
    if (virt_hook_done(t, d) || !nic)
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
    uint32_t n = v->virt ? virt_nic_of_vsi(t, &v->id) : 0;
    struct virt_nic *nic = n ? virt_nic_at(t, n) : NULL;
    if (!nic || (v->state != VM_ASSOC && v->state != VM_SUSP) || !v->epoch ||
        (nic->is.epoch == v->epoch && nic->is.migration == v->par.migration))
        return;
    nic->is.epoch = v->epoch;
    nic->is.migration = v->par.migration;
    write_residences(t, nic->dom);
}
