/* SPDX-License-Identifier: Apache-2.0 */
/* A registry with six NVEs. Subscribers apply their streams to tables as simple as can
 * be; the authority's table is read by its walk. A store of arrays plays the disk: what
 * was not stored is lost when the authority is restarted. */
#ifndef BERTH_TEST_REGISTRY_RIG_H
#define BERTH_TEST_REGISTRY_RIG_H
#include "test.h"

#include "base/mem.h"
#include "base/rng.h"
#include "core/registry.h"

enum { N_NVE = 6, N_VN = 3, N_KEY = 12, KEYS = N_VN * N_KEY };

struct seen {
    bool live;
    struct mapping_rec rec;
    bool named; /* since the snapshot began */
};
struct sub {
    uint32_t nve;
    uint64_t seq;
    struct seen keys[KEYS];
    bool member[N_VN][N_NVE + 1], member_named[N_VN][N_NVE + 1];
    bool subscribed[N_VN], complete[N_VN], began[N_VN];
    bool known[N_NVE + 1], known_named[N_NVE + 1]; /* endpoints, whatever their VNs */
    uint32_t n_notify, n_negative, n_who_has, n_confirm, n_snapshots;
    struct mapping_rec confirmed, negative;
    struct registry_out reserved;
    uint32_t n_reserved;
    uint64_t acked;
};
static struct registry *R;
static struct sub S[N_NVE + 1];
static uint64_t now;
static uint32_t damp_moves; /* 0: the default */
static struct {
    uint64_t hwm;
    struct {
        bool used;
        uint64_t epoch, migration_id;
    } epochs[KEYS];
    struct mapping_rec resvs[KEYS][N_NVE + 1]; /* by who reserved; epoch 0: none */
    bool known[N_NVE + 1];
    uint32_t n_vns, stall_id[64], n_stalled;
    uint64_t stall_hwm[64];
    bool stall, fail;
} disk;
static struct registry_out answers[4096];
static uint32_t n_answers;

static inline struct mac
mac_n(uint32_t n)
{
    return (struct mac){
        {0x52, 0x54, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
         (uint8_t)n}
    };
}

static inline struct ip
vtep_n(uint32_t n)
{
    return ip_v4(0x0a000000 + n);
}

static inline uint32_t
vni_n(uint32_t vn)
{
    return 5000 + vn;
}

static inline int
key_of(const struct mapping_rec *r)
{
    return (int)((r->vni - 5000) * N_KEY + r->mac.b[5]);
}

static inline struct mapping_rec
rec_n(uint32_t vn, uint32_t n, uint64_t epoch)
{
    struct mapping_rec r = {.vni = vni_n(vn),
        .mac = mac_n(n),
        .n_ips = 2,
        .epoch = epoch,
        .migration_id = epoch * 10 + 1};
    r.ips[0] = ip_v4(0xc0a80000 + n);
    r.ips[1] = (struct ip){
        {0x20, 1, [15] = (uint8_t)n}
    };
    return r;
}

/* The endpoints of all NVEs: first of all in a session, before anything else (K11). */
static inline void
apply_known(struct sub *s, const struct registry_out *o)
{
    if (o->type == REG_SNAPSHOT) {
        if (!o->del)
            memset(s->known_named, 0, sizeof s->known_named);
        for (uint32_t i = 1; o->del && i <= N_NVE; i++)
            s->known[i] &= s->known_named[i];
        return;
    }
    for (uint32_t i = 1; i <= N_NVE; i++) {
        struct ip v = vtep_n(i);
        if (ip_equal(&v, &o->rec.owner)) {
            assert_ptr_not_equal(s, &S[i]);
            s->known[i] = !o->del;
            s->known_named[i] = true;
        }
    }
}

