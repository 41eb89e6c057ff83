/* SPDX-License-Identifier: Apache-2.0 */
/* The mapping plane by LISP (K5): the session with the authority carries registrations,
 * epochs, subscriptions, VN records and pushes; questions on a miss go by UDP (S4-31). This
 * file only translates: struct mapping_rec <-> struct lisp_record, ids <-> refs.
 *
 * References of the session are the edge's output ids; withdrawals carry none. A VN look-up's
 * ref is an index into `asks`, because its answer may be "no such VN", which names no VN. */
#include "node/lisp_record.h"
#include "nve/seen.h"
#include "base/log.h"
#include "proto/lisp_pull.h"
#include "proto/lisp_session.h"
#include "wire/berth_tlv.h"
#include <errno.h>
#include <string.h>

#define ASKS_MAX 65536                   /* after a session came back: one for each VN in use */
#define REF_VN (1ull << 40)              /* refs of VN look-ups, beyond every output id */

struct ask {                             /* a VN look-up under way */
    struct vn_rec vn;
    bool open;
};
struct map_lisp {
    struct nve *n;
    struct lisp_session *session;
    struct lisp_pull *pull;
    struct pool asks;                    /* of struct ask */
    uint32_t authority;                  /* index of the one to connect to next */
    uint64_t since_us, registered;
    bool end_due;                        /* the end of registration is to be told */
    bool stopping;                       /* goodbye was said; the edge stays as it is */
};

struct map_lisp *
map_lisp_new(struct nve *n)
{
    struct map_lisp *m = mem_alloc(sizeof *m);
    struct lisp_dialect d = lisp_dialect_default;
    if (n->conf.oui)
        d.oui = n->conf.oui;
    struct lisp_session_conf s = {.id = n->conf.edge.name, .vtep = n->conf.edge.vtep,
        .key = (const uint8_t *)n->conf.key, .key_size = strlen(n->conf.key),
        .seed = rng_next(&n->rng), .dialect = d};
    struct lisp_pull_conf p = {.self = n->conf.edge.vtep, .port = n->conf.lisp_port ? n->conf.lisp_port : LISP_PORT,
        .server = n->conf.authority_udp, .server_port = n->conf.authority_udp_port,
        .seed = rng_next(&n->rng), .dialect = d};
    m->n = n;
    m->since_us = n->now_us;
    m->session = lisp_session_new_client(&s, n->now_us);
    m->pull = lisp_pull_new(&p, n->now_us);
    pool_init(&m->asks, sizeof(struct ask), ASKS_MAX);
    return m;
}

void
map_lisp_free(struct map_lisp *m)
{
    if (!m)
        return;
    lisp_session_free(m->session);
    lisp_pull_free(m->pull);
    pool_done(&m->asks);
    mem_free(m);
}

void
map_lisp_stop(struct map_lisp *m)
{
    m->stopping = true;
    lisp_session_stop(m->session, LISP_RT_R_SHUTDOWN, m->n->now_us);
}

/* ---- from the edge ---- */

static struct lisp_eid
eid_of(uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    return ip_is_none(ip) ? lisp_eid_mac(vni, mac) : lisp_eid_ip(vni, ip);
}

