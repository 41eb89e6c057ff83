/* SPDX-License-Identifier: Apache-2.0 */
/* The NVE composed. Inputs go to the machine they belong to; outputs are pulled lazily, in
 * the order edge, VDP, LISP, control: an output of one machine that is an input of another
 * (a VDP request for the edge, a registration for LISP) is handed over here and the pull
 * goes on, so main sees only what leaves the process. */
#include "nve/seen.h"
#include "base/log.h"
#include <string.h>

static void *
copy_of(const void *p, size_t n)
{
    void *q = n ? mem_alloc(n) : NULL;
    if (q)
        memcpy(q, p, n);
    return q;
}

static void
conf_copy(struct nve *n, const struct nve_conf *conf)
{
    n->conf = *conf;
    n->name = mem_strdup(conf->edge.name ? conf->edge.name : "nve");
    n->key = mem_strdup(conf->key ? conf->key : "");
    n->conf.edge.name = n->name;
    n->conf.key = n->key;
    n->conf.ports = copy_of(conf->ports, conf->n_ports * sizeof *conf->ports);
    n->conf.vid_vns = copy_of(conf->vid_vns, conf->n_vid_vns * sizeof *conf->vid_vns);
    n->conf.profile_vns =
        copy_of(conf->profile_vns, conf->n_profile_vns * sizeof *conf->profile_vns);
    n->conf.vns = copy_of(conf->vns, conf->n_vns * sizeof *conf->vns);
    n->conf.maps = copy_of(conf->maps, conf->n_maps * sizeof *conf->maps);
    n->port_names = mem_alloc((conf->n_ports + 1) * sizeof *n->port_names);
    for (uint32_t i = 0; i < conf->n_ports; i++) {
        struct edge_port_conf *p = &((struct nve_port_conf *)n->conf.ports)[i].edge;
        if (!p->name)
            continue;
        n->port_names[i] = mem_strdup(p->name);
        p->name = n->port_names[i];
    }
}

struct nve *
nve_new(const struct nve_conf *conf, uint64_t now_us)
{
    struct nve *n = mem_alloc(sizeof *n);
    conf_copy(n, conf);
    n->now_us = n->started_us = now_us;
    rng_seed(&n->rng, conf->edge.seed);
    n->conf.edge.authority = conf->mapping != NVE_MAP_STATIC;
    n->edge = edge_new(&n->conf.edge, now_us);
    for (uint32_t i = 0; i < conf->n_ports; i++)
        if (n->port_names[i] &&
            !edge_port_add(n->edge, i + 1, &n->conf.ports[i].edge, now_us))
            log_err("nve", "port=%s cannot be added", n->port_names[i]);
    for (uint32_t i = 0; i < conf->n_vid_vns; i++)
        edge_vn_by_vid(n->edge, conf->vid_vns[i].port, conf->vid_vns[i].vid,
            conf->vid_vns[i].vni);
    for (uint32_t i = 0; i < conf->n_profile_vns; i++)
        edge_vn_by_profile(n->edge, conf->profile_vns[i].type_id,
            conf->profile_vns[i].version, conf->profile_vns[i].vni);
    for (uint32_t i = 0; i < conf->n_vns; i++)
        edge_vn(n->edge, &conf->vns[i], 0, now_us);
    n->vdp = tns_vdp_new(n);
    if (n->conf.edge.authority)
        n->lisp = map_lisp_new(n);
    n->ctl = nve_ctl_new(n);
    n->trace = trace_new(conf->trace_events ? conf->trace_events : TRACE_EVENTS, conf->wall_us);
    return n;
}

void
nve_free(struct nve *n)
{
    if (!n)
        return;
    nve_ctl_free(n->ctl);
    trace_free(n->trace);
    map_lisp_free(n->lisp);
    tns_vdp_free(n->vdp);
    edge_free(n->edge);
    for (uint32_t i = 0; i < n->conf.n_ports; i++)
        mem_free(n->port_names[i]);
    mem_free(n->holds);
    mem_free(n->relays);
    mem_free(n->port_names);
    mem_free((void *)n->conf.ports);
    mem_free((void *)n->conf.vid_vns);
    mem_free((void *)n->conf.profile_vns);
    mem_free((void *)n->conf.vns);
    mem_free((void *)n->conf.maps);
    mem_free(n->name);
    mem_free(n->key);
    mem_free(n);
}

/* A static mapping is a member of its VN's replication list as well. */
static void
static_maps(struct nve *n)
{
    for (uint32_t i = 0; i < n->conf.n_maps; i++) {
        const struct mapping_rec *m = &n->conf.maps[i];
        if (ip_equal(&m->owner, &n->conf.edge.vtep))
            continue;
        edge_member(n->edge, m->vni, &m->owner, true, 0, n->now_us);
        edge_map_set(n->edge, m, 0, n->now_us);
    }
}

