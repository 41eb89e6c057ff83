/* SPDX-License-Identifier: Apache-2.0 */
/* LISP control messages (RFC 9301) with the address formats of RFC 8060 and 9306:
 * bytes <-> plain structs. No state, no policy, no allocation: what a decoder returns
 * points into the caller's bytes. Network order on the wire, host order in structs.
 * Every decoder is strict: a length that lies, or octets left over, is an error. */
#ifndef BERTH_WIRE_LISP_H
#define BERTH_WIRE_LISP_H
#include "base/buf.h"
#include "wire/addr.h"

#define LISP_PORT 4342           /* UDP and TCP (RFC 9301 clause 12.1) */
#define LISP_RLOCS_MAX 4         /* locators kept per record; more are counted, not kept */
#define LISP_EIDS_MAX 8          /* EIDs taken from one Map-Request */
#define LISP_ITRS_MAX 4          /* ITR-RLOCs kept of one Map-Request */
#define LISP_IPS_MAX 8           /* addresses of one mapping in the vendor LCAF */
#define LISP_RECORD_MAX 1024     /* octets that the longest encoded record needs */
#define LISP_TTL_FOREVER 0xffffffffu
#define LISP_AUTH_SIZE 16        /* HMAC-SHA-256-128 */
#define LISP_KEY_MAX 64
#define LISP_XTR_ID_SIZE 16

enum lisp_type { LISP_MAP_REQUEST = 1, LISP_MAP_REPLY, LISP_MAP_REGISTER, LISP_MAP_NOTIFY,
    LISP_MAP_NOTIFY_ACK, LISP_ECM = 8 };
enum lisp_act { LISP_ACT_NONE, LISP_ACT_NATIVE, LISP_ACT_REQUEST, LISP_ACT_DROP,
    LISP_ACT_DROP_POLICY, LISP_ACT_DROP_AUTH };            /* RFC 9301 clause 5.4 */
enum lisp_alg { LISP_ALG_NONE, LISP_ALG_SHA1_96, LISP_ALG_SHA256_128,
    LISP_ALG_SHA256_128_HKDF };                            /* RFC 9301 clause 12.5 */
enum lisp_err { LISP_OK, LISP_ERR_SHORT, LISP_ERR_TRAILING, LISP_ERR_TYPE, LISP_ERR_EID,
    LISP_ERR_RLOC, LISP_ERR_LCAF, LISP_ERR_MANY, LISP_ERR_AUTH, LISP_ERR_INNER,
    LISP_ERR_OUI, LISP_ERR_UNSUPPORTED, LISP_N_ERR };
const char *lisp_err_str(enum lisp_err err);

/* What is configurable about our bytes. mac_afi is what we send (RFC 8060
 * says 6, IANA also has 16389); both are taken. */
struct lisp_dialect {
    uint32_t oui;                /* of the vendor LCAF (RFC 9306, K5): 24 bits */
    uint16_t mac_afi;            /* LISP_AFI_MAC or LISP_AFI_MAC48 */
};
#define LISP_AFI_NONE 0
#define LISP_AFI_IPV4 1
#define LISP_AFI_IPV6 2
#define LISP_AFI_MAC 6
#define LISP_AFI_LCAF 16387
#define LISP_AFI_MAC48 16389
#define LISP_OUI_LAB 0x0abe27    /* a locally administered CID: laboratory use only */
extern const struct lisp_dialect lisp_dialect_default;

/* NONE = AFI 0; OTHER = well-formed, but of a kind that Berth has no table for. */
enum lisp_eid_kind { LISP_EID_NONE, LISP_EID_IP, LISP_EID_MAC, LISP_EID_OTHER };
struct lisp_eid {                /* made by the functions below: comparable by lisp_eid_equal */
    uint32_t vni;                /* instance id; 0 = none, sent without an LCAF */
    uint8_t kind;                /* enum lisp_eid_kind */
    uint8_t prefix_len;          /* IPv4 0-32, IPv6 0-128, MAC 48 */
    struct mac mac;
    struct ip ip;
};
struct lisp_eid lisp_eid_ip(uint32_t vni, const struct ip *ip);   /* host prefix: TEID <VNI,IP,*> */
struct lisp_eid lisp_eid_mac(uint32_t vni, const struct mac *mac);
bool lisp_eid_equal(const struct lisp_eid *a, const struct lisp_eid *b);
#define LISP_EID_STR 80
const char *lisp_eid_str(const struct lisp_eid *eid, char *text);