static inline void
apply(const struct registry_out *o)
{
    struct sub *s = NULL;
    for (uint32_t i = 1; i <= N_NVE; i++)
        if (S[i].nve == o->nve)
            s = &S[i];
    assert_non_null(s);
    if (o->type == REG_NOTIFY || o->type == REG_NEGATIVE || o->type == REG_SNAPSHOT ||
        o->type == REG_MEMBER) {
        assert_int_equal(o->seq, s->seq + 1); /* one ordered stream without gaps */
        s->seq = o->seq;
    }
    uint32_t vn = o->rec.vni - 5000;
    if (o->rec.vni == 0 && (o->type == REG_SNAPSHOT || o->type == REG_MEMBER)) {
        apply_known(s, o);
        return;
    }
    switch ((enum registry_out_type)o->type) {
    case REG_NOTIFY: {
        struct seen *k = &s->keys[key_of(&o->rec)];
        s->n_notify++;
        /* What an NVE does (E3, E4): never accept what is older. */
        if (k->live && k->rec.epoch > o->rec.epoch)
            fail_msg("stream went back");
        k->live = !o->del;
        k->rec = o->rec;
        k->named = true;
        break;
    }
    case REG_NEGATIVE:
        s->n_negative++;
        s->negative = o->rec;
        break;
    case REG_SNAPSHOT:
        assert_true(s->subscribed[vn]);
        if (!o->del) {
            s->n_snapshots++;
            s->began[vn] = true;
            for (uint32_t i = 0; i < N_KEY; i++)
                s->keys[vn * N_KEY + i].named = false;
            memset(s->member_named[vn], 0, sizeof s->member_named[vn]);
            break;
        }
        assert_true(s->began[vn]);
        s->began[vn] = false;
        s->complete[vn] = true;
        for (uint32_t i = 0; i < N_KEY; i++)
            s->keys[vn * N_KEY + i].live &= s->keys[vn * N_KEY + i].named;
        for (uint32_t i = 1; i <= N_NVE; i++)
            s->member[vn][i] &= s->member_named[vn][i];
        break;
    case REG_MEMBER:
        for (uint32_t i = 1; i <= N_NVE; i++) {
            struct ip v = vtep_n(i);
            if (ip_equal(&v, &o->rec.owner)) {
                assert_ptr_not_equal(s, &S[i]);
                s->member[vn][i] = !o->del;
                s->member_named[vn][i] = true;
            }
        }
        break;
    case REG_WHO_HAS:
        s->n_who_has++;
        break;
    case REG_CONFIRM:
        s->n_confirm++;
        s->confirmed = o->rec;
        break;
    case REG_REGISTERED:
    case REG_GRANT:
    case REG_REJECT:
    case REG_VN:
        if (n_answers < 4096)
            answers[n_answers++] = *o;
        break;
    case REG_RESERVED:
        s->n_reserved++;
        s->reserved = *o;
        /* the notice is out before its grant */
        for (uint32_t i = 0; i < n_answers; i++)
            assert_false(
                answers[i].type == REG_GRANT && answers[i].rec.epoch == o->rec.epoch);
        break;
    case REG_STORE:
        break;
    }
}

static inline void
store(const struct registry_out *o)
{
    switch ((enum registry_store)o->store) {
    case REG_STORE_HWM:
        assert_true(o->rec.epoch > disk.hwm);
        if (disk.stall) {
            disk.stall_hwm[disk.n_stalled] = o->rec.epoch;
            disk.stall_id[disk.n_stalled++] = o->id;
        } else if (disk.fail) {
            registry_stored(R, o->id, -28, now);
        } else {
            disk.hwm = o->rec.epoch;
            registry_stored(R, o->id, 0, now);
        }
        break;
    case REG_STORE_EPOCH: {
        int k = key_of(&o->rec);
        if (k < 0 || k >= KEYS)
            break;
        disk.epochs[k].used = o->rec.epoch;
        disk.epochs[k].epoch = o->rec.epoch;
        disk.epochs[k].migration_id = o->rec.migration_id;
        break;
    }
    case REG_STORE_RESV:
        for (uint32_t i = 1; i <= N_NVE; i++) {
            struct ip v = vtep_n(i);
            if (ip_equal(&v, &o->rec.owner))
                disk.resvs[key_of(&o->rec)][i] = o->rec;
        }
        break;
    case REG_STORE_NVE:
        disk.known[atoi(o->name + 3)] = true;
        break;
    case REG_STORE_VN_PUT:
        disk.n_vns++;
        break;
    case REG_STORE_VN_DEL:
        disk.n_vns--;
        break;
    }
}

