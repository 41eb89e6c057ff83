/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of one NVE: what node.c and its adapters share. An adapter translates between one
 * conversation of proto and the plain data of core/edge; it decides nothing. Each has
 * new, free, deadline, tick, and an output function that node.c pulls: it hands back
 * something for main, or feeds the edge and reports that there may be more. */
#ifndef BERTH_NVE_NODE_INT_H
#define BERTH_NVE_NODE_INT_H
#include "base/mem.h"
#include "base/rng.h"
#include "nve/node.h"

struct tns_vdp;
struct map_lisp;
struct ctl;
struct trace;
struct nve {
    struct nve_conf conf;
    char *name, *key;                    /* own copies of the configuration's texts */
    char **port_names;
    uint64_t now_us, started_us;
    struct rng rng;                      /* nonces; seeded by the configuration */
    bool restored;                       /* the journal's records are all in */
    struct edge *edge;
    struct tns_vdp *vdp;
    struct map_lisp *lisp;               /* NULL without an authority */
    struct ctl *ctl;
    struct trace *trace;
    uint64_t dp_counters[DPC_N];
    struct nve_hold *holds;              /* read with the counters */
    uint32_t n_holds;
    struct nve_relay *relays;            /* the same */
    uint32_t n_relays;
};
enum pulled { PULLED_NOTHING, PULLED_MORE, PULLED_OUT };

/* tns_vdp.c: VDP and LLDP at each server port */
struct tns_vdp *tns_vdp_new(struct nve *n);
void tns_vdp_free(struct tns_vdp *t);
void tns_vdp_port(struct tns_vdp *t, uint32_t port, bool up, const struct mac *mac);
void tns_vdp_frame(struct tns_vdp *t, uint32_t port, const uint8_t *p, uint32_t size);
void tns_vdp_answer(struct tns_vdp *t, const struct tns_response *r);
void tns_vdp_notice(struct tns_vdp *t, const struct tns_notice *notice);
void tns_vdp_restore(struct tns_vdp *t, const uint8_t *p, uint32_t size);
void tns_vdp_restored(struct tns_vdp *t);      /* the edge has all of its records */
uint64_t tns_vdp_deadline(const struct tns_vdp *t);
void tns_vdp_tick(struct tns_vdp *t);
enum pulled tns_vdp_output(struct tns_vdp *t, struct nve_out *out);
#define RECORD_VDP 64                    /* journal kind of vdp_bridge_save (K3) */
struct tns_vdp_view {
    bool up, station, berth, reflective_relay;
    struct mac peer;
    uint8_t rte, rka, rwd, retries;
    uint32_t vsis;
};
void tns_vdp_view(const struct tns_vdp *t, uint32_t port, struct tns_vdp_view *v);
/* Counters over all ports by name; *it starts at 0. */
bool tns_vdp_counter(const struct tns_vdp *t, uint32_t *it, const char **group,
    const char **name, uint64_t *value);

/* map_lisp.c: the session with the authority, and pull over UDP */
struct map_lisp *map_lisp_new(struct nve *n);
void map_lisp_free(struct map_lisp *m);
void map_lisp_stop(struct map_lisp *m);
void map_lisp_stream(struct map_lisp *m, const struct nve_in *in);
void map_lisp_udp(struct map_lisp *m, const struct nve_in *in);
void map_lisp_edge(struct map_lisp *m, const struct edge_out *out);
uint64_t map_lisp_deadline(const struct map_lisp *m);
void map_lisp_tick(struct map_lisp *m);
enum pulled map_lisp_output(struct map_lisp *m, struct nve_out *out);
struct map_lisp_view {
    const char *state;
    uint64_t since_us, sent, received, registered, unacknowledged;
};
void map_lisp_view(const struct map_lisp *m, struct map_lisp_view *v);
bool map_lisp_counter(const struct map_lisp *m, uint32_t *it, const char **group,
    const char **name, uint64_t *value);

/* ctl.c: the control socket's commands (doc/protocol/control.md) */
struct ctl *nve_ctl_new(struct nve *n);
void nve_ctl_free(struct ctl *c);
void nve_ctl_request(struct ctl *c, uint64_t conn, const uint8_t *p, uint32_t size);
void nve_ctl_more(struct ctl *c, uint64_t conn, uint32_t room);
void nve_ctl_gone(struct ctl *c, uint64_t conn);
void nve_ctl_counters(struct ctl *c);        /* n->dp_counters are fresh */
enum pulled nve_ctl_output(struct ctl *c, struct nve_out *out);
#endif
