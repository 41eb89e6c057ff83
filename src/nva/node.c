/* SPDX-License-Identifier: Apache-2.0 */
/* The authority composed. Inputs go to the machine they belong to; outputs are pulled
 * lazily, in the order registry, sessions, UDP, control: what one machine says to
 * another is handed over here and the pull goes on, so main sees only what leaves the
 * process. The registry is always empty before a session is pulled again: one frame
 * carries all that one input of the registry has caused. */
#include "nva/node_int.h"
#include "node/trace.h"
#include "base/log.h"
#include <string.h>

#define SECOND 1000000ull
const struct setting nva_settings[NVA_SET_N] = {
    {"t_recover",             30 * SECOND,    SECOND,      3600 * SECOND,       "K4",
     "after a start: longest wait for known NVEs before grants and negative "
        "answers"                                                                                                                            },
    {"t_forget",              86400 * SECOND, 60 * SECOND, 30 * 86400 * SECOND, "K4",
     "how long the highest epoch of a withdrawn mapping is remembered"                                                                       },
    {"t_stale",               120 * SECOND,   SECOND,      86400 * SECOND,      "K11",
     "how long mappings of a lost session stand"                                                                                             },
    {"t_negative",            60 * SECOND,    SECOND,      3600 * SECOND,       "RFC 9301 5.4",
     "how long a negative answer holds"                                                                                                      },
    {"t_hold",                15 * SECOND,    SECOND,      600 * SECOND,        "K5",
     "silence after which an NVE's session is dead"                                                                                          },
    {"t_handshake",           5 * SECOND,     SECOND / 10, 60 * SECOND,         "K5",
     "time for the handshake of a session"                                                                                                   },
    {"t_foreign",             180 * SECOND,   60 * SECOND, 86400 * SECOND,      "RFC 9301 5.6",
     "life of a foreign router's registration that names no time"                                                                            },
    {"t_damp",                180 * SECOND,   SECOND,      86400 * SECOND,      "E5, RFC 7432 15.1",
     "how long a mapping that is claimed in turns is kept where it is after the "
        "latest claim"                                                                                                                       },
    {"max_nves",              4096,           1,           65536,               "K19",               "NVEs and foreign routers ever known"   },
    {"max_streams",           8192,           2,           131072,              "K19",               "sessions at once, handshakes included" },
    {"max_mappings",          1000000,        16,          16000000,            "K19",               "mappings that have an owner"           },
    {"max_vns",               65536,          1,           1048576,             "K19",               "virtual networks"                      },
    {"max_key_subscriptions", 262144,         16,          16000000,            "K8",
     "keys that NVEs have asked for"                                                                                                         },
    {"max_reservations",      65536,          16,          1048576,             "K4",                "epochs reserved and not yet used"      },
    {"max_talkers",           65536,          16,          1048576,             "S4-13",
     "who asked for whom: remembered pairs"                                                                                                  },
    {"max_waiting",           65536,          16,          1048576,             "K4",
     "claims that wait for recovery or the disk"                                                                                             },
    {"max_routers",           256,            1,           4096,                "K19",               "foreign routers at once"               },
    {"max_foreign",           65536,          16,          1048576,             "K19",               "registrations of foreign routers"      },
    {"push_window",           4096,           16,          65536,               "K5",                "pushes to one NVE not yet acknowledged"},
    {"session_backlog",       16777216,       131072,      1073741824,          "K5",
     "octets that an NVE may leave unread"                                                                                                   },
    {"damp_moves",            5,              1,           255,                 "E5, RFC 7432 15.1",
     "moves of a mapping by claims without a migration within t_damp before it is "
        "kept where it is; 255: never"                                                                                                       },
};

static void
conf_copy(struct nva *n, const struct nva_conf *conf)
{
    n->conf = *conf;
    n->name = mem_strdup(conf->name ? conf->name : "nva");
    n->conf.name = n->name;
    n->keys = mem_alloc((conf->n_keys + 1) * sizeof *n->keys);
    for (uint32_t i = 0; i < conf->n_keys; i++) {
        n->keys[i].nve = mem_strdup(conf->keys[i].nve);
        n->keys[i].secret = mem_strdup(conf->keys[i].secret);
    }
    n->conf.keys = n->keys;
    for (unsigned i = 0; i < NVA_SET_N; i++)
        n->settings[i] = conf->settings[i] ? conf->settings[i] : nva_settings[i].def;
}

