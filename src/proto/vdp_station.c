/* SPDX-License-Identifier: Apache-2.0 */
/* A VSI has at most one request with the bridge, so an answer can only be about that;
 * one more waits behind it, a third takes the second's place. Queued VSIs are packed
 * when the ECP link is ready, so a busy link makes full PDUs. */
#include "proto/vdp_station_int.h"

#include <string.h>

#include "base/log.h"

struct vdp_station_conf
vdp_station_defaults(const struct mac *self)
{
    return (struct vdp_station_conf){
        .self = *self,
        .group = eth_mac_ncb,
        .timers = {.retries = 3, .rte = 8, .rwd = 20, .rka = 20},
        .gap_us = ECP_LINK_GAP_US,
        .oui = BERTH_OUI,
        .max_vsis = 16384,
        .max_managers = 8,
        .tries = 2,
    };
}

uint64_t
vdp_station_keepalive_us(const struct evb_timers *t)
{
    return evb_exp_us(t->rka);
}

uint64_t
vdp_station_response_wait_us(const struct evb_timers *t)
{
    uint64_t ecp = (1 + 2 * (uint64_t)t->retries) * evb_exp_us(t->rte);
    return (ecp + evb_exp_us(t->rwd)) * 3 / 2;
}

struct vdp_station *
vdp_station_new(const struct vdp_station_conf *conf, uint64_t now_us)
{
    struct vdp_station *s = mem_alloc(sizeof *s);
    s->conf = *conf;
    if (s->conf.oui == 0)
        s->conf.oui = BERTH_OUI;
    if (s->conf.tries == 0)
        s->conf.tries = 1;
    s->timers = conf->timers;
    struct ecp_link_conf link = {.self = conf->self,
        .group = conf->group,
        .extra = conf->extra,
        .retries = conf->timers.retries,
        .rte_us = evb_exp_us(conf->timers.rte),
        .gap_us = conf->gap_us};
    s->link = ecp_link_new(&link, now_us);
    const char *why = NULL;
    if (!fsm_init(&s->fsm, &vdp_station_fsm, &why)) /* our own table: held by a test */
        log_err("vdp", "station table: %s", why);
    pool_init(&s->pool, sizeof(struct vsi), conf->max_vsis);
    map_init(&s->map, station_vsi_has_key, s, conf->seed);
    timers_init(&s->heap);
    vdp_managers_init(&s->managers, conf->max_managers);
    s->queues = mem_alloc(s->managers.max * sizeof *s->queues);
    fifo_init(&s->events, sizeof(struct event));
    return s;
}

void
vdp_station_free(struct vdp_station *s)
{
    if (!s)
        return;
    uint32_t it = 0, h;
    while ((h = map_each(&s->map, &it))) {
        struct vsi *v = station_vsi_at(s, h);
        station_ask_free(v->held);
        station_ask_free(v->cur);
        station_ask_free(v->next);
    }
    struct event e;
    while (fifo_pop(&s->events, &e))
        mem_free(e.bytes);
    fifo_done(&s->events);
    ecp_link_free(s->link);
    fsm_done(&s->fsm);
    map_done(&s->map);
    pool_done(&s->pool);
    timers_done(&s->heap);
    vdp_managers_done(&s->managers);
    mem_free(s->queues);
    mem_free(s->last_bytes);
    mem_free(s);
}

/* ---- requests ---- */

bool
vdp_station_op(struct vdp_station_request *r, enum berth_op op, enum berth_phase phase)
{
    static const struct {
        uint8_t type;
        bool m, s;
    } map[BERTH_N_OPS] = {
        [BERTH_OP_PREASSOC] = {VDP_PREASSOC, false, false},
        [BERTH_OP_ASSOC] = {VDP_ASSOC,    false, false},
        [BERTH_OP_SUSPEND] = {VDP_ASSOC,    false, true },
        [BERTH_OP_RESUME] = {VDP_ASSOC,    false, false},
        [BERTH_OP_EMIGRATE] = {VDP_ASSOC,    false, true },
        [BERTH_OP_IMMIGRATE] = {VDP_ASSOC,    true,  false},
        [BERTH_OP_TERMINATE] = {VDP_DEASSOC,  false, false},
        [BERTH_OP_ADDRESSES] = {VDP_ASSOC,    false, false},
    };
    if (op >= BERTH_N_OPS || map[op].type == 0)
        return false;
    r->type = map[op].type;
    if (op == BERTH_OP_IMMIGRATE && phase == BERTH_PHASE_PRE)
        r->type = VDP_PREASSOC;
    r->m = map[op].m;
    r->s = map[op].s;
    r->has_berth = true;
    r->berth.op = op;
    r->berth.phase = phase;
    return true;
}

