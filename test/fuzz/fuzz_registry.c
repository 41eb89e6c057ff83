/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of what NVEs, askers and the store can do to the authority, eight octets
 * each: [what, nve, vn, mac, epoch, ip, n, advance]. Streams must have no gaps, no
 * epoch may be granted twice for a key, nothing may be answered twice. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N = 4, CLAIMS = 1000000 }; /* ids of claims are above */
static struct registry *r;
static uint64_t now, seqs[N + 8], granted[4][16];
static uint32_t nves[N];
static uint64_t ids;

static void
drain(uint32_t most)
{
    struct registry_out o;
    while (most-- && registry_output(r, &o)) {
        assert(o.nve < N + 8);
        switch ((enum registry_out_type)o.type) {
        case REG_NOTIFY:
        case REG_NEGATIVE:
        case REG_SNAPSHOT:
        case REG_MEMBER:
            assert(o.seq == seqs[o.nve] + 1);
            seqs[o.nve] = o.seq;
            break;
        case REG_GRANT:
        case REG_REGISTERED:
            if (o.ref == 2 && o.rec.migration_id > CLAIMS) { /* not overtaken */
                uint64_t *g = &granted[o.rec.vni & 3][o.rec.mac.b[5] & 15];
                assert(o.rec.epoch > *g);
                *g = o.rec.epoch;
            }
            break;
        case REG_STORE:
            if (o.id)
                registry_stored(r, o.id, o.seq == 7 ? -5 : 0, now);
            break;
        case REG_REJECT:
        case REG_CONFIRM:
        case REG_VN:
        case REG_WHO_HAS:
        case REG_RESERVED:
            break;
        }
    }
}

/* What people look at can be walked at any time. */
static void
look(const struct ip *vtep, uint32_t vni)
{
    struct registry_nve_view n;
    struct registry_resv_view v;
    struct registry_talk_view t;
    const struct vn_rec *vn;
    uint32_t maps, members, nve = registry_nve_of(r, vtep), up = 0;
    for (uint32_t it = 0; registry_each_nve(r, &it, &n);)
        up += n.up && n.number == nve;
    assert(up == (nve != 0));
    for (uint32_t it = 0; registry_each_reservation(r, &it, &v);)
        assert(v.epoch);
    for (uint32_t it = 0; registry_each_talk(r, &it, &t);)
        assert(t.count);
    for (uint32_t it = 0; (vn = registry_each_vn(r, &it));)
        assert(vn == registry_vn(r, vn->vni, NULL));
    registry_vn_count(r, vni, &maps, &members);
    assert(maps <= registry_count(r));
}

/* Rows of a store, as a start finds them. */
static void
load(const uint8_t *d)
{
    struct mapping_rec m = {.vni = 5000 + d[1] % 4,
        .owner = ip_v4(0x0a000000 + 1 + d[2] % 5),
        .epoch = 1 + d[3], /* a row of epoch 0 is one that is deleted */
        .migration_id = d[4]};
    struct vn_rec vn = {.vni = m.vni, .name = "v0"};
    m.mac.b[0] = 2;
    m.mac.b[5] = d[5] % 16;
    vn.name[1] = (char)('0' + d[6] % 5);
    switch (d[0] % 4) {
    case 0:
        registry_load_vn(r, &vn);
        break;
    case 1:
        registry_load_epoch(r, d[6] ? m.vni : 0, &m.mac, m.epoch, m.migration_id, now);
        break;
    case 2:
        registry_load_reservation(r, &m, now);
        break;
    case 3:
        registry_load_nve(r, d[6] & 1 ? "n1" : "n9");
        break;
    }
}

