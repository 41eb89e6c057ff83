/* SPDX-License-Identifier: Apache-2.0 */
/* The VMs, which send and take frames and answer ARP. A frame carries what it is (VN of
 * its sender, a number) behind its headers, so that whoever sees it can tell when it is
 * in the wrong place. */
#include "sim.h"
#include "wire/arp.h"
#include "wire/eth.h"

#define MAGIC 0x4253494du

static void
put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static uint32_t
get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool
frame_truth(const uint8_t *p, uint32_t size, uint32_t *vn, uint32_t *seq)
{
    uint32_t at = size >= 14 && p[12] == 8 && p[13] == 6 ? 42 : 14;
    if (size < at + 12 || get_u32(p + at) != MAGIC)
        return false;
    *vn = get_u32(p + at + 4);
    *seq = get_u32(p + at + 8);
    return true;
}

static void
mark(uint8_t *p, uint32_t vn, uint32_t seq)
{
    put_u32(p, MAGIC);
    put_u32(p + 4, vn);
    put_u32(p + 8, seq);
}

uint32_t
frame_make(
    uint8_t *p, const struct mac *dst, const struct mac *src, uint32_t vn, uint32_t seq)
{
    memset(p, 0, 60);
    memcpy(p, dst->b, 6);
    memcpy(p + 6, src->b, 6);
    p[12] = 0x08; /* IPv4 by name only */
    mark(p + 14, vn, seq);
    return 60;
}

static uint32_t
arp_make(uint8_t *p, uint8_t op, const struct mac *dst, const struct vm *from,
    const struct mac *tmac, const struct ip *tip, uint32_t seq)
{
    struct wr o = wr_of(p, 64);
    struct arp a = {.op = op,
        .sender_mac = from->mac,
        .target_mac = *tmac,
        .sender_ip = from->ip,
        .target_ip = *tip};
    memset(p, 0, 64);
    eth_encode(&o, &(struct eth){.dst = *dst, .src = from->mac, .type = ETH_TYPE_ARP});
    arp_encode(&o, &a);
    mark(p + 42, from->vn, seq);
    return 60;
}

static void
server_send(struct world *w, uint32_t i, uint32_t vid, const uint8_t *p, uint32_t size)
{
    struct server *s = &w->servers[i];
    if (!s->up || (!w->calm && rng_chance(&w->net, w->sc->loss))) {
        flight_lost(w, LOST_NET, s->nve, 0, p, size);
        return;
    }
    uint64_t at = w->now + net_delay(w);
    if (at < s->up_last)
        at = s->up_last;
    s->up_last = at;
    struct event *e = world_push_octets(w, EV_DATA_NVE, at, s->nve, 0, p, size);
    e->a = s->port;
    e->b = vid;
    e->c = i;
}

/* The number of the frame. */
static uint32_t
send_by(struct world *w, uint32_t vm, uint32_t server, uint32_t vid, uint32_t to,
    enum frame_kind kind)
{
    struct vm *v = &w->vms[vm], *t = &w->vms[to];
    static const struct mac all =
                                {
                                    {255, 255, 255, 255, 255, 255}
    },
                            none;
    uint32_t seq, size = 0;
    uint8_t p[64];
    seq = ++w->frame_seq;
    switch (kind) {
    case FRAME_UNICAST:
        size = frame_make(p, &t->mac, &v->mac, v->vn, seq);
        if (t->vn == v->vn && vm != to)
            flight_sent(w, seq, vm, to, server);
        break;
    case FRAME_BROADCAST:
        size = frame_make(p, &all, &v->mac, v->vn, seq);
        break;
    case FRAME_ARP:
        size = arp_make(p, ARP_REQUEST, &all, v, &none, &t->ip, seq);
        break;
    case FRAME_GARP:
        size = arp_make(p, ARP_REQUEST, &all, v, &none, &v->ip, seq);
        break;
    }
    TRACE(w, "vm=%u at server=%u sends frame %u kind %u to vm=%u, tag %u", vm, server,
        seq, kind, to, vid);
    server_send(w, server, vid, p, size);
    return seq;
}

/* From where the VM runs. The number of the frame, or 0: it could not leave. */
uint32_t
guest_send(struct world *w, uint32_t vm, uint32_t to, enum frame_kind kind)
{
    uint32_t run = w->vms[vm].run;
    struct attachment *a = run ? server_att(w, run - 1, vm, false) : NULL;
    return a && a->pass && a->vid ? send_by(w, vm, run - 1, a->vid, to, kind) : 0;
}

static bool
copy_runs(const struct world *w, uint32_t vm, uint32_t server)
{
    const struct vm *v = &w->vms[vm];
    return v->copy == server + 1 && w->now <= v->copy_us && !w->calm;
}

