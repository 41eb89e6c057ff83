/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file of berth-nva, as rows of host/config, and its translation to what
 * the node takes. Only main*.c of this folder see host. */
#ifndef BERTH_NVA_MAIN_CONF_H
#define BERTH_NVA_MAIN_CONF_H
#include "host/program.h"
#include "nva/node.h"

struct main_conf {
    struct program_conf program;
    char *name, *store;
    struct ip address;
    uint16_t port, udp_port;
    uint32_t oui;
    uint64_t settings[NVA_SET_N];
    struct config_list keys, xtrs;
};
struct main_key {
    char *title, *secret;
};
struct main_xtr {
    char *title, *secret;
    uint8_t key_id;
    unsigned algorithm;
};
extern const struct config_row main_rows[];

/* 0, or -errno with a sentence that names file and section. config_free frees
 * it. */
int main_conf_load(struct main_conf *c, const char *path, struct host_err *err);
/* Fills what the node wants; seeds are the caller's. The arrays are the caller's to free
 * (mem_free) when the node is made; the texts belong to c. */
void main_conf_node(const struct main_conf *c, struct nva_conf *n);
#endif
