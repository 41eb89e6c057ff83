/* SPDX-License-Identifier: Apache-2.0 */
/* The table of VMs: what their frames may do (tags), what survives us (journal), and
 * how a VM that its edge let go is associated again. A VM that the edge refuses or
 * de-associates loses its tag at once, because the edge may give that tag to another
 * VN; one of which the edge is merely silent keeps it, because the edge's data plane
 * outlives its daemon. */
#include "tes/vm.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

#define RETRY_US     200000
#define RETRY_MAX_US 30000000
#define NEAR_US      100000 /* the edge sends to a port back for longer */

struct vm *
vm_at(const struct tes *t, uint32_t h)
{
    return pool_at(&t->vms, h);
}

static uint32_t
id_hash(const struct tes *t, const struct vsiid *id)
{
    uint8_t key[VM_KEY_SIZE];
    vm_key_write(id, key);
    return map_hash(&t->by_id, key, sizeof(key));
}

bool
vm_has_id(const void *ctx, uint32_t handle, const void *key)
{
    return vsiid_equal(&vm_at(ctx, handle)->id, key);
}

uint32_t
vm_find(const struct tes *t, const struct vsiid *id)
{
    return map_find(&t->by_id, id_hash(t, id), id);
}

uint32_t
vm_add(struct tes *t, const struct vsiid *id)
{
    uint32_t h = pool_get(&t->vms);
    struct vm *v;
    if (!h)
        return 0;
    t->live[h / 8] |= (uint8_t)(1u << h % 8);
    v = vm_at(t, h);
    v->id = *id;
    v->since_us = t->now_us;
    v->prev_vm = t->last_vm;
    if (t->last_vm)
        vm_at(t, t->last_vm)->next = h;
    else
        t->first_vm = h;
    t->last_vm = h;
    map_add(&t->by_id, id_hash(t, id), h);
    return h;
}

void
vm_remove(struct tes *t, uint32_t h)
{
    struct vm *v = vm_at(t, h);
    struct vdp_key key = vm_vdp_key(t, v);
    ctl_vm_gone(t, h);
    if (t->up[v->par.uplink].station) /* no keep-alive holds it at the edge any more */
        vdp_station_forget(t->up[v->par.uplink].station, &key);
    timers_clear(&t->timers, &v->timer);
    timers_clear(&t->timers, &v->near);
    if (v->prev_vm)
        vm_at(t, v->prev_vm)->next = v->next;
    else
        t->first_vm = v->next;
    if (v->next)
        vm_at(t, v->next)->prev_vm = v->prev_vm;
    else
        t->last_vm = v->prev_vm;
    map_del(&t->by_id, id_hash(t, &v->id), h);
    t->live[h / 8] &= (uint8_t) ~(1u << h % 8);
    pool_put(&t->vms, h);
}

const char *
vm_str(const struct vm *v, char *text)
{
    return vsiid_str(&v->id, text);
}

/* --- ids of outputs that are answered: 12 bits that count, 20 of the VM --- */

static uint32_t
new_id(struct tes *t, uint32_t h)
{
    return ++t->next_id << 20 | h;
}

static struct vm *
vm_of_id(struct tes *t, uint32_t id, bool journal)
{
    uint32_t h = id & (TES_VMS_LIMIT - 1);
    struct vm *v;
    if (!h || h > t->conf.max_vms || !(t->live[h / 8] & 1u << h % 8))
        return NULL;
    v = vm_at(t, h);
    return (journal ? v->journal_id : v->tag_id) == id ? v : NULL;
}

/* --- tags --- */

static enum vm_action
state_action(uint8_t state)
{
    switch ((enum vm_state)state) {
    case VM_ASSOC:
    case VM_ARMED:
        return VM_ACT_OPEN;
    case VM_PREASSOC:
    case VM_SUSP:
    case VM_EMIG:
    case VM_IMMIG:
        return VM_ACT_HOLD;
    case VM_NEW:
    case VM_LOST:
    case VM_N_STATES:
        return VM_ACT_BLOCK;
    case VM_TERM:
        return VM_ACT_DROP;
    }
    return VM_ACT_BLOCK;
}

void
vm_tag_again(struct tes *t, uint32_t h)
{
    vm_set_tag(t, h, state_action(vm_at(t, h)->state));
}

