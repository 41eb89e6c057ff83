/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: each VSI TLV of a PDU becomes a "pend", which holds what an answer must
 * echo. It is first in the list of requests to be pulled, then with the node, then in
 * the queue (station, manager id) until a PDU takes it; what the bridge refuses by
 * itself goes to the queue at once. Requests are given out before answers are packed,
 * so answers given in between share one PDU: lldpad reads one buffer each 2 ms, and of
 * two PDUs in that time only one is executed. Every PDU ends with an End TLV, without
 * which lldpad executes what is left of an earlier one. */
#include "proto/vdp_bridge_int.h"

#include <string.h>

#include "base/log.h"
#include "proto/vdp_orgs.h"

struct vdp_bridge_conf
vdp_bridge_defaults(const struct mac *self)
{
    return (struct vdp_bridge_conf){
        .self = *self,
        .group = eth_mac_ncb,
 /* RTE 8 and RKA 24: what keeps lldpad's own ceiling out of the way */
        .timers = {.retries = 3, .rte = 8, .rwd = 20, .rka = 24},
        .gap_us = ECP_LINK_GAP_US,
        .oui = BERTH_OUI,
        .max_vsis = 4096,
        .max_entries = 16384,
        .max_pending = 1024,
        .max_peers = 8,
        .max_managers = 16,
    };
}

uint64_t
vdp_bridge_lifetime_us(const struct evb_timers *t)
{
    uint64_t ecp = (1 + 2 * (uint64_t)t->retries) * evb_exp_us(t->rte);
    return (ecp + evb_exp_us(t->rka)) * 3 / 2;
}

struct vdp_bridge *
vdp_bridge_new(const struct vdp_bridge_conf *conf, uint64_t now_us)
{
    struct vdp_bridge *b = mem_alloc(sizeof *b);
    (void)now_us;
    b->conf = *conf;
    if (b->conf.oui == 0)
        b->conf.oui = BERTH_OUI;
    if (b->conf.max_pending < 2 * VDP_VSIS_MAX) /* or a full PDU could never be taken */
        b->conf.max_pending = 2 * VDP_VSIS_MAX;
    if (b->conf.max_peers == 0)
        b->conf.max_peers = 1;
    b->link_conf = (struct ecp_link_conf){
        .self = conf->self,
        .group = conf->group,
        .extra = conf->extra,
        .retries = conf->timers.retries,
        .rte_us = evb_exp_us(conf->timers.rte),
        .gap_us = conf->gap_us,
    };
    vdp_vsis_init(&b->vsis, conf->max_vsis, conf->max_managers, conf->seed);
    b->peers = mem_alloc(b->conf.max_peers * sizeof *b->peers);
    /* Beyond max_pending there is room for de-associations of our own. */
    pool_init(&b->pends, sizeof(struct pend), b->conf.max_pending + conf->max_vsis);
    return b;
}

void
vdp_bridge_set_peer(struct vdp_bridge *b, const struct mac *mac,
    const struct evb_timers *timers, bool berth, bool restarted, uint64_t now_us)
{
    struct peer *p = bridge_peer_get(b, mac, now_us);
    if (!p)
        return;
    p->berth = berth;
    p->seen_us = now_us;
    ecp_link_set_timers(p->link, timers->retries, evb_exp_us(timers->rte));
    ecp_link_set_gap(p->link, berth ? 0 : b->conf.gap_us);
    if (restarted)
        ecp_link_reset_peer(p->link);
}

/* ---- requests ---- */

struct asked {
    uint8_t peer, manager;
    uint32_t vsi; /* record, or 0 */
};

/* An answer of the bridge itself. What the VSI had stays as it was: KEEP. */
static void
refuse(struct vdp_bridge *b, const struct asked *a, const struct vdp_vsi *v,
    enum vdp_code code)
{
    uint32_t h = bridge_pend_new(b, a->peer, a->manager);
    if (h == 0) {
        b->counters.refused_busy++;
        return;
    }
    struct pend *p = bridge_pend_at(b, h);
    bool kept = a->vsi && vdp_vsis_stands(vdp_vsis_at(&b->vsis, a->vsi), a->manager, v);
    p->type = v->type;
    p->status = VDP_RSP_ACK | (kept ? VDP_RSP_KEEP : 0) | code;
    p->type_id = v->type_id;
    p->version = v->type_version;
    p->id = v->id;
    p->format = v->filter_format;
    p->n_entries = v->reason == VDP_GOOD ? v->n_entries : 0;
    bridge_pend_keep(
        p, v->filter, (size_t)p->n_entries * vdp_entry_size(p->format), NULL, 0);
    bridge_pend_queue(b, h);
}

