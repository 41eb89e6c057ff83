/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "core/registry.h"

/* Subscribers apply their streams to tables as simple as can be; the authority's table
 * is read by its walk. A store of arrays plays the disk: what was not stored is lost
 * when the authority is restarted. */
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
static uint64_t granted[KEYS][20000];
static uint32_t n_granted[KEYS];

static struct mac
mac_n(uint32_t n)
{
    return (struct mac){
        {0x52, 0x54, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
         (uint8_t)n}
    };
}

static struct ip
vtep_n(uint32_t n)
{
    return ip_v4(0x0a000000 + n);
}

static uint32_t
vni_n(uint32_t vn)
{
    return 5000 + vn;
}

static int
key_of(const struct mapping_rec *r)
{
    return (int)((r->vni - 5000) * N_KEY + r->mac.b[5]);
}

static struct mapping_rec
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
static void
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

static void
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

static void
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
static void
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

static void
run(void)
{
    for (int i = 0; i < 4; i++)
        run_some(UINT32_MAX, true);
}

static void
tick(uint64_t us)
{
    now += us;
    registry_tick(R, now);
    run();
}

static void
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

static struct registry_conf
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
        .negative_us = 5000000};
}

static void
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

static int
setup(void **state)
{
    (void)state;
    struct registry_conf conf = conf_of();
    memset(&disk, 0, sizeof disk);
    memset(S, 0, sizeof S);
    memset(n_granted, 0, sizeof n_granted);
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

static int
teardown(void **state)
{
    (void)state;
    registry_free(R);
    R = NULL;
    return 0;
}

static const struct registry_out *
answer(void)
{
    run();
    assert_int_equal(n_answers, 1);
    n_answers = 0;
    return &answers[0];
}

static const struct registry_out *
reg(uint32_t nve, struct mapping_rec rec, bool want)
{
    registry_register(R, S[nve].nve, 77, &rec, want, false, now);
    return answer();
}

static const struct registry_out *
withdraw(uint32_t nve, struct mapping_rec rec)
{
    registry_withdraw(R, S[nve].nve, 78, &rec, now);
    return answer();
}

static void
subscribe(uint32_t nve, uint32_t vn)
{
    registry_subscribe(R, S[nve].nve, vni_n(vn), now);
    S[nve].subscribed[vn] = true;
    S[nve].complete[vn] = false;
}

static void
test_register(void **state)
{
    (void)state;
    const struct registry_out *o = reg(1, rec_n(0, 1, 0), true);
    assert_int_equal(o->type, REG_REGISTERED);
    assert_int_equal(o->ref, 77);
    uint64_t e = o->rec.epoch, id = o->rec.migration_id;
    assert_true(e > 0 && id > 0);
    assert_int_equal(S[1].n_confirm, 1); /* nobody subscribes: everybody has heard it */
    struct mapping_rec r = rec_n(0, 1, e);
    r.migration_id = id;
    assert_int_equal(reg(1, r, false)->type, REG_REGISTERED); /* E6 */
    o = reg(2, r, false);
    assert_int_equal(o->reason, REG_CONFLICT);
    r.migration_id++;
    o = reg(1, r, false);
    assert_int_equal(o->reason, REG_CONFLICT);
    o = reg(2, rec_n(0, 1, e - 1), false);
    assert_int_equal(o->type, REG_REJECT);
    assert_int_equal(o->reason, REG_STALE);
    struct ip v1 = vtep_n(1);
    assert_true(ip_equal(&o->rec.owner, &v1)); /* where it MOVED to */
    assert_int_equal(o->rec.epoch, e);
    o = reg(2, rec_n(0, 1, 0), true); /* a newer claim */
    assert_int_equal(o->type, REG_REGISTERED);
    assert_true(o->rec.epoch > e);
    e = o->rec.epoch;
    id = o->rec.migration_id;
    assert_int_equal(
        S[1].n_notify, 1); /* the old owner is told, without subscription */
    r = rec_n(0, 1, e);
    assert_int_equal(withdraw(1, r)->reason, REG_NOT_OWNER); /* E4 */
    r.epoch--; /* the owner speaks in order: it has not heard of its grant yet */
    assert_int_equal(withdraw(2, r)->type, REG_REGISTERED);
    r.epoch++;
    assert_int_equal(registry_count(R), 0);
    assert_int_equal(disk.epochs[key_of(&r)].epoch, e);
    assert_int_equal(reg(1, r, false)->reason, REG_STALE); /* remembered */
    assert_int_equal(reg(2, r, false)->reason, REG_STALE); /* another migration's */
    r.migration_id = id;
    assert_int_equal(
        reg(2, r, false)->type, REG_REGISTERED); /* but its owner may return */
    /* What is refused. */
    assert_int_equal(reg(1, rec_n(7, 1, 0), true)->reason, REG_NO_VN);
    r = rec_n(0, 1, 0);
    r.mac.b[0] |= 1;
    assert_int_equal(reg(1, r, true)->reason, REG_POLICY);
    assert_int_equal(reg(1, rec_n(0, 1, (uint64_t)1 << 60), true)->reason, REG_POLICY);
    assert_int_equal(reg(1, rec_n(0, 1, UINT64_MAX), false)->reason, REG_POLICY);
    registry_register(R, 999, 1, &r, false, false, now);
    registry_register(R, 0, 1, &r, false, false, now);
    run();
    assert_int_equal(n_answers, 0);
}

/* K4: reserved at the start of a migration; the carried, known and reserved ones count.
 */
static void
test_reserve(void **state)
{
    (void)state;
    uint64_t e1 = reg(1, rec_n(0, 1, 0), true)->rec.epoch;
    struct mapping_rec m = rec_n(0, 1, e1);
    m.migration_id = 4711;
    registry_reserve(R, S[2].nve, 5, &m, now);
    const struct registry_out *o = answer();
    assert_int_equal(o->type, REG_GRANT);
    uint64_t e2 = o->rec.epoch;
    assert_true(e2 > e1);
    registry_reserve(R, S[2].nve, 6, &m, now); /* repeated: the same number */
    assert_int_equal(answer()->rec.epoch, e2);
    m.migration_id = 4712;
    registry_reserve(R, S[3].nve, 7, &m, now);
    uint64_t e3 = answer()->rec.epoch;
    assert_true(e3 > e2);
    /* The owner goes on as it is; the targets come in any order, the newest wins (E1).
     */
    struct mapping_rec own = rec_n(0, 1, e1);
    own.migration_id = 0;
    struct registry_map_view v;
    uint32_t it = 0;
    assert_true(registry_each_mapping(R, &it, &v));
    own.migration_id = v.rec.migration_id;
    assert_int_equal(reg(1, own, false)->type, REG_REGISTERED);
    m.epoch = e3;
    m.migration_id = 999;
    assert_int_equal(
        reg(3, m, false)->reason, REG_CONFLICT); /* not the one that reserved it */
    m.migration_id = 4712;
    assert_int_equal(reg(3, m, false)->type, REG_REGISTERED);
    m.epoch = e2;
    m.migration_id = 4711;
    assert_int_equal(reg(2, m, false)->reason, REG_STALE);
    /* A number beyond ours, chosen while we were away (E5): the next one is above it.
     */
    m.epoch = e3 + 1000000;
    assert_int_equal(reg(2, m, false)->type, REG_REGISTERED);
    o = reg(3, rec_n(0, 1, 0), true);
    assert_true(o->rec.epoch > m.epoch);
    assert_true(disk.hwm > o->rec.epoch);
    for (uint32_t i = 0; i < 20; i++) { /* bounded */
        m = rec_n(1, i, 0);
        registry_reserve(R, S[2 + i / 4].nve, 100 + i, &m, now);
    }
    run();
    assert_int_equal(n_answers, 20);
    assert_int_equal(answers[15].type, REG_GRANT);
    assert_int_equal(answers[19].reason, REG_FULL);
    n_answers = 0;
    tick(101000000); /* reservations end */
    m = rec_n(1, 19, 0);
    registry_reserve(R, S[2].nve, 100, &m, now);
    assert_int_equal(answer()->type, REG_GRANT);
}

static void
reserve(uint32_t nve, uint32_t vn, uint32_t n, uint64_t id)
{
    struct mapping_rec m = rec_n(vn, n, 0);
    m.migration_id = id;
    registry_reserve(R, S[nve].nve, 9, &m, now);
}

/* The key's owner has been told `times` times, and last of this. */
static void
told(uint32_t nve, uint32_t times, uint32_t target, uint64_t epoch, uint64_t id)
{
    struct ip v = vtep_n(target);
    const struct registry_out *o = &S[nve].reserved;
    assert_int_equal(S[nve].n_reserved, times);
    assert_true(ip_equal(&o->rec.owner, &v));
    assert_true(o->rec.epoch == epoch && o->rec.migration_id == id);
}

/* The old NVE hears where a VM is going to, whatever its station says (K4, X5). */
static void
test_reserved_notice(void **state)
{
    (void)state;
    reserve(2, 0, 1, 11); /* nobody has it */
    assert_int_equal(answer()->type, REG_GRANT);
    for (uint32_t i = 1; i <= N_NVE; i++)
        assert_int_equal(S[i].n_reserved, 0);
    struct mapping_rec r1 = reg(1, rec_n(0, 1, 0), true)->rec; /* newer than that */
    assert_int_equal(S[1].n_reserved, 0);
    reserve(1, 0, 1, 12); /* its own: both servers on one NVE (F15) */
    answer();
    assert_int_equal(S[1].n_reserved, 0);
    reserve(2, 0, 1, 13);
    uint64_t e2 = answer()->rec.epoch;
    told(1, 1, 2, e2, 13);
    reserve(2, 0, 1, 13); /* repeated */
    assert_int_equal(answer()->rec.epoch, e2);
    assert_int_equal(S[1].n_reserved, 1);
    reserve(3, 0, 1, 13); /* another NVE never gets the same number */
    uint64_t e3 = answer()->rec.epoch;
    assert_true(e3 > e2);
    told(1, 2, 3, e3, 13);
    /* The owner's session is lost: told when it has registered again, not before. */
    registry_nve_down(R, S[1].nve, now);
    reserve(4, 0, 1, 14);
    uint64_t e4 = answer()->rec.epoch;
    up(1);
    run();
    registry_register(R, S[1].nve, 77, &r1, false, true, now);
    assert_int_equal(answer()->type, REG_REGISTERED);
    assert_int_equal(S[1].n_reserved, 0);
    registry_register_end(R, S[1].nve, now);
    run();
    told(1, 1, 4, e4, 14);
    /* An older migration ends while a newer one is under way. */
    struct mapping_rec r3 = rec_n(0, 1, e3);
    r3.migration_id = 13;
    assert_int_equal(reg(3, r3, false)->type, REG_REGISTERED);
    told(3, 1, 4, e4, 14);
    assert_int_equal(S[1].n_reserved, 1);
    /* It ends, too: nothing more to say. */
    struct mapping_rec r4 = rec_n(0, 1, e4);
    r4.migration_id = 14;
    assert_int_equal(reg(4, r4, false)->type, REG_REGISTERED);
    uint32_t it = 0;
    struct registry_resv_view v;
    assert_false(registry_each_reservation(R, &it, &v));
    up(4);
    registry_register(R, S[4].nve, 77, &r4, false, true, now);
    answer();
    registry_register_end(R, S[4].nve, now);
    run();
    assert_int_equal(S[4].n_reserved, 0);
    /* Given up by who reserved, and by nobody else. */
    reserve(5, 0, 1, 15);
    uint64_t e5 = answer()->rec.epoch;
    told(4, 1, 5, e5, 15);
    struct mapping_rec w = rec_n(0, 1, e5);
    assert_int_equal(withdraw(3, w)->reason, REG_NOT_OWNER);
    tick(1000);
    it = 0;
    assert_true(registry_each_reservation(R, &it, &v));
    struct ip v4 = vtep_n(4), v5 = vtep_n(5);
    assert_true(v.epoch == e5 && v.migration_id == 15 && v.vni == vni_n(0) &&
                ip_equal(&v.target, &v5) && ip_equal(&v.owner, &v4) &&
                v.age_us == 1000);
    assert_int_equal(withdraw(5, w)->reason, REG_NOT_OWNER);
    it = 0;
    assert_false(registry_each_reservation(R, &it, &v));
    /* The NVE that reserved is gone for good; a roll back is newer. */
    reserve(5, 0, 1, 16);
    answer();
    registry_nve_down(R, S[5].nve, now);
    tick(19000000);
    it = 0;
    assert_true(registry_each_reservation(R, &it, &v));
    tick(2000000);
    it = 0;
    assert_false(registry_each_reservation(R, &it, &v));
    reserve(6, 0, 1, 17);
    answer();
    told(4, 5, 6, S[4].reserved.rec.epoch, 17); /* two of them were void */
    reg(4, rec_n(0, 1, 0), true);
    it = 0;
    assert_false(registry_each_reservation(R, &it, &v));
}

static struct registry_map_view
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
static void
told_void(uint32_t nve, uint32_t times, uint64_t epoch)
{
    const struct registry_out *o = &S[nve].reserved;
    assert_int_equal(S[nve].n_reserved, times);
    assert_true(ip_is_none(&o->rec.owner) && o->rec.epoch == epoch);
}

static uint32_t
n_reservations(void)
{
    struct registry_resv_view v;
    uint32_t it = 0, n = 0;
    while (registry_each_reservation(R, &it, &v))
        n++;
    return n;
}

/* K4: it ends without a move. The owner hears so, and what counts instead. */
static void
test_reservation_ends(void **state)
{
    (void)state;
    struct mapping_rec all = rec_n(0, 1, EPOCH_RESERVED);
    reg(1, rec_n(0, 1, 0), true);
    reserve(2, 0, 1, 11);
    uint64_t e2 = answer()->rec.epoch;
    reserve(3, 0, 1, 12);
    uint64_t e3 = answer()->rec.epoch;
    reserve(4, 0, 1, 13);
    uint64_t e4 = answer()->rec.epoch;
    told(1, 3, 4, e4, 13);
    /* An older attempt: nobody had to do with it. Another's word ends nothing. */
    assert_int_equal(withdraw(3, all)->type, REG_REGISTERED);
    assert_int_equal(withdraw(5, all)->type, REG_REGISTERED);
    assert_int_equal(S[1].n_reserved, 3);
    assert_int_equal(n_reservations(), 2);
    assert_true(
        disk.resvs[key_of(&all)][4].epoch && !disk.resvs[key_of(&all)][3].epoch);
    /* The one that counts: void, and the first attempt instead. */
    S[1].n_reserved = 0;
    withdraw(4, all);
    told(1, 2, 2, e2, 11);
    withdraw(2, all);
    told_void(1, 3, e2);
    assert_int_equal(n_reservations(), 0);
    /* Its own mapping an NVE keeps, whatever it has reserved besides (F15). */
    reserve(1, 0, 1, 14);
    answer();
    assert_int_equal(withdraw(1, all)->type, REG_REGISTERED);
    assert_int_equal(withdraw(1, all)->type, REG_REGISTERED);
    assert_int_equal(n_reservations(), 0);
    assert_int_equal(view(1).nve, S[1].nve);
    assert_int_equal(S[1].n_reserved, 3);
    (void)e3;
    /* By time. */
    reserve(2, 0, 1, 15);
    uint64_t e5 = answer()->rec.epoch;
    told(1, 4, 2, e5, 15);
    tick(101000000);
    told_void(1, 5, e5);
    /* The NVE that reserved is gone for good, or came back and says it no more. */
    for (int k = 0; k < 2; k++) {
        S[1].n_reserved = 0;
        reserve(2, 0, 1, 16);
        uint64_t e6 = answer()->rec.epoch;
        reserve(5, 0, 1, 17);
        answer();
        told(1, 2, 5, S[1].reserved.rec.epoch, 17);
        registry_nve_down(R, S[5].nve, now);
        tick(k ? 1000000 : 21000000);
        up(5);
        run();
        registry_register_end(R, S[5].nve, now);
        run();
        told(1, 4, 2, e6, 16);
        withdraw(2, all);
    }
    /* What is said again in a new session stays. */
    reserve(5, 0, 1, 18);
    uint64_t e8 = answer()->rec.epoch;
    registry_nve_down(R, S[5].nve, now);
    up(5);
    registry_reserve(R, S[5].nve, 8, &all, now);
    assert_true(answer()->type == REG_GRANT && answers[0].rec.epoch == e8);
    registry_reserve(R, S[3].nve, 8, &all, now); /* that has none */
    assert_int_equal(answer()->reason, REG_STALE);
    registry_register_end(R, S[5].nve, now);
    run();
    assert_int_equal(n_reservations(), 1);
    told(1, 6, 5, e8, 18);
}

/* One NVE does not reserve so much that others cannot. */
static void
test_reservation_share(void **state)
{
    (void)state;
    uint32_t grants = 0;
    for (uint32_t i = 0; i < 12; i++) {
        reserve(2, 1, i, 100 + i);
        grants += answer()->type == REG_GRANT;
    }
    assert_int_equal(grants, 4); /* a quarter of 16 */
    reserve(3, 1, 0, 200);
    assert_int_equal(answer()->type, REG_GRANT);
    struct mapping_rec all = rec_n(1, 2, EPOCH_RESERVED);
    withdraw(2, all);
    reserve(2, 1, 7, 300);
    assert_int_equal(answer()->type, REG_GRANT);
}

/* E5: claims in turns without a migration are stopped, and only they. */
static void
test_damping(void **state)
{
    (void)state;
    const uint64_t M = 180000000;
    struct mapping_rec r = rec_n(0, 1, 0);
    reg(1, r, true);
    /* Five moves are a busy day, one more is two stations. */
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(reg(2 - i % 2, r, true)->type, REG_REGISTERED);
        assert_false(view(1).frozen);
        tick(1000000);
    }
    uint64_t told_at = registry_counter(R, REGC_DAMPED);
    const struct registry_out *o = reg(1, r, true);
    struct ip v2 = vtep_n(2);
    assert_true(o->type == REG_REJECT && o->reason == REG_CONFLICT);
    assert_true(ip_equal(&o->rec.owner, &v2)); /* who has it */
    assert_true(view(1).frozen);
    assert_int_equal(registry_counter(R, REGC_DAMPED), told_at + 1);
    assert_int_equal(reg(2, r, true)->type, REG_REGISTERED); /* the owner's own */
    assert_int_equal(reg(3, r, true)->reason, REG_CONFLICT);
    assert_int_equal(
        reg(3, rec_n(0, 2, 0), true)->type, REG_REGISTERED); /* another key */
    /* Every attempt prolongs it; silence ends it. */
    tick(M - 1000000);
    assert_int_equal(reg(1, r, true)->reason, REG_CONFLICT);
    tick(M - 1000000);
    assert_true(view(1).frozen);
    assert_int_equal(reg(1, r, true)->reason, REG_CONFLICT);
    tick(M);
    assert_false(view(1).frozen);
    assert_int_equal(reg(1, r, true)->type, REG_REGISTERED);
    /* Slow moves are none of it. */
    for (uint32_t i = 0; i < 20; i++) {
        tick(M / 4);
        assert_int_equal(reg(2 - i % 2, r, true)->type, REG_REGISTERED);
    }
    /* A migration is somebody's intent: never refused, and it ends the count. */
    tick(M);
    for (uint32_t i = 0; i < 8; i++)
        reg(1 + i % 2, r, true);
    assert_true(view(1).frozen);
    for (uint32_t i = 0; i < 20; i++) {
        reserve(3 + i % 2, 0, 1, 100 + i);
        struct mapping_rec m = rec_n(0, 1, answer()->rec.epoch);
        m.migration_id = 100 + i;
        assert_int_equal(reg(3 + i % 2, m, false)->type, REG_REGISTERED);
        assert_false(view(1).frozen);
        if (i % 4 == 3) { /* taken back (E2) */
            assert_int_equal(reg(3, r, true)->type, REG_REGISTERED);
            assert_int_equal(reg(3, r, true)->type, REG_REGISTERED);
        }
    }
    /* Nor is a VM that ends here and begins there. */
    for (uint32_t i = 0; i < 20; i++) {
        struct mapping_rec m = reg(1 + i % 2, rec_n(0, 3, 0), true)->rec;
        assert_int_equal(withdraw(1 + i % 2, m)->type, REG_REGISTERED);
    }
    /* Off. */
    struct registry_conf conf = conf_of();
    conf.damp_moves = 255;
    registry_free(R);
    memset(&disk, 0, sizeof disk);
    R = registry_new(&conf, now);
    registry_loaded(R, now);
    put_vns(true);
    up(1);
    up(2);
    run();
    n_answers = 0;
    for (uint32_t i = 0; i < 400; i++)
        assert_int_equal(reg(1 + i % 2, r, true)->type, REG_REGISTERED);
}

