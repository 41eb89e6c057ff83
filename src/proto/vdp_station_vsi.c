/* SPDX-License-Identifier: Apache-2.0 */
/* Each VSI runs the table of vdp_station_fsm.c; what it says to the user is an event.
 */
#include "proto/vdp_station_int.h"

#include <string.h>

/* ---- the table of VSIs ---- */

struct vsi *
station_vsi_at(const struct vdp_station *s, uint32_t h)
{
    return pool_at(&s->pool, h);
}

static struct vdp_key
vsi_key(const struct vdp_station *s, const struct vsi *v)
{
    struct vdp_key key = {
        .type_id = v->type_id, .type_version = v->type_version, .id = v->id};
    memcpy(key.mgrid, s->managers.m[v->manager].id, sizeof key.mgrid);
    return key;
}

bool
station_vsi_has_key(const void *ctx, uint32_t handle, const void *key)
{
    const struct vdp_station *s = ctx;
    struct vdp_key k = vsi_key(s, station_vsi_at(s, handle));
    return vdp_key_equal(&k, key);
}

static uint32_t
hash_key(const struct vdp_station *s, const struct vdp_key *key)
{
    uint8_t b[VDP_MGRID_SIZE + 22];
    struct wr w = wr_of(b, sizeof b);
    wr_bytes(&w, key->mgrid, sizeof key->mgrid);
    wr_u32(&w, key->type_id);
    wr_u8(&w, key->type_version);
    wr_u8(&w, key->id.format);
    wr_bytes(&w, key->id.b, sizeof key->id.b);
    return map_hash(&s->map, b, w.pos);
}

uint32_t
station_vsi_find(const struct vdp_station *s, const struct vdp_key *key)
{
    return map_find(&s->map, hash_key(s, key), key);
}

uint32_t
station_vsi_add(struct vdp_station *s, const struct vdp_key *key)
{
    uint8_t manager = vdp_managers_get(&s->managers, key->mgrid);
    uint32_t h = manager == VDP_MANAGER_NONE ? 0 : pool_get(&s->pool);
    if (h == 0)
        return 0;
    struct vsi *v = station_vsi_at(s, h);
    v->state = ST_NONE;
    v->manager = manager;
    v->type_id = key->type_id;
    v->type_version = key->type_version;
    v->id = key->id;
    s->managers.m[manager].refs++;
    map_add(&s->map, hash_key(s, key), h);
    return h;
}

/* ---- requests on their way ---- */

void
station_ask_free(struct ask *a)
{
    if (!a)
        return;
    vdp_filter_clear(&a->filter);
    mem_free(a->org);
    mem_free(a);
}

void
station_enqueue(struct vdp_station *s, uint32_t h)
{
    struct vsi *v = station_vsi_at(s, h);
    struct queue *q = &s->queues[v->manager];
    v->sent = false;
    timers_clear(&s->heap, &v->timer);
    if (v->queued)
        return;
    v->queued = true;
    v->prev = q->tail;
    v->next_in = 0;
    if (q->tail)
        station_vsi_at(s, q->tail)->next_in = h;
    else
        q->head = h;
    q->tail = h;
}

void
station_dequeue(struct vdp_station *s, uint32_t h)
{
    struct vsi *v = station_vsi_at(s, h);
    struct queue *q = &s->queues[v->manager];
    if (!v->queued)
        return;
    v->queued = false;
    if (v->prev)
        station_vsi_at(s, v->prev)->next_in = v->next_in;
    else
        q->head = v->next_in;
    if (v->next_in)
        station_vsi_at(s, v->next_in)->prev = v->prev;
    else
        q->tail = v->prev;
}

void
station_vsi_free(struct vdp_station *s, uint32_t h)
{
    struct vsi *v = station_vsi_at(s, h);
    struct vdp_key key = vsi_key(s, v);
    station_dequeue(s, h);
    timers_clear(&s->heap, &v->timer);
    map_del(&s->map, hash_key(s, &key), h);
    s->managers.m[v->manager].refs--;
    station_ask_free(v->held);
    station_ask_free(v->cur);
    station_ask_free(v->next);
    pool_put(&s->pool, h);
}

/* ---- events for the user ---- */

/* `answer` is the bridge's TLV, or NULL: then the filter is that of the request. */
static void
emit(struct vdp_station *s, const struct vsi *v, enum vdp_station_event event,
    const struct ask *a, const struct vdp_vsi *answer)
{
    uint8_t wire[VDP_FILTER_SIZE_MAX];
    struct event e = {
        .out = {.event = event, .key = vsi_key(s, v), .held = v->held != NULL}
    };
    if (a) {
        e.out.cookie = a->cookie;
        e.out.type = a->type;
        e.out.filter_format = a->filter.format;
        e.out.n_entries = a->filter.n;
        vdp_filter_tagged(&a->filter, wire);
    }
    if (answer) {
        e.out.code = answer->status & VDP_RSP_CODE;
        e.out.keep = answer->status & VDP_RSP_KEEP;
        e.out.hard = answer->status & VDP_RSP_HARD;
        e.org_size = answer->org_size;
    }
    e.filter_size = (uint16_t)(e.out.n_entries * vdp_entry_size(e.out.filter_format));
    if (e.filter_size + e.org_size)
        e.bytes = mem_alloc((size_t)e.filter_size + e.org_size);
    if (e.filter_size)
        memcpy(e.bytes, wire, e.filter_size);
    if (e.org_size)
        memcpy(e.bytes + e.filter_size, answer->org, e.org_size);
    *(struct event *)fifo_push(&s->events) = e;
}