/* The rules of the format itself; what a VID or GroupID means is for the core. */
static enum vdp_code
check_request(const struct vdp_vsi *v, const struct vdp_orgs *o)
{
    if (v->reason != VDP_GOOD || v->n_entries == 0 || o->refuse)
        return VDP_CODE_FORMAT;
    uint16_t n_null = 0;
    for (uint16_t i = 0; i < v->n_entries; i++) {
        struct vdp_entry e = vdp_entry_get(v->filter_format, v->filter, i);
        if (e.vid > VID_MAX || mac_is_group(&e.mac))
            return VDP_CODE_VID;
        n_null += e.vid == 0;
    }
    /* Two nulls could not be told apart in the answer. */
    if (v->filter_format == VDP_FILTER_VID && n_null > 1)
        return VDP_CODE_VID;
    return VDP_CODE_OK;
}

static bool
same_as_pending(
    const struct pend *p, uint8_t manager, const struct vdp_vsi *v, uint64_t org_hash)
{
    size_t size = (size_t)v->n_entries * vdp_entry_size(v->filter_format);
    return p->manager == manager && p->type_id == v->type_id &&
           p->version == v->type_version && p->type == v->type &&
           p->status == v->status && p->format == v->filter_format &&
           p->n_entries == v->n_entries && p->org_hash == org_hash &&
           memcmp(p->bytes, v->filter, size) == 0;
}

static void
ask(struct vdp_bridge *b, struct asked *a, const struct vdp_vsi *v,
    const struct vdp_orgs *o, bool keepalive)
{
    uint32_t h = bridge_pend_new(b, a->peer, a->manager);
    if (h == 0) { /* vdp_bridge_input has kept room for a whole PDU */
        b->counters.refused_busy++;
        return;
    }
    struct pend *p = bridge_pend_at(b, h);
    p->vsi = a->vsi;
    p->serial = ++b->serial ? b->serial : ++b->serial;
    p->type = v->type;
    p->status = v->status;
    p->type_id = v->type_id;
    p->version = v->type_version;
    p->id = v->id;
    p->format = v->filter_format;
    p->n_entries = v->n_entries;
    p->org_hash = o->hash;
    p->keepalive = keepalive;
    p->has_berth = o->has_berth;
    bridge_pend_keep(p, v->filter,
        (size_t)v->n_entries * vdp_entry_size(v->filter_format), v->org, v->org_size);
    if (a->vsi) {
        struct vdp_vsi_rec *rec = vdp_vsis_at(&b->vsis, a->vsi);
        if (rec->pending) {
            b->counters.superseded++;
            bridge_pend_withdraw(b, rec->pending);
        }
        rec->pending = h;
        bridge_rec_set_peer(b, rec, a->peer);
    }
    p->state = PEND_ASKED;
    bridge_push(b, &b->asked, h);
    b->counters.requests++;
    b->counters.keepalives += keepalive;
}

static void
take_vsi(struct vdp_bridge *b, struct asked *a, const struct vdp_vsi *v)
{
    struct vdp_orgs o;
    vdp_orgs_read(v->org, v->org_size, b->conf.oui, &o);
    b->counters.rx_unknown_orgs += o.n_unknown;
    b->counters.rx_bad_orgs += o.n_bad;
    a->vsi = vdp_vsis_find(&b->vsis, &v->id);
    b->counters.rx_vsis++;
    enum vdp_code code = check_request(v, &o);
    if (code != VDP_CODE_OK) {
        b->counters.rx_malformed++;
        log_dbg("vdp", "refused: %s", vdp_reason_str(v->reason));
        refuse(b, a, v, code);
        return;
    }
    struct vdp_vsi_rec *rec = a->vsi ? vdp_vsis_at(&b->vsis, a->vsi) : NULL;
    if (rec && rec->pending &&
        same_as_pending(bridge_pend_at(b, rec->pending), a->manager, v, o.hash)) {
        b->counters.repeated++; /* one answer serves both */
        return;
    }
    bool says_so = o.has_berth && o.berth.op == BERTH_OP_KEEPALIVE;
    bool keepalive =
        (says_so && v->type != VDP_DEASSOC) ||
        (rec && !rec->pending && vdp_vsis_is_repeat(rec, a->manager, v, o.hash));
    if (v->type != VDP_DEASSOC && !keepalive) {
        uint32_t entries = b->vsis.n_entries - (rec ? rec->filter.n : 0) + v->n_entries;
        bool room = entries <= b->conf.max_entries;
        if (room && !rec) {
            a->vsi = bridge_rec_add(b, &v->id, a->manager, a->peer);
            room = a->vsi;
        }
        if (!room) {
            b->counters.refused_limit++;
            refuse(b, a, v, VDP_CODE_RESOURCES);
            return;
        }
    }
    ask(b, a, v, &o, keepalive);
}

