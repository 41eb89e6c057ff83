/* SPDX-License-Identifier: Apache-2.0 */
/* The NVE's part of the trace (node/trace.h): called where something passes. */
#ifndef BERTH_NVE_SEEN_H
#define BERTH_NVE_SEEN_H
#include "node/trace.h"
#include "nve/node_int.h"

void nve_seen_request(struct nve *n, const struct tns_request *rq);
void nve_seen_output(struct nve *n, const struct edge_out *o);
/* The authority's answer to what had this ref. why: constant text, or NULL. */
void nve_seen_authority(struct nve *n, enum trace_what what, uint64_t ref,
    uint64_t epoch, uint64_t migration_id, const char *why);
void nve_seen_mapping(
    struct nve *n, enum trace_what what, const struct mapping_rec *rec);
void nve_seen_reserved(struct nve *n, const struct mapping_rec *rec, bool gone);
void nve_seen_dp_event(struct nve *n, const struct dp_event *e);
#endif