void
map_lisp_edge(struct map_lisp *m, const struct edge_out *out)
{
    struct lisp_record rec;
    struct lisp_eid eid;
    uint8_t flags = 0;
    switch ((enum edge_out_type)out->type) {
    case EDGE_REGISTER:
        lisp_record_of(&out->u.reg.rec, NULL, &rec);
        if (out->u.reg.want_epoch)
            flags |= LISP_RT_F_CLAIM;
        if (out->u.reg.refresh)
            flags |= LISP_RT_F_REFRESH;
        if (lisp_session_register(m->session, out->id, flags, &rec))
            m->registered++;
        break;
    case EDGE_WITHDRAW:
        eid = lisp_eid_mac(out->u.reg.rec.vni, &out->u.reg.rec.mac);
        lisp_session_withdraw(m->session, 0, &eid, &out->u.reg.rec.owner,
            out->u.reg.rec.epoch);
        break;
    case EDGE_RESERVE:
        lisp_session_reserve(m->session, out->id, out->u.reg.rec.vni, &out->u.reg.rec.mac,
            out->u.reg.rec.vsi, out->u.reg.rec.epoch, out->u.reg.rec.migration_id);
        break;
    case EDGE_QUERY:
        eid = eid_of(out->u.query.vni, &out->u.query.mac, &out->u.query.ip);
        lisp_pull_request(m->pull, &eid, m->n->now_us);
        break;
    case EDGE_SUBSCRIBE:
        if (out->u.sub.members_only)
            lisp_session_watch(m->session, out->u.sub.vni);
        else
            lisp_session_subscribe(m->session, out->u.sub.vni);
        break;
    case EDGE_UNSUBSCRIBE:
        lisp_session_unsubscribe(m->session, out->u.vni);
        break;
    case EDGE_VN_LOOKUP: {
        uint32_t h = pool_get(&m->asks);
        if (!h)
            break;                       /* the edge asks again, or times out */
        if (!lisp_session_vn_lookup(m->session, REF_VN | h, out->u.vn.vni, out->u.vn.name)) {
            pool_put(&m->asks, h);
            break;
        }
        *(struct ask *)pool_at(&m->asks, h) = (struct ask){out->u.vn, true};
        break;
    }
    case EDGE_MAP_ACK:
        lisp_session_seq_ack(m->session, out->u.seq);
        break;
    case EDGE_SMR:
        eid = lisp_eid_mac(out->u.smr.vni, &out->u.smr.mac);
        lisp_pull_smr(m->pull, &out->u.smr.to, &eid, m->n->now_us);
        break;
    case EDGE_DP:
    case EDGE_JOURNAL:
    case EDGE_ANSWER:
    case EDGE_NOTICE:
    case EDGE_N_OUTS:
        break;
    }
}

/* ---- from the authority ---- */

static void
vn_of(const struct map_lisp *m, const struct lisp_rt_vn *w, struct vn_rec *to)
{
    lisp_record_vn(w, to);
    if (m->n->conf.mapping == NVE_MAP_PULL)
        to->pull = 1;
}

static int
status_of(uint8_t reason)
{
    switch ((enum lisp_rt_reason)reason) {
    case LISP_RT_R_STALE:
        return -ESTALE;
    case LISP_RT_R_CONFLICT:
    case LISP_RT_R_NOT_OWNER:
        return -EEXIST;
    case LISP_RT_R_FULL:
        return -ENOSPC;
    case LISP_RT_R_NOT_READY:
        return -EAGAIN;
    case LISP_RT_R_NO_VN:
        return -ENOENT;
    case LISP_RT_R_POLICY:
        return -EACCES;
    default:
        return -EPERM;
    }
}

static void
vn_ask_ended(struct map_lisp *m, uint64_t ref, const struct lisp_rt_vn *found, int status)
{
    uint32_t h = (uint32_t)(ref & ~REF_VN);
    struct ask *ask = h && h <= m->asks.top ? pool_at(&m->asks, h) : NULL;
    if (!ask || !ask->open)
        return;                          /* nobody has asked that */
    struct vn_rec vn = ask->vn;
    ask->open = false;
    pool_put(&m->asks, h);
    if (found)
        vn_of(m, found, &vn);
    edge_vn(m->n->edge, &vn, status, m->n->now_us);
}

