/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of attach: its objects and what its files call of each other. attach.c keeps
 * attachments; attach_request.c and attach_event.c go through their table; attach_entry.c
 * stages, installs and releases entries and keeps the VAPs; attach_reg.c speaks of them to
 * the authority; attach_txn.c carries a request through its pending set; attach_learn.c
 * holds what wildcard VSIs teach (K2); attach_restore.c the journal and the walks. Pools
 * never move their objects; a handle is looked up again after anything that may free it. */
#ifndef BERTH_CORE_ATTACH_INT_H
#define BERTH_CORE_ATTACH_INT_H
#include "core/attach.h"
#include "core/record.h"
#include "core/tag.h"
#include "core/vn.h"

enum {                                   /* flags of an entry */
    ENTRY_MAC = 1, ENTRY_PS = 2, ENTRY_UNTAGGED = 4, ENTRY_LEARNED = 8,
    ENTRY_TOMB = 16,                     /* lost or ended: mapping relays for it (D1) */
    ENTRY_KEPT = 31,                     /* the flags above stand in the journal */
    ENTRY_TAG = 32,                      /* holds a reference to its tag */
    ENTRY_VAP = 64,                      /* installed: references to VAP and VN */
    ENTRY_VN = 128,                      /* ended, but the VN stays for its tombstone */
    ENTRY_ACTIVE = 256,
    ENTRY_LOCAL = 512,                   /* mapping has its residence */
    ENTRY_FRESH = 1024,                  /* LOCAL since the transaction under way */
    ENTRY_PUBLISHED = 2048,              /* the authority has confirmed */
    ENTRY_WANT = 4096,                   /* no epoch was granted yet */
    ENTRY_WAITED = 8192,                 /* a transaction waits for its registration */
    ENTRY_QUIET = 16384,                 /* learned, not heard of lately */
    ENTRY_TOOK = 32768                   /* FRESH, and another NVE was known to own it */
};
#define ENTRY_IPS_IN 2
struct entry {
    uint32_t att, next;                  /* its attachment; next of the same list */
    uint32_t vni, reg;                   /* reg: ticket of the registration by number, 0 = none */
    uint32_t claim;                      /* ... of that without one: however late its answer is, it is
                                          * the newest number of ours */
    struct mac mac;
    uint16_t vid, flags;
    uint8_t pcp : 3, confirmed : 1;      /* confirmed: every subscriber has what was published */
    uint8_t holds : 1;                   /* waits for its VM: mapping was told (D4, K12) */
    uint8_t unsure : 1;                  /* a reservation was asked for: it may yet stand (D3) */
    uint8_t reserves : 1;                /* the same, as long as its VM may come: ended by a word */
    uint8_t owed : 1;                    /* a tombstone that was not withdrawn: its VM was on its way */
    uint32_t resv;                       /* ticket of a reservation, 0 = none */
    uint8_t n_ips;
    uint8_t unheard : 1;                 /* its number came from elsewhere, and the authority has not
                                          * taken it: it may have given us a newer one (D1) */
    struct timer timer;                  /* learned: age; others: registration again */
    union {
        struct ip in[ENTRY_IPS_IN];
        struct ip *more;                 /* of n_ips > ENTRY_IPS_IN */
    } ips;
};
enum {                                   /* flags of an attachment */
    ATT_ARMED = 1,                       /* Emigrate(prepare) was taken (A5) */
    ATT_GRANTED = 2,                     /* IMMIG holds a reserved epoch (K4) */
    ATT_DOWN = 4,                        /* withdrawn because its port lost carrier (K9) */
    ATT_DOWN_ACTIVE = 8,                 /* ... and it was ASSOC */
    ATT_LOST = 16,                       /* EMIG because a newer owner came (E3) */
    ATT_HOLD = 32,                       /* armed, and its VM's frames are away already (K12) */
    ATT_AWAIT = 64,                      /* SUSP, and frames wait until it is resumed (A14) */
    ATT_GUESS = 128,                     /* IMMIG, and nobody granted its epoch in time (E5) */
    ATT_MOVES = ATT_ARMED | ATT_HOLD | ATT_AWAIT
};
struct att {
    struct vsiid id;
    uint8_t state, prev, flags, op;      /* prev: before EMIG; op: last accepted (K3) */
    uint8_t berth : 1;                   /* its station speaks Berth's TLV */
    uint8_t untold : 1;                  /* it learns the tag by the answer: frames wait (K12) */
    uint8_t listed;                      /* 1: in its port's list, 2: in that of TERM */
    uint16_t port, n_entries, n_learned;
    uint32_t entries, learned;           /* heads of lists */
    uint32_t list_prev, list_next;       /* of its port, or of TERM */
    uint32_t txn, cookie;
    struct timer timer, hold;            /* hold: the end of ATT_HOLD where no pause follows, of
                                          * untold */
    uint32_t idle_ms;                    /* 0: the configured default */
    struct tns_profile profile;
    uint64_t epoch, migration_id, since_us;
};
struct vap {
    uint32_t port, vni, refs, active, wild;
    uint32_t opener;                     /* a wildcard entry that stands open, or 0 */
    uint16_t vid;
    uint8_t said;                        /* flags of the last VAP_SET + 1; 0: none yet */
    uint8_t pcp;
};
enum txn_phase { TXN_QUEUED, TXN_LOOKUP, TXN_INSTALL, TXN_PUBLISH, TXN_JOURNAL,
    TXN_REMOTE };                        /* REMOTE: done here, only the answer waits */