void
nve_input(struct nve *n, const struct nve_in *in, uint64_t now_us)
{
    n->now_us = now_us;
    switch ((enum nve_in_type)in->type) {
    case NVE_IN_TICK:
        if (edge_deadline(n->edge) <= now_us)
            edge_tick(n->edge, now_us);
        tns_vdp_tick(n->vdp);
        if (n->lisp)
            map_lisp_tick(n->lisp);
        break;
    case NVE_IN_FRAME:
        tns_vdp_frame(n->vdp, in->port, in->p, in->size);
        break;
    case NVE_IN_PORT:
        tns_vdp_port(n->vdp, in->port, in->up, &in->mac);
        edge_port_link(n->edge, in->port, in->up, now_us);
        break;
    case NVE_IN_DP_DONE:
    case NVE_IN_JOURNAL_DONE:
        edge_done(n->edge, in->id, in->status, now_us);
        break;
    case NVE_IN_DP_EVENT:
        nve_seen_dp_event(n, in->event);
        edge_dp_event(n->edge, in->event, now_us);
        break;
    case NVE_IN_RESTORE:
        if (in->kind == RECORD_VDP)
            tns_vdp_restore(n->vdp, in->p, in->size);
        else if (in->size <= UINT16_MAX)
            edge_restore(n->edge, in->kind, in->p, (uint16_t)in->size, now_us);
        break;
    case NVE_IN_RESTORED:
        static_maps(n);                  /* part of the wanted state that is replayed */
        edge_restored(n->edge, now_us);
        tns_vdp_restored(n->vdp);
        n->restored = true;
        break;
    case NVE_IN_STREAM_OPEN:
    case NVE_IN_STREAM_DATA:
    case NVE_IN_STREAM_CLOSED:
        if (n->lisp)
            map_lisp_stream(n->lisp, in);
        break;
    case NVE_IN_UDP:
        if (n->lisp)
            map_lisp_udp(n->lisp, in);
        break;
    case NVE_IN_CONTROL:
        nve_ctl_request(n->ctl, in->conn, in->p, in->size);
        break;
    case NVE_IN_CONTROL_MORE:
        nve_ctl_more(n->ctl, in->conn, in->size);
        break;
    case NVE_IN_CONTROL_GONE:
        nve_ctl_gone(n->ctl, in->conn);
        break;
    case NVE_IN_COUNTERS:
        memcpy(n->dp_counters, in->counters, sizeof n->dp_counters);
        mem_free(n->holds);
        n->holds = copy_of(in->holds, in->n_holds * sizeof *in->holds);
        n->n_holds = in->n_holds;
        mem_free(n->relays);
        n->relays = copy_of(in->relays, in->n_relays * sizeof *in->relays);
        n->n_relays = in->n_relays;
        nve_ctl_counters(n->ctl);
        break;
    case NVE_IN_STOP:
        if (n->lisp)
            map_lisp_stop(n->lisp);
        break;
    }
}

uint64_t
nve_deadline(const struct nve *n)
{
    uint64_t d = edge_deadline(n->edge), v = tns_vdp_deadline(n->vdp);
    if (v < d)
        d = v;
    if (n->lisp && (v = map_lisp_deadline(n->lisp)) < d)
        d = v;
    return d;
}

/* One output of the edge: for main, or for an adapter. */
static enum pulled
edge_pull(struct nve *n, struct nve_out *out)
{
    struct edge_out e;
    if (!edge_output(n->edge, &e))
        return PULLED_NOTHING;
    nve_seen_output(n, &e);
    switch ((enum edge_out_type)e.type) {
    case EDGE_DP:
        out->type = NVE_OUT_DP;
        out->id = e.id;
        out->dp = e.u.dp;
        return PULLED_OUT;
    case EDGE_JOURNAL:
        out->type = NVE_OUT_JOURNAL;
        out->id = e.id;
        out->kind = e.u.journal.kind;
        out->key = e.u.journal.key;
        out->key_size = e.u.journal.key_size;
        out->p = e.u.journal.bytes;
        out->size = e.u.journal.size;
        return PULLED_OUT;
    case EDGE_ANSWER:
        tns_vdp_answer(n->vdp, &e.u.answer);
        return PULLED_MORE;
    case EDGE_NOTICE:
        tns_vdp_notice(n->vdp, &e.u.notice);
        return PULLED_MORE;
    case EDGE_REGISTER:
    case EDGE_WITHDRAW:
    case EDGE_RESERVE:
    case EDGE_QUERY:
    case EDGE_SUBSCRIBE:
    case EDGE_UNSUBSCRIBE:
    case EDGE_VN_LOOKUP:
    case EDGE_MAP_ACK:
    case EDGE_SMR:
        if (n->lisp)
            map_lisp_edge(n->lisp, &e);
        else if (e.type == EDGE_VN_LOOKUP)
            edge_vn(n->edge, &e.u.vn, -1, n->now_us);   /* no authority: only what is configured */
        return PULLED_MORE;
    case EDGE_N_OUTS:
        break;
    }
    return PULLED_MORE;
}

bool
nve_output(struct nve *n, struct nve_out *out)
{
    memset(out, 0, sizeof *out);
    for (;;) {
        enum pulled got = edge_pull(n, out);
        if (got == PULLED_NOTHING)
            got = tns_vdp_output(n->vdp, out);
        if (got == PULLED_NOTHING && n->lisp)
            got = map_lisp_output(n->lisp, out);
        if (got == PULLED_NOTHING)
            got = nve_ctl_output(n->ctl, out);
        if (got == PULLED_OUT)
            return true;
        if (got == PULLED_NOTHING)
            return false;
    }
}

struct edge *
nve_edge(struct nve *n)
{
    return n->edge;
}
