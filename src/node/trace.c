/* SPDX-License-Identifier: Apache-2.0 */
/* Events stand in lists: one of all, one of each VM and one of each source, found by
 * hash. Who has had its share makes room for what is new of it, else the oldest of all
 * goes: so neither one VM nor one port (at the authority: one NVE) that is noisy pushes
 * out what is remembered of the others. What a VM does is its source's, as far as that
 * is known: each VM remembers the last one.
 *
 * The caller fills an event after it was added, so it is placed when the next one comes
 * or somebody reads. A reader's cursor is the number of the next event, so that a
 * listing made in pieces goes on where it was while new events come; what has gone
 * meanwhile is skipped. */
#include "node/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define VMS         1024 /* lists */
#define SOURCES     256
#define VM_PART     32 /* of the events one VM may have, ... */
#define SOURCE_PART 4  /* ... and one source */

enum { OF_ALL, OF_VM, OF_SOURCE, N_KINDS };
struct list {
    uint32_t head, tail, n; /* oldest first */
};
struct slot {
    struct trace_event ev;
    uint32_t number, list[N_KINDS], next[N_KINDS], prev[N_KINDS];
};
struct trace {
    struct slot *slots;      /* 1 to max; 0: none */
    uint32_t max, n, n_used; /* n: ever placed, wraps */
    uint32_t hint;           /* read last */
    struct trace_event fresh;
    bool has_fresh;
    struct list lists[1 + VMS + SOURCES];
    struct {
        uint32_t hash, source;
    } known[VMS]; /* whose a VM is */
    struct map hasher;
    uint64_t wall_us;
};

static const char *const words[TRACE_N] = {
#define X(sym, word, help) [TRACE_##sym] = word,
    TRACE_EVENTS_TABLE(X)
#undef X
};

const char *
trace_word(uint8_t what)
{
    return what < TRACE_N ? words[what] : "?";
}

static bool
never_equal(const void *ctx, uint32_t h, const void *key)
{
    (void)ctx;
    (void)h;
    (void)key;
    return false;
}

struct trace *
trace_new(uint32_t max, uint64_t wall_us)
{
    struct trace *t = mem_alloc(sizeof *t);
    t->max = max;
    t->slots = mem_alloc((max + 1) * sizeof *t->slots);
    map_init(&t->hasher, never_equal, t, wall_us);
    t->wall_us = wall_us;
    return t;
}

void
trace_free(struct trace *t)
{
    if (!t)
        return;
    map_done(&t->hasher);
    mem_free(t->slots);
    mem_free(t);
}

/* ---- lists ---- */

static void
slot_link(struct trace *t, uint32_t h, int kind)
{
    struct slot *s = &t->slots[h];
    struct list *l = &t->lists[s->list[kind]];
    s->next[kind] = 0;
    s->prev[kind] = l->tail;
    if (l->tail)
        t->slots[l->tail].next[kind] = h;
    else
        l->head = h;
    l->tail = h;
    l->n++;
}

static void
slot_unlink(struct trace *t, uint32_t h, int kind)
{
    struct slot *s = &t->slots[h];
    struct list *l = &t->lists[s->list[kind]];
    if (s->next[kind])
        t->slots[s->next[kind]].prev[kind] = s->prev[kind];
    else
        l->tail = s->prev[kind];
    if (s->prev[kind])
        t->slots[s->prev[kind]].next[kind] = s->next[kind];
    else
        l->head = s->next[kind];
    l->n--;
}

/* A number for its VM; 0: of nobody. That many edges are told of one VM pushes nothing
 * else of it out. */
static uint32_t
vm_hash(const struct trace *t, const struct trace_event *ev)
{
    struct {
        struct vsiid id;
        uint64_t print;
        uint32_t vni, told;
        struct mac mac;
    } k;
    memset(&k, 0, sizeof k);
    k.told = ev->what == TRACE_TOLD;
    if (!mac_is_none(&ev->mac)) {
        k.vni = ev->vni;
        k.mac = ev->mac;
    } else if (ev->id.format) {
        k.id = ev->id;
    } else if (ev->print) {
        k.print = ev->print;
    } else {
        return 0;
    }
    return map_hash(&t->hasher, &k, sizeof k) | 1;
}

