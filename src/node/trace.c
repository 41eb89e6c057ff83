/* SPDX-License-Identifier: Apache-2.0 */
/* A reader's cursor is the number of the next event, so that a listing made in pieces
 * goes on where it was while new events come; what was overwritten meanwhile is
 * skipped. */
#include "node/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct trace {
    struct trace_event *ring;
    uint32_t max, n; /* n: ever added, wraps */
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

struct trace *
trace_new(uint32_t max, uint64_t wall_us)
{
    struct trace *t = mem_alloc(sizeof *t);
    t->max = max;
    t->ring = mem_alloc(max * sizeof *t->ring);
    t->wall_us = wall_us;
    return t;
}

void
trace_free(struct trace *t)
{
    if (!t)
        return;
    mem_free(t->ring);
    mem_free(t);
}

struct trace_event *
trace_add(struct trace *t, enum trace_what what, uint64_t now_us)
{
    struct trace_event *ev = &t->ring[t->n++ % t->max];
    memset(ev, 0, sizeof *ev);
    ev->what = (uint8_t)what;
    ev->at_us = now_us;
    return ev;
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
trace_ref(const struct trace *t, uint32_t ref, uint32_t among)
{
    uint32_t kept = t->n < t->max ? t->n : t->max;
    for (uint32_t i = 1; ref && i <= among && i <= kept; i++) {
        const struct trace_event *ev = &t->ring[(t->n - i) % t->max];
        if (ev->ref == ref)
            return ev;
    }
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

json_t *
trace_row(struct trace *t, struct ctl_reader *r, const char *program, const char *name,
    const struct ip *self)
{
    uint32_t kept = t->n < t->max ? t->n : t->max;
    if (t->n - r->it > kept)
        r->it = t->n - kept;
    json_t *row = NULL;
    while (!row && r->it != t->n)
        row = trace_row_of(t, r, &t->ring[r->it++ % t->max], program, name, self);
    return row;
}