/* A foreign router keeps no tombstone: it is told nothing. */
static void
test_reserved_foreign(void **state)
{
    (void)state;
    struct ip vtep = vtep_n(100);
    uint32_t f = registry_nve_up(R, "router", &vtep, true, now);
    struct mapping_rec m = rec_n(0, 1, 5);
    registry_register(R, f, 77, &m, false, false, now);
    struct registry_out o;
    while (registry_output(R, &o))
        assert_true(o.nve != f || o.type == REG_REGISTERED || o.type == REG_CONFIRM);
    reserve(2, 0, 1, 11);
    while (registry_output(R, &o))
        assert_true(o.type == REG_GRANT || o.type == REG_STORE);
}

static void
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

static void
test_stream(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 5; n++)
        reg(1, rec_n(0, n, 0), true);
    subscribe(2, 0);
    subscribe(3, 0);
    run();
    check_sub(2, true);
    assert_int_equal(S[2].n_notify, 5);
    assert_int_equal(S[2].n_snapshots, 1);
    /* Its own are not told back. */
    S[1].n_notify = 0;
    subscribe(1, 0);
    run();
    assert_int_equal(S[1].n_notify, 0);
    /* A blocked one costs nothing: many changes of one key become one message. */
    registry_nve_blocked(R, S[2].nve, true);
    S[2].n_notify = S[3].n_notify = 0;
    for (uint32_t i = 0; i < 100; i++)
        reg(4, rec_n(0, 1, 0), true);
    run();
    assert_int_equal(S[2].n_notify, 0);
    assert_int_equal(S[3].n_notify, 100);
    registry_nve_blocked(R, S[2].nve, false);
    run();
    assert_int_equal(S[2].n_notify, 1);
    check_sub(2, true);
    check_sub(3, true);
    /* A window of unacknowledged pushes: no more are sent. */
    S[2].n_notify = 0;
    for (uint32_t n = 0; n < 40; n++) {
        struct mapping_rec r = rec_n(0, n % N_KEY, 0);
        registry_register(R, S[5].nve, 0, &r, true, false, now);
        run_some(UINT32_MAX, false);
    }
    assert_true(S[2].n_notify <= 32);
    run();
    check_sub(2, true);
    /* Withdrawn and forgotten while it did not listen: a new snapshot tells it. */
    registry_nve_blocked(R, S[3].nve, true);
    struct registry_map_view v;
    for (uint32_t it = 0; registry_each_mapping(R, &it, &v);)
        registry_withdraw(R, v.nve, 0, &v.rec, now);
    assert_int_equal(registry_count(R), 0);
    tick(101000000);
    S[3].n_snapshots = 0;
    registry_nve_blocked(R, S[3].nve, false);
    run();
    assert_int_equal(S[3].n_snapshots, 1);
    check_sub(3, true);
    check_sub(2, true);
    for (int k = 0; k < KEYS; k++)
        assert_false(disk.epochs[k].used); /* T_forget */
    registry_unsubscribe(R, S[3].nve, vni_n(0), now);
    S[3].subscribed[0] = false;
    S[3].n_notify = 0;
    reg(1, rec_n(0, 1, 0), true);
    assert_int_equal(S[3].n_notify, 0);
    check_sub(2, true);
}