static bool
put_filter(struct ask *a, const struct vdp_station_request *r, const struct vsi *v)
{
    uint8_t wire[VDP_FILTER_SIZE_MAX];
    if (r->filter_format == 0) {
        const struct ask *last = !v        ? NULL
                                 : v->next ? v->next
                                 : v->cur  ? v->cur
                                           : v->held;
        if (!last)
            return false;
        vdp_filter_tagged(&last->filter, wire);
        vdp_filter_set(&a->filter, last->filter.format, last->filter.n, wire, wire);
        return true;
    }
    if (r->n_entries == 0 || r->n_entries > vdp_entries_max(r->filter_format))
        return false;
    for (uint16_t i = 0; i < r->n_entries; i++) {
        if (r->entries[i].vid > VID_MAX)
            return false;
        vdp_entry_put(r->filter_format, wire, i, &r->entries[i]);
    }
    vdp_filter_set(&a->filter, r->filter_format, r->n_entries, wire, wire);
    return true;
}

static struct ask *
ask_new(const struct vdp_station *s, const struct vdp_station_request *r,
    const struct vsi *v)
{
    if (r->type < VDP_PREASSOC || r->type > VDP_DEASSOC ||
        r->key.id.format < VSIID_IPV4 || r->key.id.format > VSIID_UUID ||
        r->key.type_id > 0xffffff)
        return NULL;
    uint8_t org[TLV_HEADER_SIZE + TLV_BODY_MAX];
    struct wr w = wr_of(org, sizeof org);
    if (r->has_berth)
        berth_tlv_encode(&w, s->conf.oui, &r->berth);
    if (w.err)
        return NULL;
    struct ask *a = mem_alloc(sizeof *a);
    a->cookie = r->cookie;
    a->type = r->type;
    a->hints = (r->m ? VDP_REQ_M : 0) | (r->s ? VDP_REQ_S : 0);
    if (!put_filter(a, r, v)) {
        station_ask_free(a);
        return NULL;
    }
    if (r->has_berth)
        memcpy(a->vn, r->berth.vn_name, sizeof a->vn);
    if (w.pos) {
        a->org = mem_alloc(w.pos);
        memcpy(a->org, org, w.pos);
        a->org_size = (uint16_t)w.pos;
    }
    return a;
}

bool
vdp_station_request(
    struct vdp_station *s, const struct vdp_station_request *r, uint64_t now_us)
{
    uint32_t h = station_vsi_find(s, &r->key);
    struct input in = {.ask = ask_new(s, r, h ? station_vsi_at(s, h) : NULL)};
    if (!in.ask)
        return false;
    if (h == 0)
        h = station_vsi_add(s, &r->key);
    if (h == 0) {
        s->counters.refused_limit++;
        station_ask_free(in.ask);
        return false;
    }
    s->counters.requests++;
    station_step(s, h, r->type == VDP_DEASSOC ? EV_LEAVE : EV_REQUEST, &in, now_us);
    return true;
}

void
vdp_station_forget(struct vdp_station *s, const struct vdp_key *key)
{
    uint32_t h = station_vsi_find(s, key);
    if (h)
        station_vsi_free(s, h);
}

void
vdp_station_set_peer(struct vdp_station *s, const struct evb_timers *timers, bool berth,
    bool restarted, uint64_t now_us)
{
    s->timers = *timers;
    ecp_link_set_timers(s->link, timers->retries, evb_exp_us(timers->rte));
    ecp_link_set_gap(s->link, berth ? 0 : s->conf.gap_us);
    if (!restarted)
        return;
    ecp_link_reset_peer(s->link);
    uint32_t it = 0, h;
    while ((h = map_each(&s->map, &it))) /* RESTART frees no VSI */
        station_step(s, h, EV_RESTART, &(struct input){.ask = NULL}, now_us);
}