static void
take_pdu(struct vdp_bridge *b, struct peer *peer, const uint8_t *payload, size_t size)
{
    struct vdp_pdu pdu;
    enum vdp_reason reason = vdp_decode(payload, size, &pdu);
    b->counters.rx_pdus++;
    b->counters.rx_nameless += pdu.n_bad + pdu.n_over;
    b->counters.rx_unknown_tlvs += pdu.n_unknown;
    b->counters.rx_unknown_orgs += pdu.n_stray_org;
    if (reason != VDP_GOOD) { /* to whom would one answer: dropped, as lldpad does */
        log_dbg("vdp", "PDU dropped: %s", vdp_reason_str(reason));
        if (reason == VDP_BAD_NO_MGRID)
            b->counters.rx_no_mgrid++;
        else if (reason == VDP_BAD_TWO_MGRIDS)
            b->counters.rx_two_mgrids++;
        else
            b->counters.rx_bad_mgrid++;
        return;
    }
    struct asked a = {.peer = (uint8_t)(peer - b->peers)};
    for (uint16_t i = 0; i < pdu.n_vsis; i++) {
        a.manager = vdp_managers_get(&b->vsis.managers, pdu.mgrid);
        if (a.manager == VDP_MANAGER_NONE) {
            b->counters.refused_limit++;
            return;
        }
        take_vsi(b, &a, &pdu.vsis[i]);
    }
}

void
vdp_bridge_input(
    struct vdp_bridge *b, const uint8_t *frame, size_t size, uint64_t now_us)
{
    struct mac mac;
    struct ecp ecp;
    if (!ecp_link_peek(&b->link_conf, frame, size, &mac, &ecp)) {
        b->counters.refused_frames++;
        return;
    }
    /* No room for what a PDU may ask: no ack either, the station will come again. */
    if (ecp.op == ECP_REQUEST && b->pends.n + VDP_VSIS_MAX > b->conf.max_pending) {
        b->counters.refused_busy++;
        return;
    }
    struct peer *peer = bridge_peer_get(b, &mac, now_us);
    if (!peer)
        return;
    peer->seen_us = now_us;
    const uint8_t *payload;
    size_t n;
    if (ecp_link_input(peer->link, frame, size, now_us, &payload, &n) ==
        ECP_LINK_DELIVER)
        take_pdu(b, peer, payload, n);
}

/* ---- answers ---- */

static void
write_tags(const struct pend *p, const struct vdp_answer *a, uint8_t *wire)
{
    for (uint16_t i = 0; i < a->n_entries && i < p->n_entries; i++) {
        struct vdp_entry e = vdp_entry_get(p->format, wire, i);
        e.vid = a->entries[i].vid;
        e.pcp = a->entries[i].pcp;
        e.ps = a->entries[i].ps;
        vdp_entry_put(p->format, wire, i, &e);
    }
}

/* Keeps or forgets what is accepted, as the station will when it reads the answer. A
 * TLV repeated gets the tags it had: another TCI would make lldpad drop the VSI. */
static void
settle(struct vdp_bridge *b, struct pend *p, const struct vdp_answer *a, uint8_t *wire)
{
    uint32_t h = p->vsi;
    struct vdp_vsi v = bridge_pend_vsi(p);
    if (h == 0) {
        write_tags(p, a, wire);
        return;
    }
    struct vdp_vsi_rec *rec = vdp_vsis_at(&b->vsis, h);
    p->vsi = 0;
    rec->pending = 0;
    bool repeat = vdp_vsis_is_repeat(rec, p->manager, &v, p->org_hash);
    if (a->code != VDP_CODE_OK) {
        if (!(a->keep && rec->type))
            bridge_rec_remove(b, h);
    } else if (p->type == VDP_DEASSOC) {
        bridge_rec_remove(b, h);
    } else if (repeat) {
        vdp_filter_tagged(&rec->filter, wire);
    } else {
        write_tags(p, a, wire);
        if (!p->keepalive || !rec->type)
            vdp_vsis_accept(&b->vsis, rec, p->manager, &v, wire, p->org_hash);
    }
}