static bool
tag_same(const struct tes_tag *a, const struct tes_tag *b)
{
    return a->uplink == b->uplink && strcmp(a->ifname, b->ifname) == 0 &&
           mac_equal(&a->mac, &b->mac) && a->vid == b->vid && a->pcp == b->pcp &&
           a->pass == b->pass && a->reflect == b->reflect && a->away == b->away;
}

static void
untag(struct tes *t, struct vm *v)
{
    struct tes_out *o;
    if (!v->tag_sent)
        return;
    o = tes_out_push(t, TES_OUT_UNTAG);
    o->tag = v->tag;
    o->uplink = v->tag.uplink;
    v->tag_sent = 0;
    v->tag_id = 0;
    v->waits &= (uint8_t)~WAIT_TAG;
}

/* On its way: what VMs of this server send to it waits at the edge with all else, and
 * for a moment after its arrival still passes there, behind what waited (K12). */
static bool
away(struct tes *t, uint32_t h)
{
    struct vm *v = vm_at(t, h);
    if (v->state == VM_IMMIG || v->state == VM_EMIG ||
        (v->state == VM_ARMED && v->par.hold)) {
        v->near_us = 0;
        timers_clear(&t->timers, &v->near);
        return true;
    }
    if (!v->tag_sent || !v->tag.away)
        return false;
    if (!v->near_us) {
        v->near_us = t->now_us + NEAR_US;
        timers_set(&t->timers, &v->near, v->near_us, TIMER_NEAR, h);
    }
    return t->now_us < v->near_us;
}

/* Sends what has changed; the command in flight then waits for it. */
void
vm_set_tag(struct tes *t, uint32_t h, enum vm_action action)
{
    struct vm *v = vm_at(t, h);
    struct tes_tag tag = {.vm = h, .uplink = v->par.uplink};
    struct tes_out *o;
    if (action == VM_ACT_DROP || !v->par.ifname[0]) {
        untag(t, v);
        return;
    }
    if (v->tag_sent && strcmp(v->tag.ifname, v->par.ifname) != 0)
        untag(t, v);
    memcpy(tag.ifname, v->par.ifname, sizeof(tag.ifname));
    tag.mac = v->par.mac;
    tag.reflect = t->up[v->par.uplink].reflect;
    if (action != VM_ACT_BLOCK) {
        tag.vid = v->vid;
        tag.pcp = v->pcp;
        tag.pass = action == VM_ACT_OPEN && v->vid;
        tag.away = away(t, h);
    }
    if (v->tag_sent && !v->tag_status && tag_same(&tag, &v->tag)) {
        if (v->tag_id)
            v->waits |= WAIT_TAG;
        return;
    }
    v->tag = tag;
    v->tag_sent = 1;
    v->tag_status = 0;
    v->tag_id = new_id(t, h);
    v->waits |= WAIT_TAG;
    vm_seen_frames(t, v, action);
    o = tes_out_push(t, TES_OUT_TAG);
    o->id = v->tag_id;
    o->uplink = tag.uplink;
    o->tag = tag;
}

void
vm_tagged(struct tes *t, uint32_t id, int status)
{
    struct vm *v = vm_of_id(t, id, false);
    char who[VSIID_STR];
    if (!v)
        return;
    v->tag_id = 0;
    v->tag_status = status;
    v->waits &= (uint8_t)~WAIT_TAG;
    if (status) {
        t->n.tag_errors++;
        log_warn("vm", "vsi=%s if=%s: the tag is not installed, error %d",
            vm_str(v, who), v->par.ifname, -status);
    }
    vm_progress(t, id & (TES_VMS_LIMIT - 1));
}

/* Not by a command: only one that is in flight waits for it. */
static void
refresh_tag(struct tes *t, uint32_t h)
{
    struct vm *v = vm_at(t, h);
    uint8_t waits = v->waits;
    if (!v->tag_sent)
        return;
    vm_set_tag(t, h, v->tag.vid ? state_action(v->state) : VM_ACT_BLOCK);
    if (!v->req)
        v->waits = waits;
}

void
vm_reflect(struct tes *t, uint32_t uplink)
{
    for (uint32_t h = t->first_vm; h; h = vm_at(t, h)->next)
        if (vm_at(t, h)->par.uplink == uplink)
            refresh_tag(t, h);
}

void
vm_near(struct tes *t, uint32_t h)
{
    refresh_tag(t, h);
}