struct nva *
nva_new(const struct nva_conf *conf, uint64_t now_us)
{
    struct nva *n = mem_alloc(sizeof *n);
    const uint64_t *set = n->settings;
    conf_copy(n, conf);
    n->now_us = n->started_us = now_us;
    rng_seed(&n->rng, conf->seed);
    if (!n->conf.incarnation)
        n->conf.incarnation = rng_next(&n->rng);
    n->dialect = lisp_dialect_default;
    if (conf->oui)
        n->dialect.oui = conf->oui;
    struct registry_conf r = {.seed = rng_next(&n->rng),
        .max_nves = (uint32_t)set[NVA_SET_MAX_NVES],
        .max_mappings = (uint32_t)set[NVA_SET_MAX_MAPPINGS],
        .max_vns = (uint32_t)set[NVA_SET_MAX_VNS],
        .max_key_subs = (uint32_t)set[NVA_SET_MAX_KEY_SUBS],
        .max_reservations = (uint32_t)set[NVA_SET_MAX_RESERVATIONS],
        .max_talkers = (uint32_t)set[NVA_SET_MAX_TALKERS],
        .max_waiting = (uint32_t)set[NVA_SET_MAX_WAITING],
        .window = (uint32_t)set[NVA_SET_WINDOW],
        .recover_us = set[NVA_SET_RECOVER_US],
        .forget_us = set[NVA_SET_FORGET_US],
        .stale_us = set[NVA_SET_STALE_US],
        .negative_us = set[NVA_SET_NEGATIVE_US],
        .damp_moves = (uint32_t)set[NVA_SET_DAMP_MOVES],
        .damp_us = set[NVA_SET_DAMP_US]};
    n->reg = registry_new(&r, now_us);
    n->sessions = sessions_new(n);
    n->foreign = foreign_new(n);
    n->udp = udp_map_new(n);
    n->ctl = nva_ctl_new(n);
    n->trace = trace_new(
        conf->trace_events ? conf->trace_events : TRACE_EVENTS, conf->wall_us);
    n->conf.xtr_keys = NULL; /* the map server has them; the texts are the caller's */
    n->conf.n_xtr_keys = 0;
    return n;
}

void
nva_free(struct nva *n)
{
    if (!n)
        return;
    nva_ctl_free(n->ctl);
    trace_free(n->trace);
    udp_map_free(n->udp);
    foreign_free(n->foreign);
    sessions_free(n->sessions);
    registry_free(n->reg);
    for (uint32_t i = 0; i < n->conf.n_keys; i++) {
        mem_free((char *)n->keys[i].nve);
        mem_free((char *)n->keys[i].secret);
    }
    mem_free(n->keys);
    mem_free(n->name);
    mem_free(n);
}

static void
tick(struct nva *n)
{
    if (registry_deadline(n->reg) <= n->now_us)
        registry_tick(n->reg, n->now_us);
    sessions_tick(n->sessions);
    foreign_tick(n->foreign);
    udp_map_tick(n->udp);
}

