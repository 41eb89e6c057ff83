/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the NVE's journal (K7): attachments, tags and VNs as octets. Pure codec. A
 * record starts with a version; a reader refuses versions it does not know and says what
 * was wrong and at which octet. Network byte order. */
#ifndef BERTH_CORE_RECORD_H
#define BERTH_CORE_RECORD_H
#include "core/edge.h"

enum edge_record { RECORD_ATTACHMENT = 1, RECORD_TAG = 2, RECORD_VN = 3 };

#define RECORD_VERSION  1                /* 2: an attachment with targets; written only then */
#define RECORD_KEY_MAX  32
#define RECORD_SIZE_MAX 40960            /* of any record: TNS_ENTRIES_MAX entries, and learned */
#define RECORD_ENTRIES_MAX 192           /* entries of one attachment with its learned ones */

enum {
    RECORD_ENTRY_WANT = 128,             /* its epoch was provisional: ask for one */
    RECORD_ENTRY_TARGET = 64             /* where its VM goes is known (D3) */
};

struct record_entry {
    uint32_t vni;
    struct mac mac;
    uint16_t vid;
    uint8_t flags;                       /* ENTRY_KEPT of attach_int.h, RECORD_ENTRY_WANT */
    uint8_t pcp, n_ips, low_trust;
    struct ip ips[TNS_IPS_MAX];
    uint64_t epoch, migration_id;        /* 0: holds no residence */
    struct ip target;                    /* with RECORD_ENTRY_TARGET */
    uint64_t target_epoch, target_migration_id;
};
struct record_attachment {
    struct vsiid id;
    uint32_t port, cookie;
    uint8_t state, prev, flags, op;      /* op: the last request accepted (K3) */
    uint64_t epoch, migration_id, idle_us;
    struct tns_profile profile;
    uint16_t n_entries;
    struct record_entry *entries;        /* room for RECORD_ENTRIES_MAX at the caller's */
};
struct record_tag {
    uint32_t domain, vni;
    uint16_t vid;
    uint8_t state;                       /* enum tag_state: HELD or DRAIN */
};
struct record_fault {                    /* why a record was refused */
    const char *what;
    uint16_t at;                         /* octet */
};
/* Octets written, 0: does not fit. */
uint16_t record_attachment_encode(const struct record_attachment *a, uint8_t *p, size_t cap);
bool record_attachment_decode(struct record_attachment *a, const uint8_t *p, size_t size,
    struct record_fault *f);
uint16_t record_tag_encode(const struct record_tag *t, uint8_t *p, size_t cap);
bool record_tag_decode(struct record_tag *t, const uint8_t *p, size_t size,
    struct record_fault *f);
uint16_t record_vn_encode(const struct vn_rec *v, uint8_t *p, size_t cap);
bool record_vn_decode(struct vn_rec *v, const uint8_t *p, size_t size,
    struct record_fault *f);
/* Keys; RECORD_KEY_MAX octets are enough. */
uint16_t record_attachment_key(uint32_t port, const struct vsiid *id, uint8_t *key);
uint16_t record_tag_key(uint32_t domain, uint16_t vid, uint8_t *key);
uint16_t record_vn_key(uint32_t vni, uint8_t *key);
#endif
