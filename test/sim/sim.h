/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator: whole NVEs, agents, plain stations and an authority in one process
 * under virtual time, everything drawn from one seed. world.c owns time and the queue
 * of events; net.c is wires, streams and datagrams with their faults; dpmodel.c carries
 * out struct dp_op as core/dp.h says and forwards frames; nodes.c, authority.c and
 * servers.c run the nodes and keep what survives their crashes, record.c repeats one;
 * guests.c are the VMs; work.c makes and reads the list of operations; drive.c moves
 * VMs as a hypervisor does; flight.c knows every frame; cover.c counts what was
 * reached; props.c asserts. Nothing here reads a clock. */
#ifndef BERTH_TEST_SIM_H
#define BERTH_TEST_SIM_H
#include "base/fsm.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "core/edge.h"
#include "nva/node.h"
#include "nve/node.h"
#include "proto/lldp_evb.h"
#include "proto/vdp_station.h"
#include "tes/node.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MS  UINT64_C(1000)
#define SEC UINT64_C(1000000)

/* ---- tables keyed by octets (tab.c) ---- */
#define TAB_KEY 40
#define TAB_VAL 32
struct tab_row {
    uint8_t key_size, key[TAB_KEY];
    uint32_t gen, val_size;
    uint64_t seq;
    void *val; /* owned; small ones are: */
    _Alignas(8) uint8_t in[TAB_VAL];
};
struct tab {
    struct pool pool;
    struct map map;
    uint8_t *live;
    uint32_t top, n;
    uint64_t seq;
};
void tab_init(struct tab *t);
void tab_done(struct tab *t);
struct tab_row *tab_find(const struct tab *t, const void *key, size_t size);
struct tab_row *tab_put(
    struct tab *t, const void *key, size_t size, const void *val, uint32_t val_size);
bool tab_del(struct tab *t, const void *key, size_t size);
struct tab_row *tab_each(const struct tab *t, uint32_t *it); /* deleting is fine */

/* ---- what is simulated ---- */
enum verb { /* a: VM or node, b: server or microseconds; see work.c */
    V_ASSOC,
    V_PRE,
    V_SUSPEND,
    V_RESUME,
    V_TERM,
    V_EMIGP,
    V_EMIGC,
    V_IMMP,
    V_IMMA,
    V_SEND,
    V_ARP,
    V_BCAST,
    V_GARP,
    V_SPOOF,
    V_GARBAGE,
    V_CRASH_NVE,
    V_CRASH_NVA,
    V_CRASH_TES,
    V_FLAP,
    V_PART,
    V_CUT,
    V_VN_DEL,
    V_VN_PUT,
    V_EMIGH, /* Emigrate(hold) */
    V_MOVE,  /* a whole migration of VM a to server b; c says how, see drive.c */
    V_RAW,   /* a station says operation c of VM a at server b, whatever it said before */
    V_PAUSED, /* Immigrate of a VM that stays suspended */
    V_STOP,  /* the authority says goodbye and starts again */
    V_STOP_NVE, /* an edge does so */
    V_STRANGER, /* somebody who is no edge connects to the authority, see stranger.c */
    V_N
};
extern const char *const verb_names[V_N];
struct op {
    uint64_t at_us;
    uint8_t verb;
    uint32_t a, b, c;
};
enum profile { PROFILE_CHAOS, PROFILE_MIGRATE, PROFILE_ODD, PROFILE_N };
extern const char *const profile_names[PROFILE_N];
#define LARGE 1000 /* VMs: of a larger world samples are looked at */
struct scenario {
    uint64_t seed;
    uint32_t nves, ports, vns, vms, chaos_s;
    uint32_t loss, dup, cut;    /* per million: frames and datagrams lost, doubled */
    uint64_t delay_us, slow_us; /* links; completions */
    uint32_t plain, hostile, wild, small_tags, pull, centralised, noips; /* percent */
    uint32_t domain_shared, profile, rka, hold_frames, strict;
    uint32_t dp_fails, journal_fails; /* per million */
    struct op *ops;
    uint32_t n_ops;
};
void scenario_make(struct scenario *s, uint64_t seed, uint32_t nves, uint32_t vms,
    enum profile profile);
bool scenario_read(struct scenario *s, const char *path);
void scenario_write(const struct scenario *s, FILE *f, const char *why);
void scenario_done(struct scenario *s);

