/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of core/edge: what attach, tag, vn, mapping and arp share. struct edge owns the
 * queue of outputs, the tickets behind output ids, the timers, the counters and the ports;
 * each module owns its tables behind its own pointer. Nobody outside src/core and its
 * tests includes this file.
 *
 * Rules: a module emits outputs only by the functions below; nothing here re-enters: a
 * completion arrives by edge_done and is handed to the module that took the ticket. The
 * time of the current input is e->now_us. */
#ifndef BERTH_CORE_EDGE_INT_H
#define BERTH_CORE_EDGE_INT_H
#include "base/map.h"
#include "base/mem.h"
#include "base/timers.h"
#include "core/authz.h"
#include "core/edge.h"

/* What an output id stands for; ref is a handle of the module that took it. */
enum ticket_kind {
    TICKET_DP,                           /* nobody waits; a failure is counted and logged */
    TICKET_ATT_DP, TICKET_ATT_JOURNAL,   /* ref: transaction (attach) */
    TICKET_REGISTER, TICKET_RESERVE,     /* ref: entry (attach) */
    TICKET_MAP_DP,                       /* ref: mapping's own (acknowledgement of pushes) */
    TICKET_N
};
struct ticket {
    uint32_t id, ref;                    /* id 0: free, ref is the next free one */
    uint8_t kind;
};
/* Timers: kind decides who is told that `ref` fired. */
enum edge_timer {
    TIMER_ATT, TIMER_TXN, TIMER_ENTRY, TIMER_HOLD,   /* attach: handles of its pools */
    TIMER_FLAP,                                      /* edge: port number */
    TIMER_SYNC,                                      /* edge: the snapshot stays out */
    TIMER_VN,                                        /* vn: look-up */
    TIMER_TAG,                                       /* tag: the oldest draining VID */
    TIMER_MAP_FIRST = 16, TIMER_MAP_LAST = 31,       /* mapping_timer(e, kind, ref) */
    TIMER_ARP_FIRST = 32, TIMER_ARP_LAST = 47        /* arp_timer(e, kind, ref) */
};

struct edge_port {
    char name[32];
    struct authz authz;
    struct timer flap;
    uint32_t number, domain;             /* domain: handle of tag */
    uint32_t native_vni;
    uint32_t atts, n_atts;               /* list of the port's attachments (attach) */
    uint8_t native;                      /* enum dp_native */
    uint8_t carrier;
    uint8_t down;                        /* without carrier longer than T_flap (K9) */
    uint8_t reflect;                     /* K10 */
};

struct edge {
    struct edge_conf conf;               /* settings[] complete: defaults filled in */
    char *name;
    uint64_t now_us;
    struct fifo out;                     /* of struct edge_slot (edge.c) */
    void *lent;                          /* octets behind the output given last */
    struct ticket *tickets;              /* [0] is not used */
    uint32_t n_tickets, cap_tickets, ticket_free, ticket_seq;
    uint32_t awaited;                    /* tickets in use */
    struct timers timers;
    struct edge_port **ports;            /* [DP_PORT_MAX], NULL where there is none */
    struct attach *att;
    struct tags *tag;
    struct vns *vn;
    struct mapping_table *map;
    struct arp_agent *arp;
    bool session_up;                     /* with conf.authority: it can be reached */
    bool sync_open;                      /* DP_SYNC_END is still owed (K15) */
    struct timer sync;
    bool quiet;                          /* reading the journal: no DP, no journal out */
    struct edge_out nowhere;             /* where those are written meanwhile */
    uint32_t corrupt;                    /* journal records that could not be read */
    uint64_t counters[EDGEC_N];
};

/* Emitting. The slot is valid until the next emission. */
struct edge_out *edge_emit(struct edge *e, uint8_t type);
/* n octets that live as long as the output emitted last (a frame, a journal record, the
 * entries of an answer): the caller fills them and points at them. One block per output. */
void *edge_lend(struct edge *e, size_t size);
/* An EDGE_DP output; kind/ref say who hears of its completion. Type and id are filled in. */
struct dp_op *edge_dp(struct edge *e, uint8_t type, uint8_t kind, uint32_t ref);
uint32_t edge_ticket(struct edge *e, uint8_t kind, uint32_t ref);
void edge_ticket_drop(struct edge *e, uint32_t id);     /* 0 is fine; a completion is ignored */
/* Journal append; size 0 deletes the key. ticket 0: nobody waits. Octets are copied. */
void edge_journal(struct edge *e, uint32_t ticket, uint8_t kind, const uint8_t *key,
    uint16_t key_size, const uint8_t *bytes, uint16_t size);
static inline void
edge_count(struct edge *e, enum edge_counter c)
{
    e->counters[c]++;
}
static inline uint64_t
edge_set(const struct edge *e, enum edge_setting s)
{
    return e->conf.settings[s];
}
struct edge_port *edge_port_at(const struct edge *e, uint32_t port);   /* NULL: none */
/* A hash seed of its own for every table, from conf.seed. */
uint64_t edge_seed(const struct edge *e, uint32_t n);
#endif
