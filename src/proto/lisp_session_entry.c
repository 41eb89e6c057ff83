/* SPDX-License-Identifier: Apache-2.0 */
/* What comes in: one entry of a frame becomes one event. Sequence numbers are not on
 * the entries but on their frame; they are counted here. */
#include "proto/lisp_session_int.h"

static enum lisp_err
fill_answer(struct rd *r, bool reject, struct lisp_session_event *ev)
{
    struct lisp_rt_answer a;
    enum lisp_err err = lisp_rt_answer_get(r, reject, &a);
    ev->ref = a.ref;
    ev->epoch = a.epoch;
    ev->migration_id = a.migration_id;
    ev->reason = a.reason;
    ev->owner = a.owner;
    return err;
}

static enum lisp_err
fill_record(struct lisp_session *s, bool with_ref, struct lisp_session_event *ev)
{
    struct lisp_rt_entry e;
    enum lisp_err err = lisp_rt_entry_get(&s->body, &s->dialect, with_ref, &e);
    ev->ref = e.ref;
    ev->flags = e.flags;
    if (!err)
        ev->record = e.record;
    return err;
}

static enum lisp_err
fill_vni(struct rd *r, struct lisp_session_event *ev)
{
    ev->vni = rd_u32(r);
    return r->err                          ? LISP_ERR_SHORT
           : ev->vni && ev->vni <= VNI_MAX ? LISP_OK
                                           : LISP_ERR_EID;
}

static enum lisp_err
fill_withdraw(struct rd *r, struct lisp_session_event *ev)
{
    struct lisp_rt_withdraw m;
    enum lisp_err err = lisp_rt_withdraw_get(r, &m);
    if (err)
        return err;
    ev->ref = m.ref;
    ev->epoch = m.epoch;
    ev->owner = m.owner;
    ev->eid = m.eid;
    ev->vni = m.eid.vni;
    return LISP_OK;
}

static enum lisp_err
fill_reserve(struct rd *r, bool with_vsi, struct lisp_session_event *ev)
{
    struct lisp_rt_reserve m;
    enum lisp_err err = lisp_rt_reserve_get(r, with_vsi, &m);
    ev->ref = m.ref;
    ev->epoch = m.epoch;
    ev->migration_id = m.migration_id;
    ev->vni = m.vni;
    ev->mac = m.mac;
    ev->vsi = m.vsi;
    return err;
}

static enum lisp_err
fill_reserved(struct rd *r, struct lisp_session_event *ev)
{
    struct lisp_rt_reserved m;
    enum lisp_err err = lisp_rt_reserved_get(r, &m);
    ev->epoch = m.epoch;
    ev->migration_id = m.migration_id;
    ev->vni = m.vni;
    ev->mac = m.mac;
    ev->owner = m.target;
    return err;
}

static enum lisp_err
fill_member(struct rd *r, struct lisp_session_event *ev)
{
    struct lisp_rt_member m;
    enum lisp_err err = lisp_rt_member_get(r, &m);
    ev->vni = m.vni;
    ev->gone = m.gone;
    ev->vtep = m.vtep;
    return err;
}

static enum lisp_err
fill_confirm(struct rd *r, struct lisp_session_event *ev)
{
    struct lisp_rt_confirm m;
    enum lisp_err err = lisp_rt_confirm_get(r, &m);
    if (err)
        return err;
    ev->eid = m.eid;
    ev->epoch = m.epoch;
    return LISP_OK;
}

static enum lisp_err
fill_snapshot(struct lisp_session *s, struct lisp_session_event *ev)
{
    ev->vni = rd_u32(&s->body); /* 0: of all NVEs */
    ev->seq = rd_u64(&s->body);
    enum lisp_err err = s->body.err          ? LISP_ERR_SHORT
                        : ev->vni <= VNI_MAX ? LISP_OK
                                             : LISP_ERR_EID;
    if (!err && ev->seq != ++s->rx_seq)
        err = LISP_ERR_MANY;
    return err;
}

