/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of events for the whole domain of an NVE, drawn from the input octets:
 * requests of every kind with contents of every kind, completions and refusals in any
 * order, foreign mappings, the authority's words, virtual networks and ports that go
 * and come, data plane events, damaged journal records, time. The invariants of
 * edge_env.h hold at every step; in the end each request has been answered once. */
#include "../unit/edge_env.h"

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
draw_entry(struct rd *r, struct tns_entry *n)
{
    uint8_t how = rd_u8(r);
    *n = (struct tns_entry){.vn_ref = how & 3,
        .has_mac = !(how & 4),
        .ps = how >> 3 & 1,
        .vni = rd_u8(r) % 110,
        .pcp = rd_u8(r) % 9,
        .n_ips = (how >> 4) % 10};
    n->vid = (uint16_t)(how & 8 ? rd_u16(r) % 5000 : 0);
    n->mac = env_mac(rd_u8(r) % 40);
    if (how == 255)
        n->mac.b[0] |= 1;
    snprintf(n->vn_name, sizeof n->vn_name, "vn%u", rd_u8(r));
    for (uint8_t i = 0; i < n->n_ips && i < TNS_IPS_MAX; i++)
        n->ips[i] = how & 64 ? ip_v4(rd_u32(r))
                             : (struct ip){
                                   {0x20, rd_u8(r)}
        };
}

static void
draw_request(struct env *v, struct rd *r)
{
    struct tns_entry n[TNS_ENTRIES_MAX + 1];
    uint8_t how = rd_u8(r);
    struct tns_request rq = {.op = rd_u8(r) % (TNS_N_OPS + 1),
        .port = rd_u8(r) % 6,
        .id = env_vsi_id(rd_u8(r) % 10),
        .reserve = how & 1,
        .suspended = how >> 1 & 1,
        .has_epoch = how >> 2 & 1,
        .berth_station = how >> 3 & 1,
        .hold = how >> 1 & 1,
        .confirm = how >> 3 & 1,
        .entries = n,
        .n_entries = how >> 4};
    if (how == 0xff)
        rq.n_entries = TNS_ENTRIES_MAX + 1;
    rq.epoch = rq.has_epoch ? rd_u8(r) : 0;
    rq.migration_id = rd_u8(r) % 3;
    rq.profile.type_id = 498 + rd_u8(r) % 4;
    rq.profile.version = 1;
    rq.idle_us = rd_u8(r) * UINT64_C(100000);
    if (how & 1)
        rq.peer_nve = ip_v4(0x0a000000 + rd_u8(r) % 4);
    memset(n, 0, sizeof n);
    for (uint16_t i = 0; i < rq.n_entries; i++)
        draw_entry(r, &n[i]);
    env_send(v, &rq);
}

static void
draw_mapping(struct env *v, struct rd *r)
{
    uint8_t what = rd_u8(r);
    struct mapping_rec rec = {.vni = rd_u8(r) % 20,
        .mac = env_mac(rd_u8(r) % 40),
        .owner = ip_v4(0x0a000000 + rd_u8(r) % 4),
        .epoch = rd_u8(r),
        .migration_id = rd_u8(r) % 3,
        .n_ips = what >> 4 & 7};
    for (uint8_t i = 0; i < rec.n_ips; i++)
        rec.ips[i] = ip_v4(0x0a000000 + rd_u16(r));
    uint64_t seq = what & 8 ? rd_u8(r) + 1 : 0;
    switch (what & 7) {
    case 0:
        edge_map_del(v->e, &rec, seq, v->now);
        break;
    case 1:
        edge_map_negative(v->e, rec.vni, &rec.mac, NULL, 1000000, v->now);
        break;
    case 2:
        edge_map_snapshot(v->e, rec.vni, seq & 1, seq, v->now);
        break;
    case 3:
        edge_member(v->e, rec.vni, &rec.owner, seq & 1, seq, v->now);
        break;
    default:
        edge_map_set(v->e, &rec, seq, v->now);
        break;
    }
}

static void
draw_event(struct env *v, struct rd *r)
{
    struct dp_event ev = {.type = rd_u8(r) % DP_N_EVENTS,
        .port = rd_u8(r) % 6,
        .vni = rd_u8(r) % 20,
        .vid = rd_u8(r) % 32,
        .src = env_mac(rd_u8(r) % 60),
        .dst = env_mac(rd_u8(r) % 60),
        .ip = ip_v4(0x0a000000 + rd_u8(r))};
    uint8_t n = rd_u8(r) % 100;
    if (rd_left(r) >= n) {
        ev.frame = rd_ptr(r, n);
        ev.size = n;
    }
    edge_dp_event(v->e, &ev, v->now);
}

/* Numbers reserved by others, or void again; redirects; questions; far ends. */
static void
draw_word(struct env *v, struct rd *r)
{
    uint8_t what = rd_u8(r);
    struct mapping_rec rec = {.vni = rd_u8(r) % 20,
        .mac = env_mac(rd_u8(r) % 40),
        .owner = ip_v4(0x0a000000 + rd_u8(r) % 4),
        .epoch = rd_u8(r),
        .migration_id = rd_u8(r) % 3};
    struct ip ip = ip_v4(0x0a000000 + rd_u8(r));
    struct mapping_rec found;
    switch (what % 8) {
    case 0:
    case 1:
    case 2:
        if (what & 8)
            rec.owner = (struct ip){{0}};
        edge_reserved(v->e, &rec, v->now);
        break;
    case 3:
    case 4:
        edge_smr(v->e, rec.vni, &rec.mac, &rec.owner, v->now);
        break;
    case 5:
        edge_who_has(v->e, rec.vni, &ip, v->now);
        break;
    case 6:
        edge_confirmed(v->e, rec.vni, &rec.mac, rec.epoch, v->now);
        break;
    default:
        edge_answer_query(
            v->e, rec.vni, what & 8 ? &rec.mac : NULL, what & 8 ? NULL : &ip, &found);
        break;
    }
}