struct lisp_rloc {
    struct ip ip;
    uint8_t prio, weight, mprio, mweight;
    bool local, probed, reachable;
    bool has_mac;                /* MAC_B in the AFI list (requirements 3.3 MAP_REPLY) */
    bool has_epoch;              /* what follows mac came in the vendor LCAF (K5) */
    struct mac mac;
    uint8_t low_trust;           /* bit i: ips[i] was learned, not signalled (K8) */
    uint8_t n_ips;               /* with a MAC as EID: the IPs that follow it (K1) */
    uint64_t epoch, migration_id;
    uint64_t vsi;                /* print of the VSI that has the MAC; 0 = not said (K18) */
    struct ip owner;             /* NVE whose claim this is; none = the locator itself */
    struct ip ips[LISP_IPS_MAX];
};
struct lisp_record {
    struct lisp_eid eid;
    uint32_t ttl_min;            /* minutes; 0 = withdraw */
    uint16_t version;            /* 12 bits, for others; never compared (K5) */
    uint8_t act;                 /* enum lisp_act; 6 and 7 are kept as they came */
    bool authoritative;
    uint8_t n_rlocs;             /* 0 = negative */
    uint8_t n_skipped;           /* locators of unknown kind or beyond the maximum */
    struct lisp_rloc rlocs[LISP_RLOCS_MAX];
};
uint16_t lisp_version_of(uint64_t epoch);                  /* e mod 4095 + 1 */
/* prefix_len as the message has it beside the EID; -1: it has none, the EID is a host. */
enum lisp_err lisp_eid_get(struct rd *r, int prefix_len, struct lisp_eid *eid);
void lisp_eid_put(struct wr *w, const struct lisp_dialect *d, const struct lisp_eid *eid);
enum lisp_err lisp_record_get(struct rd *r, const struct lisp_dialect *d,
    struct lisp_record *rec);
void lisp_record_put(struct wr *w, const struct lisp_dialect *d,
    const struct lisp_record *rec);                        /* too small: w->err */
/* RFC 9306 clause 4: who does not know our OUI drops the whole message. For such a peer
 * take the epoch (and the MAC) out of a record first. */
void lisp_record_plain(struct lisp_record *rec);
void lisp_ip_put(struct wr *w, const struct ip *ip);       /* AFI and address; none = AFI 0 */
enum lisp_err lisp_ip_get(struct rd *r, struct ip *ip);

struct lisp_request {            /* Map-Request, RFC 9301 clause 5.2 */
    uint64_t nonce;
    bool authoritative, probe, smr, smr_invoked, pitr, local_xtr, no_reply;
    struct lisp_eid source;
    uint8_t n_itrs, n_eids;
    struct ip itrs[LISP_ITRS_MAX];
    struct lisp_eid eids[LISP_EIDS_MAX];
};
struct lisp_reply {              /* Map-Reply, clause 5.4 */
    uint64_t nonce;
    bool probe, echo_nonce, secure;
    uint8_t n_records;
    struct rd records;           /* checked: lisp_record_get gives n_records times LISP_OK */
};
struct lisp_key {
    uint8_t id, alg;             /* enum lisp_alg */
    uint8_t size;
    uint8_t secret[LISP_KEY_MAX];
};
struct lisp_register {           /* Map-Register, Map-Notify, Map-Notify-Ack: clauses 5.6, 5.7 */
    uint8_t type;                /* enum lisp_type */
    uint64_t nonce;
    bool proxy, secure, has_id, eid_notify, use_ttl, merge, want_notify;
    uint8_t key_id, alg, n_records;
    const uint8_t *auth;
    uint16_t auth_size;
    struct rd records;           /* as in lisp_reply */
    uint8_t xtr_id[LISP_XTR_ID_SIZE];
    uint64_t site_id;
};
struct lisp_ecm {                /* Encapsulated Control Message, clause 5.8 */
    bool ddt;
    struct ip src, dst;          /* of the inner header; one family */
    uint16_t sport, dport;
    const uint8_t *payload;
    size_t size;
};
int lisp_type_of(const void *p, size_t n);                 /* 0-15, -1 when empty */
/* Decoders take the UDP payload. The array form of encoders returns octets, 0: no room. */
enum lisp_err lisp_request_decode(const void *p, size_t n, struct lisp_request *m);
enum lisp_err lisp_reply_decode(const void *p, size_t n, const struct lisp_dialect *d,
    struct lisp_reply *m);
enum lisp_err lisp_register_decode(const void *p, size_t n, const struct lisp_dialect *d,
    struct lisp_register *m);
enum lisp_err lisp_ecm_decode(const void *p, size_t n, struct lisp_ecm *m);
size_t lisp_request_encode(const struct lisp_request *m, const struct lisp_dialect *d,
    void *out, size_t cap);
size_t lisp_reply_encode(const struct lisp_reply *m, const struct lisp_record *records,
    const struct lisp_dialect *d, void *out, size_t cap);  /* m->n_records of them */
/* Signed with `key` (alg NONE: no authentication data); m->key_id, alg, auth are not read. */
size_t lisp_register_encode(const struct lisp_register *m, const struct lisp_record *records,
    const struct lisp_key *key, const struct lisp_dialect *d, void *out, size_t cap);
size_t lisp_ecm_encode(const struct lisp_ecm *m, void *out, size_t cap);
/* True when `key` signed the n octets at p, from which m was decoded. *id_covered tells
 * whether the authentication covers the xTR-ID: the letter of clause 5.6 stops at the last
 * record, so a replay could carry another xTR-ID; count its nonces under the key alone. */
bool lisp_register_verify(const void *p, size_t n, const struct lisp_register *m,
    const struct lisp_key *key, bool *id_covered);
/* Replaces the authentication of an encoded message after a change. */
bool lisp_register_sign(void *p, size_t n, const struct lisp_key *key);
#endif
