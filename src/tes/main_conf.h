/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file of berth-tes, as rows of host/config, and its translation to
 * what the node takes. Only main*.c of this folder see host. */
#ifndef BERTH_TES_MAIN_CONF_H
#define BERTH_TES_MAIN_CONF_H
#include "host/program.h"
#include "tes/node.h"

enum { STATION_BERTH, STATION_LLDPAD };
struct main_conf {
    struct program_conf program;
    char *name, *state, *pins, *manager, *libvirt;
    unsigned station;
    bool reflective_relay, mount, tcx, peer, tagging;
    uint32_t oui, max_vms, pipeline;
    struct {
        uint8_t rte, retries, rwd, rka, tries;
        uint64_t pace_us;
    } evb;
    uint64_t retry_us, retry_max_us, sync_us, poll_us;
    struct config_list uplinks, vms;
};
struct main_uplink {
    char *title;
};
struct main_vm {
    char *title; /* the interface */
    struct mac mac;
    char *uplink;
};
extern const struct config_row main_rows[];

/* -1: no such word. */
int main_conf_station(const char *word);
/* 0, or -errno with a sentence that names file and line. config_free frees it. */
int main_conf_load(struct main_conf *c, const char *path, struct host_err *err);
/* Fills what the node wants; the seed is main's. The names of the uplinks go to
 * `names`; the texts belong to c. */
void main_conf_node(
    const struct main_conf *c, struct tes_conf *n, const char *names[TES_UPLINKS_MAX]);
#endif
