/* SPDX-License-Identifier: Apache-2.0 */
/* The domain of one NVE as one machine: attachments (attach), local tags (tag), virtual
 * networks (vn), mappings (mapping), learned addresses and the ARP/ND agent (arp), behind
 * inputs and outputs that are plain data. It knows no protocol, no driver, no clock.
 *
 * What takes time outside is an output with an id (data plane, journal, publication,
 * epoch, VN look-up); its completion comes back by edge_done or the input named beside it.
 * An attachment's answer leaves when its pending set allows (K6). Pull edge_output until
 * it is false after every input; borrowed pointers in an output live until the next call. */
#ifndef BERTH_CORE_EDGE_H
#define BERTH_CORE_EDGE_H
#include "base/timers.h"
#include "core/dp.h"
#include "core/mapping.h"
#include "core/tns.h"

enum att_state { ATT_NULL, ATT_PREASSOC, ATT_ASSOC, ATT_SUSP, ATT_EMIG, ATT_IMMIG, ATT_TERM,
    ATT_N_STATES };                      /* requirements 1.3 */
enum att_wait { WAIT_AUTH = 1, WAIT_EPOCH = 2, WAIT_DATAPATH = 4, WAIT_JOURNAL = 8,
    WAIT_PUBLISH = 16, WAIT_REMOTE = 32,     /* the pending set (K6) */
    WAIT_TAG = 64 };                         /* frames wait until its station uses its tag */

/* A virtual network as the authority (or a static file) describes it. */
struct vn_rec {
    uint32_t vni;
    char name[VN_NAME_SIZE];
    uint32_t mtu;
    uint8_t arp;                         /* enum dp_arp_policy */
    uint8_t centralised;                 /* reply mode: the map server answers, or routes (S4-32, S4-33) */
    uint8_t pull;                        /* 1: no subscription, ask on a miss */
    uint8_t deleted;
};

/* Per port configuration (K9). The authorisation list: VNIs that may be joined. */
struct edge_port_conf {
    const char *name;
    uint8_t native;                      /* enum dp_native */
    uint32_t native_vni;
    uint32_t domain;                     /* access domain: ports that share one VID space (1.6) */
    const uint32_t *vn_ranges;           /* pairs first,last; n = 0: every VN */
    uint32_t n_vn_ranges;
    const uint16_t *vid_reserved;        /* pairs first,last beyond 0, 1, 4095 */
    uint32_t n_vid_reserved;
};
struct edge_conf {
    const char *name;
    struct ip vtep;
    uint32_t underlay_mtu;               /* 0: not checked; else VN MTU + 50 must fit (K18) */
    uint64_t seed;                       /* hash seeds, nonces */
    uint64_t settings[32];               /* by enum edge_setting; 0: the default of edge_settings[], SETTING_ZERO: 0 */
    uint8_t authority;                   /* 1: publication and epochs come from an authority */
};
enum edge_setting {                      /* index of edge_settings[]: the documented table (K19) */
    SET_ASSOC_US, SET_PREASSOC_US, SET_SUSP_US, SET_EMIG_US, SET_IMMIG_US, SET_TOMB_US,
    SET_TAG_HOLD_US, SET_PUBLISH_US, SET_FLAP_US, SET_LEARN_AGE_US, SET_NEG_US,
    SET_MISS_WAIT_US, SET_BUM_PPS, SET_BUM_BURST, SET_MAX_ATTACHMENTS, SET_MAX_PER_PORT,
    SET_MAX_LEARNED, SET_MAX_MAPPINGS, SET_MAX_VNS, SET_MAX_IPS, SET_STALE_US,
    SET_RETRY_US, SET_CONFIRM_US, SET_HOLD_FRAMES, SET_HOLD_OCTETS, SET_HOLD_US, SET_N
};
extern const struct setting edge_settings[SET_N];

