/* SPDX-License-Identifier: Apache-2.0 */
/* One row per key. A server without a name has its host's. */
#include "tes/main_conf.h"
#include "base/mem.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *const stations[] = {"berth", "lldpad", NULL};

#define AT(m)   CONFIG_AT(struct main_conf, m)
#define V_AT(m) CONFIG_AT(struct main_vm, m)
/* clang-format off */
static const struct config_row uplink_rows[] = {{0}};
static const struct config_row vm_rows[] = {
    {.name = "mac", .type = CONFIG_MAC, V_AT(mac), .required = true,
        .help = "the VM's address, by which lldpad's VSI is found",
        .example = "02:00:00:00:00:01"},
    {.name = "uplink", .type = CONFIG_STRING, V_AT(uplink), .max = 15,
        .help = "the uplink that its frames take; not needed when there is one"},
    {0},
};
static const struct config_row evb_rows[] = {
    {.name = "rte", .type = CONFIG_INT, AT(evb.rte), .def = "8", .min = 1, .max = 31,
        .help = "ECP retransmission after 10 us * 2^rte; the larger of both sides holds"},
    {.name = "retries", .type = CONFIG_INT, AT(evb.retries), .def = "3", .min = 1, .max = 7,
        .help = "ECP retransmissions"},
    {.name = "rwd", .type = CONFIG_INT, AT(evb.rwd), .def = "17", .min = 1, .max = 31,
        .help = "wait for an answer, 10 us * 2^rwd"},
    {.name = "rka", .type = CONFIG_INT, AT(evb.rka), .def = "20", .min = 1, .max = 31,
        .help = "keep-alive each 10 us * 2^rka"},
    {.name = "tries", .type = CONFIG_INT, AT(evb.tries), .def = "2", .min = 1, .max = 10,
        .help = "waits for an answer before a request has failed"},
    {.name = "pace", .type = CONFIG_DURATION, AT(evb.pace_us), .def = "10ms", .min = 1,
        .max = 1000000, .help = "gap between ECPDUs to an edge that is not Berth's (K13)"},
    {0},
};
const struct config_row main_rows[] = {
    {.name = "name", .type = CONFIG_STRING, AT(name), .max = 63,
        .help = "of this server in answers and logs; default: its host name"},
    PROGRAM_ROWS(struct main_conf, program, "/run/berth/tes.sock"),
    {.name = "state", .type = CONFIG_STRING, AT(state), .def = "/var/lib/berth/tes",
        .help = "directory of the journal"},
    {.name = "pins", .type = CONFIG_STRING, AT(pins), .def = "/run/berth/bpf", .max = 150,
        .help = "directory on a bpffs where maps and links are pinned"},
    {.name = "mount_pins", .type = CONFIG_BOOL, AT(mount), .def = "true",
        .help = "mount a bpffs there if there is none"},
    {.name = "station", .type = CONFIG_ENUM, AT(station), .def = "berth", .words = stations,
        .help = "who signals: this agent, or an lldpad on this host, which is followed"},
    {.name = "reflective_relay", .type = CONFIG_BOOL, AT(reflective_relay), .def = "false",
        .help = "ask the edge to switch between the VMs of this server (802.1Q 8.6.1)"},
    {.name = "manager", .type = CONFIG_STRING, AT(manager), .def = "berth", .max = 16,
        .help = "VSI manager id, text"},
    {.name = "oui", .type = CONFIG_INT, AT(oui), .def = "0", .max = 0xffffff,
        .help = "OUI of Berth's TLVs, as a number (0 = 4343122, which is 42-45-52)"},
    {.name = "max_vms", .type = CONFIG_INT, AT(max_vms), .def = "65536", .min = 1,
        .max = TES_VMS_LIMIT - 1, .help = "most VMs; more are refused"},
    {.name = "pipeline", .type = CONFIG_INT, AT(pipeline), .def = "1024", .min = 1,
        .max = 65536, .help = "open requests of one control client"},
    {.name = "retry", .type = CONFIG_DURATION, AT(retry_us), .def = "200ms", .min = 1000,
        .max = 60000000,
        .help = "first delay before a VM that the edge let go is associated again"},
    {.name = "retry_max", .type = CONFIG_DURATION, AT(retry_max_us), .def = "30s",
        .min = 1000, .max = 3600000000, .help = "the delay doubles up to this"},
    {.name = "sync", .type = CONFIG_DURATION, AT(sync_us), .def = "50ms", .max = 60000000,
        .help = "the journal reaches the disk at most this late; 0: never"},
    {.name = "tagging", .type = CONFIG_BOOL, AT(tagging), .def = "true",
        .help = "false: only signal; VMs with an interface are refused"},
    {.name = "redirect_peer", .type = CONFIG_BOOL, AT(peer), .def = "true",
        .help = "hand frames straight into the namespace of a VM behind a veth"},
    {.name = "tcx", .type = CONFIG_BOOL, AT(tcx), .def = "true",
        .help = "pinned tcx links where the kernel has them; false: clsact filters"},
    {.name = "lldpad_poll", .type = CONFIG_DURATION, AT(poll_us), .def = "2s",
        .min = 100000, .max = 60000000, .help = "how often lldpad's VSIs are read again"},
    {.name = "libvirt", .type = CONFIG_STRING, AT(libvirt), .max = 200,
        .help = "follow the domains of this libvirt; not set: none",
        .example = "qemu:///system"},
    {.name = "evb", .type = CONFIG_GROUP, .rows = evb_rows,
        .help = "timers of ECP, VDP and EVB"},
    {.name = "uplink", .type = CONFIG_LIST, AT(uplinks), .max = TES_UPLINKS_MAX,
        .rows = uplink_rows, .item_size = sizeof(struct main_uplink), .required = true,
        .help = "an interface towards an edge", .example = "eth0"},
    {.name = "vm", .type = CONFIG_LIST, AT(vms), .max = 65535, .rows = vm_rows,
        .item_size = sizeof(struct main_vm), .example = "vm1",
        .help = "station = lldpad: the interface of a VM that lldpad signals for"},
    {0},
};
/* clang-format on */