/* ---- answers ---- */

/* What was asked for is what was answered, but for VIDs left open and the PCP. */
static bool
answer_fits(const struct ask *a, const struct vdp_vsi *answer, bool keepalive)
{
    const struct vdp_filter *f = &a->filter;
    if (answer->filter_format != f->format || answer->n_entries != f->n)
        return false;
    const uint8_t *asked = vdp_filter_asked(f);
    size_t size = (size_t)f->n * vdp_entry_size(f->format);
    if (keepalive) /* another tag than before is no confirmation of it */
        return memcmp(asked, answer->filter, size) == 0;
    if (!vdp_filter_alike(f->format, f->n, asked, answer->filter))
        return false;
    for (uint16_t i = 0; i < f->n; i++) {
        uint16_t vid = vdp_entry_get(f->format, asked, i).vid;
        if (vid && vid != vdp_entry_get(f->format, answer->filter, i).vid)
            return false;
    }
    return true;
}

static void
take_answer(
    struct vdp_station *s, uint32_t h, const struct vdp_vsi *answer, uint64_t now_us)
{
    struct vsi *v = station_vsi_at(s, h);
    const struct ask *a = v->state == ST_BEATING ? v->held : v->cur;
    struct vdp_vsi as_read = *answer;
    struct input in = {.answer = &as_read};
    if (!a || !v->sent || a->type != answer->type) {
        s->counters.rx_unmatched++;
        return;
    }
    uint8_t event = EV_OK;
    if (answer->status & VDP_RSP_CODE) {
        bool kept = answer->status & VDP_RSP_KEEP && v->held;
        event = kept ? EV_REFUSED_KEEP : EV_REFUSED;
    } else if (a->type != VDP_DEASSOC &&
               !answer_fits(a, answer, v->state == ST_BEATING)) {
        as_read.status = VDP_RSP_ACK | VDP_CODE_FORMAT;
        event = EV_REFUSED;
    }
    station_step(s, h, event, &in, now_us);
}

static void
take_pdu(struct vdp_station *s, const uint8_t *payload, size_t size, uint64_t now_us)
{
    struct vdp_pdu pdu;
    enum vdp_reason reason = vdp_decode(payload, size, &pdu);
    s->counters.rx_pdus++;
    s->counters.rx_malformed += pdu.n_bad;
    if (reason != VDP_GOOD) {
        s->counters.rx_no_mgrid++;
        return;
    }
    for (uint16_t i = 0; i < pdu.n_vsis; i++) {
        const struct vdp_vsi *answer = &pdu.vsis[i];
        s->counters.rx_vsis++;
        if (answer->reason != VDP_GOOD) {
            s->counters.rx_malformed++;
            continue;
        }
        struct vdp_key key = {.type_id = answer->type_id,
            .type_version = answer->type_version,
            .id = answer->id};
        memcpy(key.mgrid, pdu.mgrid, sizeof key.mgrid);
        uint32_t h = station_vsi_find(s, &key);
        if (h == 0)
            s->counters.rx_unmatched++;
        else if (answer->status & VDP_RSP_ACK)
            take_answer(s, h, answer, now_us);
        else if (answer->type == VDP_DEASSOC)
            station_step(s, h, EV_DEASSOC, &(struct input){.answer = answer}, now_us);
        else
            s->counters.rx_unmatched++;
    }
}

void
vdp_station_input(
    struct vdp_station *s, const uint8_t *frame, size_t size, uint64_t now_us)
{
    const uint8_t *payload;
    size_t n;
    if (ecp_link_input(s->link, frame, size, now_us, &payload, &n) == ECP_LINK_DELIVER)
        take_pdu(s, payload, n, now_us);
}

/* ---- outputs ---- */

static bool
has_queued(const struct vdp_station *s)
{
    for (uint8_t i = 0; i < s->managers.max; i++)
        if (s->queues[i].head)
            return true;
    return false;
}

uint64_t
vdp_station_deadline(const struct vdp_station *s)
{
    if (s->events.n)
        return 0;
    uint64_t due = timers_deadline(&s->heap), at = ecp_link_deadline(s->link);
    if (at == TIMER_NEVER && has_queued(s))
        at = ecp_link_ready_at(s->link);
    return at < due ? at : due;
}

