/* SPDX-License-Identifier: Apache-2.0 */
/* The VSIs of one bridge port: for each the last accepted request, to tell a keep-alive from
 * a claim (K3), and the tags it was answered. The VSIID alone names a VSI, as it does an
 * attachment; manager id, type and version are what a request says of it, and the accepted
 * one's count. About 64 octets and an index slot per VSI. */
#ifndef BERTH_PROTO_VDP_VSIS_H
#define BERTH_PROTO_VDP_VSIS_H
#include "base/map.h"
#include "base/mem.h"
#include "proto/vdp_filter.h"
#include "proto/vdp_managers.h"

struct vdp_vsi_rec {
    struct vsiid id;
    uint8_t type_version, manager, peer; /* slots of the owner's tables */
    uint8_t type;                        /* accepted: VDP_PREASSOC .. VDP_ASSOC; 0 = nothing yet */
    uint8_t hints;                       /* M and S of the accepted request */
    uint32_t type_id;
    uint32_t pending;                    /* the owner's: a request that waits for its answer */
    uint64_t org_hash;                   /* of Berth's and Cisco's TLVs; 0 = there were none */
    struct vdp_filter filter;
};
struct vdp_vsis {
    struct pool pool;
    struct map map;
    struct vdp_managers managers;
    uint32_t n_entries;                  /* over all filters */
};
void vdp_vsis_init(struct vdp_vsis *s, uint32_t max_vsis, uint8_t max_managers,
    uint64_t seed);
void vdp_vsis_done(struct vdp_vsis *s);
uint32_t vdp_vsis_find(const struct vdp_vsis *s, const struct vsiid *id);      /* 0 = none */
/* 0 when the table is full. `manager`: the slot of who asks. */
uint32_t vdp_vsis_add(struct vdp_vsis *s, const struct vsiid *id, uint8_t manager);
void vdp_vsis_remove(struct vdp_vsis *s, uint32_t handle);
struct vdp_vsi_rec *vdp_vsis_at(const struct vdp_vsis *s, uint32_t handle);
/* One is accepted, of the manager, type and version that `v` has. */
bool vdp_vsis_stands(const struct vdp_vsi_rec *rec, uint8_t manager, const struct vdp_vsi *v);
/* A request is the last accepted one again. No org TLVs at all say nothing new. */
bool vdp_vsis_is_repeat(const struct vdp_vsi_rec *rec, uint8_t manager,
    const struct vdp_vsi *v, uint64_t org_hash);
void vdp_vsis_accept(struct vdp_vsis *s, struct vdp_vsi_rec *rec, uint8_t manager,
    const struct vdp_vsi *v, const uint8_t *tagged, uint64_t org_hash);
/* For a journal: see vdp_bridge_save. */
size_t vdp_vsis_save(const struct vdp_vsis *s, uint32_t handle, const struct mac *peer,
    uint8_t *bytes, size_t cap);
bool vdp_vsis_saved_id(const uint8_t *bytes, size_t size, struct vsiid *id);
/* Handle, or 0 when the octets are not of vdp_vsis_save or there is no room. */
uint32_t vdp_vsis_restore(struct vdp_vsis *s, const uint8_t *bytes, size_t size,
    struct mac *peer);
#endif