int
main_conf_station(const char *word)
{
    for (int i = 0; stations[i]; i++)
        if (!strcmp(word, stations[i]))
            return i;
    return -1;
}

int
main_conf_load(struct main_conf *c, const char *path, struct host_err *err)
{
    int rc = config_load(main_rows, c, sizeof *c, path, err);
    if (rc || (c->name && c->name[0]))
        return rc;
    char host[64] = "tes";
    gethostname(host, sizeof host - 1);
    mem_free(c->name);
    c->name = mem_strdup(host);
    return 0;
}

void
main_conf_node(const struct main_conf *c, struct tes_conf *n,
    const char *names[TES_UPLINKS_MAX])
{
    const struct main_uplink *u = c->uplinks.items;
    *n = (struct tes_conf){.name = c->name,
        .oui = c->oui,
        .evb_rte = c->evb.rte,
        .evb_retries = c->evb.retries,
        .evb_rwd = c->evb.rwd,
        .evb_rka = c->evb.rka,
        .follow = c->station == STATION_LLDPAD,
        .virt = c->libvirt && c->libvirt[0],
        .reflective_relay = c->reflective_relay,
        .tries = c->evb.tries,
        .pace_us = c->evb.pace_us,
        .retry_us = c->retry_us,
        .retry_max_us = c->retry_max_us,
        .uplinks = names,
        .n_uplinks = c->uplinks.n,
        .max_vms = c->max_vms};
    for (uint32_t i = 0; i < c->uplinks.n; i++)
        names[i] = u[i].title;
    memcpy(n->manager, c->manager, strnlen(c->manager, sizeof n->manager));
}
