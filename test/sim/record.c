/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes say, as numbers, and the recording: one node's inputs are kept and given
 * to a fresh one at the end; the outputs must be the same, octet by octet. */
#include "nodes.h"

/* ---- what an output is, as octets ---- */

static uint64_t
mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

uint64_t
hash_octets(uint64_t h, const void *p, size_t size)
{
    const uint8_t *b = p;
    uint64_t word;
    for (; size >= 8; size -= 8, b += 8) {
        memcpy(&word, b, 8);
        h = mix(h, word);
    }
    for (word = size + 1; size; size--)
        word = word << 8 | *b++;
    return mix(h, word);
}

uint64_t
dp_op_hash(uint64_t h, const struct dp_op *op)
{
    h = mix(h, op->type);
    switch ((enum dp_op_type)op->type) {
    case DP_SYNC_BEGIN:
    case DP_SYNC_END:
    case DP_N_OPS:
        break;
    case DP_PORT_SET:
    case DP_PORT_DEL:
        h = mix(h, op->u.port.port);
        break;
    case DP_VN_SET:
    case DP_VN_DEL:
        h = mix(mix(h, op->u.vn.vni), op->type == DP_VN_SET ? op->u.vn.mtu : 0);
        break;
    case DP_VAP_SET:
    case DP_VAP_DEL:
        h = mix(mix(h, op->u.vap.port), op->u.vap.vid);
        if (op->type == DP_VAP_SET)
            h = mix(mix(h, op->u.vap.vni), (uint64_t)op->u.vap.wildcard << 16 |
                                               op->u.vap.reflect << 8 |
                                               op->u.vap.flood);
        break;
    case DP_VSI_SET:
    case DP_VSI_DEL:
        h = hash_octets(mix(mix(h, op->u.vsi.port), op->u.vsi.vid), &op->u.vsi.mac, 6);
        if (op->type == DP_VSI_SET)
            h = mix(mix(h, op->u.vsi.vni), op->u.vsi.active);
        break;
    case DP_FDB_SET:
    case DP_FDB_DEL:
        h = hash_octets(mix(h, op->u.fdb.vni), &op->u.fdb.mac, 6);
        if (op->type == DP_FDB_SET && op->u.fdb.kind == FDB_LOCAL)
            h = mix(h, (uint64_t)op->u.fdb.port << 32 | op->u.fdb.vid);
        else if (op->type == DP_FDB_SET)
            h = hash_octets(mix(h, op->u.fdb.kind), &op->u.fdb.vtep, 16);
        break;
    case DP_NEIGH_SET:
    case DP_NEIGH_DEL:
        h = hash_octets(mix(h, op->u.neigh.vni), &op->u.neigh.ip, 16);
        if (op->type == DP_NEIGH_SET)
            h = hash_octets(h, &op->u.neigh.mac, 6);
        break;
    case DP_MEMBER_SET:
    case DP_MEMBER_DEL:
        h = hash_octets(mix(h, op->u.member.vni), &op->u.member.vtep, 16);
        break;
    case DP_NEG_SET:
    case DP_NEG_DEL:
        h = hash_octets(mix(h, op->u.neg.vni), &op->u.neg.ip, 16);
        break;
    case DP_HOLD_SET:
    case DP_HOLD_DEL:
        h = hash_octets(mix(h, op->u.hold.vni), &op->u.hold.mac, 6);
        h = mix(h, op->u.hold.drain);
        break;
    case DP_FRAME:
        h = mix(mix(h, op->u.frame.port), op->u.frame.vid);
        h = hash_octets(mix(h, op->u.frame.vni), op->u.frame.p, op->u.frame.size);
        break;
    }
    return h;
}

uint64_t
nve_out_hash(uint64_t h, const struct nve_out *o)
{
    h = mix(mix(mix(h, o->type), o->port), o->id);
    if (o->type == NVE_OUT_DP)
        return dp_op_hash(h, &o->dp);
    if (o->key_size)
        h = hash_octets(h, o->key, o->key_size);
    if (o->type == NVE_OUT_UDP)
        h = mix(hash_octets(h, &o->to, 16), o->to_port);
    return o->size ? hash_octets(h, o->p, o->size) : h;
}

uint64_t
nva_out_hash(uint64_t h, const struct nva_out *o)
{
    h = mix(mix(mix(h, o->type), o->conn), o->id);
    if (o->type == NVA_OUT_STORE) {
        h = mix(mix(mix(mix(h, o->store), o->vni), o->epoch), o->migration_id);
        return hash_octets(h, &o->mac, 6);
    }
    if (o->type == NVA_OUT_UDP)
        h = mix(hash_octets(h, &o->to, 16), o->to_port);
    return o->size ? hash_octets(h, o->p, o->size) : h;
}