/* Pulls everything (or so many outputs) and applies it; acknowledges what was applied.
 */
static inline void
run_some(uint32_t most, bool ack)
{
    struct registry_out o;
    while (most-- > 0 && registry_output(R, &o)) {
        if (o.type == REG_STORE)
            store(&o);
        else
            apply(&o);
    }
    for (uint32_t i = 1; ack && i <= N_NVE; i++)
        if (S[i].nve && S[i].seq > S[i].acked) {
            S[i].acked = S[i].seq;
            registry_ack(R, S[i].nve, S[i].seq, now);
        }
}

static inline void
run(void)
{
    for (int i = 0; i < 4; i++)
        run_some(UINT32_MAX, true);
}

static inline void
tick(uint64_t us)
{
    now += us;
    registry_tick(R, now);
    run();
}

static inline void
put_vns(bool store_too)
{
    for (uint32_t i = 0; i < N_VN; i++) {
        struct vn_rec vn = {.vni = vni_n(i), .mtu = 1500, .centralised = 1};
        uint8_t reason;
        snprintf(vn.name, sizeof vn.name, "vn%u", i);
        if (store_too)
            assert_true(registry_vn_put(R, &vn, &reason, now));
        else
            registry_load_vn(R, &vn);
    }
}

static inline struct registry_conf
conf_of(void)
{
    return (struct registry_conf){.seed = 3,
        .max_nves = 16,
        .max_mappings = 1000,
        .max_vns = 8,
        .max_key_subs = 64,
        .max_talkers = 8,
        .max_reservations = 16,
        .max_waiting = 512,
        .window = 32,
        .recover_us = 10000000,
        .forget_us = 100000000,
        .stale_us = 20000000,
        .negative_us = 5000000,
        .damp_moves = damp_moves};
}

static inline void
up(uint32_t i)
{
    char name[16];
    struct ip vtep = vtep_n(i);
    snprintf(name, sizeof name, "nve%u", i);
    memset(&S[i], 0, sizeof S[i]);
    S[i].nve = registry_nve_up(R, name, &vtep, false, now);
    assert_true(S[i].nve > 0);
    assert_int_equal(registry_nve_of(R, &vtep), S[i].nve);
}

static inline int
setup(void **state)
{
    (void)state;
    struct registry_conf conf = conf_of();
    memset(&disk, 0, sizeof disk);
    memset(S, 0, sizeof S);
    n_answers = 0;
    now = 1000000;
    R = registry_new(&conf, now);
    registry_loaded(R, now);
    put_vns(true);
    for (uint32_t i = 1; i <= N_NVE; i++)
        up(i);
    run();
    for (uint32_t i = 1; i <= N_NVE; i++)
        registry_register_end(R, S[i].nve, now);
    n_answers = 0;
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    registry_free(R);
    R = NULL;
    return 0;
}

static inline const struct registry_out *
answer(void)
{
    run();
    assert_int_equal(n_answers, 1);
    n_answers = 0;
    return &answers[0];
}

static inline const struct registry_out *
reg(uint32_t nve, struct mapping_rec rec, bool want)
{
    registry_register(R, S[nve].nve, 77, &rec, want, false, now);
    return answer();
}

static inline const struct registry_out *
withdraw(uint32_t nve, struct mapping_rec rec)
{
    registry_withdraw(R, S[nve].nve, 78, &rec, now);
    return answer();
}

static inline void
subscribe(uint32_t nve, uint32_t vn)
{
    registry_subscribe(R, S[nve].nve, vni_n(vn), now);
    S[nve].subscribed[vn] = true;
    S[nve].complete[vn] = false;
}

static inline void
reserve(uint32_t nve, uint32_t vn, uint32_t n, uint64_t id)
{
    struct mapping_rec m = rec_n(vn, n, 0);
    m.migration_id = id;
    registry_reserve(R, S[nve].nve, 9, &m, now);
}

/* The key's owner has been told `times` times, and last of this. */
static inline void
told(uint32_t nve, uint32_t times, uint32_t target, uint64_t epoch, uint64_t id)
{
    struct ip v = vtep_n(target);
    const struct registry_out *o = &S[nve].reserved;
    assert_int_equal(S[nve].n_reserved, times);
    assert_true(!o->del && ip_equal(&o->rec.owner, &v));
    assert_true(o->rec.epoch == epoch && o->rec.migration_id == id);
}

