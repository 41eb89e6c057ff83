/* SPDX-License-Identifier: Apache-2.0 */
/* Domains and their interfaces. */
#include "tes/virt_int.h"
#include "base/log.h"
#include <string.h>

struct virt_dom *
virt_dom_at(const struct tes *t, uint32_t d)
{
    return pool_at(&t->virt->doms, d);
}

struct virt_nic *
virt_nic_at(const struct tes *t, uint32_t n)
{
    return pool_at(&t->virt->nics, n);
}

static uint32_t
hash_of(const struct map *m, const struct vsiid *id)
{
    uint8_t key[VM_KEY_SIZE];
    vm_key_write(id, key);
    return map_hash(m, key, sizeof(key));
}

static bool
dom_has_uuid(const void *ctx, uint32_t d, const void *key)
{
    return vsiid_equal(&virt_dom_at(ctx, d)->uuid, key);
}

static bool
nic_has_vsi(const void *ctx, uint32_t n, const void *key)
{
    return vsiid_equal(&virt_nic_at(ctx, n)->is.vsi, key);
}

void
virt_init(struct tes *t)
{
    struct virt *w = t->virt = mem_alloc(sizeof(*w));
    pool_init(&w->doms, sizeof(struct virt_dom), t->conf.max_vms);
    pool_init(&w->nics, sizeof(struct virt_nic), t->conf.max_vms);
    map_init(&w->by_uuid, dom_has_uuid, t, t->conf.seed);
    map_init(&w->by_vsi, nic_has_vsi, t, t->conf.seed);
    fifo_init(&w->done, sizeof(struct virt_done));
}

void
virt_free(struct tes *t)
{
    struct virt *w = t->virt;
    for (uint32_t i = 0; i < VIRT_WAITS; i++)
        mem_free(w->waits[i].req_id);
    fifo_done(&w->done);
    map_done(&w->by_vsi);
    map_done(&w->by_uuid);
    pool_done(&w->nics);
    pool_done(&w->doms);
    mem_free(w);
}

uint32_t
virt_dom_find(const struct tes *t, const struct vsiid *uuid)
{
    return map_find(&t->virt->by_uuid, hash_of(&t->virt->by_uuid, uuid), uuid);
}

uint32_t
virt_nic_of_vsi(const struct tes *t, const struct vsiid *id)
{
    return map_find(&t->virt->by_vsi, hash_of(&t->virt->by_vsi, id), id);
}

uint32_t
virt_nic_find(const struct tes *t, uint32_t d, const struct mac *mac)
{
    uint32_t n = virt_dom_at(t, d)->first_nic;
    while (n && !mac_equal(&virt_nic_at(t, n)->is.mac, mac))
        n = virt_nic_at(t, n)->next;
    return n;
}

uint32_t
virt_dom_add(struct tes *t, const struct vsiid *uuid)
{
    struct virt *w = t->virt;
    uint32_t d = pool_get(&w->doms);
    struct virt_dom *dom;
    if (!d)
        return 0;
    dom = virt_dom_at(t, d);
    dom->uuid = *uuid;
    dom->next = w->first_dom;
    if (dom->next)
        virt_dom_at(t, dom->next)->prev = d;
    w->first_dom = d;
    map_add(&w->by_uuid, hash_of(&w->by_uuid, uuid), d);
    return d;
}

void
virt_nic_remove(struct tes *t, uint32_t n)
{
    struct virt_nic *nic = virt_nic_at(t, n);
    uint32_t *at = &virt_dom_at(t, nic->dom)->first_nic;
    while (*at != n)
        at = &virt_nic_at(t, *at)->next;
    *at = nic->next;
    timers_clear(&t->timers, &nic->timer);
    map_del(&t->virt->by_vsi, hash_of(&t->virt->by_vsi, &nic->is.vsi), n);
    pool_put(&t->virt->nics, n);
}

void
virt_dom_remove(struct tes *t, uint32_t d)
{
    struct virt *w = t->virt;
    struct virt_dom *dom = virt_dom_at(t, d);
    while (dom->first_nic)
        virt_nic_remove(t, dom->first_nic);
    if (dom->prev)
        virt_dom_at(t, dom->prev)->next = dom->next;
    else
        w->first_dom = dom->next;
    if (dom->next)
        virt_dom_at(t, dom->next)->prev = dom->prev;
    timers_clear(&t->timers, &dom->timer);
    map_del(&w->by_uuid, hash_of(&w->by_uuid, &dom->uuid), d);
    pool_put(&w->doms, d);
}

/* The first interface has the domain's UUID; each other one that UUID with its MAC in
 * place of the last six octets. What the domain carries goes first: both ends of a
 * migration must come to the same. */
static struct vsiid
vsi_of(const struct tes *t, uint32_t d, const struct virt_nic_fact *f)
{
    const struct virt_dom *dom = virt_dom_at(t, d);
    struct vsiid id = f->vsi;
    if (!id.format || virt_nic_of_vsi(t, &id))
        id = dom->uuid;
    if (dom->first_nic && virt_nic_of_vsi(t, &id))
        memcpy(id.b + VIRT_VSI_SAME, f->mac.b, sizeof(f->mac.b));
    return id;
}

uint32_t
virt_nic_add(struct tes *t, uint32_t d, const struct virt_nic_fact *f)
{
    struct vsiid id = vsi_of(t, d, f);
    uint32_t n = virt_nic_of_vsi(t, &id) ? 0 : pool_get(&t->virt->nics), *at;
    struct virt_nic *nic;
    if (!n) {
        log_warn("virt", "domain=%s: no room for one more interface",
            virt_dom_at(t, d)->name);
        return 0;
    }
    nic = virt_nic_at(t, n);
    nic->is = *f;
    nic->is.vsi = id;
    nic->dom = d;
    for (at = &virt_dom_at(t, d)->first_nic; *at; at = &virt_nic_at(t, *at)->next)
        ;
    *at = n;
    map_add(&t->virt->by_vsi, hash_of(&t->virt->by_vsi, &id), n);
    return n;
}

/* What a fact does not tell stays as it was. */
void
virt_nic_update(struct virt_nic *nic, const struct virt_nic_fact *f)
{
    bool told = f->vn[0] || f->vni, was = nic->is.vn[0] || nic->is.vni;
    bool leaves = was && (told ? strcmp(f->vn, nic->is.vn) != 0 || f->vni != nic->is.vni
                               : f->none);
    if (f->ifname[0])
        memcpy(nic->is.ifname, f->ifname, sizeof(nic->is.ifname));
    if (f->uplink[0])
        memcpy(nic->is.uplink, f->uplink, sizeof(nic->is.uplink));
    if (told || f->none) {
        memcpy(nic->is.vn, f->vn, sizeof(nic->is.vn));
        nic->is.vni = f->vni;
        nic->is.none = f->none;
    }
    if (leaves) /* its residence was in another network */
        nic->is.epoch = nic->is.migration = 0;
    if (f->n_ips) {
        memcpy(nic->is.ips, f->ips, sizeof(nic->is.ips));
        nic->is.n_ips = f->n_ips;
    }
    if (!nic->is.epoch && !leaves) { /* later our own word is newer */
        nic->is.epoch = f->epoch;
        nic->is.migration = f->migration;
    }
}

const char *
virt_domain_of(const struct tes *t, const struct vm *v)
{
    uint32_t n = v->virt ? virt_nic_of_vsi(t, &v->id) : 0;
    return n ? virt_dom_at(t, virt_nic_at(t, n)->dom)->name : NULL;
}