/* K6 REMOTE: confirmed when the slowest subscriber has acknowledged. */
static void
test_confirm(void **state)
{
    (void)state;
    subscribe(1, 0);
    subscribe(2, 0);
    subscribe(3, 0);
    run();
    uint32_t before = S[1].n_confirm;
    struct mapping_rec r = rec_n(0, 1, 0);
    registry_register(R, S[1].nve, 9, &r, true, false, now);
    run_some(UINT32_MAX, false);
    assert_int_equal(S[1].n_confirm, before);
    registry_ack(R, S[2].nve, S[2].seq, now);
    registry_ack(R, S[2].nve, S[2].seq + 5, now); /* a lie */
    run_some(UINT32_MAX, false);
    assert_int_equal(S[1].n_confirm, before);
    registry_ack(R, S[3].nve, S[3].seq, now);
    run_some(UINT32_MAX, false);
    assert_int_equal(S[1].n_confirm, before + 1);
    assert_int_equal(S[1].confirmed.epoch, answers[n_answers - 1].rec.epoch);
    /* A subscriber that leaves is not waited for; one that comes later is not either.
     */
    S[2].acked = S[2].seq;
    S[3].acked = S[3].seq;
    registry_register(R, S[1].nve, 10, &r, true, false, now);
    run_some(UINT32_MAX, false);
    registry_ack(R, S[2].nve, S[2].seq, now);
    subscribe(4, 0);
    registry_nve_down(R, S[3].nve, now);
    S[3].nve = 0;
    run_some(UINT32_MAX, false);
    assert_int_equal(S[1].n_confirm, before + 2);
    /* Overtaken before it was sent: the one that took it over needs no word of it. */
    run();
    registry_nve_blocked(R, S[2].nve, true);
    registry_register(R, S[1].nve, 11, &r, true, false, now);
    run();
    assert_int_equal(S[1].n_confirm, before + 2);
    registry_register(R, S[2].nve, 12, &r, true, false, now);
    registry_nve_blocked(R, S[2].nve, false);
    run();
    assert_int_equal(S[1].n_confirm, before + 3);
    assert_int_equal(S[2].n_confirm, 1);
}