struct held {                            /* the number of a residence before a claim */
    uint32_t entry;
    uint8_t want;
    uint64_t epoch, migration_id;
};
struct txn {                             /* a request under way */
    uint32_t att, queued;                /* queued: the one behind it, at most one */
    struct tns_request rq;               /* entries: copied when it has to wait */
    struct tns_entry *copy;
    uint32_t staged, n_staged;           /* list that replaces the attachment's (A9) */
    uint32_t n_dp, n_reg, journal;       /* completions awaited; ticket of the journal */
    int dp_status, reg_status;
    struct timer timer;
    uint64_t epoch, migration_id;        /* the claim's, when it was carried or reserved */
    struct held *held;                   /* n_held of them */
    uint32_t n_held;
    struct ip holder;                    /* with -EADDRINUSE: which NVE has the MAC */
    uint32_t taken;                      /* ... of this entry */
    uint8_t phase, event, action, from;
    uint8_t from_prev, from_flags;
    uint64_t from_epoch, from_migration_id;
    uint8_t replace;                     /* `staged` is new data */
    uint8_t unpublished;
};
#define REFUSED_N 256                    /* a newer one overwrites: it is asked again sooner */
struct refused {
    uint32_t vni;
    struct mac mac;
    uint64_t until_us;
};
#define PROBED_N 64                      /* a newer one overwrites: it is probed again */
struct probed {
    uint32_t vni, port;
    uint16_t vid;
    struct mac mac;
    uint8_t answered;
    uint64_t until_us;
};
struct attach {
    struct pool atts, entries, vaps, txns;
    struct map by_id, by_key, by_vap;
    struct fsm fsm;
    uint32_t term_head, term_tail;
    uint32_t n_nonce;
    uint32_t ending;                     /* whose request ends: it is looked at once more */
    struct refused refused[REFUSED_N];   /* learned, but another NVE's VSI was signalled with it */
    struct probed probed[PROBED_N];      /* learned, and known at another NVE: is it here? */
};
struct att_key {
    uint32_t vni;
    struct mac mac;
};

static inline struct att *
att_at(const struct edge *e, uint32_t h)
{
    return pool_at(&e->att->atts, h);
}
static inline struct entry *
entry_at(const struct edge *e, uint32_t h)
{
    return pool_at(&e->att->entries, h);
}
static inline struct txn *
txn_at(const struct edge *e, uint32_t h)
{
    return pool_at(&e->att->txns, h);
}

/* attach_entry.c */
uint32_t entry_new(struct edge *e, uint32_t att, uint32_t vni, const struct mac *mac);
void entry_free(struct edge *e, uint32_t h);
void entry_ips_set(struct entry *n, const struct ip *ips, uint8_t n_ips);
const struct ip *entry_ips(const struct entry *n);
uint32_t entry_find(const struct edge *e, uint32_t list, uint32_t vni, const struct mac *mac);
uint32_t entry_first(const struct edge *e, uint32_t vni, const struct mac *mac);
uint32_t entry_next(const struct edge *e, uint32_t prev);    /* same (VN, MAC), anywhere */
/* Installs at its (port, VID), active or not; repeats what stands. txn 0: nobody waits. */
void entry_install(struct edge *e, uint32_t h, bool active, uint32_t txn);
/* Ends it: out of the data plane and of the mapping; withdrawn when it was published. tomb:
 * the object stays for attach to keep as a tombstone. */
void entry_end(struct edge *e, uint32_t h, bool tomb, uint32_t txn);
/* Residence in the mapping; epoch 0 = as known, plus one where it is not ours. */
enum mapping_verdict entry_claim(struct edge *e, uint32_t h, uint64_t epoch,
    uint64_t migration_id, uint32_t txn);
bool entry_resident(const struct edge *e, uint32_t h);       /* mapping says: here, this one */
/* Tells mapping what the state of its attachment means for frames to the VM. */
void entry_move(struct edge *e, uint32_t h);
void entry_claims(struct edge *e, uint32_t h);               /* began to claim, or was answered */
void vap_say(struct edge *e, struct vap *v, uint8_t kind, uint32_t ref);
uint32_t vap_find(const struct edge *e, uint32_t port, uint16_t vid);

