/* SPDX-License-Identifier: Apache-2.0 */
/* What passes between the edge and the world, for the trace: read and written down
 * where it passes, never changed. Keep-alives are left out: they would push all else
 * out. */
#include "nve/seen.h"

#define LOOK_BACK 256 /* events: an authority's answer is younger than that */

void
nve_seen_request(struct nve *n, const struct tns_request *rq)
{
    if (rq->op == TNS_KEEPALIVE)
        return;
    struct trace_event *ev = trace_add(n->trace, TRACE_REQUEST, n->now_us);
    ev->tns = 1;
    ev->op = rq->op;
    ev->id = rq->id;
    ev->port = ev->source = rq->port;
    ev->peer = rq->peer_nve;
    ev->word = rq->hold ? "hold" : NULL;
    if (rq->has_epoch) {
        ev->epoch = rq->epoch;
        ev->migration_id = rq->migration_id;
    }
    if (rq->n_entries && rq->entries) {
        ev->vni = rq->entries[0].vni;
        ev->mac = rq->entries[0].mac;
    }
}

static void
seen_answer(struct nve *n, const struct tns_response *r)
{
    if (r->op == TNS_KEEPALIVE)
        return;
    struct trace_event *ev = trace_add(n->trace, TRACE_ANSWER, n->now_us);
    ev->tns = 1;
    ev->op = r->op;
    ev->code = r->code;
    ev->id = r->id;
    ev->port = ev->source = r->port;
    ev->epoch = r->epoch;
    ev->migration_id = r->migration_id;
    ev->word = att_state_str(r->state);
    if (r->n_entries && r->entries) {
        ev->vni = r->entries[0].vni;
        ev->mac = r->entries[0].mac;
        ev->vid = r->entries[0].vid;
    }
}

static void
seen_notice(struct nve *n, const struct tns_notice *o)
{
    static const char *const types[] = {"dissociated", "moved", "local change"};
    struct trace_event *ev = trace_add(n->trace, TRACE_NOTICE, n->now_us);
    ev->id = o->id;
    ev->port = ev->source = o->port;
    ev->word = types[o->type];
}

static struct trace_event *
seen_key(struct nve *n, enum trace_what what, uint32_t vni, const struct mac *mac)
{
    struct trace_event *ev = trace_add(n->trace, what, n->now_us);
    ev->vni = vni;
    ev->mac = *mac;
    return ev;
}

/* Where frames go, and whether they wait. */
static void
seen_dp(struct nve *n, const struct dp_op *op)
{
    struct trace_event *ev;
    if (op->type == DP_FDB_SET && op->u.fdb.kind == FDB_LOCAL) {
        ev = seen_key(n, TRACE_LOCAL, op->u.fdb.vni, &op->u.fdb.mac);
        ev->port = ev->source = op->u.fdb.port;
        ev->vid = op->u.fdb.vid;
    } else if (op->type == DP_FDB_SET) {
        ev = seen_key(n, op->u.fdb.kind == FDB_RELAY ? TRACE_RELAY : TRACE_REMOTE,
            op->u.fdb.vni, &op->u.fdb.mac);
        ev->peer = op->u.fdb.vtep;
    } else if (op->type == DP_FDB_DEL) {
        seen_key(n, TRACE_FORGOTTEN, op->u.fdb.vni, &op->u.fdb.mac);
    } else if (op->type == DP_HOLD_SET) {
        seen_key(n, TRACE_HOLD, op->u.hold.vni, &op->u.hold.mac);
    } else if (op->type == DP_HOLD_DEL) {
        seen_key(n, op->u.hold.drain ? TRACE_RELEASE : TRACE_DISCARD, op->u.hold.vni,
            &op->u.hold.mac);
    }
}

void
nve_seen_output(struct nve *n, const struct edge_out *o)
{
    switch ((enum edge_out_type)o->type) {
    case EDGE_DP:
        seen_dp(n, &o->u.dp);
        break;
    case EDGE_REGISTER:
        trace_rec(n->trace, TRACE_REGISTER, &o->u.reg.rec, n->now_us)->ref = o->id;
        break;
    case EDGE_RESERVE:
        trace_rec(n->trace, TRACE_RESERVE, &o->u.reg.rec, n->now_us)->ref = o->id;
        break;
    case EDGE_WITHDRAW:
        trace_rec(n->trace, TRACE_WITHDRAW, &o->u.reg.rec, n->now_us);
        break;
    case EDGE_ANSWER:
        seen_answer(n, &o->u.answer);
        break;
    case EDGE_NOTICE:
        seen_notice(n, &o->u.notice);
        break;
    case EDGE_SMR:
        seen_key(n, TRACE_REDIRECT, o->u.smr.vni, &o->u.smr.mac)->peer = o->u.smr.to;
        break;
    case EDGE_JOURNAL:
    case EDGE_QUERY:
    case EDGE_SUBSCRIBE:
    case EDGE_UNSUBSCRIBE:
    case EDGE_VN_LOOKUP:
    case EDGE_MAP_ACK:
    case EDGE_N_OUTS:
        break;
    }
}

void
nve_seen_authority(struct nve *n, enum trace_what what, uint64_t ref, uint64_t epoch,
    uint64_t migration_id, const char *why)
{
    const struct trace_event *asked = trace_ref(n->trace, (uint32_t)ref, LOOK_BACK);
    if (!asked)
        return;
    struct trace_event was = *asked, *ev = trace_add(n->trace, what, n->now_us);
    ev->vni = was.vni;
    ev->mac = was.mac;
    ev->print = was.print;
    ev->epoch = epoch;
    ev->migration_id = migration_id;
    ev->word = why;
}

void
nve_seen_mapping(struct nve *n, enum trace_what what, const struct mapping_rec *rec)
{
    trace_rec(n->trace, what, rec, n->now_us);
}

void
nve_seen_reserved(struct nve *n, const struct mapping_rec *rec, bool gone)
{
    trace_rec(n->trace, TRACE_RESERVED, rec, n->now_us)->word =
        gone ? "no longer" : NULL;
}

void
nve_seen_dp_event(struct nve *n, const struct dp_event *e)
{
    if (e->type == DP_EV_RELAYED) {
        seen_key(n, TRACE_RELAYED, e->vni, &e->dst)->peer = e->ip;
    } else if (e->type == DP_EV_HELD) {
        struct trace_event *ev = seen_key(n, TRACE_HELD, e->vni, &e->dst);
        ev->frames = e->frames;
        ev->dropped = e->dropped;
    }
}