enum edge_out_type {
    EDGE_DP,                             /* u.dp; its id is answered by edge_done */
    EDGE_JOURNAL,                        /* id, kind, key, bytes: append (n=0: key deleted) */
    EDGE_REGISTER,                       /* id, rec, want_epoch: authority grants when set (K4) */
    EDGE_WITHDRAW,                       /* rec: owner and epoch name what goes (E4);
                                          * EPOCH_RESERVED: what we reserved alone */
    EDGE_RESERVE,                        /* id, rec: reserve an epoch without registering (Immigrate pre) */
    EDGE_QUERY,                          /* query: pull (vni, mac or ip); answers by edge_map* */
    EDGE_SUBSCRIBE, EDGE_UNSUBSCRIBE,    /* sub; vni */
    EDGE_VN_LOOKUP,                      /* vn: by vni, or by name when vni = 0; answered by edge_vn */
    EDGE_MAP_ACK,                        /* seq: everything up to this push is set in the data plane (K5) */
    EDGE_ANSWER,                         /* answer */
    EDGE_NOTICE,                         /* notice */
    EDGE_SMR,                            /* smr: tell that NVE that its mapping is old (D5) */
    EDGE_N_OUTS
};
struct edge_out {
    uint8_t type;                        /* enum edge_out_type */
    uint32_t id;
    union {
        struct dp_op dp;
        struct {
            uint8_t kind;                /* enum edge_record in record.h */
            const uint8_t *key, *bytes;  /* key: the latest record of a key counts */
            uint16_t key_size, size;
        } journal;
        struct {
            struct mapping_rec rec;
            uint8_t want_epoch;
            uint8_t refresh;             /* registered before: after a session came back */
        } reg;
        struct {
            uint32_t vni;
            struct mac mac;              /* when ip is none */
            struct ip ip;
        } query;
        struct vn_rec vn;
        uint32_t vni;
        struct {
            uint32_t vni;
            uint8_t members_only;        /* whom to take frames from (K11); mappings are pulled */
        } sub;
        uint64_t seq;
        struct {
            uint32_t vni;
            struct mac mac;
            struct ip to;                /* VTEP of the NVE that sent us the VM's frames */
        } smr;
        struct tns_response answer;
        struct tns_notice notice;
    } u;
};

struct edge;
struct edge *edge_new(const struct edge_conf *conf, uint64_t now_us);
void edge_free(struct edge *e);
uint64_t edge_deadline(const struct edge *e);
void edge_tick(struct edge *e, uint64_t now_us);             /* when the deadline has come */
bool edge_output(struct edge *e, struct edge_out *out);

/* Ports. add: before anything else on it; the number is stable by name across restarts. */
bool edge_port_add(struct edge *e, uint32_t port, const struct edge_port_conf *conf,
    uint64_t now_us);
void edge_port_link(struct edge *e, uint32_t port, bool up, uint64_t now_us);   /* K9: T_flap */
void edge_port_reflect(struct edge *e, uint32_t port, bool on, uint64_t now_us); /* K10 */
void edge_port_gone(struct edge *e, uint32_t port, uint64_t now_us);
/* Which VN, where the station names none (K2). A later row replaces; vni 0 removes. */
void edge_vn_by_vid(struct edge *e, uint32_t port, uint16_t vid, uint32_t vni);
void edge_vn_by_profile(struct edge *e, uint32_t type_id, uint8_t version, uint32_t vni);

/* TNS. Every request is answered exactly once by EDGE_ANSWER with its cookie. */
void edge_request(struct edge *e, const struct tns_request *rq, uint64_t now_us);

/* Completions. status 0 or a negative errno-like number. */
void edge_done(struct edge *e, uint32_t id, int status, uint64_t now_us);
void edge_registered(struct edge *e, uint32_t id, uint64_t epoch, uint64_t migration_id,
    int status, uint64_t now_us);        /* of EDGE_REGISTER and EDGE_RESERVE */
/* The same, refused: there is a conflict with what the NVE `holder` has. For what asked for
 * an epoch this says that another VSI has the MAC there (K18). */
void edge_conflict(struct edge *e, uint32_t id, const struct ip *holder, uint64_t now_us);
/* Every subscriber has acknowledged our mapping at this epoch (K6 REMOTE). */
void edge_confirmed(struct edge *e, uint32_t vni, const struct mac *mac, uint64_t epoch,
    uint64_t now_us);
void edge_vn(struct edge *e, const struct vn_rec *vn, int status, uint64_t now_us);

/* Mapping plane. */
void edge_session(struct edge *e, bool up, uint64_t now_us);  /* K11, K17; up: register again */
void edge_map_set(struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint64_t now_us);
void edge_map_del(struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint64_t now_us);
void edge_map_negative(struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip, uint64_t hold_us, uint64_t now_us);
void edge_map_snapshot(struct edge *e, uint32_t vni, bool begin, uint64_t seq, uint64_t now_us);
void edge_member(struct edge *e, uint32_t vni, const struct ip *vtep, bool add, uint64_t seq,
    uint64_t now_us);                    /* an NVE joined or left the VN */
/* The authority says that an epoch of one of our keys is reserved (K4): a migration to
 * rec->owner has begun at rec->epoch. Nothing changes yet; once the VM is paused here, its
 * frames may go there, because that NVE holds them and relays none (D3, D4). */
void edge_reserved(struct edge *e, const struct mapping_rec *rec, uint64_t now_us);
/* That number, or any below it, is reserved no longer by rec->owner (none: by anybody):
 * frames wait here again. */
void edge_unreserved(struct edge *e, const struct mapping_rec *rec, uint64_t now_us);
/* The NVE `from` says that it relays what we send to (vni, mac): ask the authority, at a
 * bounded rate, and only when we do send there (D5, RFC 8014 section 6); else false. */
bool edge_smr(struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *from,
    uint64_t now_us);
/* Distributed replies (S4-32): do we own it? true and *rec (borrowed until the next call);
 * its epoch is 0 while nothing can be said of it (E7): whoever asked asks again. */