/* --- journal --- */

void
vm_journal(struct tes *t, uint32_t h, bool live)
{
    struct vm *v = vm_at(t, h);
    struct tes_out *o;
    uint8_t key[VM_KEY_SIZE];
    v->journal_id = new_id(t, h);
    v->waits |= WAIT_JOURNAL;
    vm_key_write(&v->id, key);
    o = tes_out_push(t, TES_OUT_JOURNAL);
    o->id = v->journal_id;
    o->key = tes_bytes(t, key, sizeof(key));
    o->key_size = sizeof(key);
    if (!live)
        return;
    o->size = vm_record_write(t, v, t->record, sizeof(t->record));
    o->p = tes_bytes(t, t->record, o->size);
}

void
vm_journal_done(struct tes *t, uint32_t id, int status)
{
    struct vm *v = vm_of_id(t, id, true);
    if (status) {
        t->n.journal_errors++;
        log_err("vm", "the journal is not written, error %d: a restart would forget",
            -status);
    }
    if (!v)
        return;
    v->journal_id = 0;
    v->waits &= (uint8_t)~WAIT_JOURNAL;
    if (status && v->req)
        vm_fail(t, id & (TES_VMS_LIMIT - 1), "journal",
            "the edge has answered, but the journal is not written (error %d): look at "
            "the "
            "file system of the state directory, then signal again",
            -status);
    vm_progress(t, id & (TES_VMS_LIMIT - 1));
}

/* --- again --- */

void
vm_retry(struct tes *t, uint32_t h)
{
    struct vm *v = vm_at(t, h);
    uint64_t first = t->conf.retry_us ? t->conf.retry_us : RETRY_US;
    uint64_t top = t->conf.retry_max_us ? t->conf.retry_max_us : RETRY_MAX_US;
    uint64_t delay = v->retry_us ? v->retry_us : first;
    v->retrying = 1;
    v->retry_us = delay * 2 < top ? delay * 2 : top;
    delay += rng_below(&t->rng, (uint32_t)(delay / 4) + 1); /* not all at once */
    timers_set(&t->timers, &v->timer, t->now_us + delay, 0, h);
}

/* The edge has it no more. Leaving or moved away: that is as it should be (E3), else it
 * is associated again. */
void
vm_lost(struct tes *t, uint32_t h, bool moved, uint8_t reason)
{
    struct vm *v = vm_at(t, h);
    char who[VSIID_STR];
    uint8_t was = v->state;
    if (v->state == VM_TERM)
        return;
    moved = moved || v->state == VM_ARMED || v->state == VM_EMIG;
    if (!fsm_step(&t->fsm, &v->state, VM_EV_LOST, vm_str(v, who)))
        return;
    if (was != VM_LOST)
        v->prev = was;
    v->reason = reason;
    v->since_us = t->now_us;
    v->vid = 0;
    vm_set_tag(t, h, VM_ACT_BLOCK);
    if (moved) {
        v->wanted = 0;
        v->retrying = 0;
        timers_clear(&t->timers, &v->timer);
        vm_journal(t, h, true);
    } else if (v->wanted) {
        vm_retry(t, h);
    }
    if (!v->req)
        v->waits &= WAIT_ANSWER;
}

void
vm_timer(struct tes *t, uint32_t h)
{
    struct vm *v = vm_at(t, h);
    uint8_t want = v->state == VM_LOST ? v->prev : v->state;
    if (v->req || v->waits & WAIT_ANSWER)
        return; /* a command will settle it */
    if (!t->up[v->par.uplink].up || !t->up[v->par.uplink].station)
        return; /* vm_uplink_ready wakes us */
    v->chain = want == VM_SUSP;
    switch ((enum vm_state)want) {
    case VM_PREASSOC:
        v->op = TNS_PREASSOC;
        break;
    case VM_IMMIG:
        v->op = TNS_IMMIGRATE_PRE;
        break;
    case VM_ARMED:
        v->op = TNS_EMIGRATE_PREPARE;
        break;
    case VM_EMIG:
        v->op = TNS_EMIGRATE_COMMIT;
        break;
    case VM_NEW:
    case VM_ASSOC:
    case VM_SUSP:
    case VM_LOST:
    case VM_TERM:
    case VM_N_STATES:
        v->op = TNS_ASSOC;
        break;
    }
    t->n.retries++;
    if (vm_send(t, h, true))
        v->waits = WAIT_ANSWER;
    else
        vm_retry(t, h);
}

