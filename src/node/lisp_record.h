/* SPDX-License-Identifier: Apache-2.0 */
/* What crosses the wall between core and proto in every node that speaks LISP: a mapping
 * of core as a record of the wire, and back. The VN record likewise. No state. */
#ifndef BERTH_NODE_LISP_RECORD_H
#define BERTH_NODE_LISP_RECORD_H
#include "core/edge.h"
#include "wire/lisp_rt.h"

/* eid NULL: the mapping's own (VN, MAC); else what was asked for (S4-32). Lives for ever:
 * the session is the life of it, not a clock; a reply over UDP sets ttl_min itself. */
void lisp_record_of(const struct mapping_rec *m, const struct lisp_eid *eid,
    struct lisp_record *to);
/* false: the record names no MAC, so there is no place in a table of (VN, MAC) for it. */
bool lisp_record_mapping(const struct lisp_record *rec, struct mapping_rec *to);
/* A question's or a withdrawal's key: the IP unless it is none. */
struct lisp_eid lisp_record_key(uint32_t vni, const struct mac *mac, const struct ip *ip);

/* An unknown ARP policy reads as SUPPRESS (doc/protocol). */
void lisp_record_vn_of(const struct vn_rec *vn, uint64_t ref, struct lisp_rt_vn *to);
void lisp_record_vn(const struct lisp_rt_vn *w, struct vn_rec *to);
#endif