static void
test_pull(void **state)
{
    (void)state;
    struct mapping_rec r;
    uint32_t owner;
    struct mac m1 = mac_n(1), m2 = mac_n(2);
    struct ip i1 = ip_v4(0xc0a80001), i2 = ip_v4(0xc0a80002);
    reg(1, rec_n(0, 1, 0), true);
    assert_int_equal(
        registry_lookup(R, S[2].nve, vni_n(0), &m1, NULL, &r, &owner, now), REG_FOUND);
    assert_int_equal(owner, S[1].nve);
    assert_int_equal(
        registry_lookup(R, S[2].nve, vni_n(0), NULL, &i1, &r, &owner, now), REG_FOUND);
    assert_true(mac_equal(&r.mac, &m1));
    assert_int_equal(registry_lookup(R, S[2].nve, vni_n(7), NULL, &i1, &r, &owner, now),
        REG_UNKNOWN_VN);
    /* Negative subscribes too: it hears when the address appears, and when it goes
     * (K8). */
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), NULL, &i2, &r, &owner, now), REG_ABSENT);
    assert_int_equal(
        registry_lookup(R, 0, vni_n(0), &m2, NULL, &r, &owner, now), REG_ABSENT);
    S[2].n_notify = S[3].n_notify = 0;
    reg(4, rec_n(0, 2, 0), true);
    assert_int_equal(S[3].n_notify, 1);
    assert_int_equal(S[2].n_notify, 0);
    uint64_t e = reg(5, rec_n(0, 1, 0), true)->rec.epoch;
    assert_int_equal(S[2].n_notify, 2); /* it asked by MAC and by IP */
    r = rec_n(0, 1, e);
    withdraw(5, r);
    assert_int_equal(S[2].n_negative, 2);
    r = rec_n(0, 2, 0);
    r.n_ips = 0;
    reg(4, r, true); /* the address alone goes */
    assert_int_equal(S[3].n_negative, 1);
    assert_true(ip_equal(&S[3].negative.ips[0], &i2));
    /* Now a VSI of VN 0 has unknown addresses: those who hold such are asked (K8). */
    struct ip i9 = ip_v4(0xc0a80009);
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), NULL, &i9, &r, &owner, now), REG_LATER);
    run();
    assert_int_equal(S[4].n_who_has, 1);
    assert_int_equal(S[1].n_who_has, 0);
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), NULL, &i9, &r, &owner, now), REG_LATER);
    now += 400000;
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), NULL, &i9, &r, &owner, now), REG_ABSENT);
    run();
    assert_int_equal(S[4].n_who_has, 1);
    struct mapping_rec r2 = rec_n(0, 2, 0);
    r2.ips[0] = i9;
    S[3].n_notify = 0;
    reg(4, r2, true);
    assert_int_equal(S[3].n_notify, 1);
    /* Bounded: the oldest makes room and is forgotten at the asker. */
    for (uint32_t i = 0; i < 200; i++) {
        struct mac m = mac_n(1000 + i);
        registry_lookup(R, S[2].nve, vni_n(0), &m, NULL, &r, &owner, now);
    }
    run();
    struct registry_nve_view v;
    uint32_t total = 0;
    for (uint32_t it = 0; registry_each_nve(R, &it, &v);)
        total += v.n_key_subs;
    assert_true(total <= 64);
}