enum ev_type {
    EV_WAKE_NVE,
    EV_WAKE_NVA,
    EV_WAKE_SERVER,
    EV_FRAME_NVE,
    EV_FRAME_SERVER,
    EV_DATA_NVE,
    EV_DATA_SERVER,
    EV_OVERLAY,
    EV_DP,
    EV_DP_EVENT,
    EV_JOURNAL,
    EV_TAGGED,
    EV_TES_JOURNAL,
    EV_STORE,
    EV_STREAM_NVE,
    EV_STREAM_NVA,
    EV_STREAM_OPEN,
    EV_STREAM_FAIL,
    EV_CLOSED_NVE,
    EV_CLOSED_NVA,
    EV_BLOCKED,
    EV_UDP_NVE,
    EV_UDP_NVA,
    EV_OP,
    EV_START_NVE,
    EV_START_NVA,
    EV_START_SERVER,
    EV_LINK,
    EV_MOVER,
    EV_PROBE,
    EV_FINAL,
    EV_N
};
extern const char *const ev_names[EV_N];
struct event {
    uint64_t at, seq;
    uint8_t type;
    uint32_t node, inc, a, b;
    uint64_t c;
    int status;
    uint8_t *p; /* owned by the queue */
    uint32_t size;
};

struct vm {
    uint32_t vn, k; /* k: its number inside its VN; MAC and IP repeat in other VNs */
    struct vsiid id;
    struct mac mac;
    struct ip ip;
    bool wild, noip;
    uint32_t run;   /* server + 1 where it runs, 0: nowhere */
    uint64_t epoch; /* of the last Immigrate(pre) that was answered */
    uint64_t migration;
    uint32_t want; /* final phase: server + 1 */
    uint8_t final; /* enum final_state */
    uint64_t confirmed_us;
    uint32_t got_seq;  /* last data frame taken while it ran here */
    uint32_t n_got;    /* how many */
    bool far;          /* the last answer said that the far ends have it */
    uint32_t arp_from; /* VM + 1 that answered last */
    struct mac arp_mac;
    uint32_t mover; /* + 1: the migration under way */
    uint32_t copy;  /* server + 1 where another hypervisor runs it as well (F9) ... */
    uint64_t copy_us; /* ... until then */
    uint32_t sure;  /* server + 1 where the last claim of all was granted */
    uint32_t
        here; /* server + 1: there, but not running (yet): frames queue at its vNIC */
    uint32_t n_wait, cap_wait;
    struct waiting { /* what queues there */
        uint32_t server, vid, size;
        uint8_t p[64];
    } * wait;
};
enum final_state { FINAL_NOT, FINAL_ASKED, FINAL_OK, FINAL_REFUSED, FINAL_UNPUBLISHED };

