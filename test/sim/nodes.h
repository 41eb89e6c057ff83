/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the nodes share: nodes.c (NVEs), authority.c, record.c. */
#ifndef BERTH_TEST_SIM_NODES_H
#define BERTH_TEST_SIM_NODES_H
#include "sim.h"

#define OUTS_MAX 200000 /* of one input: more is a node that never ends */
#define SECRET   "the key of the simulator"

/* nodes.c */
struct nve *nve_new_of(struct world *w, uint32_t i, uint32_t inc, uint64_t now);
/* An event of `type` at the deadline, unless one comes before. */
void node_wake(struct world *w, uint8_t type, uint32_t node, uint32_t inc,
    uint64_t deadline, uint64_t *wake_at);

/* authority.c */
struct nva *nva_new_of(struct world *w, uint32_t inc, uint64_t now);
void nva_stored(struct world *w, const uint8_t *p); /* what was on its way is on disk */

/* record.c */
uint64_t nve_out_hash(uint64_t h, const struct nve_out *o);
uint64_t nva_out_hash(uint64_t h, const struct nva_out *o);
uint8_t *copy_octets(const void *p, size_t size);
void recorder_start(struct world *w, uint32_t kind, uint32_t node);
/* The number of the input recorded, for recorder_said; 0: it is not. */
uint32_t record_nve(struct world *w, uint32_t i, const struct nve_in *in);
uint32_t record_nva(struct world *w, const struct nva_in *in);
void recorder_said(struct world *w, uint32_t input, uint64_t hash);
#endif
