/* SPDX-License-Identifier: Apache-2.0 */
/* What the org TLVs of one VSI say, Berth's and Cisco's in one place (K8, K20). */
#ifndef BERTH_PROTO_VDP_ORGS_H
#define BERTH_PROTO_VDP_ORGS_H
#include "wire/berth_tlv.h"
#include "wire/vdp.h"

struct vdp_orgs {
    struct berth_tlv berth;              /* .ips: Cisco's address too, as of entry 0 */
    bool has_berth;
    bool refuse;                         /* Berth's is malformed, or there twice */
    struct vsiid vm;                     /* Cisco's; format 0 = none */
    char vm_name[64];                    /* printable */
    uint64_t hash;                       /* over those understood; 0 = there were none */
    uint16_t n_unknown, n_bad;
};
/* oui: Berth's. The proof points into `org`. */
void vdp_orgs_read(const uint8_t *org, size_t size, uint32_t oui, struct vdp_orgs *o);
#endif