struct attachment { /* what a server does with the frames of a VM */
    uint32_t vm, vid, had; /* had: the last tag that was one */
    bool used, pass, named; /* named: since the agent started */
    char ifname[16];
};
struct ask { /* a request of an agent that waits for its answer */
    uint32_t vm;
    uint8_t verb;
    uint64_t at_us;
    bool open, ok, row, granted;
    uint64_t id;
};
enum server_kind { SERVER_TES, SERVER_PLAIN, SERVER_HOSTILE };
struct server {
    uint8_t kind;
    uint32_t nve, port, inc;
    struct mac mac;
    bool up, alive;
    uint64_t link_until;
    struct tes *tes;
    struct vdp_station *station; /* PLAIN */
    struct lldp_evb *lldp;
    struct tab journal;
    uint64_t wake_at;
    struct attachment *atts;
    uint32_t n_atts;
    struct ask *asks;
    uint32_t n_asks;
    uint64_t next_ask;
    uint32_t *plain; /* PLAIN: VMs that it has asked for, to ask again after a crash */
    uint32_t n_plain;
    uint64_t last_tagged_at;
    uint64_t up_last, down_last; /* the wire keeps the order of data frames */
    uint8_t sample[256];         /* a frame it has sent, for forgeries */
    uint32_t sample_size;
};
struct conn {
    uint64_t id;
    uint32_t nve, nve_inc, nva_inc;
    bool open, nva_knows, blocked;
    uint64_t last[2]; /* time of the last octets under way, per direction */
    uint32_t in_flight;
};
struct dp_queue {
    uint64_t last;
    uint32_t n;
};
/* heap.c: memory of one node */
#define HEAP_SMALL 512 /* what tables and queues are made of is larger */
struct heap {
    int64_t octets;
    uint64_t things; /* that its owner knew at most at once (bounds.c) */
    int64_t small; /* blocks of at most HEAP_SMALL octets: single objects */
};
void heap_enter(struct heap *h); /* whose functions run now; NULL: nobody's */
struct nve_node {
    struct nve *nve;
    struct heap heap;
    uint32_t inc;
    bool up;
    uint64_t started;
    struct ip vtep;
    struct tab journal;
    struct tab dp; /* data plane: survives */
    uint32_t dp_gen;
    bool dp_sync;
    struct dp_queue dpq;
    uint64_t journal_last, event_last, wake_at, part_until, asked_at;
    struct tab asked; /* rate limit of events: key -> time */
    uint64_t conn;
    uint64_t *overlay_last; /* per NVE: the path keeps the order, but for stragglers */
    struct holding *holds;  /* dphold.c */
    uint32_t n_holds;
    char name[16];
    struct nve_port_conf *ports;
    uint32_t (*vid_reserved)[4];
    uint64_t counters[DPC_N];
};
struct recorder;
struct nva_node {
    struct nva *nva;
    struct heap heap;
    uint32_t inc;
    bool up;
    struct tab vns, epochs, resvs, nves; /* the store */
    uint64_t hwm, store_last, wake_at;
    struct tab granted; /* (vni, mac) -> highest epoch and its migration id */
};
struct world {
    const struct scenario *sc;
    struct rng rng, net, air; /* air: what strays in the overlay */
    uint64_t now, seq, steps, hash;
    struct event *heap;
    uint32_t n_heap, cap_heap;
    struct nve_node *nves;
    struct server *servers;
    uint32_t n_servers;
    struct nva_node nva;
    struct vm *vms;
    struct tab conns; /* id -> struct conn */
    uint64_t next_conn;
    bool calm;    /* no more faults */
    bool confirm; /* associates wait for the far ends */
    bool quiet;   /* all is at rest: the strict properties hold */
    uint32_t frame_seq;
    uint64_t same_us;
    uint32_t same_n;
    /* failure */
    bool failed;
    char property[40], why[600];
    /* trace */
    bool tracing, verbose;
    char **ring;
    uint32_t n_ring, at_ring;
    struct recorder *rec;
    uint32_t rec_kind, rec_node;
    uint64_t n_delivered, n_forwarded, n_relayed, n_held, n_moves, n_moves_ok;
    struct flight *flights; /* by number of the frame */
    uint32_t cap_flights;
    struct tab paths; /* (sender, VM, path) -> number of the last frame taken */
    struct tab numbers, newest, places; /* owners.c */
    struct mover *movers;
    uint32_t n_movers;
    uint32_t step_outs;
    uint64_t counts[V_N], oks[V_N], refusals;
};

/* world.c */
bool world_run(struct world *w, const struct scenario *s); /* false: w->failed */
void world_done(struct world *w);
struct event *world_push(
    struct world *w, uint8_t type, uint64_t at, uint32_t node, uint32_t inc);
struct event *world_push_octets(struct world *w, uint8_t type, uint64_t at,
    uint32_t node, uint32_t inc, const void *p, size_t size);