void
nva_input(struct nva *n, const struct nva_in *in, uint64_t now_us)
{
    n->now_us = now_us;
    switch ((enum nva_in_type)in->type) {
    case NVA_IN_TICK:
        tick(n);
        break;
    case NVA_IN_LOAD_VN:
        registry_load_vn(n->reg, in->vn);
        break;
    case NVA_IN_LOAD_EPOCH:
        registry_load_epoch(
            n->reg, in->vni, &in->mac, in->epoch, in->migration_id, now_us);
        break;
    case NVA_IN_LOAD_NVE:
        registry_load_nve(n->reg, in->name);
        break;
    case NVA_IN_LOAD_RESERVATION: {
        struct mapping_rec rec = {.vni = in->vni,
            .mac = in->mac,
            .owner = in->target,
            .epoch = in->epoch,
            .migration_id = in->migration_id};
        registry_load_reservation(n->reg, &rec, now_us);
        break;
    }
    case NVA_IN_LOADED:
        registry_loaded(n->reg, now_us);
        break;
    case NVA_IN_STORED:
        nva_ctl_stored(n->ctl, in->id, in->status);
        registry_stored(n->reg, in->id, in->status, now_us);
        break;
    case NVA_IN_STREAM_OPEN:
    case NVA_IN_STREAM_DATA:
    case NVA_IN_STREAM_CLOSED:
    case NVA_IN_STREAM_BLOCKED:
    case NVA_IN_STREAM_DRAINED:
        sessions_stream(n->sessions, in);
        break;
    case NVA_IN_UDP:
        udp_map_input(n->udp, in);
        break;
    case NVA_IN_CONTROL:
        nva_ctl_request(n->ctl, in->conn, in->p, in->size);
        break;
    case NVA_IN_CONTROL_MORE:
        nva_ctl_more(n->ctl, in->conn, in->size);
        break;
    case NVA_IN_CONTROL_GONE:
        nva_ctl_gone(n->ctl, in->conn);
        break;
    case NVA_IN_STOP:
        n->stopping = true;
        sessions_stop(n->sessions);
        break;
    }
}

uint64_t
nva_deadline(const struct nva *n)
{
    uint64_t all[] = {registry_deadline(n->reg), sessions_deadline(n->sessions),
        foreign_deadline(n->foreign), udp_map_deadline(n->udp)};
    uint64_t d = TIMER_NEVER;
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        d = all[i] < d ? all[i] : d;
    return d;
}

static enum pulled
store(struct nva *n, const struct registry_out *o, struct nva_out *out)
{
    static const uint8_t ops[] = {[REG_STORE_VN_PUT] = STORE_VN_PUT,
        [REG_STORE_VN_DEL] = STORE_VN_DEL,
        [REG_STORE_EPOCH] = STORE_EPOCH,
        [REG_STORE_HWM] = STORE_EPOCH_HWM,
        [REG_STORE_NVE] = STORE_NVE_PUT,
        [REG_STORE_RESV] = STORE_RESERVATION};
    out->type = NVA_OUT_STORE;
    out->store = ops[o->store];
    out->id = o->id;
    out->vn = o->vn;
    out->vni = o->store <= REG_STORE_VN_DEL ? o->vn.vni : o->rec.vni;
    out->mac = o->rec.mac;
    out->epoch = o->rec.epoch;
    out->migration_id = o->rec.migration_id;
    out->target = o->rec.owner;
    out->name = o->name;
    if (o->store <= REG_STORE_VN_DEL)
        nva_ctl_store(n->ctl, o);
    return PULLED_OUT;
}

static enum pulled
registry_pull(struct nva *n, struct nva_out *out)
{
    struct registry_out o;
    if (!registry_output(n->reg, &o))
        return PULLED_NOTHING;
    nva_seen(n, &o);
    if (o.type == REG_STORE)
        return store(n, &o, out);
    if (foreign_is(n->foreign, o.nve))
        foreign_registry(n->foreign, &o);
    else
        sessions_registry(n->sessions, &o);
    return PULLED_MORE;
}

bool
nva_output(struct nva *n, struct nva_out *out)
{
    memset(out, 0, sizeof *out);
    for (;;) {
        enum pulled got = registry_pull(n, out);
        if (got == PULLED_NOTHING)
            got = sessions_output(n->sessions, out);
        if (got == PULLED_NOTHING)
            got = udp_map_output(n->udp, out);
        if (got == PULLED_NOTHING)
            got = nva_ctl_output(n->ctl, out);
        if (got == PULLED_OUT)
            return true;
        if (got == PULLED_NOTHING)
            return false;
    }
}

uint32_t
nva_udp_fast(struct nva *n, const uint8_t *p, uint32_t size, const struct ip *from,
    uint16_t from_port, uint8_t *out, uint32_t out_size, struct ip *to,
    uint16_t *to_port, uint64_t now_us)
{
    n->now_us = now_us;
    return udp_map_fast(n->udp, p, size, from, from_port, out, out_size, to, to_port);
}

struct registry *
nva_registry(struct nva *n)
{
    return n->reg;
}