static size_t
write_org(
    const struct vdp_bridge *b, const struct berth_tlv *berth, uint8_t *org, size_t cap)
{
    struct berth_tlv tlv = *berth;
    struct wr w = wr_of(org, cap);
    tlv.flags |= BERTH_FLAG_RESPONSE;
    berth_tlv_encode(&w, b->conf.oui, &tlv);
    return w.err ? 0 : w.pos;
}

bool
vdp_bridge_answer(
    struct vdp_bridge *b, uint64_t handle, const struct vdp_answer *a, uint64_t now_us)
{
    uint32_t h = (uint32_t)handle;
    (void)now_us;
    if (h >= b->n_serials || h == 0 || b->serials[h] == 0 ||
        b->serials[h] != handle >> 32) {
        b->counters.stale_answers++;
        return false;
    }
    struct pend *p = bridge_pend_at(b, h);
    b->serials[h] = 0;
    struct vdp_vsi v = bridge_pend_vsi(p);
    bool kept = a->keep && p->vsi &&
                vdp_vsis_stands(vdp_vsis_at(&b->vsis, p->vsi), p->manager, &v);
    uint8_t wire[VDP_FILTER_SIZE_MAX], org[TLV_HEADER_SIZE + TLV_BODY_MAX];
    size_t org_size = 0;
    memcpy(wire, p->bytes, p->filter_size);
    settle(b, p, a, wire);
    if (a->has_berth && (p->has_berth || b->peers[p->peer].berth))
        org_size = write_org(b, &a->berth, org, sizeof org);
    bridge_pend_keep(p, wire, p->filter_size, org, org_size);
    p->status = VDP_RSP_ACK | (a->code & VDP_RSP_CODE);
    /* HARD with code 0 is taken for success, KEEP on a VSI that never was hangs lldpad.
     */
    if (a->code != VDP_CODE_OK)
        p->status |= (kept ? VDP_RSP_KEEP : 0) | (a->hard ? VDP_RSP_HARD : 0);
    bridge_pend_queue(b, h);
    b->counters.answers++;
    return true;
}

bool
vdp_bridge_deassoc(struct vdp_bridge *b, const struct vsiid *id,
    const struct berth_tlv *berth, uint64_t now_us)
{
    (void)now_us;
    uint32_t vsi = vdp_vsis_find(&b->vsis, id);
    if (vsi == 0)
        return false;
    struct vdp_vsi_rec *rec = vdp_vsis_at(&b->vsis, vsi);
    uint32_t h = rec->type ? bridge_pend_new(b, rec->peer, rec->manager) : 0;
    if (h) {
        struct pend *p = bridge_pend_at(b, h);
        uint8_t wire[VDP_FILTER_SIZE_MAX], org[TLV_HEADER_SIZE + TLV_BODY_MAX];
        size_t size = (size_t)rec->filter.n * vdp_entry_size(rec->filter.format);
        size_t org_size = 0;
        vdp_filter_tagged(&rec->filter, wire);
        if (berth && b->peers[rec->peer].berth)
            org_size = write_org(b, berth, org, sizeof org);
        p->type = VDP_DEASSOC;
        p->status = 0; /* ACK clear: nobody has asked */
        p->type_id = rec->type_id;
        p->version = rec->type_version;
        p->id = rec->id;
        p->format = rec->filter.format;
        p->n_entries = rec->filter.n;
        bridge_pend_keep(p, wire, size, org, org_size);
        bridge_pend_queue(b, h);
        b->counters.deassocs++;
    }
    bridge_rec_remove(b, vsi);
    return true;
}

bool
vdp_bridge_forget(struct vdp_bridge *b, const struct vsiid *id)
{
    uint32_t vsi = vdp_vsis_find(&b->vsis, id);
    if (vsi)
        bridge_rec_remove(b, vsi);
    return vsi;
}

/* ---- outputs ---- */

static bool
peer_has_answers(const struct vdp_bridge *b, const struct peer *peer)
{
    for (uint8_t i = 0; i < b->vsis.managers.max; i++)
        if (peer->queues[i].head)
            return true;
    return false;
}

