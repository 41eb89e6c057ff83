/* SPDX-License-Identifier: Apache-2.0 */
/* What goes out: each verb writes one entry and hands it to lisp_session_say. */
#include "proto/lisp_session_int.h"

#include <string.h>

bool
lisp_session_register(struct lisp_session *s, uint64_t ref, uint8_t flags,
    const struct lisp_record *record)
{
    uint8_t b[LISP_RECORD_MAX + 16];
    struct wr w = wr_of(b, sizeof b);
    wr_u64(&w, ref);
    wr_u8(&w, flags);
    lisp_record_put(&w, &s->dialect, record);
    return lisp_session_say(s, LISP_RT_REGISTER, &w);
}

bool
lisp_session_register_end(struct lisp_session *s)
{
    struct wr w = wr_of(NULL, 0);
    bool ok = lisp_session_say(s, LISP_RT_REGISTER_END, &w);
    lisp_session_frame_close(s);
    return ok;
}

bool
lisp_session_withdraw(struct lisp_session *s, uint64_t ref, const struct lisp_eid *eid,
    const struct ip *owner, uint64_t epoch)
{
    uint8_t b[96];
    struct wr w = wr_of(b, sizeof b);
    struct lisp_rt_withdraw m = {ref, epoch, *owner, *eid};
    lisp_rt_withdraw_put(&w, &s->dialect, &m);
    return lisp_session_say(s, LISP_RT_WITHDRAW, &w);
}

static bool
say_vni(struct lisp_session *s, uint16_t type, uint32_t vni)
{
    uint8_t b[4];
    struct wr w = wr_of(b, sizeof b);
    wr_u32(&w, vni);
    return lisp_session_say(s, type, &w);
}

bool
lisp_session_subscribe(struct lisp_session *s, uint32_t vni)
{
    return say_vni(s, LISP_RT_SUBSCRIBE, vni);
}

bool
lisp_session_watch(struct lisp_session *s, uint32_t vni)
{
    return say_vni(s, LISP_RT_WATCH, vni);
}

bool
lisp_session_unsubscribe(struct lisp_session *s, uint32_t vni)
{
    return say_vni(s, LISP_RT_UNSUBSCRIBE, vni);
}

bool
lisp_session_reserve(struct lisp_session *s, uint64_t ref, uint32_t vni,
    const struct mac *mac, uint64_t vsi, uint64_t carried_epoch, uint64_t migration_id)
{
    uint8_t b[48];
    struct wr w = wr_of(b, sizeof b);
    struct lisp_rt_reserve m = {ref, carried_epoch, migration_id, vni, *mac, vsi};
    lisp_rt_reserve_put(&w, vsi != 0, &m);
    return lisp_session_say(s, vsi ? LISP_RT_RESERVE_VSI : LISP_RT_RESERVE, &w);
}

bool
lisp_session_seq_ack(struct lisp_session *s, uint64_t seq)
{
    if (s->state != ST_UP || seq > s->rx_seq || seq < s->acked_seq)
        return false;
    s->ack_to_send = s->acked_seq = seq;
    return true;
}

bool
lisp_session_vn_lookup(
    struct lisp_session *s, uint64_t ref, uint32_t vni, const char *name)
{
    uint8_t b[96];
    struct wr w = wr_of(b, sizeof b);
    struct lisp_rt_vn m = {.ref = ref, .vni = vni};
    size_t n = name ? strlen(name) : 0;
    if (n > LISP_RT_NAME)
        return false;
    if (n)
        memcpy(m.name, name, n);
    m.name_size = n;
    lisp_rt_vn_put(&w, true, &m);
    return lisp_session_say(s, LISP_RT_VN_LOOKUP, &w);
}

static bool
say_answer(struct lisp_session *s, uint16_t type, const struct lisp_rt_answer *a)
{
    uint8_t b[64];
    struct wr w = wr_of(b, sizeof b);
    lisp_rt_answer_put(&w, type == LISP_RT_REJECT, a);
    return lisp_session_say(s, type, &w);
}