/* The authority refuses what is asked of it, or answers what nobody has asked. */
static void
draw_refusal(struct env *v, struct rd *r)
{
    static const int why[] = {-ESTALE, -EEXIST, -EACCES, -ENOENT, -ENOSPC, -EAGAIN};
    uint8_t what = rd_u8(r);
    struct ip holder = ip_v4(0x0a000000 + rd_u8(r) % 4);
    uint32_t i = 0, id;
    while (i < v->n_pending && v->pending[i].type != EDGE_REGISTER &&
           v->pending[i].type != EDGE_RESERVE)
        i++;
    id = i < v->n_pending ? v->pending[i].id : rd_u32(r);
    if (i < v->n_pending)
        ENV_DEL(v->pending, v->n_pending, i);
    if (what & 1)
        edge_conflict(v->e, id, &holder, v->now);
    else
        edge_registered(v->e, id, rd_u8(r), rd_u8(r) % 3, why[what / 2 % 6], v->now);
}

/* Virtual networks that are deleted or changed, and ports that go and come. */
static void
draw_surroundings(struct env *v, struct rd *r)
{
    uint8_t what = rd_u8(r), n = rd_u8(r);
    struct vn_rec asked = {.vni = n % 20}, vn;
    struct edge_port_conf port = {.name = "again", .domain = 1 + n / 16};
    switch (what % 4) {
    case 0:
        env_vn_rec(&asked, &vn);
        vn.deleted = what >> 2 & 1;
        vn.pull = what >> 3 & 1;
        vn.arp = what >> 4 & 3;
        edge_vn(v->e, &vn, 0, v->now);
        break;
    case 1:
        edge_port_gone(v->e, n % 6, v->now);
        break;
    case 2:
        edge_port_add(v->e, n % 6, &port, v->now);
        break;
    default:
        edge_vn_by_vid(v->e, n % 6, what, n % 20);
        edge_vn_by_profile(v->e, 498 + n % 4, 1, what % 20);
        break;
    }
}

static void
step(struct env *v, struct rd *r)
{
    uint8_t n;
    switch (rd_u8(r) % 24) {
    case 0:
        env_tick(v, rd_u32(r) % 1000000);
        break;
    case 1:
        env_tick(v, rd_u32(r) % 500000000);
        break;
    case 2:
        edge_port_link(v->e, rd_u8(r) % 6, rd_u8(r) & 1, v->now);
        break;
    case 3:
        draw_mapping(v, r);
        break;
    case 4:
        draw_event(v, r);
        break;
    case 5:
        edge_session(v->e, rd_u8(r) & 1, v->now);
        break;
    case 6:
        edge_port_reflect(v->e, rd_u8(r) % 6, rd_u8(r) & 1, v->now);
        break;
    case 7:
        edge_done(v->e, rd_u32(r), -EIO, v->now); /* of nobody */
        break;
    case 8:
    case 9:
    case 10:
    case 11:
        for (n = rd_u8(r) % 16; n > 0 && v->n_pending; n--) {
            uint32_t i = rd_u8(r) % v->n_pending;
            v->pending[i].fail = rd_u8(r) > 250;
            env_complete(v, i);
        }
        break;
    case 12:
    case 13:
        draw_word(v, r);
        break;
    case 14:
        draw_refusal(v, r);
        break;
    case 15:
        draw_surroundings(v, r);
        break;
    default:
        draw_request(v, r);
        break;
    }
    env_pull(v);
}

/* What people look at can be walked at any time. */
static void
look(struct env *v)
{
    struct edge_att_view a;
    struct edge_map_view m;
    struct vn_rec vn;
    for (uint32_t it = 0; edge_each_attachment(v->e, &it, &a, v->now);)
        ENV_CHECK(edge_has(v->e, a.port, &a.id) == (a.state != ATT_TERM));
    for (uint32_t it = 0; edge_each_mapping(v->e, &it, &m);)
        ENV_CHECK(m.rec.vni);
    for (uint32_t it = 0; edge_each_vn(v->e, &it, &vn);)
        ENV_CHECK(edge_vn_get(v->e, vn.vni, &vn));
}

/* A journal of whatever is in the input. */
static void
restore(struct env *v, struct rd *r)
{
    for (uint8_t n = rd_u8(r) % 8; n > 0; n--) {
        uint8_t kind = rd_u8(r) % 5, size = rd_u8(r);
        if (rd_left(r) < size)
            break;
        edge_restore(v->e, kind, rd_ptr(r, size), size, v->now);
    }
    edge_restored(v->e, v->now);
    env_pull(v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd r = rd_of(data, size);
    struct env *v = env_new(rd_u8(&r) & 1);
    if (size > 0 && data[0] & 2)
        restore(v, &r);
    while (rd_left(&r))
        step(v, &r);
    look(v);
    for (uint32_t i = 0; i < v->n_pending; i++)
        v->pending[i].fail = 0;
    for (int i = 0; i < 3; i++) {
        env_run(v);
        env_tick(v, 2000000);
        env_run(v);
    }
    for (uint32_t i = 0; i < v->n_answers; i++)
        ENV_CHECK(v->answers[i].times == 1);
    ENV_CHECK(attach_in_flight(v->e) == 0);
    env_check(v);
    env_free(v);
    return 0;
}