static void
run_timers(struct vdp_station *s, uint64_t now_us)
{
    uint32_t kind, h;
    while (timers_pop(&s->heap, now_us, &kind, &h)) {
        struct vsi *v = station_vsi_at(s, h);
        struct ask *a = v->cur ? v->cur : v->held;
        if (kind == TIMER_BEAT)
            station_step(s, h, EV_BEAT, &(struct input){.ask = NULL}, now_us);
        else if (++a->tries < s->conf.tries)
            station_enqueue(s, h);
        else
            station_step(s, h, EV_TIMEOUT, &(struct input){.ask = NULL}, now_us);
    }
}

static void
pack(struct vdp_station *s, uint64_t now_us)
{
    uint8_t payload[ECP_PAYLOAD_MAX], wire[VDP_FILTER_SIZE_MAX];
    struct wr w = wr_of(payload, sizeof payload);
    uint8_t slot = s->turn % s->managers.max;
    while (s->queues[slot].head == 0)
        slot = (slot + 1) % s->managers.max;
    vdp_encode_mgrid(&w, s->managers.m[slot].id);
    uint32_t h;
    while ((h = s->queues[slot].head)) {
        struct vsi *v = station_vsi_at(s, h);
        const struct ask *a = v->state == ST_BEATING ? v->held : v->cur;
        struct vdp_vsi tlv = {.type = a->type,
            .status = a->hints,
            .type_id = v->type_id,
            .type_version = v->type_version,
            .id = v->id,
            .filter_format = a->filter.format,
            .n_entries = a->filter.n,
            .filter = wire,
            .org = a->org,
            .org_size = a->org_size};
        if (w.pos + vdp_vsi_size(&tlv) + TLV_HEADER_SIZE > sizeof payload)
            break;
        vdp_filter_tagged(&a->filter, wire);
        vdp_encode_vsi(&w, &tlv);
        station_dequeue(s, h);
        v->sent = true;
        timers_set(&s->heap, &v->timer,
            now_us + vdp_station_response_wait_us(&s->timers), TIMER_WAIT, h);
        s->counters.tx_vsis++;
    }
    vdp_encode_end(&w);
    s->counters.tx_pdus++;
    ecp_link_send(s->link, payload, w.pos, now_us);
    s->turn = (uint8_t)(slot + 1) % s->managers.max;
}

static bool
give_frame(struct vdp_station *s, uint64_t now_us, struct vdp_station_out *out)
{
    size_t n = ecp_link_output(s->link, now_us, s->frame);
    if (n == 0)
        return false;
    memset(out, 0, sizeof *out);
    out->event = VDP_STATION_FRAME;
    out->frame = s->frame;
    out->frame_size = n;
    return true;
}

static bool
give_event(struct vdp_station *s, struct vdp_station_out *out)
{
    struct event e;
    if (!fifo_pop(&s->events, &e))
        return false;
    mem_free(s->last_bytes);
    s->last_bytes = e.bytes;
    *out = e.out;
    for (uint16_t i = 0; i < e.out.n_entries; i++)
        s->entries[i] = vdp_entry_get(e.out.filter_format, e.bytes, i);
    out->entries = s->entries;
    if (e.org_size == 0)
        return true;
    struct rd r = rd_of(e.bytes + e.filter_size, e.org_size);
    struct vdp_org org;
    while (!out->has_berth && vdp_org_next(&r, &org))
        out->has_berth = org.oui == s->conf.oui &&
                         berth_tlv_decode(org.body, &out->berth) == BERTH_TLV_GOOD;
    return true;
}

bool
vdp_station_output(struct vdp_station *s, uint64_t now_us, struct vdp_station_out *out)
{
    run_timers(s, now_us);
    if (give_frame(s, now_us, out) || give_event(s, out))
        return true;
    if (!ecp_link_ready(s->link, now_us) || !has_queued(s))
        return false;
    pack(s, now_us);
    return give_frame(s, now_us, out);
}

uint32_t
vdp_station_n_vsis(const struct vdp_station *s)
{
    return s->pool.n;
}

const struct vdp_station_counters *
vdp_station_counters(const struct vdp_station *s)
{
    return &s->counters;
}
