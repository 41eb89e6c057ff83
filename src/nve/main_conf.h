/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file of berth-nve, as rows of host/config, and its translation to what
 * the node takes. Only main*.c of this folder see host. */
#ifndef BERTH_NVE_MAIN_CONF_H
#define BERTH_NVE_MAIN_CONF_H
#include "host/program.h"
#include "nve/node.h"

struct main_conf {
    struct program_conf program;
    char *name, *state, *pins, *mapping_file;
    struct ip vtep;
    unsigned mapping;                    /* enum nve_mapping_mode */
    uint32_t oui, underlay_mtu;
    uint16_t lisp_port;
    uint64_t journal_sync_us;
    struct {
        char *device;
        uint16_t port;
        bool checksum, mount;
    } overlay;
    struct {
        uint8_t rte, retries, rwd, rka;
        bool reflective_relay;
        uint64_t pace_us;
    } vdp;
    struct {
        uint32_t ports, attachments, mappings, vns, vteps;
    } tables;
    uint64_t settings[SET_N];
    struct config_list authorities, ports, vns, maps, profiles;
};
struct main_authority {
    char *title, *key;
    struct ip address;
    uint16_t port, udp_port;
};
struct main_port {
    char *title;
    unsigned native;                     /* enum dp_native */
    uint32_t native_vni;
    struct config_vnis vns;
    char *vids_reserved, *vid_vns, *domain;
    struct mac extra_group;
    uint32_t number;                     /* main: the port's number */
};
struct main_vn {
    char *title;
    uint32_t vni, mtu;
    unsigned arp;
    bool pull;
};
struct main_map {
    char *title, *ips;
    struct mac mac;
    struct ip vtep;
    uint32_t vni;
};
struct main_profile {
    char *title;
    uint32_t vni;
};
extern const struct config_row main_rows[];

/* 0, or -errno with a sentence that names the section. Loads mapping_file as well.
 * config_free frees it. */
int main_conf_load(struct main_conf *c, const char *path, struct host_err *err);
/* Fills what the node wants, by port numbers that main has given; the arrays are allocated
 * once and live until the process ends. Authority and MTU are main's to fill. */
int main_conf_node(const struct main_conf *c, struct nve_conf *n, struct host_err *err);
#endif