static void
session_event(struct map_lisp *m, const struct lisp_session_event *ev)
{
    struct edge *e = m->n->edge;
    uint64_t now = m->n->now_us;
    struct mapping_rec rec;
    struct vn_rec vn;
    switch ((enum lisp_session_event_type)ev->type) {
    case LISP_SEV_UP:
        log_note("map", "authority=%s connected", ev->id);
        m->since_us = now;
        m->end_due = true;
        lisp_pull_again(m->pull);
        edge_session(e, true, now);
        break;
    case LISP_SEV_DOWN:
        log_warn("map", "authority lost: %s; trying again", lisp_rt_reason_str(ev->reason));
        m->since_us = now;
        m->authority++;
        pool_done(&m->asks);
        pool_init(&m->asks, sizeof(struct ask), ASKS_MAX);
        edge_session(e, false, now);
        break;
    case LISP_SEV_ACK:
        nve_seen_authority(m->n, TRACE_REGISTERED, ev->ref, ev->epoch, ev->migration_id, NULL);
        if (ev->ref)
            edge_registered(e, (uint32_t)ev->ref, ev->epoch, ev->migration_id, 0, now);
        break;
    case LISP_SEV_GRANT:
        nve_seen_authority(m->n, TRACE_GRANTED, ev->ref, ev->epoch, ev->migration_id, NULL);
        edge_registered(e, (uint32_t)ev->ref, ev->epoch, ev->migration_id, 0, now);
        break;
    case LISP_SEV_REJECT:
        if (!(ev->ref & REF_VN))
            nve_seen_authority(m->n, TRACE_REFUSED, ev->ref, ev->epoch, ev->migration_id,
                lisp_rt_reason_str(ev->reason));
        if (ev->ref & REF_VN)
            vn_ask_ended(m, ev->ref, NULL, status_of(ev->reason));
        else if (ev->ref && ev->reason == LISP_RT_R_CONFLICT)
            edge_conflict(e, (uint32_t)ev->ref, &ev->owner, now);
        else if (ev->ref)
            edge_registered(e, (uint32_t)ev->ref, ev->epoch, ev->migration_id,
                status_of(ev->reason), now);
        break;
    case LISP_SEV_SNAPSHOT_BEGIN:
    case LISP_SEV_SNAPSHOT_END:
        edge_map_snapshot(e, ev->vni, ev->type == LISP_SEV_SNAPSHOT_BEGIN, ev->seq, now);
        break;
    case LISP_SEV_NOTIFY:
        if (!ev->record.n_rlocs && ev->record.ttl_min) {
            /* a key that we pulled is gone (K8); the empty withdrawal acknowledges it */
            edge_map_negative(e, ev->record.eid.vni, &ev->record.eid.mac,
                &ev->record.eid.ip, (uint64_t)ev->record.ttl_min * 60000000u, now);
            rec = (struct mapping_rec){.vni = ev->record.eid.vni};
            edge_map_del(e, &rec, ev->seq, now);
            break;
        }
        if (!lisp_record_mapping(&ev->record, &rec))
            break;
        nve_seen_mapping(m->n, ev->record.ttl_min ? TRACE_MAPPED : TRACE_UNMAPPED, &rec);
        if (ev->record.ttl_min)
            edge_map_set(e, &rec, ev->seq, now);
        else
            edge_map_del(e, &rec, ev->seq, now);
        break;
    case LISP_SEV_MEMBER:
        edge_member(e, ev->vni, &ev->vtep, !ev->gone, ev->seq, now);
        break;
    case LISP_SEV_VN:
        if (ev->vn.ref) {
            vn_ask_ended(m, ev->vn.ref, &ev->vn, 0);
        } else {
            vn_of(m, &ev->vn, &vn);
            edge_vn(e, &vn, 0, now);
        }
        break;
    case LISP_SEV_WHO_HAS:
        if (ev->eid.kind == LISP_EID_IP)
            edge_who_has(e, ev->eid.vni, &ev->eid.ip, now);
        break;
    case LISP_SEV_RESERVED:
        rec = (struct mapping_rec){.vni = ev->vni, .mac = ev->mac, .owner = ev->owner,
            .epoch = ev->epoch, .migration_id = ev->migration_id};
        nve_seen_reserved(m->n, &rec, ev->gone);
        if (ev->gone || ip_is_none(&rec.owner))   /* no address: an authority of before */
            edge_unreserved(e, &rec, now);
        else
            edge_reserved(e, &rec, now);
        break;
    case LISP_SEV_CONFIRM:
        rec = (struct mapping_rec){.vni = ev->eid.vni, .mac = ev->eid.mac, .epoch = ev->epoch};
        nve_seen_mapping(m->n, TRACE_CONFIRMED, &rec);
        if (ev->eid.kind == LISP_EID_MAC)
            edge_confirmed(e, ev->eid.vni, &ev->eid.mac, ev->epoch, now);
        break;
    case LISP_SEV_NEED_KEY:
    case LISP_SEV_AUTHENTICATED:
    case LISP_SEV_REGISTER:
    case LISP_SEV_REGISTER_END:
    case LISP_SEV_WITHDRAW:
    case LISP_SEV_SUBSCRIBE:
    case LISP_SEV_WATCH:
    case LISP_SEV_UNSUBSCRIBE:
    case LISP_SEV_RESERVE:
    case LISP_SEV_SEQ_ACK:
    case LISP_SEV_VN_LOOKUP:
    case LISP_SEV_CLOSED:
    case LISP_SEV_N:
        break;                           /* the server's */
    }
}

