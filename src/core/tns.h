/* SPDX-License-Identifier: Apache-2.0 */
/* The abstract TNS operations (requirements 3.1): what every binding (VDP, REST, XMPP)
 * translates to and from. Plain data; pointers are borrowed for the duration of the call
 * or until the next output is pulled. Units: epochs are 64-bit numbers (K4). */
#ifndef BERTH_CORE_TNS_H
#define BERTH_CORE_TNS_H
#include "wire/addr.h"

enum tns_op {                            /* S3-101, A16 */
    TNS_PREASSOC, TNS_ASSOC, TNS_SUSPEND, TNS_RESUME, TNS_EMIGRATE_PREPARE,
    TNS_EMIGRATE_COMMIT, TNS_IMMIGRATE_PRE, TNS_IMMIGRATE_ASSO, TNS_TERMINATE,
    TNS_KEEPALIVE, TNS_N_OPS
};
enum tns_code {                          /* S3-12 and A7; every binding maps these */
    TNS_OK, TNS_BAD_MESSAGE, TNS_NO_RESOURCES, TNS_NO_AUTHORITY, TNS_NOT_AUTHORISED,
    TNS_CONFLICT, TNS_UNKNOWN_VN, TNS_NO_STATE, TNS_INVALID_STATE, TNS_BUSY, TNS_MOVED,
    TNS_N_CODES
};
enum tns_vn_ref { VN_BY_NONE, VN_BY_VNI, VN_BY_NAME };  /* S0-9, S3-102, K2 */

#define TNS_IPS_MAX     8                /* addresses of one entry */
#define TNS_ENTRIES_MAX 64               /* entries of one message */
#define TNS_REASON_SIZE 96
#define VN_NAME_SIZE    64               /* with the final NUL */

/* One filter entry: one MAC (or any: wildcard, K2) in one VN (S3-103). */
struct tns_entry {
    uint8_t vn_ref;                      /* enum tns_vn_ref */
    uint8_t has_mac;                     /* 0: wildcard VSI */
    uint8_t ps, pcp;                     /* PS=1: the station asks for this PCP (S3-105) */
    uint16_t vid;                        /* 0: the NVE chooses (S3-113); else asked, never another (K18) */
    uint8_t n_ips;
    uint8_t untagged;                    /* answer: no tag on the link */
    uint32_t vni;                        /* with VN_BY_VNI; filled in the answer */
    struct mac mac;
    struct ip ips[TNS_IPS_MAX];
    char vn_name[VN_NAME_SIZE];          /* with VN_BY_NAME */
};
/* Reference to policies: VDP's manager id, VSI type id and version (X4). */
struct tns_profile {
    uint8_t manager[16];
    uint32_t type_id;                    /* 24 bits */
    uint8_t version;
};
struct tns_request {
    uint8_t op;                          /* enum tns_op */
    uint8_t reserve;                     /* Pre-Assoc with resource reservation (A8) */
    uint8_t suspended;                   /* S bit: with IMMIGRATE_ASSO ends in SUSP (A14) */
    uint8_t has_epoch;                   /* epoch and migration_id were carried (K4) */
    uint8_t berth_station;               /* sender speaks Berth's org TLV (K3, K20) */
    uint8_t hold;                        /* with EMIGRATE_PREPARE: the pause follows at once. From now
                                          * on frames for the VM wait, or go to the target; those
                                          * from it still pass (K12) */
    uint8_t confirm;                     /* answer when the far ends forward, too (K6 REMOTE) */
    uint32_t port;                       /* NVE port number */
    uint32_t cookie;                     /* the binding's handle; comes back in the answer */
    struct vsiid id;
    struct tns_profile profile;
    uint64_t epoch, migration_id;
    struct ip peer_nve;                  /* target or source NVE when told (X5); none otherwise */
    uint64_t idle_us;                    /* T_assoc this binding negotiated; 0: configured default */
    uint16_t n_entries;
    const struct tns_entry *entries;
};
struct tns_response {
    uint8_t op, code;                    /* enum tns_op, enum tns_code */
    uint8_t state;                       /* enum att_state after the request */
    uint8_t unpublished;                 /* ok, but the authority has not confirmed yet (K17) */
    uint8_t unconfirmed;                 /* ok and asked to confirm, but a far end was silent for
                                          * T_confirm, or there is no authority (K6) */
    uint8_t kept;                        /* refused, but the old state stays (A9, VDP KEEP) */
    uint32_t port, cookie;
    struct vsiid id;
    uint64_t epoch, migration_id;
    struct ip nve;                       /* our VTEP: the target that Emigrate may name (X5) */
    uint32_t mtu;                        /* of the VN; 0 unknown */
    uint16_t n_entries;
    const struct tns_entry *entries;     /* vid, ps, pcp, vni filled (S3-104, S3-105) */
    char reason[TNS_REASON_SIZE];        /* for people; empty with TNS_OK */
};
/* The NVE speaks first (S3-90, RFC 8394 Req-6, Req-9). */
enum tns_notice_type { NOTICE_DISSOCIATED, NOTICE_MOVED, NOTICE_LOCAL_CHANGE };
struct tns_notice {
    uint8_t type;                        /* enum tns_notice_type */
    uint32_t port, cookie;               /* cookie of the last request of this VSI */
    struct vsiid id;
    char reason[TNS_REASON_SIZE];
};
const char *tns_op_str(uint8_t op);
const char *tns_code_str(uint8_t code);
bool tns_op_parse(const char *word, uint8_t *op);
#endif