static void
step(const uint8_t *d)
{
    uint32_t i = d[1] % N, nve = nves[i], owner;
    struct ip vtep = ip_v4(0x0a000000 + 1 + (d[1] >> 4) % 5);
    char name[8];
    uint8_t reason;
    struct mapping_rec m = {
        .vni = 5000 + d[2] % 4, .n_ips = d[6] % 9, .low_trust = d[5]};
    m.mac.b[0] = 2;
    m.mac.b[5] = d[3] % 16;
    m.epoch = d[4] == 255 ? EPOCH_RESERVED : d[4];
    m.migration_id = d[4] ? d[4] * 7u : 0;
    for (uint32_t j = 0; j < m.n_ips && j < TNS_IPS_MAX; j++)
        m.ips[j] = d[5] % 2 ? ip_v4(d[5] + j * 3)
                            : (struct ip){
                                  {d[5], [15] = (uint8_t)j}
        };
    struct ip none = {{0}}, *ip = m.n_ips ? &m.ips[0] : &none;
    struct vn_rec vn = {.vni = m.vni};
    struct mapping_rec found;
    snprintf(name, sizeof name, "v%u", d[5] % 5);
    strcpy(vn.name, name);
    switch (d[0] % 21) {
    case 0:
        drain(UINT32_MAX); /* what was said to the session before is said */
        snprintf(name, sizeof name, "n%u", i);
        nve = registry_nve_up(r, name, &vtep, d[6] % 8 == 0, now);
        if (nve) {
            nves[i] = nve;
            seqs[nve] = 0;
        }
        break;
    case 1:
        drain(UINT32_MAX);
        registry_nve_down(r, nve, now);
        break;
    case 2:
        drain(UINT32_MAX);
        registry_nve_bye(r, nve, now);
        break;
    case 3:
    case 4:
        registry_register(r, nve, 1, &m, false, d[6] & 1, now);
        break;
    case 5:
    case 6: /* claims: another id each time */
        m.migration_id = ++ids;
        registry_register(r, nve, 2, &m, true, false, now);
        break;
    case 7:
        m.migration_id = ++ids; /* EPOCH_RESERVED asks for no new number */
        registry_reserve(r, nve, d[4] == 255 ? 1 : 2, &m, now);
        break;
    case 8:
        registry_withdraw(r, nve, d[6] & 1, &m, now);
        break;
    case 9:
        if (registry_peek(r, m.vni, &m.mac, NULL, &found, &owner) == REG_FOUND)
            registry_withdraw(r, owner, 0, &found, now);
        break;
    case 10:
    case 11:
        registry_subscribe(r, nve, m.vni, now);
        break;
    case 12:
        registry_unsubscribe(r, nve, m.vni, now);
        break;
    case 13:
        registry_lookup(
            r, nve, m.vni, d[6] & 1 ? &m.mac : NULL, ip, &found, &owner, now);
        break;
    case 14:
        registry_vn_put(r, &vn, &reason, now);
        break;
    case 15:
        registry_vn_del(r, m.vni, now);
        break;
    case 16:
        registry_ack(r, nve, seqs[nve] - d[6] % 4, now);
        break;
    case 17:
        registry_nve_blocked(r, nve, d[6] & 1);
        break;
    case 18:
        registry_register_end(r, nve, now);
        break;
    case 19:
        registry_talk(r, m.vni, &vtep, ip, ip, &m.mac, now);
        registry_vn_lookup(r, nve, d[6], d[5], name);
        break;
    case 20:
        registry_watch(r, nve, m.vni, now);
        look(&vtep, m.vni);
        break;
    }
    now += (uint64_t)d[7] * d[7] * 1000;
    registry_tick(r, now);
    if (d[7] & 1)
        drain(d[7] / 4);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct registry_conf conf = {.seed = 1,
        .max_nves = N + 2,
        .max_mappings = 12,
        .max_vns = 3,
        .max_key_subs = 8,
        .max_reservations = 4,
        .max_talkers = 4,
        .max_waiting = 8,
        .window = 4,
        .recover_us = 3000000,
        .forget_us = 20000000,
        .stale_us = 5000000,
        .negative_us = 1000000};
    now = 1000;
    memset(seqs, 0, sizeof seqs);
    memset(nves, 0, sizeof nves);
    ids = CLAIMS;
    memset(granted, 0, sizeof granted);
    r = registry_new(&conf, now);
    if (size && data[0] & 1)
        registry_load_nve(r, "n1");
    for (; size >= 8 && data[0] & 128; data += 8, size -= 8)
        load(data);
    registry_loaded(r, now);
    for (; size >= 8; data += 8, size -= 8)
        step(data);
    drain(UINT32_MAX);
    struct registry_map_view m;
    uint32_t n = 0;
    for (uint32_t it = 0; registry_each_mapping(r, &it, &m);)
        n++;
    assert(n == registry_count(r) && n <= 12);
    registry_free(r);
    return 0;
}