static void
test_talkers(void **state)
{
    (void)state;
    struct ip a = vtep_n(1), src = ip_v4(1), dst;
    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 8; i++) {
            dst = ip_v4(0xc0a80000 + i);
            registry_talk(R, vni_n(0), &a, &src, &dst, NULL, now + i);
        }
    dst = ip_v4(0xc0a80000);
    registry_talk(R, vni_n(0), &a, &src, &dst, NULL, now + 100);
    dst = ip_v4(0xc0a80099);
    registry_talk(R, vni_n(0), &a, &src, &dst, NULL, now + 101); /* number 1 goes */
    struct registry_talk_view v;
    uint32_t n = 0, sum = 0;
    for (uint32_t it = 0; registry_each_talk(R, &it, &v); n++) {
        sum += (uint32_t)v.count;
        struct ip gone = ip_v4(0xc0a80001);
        assert_false(ip_equal(&v.dst, &gone));
    }
    assert_int_equal(n, 8);
    assert_int_equal(sum, 4 + 6 * 3 + 1);
}

static void
test_vns(void **state)
{
    (void)state;
    struct vn_rec vn = {.vni = 6000, .mtu = 1400, .name = "vn1"};
    uint8_t reason;
    assert_false(registry_vn_put(R, &vn, &reason, now)); /* the name is taken */
    assert_int_equal(reason, REG_CONFLICT);
    strcpy(vn.name, "blue");
    assert_true(registry_vn_put(R, &vn, &reason, now));
    run();
    assert_int_equal(n_answers, N_NVE);
    n_answers = 0;
    assert_int_equal(registry_vn(R, 0, "blue")->vni, 6000);
    strcpy(vn.name, "red");
    assert_true(registry_vn_put(R, &vn, &reason, now));
    assert_null(registry_vn(R, 0, "blue"));
    run();
    n_answers = 0;
    registry_vn_lookup(R, S[1].nve, 5, 0, "red");
    const struct registry_out *o = answer();
    assert_int_equal(o->ref, 5);
    assert_int_equal(o->vn.vni, 6000);
    registry_vn_lookup(R, S[1].nve, 6, 0, "blue");
    assert_int_equal(answer()->reason, REG_NO_VN);
    for (uint32_t i = 0; i < 10; i++) {
        vn.vni = 7000 + i;
        snprintf(vn.name, sizeof vn.name, "x%u", i);
        assert_int_equal(registry_vn_put(R, &vn, &reason, now), i < 4);
    }
    assert_int_equal(reason, REG_FULL);
    run();
    n_answers = 0;
    /* Deleted: the mappings go, the epochs are remembered, it may come again. */
    subscribe(2, 0);
    uint64_t e = reg(1, rec_n(0, 1, 0), true)->rec.epoch;
    assert_true(registry_vn_del(R, vni_n(0), now));
    assert_false(registry_vn_del(R, vni_n(0), now));
    run();
    n_answers = 0;
    assert_int_equal(registry_count(R), 0);
    assert_int_equal(reg(1, rec_n(0, 1, 0), true)->reason, REG_NO_VN);
    S[2].subscribed[0] = false;
    vn = (struct vn_rec){.vni = vni_n(0), .name = "vn0"};
    assert_true(registry_vn_put(R, &vn, &reason, now));
    run();
    n_answers = 0;
    assert_int_equal(reg(2, rec_n(0, 1, e), false)->reason, REG_STALE);
    assert_true(registry_vn_del(R, vni_n(0), now));
    tick(101000000);
    uint32_t it = 0, n = 0;
    while (registry_each_vn(R, &it))
        n++;
    assert_int_equal(n, 7);
}

/* K11: a lost session leaves its mappings for T_stale; what it does not name again
 * goes. */
