/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the agent: node.c is the verbs and the uplinks, vm.c the commands of VMs and
 * what their edges answer, vm_fsm.c the states as a table, record.c the journal's
 * octets, ctl.c the control socket's words, virt*.c what a hypervisor tells. */
#ifndef BERTH_TES_NODE_INT_H
#define BERTH_TES_NODE_INT_H
#include "tes/node.h"
#include "base/fsm.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/timers.h"
#include "proto/lldp_evb.h"
#include "proto/vdp_station.h"

enum vm_state {
    VM_NEW,      /* asked for, not yet answered */
    VM_PREASSOC, /* tag known, frames wait */
    VM_ASSOC,
    VM_SUSP,
    VM_ARMED, /* emigrate prepare: still forwarding (A5) */
    VM_EMIG,
    VM_IMMIG,
    VM_LOST, /* the edge has let it go */
    VM_TERM, /* De-Assoc is on its way */
    VM_N_STATES
};
enum vm_event { /* accepted operations, in the order of enum tns_op; then the edge's own
                 */
    VM_EV_LOST = TNS_KEEPALIVE,
    VM_EV_BACK,   /* RESUME after emigration of what was not associated */
    VM_EV_PAUSED, /* IMMIGRATE_ASSO of a VM that is paused (A14) */
    VM_N_EVENTS
};
enum vm_action {
    VM_ACT_OPEN,  /* tag, frames pass */
    VM_ACT_HOLD,  /* tag, frames from the VM do not pass */
    VM_ACT_BLOCK, /* no tag, nothing passes */
    VM_ACT_DROP,  /* the interface is left alone */
    VM_N_ACTIONS
};
extern const struct fsm_def vm_fsm_def;
const char *vm_state_name(uint8_t state);

struct vm_params { /* what a command says of a VM */
    char ifname[16];
    struct mac mac; /* none: wildcard (K2) */
    uint8_t format; /* enum vdp_filter */
    uint8_t has_vni, ps, pcp, n_ips, ips_complete, type_version, confirm;
    uint8_t hold;      /* emigrate: the pause follows at once (K12) */
    uint8_t suspended; /* immigrate at asso: it stays paused (A14) */
    uint16_t vid;      /* asked for; 0: the edge chooses */
    uint32_t vni, type_id, uplink;
    struct ip ips[TNS_IPS_MAX];
    struct ip target, source;
    uint64_t epoch, migration;
    char vn[VN_NAME_SIZE];
};
enum { WAIT_ANSWER = 1, WAIT_TAG = 2, WAIT_JOURNAL = 4 };
enum { DOUBT = 1, DOUBT_PAUSE = 2 };
struct vm {
    struct vsiid id;
    struct vm_params par;
    uint8_t state, prev; /* prev: before the emigration */
    uint8_t op;          /* enum tns_op in flight */
    uint8_t waits;       /* of the command in flight */
    uint8_t chain;       /* after the answer, suspend again */
    uint8_t doubt;       /* what was not waited for: the edge may know more */
    uint8_t retrying;    /* not confirmed by the edge: associate again at the timer */
    uint8_t reason;      /* enum berth_reason of the loss */
    uint8_t follow, wanted;
    uint8_t virt;      /* the hypervisor told of it (tes/virt.h) */
    uint16_t vid, mtu; /* as answered */
    uint32_t vni;      /* the same, where the VN was named */
    uint8_t pcp, tag_sent, unpublished, unconfirmed;
    struct ip nve; /* the edge, as it said itself; none: it did not */
    int tag_status;
    uint32_t serial, req; /* of the command in flight; req 0: our own doing */
    uint32_t tag_id, journal_id;
    uint32_t next, prev_vm; /* list of all */
    uint64_t epoch, since_us;
    uint64_t retry_us;
    uint64_t near_us; /* when we switch to it again, after its move; 0: not set */
    struct timer timer, near;
    struct tes_tag tag; /* as last sent */
};
struct request { /* a command whose client waits */
    uint64_t conn, start_us;
    uint64_t answer_us; /* when the edge had answered; 0 = not yet */
    char *id;           /* the client's own, as JSON text, or NULL */
    uint8_t op, was_new, n_rows;
    uint8_t virt; /* ours: virt_ended is told */
    uint32_t wait;
    struct vm_params before;
};
struct uplink {
    char name[16];
    struct mac mac;
    bool known, up, reflect;
    struct vdp_station *station;
    struct lldp_evb *lldp;
};
struct listing { /* a reply that is made piece by piece */
    uint64_t conn;
    char *id;
    uint32_t vm; /* next to show */
};
#define LISTINGS_MAX 64
struct waiter { /* wants data-plane counters */
    uint64_t conn;
    char *id;
};
struct tes_counts {
    uint64_t commands, refused, accepted, rejected, timeouts, superseded, lost,
        deassocs, retries, tag_errors, journal_errors, follows, bad_frames;
    uint64_t facts, hooks, vetoes, repeats;
};
struct tes {
    struct tes_conf conf;
    char name[64];
    uint64_t start_us, now_us;
    struct uplink up[TES_UPLINKS_MAX];
    uint32_t n_up;
    struct pool vms, reqs;
    struct map by_id;
    uint8_t *live; /* one bit per handle of vms */
    uint32_t first_vm, last_vm;
    struct timers timers;
    struct fsm fsm;
    struct rng rng;
    uint32_t next_id;
    bool restored;
    struct fifo outs; /* of struct tes_out, bytes in the arena */
    struct arena arena;
    struct virt *virt; /* tes/virt.h */
    struct listing listings[LISTINGS_MAX];
    uint32_t n_listings;
    struct fifo waiters;
    struct tes_counts n;
    struct trace *trace;
    uint8_t record[1024];
};