/* Whose share is used up makes room; else the oldest, when there is none. */
static uint32_t
slot_take(struct trace *t, uint32_t vm, uint32_t source)
{
    uint32_t h = 0;
    if (source && t->lists[source].n >= t->max / SOURCE_PART + 1)
        h = t->lists[source].head;
    else if (vm && t->lists[vm].n >= t->max / VM_PART + 1)
        h = t->lists[vm].head;
    else if (t->n_used < t->max)
        return ++t->n_used;
    else
        h = t->lists[0].head;
    for (int kind = 0; kind < N_KINDS; kind++)
        if (kind == OF_ALL || t->slots[h].list[kind])
            slot_unlink(t, h, kind);
    return h;
}

static void
place(struct trace *t)
{
    if (!t->has_fresh)
        return;
    t->has_fresh = false;
    uint32_t hash = vm_hash(t, &t->fresh), bucket = hash / 2 % VMS;
    uint32_t vm = hash ? 1 + bucket : 0, from = t->fresh.source, source = 0;
    if (vm && from) {
        t->known[bucket].hash = hash;
        t->known[bucket].source = from;
    } else if (vm && t->known[bucket].hash == hash) {
        from = t->known[bucket].source;
    }
    if (from)
        source = 1 + VMS + map_hash(&t->hasher, &from, sizeof from) % SOURCES;
    uint32_t h = slot_take(t, vm, source);
    struct slot *s = &t->slots[h];
    s->ev = t->fresh;
    s->number = t->n++;
    s->list[OF_ALL] = 0;
    s->list[OF_VM] = vm;
    s->list[OF_SOURCE] = source;
    for (int kind = 0; kind < N_KINDS; kind++)
        if (kind == OF_ALL || s->list[kind])
            slot_link(t, h, kind);
}

struct trace_event *
trace_add(struct trace *t, enum trace_what what, uint64_t now_us)
{
    place(t);
    t->has_fresh = true;
    memset(&t->fresh, 0, sizeof t->fresh);
    t->fresh.what = (uint8_t)what;
    t->fresh.at_us = now_us;
    return &t->fresh;
}

struct trace_event *
trace_rec(struct trace *t, enum trace_what what, const struct mapping_rec *rec,
    uint64_t now_us)
{
    struct trace_event *ev = trace_add(t, what, now_us);
    ev->vni = rec->vni;
    ev->mac = rec->mac;
    ev->epoch = rec->epoch;
    ev->migration_id = rec->migration_id;
    ev->print = rec->vsi;
    ev->peer = rec->owner;
    return ev;
}

const struct trace_event *
trace_ref(struct trace *t, uint32_t ref, uint32_t among)
{
    place(t);
    for (uint32_t h = t->lists[0].tail; ref && h && among--;
         h = t->slots[h].prev[OF_ALL])
        if (t->slots[h].ev.ref == ref)
            return &t->slots[h].ev;
    return NULL;
}

static bool
has_key(json_t *keys, const struct trace_event *ev)
{
    char key[24 + MAC_STR], mac[MAC_STR];
    size_t i;
    json_t *k;
    snprintf(key, sizeof key, "%u/%s", ev->vni, mac_str(&ev->mac, mac));
    json_array_foreach(keys, i,
        k) if (json_is_string(k) && !strcmp(json_string_value(k), key)) return true;
    return false;
}