static void
test_session_lost(void **state)
{
    (void)state;
    subscribe(2, 0);
    struct mapping_rec r1 = reg(1, rec_n(0, 1, 0), true)->rec;
    reg(1, rec_n(0, 2, 0), true);
    registry_nve_down(R, S[1].nve, now);
    S[1].nve = 0;
    tick(10000000);
    struct registry_map_view v;
    uint32_t it = 0;
    assert_true(registry_each_mapping(R, &it, &v) && v.stale);
    up(1);
    registry_register(
        R, S[1].nve, 5, &r1, true, true, now); /* refresh claims nothing */
    assert_int_equal(answer()->rec.epoch, r1.epoch);
    S[2].n_notify = 0;
    registry_register_end(R, S[1].nve, now);
    run();
    assert_int_equal(registry_count(R), 1);
    assert_int_equal(S[2].n_notify, 1); /* only of the one that went */
    check_sub(2, true);
    registry_nve_down(R, S[1].nve, now);
    S[1].nve = 0;
    tick(19000000);
    assert_int_equal(registry_count(R), 1);
    tick(2000000);
    assert_int_equal(registry_count(R), 0);
    check_sub(2, true);
    /* A second session of the same name replaces; another at the same place is refused.
     */
    up(1);
    struct ip vtep = vtep_n(1);
    assert_int_equal(registry_nve_up(R, "thief", &vtep, false, now), 0);
    reg(1, rec_n(0, 1, 0), true);
    registry_nve_bye(R, S[1].nve, now);
    S[1].nve = 0;
    run();
    assert_int_equal(registry_count(R), 0);
    check_sub(2, true);
}

/* K11: an endpoint is known to every session from the first thing it is told until its
 * NVE is gone, in no VN at all; a lost session is not gone yet. */
static void
test_endpoints(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= N_NVE; i++)
        for (uint32_t j = 1; j <= N_NVE; j++)
            assert_int_equal(S[i].known[j], i != j);
    uint32_t it = 0;
    struct registry_nve_view v;
    while (registry_each_nve(R, &it, &v))
        assert_int_equal(v.n_vns, 0);
    /* Lost, and back: nobody is told anything. */
    uint64_t seq = S[2].seq;
    registry_nve_down(R, S[1].nve, now);
    S[1].nve = 0;
    tick(19000000);
    up(1);
    run();
    assert_int_equal(S[2].seq, seq);
    assert_true(S[2].known[1] && S[1].known[2]);
    assert_int_equal(S[1].n_snapshots, 0); /* of VNs */
    /* Lost for too long, and ended cleanly. */
    registry_nve_down(R, S[1].nve, now);
    S[1].nve = 0;
    tick(19000000);
    assert_true(S[2].known[1]);
    tick(2000000);
    assert_false(S[2].known[1]);
    up(1);
    run();
    assert_true(S[2].known[1]);
    registry_nve_bye(R, S[1].nve, now);
    S[1].nve = 0;
    run();
    assert_false(S[2].known[1]);
    /* Another endpoint of the same NVE, which also is in a VN: the old one is
     * forgotten. */
    up(1);
    subscribe(1, 0);
    subscribe(2, 0);
    run();
    assert_true(S[2].known[1] && S[2].member[0][1]);
    struct ip moved = vtep_n(99);
    uint32_t again = registry_nve_up(R, "nve1", &moved, false, now);
    assert_int_equal(again, S[1].nve);
    memset(&S[1], 0, sizeof S[1]);
    S[1].nve = again;
    run();
    assert_false(S[2].known[1] || S[2].member[0][1]);
    /* Nobody may name that network. */
    struct mapping_rec rec = rec_n(0, 1, 0);
    rec.vni = 0;
    assert_int_equal(reg(2, rec, true)->reason, REG_NO_VN);
    seq = S[2].seq;
    registry_subscribe(R, S[2].nve, 0, now);
    registry_unsubscribe(R, S[2].nve, 0, now);
    assert_false(registry_vn_del(R, 0, now));
    assert_null(registry_vn(R, 0, NULL));
    run();
    assert_int_equal(S[2].seq, seq);
    up(1);
    run();
    assert_true(S[2].known[1]);
}

static void
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

/* The authority restarts between reservation and registration (K4, K7): the number
 * holds, its id is still asked for, and the owner is told again. */
static void
test_reserved_restart(void **state)
{
    (void)state;
    struct mapping_rec r1 = reg(1, rec_n(0, 1, 0), true)->rec;
    reserve(2, 0, 1, 11);
    struct mapping_rec r2 = rec_n(0, 1, answer()->rec.epoch);
    reserve(3, 0, 1, 12);
    struct mapping_rec r3 = rec_n(0, 1, answer()->rec.epoch);
    r2.migration_id = 11;
    for (int late = 0; late < 2; late++) {
        restart();
        for (uint32_t i = 1; i <= N_NVE; i++)
            up(i);
        run();
        n_answers = 0;
        if (late) { /* the target is quicker than the old owner */
            r3.migration_id = 13;
            assert_int_equal(reg(3, r3, false)->reason, REG_CONFLICT);
            r3.migration_id = 12;
            assert_int_equal(reg(3, r3, false)->type, REG_REGISTERED);
            assert_int_equal(reg(1, r1, false)->reason, REG_STALE);
            break;
        }
        registry_register(R, S[1].nve, 77, &r1, false, true, now);
        assert_int_equal(answer()->type, REG_REGISTERED);
        for (uint32_t i = 1; i <= N_NVE; i++) {
            if (i == 2 || i == 3) { /* asked again, as what is owned is said again */
                reserve(i, 0, 1, 9 + i);
                assert_int_equal(answer()->rec.epoch, i == 2 ? r2.epoch : r3.epoch);
            }
            registry_register_end(R, S[i].nve, now);
        }
        run();
        told(1, 1, 3, r3.epoch, 12);
        reserve(3, 0, 1, 12); /* asked again: its answer was lost */
        assert_int_equal(answer()->rec.epoch, r3.epoch);
    }
    assert_int_equal(disk.resvs[key_of(&r3)][2].epoch, 0); /* done with */
    assert_int_equal(disk.resvs[key_of(&r3)][3].epoch, 0);
    for (uint32_t i = 1; i <= N_NVE; i++)
        registry_register_end(R, S[i].nve, now);
    run();
    n_answers = 0;
    assert_int_equal(reg(2, r2, false)->reason, REG_STALE); /* the older attempt */
    assert_true(reg(1, rec_n(0, 1, 0), true)->rec.epoch > r3.epoch);
}