static void
pull_answer(struct map_lisp *m, const struct lisp_pull_out *o)
{
    struct mapping_rec rec;
    if (lisp_record_mapping(&o->record, &rec) && rec.vni) {
        edge_map_set(m->n->edge, &rec, 0, m->n->now_us);
        return;
    }
    /* an IP mapping without a MAC: a foreign xTR's; ask nothing, treat as unknown here */
    edge_map_negative(m->n->edge, o->eid.vni, &o->eid.mac, &o->eid.ip, 0, m->n->now_us);
}

static void
pull_question(struct map_lisp *m, const struct lisp_pull_question *q)
{
    struct mapping_rec rec;
    struct lisp_record answer;
    bool ip = q->eid.kind == LISP_EID_IP;
    /* by the MAC where one is given */
    if (!edge_answer_query(m->n->edge, q->eid.vni, ip ? NULL : &q->eid.mac, &q->eid.ip, &rec)) {
        lisp_pull_reply(m->pull, q, NULL);
        return;
    }
    if (rec.epoch == 0)
        return;
    lisp_record_of(&rec, &q->eid, &answer);
    answer.ttl_min = 1;                  /* whoever asked us is not subscribed at us */
    lisp_pull_reply(m->pull, q, &answer);
}

/* ---- inputs, time, output ---- */

void
map_lisp_stream(struct map_lisp *m, const struct nve_in *in)
{
    switch ((enum nve_in_type)in->type) {
    case NVE_IN_STREAM_OPEN:
        if (in->size >= LISP_RT_NONCE)
            lisp_session_connected(m->session, in->p, m->n->now_us);
        else
            lisp_session_closed(m->session, m->n->now_us);
        break;
    case NVE_IN_STREAM_DATA:
        lisp_session_input(m->session, in->p, in->size, m->n->now_us);
        break;
    default:
        lisp_session_closed(m->session, m->n->now_us);
        break;
    }
}

void
map_lisp_udp(struct map_lisp *m, const struct nve_in *in)
{
    lisp_pull_input(m->pull, &in->from, in->from_port, in->p, in->size, m->n->now_us);
}

uint64_t
map_lisp_deadline(const struct map_lisp *m)
{
    uint64_t a = lisp_session_deadline(m->session), b = lisp_pull_deadline(m->pull);
    return a < b ? a : b;
}

void
map_lisp_tick(struct map_lisp *m)
{
    if (lisp_session_deadline(m->session) <= m->n->now_us)
        lisp_session_tick(m->session, m->n->now_us);
    if (lisp_pull_deadline(m->pull) <= m->n->now_us)
        lisp_pull_tick(m->pull, m->n->now_us);
}