/* node.c */
struct tes_out *tes_out_push(struct tes *t, uint8_t type);
void *tes_bytes(
    struct tes *t, const void *p, size_t size); /* until outputs are drained */
uint32_t tes_uplink_find(const struct tes *t, const char *name); /* n_up: none */

/* vm.c */
bool vm_has_id(const void *ctx, uint32_t handle, const void *key); /* of struct map */
struct vm *vm_at(const struct tes *t, uint32_t h);
uint32_t vm_find(const struct tes *t, const struct vsiid *id);
struct vm_command {
    struct vsiid id;
    uint8_t op; /* enum tns_op */
    bool has_uplink;
    uint32_t given; /* GIVE_*: what the command names; else as before */
    struct vm_params par;
    uint64_t conn;
    char *req_id;  /* owned by the request afterwards */
    uint8_t virt;  /* of the follower: virt_ended is told, with */
    uint32_t wait; /* what it waits for */
};
enum {
    GIVE_IF = 1,
    GIVE_MAC = 2,
    GIVE_VN = 4,
    GIVE_IPS = 8,
    GIVE_TAG = 16,
    GIVE_EPOCH = 32,
    GIVE_FORMAT = 64,
    GIVE_TYPE = 128,
    GIVE_TARGET = 256,
    GIVE_SOURCE = 512
};
void vm_command(struct tes *t, struct vm_command *c);
void vm_station_event(struct tes *t, uint32_t uplink, const struct vdp_station_out *ev);
void vm_tagged(struct tes *t, uint32_t id, int status);
void vm_journal_done(struct tes *t, uint32_t id, int status);
enum { TIMER_VM, TIMER_NEAR, TIMER_NIC, TIMER_DOM };
void vm_timer(struct tes *t, uint32_t h);
void vm_near(struct tes *t, uint32_t h);
void vm_restored(struct tes *t);
void vm_uplink_ready(struct tes *t, uint32_t uplink);
void vm_new_station(struct tes *t, uint32_t uplink); /* it knows no VM yet */
void vm_reflect(struct tes *t, uint32_t uplink); /* its reflective relay has changed */
/* The state that it has or, with a command in flight, is to have. */
uint8_t vm_state_soon(const struct tes *t, uint32_t h);
void vm_bind(
    struct tes *t, uint32_t h, const char *ifname); /* from now on its interface */
void vm_follow(struct tes *t, const struct tes_in *in);
bool vm_follow_add(struct tes *t, const char *ifname, const struct mac *mac,
    uint32_t uplink, const char **why);
uint32_t vm_add(struct tes *t, const struct vsiid *id); /* 0: table full */
void vm_remove(struct tes *t, uint32_t h);

/* record.c */
#define VM_KEY_SIZE 17
void vm_key_write(const struct vsiid *id, uint8_t key[VM_KEY_SIZE]);
uint32_t vm_record_write(
    const struct tes *t, const struct vm *v, uint8_t *p, size_t size);
/* Makes or changes the VM. false: not a record of ours. */
bool vm_record_read(struct tes *t, const uint8_t *p, size_t size);

/* seen.c: for the trace (node/trace.h); code: constant text, NULL = done */
void vm_seen_command(struct tes *t, const struct vm *v, const struct vm_command *c);
void vm_seen_result(struct tes *t, const struct vm *v, const char *code);
void vm_seen_frames(struct tes *t, const struct vm *v, uint8_t action);

/* ctl.c */
void ctl_request(struct tes *t, uint64_t conn, const uint8_t *line, uint32_t size);
void ctl_more(struct tes *t, uint64_t conn);
void ctl_gone(struct tes *t, uint64_t conn);
void ctl_counters(struct tes *t, const struct tes_in *in);
void ctl_vm_gone(struct tes *t, uint32_t h); /* listings step over it */
void ctl_free(struct tes *t);
void ctl_end(struct tes *t, uint64_t conn, const char *id);
void ctl_answer(struct tes *t, const struct request *r, const struct vm *v);
void ctl_error(struct tes *t, uint64_t conn, const char *id, const char *code,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
#endif