void sim_fail(struct world *w, const char *property, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void sim_trace(struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
#define TRACE(w, ...)                                                                  \
    do {                                                                               \
        if ((w)->tracing)                                                              \
            sim_trace(w, __VA_ARGS__);                                                 \
    } while (0)
void sim_hash(struct world *w, const void *p, size_t size);
void sim_hash_u64(struct world *w, uint64_t v);
uint64_t hash_octets(uint64_t h, const void *p, size_t size);
uint64_t rnd(struct rng *r, uint64_t below);            /* 0 .. below-1; below 0: 0 */
void world_advance(struct world *w, uint64_t until_us); /* runs events until then */

/* nodes.c, authority.c, record.c */
void nve_make(struct world *w, uint32_t i);
void nve_boot(struct world *w, uint32_t i);
void nve_crash(struct world *w, uint32_t i, uint64_t down_us);
void nve_stop(struct world *w, uint32_t i, uint64_t down_us); /* in order */
void nve_in(struct world *w, uint32_t i, const struct nve_in *in);
void nva_make(struct world *w);
void nva_boot(struct world *w);
void nva_crash(struct world *w, uint64_t down_us);
void nva_feed(struct world *w, const struct nva_in *in);
void nva_vn(struct world *w, uint32_t vn, bool put, uint32_t mtu);
void nodes_event(struct world *w, struct event *e);
void nodes_done(struct world *w);
void recorder_check(struct world *w);
void recorder_done(struct world *w);
uint64_t dp_op_hash(uint64_t h, const struct dp_op *op);

/* servers.c, station.c */
void server_make(struct world *w, uint32_t i);
void server_boot(struct world *w, uint32_t i);
void server_crash(struct world *w, uint32_t i, uint64_t down_us);
void server_ask(struct world *w, uint32_t i, uint32_t vm, uint8_t verb);
void server_raw(struct world *w, uint32_t i, uint32_t vm, uint32_t how);
void server_event(struct world *w, struct event *e);
void server_link(struct world *w, uint32_t i, bool up);
void server_frame(struct world *w, uint32_t i, const uint8_t *p, uint32_t size);
void server_done(struct world *w, uint32_t i);
struct attachment *server_att(struct world *w, uint32_t i, uint32_t vm, bool make);
void server_garbage(struct world *w, uint32_t i, uint32_t n);
/* guests.c: frames of VMs */
enum frame_kind { FRAME_UNICAST, FRAME_BROADCAST, FRAME_ARP, FRAME_GARP };
void vm_wake(
    struct world *w, uint32_t vm, uint32_t server); /* runs there: server + 1 */
#define VN_HOSTILE 0xffffffffu
uint32_t guest_send(struct world *w, uint32_t vm, uint32_t to, enum frame_kind kind);
void copies_send(struct world *w, uint32_t vm, uint32_t to, enum frame_kind kind);
void server_data(
    struct world *w, uint32_t i, uint32_t vid, const uint8_t *p, uint32_t size);
bool frame_truth(const uint8_t *p, uint32_t size, uint32_t *vn, uint32_t *seq);
uint32_t frame_make(uint8_t *p, const struct mac *dst, const struct mac *src,
    uint32_t vn, uint32_t seq);

/* net.c */
uint64_t net_delay(struct world *w);
uint64_t slow_delay(struct world *w);
void net_link(
    struct world *w, uint32_t server, bool to_nve, const uint8_t *p, uint32_t size);
void net_connect(struct world *w, uint32_t nve);
void net_write(
    struct world *w, uint64_t conn, bool to_nva, const uint8_t *p, uint32_t size);
void net_close(struct world *w, uint64_t conn, bool by_nva);
void net_cut(struct world *w, uint64_t conn);
void net_cut_all(struct world *w, uint32_t nve, bool all);
void net_udp(struct world *w, uint32_t from, uint32_t dst, uint16_t from_port,
    uint16_t to_port, const uint8_t *p, uint32_t size); /* sc->nves: the authority */
void net_event(struct world *w, struct event *e);

/* stranger.c */
void stranger_call(struct world *w, uint32_t how);

/* dpmodel.c */
void dp_apply(struct world *w, uint32_t nve, const struct dp_op *op);
void dp_from_port(struct world *w, uint32_t nve, uint32_t port, uint32_t vid,
    const uint8_t *p, uint32_t size);
void dp_from_overlay(struct world *w, uint32_t nve, uint32_t from, uint32_t vni,
    uint32_t ttl, const uint8_t *p, uint32_t size);
struct dp_fdb {
    uint8_t kind;
    uint16_t vid;
    uint32_t port, from; /* from: NVE number of vtep + 1 */
    struct ip vtep;
};
const struct dp_fdb *dp_fdb(
    const struct nve_node *n, uint32_t vni, const struct mac *mac);
uint32_t dp_count(const struct nve_node *n, char kind);
uint32_t vtep_nve(const struct world *w, const struct ip *ip); /* number + 1, 0: none */

/* work.c */
void work_op(struct world *w, const struct op *o);

/* dphold.c: frames that wait (K12) */
void hold_set(struct world *w, uint32_t nve, const struct dp_op *op);
void hold_del(struct world *w, uint32_t nve, const struct dp_op *op);
bool hold_take(struct world *w, uint32_t nve, uint32_t vni, const struct mac *mac,
    uint32_t port, uint32_t ttl, uint32_t from, const uint8_t *p, uint32_t size);
bool hold_has(const struct nve_node *n, uint32_t vni, const struct mac *mac);
void hold_trim(struct world *w, uint32_t nve); /* what has waited for too long */
void hold_sync(struct world *w, uint32_t nve, uint32_t gen); /* SYNC_END */
void hold_crash(
    struct world *w, uint32_t nve); /* who holds is gone with what it held */
void hold_done(struct nve_node *n);
uint32_t hold_count(const struct nve_node *n);
void dp_release(struct world *w, uint32_t nve, uint32_t vni, uint32_t port,
    uint32_t ttl, uint32_t from, const uint8_t *p, uint32_t size);

/* flight.c: what became of every unicast frame between VMs */
enum lost_why { LOST_NOT, LOST_NET, LOST_ASLEEP, LOST_DROP, LOST_WAITS };
struct flight {
    uint32_t from, to, stream; /* stream: mover + 1 */
    uint64_t sent_us, left_us; /* left: out of a server port */
    uint64_t relay_epoch;
    uint32_t path, server; /* server: where it was lost asleep */
    uint16_t relays, why, nve;
    uint8_t got, lost, stray, twice, held, used;
};
struct flight *flight_of(struct world *w, const uint8_t *p, uint32_t size);
void flight_sent(
    struct world *w, uint32_t seq, uint32_t from, uint32_t to, uint32_t server);
void flight_at(struct world *w, uint32_t nve, const uint8_t *p, uint32_t size);
void flight_relayed(struct world *w, uint32_t nve, uint32_t to, uint32_t vni,
    const struct mac *mac, const uint8_t *p, uint32_t size);
void flight_lost(struct world *w, enum lost_why lost, uint32_t nve, uint32_t why,
    const uint8_t *p, uint32_t size);
void flight_taken(struct world *w, uint32_t seq, uint32_t server);
void flights_done(struct world *w);

/* drive.c: migrations, as a hypervisor makes them */
void mover_start(struct world *w, const struct op *o);
void mover_event(struct world *w, struct event *e);
void mover_answer(struct world *w, uint32_t server, const struct ask *a, bool ok);
bool mover_comes(const struct world *w, uint32_t vm, uint32_t server);
void movers_done(struct world *w);
bool movers_busy(const struct world *w, uint32_t nve);
uint32_t mover_random(struct rng *r, bool strict); /* how */
enum { SLEEP_MAX = 1000 };                         /* frames that queue at a vNIC */

/* cover.c */
enum fault {
#define FAULTS(X)                                                                      \
    X(1)                                                                               \
    X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)  \
        X(17) X(18) X(19) X(20) X(21)
#define X(n) FAULT_##n,
    FAULTS(X)
#undef X
        FAULT_N
};
#define COVER_DEFS 8
#define COVER_ROWS 256
struct coverage {
    const struct fsm_def *defs[COVER_DEFS]; /* the same in every child */
    uint64_t rows[COVER_DEFS][COVER_ROWS], faults[FAULT_N];
};
extern struct coverage coverage; /* of this process */
void cover_fault(enum fault f);
void cover_add(struct coverage *to, const struct coverage *from);
/* One line per table; all rows that nobody reached. Returns how many those are. */
uint32_t cover_print(const struct coverage *c, bool rows);

/* bounds.c: no table above its maximum, no node larger than what it knows explains */
void bounds_nve(struct world *w, uint32_t nve);
void bounds_nva(struct world *w);
void bounds_end(struct world *w); /* all has ended: no object is left */

/* owners.c: P2 and P3 after every step */
struct att_counts { /* objects of attach, for bounds.c */
    uint32_t atts, entries, vaps, txns;
};
struct att_counts att_counts(const struct edge *e);
void owners_begin(struct world *w);
void owners_done(struct world *w);
void owners_crash(struct world *w); /* of the authority */
void owners_stored(struct world *w, const struct nva_out *o);
void owners_local(
    struct world *w, uint32_t nve, uint32_t vni, const struct mac *mac);
void owners_said(struct world *w, uint32_t nve, uint32_t vni, const struct mac *mac);
void owners_remote(struct world *w, uint32_t nve, uint32_t to, uint32_t vni,
    const struct mac *mac, bool relay);

/* live.c */
bool vm_up(const struct world *w, uint32_t vm); /* runs, and its tag is open */
void props_live(struct world *w);   /* every VM that is up is reached */
void props_frames(struct world *w); /* nothing is under way: what became of each */

/* props.c */
void props_rest(struct world *w);  /* P2, P3 at rest */
void props_final(struct world *w); /* place every VM, assert delivery, end all, leaks */
static inline uint32_t
vni_of(uint32_t vn)
{
    return 100 + vn;
}
#endif
