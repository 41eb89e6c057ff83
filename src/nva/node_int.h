/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of one authority: what node.c and its adapters share. An adapter translates
 * between one conversation and the plain data of core/registry; it decides nothing. */
#ifndef BERTH_NVA_NODE_INT_H
#define BERTH_NVA_NODE_INT_H
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "core/registry.h"
#include "nva/node.h"
#include "wire/lisp.h"

struct sessions;
struct foreign;
struct udp_map;
struct nva_ctl;
struct trace;
struct nva {
    struct nva_conf conf;
    char *name;                          /* own copies of the configuration's texts */
    struct nva_key *keys;
    uint64_t settings[NVA_SET_N];        /* what is in force */
    uint64_t now_us, started_us;
    struct lisp_dialect dialect;
    struct rng rng;                      /* jitter and hash seeds; seeded by the configuration */
    struct registry *reg;
    struct sessions *sessions;
    struct udp_map *udp;
    struct foreign *foreign;
    struct nva_ctl *ctl;
    struct trace *trace;
    bool stopping;
};
enum pulled { PULLED_NOTHING, PULLED_MORE, PULLED_OUT };

/* sessions.c: one session server per stream (K5) */
struct sessions *sessions_new(struct nva *n);
void sessions_free(struct sessions *s);
void sessions_stream(struct sessions *s, const struct nva_in *in);
void sessions_registry(struct sessions *s, const struct registry_out *o);
void sessions_stop(struct sessions *s);
uint64_t sessions_deadline(const struct sessions *s);
void sessions_tick(struct sessions *s);
enum pulled sessions_output(struct sessions *s, struct nva_out *out);
bool sessions_is_up(const struct sessions *s, uint32_t nve);
struct ip sessions_vtep(const struct sessions *s, uint32_t nve);      /* none: not up */
struct session_view {
    const char *name, *state;
    struct ip peer, vtep;
    uint32_t nve;                        /* 0: not authenticated */
    bool blocked;
    uint64_t since_us, backlog;
};
bool sessions_each(const struct sessions *s, uint32_t *it, struct session_view *v);
bool sessions_counter(const struct sessions *s, uint32_t *it, const char **group,
    const char **name, uint64_t *value, const char **help);

/* udp.c: questions by UDP, and the machine for registrations of foreign routers */
struct udp_map *udp_map_new(struct nva *n);
void udp_map_free(struct udp_map *u);
uint32_t udp_map_fast(struct udp_map *u, const uint8_t *p, uint32_t size,
    const struct ip *from, uint16_t from_port, uint8_t *out, uint32_t cap, struct ip *to,
    uint16_t *to_port);
void udp_map_input(struct udp_map *u, const struct nva_in *in);
uint64_t udp_map_deadline(const struct udp_map *u);
void udp_map_tick(struct udp_map *u);
enum pulled udp_map_output(struct udp_map *u, struct nva_out *out);
bool udp_map_counter(const struct udp_map *u, uint32_t *it, const char **group,
    const char **name, uint64_t *value, const char **help);
/* A foreign router has lost (VN, MAC) to another owner: tell it (RFC 9301 clause 5.7). */
void udp_map_lost(struct udp_map *u, const struct ip *router, uint64_t site_id,
    uint8_t key_id, const struct mapping_rec *now);

/* foreign.c: what foreign routers have registered: soft state with a life time each. (VN,
 * MAC) goes into the registry; an address without a MAC has no place there and is kept
 * here, for questions alone. */
struct foreign_from {
    struct ip from;                      /* who sent it */
    uint64_t site_id;
    uint8_t key_id;
    bool proxy;                          /* P bit: we may answer for it */
    bool use_ttl;
};
struct foreign *foreign_new(struct nva *n);
void foreign_free(struct foreign *f);
/* A message: begin, its records, end; then the registry's outputs are pulled. done: every
 * record stands. */
void foreign_begin(struct foreign *f);
void foreign_record(struct foreign *f, const struct foreign_from *from,
    const struct lisp_record *rec);
void foreign_end(struct foreign *f);
bool foreign_waiting(const struct foreign *f);   /* the registry has not answered all yet */
bool foreign_done(const struct foreign *f);
void foreign_registry(struct foreign *f, const struct registry_out *o);
bool foreign_is(const struct foreign *f, uint32_t nve);
bool foreign_proxy(const struct foreign *f, uint32_t nve, uint32_t vni,
    const struct mac *mac);              /* we may answer for that router */
bool foreign_yield(struct foreign *f, const struct ip *vtep);   /* an NVE has come for it */
const struct lisp_record *foreign_find(const struct foreign *f, uint32_t vni,
    const struct ip *ip, bool *proxy);   /* longest prefix */
uint64_t foreign_deadline(const struct foreign *f);
void foreign_tick(struct foreign *f);
struct foreign_view {
    struct lisp_eid eid;
    struct ip owner;
};
bool foreign_each(const struct foreign *f, uint32_t *it, struct foreign_view *v);

/* seen.c: for the trace (node/trace.h) */
void nva_seen(struct nva *n, const struct registry_out *o);

/* ctl.c: the control socket's commands (doc/protocol/control.md) */
struct nva_ctl *nva_ctl_new(struct nva *n);
void nva_ctl_free(struct nva_ctl *c);
void nva_ctl_request(struct nva_ctl *c, uint64_t conn, const uint8_t *p, uint32_t size);
void nva_ctl_more(struct nva_ctl *c, uint64_t conn, uint32_t room);
void nva_ctl_gone(struct nva_ctl *c, uint64_t conn);
void nva_ctl_store(struct nva_ctl *c, const struct registry_out *o);   /* a VN is on its way to the disk */
void nva_ctl_stored(struct nva_ctl *c, uint32_t id, int status);
enum pulled nva_ctl_output(struct nva_ctl *c, struct nva_out *out);
#endif