/* Without a filter everything fits. */
static bool
fits(json_t *args, const struct trace_event *ev)
{
    const char *vsi = json_string_value(json_object_get(args, "vsi"));
    json_t *keys = json_object_get(args, "keys");
    struct vsiid id;
    if (!vsi && !keys)
        return true;
    if (vsi && vsiid_parse(vsi, &id) &&
        (vsiid_equal(&id, &ev->id) || (ev->print && ev->print == vsiid_print(&id))))
        return true;
    return keys && !mac_is_none(&ev->mac) && has_key(keys, ev);
}

const char *
trace_fault(const json_t *args)
{
    const json_t *vsi = json_object_get(args, "vsi"),
                 *keys = json_object_get(args, "keys");
    struct vsiid id;
    if (vsi && (!json_is_string(vsi) || !vsiid_parse(json_string_value(vsi), &id)))
        return "vsi is a UUID, or an IP, MAC or local:HEX";
    if (keys && !json_is_array(keys))
        return "keys is an array of texts like 5000/52:54:00:12:34:56";
    for (size_t i = 0; i < json_array_size(keys); i++)
        if (!json_is_string(json_array_get(keys, i)))
            return "keys is an array of texts like 5000/52:54:00:12:34:56";
    return NULL;
}

static void
put(json_t *row, const char *key, json_t *value)
{
    if (json_is_null(value))
        json_decref(value);
    else
        json_object_set_new(row, key, value);
}

static json_t *
row_of(const struct trace *t, const struct trace_event *ev)
{
    char id[VSIID_STR];
    json_t *row = json_pack("{s:f,s:s}", "at_s",
        ctl_rows_seconds(t->wall_us + ev->at_us), "event", trace_word(ev->what));
    if (ev->id.format)
        put(row, "vsi", json_string(vsiid_str(&ev->id, id)));
    if (ev->vni)
        put(row, "vni", json_integer(ev->vni));
    if (!mac_is_none(&ev->mac))
        put(row, "mac", ctl_rows_mac(&ev->mac));
    if (ev->tns) {
        put(row, "op", json_string(tns_op_str(ev->op)));
        put(row, "code", json_string(tns_code_str(ev->code)));
    }
    if (ev->epoch)
        put(row, "epoch", ctl_rows_epoch(ev->epoch));
    if (ev->migration_id)
        put(row, "migration", ctl_rows_epoch(ev->migration_id));
    if (ev->port)
        put(row, "port", json_integer(ev->port));
    if (ev->vid)
        put(row, "vid", json_integer(ev->vid));
    if (ev->frames)
        put(row, "frames", json_integer((json_int_t)ev->frames));
    if (ev->dropped)
        put(row, "dropped", json_integer((json_int_t)ev->dropped));
    put(row, "peer", ctl_rows_ip(&ev->peer));
    if (ev->word)
        put(row, "word", json_string(ev->word));
    return row;
}

json_t *
trace_row_of(const struct trace *t, const struct ctl_reader *r,
    const struct trace_event *ev, const char *program, const char *name,
    const struct ip *self)
{
    if (!fits(r->args, ev))
        return NULL;
    json_t *row = row_of(t, ev);
    put(row, "program", json_string(program));
    put(row, "name", json_string(name));
    if (self)
        put(row, "self", ctl_rows_ip(self));
    return row;
}

/* The first one that is not before `number`; 0: none. */
static uint32_t
slot_from(const struct trace *t, uint32_t number)
{
    const struct slot *s = &t->slots[t->hint];
    uint32_t h =
        t->hint && s->number == number - 1 ? s->next[OF_ALL] : t->lists[0].head;
    while (h && (int32_t)(t->slots[h].number - number) < 0)
        h = t->slots[h].next[OF_ALL];
    return h;
}

json_t *
trace_row(struct trace *t, struct ctl_reader *r, const char *program, const char *name,
    const struct ip *self)
{
    json_t *row = NULL;
    place(t);
    for (uint32_t h; !row && (h = slot_from(t, r->it));) {
        t->hint = h;
        r->it = t->slots[h].number + 1;
        row = trace_row_of(t, r, &t->slots[h].ev, program, name, self);
    }
    return row;
}