bool edge_answer_query(struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip, struct mapping_rec *rec);

/* The authority asks who has this IP (K8): VSIs whose addresses are not known are asked. */
void edge_who_has(struct edge *e, uint32_t vni, const struct ip *ip, uint64_t now_us);

/* Data plane events. */
void edge_dp_event(struct edge *e, const struct dp_event *ev, uint64_t now_us);

/* Restart (K7, K15): ports, then the journal's records, then restored: it emits the whole
 * wanted data plane between DP_SYNC_BEGIN and END, and registers again. */
void edge_restore(struct edge *e, uint8_t kind, const uint8_t *bytes, uint16_t size,
    uint64_t now_us);
void edge_restored(struct edge *e, uint64_t now_us);

/* For people and tests: read-only walks; *it starts at 0, false at the end. */
struct edge_att_view {
    uint32_t port, vsi, vni;
    uint8_t state, waiting, wildcard, unpublished, n_ips, pcp;
    uint8_t learned;                     /* K2: 1 learned, 2 and not heard of lately */
    uint8_t armed;                       /* 1: prepared to emigrate (A5), 2: and its frames are away */
    struct ip target;                    /* who has reserved its next epoch (K4), `reserved` */
    uint64_t reserved;
    uint16_t vid, entry, n_entries;
    struct vsiid id;
    struct mac mac;
    struct ip ips[TNS_IPS_MAX];
    uint64_t epoch, migration_id, age_us, idle_left_us;
};
bool edge_each_attachment(const struct edge *e, uint32_t *it, struct edge_att_view *v,
    uint64_t now_us);
struct edge_tag_view {
    uint32_t domain, vni, refs;
    uint16_t vid;
    uint8_t state;                       /* enum tag_state */
    uint64_t hold_left_us;
};
bool edge_each_tag(const struct edge *e, uint32_t *it, struct edge_tag_view *v, uint64_t now_us);
struct edge_map_view {
    struct mapping_rec rec;
    uint8_t local, stale, tomb;
    uint8_t held;                        /* its frames wait here (K12) */
    struct ip target;                    /* ... or go there, which has not published yet (D3) */
};
bool edge_each_mapping(const struct edge *e, uint32_t *it, struct edge_map_view *v);
bool edge_each_vn(const struct edge *e, uint32_t *it, struct vn_rec *v);
bool edge_vn_get(const struct edge *e, uint32_t vni, struct vn_rec *v);   /* false: not known */
uint32_t edge_domain_port(const struct edge *e, uint32_t domain);   /* a port of it */
bool edge_has(const struct edge *e, uint32_t port, const struct vsiid *id);   /* attached here */
const char *tag_state_str(uint8_t state);
#define EDGE_COUNTERS(X)                                                                \
    X(REQUESTS, "requests", "TNS requests taken")                                       \
    X(ANSWERED_OK, "answered_ok", "requests answered with success")                     \
    X(REFUSED, "refused", "requests refused with a reason")                             \
    X(KEEPALIVES, "keepalives", "requests that only refreshed a timer")                 \
    X(ILLEGAL, "illegal_events", "events without a row in the state table")             \
    X(UNAUTHORISED, "unauthorised", "requests for a VN the port may not join")          \
    X(CONFLICTS, "conflicts", "claims of an address that another VSI holds")            \
    X(NO_TAG, "tags_exhausted", "requests refused because no local tag was free")       \
    X(AGED, "aged_out", "attachments removed by their idle timer")                      \
    X(MOVED_AWAY, "moved_away", "attachments that lost ownership to a newer epoch")     \
    X(STALE_MAPS, "stale_mappings", "mapping records older than what was known")        \
    X(MISSES, "misses", "data plane misses looked at")                                  \
    X(QUERIES, "queries", "questions sent to the mapping plane")                        \
    X(NEGATIVES, "negatives", "negative answers remembered")                            \
    X(HELD_FRAMES, "held_frames", "first frames kept for an answer (K18)")              \
    X(LEARNED, "learned", "addresses learned from frames (K2, K8)")                     \
    X(LEARN_REFUSED, "learn_refused", "addresses not learned: limit or contradiction")  \
    X(DP_ERRORS, "dp_errors", "data plane operations that failed")                      \
    X(UNPUBLISHED, "unpublished", "answers given before the authority confirmed (K17)") \
    X(ND_ANSWERED, "nd_core_answered", "neighbour questions answered by the agent")     \
    X(TARGETS, "targets", "targets of a migration that were told here (X5)")            \
    X(TARGETS_IGNORED, "targets_ignored", "targets told without a newer epoch (D3)")
enum edge_counter {
#define X(sym, name, help) EDGEC_##sym,
    EDGE_COUNTERS(X)
#undef X
    EDGEC_N
};
uint64_t edge_counter(const struct edge *e, unsigned c);
const char *edge_counter_name(unsigned c);
const char *att_state_str(uint8_t state);
#endif