/* attach_reg.c: the authority */
void entry_unsay(struct edge *e, uint32_t h);                /* registrations under way are void */
void entry_withdraw(struct edge *e, uint32_t h, bool tomb);
void entry_tomb_end(struct edge *e, uint32_t h);
void entry_tomb_stays(struct edge *e, uint32_t h);           /* nobody is to come: what is owed */
void entry_reserve(struct edge *e, uint32_t h, uint64_t known, uint64_t migration_id);
void entry_unreserve(struct edge *e, uint32_t h);            /* its VM does not come: others are told */
void entry_publish(struct edge *e, uint32_t h, bool refresh);
void entry_ask(struct edge *e, uint32_t h);                  /* who owns it now */

/* attach_stage.c: what a request asks for, checked; FAIL leaves nothing behind. */
enum stage { STAGE_OK, STAGE_WAIT, STAGE_FAIL };
struct refusal {
    uint8_t code;
    char reason[TNS_REASON_SIZE];
};
enum stage stage_entries(struct edge *e, uint32_t txn, struct refusal *why);
void stage_drop(struct edge *e, uint32_t txn);               /* gives the tags back */
bool stage_same(const struct edge *e, uint32_t list_a, uint32_t list_b);
bool request_same(struct edge *e, const struct att *a, const struct tns_request *rq);
bool request_stale(const struct edge *e, uint32_t list, const struct tns_request *rq);
const char *request_fault(const struct tns_request *rq);

/* attach_txn.c */
void txn_begin(struct edge *e, uint32_t txn);                /* after the step */
void txn_advance(struct edge *e, uint32_t txn);
void txn_timer(struct edge *e, uint32_t txn);
void txn_done(struct edge *e, uint32_t txn);                 /* ok: answers, now or when confirmed */
/* What a claim of h that the data plane does not have yet stands over; else NULL (E7). */
const struct held *txn_before(const struct edge *e, uint32_t h);
bool txn_comes(const struct edge *e, uint32_t h);            /* the same, and nothing stood */
bool txn_waits_remote(const struct edge *e, uint32_t txn);
bool txn_reserves(const struct edge *e, uint32_t txn);       /* an Immigrate(pre); txn may be 0 */
void txn_remote_end(struct edge *e, uint32_t txn);           /* answers as things stand */
void txn_told(struct edge *e, uint32_t h);                   /* its station has its tag by now */

/* attach.c */
bool att_step(struct edge *e, uint32_t att, uint8_t event, uint8_t *action);
void att_arm(struct edge *e, uint32_t att);                  /* its idle timer */
void att_arm_hold(struct edge *e, uint32_t att);
void att_link(struct edge *e, uint32_t att, bool term);
void att_unlink(struct edge *e, uint32_t att);
void att_forget(struct edge *e, uint32_t att);
void att_tombs(struct edge *e, uint32_t att);                /* ends what is left of TERM */
void att_notice(struct edge *e, uint32_t att, uint8_t type, const char *reason);
void att_inactive(struct edge *e, uint32_t att, uint32_t txn);
void att_move(struct edge *e, uint32_t att);                 /* entry_move of all of them */
void att_end_entries(struct edge *e, uint32_t att, uint32_t txn);
uint64_t att_nonce(struct edge *e);
uint32_t att_new(struct edge *e, uint32_t port, const struct vsiid *id);
void att_free(struct edge *e, uint32_t att);
uint32_t att_find(const struct edge *e, uint32_t port, const struct vsiid *id);

/* attach_request.c */
void att_answer(struct edge *e, uint32_t txn, uint8_t code, const char *reason);
void request_start(struct edge *e, uint32_t txn);
void txn_end(struct edge *e, uint32_t txn);                  /* frees; starts the queued one */
void txn_orphan(struct edge *e, uint32_t txn);               /* its attachment goes now */

/* attach_event.c */
void att_event(struct edge *e, uint32_t att, uint8_t event); /* from inside; no answer */
void att_settle(struct edge *e, uint32_t att);
void att_shaken(struct edge *e, uint32_t att);               /* the same, and no waiting for far ends */

/* attach_learn.c */
void learn_active(struct edge *e, uint32_t att, bool active, uint32_t txn);
void learn_timer(struct edge *e, uint32_t entry);
void learn_drop(struct edge *e, uint32_t entry);             /* withdrawn, freed */
void learn_refused(struct edge *e, uint32_t entry, const struct ip *holder);
void learn_check(struct edge *e, uint32_t att);
bool learn_room(const struct edge *e, const struct att *a);

/* attach_restore.c */
void att_journal(struct edge *e, uint32_t att, uint32_t ticket);
#endif
