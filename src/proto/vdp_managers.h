/* SPDX-License-Identifier: Apache-2.0 */
/* The VSI manager ids in use at one port: a VSI keeps one octet instead of 16, and queues
 * are per slot, since an ECPDU carries exactly one id. The owner counts references. */
#ifndef BERTH_PROTO_VDP_MANAGERS_H
#define BERTH_PROTO_VDP_MANAGERS_H
#include "wire/vdp.h"

struct vdp_manager {
    uint32_t refs;
    uint8_t id[VDP_MGRID_SIZE];
};
struct vdp_managers {
    struct vdp_manager *m;
    uint8_t max;                         /* slots 0 .. max-1 */
};
#define VDP_MANAGER_NONE 0xff
void vdp_managers_init(struct vdp_managers *s, uint8_t max);
void vdp_managers_done(struct vdp_managers *s);
/* Slot of the id, made if need be and room is; VDP_MANAGER_NONE when all are in use. */
uint8_t vdp_managers_get(struct vdp_managers *s, const uint8_t id[VDP_MGRID_SIZE]);
uint8_t vdp_managers_find(const struct vdp_managers *s, const uint8_t id[VDP_MGRID_SIZE]);
#endif