uint64_t
vdp_bridge_deadline(const struct vdp_bridge *b)
{
    uint64_t due = b->asked.head ? 0 : TIMER_NEVER;
    for (uint8_t i = 0; i < b->conf.max_peers; i++) {
        const struct peer *p = &b->peers[i];
        if (!p->used)
            continue;
        uint64_t at = ecp_link_deadline(p->link);
        if (at == TIMER_NEVER && peer_has_answers(b, p))
            at = ecp_link_ready_at(p->link);
        due = at < due ? at : due;
    }
    return due;
}

static bool
give_request(struct vdp_bridge *b, struct vdp_bridge_out *out)
{
    uint32_t h;
    while ((h = bridge_pop(b, &b->asked)) && bridge_pend_at(b, h)->state == PEND_DEAD)
        bridge_pend_free(b, h);
    if (h == 0)
        return false;
    struct pend *p = bridge_pend_at(b, h);
    if (h >= b->n_serials) {
        uint32_t n = h < 32 ? 64 : h * 2;
        b->serials = mem_grow(b->serials, n * sizeof *b->serials);
        memset(b->serials + b->n_serials, 0, (n - b->n_serials) * sizeof *b->serials);
        b->n_serials = n;
    }
    b->serials[h] = p->serial;
    p->state = PEND_WITH_NODE;
    struct vdp_request *r = &b->request;
    *r = (struct vdp_request){.handle = (uint64_t)p->serial << 32 | h,
        .peer = b->peers[p->peer].mac,
        .type = p->type,
        .m = p->status & VDP_REQ_M,
        .s = p->status & VDP_REQ_S,
        .keepalive = p->keepalive,
        .filter_format = p->format,
        .n_entries = p->n_entries,
        .entries = b->entries};
    memcpy(r->key.mgrid, b->vsis.managers.m[p->manager].id, sizeof r->key.mgrid);
    r->key.type_id = p->type_id;
    r->key.type_version = p->version;
    r->key.id = p->id;
    /* The proof stays where it is: a copy outlives an answer given at once. */
    mem_free(b->request_org);
    b->request_org = p->org_size ? mem_alloc(p->org_size) : NULL;
    if (p->org_size)
        memcpy(b->request_org, p->bytes + p->filter_size, p->org_size);
    struct vdp_orgs o;
    vdp_orgs_read(b->request_org, p->org_size, b->conf.oui, &o);
    r->has_berth = o.has_berth;
    r->berth = o.berth;
    r->vm = o.vm;
    memcpy(r->vm_name, o.vm_name, sizeof r->vm_name);
    uint8_t wire[VDP_FILTER_SIZE_MAX];
    memcpy(wire, p->bytes, p->filter_size);
    if (p->vsi) {
        const struct vdp_vsi_rec *rec = vdp_vsis_at(&b->vsis, p->vsi);
        r->known = rec->type;
        struct vdp_vsi v = bridge_pend_vsi(p);
        /* else the filter does not say which VN's VID is meant */
        if (!o.berth.vn_name[0] && vdp_vsis_stands(rec, p->manager, &v))
            vdp_filter_retag(&rec->filter, p->format, p->n_entries, wire);
    }
    for (uint16_t i = 0; i < p->n_entries; i++)
        b->entries[i] = vdp_entry_get(p->format, wire, i);
    *out = (struct vdp_bridge_out){.kind = VDP_BRIDGE_REQUEST, .request = r};
    return true;
}

/* One PDU of the manager id whose turn it is, as full as its queue allows. */
static void
pack(struct vdp_bridge *b, struct peer *peer, uint64_t now_us)
{
    uint8_t payload[ECP_PAYLOAD_MAX];
    struct wr w = wr_of(payload, sizeof payload);
    uint8_t slot = peer->turn % b->vsis.managers.max;
    while (peer->queues[slot].head == 0)
        slot = (slot + 1) % b->vsis.managers.max;
    struct queue *q = &peer->queues[slot];
    vdp_encode_mgrid(&w, b->vsis.managers.m[slot].id);
    while (q->head) {
        struct vdp_vsi v = bridge_pend_vsi(bridge_pend_at(b, q->head));
        if (w.pos + vdp_vsi_size(&v) + TLV_HEADER_SIZE > sizeof payload)
            break;
        vdp_encode_vsi(&w, &v);
        bridge_pend_free(b, bridge_pop(b, q));
        b->counters.tx_vsis++;
    }
    vdp_encode_end(&w);
    b->counters.tx_pdus++;
    ecp_link_send(peer->link, payload, w.pos, now_us);
    peer->turn = (uint8_t)(slot + 1) % b->vsis.managers.max;
}