static inline struct registry_map_view
view(uint32_t n)
{
    struct registry_map_view v;
    struct mac mac = mac_n(n);
    for (uint32_t it = 0; registry_each_mapping(R, &it, &v);)
        if (mac_equal(&v.rec.mac, &mac))
            return v;
    fail();
    return v;
}

/* The old NVE has been told `times` times, last that the number is void. */
static inline void
told_void(uint32_t nve, uint32_t times, uint32_t target, uint64_t epoch)
{
    struct ip v = vtep_n(target);
    const struct registry_out *o = &S[nve].reserved;
    assert_int_equal(S[nve].n_reserved, times);
    assert_true(o->del && ip_equal(&o->rec.owner, &v) && o->rec.epoch == epoch);
}

static inline uint32_t
n_reservations(void)
{
    struct registry_resv_view v;
    uint32_t it = 0, n = 0;
    while (registry_each_reservation(R, &it, &v))
        n++;
    return n;
}

static inline void
restart(void)
{
    struct registry_conf conf = conf_of();
    registry_free(R);
    R = registry_new(&conf, now);
    put_vns(false);
    if (disk.hwm)
        registry_load_epoch(R, 0, NULL, disk.hwm, 0, now);
    for (uint32_t k = 0; k < KEYS; k++) {
        struct mac mac = mac_n(k % N_KEY);
        if (disk.epochs[k].used)
            registry_load_epoch(R, vni_n(k / N_KEY), &mac, disk.epochs[k].epoch,
                disk.epochs[k].migration_id, now);
        for (uint32_t i = 1; i <= N_NVE; i++)
            if (disk.resvs[k][i].epoch)
                registry_load_reservation(R, &disk.resvs[k][i], now);
    }
    for (uint32_t i = 1; i <= N_NVE; i++) {
        char name[16];
        snprintf(name, sizeof name, "nve%u", i);
        if (disk.known[i])
            registry_load_nve(R, name);
    }
    disk.n_stalled = 0;
    registry_loaded(R, now);
    memset(S, 0, sizeof S);
}

static inline void
check_sub(uint32_t i, bool with_members)
{
    static struct seen truth[KEYS];
    struct registry_map_view v;
    memset(truth, 0, sizeof truth);
    for (uint32_t it = 0; registry_each_mapping(R, &it, &v);) {
        truth[key_of(&v.rec)].live = true;
        truth[key_of(&v.rec)].rec = v.rec;
    }
    struct ip own = vtep_n(i);
    for (uint32_t vn = 0; vn < N_VN; vn++) {
        if (!S[i].subscribed[vn])
            continue;
        assert_true(S[i].complete[vn]);
        for (uint32_t n = 0; n < N_KEY; n++) {
            const struct seen *t = &truth[vn * N_KEY + n],
                              *k = &S[i].keys[vn * N_KEY + n];
            if (t->live && ip_equal(&t->rec.owner, &own))
                continue; /* it knows its own; older words of others lose against it */
            if (k->live && !t->live && ip_equal(&k->rec.owner, &own))
                continue;
            assert_int_equal(k->live, t->live);
            if (!t->live)
                continue;
            assert_int_equal(k->rec.epoch, t->rec.epoch);
            assert_true(ip_equal(&k->rec.owner, &t->rec.owner));
            assert_int_equal(k->rec.n_ips, t->rec.n_ips);
            assert_memory_equal(
                k->rec.ips, t->rec.ips, t->rec.n_ips * sizeof t->rec.ips[0]);
        }
        for (uint32_t m = 1; with_members && m <= N_NVE; m++) {
            bool want = S[m].subscribed[vn];
            for (uint32_t n = 0; n < N_KEY; n++) {
                struct ip vm = vtep_n(m);
                want |= truth[vn * N_KEY + n].live &&
                        ip_equal(&truth[vn * N_KEY + n].rec.owner, &vm);
            }
            if (m != i)
                assert_int_equal(S[i].member[vn][m], want);
        }
    }
}
#endif