void
vm_uplink_ready(struct tes *t, uint32_t uplink)
{
    for (uint32_t h = t->first_vm; h; h = vm_at(t, h)->next) {
        struct vm *v = vm_at(t, h);
        if (v->par.uplink == uplink && v->retrying && t->restored)
            timers_set(&t->timers, &v->timer, t->now_us, 0, h);
    }
}

void
vm_new_station(struct tes *t, uint32_t uplink)
{
    for (uint32_t h = t->first_vm; h; h = vm_at(t, h)->next) {
        struct vm *v = vm_at(t, h);
        if (v->par.uplink != uplink)
            continue;
        if (v->waits & WAIT_ANSWER)
            vm_send(t, h, false);
        else if (v->wanted)
            v->retrying = 1;
    }
}

/* E6: the tags have stayed; each VM repeats its last command with its epoch. */
void
vm_restored(struct tes *t)
{
    t->restored = true;
    for (uint32_t h = t->first_vm; h; h = vm_at(t, h)->next) {
        struct vm *v = vm_at(t, h);
        if (v->follow && v->retrying) /* lldpad was read, and has it no more */
            vm_lost(t, h, true, BERTH_REASON_NONE);
        vm_set_tag(t, h, state_action(v->state));
        v->waits = 0;
        if (!v->wanted || v->follow)
            continue;
        v->retrying = 1;
        timers_set(&t->timers, &v->timer, t->now_us, 0, h);
    }
}

void
vm_bind(struct tes *t, uint32_t h, const char *ifname)
{
    struct vm *v = vm_at(t, h);
    uint8_t waits = v->waits;
    snprintf(v->par.ifname, sizeof(v->par.ifname), "%s", ifname);
    vm_tag_again(t, h);
    if (v->wanted) /* else its answer writes it */
        vm_journal(t, h, true);
    if (!v->req)
        v->waits = waits;
}

/* --- VMs that lldpad signals --- */

static struct vsiid
mac_id(const struct mac *mac)
{
    struct vsiid id = {.format = VSIID_MAC};
    memcpy(id.b + 10, mac->b, 6);
    return id;
}

bool
vm_follow_add(struct tes *t, const char *ifname, const struct mac *mac, uint32_t uplink,
    const char **why)
{
    struct vsiid id = mac_id(mac);
    uint32_t h = vm_find(t, &id);
    struct vm *v;
    if (!h)
        h = vm_add(t, &id);
    if (!h) {
        *why = "the table of VMs is full: raise max_vms";
        return false;
    }
    v = vm_at(t, h);
    v->follow = 1;
    v->par.mac = *mac;
    v->par.uplink = uplink;
    snprintf(v->par.ifname, sizeof(v->par.ifname), "%s", ifname);
    vm_journal(t, h, true);
    if (t->restored) /* before, the pinned tags still hold */
        vm_set_tag(t, h, state_action(v->state));
    v->waits = 0;
    return true;
}

void
vm_follow(struct tes *t, const struct tes_in *in)
{
    struct vsiid id = mac_id(&in->mac);
    uint32_t h = vm_find(t, &id);
    struct vm *v = h ? vm_at(t, h) : NULL;
    uint16_t vid = in->tci & 0xfff;
    char who[VSIID_STR];
    t->n.follows++;
    if (!v || !v->follow || in->uplink >= t->n_up)
        return;
    v->retrying = 0;
    if (in->gone || !vid || vid > VID_MAX) {
        if (v->state == VM_ASSOC)
            vm_lost(t, h, true, BERTH_REASON_NONE);
        return;
    }
    if (v->state == VM_ASSOC && v->vid == vid && v->par.uplink == in->uplink)
        return;
    if (!fsm_step(&t->fsm, &v->state, TNS_ASSOC, vm_str(v, who)))
        return;
    v->vid = vid;
    v->pcp = in->tci & 0x8000 ? in->tci >> 12 & 7 : 0;
    v->par.uplink = in->uplink;
    v->par.vni = in->group & VNI_MAX;
    v->par.has_vni = in->group != 0;
    v->since_us = t->now_us;
    vm_set_tag(t, h, VM_ACT_OPEN);
    vm_journal(t, h, true);
    v->waits = 0;
}
