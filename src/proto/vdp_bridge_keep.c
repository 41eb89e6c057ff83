/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of pends, the table of stations, and the references that keep a station's slot.
 */
#include "proto/vdp_bridge_int.h"

#include <string.h>

/* ---- pends and their lists ---- */

struct pend *
bridge_pend_at(const struct vdp_bridge *b, uint32_t h)
{
    return pool_at(&b->pends, h);
}

void
bridge_push(struct vdp_bridge *b, struct queue *q, uint32_t h)
{
    bridge_pend_at(b, h)->next = 0;
    if (q->tail)
        bridge_pend_at(b, q->tail)->next = h;
    else
        q->head = h;
    q->tail = h;
}

uint32_t
bridge_pop(struct vdp_bridge *b, struct queue *q)
{
    uint32_t h = q->head;
    if (h) {
        q->head = bridge_pend_at(b, h)->next;
        if (q->head == 0)
            q->tail = 0;
    }
    return h;
}

uint32_t
bridge_pend_new(struct vdp_bridge *b, uint8_t peer, uint8_t manager)
{
    uint32_t h = pool_get(&b->pends);
    if (h == 0)
        return 0;
    struct pend *p = bridge_pend_at(b, h);
    p->peer = peer;
    p->manager = manager;
    b->peers[peer].refs++;
    b->vsis.managers.m[manager].refs++;
    return h;
}

void
bridge_pend_free(struct vdp_bridge *b, uint32_t h)
{
    struct pend *p = bridge_pend_at(b, h);
    b->peers[p->peer].refs--;
    b->vsis.managers.m[p->manager].refs--;
    mem_free(p->bytes);
    pool_put(&b->pends, h);
}

void
bridge_pend_withdraw(struct vdp_bridge *b, uint32_t h)
{
    struct pend *p = bridge_pend_at(b, h);
    p->vsi = 0;
    if (p->state == PEND_ASKED) {
        p->state = PEND_DEAD;
    } else {
        b->serials[h] = 0;
        bridge_pend_free(b, h);
    }
}

void
bridge_pend_queue(struct vdp_bridge *b, uint32_t h)
{
    struct pend *p = bridge_pend_at(b, h);
    p->state = PEND_ANSWERED;
    bridge_push(b, &b->peers[p->peer].queues[p->manager], h);
}

void
bridge_pend_keep(struct pend *p, const uint8_t *filter, size_t filter_size,
    const uint8_t *org, size_t org_size)
{
    uint8_t *bytes = filter_size + org_size ? mem_alloc(filter_size + org_size) : NULL;
    if (filter_size)
        memcpy(bytes, filter, filter_size);
    if (org_size)
        memcpy(bytes + filter_size, org, org_size);
    mem_free(p->bytes);
    p->bytes = bytes;
    p->filter_size = (uint16_t)filter_size;
    p->org_size = (uint16_t)org_size;
}

struct vdp_vsi
bridge_pend_vsi(const struct pend *p)
{
    return (struct vdp_vsi){.type = p->type,
        .status = p->status,
        .type_id = p->type_id,
        .type_version = p->version,
        .id = p->id,
        .filter_format = p->format,
        .n_entries = p->n_entries,
        .filter = p->bytes,
        .org = p->bytes ? p->bytes + p->filter_size : NULL,
        .org_size = p->org_size};
}

/* ---- stations ---- */

void
bridge_peer_release(struct peer *peer)
{
    ecp_link_free(peer->link);
    mem_free(peer->queues);
    memset(peer, 0, sizeof *peer);
}

/* A free slot, or that of the station longest silent which holds nothing here. */
static struct peer *
peer_slot(struct vdp_bridge *b)
{
    struct peer *oldest = NULL;
    for (uint8_t i = 0; i < b->conf.max_peers; i++) {
        struct peer *p = &b->peers[i];
        if (!p->used)
            return p;
        if (p->refs == 0 && (!oldest || p->seen_us < oldest->seen_us))
            oldest = p;
    }
    if (oldest)
        bridge_peer_release(oldest);
    return oldest;
}

struct peer *
bridge_peer_get(struct vdp_bridge *b, const struct mac *mac, uint64_t now_us)
{
    for (uint8_t i = 0; i < b->conf.max_peers; i++)
        if (b->peers[i].used && mac_equal(&b->peers[i].mac, mac))
            return &b->peers[i];
    struct peer *p = peer_slot(b);
    if (!p) {
        b->counters.refused_peers++;
        return NULL;
    }
    p->used = true;
    p->mac = *mac;
    p->seen_us = now_us;
    p->link = ecp_link_new(&b->link_conf, now_us);
    p->queues = mem_alloc(b->vsis.managers.max * sizeof *p->queues);
    return p;
}

void
bridge_rec_set_peer(struct vdp_bridge *b, struct vdp_vsi_rec *rec, uint8_t peer)
{
    b->peers[rec->peer].refs--;
    rec->peer = peer;
    b->peers[peer].refs++;
}

uint32_t
bridge_rec_add(
    struct vdp_bridge *b, const struct vsiid *id, uint8_t manager, uint8_t peer)
{
    uint32_t h = vdp_vsis_add(&b->vsis, id, manager);
    if (h) {
        vdp_vsis_at(&b->vsis, h)->peer = peer;
        b->peers[peer].refs++;
    }
    return h;
}

void
bridge_rec_remove(struct vdp_bridge *b, uint32_t h)
{
    struct vdp_vsi_rec *rec = vdp_vsis_at(&b->vsis, h);
    if (rec->pending)
        bridge_pend_withdraw(b, rec->pending);
    b->peers[rec->peer].refs--;
    vdp_vsis_remove(&b->vsis, h);
}