static enum pulled
pull_output(struct map_lisp *m, struct nve_out *out)
{
    struct lisp_pull_out o;
    if (!lisp_pull_output(m->pull, &o))
        return PULLED_NOTHING;
    switch ((enum lisp_pull_out_type)o.type) {
    case LISP_POUT_SEND:
        out->type = NVE_OUT_UDP;
        out->to = o.to;
        out->to_port = o.port;
        out->p = o.bytes;
        out->size = (uint32_t)o.size;
        return PULLED_OUT;
    case LISP_POUT_ANSWER:
        pull_answer(m, &o);
        break;
    case LISP_POUT_NEGATIVE:
        edge_map_negative(m->n->edge, o.eid.vni, &o.eid.mac, &o.eid.ip,
            (uint64_t)o.record.ttl_min * 60000000u, m->n->now_us);
        break;
    case LISP_POUT_TIMEOUT:
        break;                           /* the edge's own wait ends by itself (K18) */
    case LISP_POUT_QUESTION:
        pull_question(m, &o.question);
        break;
    case LISP_POUT_SMR:
        /* Ask before believing (D5, RFC 8014 clause 6). Of a VM the edge knows whether
         * we send to that NVE at all; an address alone is another router's business. */
        if (o.eid.kind == LISP_EID_MAC) {
            struct mapping_rec old = {.vni = o.eid.vni, .mac = o.eid.mac, .owner = o.from};
            if (edge_smr(m->n->edge, o.eid.vni, &o.eid.mac, &o.from, m->n->now_us))
                nve_seen_mapping(m->n, TRACE_REDIRECTED, &old);
        } else {
            lisp_pull_request(m->pull, &o.eid, m->n->now_us);
        }
        break;
    }
    return PULLED_MORE;
}

enum pulled
map_lisp_output(struct map_lisp *m, struct nve_out *out)
{
    struct lisp_session_out o;
    /* The edge has been pulled until it was empty: all that it holds is registered. What
     * the authority knew of us beyond that goes, so not before the journal is read (K4). */
    if (m->end_due && m->n->restored && lisp_session_register_end(m->session))
        m->end_due = false;
    if (!lisp_session_output(m->session, &o))
        return pull_output(m, out);
    switch ((enum lisp_session_out_type)o.type) {
    case LISP_SOUT_CONNECT:
        out->type = NVE_OUT_STREAM_CONNECT;
        out->index = m->authority;
        return PULLED_OUT;
    case LISP_SOUT_SEND:
        out->type = NVE_OUT_STREAM_DATA;
        out->p = o.bytes;
        out->size = (uint32_t)o.size;
        /* main's stream has the bound: what it cannot take ends the connection */
        lisp_session_written(m->session, o.size, m->n->now_us);
        return PULLED_OUT;
    case LISP_SOUT_CLOSE:
        out->type = NVE_OUT_STREAM_CLOSE;
        return PULLED_OUT;
    case LISP_SOUT_EVENT:
        if (!m->stopping)
            session_event(m, &o.event);
        break;
    }
    return PULLED_MORE;
}

/* ---- for people ---- */

void
map_lisp_view(const struct map_lisp *m, struct map_lisp_view *v)
{
    v->state = lisp_session_state_str(m->session);
    v->since_us = m->since_us;
    v->sent = lisp_session_counter(m->session, LISP_SC_FRAMES_OUT);
    v->received = lisp_session_counter(m->session, LISP_SC_FRAMES_IN);
    v->registered = m->registered;
    v->unacknowledged = lisp_session_backlog(m->session);
}

bool
map_lisp_counter(const struct map_lisp *m, uint32_t *it, const char **group,
    const char **name, uint64_t *value)
{
    uint32_t i = *it;
    if (i < LISP_SC_N) {
        *group = "session";
        *name = lisp_session_counter_name(i);
        *value = lisp_session_counter(m->session, i);
    } else if (i < LISP_SC_N + LISP_PC_N) {
        *group = "lisp";
        *name = lisp_pull_counter_name(i - LISP_SC_N);
        *value = lisp_pull_counter(m->pull, i - LISP_SC_N);
    } else {
        return false;
    }
    ++*it;
    return true;
}