/* From both places where it runs. No hypervisor asks whether it may: which of the two
 * is heard is the edges' to say (F9). */
void
copies_send(struct world *w, uint32_t vm, uint32_t to, enum frame_kind kind)
{
    const struct vm *v = &w->vms[vm];
    uint32_t at[2] = {v->copy, v->run};
    if (!v->copy || !copy_runs(w, vm, v->copy - 1))
        return;
    for (uint32_t i = 0; i < 2; i++) {
        struct attachment *a = at[i] ? server_att(w, at[i] - 1, vm, false) : NULL;
        if (a && a->had)
            send_by(w, vm, at[i] - 1, a->had, to, kind);
    }
}

/* It stands still here, or is about to run here: its vNIC has a queue. Else it is not
 * here any more: a late frame. */
static void
vm_sleeps(struct world *w, uint32_t i, uint32_t vm, uint32_t vid, const uint8_t *p,
    uint32_t size)
{
    struct vm *v = &w->vms[vm];
    if (p[0] & 1 || size > sizeof(v->wait->p))
        return;
    if (!(v->here == i + 1 || mover_comes(w, vm, i)) || v->n_wait >= SLEEP_MAX) {
        TRACE(w, "vm=%u is not at server=%u: a frame is lost", vm, i);
        flight_lost(w, LOST_ASLEEP, w->servers[i].nve, i, p, size);
        return;
    }
    TRACE(w, "vm=%u does not run at server=%u: a frame waits", vm, i);
    flight_lost(w, LOST_WAITS, w->servers[i].nve, i, p, size);
    if (v->n_wait == v->cap_wait) {
        v->cap_wait = v->cap_wait ? v->cap_wait * 2 : 16;
        v->wait = mem_grow(v->wait, v->cap_wait * sizeof(*v->wait));
    }
    struct waiting *q = &v->wait[v->n_wait++];
    *q = (struct waiting){.server = i, .vid = vid, .size = size};
    memcpy(q->p, p, size);
}

static void
vm_takes(struct world *w, uint32_t i, uint32_t vm, uint32_t vid, const uint8_t *p,
    uint32_t size)
{
    struct vm *v = &w->vms[vm];
    uint32_t vn, seq = 0;
    struct rd r = rd_of(p, size);
    struct eth eth;
    struct arp arp;
    if (frame_truth(p, size, &vn, &seq) && vn != v->vn) {
        sim_fail(w, "P5", "server=%u vm=%u of vn=%u takes frame %u of vn=%d by tag %u",
            i, vm, v->vn, seq, (int)vn, vid);
        return;
    }
    if (v->run != i + 1 && !copy_runs(w, vm, i)) {
        vm_sleeps(w, i, vm, vid, p, size);
        return;
    }
    w->n_delivered++;
    TRACE(w, "vm=%u takes frame %u", vm, seq);
    if (!eth_decode(&r, &eth) || eth.type != ETH_TYPE_ARP || !arp_decode(&r, &arp)) {
        v->n_got++;
        if (seq > v->got_seq)
            v->got_seq = seq;
        if (!(p[0] & 1))
            flight_taken(w, seq, i);
        return;
    }
    if (arp.op == ARP_REPLY) {
        v->arp_mac = arp.sender_mac;
        v->arp_from++;
    } else if (ip_equal(&arp.target_ip, &v->ip) &&
               !mac_equal(&arp.sender_mac, &v->mac)) {
        uint8_t reply[64];
        uint32_t n = arp_make(reply, ARP_REPLY, &arp.sender_mac, v, &arp.sender_mac,
            &arp.sender_ip, ++w->frame_seq);
        struct attachment *a = server_att(w, i, vm, false);
        if (a && a->pass && a->vid)
            server_send(w, i, a->vid, reply, n);
    }
}

void
server_data(struct world *w, uint32_t i, uint32_t vid, const uint8_t *p, uint32_t size)
{
    struct server *s = &w->servers[i];
    bool group = p[0] & 1, taken = false;
    for (uint32_t k = 0; k < s->n_atts; k++) {
        const struct attachment *a = &s->atts[k];
        if (!a->used || !a->vid || a->vid != vid)
            continue;
        if ((group && memcmp(p + 6, w->vms[a->vm].mac.b, 6) != 0) ||
            memcmp(p, w->vms[a->vm].mac.b, 6) == 0) {
            vm_takes(w, i, a->vm, vid, p, size);
            taken = true;
        }
    }
    if (!taken && !group)
        flight_lost(w, LOST_ASLEEP, s->nve, i, p, size);
}