/* ---- the recording ---- */

struct recorded {
    union {
        struct nve_in nve;
        struct nva_in nva;
    } in;
    struct dp_event event;
    struct vn_rec vn;
    uint64_t now, hash;
    char *name;
    uint8_t *p, *frame;
};
struct recorder {
    struct recorded *rows;
    uint32_t n, cap;
    uint64_t started, hash;
};

static void
recorder_clear(struct recorder *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        mem_free(r->rows[i].p);
        mem_free(r->rows[i].frame);
        mem_free(r->rows[i].name);
    }
    r->n = 0;
    r->hash = 0;
}

void
recorder_start(struct world *w, uint32_t kind, uint32_t node)
{
    if (w->rec_kind != kind || w->rec_node != node)
        return;
    if (!w->rec)
        w->rec = mem_alloc(sizeof(*w->rec));
    recorder_clear(w->rec); /* the last incarnation is what is replayed */
    w->rec->started = w->now;
}

static struct recorded *
recorder_row(struct world *w, uint32_t kind, uint32_t node)
{
    struct recorder *r = w->rec;
    if (!r || w->rec_kind != kind || w->rec_node != node)
        return NULL;
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 256;
        r->rows = mem_grow(r->rows, r->cap * sizeof(*r->rows));
    }
    memset(&r->rows[r->n], 0, sizeof(*r->rows));
    r->rows[r->n].now = w->now;
    return &r->rows[r->n++];
}

uint8_t *
copy_octets(const void *p, size_t size)
{
    uint8_t *q = mem_alloc(size + 1);
    if (size)
        memcpy(q, p, size);
    return q;
}

uint32_t
record_nve(struct world *w, uint32_t i, const struct nve_in *in)
{
    struct recorded *r = recorder_row(w, 1, i);
    if (!r)
        return 0;
    r->in.nve = *in;
    if (in->p)
        r->in.nve.p = r->p = copy_octets(in->p, in->size);
    if (in->event) {
        r->event = *in->event;
        if (r->event.frame)
            r->event.frame = r->frame = copy_octets(r->event.frame, r->event.size);
    }
    return w->rec->n;
}

uint32_t
record_nva(struct world *w, const struct nva_in *in)
{
    struct recorded *r = recorder_row(w, 2, 0);
    if (!r)
        return 0;
    r->in.nva = *in;
    if (in->p)
        r->in.nva.p = r->p = copy_octets(in->p, in->size);
    if (in->vn)
        r->vn = *in->vn;
    if (in->name)
        r->in.nva.name = r->name = mem_strdup(in->name);
    return w->rec->n;
}

void
recorder_said(struct world *w, uint32_t input, uint64_t hash)
{
    if (input && w->rec && input <= w->rec->n) /* a node may have died of it */
        w->rec->rows[input - 1].hash = hash;
}

void
recorder_done(struct world *w)
{
    if (!w->rec)
        return;
    recorder_clear(w->rec);
    mem_free(w->rec->rows);
    mem_free(w->rec);
    w->rec = NULL;
}

void
recorder_check(struct world *w)
{
    struct recorder *r = w->rec;
    if (!r || w->failed)
        return;
    if (w->rec_kind == 1) {
        struct nve *again =
            nve_new_of(w, w->rec_node, w->nves[w->rec_node].inc, r->started);
        struct nve_out o;
        for (uint32_t i = 0; i < r->n && !w->failed; i++) {
            struct recorded *x = &r->rows[i];
            uint64_t h = 0;
            if (x->in.nve.event)
                x->in.nve.event = &x->event;
            nve_input(again, &x->in.nve, x->now);
            while (nve_output(again, &o))
                h = nve_out_hash(h, &o);
            if (h != x->hash)
                sim_fail(w, "replay",
                    "nve=%u: input %u of %u (type %u) at %llu us gives other outputs",
                    w->rec_node, i, r->n, x->in.nve.type, (unsigned long long)x->now);
        }
        nve_free(again);
    } else {
        struct nva *again = nva_new_of(w, w->nva.inc, r->started);
        struct nva_out o;
        for (uint32_t i = 0; i < r->n && !w->failed; i++) {
            struct recorded *x = &r->rows[i];
            uint64_t h = 0;
            if (x->in.nva.vn)
                x->in.nva.vn = &x->vn;
            nva_input(again, &x->in.nva, x->now);
            while (nva_output(again, &o))
                h = nva_out_hash(h, &o);
            if (h != x->hash)
                sim_fail(w, "replay",
                    "authority: input %u of %u (type %u) gives other outputs", i, r->n,
                    x->in.nva.type);
        }
        nva_free(again);
    }
}