static void
test_recovery(void **state)
{
    (void)state;
    struct mapping_rec r1 = reg(1, rec_n(0, 1, 0), true)->rec, rec;
    struct mac m1 = mac_n(1), m2 = mac_n(2);
    restart();
    assert_true(registry_recovering(R));
    up(2);
    up(3);
    rec = rec_n(0, 2, 0);
    registry_register(R, S[2].nve, 50, &rec, true, false, now);
    run();
    assert_int_equal(n_answers, 0); /* nothing is granted */
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), &m1, NULL, &rec, NULL, now), REG_LATER);
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), &m2, NULL, &rec, NULL, now), REG_LATER);
    struct mac m3 = mac_n(3);
    registry_lookup(R, S[3].nve, vni_n(0), &m3, NULL, &rec, NULL, now);
    up(1);
    registry_register(R, S[1].nve, 51, &r1, true, true, now);
    assert_int_equal(answer()->type, REG_REGISTERED);
    assert_int_equal(S[3].n_notify, 1);
    for (uint32_t i = 4; i <= N_NVE; i++)
        up(i);
    for (uint32_t i = 1; i <= N_NVE; i++) {
        assert_true(registry_recovering(R));
        registry_register_end(R, S[i].nve, now);
        registry_register_end(R, S[i].nve, now);
    }
    assert_false(registry_recovering(R));
    const struct registry_out *o = answer();
    assert_int_equal(o->ref, 50);
    assert_true(o->rec.epoch > r1.epoch);
    assert_int_equal(S[3].n_notify, 2);
    assert_int_equal(S[3].n_negative, 1); /* the one owed and now known not to be */
    /* One that does not come back holds us up for T_recover at most. */
    restart();
    up(1);
    rec = rec_n(0, 4, 0);
    registry_register(R, S[1].nve, 52, &rec, true, false, now);
    tick(9000000);
    assert_int_equal(n_answers, 0);
    tick(2000000);
    assert_int_equal(answer()->ref, 52);
    /* The disk is slow, then full, then well: grants wait, none is lost. */
    disk.fail = true;
    for (uint32_t i = 0; i < 150000; i++) {
        rec = rec_n(0, 1 + i % 2, 0);
        registry_register(R, S[1].nve, 1, &rec, true, false, now);
        struct registry_out out;
        while (registry_output(R, &out))
            if (out.type == REG_STORE)
                store(&out);
    }
    assert_true(registry_counter(R, REGC_GRANTS) < 101000);
    disk.fail = false;
    n_answers = 0;
    tick(1000000);
    assert_int_equal(n_answers, 512); /* max_waiting */
}

/* Never the same number twice for a key, whatever is lost: restarts at random points,
 * with a disk that lags. */
static void
test_property_grants(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        teardown(NULL);
        setup(NULL);
        uint64_t highest[KEYS] = {0};
        for (uint32_t step = 0; step < 3000; step++) {
            uint32_t i = 1 + rng_below(&rng, N_NVE), vn = rng_below(&rng, N_VN);
            struct mapping_rec r = rec_n(vn, rng_below(&rng, N_KEY), 0);
            int k = key_of(&r);
            if (rng_below(&rng, 400) == 0) {
                run_some(rng_below(&rng, 5), false);
                n_answers = 0; /* answers on their way are lost */
                restart();
                for (uint32_t j = 1; j <= N_NVE; j++)
                    up(j);
                for (uint32_t j = 1; j <= N_NVE; j++)
                    registry_register_end(R, S[j].nve, now);
            }
            r.epoch = rng_below(&rng, 3) == 0
                          ? highest[k] + rng_below(&rng, 3) * rng_below(&rng, 200000)
                          : 0;
            r.migration_id = seed << 32 | step << 1 | 1;
            disk.stall = rng_below(&rng, 3) == 0;
            if (rng_below(&rng, 2))
                registry_reserve(R, S[i].nve, 1 + step, &r, now);
            else
                registry_register(R, S[i].nve, 1 + step, &r, true, false, now);
            run_some(rng_below(&rng, 20), true);
            if (disk.n_stalled && rng_below(&rng, 2)) {
                disk.hwm = disk.stall_hwm[0];
                disk.n_stalled = 0;
                registry_stored(R, disk.stall_id[0], 0, now);
            }
            if (rng_below(&rng, 10) == 0)
                tick(rng_below(&rng, 3000000));
            for (uint32_t a = 0; a < n_answers; a++) {
                const struct registry_out *o = &answers[a];
                if (o->type != REG_GRANT && o->type != REG_REGISTERED)
                    continue;
                int g = key_of(&o->rec);
                bool twice = false;
                for (uint32_t j = 0; j < n_granted[g]; j++)
                    twice |= granted[g][j] == o->rec.epoch;
                assert_false(twice);
                assert_true(o->rec.epoch > highest[g] || o->type == REG_GRANT);
                assert_true(o->rec.epoch > highest[g]);
                assert_true(o->rec.epoch < disk.hwm);
                highest[g] = o->rec.epoch;
                granted[g][n_granted[g]++] = o->rec.epoch;
            }
            n_answers = 0;
        }
    }
}

/* E3, E4, F2, F3: epochs in any order, duplicated, from anybody; withdrawals late. */
static void
test_property_owner(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        teardown(NULL);
        setup(NULL);
        uint64_t best = 0;
        uint32_t owner = 0;
        bool live = false;
        for (uint32_t step = 0; step < 60; step++) {
            uint64_t e = 1 + rng_below(&rng, 20);
            uint32_t i =
                1 + (uint32_t)(e * 2654435761u % N_NVE); /* one owner per epoch */
            if (rng_below(&rng, 4)) {
                const struct registry_out *o = reg(i, rec_n(0, 1, e), false);
                bool behind = live && i == owner; /* is told the number that stands */
                assert_int_equal(
                    o->type, e >= best || behind ? REG_REGISTERED : REG_REJECT);
                assert_true(!behind || o->rec.epoch == (e > best ? e : best));
                if (e >= best) {
                    best = e;
                    owner = i;
                    live = true;
                }
            } else {
                const struct registry_out *o = withdraw(i, rec_n(0, 1, e));
                bool ends = live && i == owner;
                assert_int_equal(o->type, !live || ends ? REG_REGISTERED : REG_REJECT);
                live = live && !ends;
            }
        }
        struct mapping_rec r;
        struct mac mac = mac_n(1);
        uint32_t nve = 0;
        assert_int_equal(registry_peek(R, vni_n(0), &mac, NULL, &r, &nve),
            live ? REG_FOUND : REG_ABSENT);
        if (live) {
            assert_int_equal(r.epoch, best);
            assert_int_equal(nve, S[owner].nve);
        }
    }
}