bool
lisp_session_ack(
    struct lisp_session *s, uint64_t ref, uint64_t epoch, uint64_t migration_id)
{
    struct lisp_rt_answer a = {
        .ref = ref, .epoch = epoch, .migration_id = migration_id};
    return say_answer(s, LISP_RT_ACK, &a);
}

bool
lisp_session_reject(struct lisp_session *s, const struct lisp_rt_answer *answer)
{
    return say_answer(s, LISP_RT_REJECT, answer);
}

bool
lisp_session_grant(
    struct lisp_session *s, uint64_t ref, uint64_t epoch, uint64_t migration_id)
{
    struct lisp_rt_answer a = {
        .ref = ref, .epoch = epoch, .migration_id = migration_id};
    return say_answer(s, LISP_RT_GRANT, &a);
}

static bool
numbered(struct lisp_session *s, bool said, uint64_t *seq)
{
    if (said)
        s->tx_seq++;
    if (seq)
        *seq = s->tx_seq;
    return said;
}

bool
lisp_session_snapshot(struct lisp_session *s, uint32_t vni, bool begin, uint64_t *seq)
{
    uint8_t b[12];
    struct wr w = wr_of(b, sizeof b);
    wr_u32(&w, vni);
    wr_u64(&w, s->tx_seq + 1);
    bool said =
        lisp_session_say(s, begin ? LISP_RT_SNAPSHOT_BEGIN : LISP_RT_SNAPSHOT_END, &w);
    lisp_session_frame_close(s);
    return numbered(s, said, seq);
}

bool
lisp_session_notify(struct lisp_session *s, uint8_t flags,
    const struct lisp_record *record, uint64_t *seq)
{
    uint8_t b[LISP_RECORD_MAX + 16];
    struct wr w = wr_of(b, sizeof b);
    wr_u8(&w, flags);
    lisp_record_put(&w, &s->dialect, record);
    return numbered(s, lisp_session_say(s, LISP_RT_NOTIFY, &w), seq);
}

bool
lisp_session_member(struct lisp_session *s, uint32_t vni, const struct ip *vtep,
    bool gone, uint64_t *seq)
{
    uint8_t b[32];
    struct wr w = wr_of(b, sizeof b);
    struct lisp_rt_member m = {vni, gone, *vtep};
    lisp_rt_member_put(&w, &m);
    return numbered(s, lisp_session_say(s, LISP_RT_MEMBER, &w), seq);
}

bool
lisp_session_vn_record(struct lisp_session *s, const struct lisp_rt_vn *vn)
{
    uint8_t b[128];
    struct wr w = wr_of(b, sizeof b);
    lisp_rt_vn_put(&w, false, vn);
    return lisp_session_say(s, LISP_RT_VN_RECORD, &w);
}

bool
lisp_session_confirm(struct lisp_session *s, const struct lisp_eid *eid, uint64_t epoch)
{
    uint8_t b[64];
    struct wr w = wr_of(b, sizeof b);
    struct lisp_rt_confirm m = {epoch, *eid};
    lisp_rt_confirm_put(&w, &s->dialect, &m);
    return lisp_session_say(s, LISP_RT_CONFIRM, &w);
}

bool
lisp_session_reserved(
    struct lisp_session *s, const struct lisp_rt_reserved *reserved, bool gone)
{
    uint8_t b[64];
    struct wr w = wr_of(b, sizeof b);
    lisp_rt_reserved_put(&w, reserved);
    return lisp_session_say(s, gone ? LISP_RT_UNRESERVED : LISP_RT_RESERVED, &w);
}

bool
lisp_session_who_has(struct lisp_session *s, const struct lisp_eid *eid)
{
    uint8_t b[64];
    struct wr w = wr_of(b, sizeof b);
    lisp_rt_key_put(&w, &s->dialect, eid);
    return lisp_session_say(s, LISP_RT_WHO_HAS, &w);
}
