/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the servers: servers.c has what all of them share and Berth's agent,
 * station.c the plain station. */
#ifndef BERTH_TEST_SIM_SERVERS_H
#define BERTH_TEST_SIM_SERVERS_H
#include "sim.h"

/* servers.c */
void server_wake(struct world *w, uint32_t i, uint64_t deadline);
void att_set(struct world *w, uint32_t i, uint32_t vm, uint32_t vid, bool pass);
void att_clear(struct world *w, uint32_t i, uint32_t vm);
struct ask *ask_new(struct world *w, uint32_t i, uint32_t vm, uint8_t verb);
struct ask *ask_find(struct server *s, uint64_t id);
void asked(struct world *w, uint32_t i, struct ask *a, bool ok, bool unpublished,
    const char *why); /* the answer is here */

/* station.c */
void plain_boot(struct world *w, uint32_t i);
void plain_pump(struct world *w, uint32_t i);
void plain_ask(struct world *w, uint32_t i, uint32_t vm, uint8_t verb);
#endif