/* Whatever happens, a subscriber that applied its stream to the end knows the table. */
static void
test_property_stream(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        teardown(NULL);
        setup(NULL);
        for (uint32_t step = 0; step < 600; step++) {
            uint32_t i = 1 + rng_below(&rng, N_NVE), vn = rng_below(&rng, N_VN);
            struct mapping_rec r = rec_n(vn, rng_below(&rng, N_KEY), 0);
            r.n_ips = (uint8_t)rng_below(&rng, 5);
            for (uint32_t j = 0; j < r.n_ips; j++)
                r.ips[j] = ip_v4(0xc0a80000 + rng_below(&rng, 30));
            if (!S[i].nve) {
                up(i);
                if (rng_below(&rng, 2))
                    registry_register_end(R, S[i].nve, now);
            }
            struct mapping_rec found;
            uint32_t owner = 0;
            switch (rng_below(&rng, 12)) {
            case 0:
            case 1:
            case 2:
            case 3:
                registry_register(R, S[i].nve, step, &r, true, false, now);
                break;
            case 4:
            case 5:
                if (registry_peek(R, r.vni, &r.mac, NULL, &found, &owner) == REG_FOUND)
                    registry_withdraw(R, owner, 0, &found, now);
                break;
            case 6:
                subscribe(i, vn);
                break;
            case 7:
                registry_unsubscribe(R, S[i].nve, vni_n(vn), now);
                S[i].subscribed[vn] = S[i].complete[vn] = S[i].began[vn] = false;
                memset(&S[i].keys[vn * N_KEY], 0, N_KEY * sizeof S[i].keys[0]);
                memset(S[i].member[vn], 0, sizeof S[i].member[vn]);
                break;
            case 8:
                registry_nve_blocked(R, S[i].nve, rng_below(&rng, 2));
                break;
            case 9:
                if (rng_below(&rng, 4) == 0) {
                    run_some(UINT32_MAX, false); /* what was said is said */
                    if (rng_below(&rng, 2))
                        registry_nve_down(R, S[i].nve, now);
                    else
                        registry_nve_bye(R, S[i].nve, now);
                    memset(&S[i], 0, sizeof S[i]);
                }
                break;
            case 10:
                registry_lookup(R, S[i].nve, r.vni, rng_below(&rng, 2) ? &r.mac : NULL,
                    &r.ips[0], &found, &owner, now);
                break;
            default:
                now += rng_below(&rng, 8000000);
                registry_tick(R, now);
            }
            run_some(rng_below(&rng, 12), rng_below(&rng, 3) == 0);
            n_answers = 0;
        }
        for (uint32_t i = 1; i <= N_NVE; i++)
            if (S[i].nve)
                registry_nve_blocked(R, S[i].nve, false);
        run();
        /* Lingering memberships end, all cursors come to the end. */
        for (uint32_t i = 1; i <= N_NVE; i++)
            if (!S[i].nve)
                up(i);
        for (uint32_t i = 1; i <= N_NVE; i++)
            registry_register_end(R, S[i].nve, now);
        tick(25000000);
        run();
        for (uint32_t i = 1; i <= N_NVE; i++)
            check_sub(i, true);
        struct registry_nve_view v;
        for (uint32_t it = 0; registry_each_nve(R, &it, &v);)
            assert_int_equal(v.n_unacked, 0);
        struct registry_map_view m;
        for (uint32_t it = 0; registry_each_mapping(R, &it, &m);)
            assert_false(m.unconfirmed);
    }
}

static void
test_bounds(void **state)
{
    (void)state;
    struct registry_out out;
    for (uint32_t i = 0; i < 6000; i++) {
        struct mapping_rec r = rec_n(0, 0, 0);
        r.mac = mac_n(1 + i);
        r.n_ips = 8;
        for (uint32_t j = 0; j < 8; j++)
            r.ips[j] = ip_v4(0x0b000000 + i * 8 + j);
        registry_register(R, S[1].nve, 1, &r, true, false, now);
        if (i >= 1000) { /* full; what was withdrawn is remembered as long as there is
                            room */
            assert_int_equal(registry_count(R), 1000);
            r.mac = mac_n(1 + i - 1000);
        }
        while (registry_output(R, &out)) {
            if (i >= 1000 && out.type == REG_REJECT)
                assert_int_equal(out.reason, REG_FULL);
            if (out.type == REG_STORE && out.store == REG_STORE_HWM)
                store(&out);
        }
        if (i >= 1000 && i < 5000) {
            struct mapping_rec found;
            if (registry_peek(R, r.vni, &r.mac, NULL, &found, NULL) == REG_FOUND)
                registry_withdraw(R, S[1].nve, 0, &found, now);
            r.mac = mac_n(1 + i);
            registry_register(R, S[1].nve, 1, &r, true, false, now);
        }
    }
    assert_int_equal(registry_count(R), 1000);
    assert_true(registry_counter(R, REGC_EVICTED) > 0);
}

/* K19, and the cost of one Map-Request's look-up. */
static void
test_memory(void **state)
{
    (void)state;
    struct registry_conf conf = {.seed = 9, .max_mappings = 1000000};
    struct registry_out out;
    struct vn_rec vn = {.vni = vni_n(0)};
    uint8_t reason;
    struct registry *r = registry_new(&conf, now);
    registry_loaded(r, now);
    assert_true(registry_vn_put(r, &vn, &reason, now));
    struct ip vtep = vtep_n(1);
    uint32_t nve = registry_nve_up(r, "one", &vtep, false, now);
    for (uint32_t i = 0; i < 100000; i++) {
        struct mapping_rec m = {
            .vni = vni_n(0), .mac = mac_n(i), .n_ips = 2, .epoch = 1};
        m.ips[0] = ip_v4(0x0a000000 + i);
        m.ips[1] = (struct ip){
            {0x20, 1, [12] = (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8),
             (uint8_t)i}
        };
        registry_register(r, nve, 0, &m, false, false, now);
        while (registry_output(r, &out))
            continue;
    }
    assert_int_equal(registry_count(r), 100000);
    double each = (double)registry_bytes(r) / 100000;
    struct timespec t0, t1;
    struct mapping_rec rec;
    uint32_t found = 0, owner;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (uint32_t i = 0; i < 200000; i++) {
        struct ip ip = ip_v4(0x0a000000 + i * 7919u % 100000);
        found += registry_peek(r, vni_n(0), NULL, &ip, &rec, &owner) == REG_FOUND;
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    assert_int_equal(found, 200000);
    double ns =
        ((double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec)) /
        200000;
    print_message("authority: %.1f octets per mapping, look-up %.0f ns\n", each, ns);
    assert_true(each <= 160);
    registry_free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_register),
        T(test_reserve),
        T(test_reserved_notice),
        T(test_reserved_foreign),
        T(test_reserved_restart),
        T(test_reservation_ends),
        T(test_reservation_share),
        T(test_damping),
        T(test_stream),
        T(test_confirm),
        T(test_pull),
        T(test_talkers),
        T(test_vns),
        T(test_session_lost),
        T(test_endpoints),
        T(test_recovery),
        T(test_property_grants),
        T(test_property_owner),
        T(test_property_stream),
        T(test_bounds),
        T(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
