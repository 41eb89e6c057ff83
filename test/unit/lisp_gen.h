/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded LISP values for property tests, and the reader of test/data/lisp. */
#ifndef BERTH_TEST_LISP_GEN_H
#define BERTH_TEST_LISP_GEN_H
#include "base/rng.h"
#include "wire/lisp.h"

static inline struct ip
gen_ip(struct rng *r)
{
    struct ip ip = ip_v4(rng_next(r));
    if (rng_chance(r, 400000)) {
        rng_bytes(r, ip.b, 16);
        ip.b[0] = 0x20;
    }
    return ip;
}

static inline struct mac
gen_mac(struct rng *r)
{
    struct mac m;
    rng_bytes(r, m.b, 6);
    m.b[0] = 2;
    return m;
}

static inline struct lisp_eid
gen_eid(struct rng *r, bool with_vni)
{
    uint32_t vni = with_vni || rng_chance(r, 800000) ? 1 + rng_below(r, VNI_MAX) : 0;
    struct ip ip = gen_ip(r);
    struct mac mac = gen_mac(r);
    return rng_chance(r, 500000) ? lisp_eid_ip(vni, &ip) : lisp_eid_mac(vni, &mac);
}

static inline struct lisp_record
gen_record(struct rng *r, bool with_vni)
{
    struct lisp_record rec;
    memset(&rec, 0, sizeof rec);
    rec.eid = gen_eid(r, with_vni);
    rec.ttl_min = rng_next(r);
    rec.version = rng_below(r, 4096);
    rec.act = rng_below(r, 8);
    rec.authoritative = rng_chance(r, 500000);
    rec.n_rlocs = rng_below(r, LISP_RLOCS_MAX + 1);
    for (unsigned i = 0; i < rec.n_rlocs; i++) {
        struct lisp_rloc *l = &rec.rlocs[i];
        l->ip = gen_ip(r);
        l->prio = rng_next(r);
        l->weight = rng_next(r);
        l->mprio = rng_next(r);
        l->mweight = rng_next(r);
        l->local = rng_chance(r, 500000);
        l->probed = rng_chance(r, 500000);
        l->reachable = rng_chance(r, 500000);
        if ((l->has_mac = rng_chance(r, 500000)))
            l->mac = gen_mac(r);
        if (!(l->has_epoch = rng_chance(r, 500000)))
            continue;
        l->epoch = rng_next(r);
        l->migration_id = rng_next(r);
        if (rng_chance(r, 500000))
            l->vsi = rng_next(r) | 1;
        if (rng_chance(r, 800000))
            l->owner = gen_ip(r);
        l->n_ips = rng_below(r, LISP_IPS_MAX + 1);
        l->low_trust = (uint8_t)(rng_next(r) & ((1u << l->n_ips) - 1));
        for (unsigned k = 0; k < l->n_ips; k++)
            l->ips[k] = gen_ip(r);
    }
    return rec;
}

static inline void
assert_record_equal(const struct lisp_record *a, const struct lisp_record *b)
{
    assert_true(lisp_eid_equal(&a->eid, &b->eid));
    assert_int_equal(a->ttl_min, b->ttl_min);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->act, b->act);
    assert_int_equal(a->authoritative, b->authoritative);
    assert_int_equal(a->n_rlocs, b->n_rlocs);
    for (unsigned i = 0; i < a->n_rlocs; i++)
        assert_memory_equal(&a->rlocs[i], &b->rlocs[i], sizeof a->rlocs[i]);
}

/* Octets of "= name" in test/data/lisp/vectors.hex; fails the test when there are none.
 */
static inline size_t
vector_read(const char *name, uint8_t *out, size_t cap)
{
    FILE *f = fopen(TEST_DATA "/lisp/vectors.hex", "r");
    assert_non_null(f);
    char line[256];
    size_t n = 0;
    bool here = false;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "#\n")] = 0;
        if (line[0] == '=') {
            here =
                strncmp(line + 2, name, strlen(name)) == 0 &&
                strspn(line + 2 + strlen(name), " ") == strlen(line + 2 + strlen(name));
            continue;
        }
        unsigned v;
        int used;
        for (char *p = line; here && sscanf(p, " %2x%n", &v, &used) == 1; p += used) {
            assert_true(n < cap);
            out[n++] = v;
        }
    }
    fclose(f);
    assert_true(n > 0);
    return n;
}
#endif
