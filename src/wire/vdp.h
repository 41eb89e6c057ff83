/* SPDX-License-Identifier: Apache-2.0 */
/* VDP PDU (802.1Q-2014 41.2, S3-110 to S3-112): manager id TLV first, VSI TLVs each
 * followed by the organizational TLVs that belong to it, End. A decoded PDU points into the
 * caller's bytes (filters and org TLVs), which must outlive it. Lengths are strict: 25 + n * entry size;
 * a VSI TLV that breaks a rule carries its reason, the others of the PDU still count. */
#ifndef BERTH_WIRE_VDP_H
#define BERTH_WIRE_VDP_H
#include "wire/addr.h"
#include "wire/tlv.h"

enum vdp_type {
    VDP_END, VDP_PREASSOC, VDP_PREASSOC_RR, VDP_ASSOC, VDP_DEASSOC, VDP_MGRID, VDP_ORG = TLV_ORG,
};
#define VDP_REQ_M      0x10              /* request: VM moves to here */
#define VDP_REQ_S      0x20              /* request: suspended, or moves away from here */
#define VDP_RSP_ACK    0x40              /* response; clear in a bridge's own De-assoc */
#define VDP_RSP_KEEP   0x20              /* response: the earlier association is kept */
#define VDP_RSP_HARD   0x10
#define VDP_RSP_CODE   0x0f
enum vdp_code {
    VDP_CODE_OK, VDP_CODE_FORMAT, VDP_CODE_RESOURCES, VDP_CODE_NO_MANAGER, VDP_CODE_OTHER,
    VDP_CODE_VID,                        /* VID, GroupID or MAC is not valid here */
};
const char *vdp_code_str(uint8_t code);

enum vdp_filter_format { VDP_FILTER_VID = 1, VDP_FILTER_MAC, VDP_FILTER_GROUP, VDP_FILTER_GROUP_MAC };
#define VDP_MGRID_SIZE  16
#define VDP_VSI_FIXED   25               /* VSI TLV body without entries */
#define VDP_ENTRIES_MAX 243              /* (511 - 25) / 2 */
#define VDP_FILTER_SIZE_MAX (TLV_BODY_MAX - VDP_VSI_FIXED)
#define VDP_VSIS_MAX    64               /* more than a 1500-octet ECPDU can hold */
struct vdp_entry {                       /* fields the format lacks are zero */
    uint32_t group;                      /* GroupID: VNI in the low 24 bits */
    struct mac mac;
    uint16_t vid;                        /* 0 in a request = the bridge is to choose */
    uint8_t pcp;
    bool ps;                             /* PCP is significant */
};
uint8_t vdp_entry_size(uint8_t format);  /* 2, 8, 6, 12; 0 = no such format */
uint16_t vdp_entries_max(uint8_t format);/* 243, 60, 81, 40 */
/* Entry i of n in wire form. The TCI is PS 1, PCP 3, VID 12 and ends each entry. */
struct vdp_entry vdp_entry_get(uint8_t format, const uint8_t *filter, uint16_t i);
void vdp_entry_put(uint8_t format, uint8_t *filter, uint16_t i, const struct vdp_entry *e);
uint16_t vdp_entry_tci(const struct vdp_entry *e);

enum vdp_reason {
    VDP_GOOD,
    VDP_BAD_SHORT,                       /* body ends before the filter information */
    VDP_BAD_LENGTH,                      /* length is not 25 + n * entry size */
    VDP_BAD_OVERFLOW,                    /* more entries than 9 bits of length can tell */
    VDP_BAD_TRUNCATED,                   /* the PDU ends inside the TLV */
    VDP_BAD_VSIID_FORMAT,
    VDP_BAD_FILTER_FORMAT,
    VDP_BAD_NO_MGRID,                    /* PDU: none, or not the first TLV */
    VDP_BAD_TWO_MGRIDS,                  /* PDU */
    VDP_BAD_MGRID_LENGTH,                /* PDU */
};
const char *vdp_reason_str(uint8_t reason);

struct vdp_vsi {
    uint8_t type, status, type_version, filter_format;
    uint8_t reason;                      /* enum vdp_reason; not GOOD: no entries are given */
    uint32_t type_id;                    /* 24 bits */
    struct vsiid id;
    uint16_t n_entries, org_size;
    const uint8_t *filter;               /* n_entries in wire form */
    const uint8_t *org;                  /* org TLVs of this VSI with their headers, or NULL */
};
struct vdp_pdu {
    uint8_t mgrid[VDP_MGRID_SIZE];
    uint8_t reason;                      /* of the PDU: GOOD or one of the MGRID reasons */
    bool end;                            /* an End TLV was there */
    uint16_t n_vsis;
    uint16_t n_bad;                      /* TLVs too broken to name a VSI */
    uint16_t n_over;                     /* VSIs beyond VDP_VSIS_MAX */
    uint16_t n_unknown;                  /* TLVs of unknown type: skipped */
    uint16_t n_stray_org;                /* org TLVs behind no VSI that is kept: skipped */
    uint16_t owner;                      /* decoding: number of the VSI that org TLVs are for, + 1 */
    struct vdp_vsi vsis[VDP_VSIS_MAX];   /* with a readable identity, good or bad */
};
/* Payload of an ECPDU. Returns pdu->reason; the VSIs are filled in any case. */
enum vdp_reason vdp_decode(const uint8_t *payload, size_t size, struct vdp_pdu *pdu);
/* Canonical: manager id, VSIs with their org TLVs, End. */
void vdp_encode(struct wr *w, const struct vdp_pdu *pdu);
/* The same in pieces, for who packs under a size limit. */
void vdp_encode_mgrid(struct wr *w, const uint8_t mgrid[VDP_MGRID_SIZE]);
void vdp_encode_vsi(struct wr *w, const struct vdp_vsi *vsi);     /* with .org */
void vdp_encode_end(struct wr *w);
size_t vdp_vsi_size(const struct vdp_vsi *vsi);       /* octets vdp_encode_vsi will write */
const char *vdp_type_str(uint8_t type);
int vdp_print(const struct vdp_pdu *pdu, char *text, size_t size);

struct vdp_org {
    uint32_t oui;
    struct rd body;                      /* after the OUI */
};
bool vdp_org_next(struct rd *r, struct vdp_org *org); /* over vsi->org; skips other TLVs */

/* What names a VSI at a port; plain value, compare with vdp_key_equal. */
struct vdp_key {
    uint8_t mgrid[VDP_MGRID_SIZE];
    uint32_t type_id;
    uint8_t type_version;
    struct vsiid id;
};
bool vdp_key_equal(const struct vdp_key *a, const struct vdp_key *b);
#endif