static bool
give_frame(struct vdp_bridge *b, struct peer *peer, uint64_t now_us,
    struct vdp_bridge_out *out)
{
    uint64_t lost = ecp_link_counters(peer->link)->lost;
    size_t n = ecp_link_output(peer->link, now_us, b->frame);
    b->counters.tx_lost += ecp_link_counters(peer->link)->lost - lost;
    *out = (struct vdp_bridge_out){
        .kind = VDP_BRIDGE_FRAME, .frame = b->frame, .frame_size = n};
    return n;
}

bool
vdp_bridge_output(struct vdp_bridge *b, uint64_t now_us, struct vdp_bridge_out *out)
{
    for (uint8_t i = 0; i < b->conf.max_peers; i++)
        if (b->peers[i].used && give_frame(b, &b->peers[i], now_us, out))
            return true;
    if (give_request(b, out))
        return true;
    for (uint8_t i = 0; i < b->conf.max_peers; i++) {
        struct peer *p = &b->peers[i];
        if (!p->used || !ecp_link_ready(p->link, now_us) || !peer_has_answers(b, p))
            continue;
        pack(b, p, now_us);
        if (give_frame(b, p, now_us, out))
            return true;
    }
    return false;
}

/* ---- the rest ---- */

size_t
vdp_bridge_save(const struct vdp_bridge *b, const struct vsiid *id,
    uint8_t bytes[VDP_BRIDGE_SAVE_MAX])
{
    uint32_t vsi = vdp_vsis_find(&b->vsis, id);
    if (vsi == 0 || vdp_vsis_at(&b->vsis, vsi)->type == 0)
        return 0;
    const struct peer *peer = &b->peers[vdp_vsis_at(&b->vsis, vsi)->peer];
    return vdp_vsis_save(&b->vsis, vsi, &peer->mac, bytes, VDP_BRIDGE_SAVE_MAX);
}

bool
vdp_bridge_saved_id(const uint8_t *bytes, size_t size, struct vsiid *id)
{
    return vdp_vsis_saved_id(bytes, size, id);
}

bool
vdp_bridge_restore(struct vdp_bridge *b, const uint8_t *bytes, size_t size)
{
    struct mac mac;
    uint32_t n = b->vsis.pool.n;
    uint32_t vsi = vdp_vsis_restore(&b->vsis, bytes, size, &mac);
    if (vsi == 0)
        return false;
    if (b->vsis.pool.n == n) /* was there already, with its station */
        return true;
    struct peer *peer = bridge_peer_get(b, &mac, 0);
    if (!peer) {
        vdp_vsis_remove(&b->vsis, vsi);
        return false;
    }
    vdp_vsis_at(&b->vsis, vsi)->peer = (uint8_t)(peer - b->peers);
    peer->refs++;
    return true;
}

uint32_t
vdp_bridge_n_vsis(const struct vdp_bridge *b)
{
    return b->vsis.pool.n;
}

size_t
vdp_bridge_octets(const struct vdp_bridge *b)
{
    const struct pool *vsis = &b->vsis.pool, *pends = &b->pends;
    return pool_bytes(vsis) + pool_bytes(pends) + (size_t)b->vsis.map.cap * 8 +
           (size_t)b->n_serials * sizeof *b->serials;
}

const struct vdp_bridge_counters *
vdp_bridge_counters(const struct vdp_bridge *b)
{
    return &b->counters;
}

void
vdp_bridge_free(struct vdp_bridge *b)
{
    if (!b)
        return;
    struct queue *q = &b->asked;
    uint32_t h;
    while ((h = bridge_pop(b, q)))
        bridge_pend_free(b, h);
    for (h = 1; h < b->n_serials; h++)
        if (b->serials[h])
            bridge_pend_free(b, h);
    for (uint8_t i = 0; i < b->conf.max_peers; i++) {
        if (!b->peers[i].used)
            continue;
        for (uint8_t k = 0; k < b->vsis.managers.max; k++)
            while ((h = bridge_pop(b, &b->peers[i].queues[k])))
                bridge_pend_free(b, h);
    }
    for (uint8_t i = 0; i < b->conf.max_peers; i++)
        bridge_peer_release(&b->peers[i]);
    vdp_vsis_done(&b->vsis);
    pool_done(&b->pends);
    mem_free(b->peers);
    mem_free(b->serials);
    mem_free(b->request_org);
    mem_free(b);
}
