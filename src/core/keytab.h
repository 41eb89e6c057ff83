/* SPDX-License-Identifier: Apache-2.0 */
/* Tables keyed by (VN, MAC) whose objects hold IPs, with an index by (VN, IP): the NVE's
 * mappings and the authority's. One IPv4 and one IPv6 lie in the object, more go to an
 * overflow pool (K19: MAC + v4 + v6 is the usual mapping). Several MACs may claim one IP;
 * one of them holds it: signalled before snooped (K8), else the latest claim (K1). */
#ifndef BERTH_CORE_KEYTAB_H
#define BERTH_CORE_KEYTAB_H
#include "base/map.h"
#include "base/mem.h"
#include "core/mapping.h"

/* A pool that can be walked in order of handles while it changes: what lives during the
 * whole walk is seen exactly once. */
struct slab {
    struct pool pool;
    uint8_t *live;                       /* one bit per handle */
    uint32_t live_size;
};
void slab_init(struct slab *s, uint32_t item_size, uint32_t max);
uint32_t slab_get(struct slab *s);       /* zeroed; 0 = full */
void slab_put(struct slab *s, uint32_t h);
static inline void *
slab_at(const struct slab *s, uint32_t h)
{
    return pool_at(&s->pool, h);
}
uint32_t slab_each(const struct slab *s, uint32_t *it);   /* *it starts at 0; 0 at the end */
size_t slab_bytes(const struct slab *s);
void slab_done(struct slab *s);

/* Head of every object of a keytab: the first member of the owner's struct. */
struct key_head {
    uint8_t v6[16];
    uint32_t vni, v4, more;
    struct mac mac;
    uint8_t v4_flags, v6_flags;
};
struct keytab {
    struct slab items;
    struct pool more;
    struct map by_mac, by_ip;
};
void keytab_init(struct keytab *t, uint32_t item_size, uint32_t max, uint64_t seed);
void keytab_done(struct keytab *t);
static inline void *
keytab_at(const struct keytab *t, uint32_t h)
{
    return slab_at(&t->items, h);
}
uint32_t keytab_find(const struct keytab *t, uint32_t vni, const struct mac *mac);
uint32_t keytab_add(struct keytab *t, uint32_t vni, const struct mac *mac);   /* 0 = full */
void keytab_del(struct keytab *t, uint32_t h);       /* it must hold no IPs any more */
uint32_t keytab_each(const struct keytab *t, uint32_t *it);

/* Who holds the IP; 0 = nobody. */
uint32_t keytab_holder(const struct keytab *t, uint32_t vni, const struct ip *ip);
/* Adds or changes the trust; repeating it claims nothing. false: already TNS_IPS_MAX addresses, or the pool is full. */
bool keytab_ip_add(struct keytab *t, uint32_t h, const struct ip *ip, bool low_trust);
void keytab_ip_del(struct keytab *t, uint32_t h, const struct ip *ip);
bool keytab_ip_has(const struct keytab *t, uint32_t h, const struct ip *ip, bool *low_trust);
/* Was it signalled with an address of that family, other than link-local? Then it has no
 * others; of one that was snooped there is no telling (K8). */
bool keytab_signalled(const struct keytab *t, uint32_t h, bool v6);
/* Fills vni, mac, ips, n_ips, low_trust; the rest is left alone. */
void keytab_rec(const struct keytab *t, uint32_t h, struct mapping_rec *rec);
size_t keytab_bytes(const struct keytab *t);
#endif
