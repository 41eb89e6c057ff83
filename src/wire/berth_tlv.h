/* SPDX-License-Identifier: Apache-2.0 */
/* Berth's organizational TLV in VDP (K20): what VDP has no field for. It follows the VSI
 * TLV it belongs to. Its octets are fixed in doc/protocol/berth-tlv.md. */
#ifndef BERTH_WIRE_BERTH_TLV_H
#define BERTH_WIRE_BERTH_TLV_H
#include "wire/addr.h"
#include "wire/tlv.h"

/* Default OUI 42-45-52: locally administered (AAI quadrant), for laboratories; configurable. */
#define BERTH_OUI           0x424552
#define BERTH_SUBTYPE_VSI   1            /* in VDP: this TLV */
#define BERTH_SUBTYPE_HELLO 2            /* in LLDP: see wire/lldp.h */
#define BERTH_WIRE_VERSION  1

enum berth_op {
    BERTH_OP_NONE, BERTH_OP_PREASSOC, BERTH_OP_ASSOC, BERTH_OP_SUSPEND, BERTH_OP_RESUME,
    BERTH_OP_EMIGRATE, BERTH_OP_IMMIGRATE, BERTH_OP_TERMINATE, BERTH_OP_KEEPALIVE,
    BERTH_OP_ADDRESSES, BERTH_OP_NOTIFY, /* NVE local change (S3-90) */
    BERTH_N_OPS,
};
enum berth_phase {
    BERTH_PHASE_NONE, BERTH_PHASE_PREPARE, BERTH_PHASE_COMMIT,   /* emigrate (A5) */
    BERTH_PHASE_PRE, BERTH_PHASE_ASSO,                           /* immigrate (S3-60) */
    BERTH_PHASE_HOLD,                    /* emigrate: prepare, and the pause follows at once (K12) */
    BERTH_N_PHASES,
};
#define BERTH_FLAG_RESPONSE    0x01      /* from the NVE, about a request */
#define BERTH_FLAG_UNPUBLISHED 0x02      /* ok, but the authority is out of reach (K17) */
#define BERTH_FLAG_CONFIRM     0x04      /* request: answer only when far ends have confirmed */
#define BERTH_FLAG_NO_IPS      0x08      /* the IP list is complete though empty */
#define BERTH_FLAG_UNCONFIRMED 0x10      /* ok, but not every far end has confirmed (CONFIRM) */
enum berth_reason {                      /* responses of requirements 1.3 and A7 */
    BERTH_REASON_NONE, BERTH_REASON_AUTHORIZATION, BERTH_REASON_POLICY_CONFLICT,
    BERTH_REASON_RESOURCES, BERTH_REASON_BUSY, BERTH_REASON_BAD_MESSAGE,
    BERTH_REASON_NO_STATE, BERTH_REASON_INVALID_STATE, BERTH_REASON_MOVED,
    BERTH_REASON_UNKNOWN_VN, BERTH_REASON_ADDRESS_CONFLICT, BERTH_REASON_TAG_CONFLICT,
    BERTH_REASON_MTU, BERTH_REASON_AUTHORITY, BERTH_REASON_AGED, BERTH_REASON_ADMIN,
    BERTH_REASON_OTHER, BERTH_N_REASONS,
};
enum berth_tag_kind { BERTH_TAG_NONE, BERTH_TAG_VID, BERTH_TAG_QINQ, BERTH_TAG_PORT };

#define BERTH_IPS_MAX   24
#define BERTH_TAGS_MAX  4
#define BERTH_NAME_SIZE 65               /* with the final zero */
#define BERTH_TEXT_SIZE 97
#define BERTH_PROOF_MAX 400
struct berth_ip {
    struct ip ip;
    uint8_t entry;                       /* which filter entry (MAC) owns it: 0, 1, .. */
};
struct berth_tag {
    uint8_t entry, kind;                 /* enum berth_tag_kind */
    uint16_t outer, inner;               /* TCIs */
};
struct berth_tlv {
    uint8_t op, phase, flags;
    uint64_t epoch, migration;           /* 0 = not given */
    uint8_t n_ips, n_tags;
    uint8_t reason;                      /* enum berth_reason; with reason_text */
    uint16_t mtu;                        /* 0 = not given */
    uint32_t vni;                        /* of the first entry's VN; 0 = not given */
    uint16_t proof_size;
    uint16_t n_unknown;                  /* decode: sub-TLVs skipped */
    const uint8_t *proof;                /* opaque, in the caller's bytes */
    struct ip target, source;            /* underlay addresses of NVEs; zero = not given */
    struct berth_ip ips[BERTH_IPS_MAX];
    struct berth_tag tags[BERTH_TAGS_MAX];
    char vn_name[BERTH_NAME_SIZE];       /* "" = not given */
    char reason_text[BERTH_TEXT_SIZE];
};
enum berth_tlv_result {
    BERTH_TLV_GOOD,
    BERTH_TLV_OTHER,                     /* another subtype: skip and count */
    BERTH_TLV_SHORT,
    BERTH_TLV_VERSION,
    BERTH_TLV_VALUE,                     /* operation, phase or a sub-TLV's value */
    BERTH_TLV_LENGTH,                    /* a sub-TLV's length, or more than we keep */
    BERTH_TLV_CRITICAL,                  /* unknown sub-TLV of type 64..126: must not be ignored */
};
const char *berth_tlv_result_str(enum berth_tlv_result result);
/* `body` starts after the OUI (struct vdp_org). *tlv is zeroed first. */
enum berth_tlv_result berth_tlv_decode(struct rd body, struct berth_tlv *tlv);
/* The whole TLV with header and OUI. Fails the cursor above 511 octets. */
void berth_tlv_encode(struct wr *w, uint32_t oui, const struct berth_tlv *tlv);
const char *berth_op_str(uint8_t op);
const char *berth_phase_str(uint8_t phase);
const char *berth_reason_str(uint8_t reason);
int berth_tlv_print(const struct berth_tlv *tlv, char *text, size_t size);
#endif