/* ---- the machine ---- */

static void
arm_beat(struct vdp_station *s, uint32_t h, uint64_t now_us)
{
    timers_set(&s->heap, &station_vsi_at(s, h)->timer,
        now_us + vdp_station_keepalive_us(&s->timers), TIMER_BEAT, h);
}

/* What goes to the bridge quotes the tags that the VSI has; in another VN it has none.
 */
static void
begin(struct vdp_station *s, uint32_t h, struct ask *a)
{
    struct vsi *v = station_vsi_at(s, h);
    if (v->held && strcmp(a->vn, v->held->vn) == 0) {
        uint8_t wire[VDP_FILTER_SIZE_MAX];
        memcpy(wire, vdp_filter_asked(&a->filter),
            (size_t)a->filter.n * vdp_entry_size(a->filter.format));
        vdp_filter_retag(&v->held->filter, a->filter.format, a->filter.n, wire);
        vdp_filter_set(&a->filter, a->filter.format, a->filter.n, wire, wire);
    }
    v->cur = a;
    station_enqueue(s, h);
}

static void
accept(struct vdp_station *s, uint32_t h, const struct vdp_vsi *answer, uint64_t now_us)
{
    struct vsi *v = station_vsi_at(s, h);
    struct ask *a = v->cur;
    vdp_filter_set(
        &a->filter, a->filter.format, a->filter.n, answer->filter, answer->filter);
    emit(s, v, VDP_STATION_RESULT, a, answer);
    station_ask_free(v->held);
    v->held = a;
    v->cur = NULL;
    arm_beat(s, h, now_us);
}

static void
drop_cur(struct vsi *v)
{
    station_ask_free(v->cur);
    v->cur = NULL;
}

static void
drop_held(struct vsi *v)
{
    station_ask_free(v->held);
    v->held = NULL;
}

static void
act(struct vdp_station *s, uint32_t h, uint8_t action, const struct input *in,
    uint64_t now_us)
{
    struct vsi *v = station_vsi_at(s, h);
    struct vdp_station_counters *c = &s->counters;
    switch (action) {
    case DO_NOTHING:
        break;
    case DO_SEND:
        begin(s, h, in->ask);
        break;
    case DO_DEFER:
        if (v->next) {
            c->superseded++;
            emit(s, v, VDP_STATION_SUPERSEDED, v->next, NULL);
            station_ask_free(v->next);
        }
        v->next = in->ask;
        break;
    case DO_ACCEPT:
        c->results++;
        accept(s, h, in->answer, now_us);
        break;
    case DO_GONE:
    case DO_REFUSE:
        c->results++;
        emit(s, v, VDP_STATION_RESULT, v->cur, in->answer);
        drop_cur(v);
        drop_held(v);
        break;
    case DO_REFUSE_KEEP:
        c->results++;
        emit(s, v, VDP_STATION_RESULT, v->cur, in->answer);
        drop_cur(v);
        arm_beat(s, h, now_us);
        break;
    case DO_BEAT:
        c->keepalives++;
        v->held->tries = 0;
        station_enqueue(s, h);
        break;
    case DO_BEAT_OK:
        arm_beat(s, h, now_us);
        break;
    case DO_LOST:
        c->lost++;
        emit(s, v, VDP_STATION_LOST, v->held, in->answer);
        drop_held(v);
        break;
    case DO_TIMEOUT:
        c->timeouts++;
        emit(s, v, VDP_STATION_TIMEOUT, v->cur, NULL);
        drop_cur(v);
        drop_held(v);
        break;
    case DO_DEASSOC:
        c->deassocs++;
        emit(s, v, VDP_STATION_DEASSOC, v->held, in->answer);
        drop_held(v);
        break;
    case DO_DEASSOC_QUIET:
        drop_held(v);
        break;
    case DO_AGAIN:
        station_enqueue(s, h);
        break;
    default: /* not ours: the table has no other */
        break;
    }
}

void
station_step(struct vdp_station *s, uint32_t h, uint8_t event, const struct input *in,
    uint64_t now_us)
{
    char who[VSIID_STR];
    struct vsi *v = station_vsi_at(s, h);
    const struct fsm_row *row =
        fsm_step(&s->fsm, &v->state, event, vsiid_str(&v->id, who));
    if (!row) {
        if (in->ask)
            station_ask_free(in->ask);
        return;
    }
    if (row->to == ST_NONE || row->to == ST_HELD) {
        station_dequeue(s, h);
        v->sent = false;
        timers_clear(&s->heap, &v->timer);
    }
    act(s, h, row->action, in, now_us);
    if ((v->state == ST_NONE || v->state == ST_HELD) && v->next) {
        struct input again = {.ask = v->next};
        v->next = NULL;
        station_step(s, h, again.ask->type == VDP_DEASSOC ? EV_LEAVE : EV_REQUEST,
            &again, now_us);
    } else if (v->state == ST_NONE) {
        station_vsi_free(s, h);
    }
}