/* One entry of the current frame. The type was checked against the table of types. */
enum lisp_err
lisp_session_fill(struct lisp_session *s, struct lisp_session_event *ev)
{
    struct rd *r = &s->body;
    switch ((enum lisp_rt_type)s->body_type) {
    case LISP_RT_REGISTER:
        ev->type = LISP_SEV_REGISTER;
        return fill_record(s, true, ev);
    case LISP_RT_NOTIFY:
        ev->type = LISP_SEV_NOTIFY;
        ev->seq = ++s->rx_seq;
        return fill_record(s, false, ev);
    case LISP_RT_WITHDRAW:
        ev->type = LISP_SEV_WITHDRAW;
        return fill_withdraw(r, ev);
    case LISP_RT_ACK:
        ev->type = LISP_SEV_ACK;
        return fill_answer(r, false, ev);
    case LISP_RT_GRANT:
        ev->type = LISP_SEV_GRANT;
        return fill_answer(r, false, ev);
    case LISP_RT_REJECT:
        ev->type = LISP_SEV_REJECT;
        return fill_answer(r, true, ev);
    case LISP_RT_SUBSCRIBE:
        ev->type = LISP_SEV_SUBSCRIBE;
        return fill_vni(r, ev);
    case LISP_RT_WATCH:
        ev->type = LISP_SEV_WATCH;
        return fill_vni(r, ev);
    case LISP_RT_UNSUBSCRIBE:
        ev->type = LISP_SEV_UNSUBSCRIBE;
        return fill_vni(r, ev);
    case LISP_RT_SNAPSHOT_BEGIN:
        ev->type = LISP_SEV_SNAPSHOT_BEGIN;
        return fill_snapshot(s, ev);
    case LISP_RT_SNAPSHOT_END:
        ev->type = LISP_SEV_SNAPSHOT_END;
        return fill_snapshot(s, ev);
    case LISP_RT_MEMBER:
        ev->type = LISP_SEV_MEMBER;
        ev->seq = ++s->rx_seq;
        return fill_member(r, ev);
    case LISP_RT_SEQ_ACK:
        ev->type = LISP_SEV_SEQ_ACK;
        ev->seq = rd_u64(r);
        if (ev->seq < s->acked_seq || ev->seq > s->tx_seq)
            return LISP_ERR_MANY; /* acknowledges what was never sent */
        s->acked_seq = ev->seq;
        return LISP_OK;
    case LISP_RT_RESERVE:
    case LISP_RT_RESERVE_VSI:
        ev->type = LISP_SEV_RESERVE;
        return fill_reserve(r, s->body_type == LISP_RT_RESERVE_VSI, ev);
    case LISP_RT_RESERVED:
    case LISP_RT_UNRESERVED:
        ev->type = LISP_SEV_RESERVED;
        ev->gone = s->body_type == LISP_RT_UNRESERVED;
        return fill_reserved(r, ev);
    case LISP_RT_VN_LOOKUP:
        ev->type = LISP_SEV_VN_LOOKUP;
        break;
    case LISP_RT_VN_RECORD:
        ev->type = LISP_SEV_VN;
        break;
    case LISP_RT_CONFIRM:
        ev->type = LISP_SEV_CONFIRM;
        return fill_confirm(r, ev);
    case LISP_RT_WHO_HAS:
        ev->type = LISP_SEV_WHO_HAS;
        return lisp_rt_key_get(r, &ev->eid);
    case LISP_RT_ERROR:
    case LISP_RT_HELLO:
    case LISP_RT_CHALLENGE:
    case LISP_RT_AUTH:
    case LISP_RT_WELCOME:
    case LISP_RT_REGISTER_END:
    case LISP_RT_KEEPALIVE:
    case LISP_RT_GOODBYE:
        return LISP_ERR_TYPE;
    }
    enum lisp_err err = lisp_rt_vn_get(r, s->body_type == LISP_RT_VN_LOOKUP, &ev->vn);
    ev->ref = ev->vn.ref;
    ev->vni = ev->vn.vni;
    return err;
}
