/* SPDX-License-Identifier: Apache-2.0 */
/* Only tables. The requests and the keys of rows are those of doc/protocol/control.md;
 * a filter is offered only where the daemon honours it. */
#include "cli/cmds.h"
#include "wire/addr.h"
#include <stddef.h>

const struct cli_daemon_row cli_daemons[CLI_N_DAEMONS] = {
    [CLI_NVE] = {"nve", "berth-nve", "/run/berth/nve.sock"},
    [CLI_TES] = {"tes", "berth-tes", "/run/berth/tes.sock"},
    [CLI_NVA] = {"nva", "berth-nva", "/run/berth/nva.sock"},
};

static const char *const arp_words[] = {"suppress", "flood", NULL};
static const char *const reply_words[] = {"centralised", "distributed", NULL};
static const char *const daemon_words[] = {"nve", "tes", "nva", NULL};
static const char *const emigrate_words[] = {"prepare", "hold", "commit", NULL};
static const char *const immigrate_words[] = {"pre", "asso", NULL};
static const char *const level_words[] = {
    "error", "warning", "notice", "info", "debug", NULL};
static const char *const shell_words[] = {"bash", "mdoc", NULL};

#define NUMBER_MAX ((uint64_t)UINT32_MAX)

/* ---- arguments ---- */

#define VNI(flags_, help_)                                                             \
    {                                                                                  \
        .name = "vni", .type = CLI_UINT, .flags = (flags_), .value = "VNI",            \
        .help = help_, .min = 1, .max = VNI_MAX                                        \
    }
#define FILTER(name_, type_, value_, help_)                                            \
    {                                                                                  \
        .name = name_, .type = type_, .value = value_, .help = help_                   \
    }
#define DAEMON                                                                         \
    {                                                                                  \
        .name = "daemon", .type = CLI_WORD, .flags = CLI_LOCAL, .value = "PROGRAM",    \
        .help = "which of the daemons is asked", .words = daemon_words                 \
    }

static const struct cli_arg vn_add_args[] = {
    VNI(CLI_PLACE | CLI_MUST, "identifier on the overlay"),
    {.name = "name",
                                                         .type = CLI_STRING,
                                                         .flags = CLI_PLACE | CLI_MUST,
                                                         .value = "NAME",
                                                         .help = "globally unique name"},
    {.name = "arp",
                                                         .type = CLI_WORD,
                                                         .value = "POLICY",
                                                         .words = arp_words,
                                                         .help = "ARP and ND: answered at the edge, or flooded"},
    {.name = "mtu",
                                                         .type = CLI_UINT,
                                                         .value = "OCTETS",
                                                         .min = 576,
                                                         .max = 65000,
                                                         .help = "largest packet of the tenants"},
    {.name = "reply",
                                                         .type = CLI_WORD,
                                                         .value = "MODE",
                                                         .words = reply_words,
                                                         .help =
            "who answers a Map-Request: the authority, or the edge that owns the MAC"},
    {.name = "pull",
                                                         .type = CLI_FLAG,
                                                         .help = "edges ask on a miss and are not sent every mapping"},
    {0},
};
static const struct cli_arg vn_del_args[] = {
    VNI(CLI_PLACE | CLI_ONE_OF, "identifier on the overlay"),
    {.name = "name",
                                                           .type = CLI_STRING,
                                                           .flags = CLI_PLACE | CLI_ONE_OF,
                                                           .value = "NAME",
                                                           .help = "or its name"},
    {0},
};
static const struct cli_arg attachment_args[] = {
    FILTER("port", CLI_STRING, "PORT", "only at this server port"),
    VNI(0, "only of this virtual network"),
    FILTER("mac", CLI_MAC, "MAC", "only with this address"),
    FILTER("vsi", CLI_VSI, "UUID", "only of this virtual station interface"),
    FILTER("state", CLI_STRING, "STATE", "only in this state, such as ASSOC"),
    {0},
};
static const struct cli_arg tag_args[] = {
    FILTER("port", CLI_STRING, "PORT", "only at this server port"),
    VNI(0, "only of this virtual network"),
    {.name = "vid",
                                         .type = CLI_UINT,
                                         .value = "VID",
                                         .max = VID_MAX,
                                         .help = "only this VLAN id"},
    FILTER("state", CLI_STRING, "STATE", "only in this state"),
    {0},
};
static const struct cli_arg mapping_args[] = {
    VNI(0, "only of this virtual network"),
    FILTER("mac", CLI_MAC, "MAC", "only this address"),
    FILTER("ip", CLI_IP, "IP", "only with this address"),
    FILTER("owner", CLI_IP, "IP", "only those of the edge with this underlay address"),
    DAEMON,
    {0},
};
static const struct cli_arg counter_args[] = {
    {.name = "all",
     .type = CLI_FLAG,
     .flags = CLI_LOCAL,
     .help = "those that are zero, too (-j prints them always)"},
    DAEMON,
    {0},
};
static const struct cli_arg daemon_args[] = {DAEMON, {0}};
static const struct cli_arg talker_args[] = {
    VNI(0, "only of this virtual network"), {0}};
static const struct cli_arg reservation_args[] = {
    VNI(0, "only of this virtual network"),
    FILTER("mac", CLI_MAC, "MAC", "only of this address"),
    FILTER("owner", CLI_IP, "IP", "only of VMs behind the edge with this address"),
    FILTER("target", CLI_IP, "IP", "only by the edge with this underlay address"),
    {0},
};
static const struct cli_arg mapping_clear_args[] = {
    VNI(CLI_PLACE | CLI_MUST, "identifier of its virtual network"),
    {.name = "mac",
                                                           .type = CLI_MAC,
                                                           .flags = CLI_PLACE | CLI_MUST,
                                                           .value = "MAC",
                                                           .help = "address that is frozen"},
    {0},
};
static const struct cli_arg log_args[] = {
    {.name = "module",
     .type = CLI_STRING,
     .flags = CLI_PLACE | CLI_MUST,
     .value = "MODULE",
     .help = "part of the daemon, such as vdp; '*' is every part"},
    {.name = "level",
     .type = CLI_WORD,
     .flags = CLI_PLACE | CLI_MUST,
     .value = "LEVEL",
     .words = level_words,
     .help = "how much it writes to its log from now on"},
    DAEMON,
    {0},
};
static const struct cli_arg completion_args[] = {
    {.name = "shell",
     .type = CLI_WORD,
     .flags = CLI_PLACE | CLI_MUST | CLI_LOCAL,
     .value = "SHELL",
     .words = shell_words,
     .help = "bash; or mdoc, the command list of berth(1)"},
    {0},
};

static const struct cli_arg trace_args[] = {
    {.name = "vsi",
     .type = CLI_VSI,
     .flags = CLI_PLACE | CLI_MUST | CLI_LOCAL,
     .value = "UUID",
     .help = "virtual station interface: its UUID, or an IP, MAC or local:HEX"},
    {.name = "at",
     .type = CLI_STRING,
     .flags = CLI_MANY | CLI_LOCAL,
     .value = "SOCKET",
     .help = "a daemon to ask; absent: those of this host"},
    {.name = "from",
     .type = CLI_STRING,
     .flags = CLI_MANY | CLI_LOCAL,
     .value = "FILE",
     .help = "what `berth -j trace vm` printed on another host"},
    {.name = "all",
     .type = CLI_FLAG,
     .flags = CLI_LOCAL,
     .help = "all that is remembered, not the last migration alone"},
    {0                                            },
};

#define VSI_ARG                                                                        \
    {                                                                                  \
        .name = "vsi", .type = CLI_VSI, .flags = CLI_PLACE | CLI_MUST,                 \
        .value = "UUID",                                                               \
        .help = "virtual station interface: its UUID, or an IP, MAC or local:HEX"      \
    }
#define EPOCH_ARGS                                                                     \
    {.name = "epoch",                                                                  \
        .type = CLI_U64,                                                               \
        .value = "EPOCH",                                                              \
        .help = "number of the residence, where the hypervisor carries it"},           \
    {                                                                                  \
        .name = "migration", .type = CLI_U64, .value = "ID",                           \
        .help = "number of the migration that the epoch was reserved for"              \
    }
#define VM_ARGS                                                                        \
    VSI_ARG,                                                                           \
        {.name = "vn",                                                                 \
            .type = CLI_STRING,                                                        \
            .value = "NAME",                                                           \
            .help = "virtual network by name"},                                        \
        VNI(0, "or by identifier"),                                                    \
        {.name = "mac",                                                                \
            .type = CLI_MAC,                                                           \
            .value = "MAC",                                                            \
            .help = "address of the VM; absent: any (wildcard)"},                      \
        {.name = "ip",                                                                 \
            .type = CLI_IP,                                                            \
            .flags = CLI_MANY,                                                         \
            .value = "IP",                                                             \
            .key = "ips",                                                              \
            .help = "address of the VM; may be given several times"},                  \
        {.name = "if",                                                                 \
            .type = CLI_STRING,                                                        \
            .value = "IFNAME",                                                         \
            .help = "interface of the VM on this server, tagged from then on"},        \
        {.name = "uplink",                                                             \
            .type = CLI_STRING,                                                        \
            .value = "UPLINK",                                                         \
            .help = "link to the edge, where there are several"},                      \
        {.name = "vid",                                                                \
            .type = CLI_UINT,                                                          \
            .value = "VID",                                                            \
            .max = VID_MAX,                                                            \
            .help = "VLAN id to ask for; absent: the edge chooses"},                   \
        {.name = "pcp",                                                                \
            .type = CLI_UINT,                                                          \
            .value = "PCP",                                                            \
            .max = 7,                                                                  \
            .help = "priority to ask for"},                                            \
        {.name = "format",                                                             \
            .type = CLI_UINT,                                                          \
            .value = "N",                                                              \
            .min = 1,                                                                  \
            .max = 4,                                                                  \
            .help = "filter format of VDP; absent: as the other arguments need"},      \
        {.name = "type",                                                               \
            .type = CLI_UINT,                                                          \
            .value = "ID",                                                             \
            .max = 0xffffff,                                                           \
            .help = "VSI type id: the profile at the edge"},                           \
        {.name = "type-version",                                                       \
            .type = CLI_UINT,                                                          \
            .value = "N",                                                              \
            .max = 255,                                                                \
            .key = "type_version",                                                     \
            .help = "version of that type"},                                           \
        {.name = "confirm",                                                            \
            .type = CLI_FLAG,                                                          \
            .help = "answer when the edges of the network's members forward, too"},    \
        EPOCH_ARGS

static const struct cli_arg vm_args[] = {VM_ARGS, {0}};
static const struct cli_arg follow_args[] = {
    {.name = "if",
     .type = CLI_STRING,
     .flags = CLI_MUST,
     .value = "IFNAME",
     .help = "interface of the VM on this server"},
    {.name = "mac",
     .type = CLI_MAC,
     .flags = CLI_MUST,
     .value = "MAC",
     .help = "its address, by which lldpad's associations are recognised"},
    {.name = "uplink",
     .type = CLI_STRING,
     .value = "UPLINK",
     .help = "link to the edge, where there are several"},
    {0                               },
};
static const struct cli_arg vsi_args[] = {VSI_ARG, {0}};
static const struct cli_arg emigrate_args[] = {
    VSI_ARG,
    {.name = "phase",
      .type = CLI_WORD,
      .value = "PHASE",
      .words = emigrate_words,
      .help = "prepare (default): it runs on; hold: a pause follows; commit: it is paused"},
    {.name = "target",
      .type = CLI_IP,
      .value = "IP",
      .help = "underlay address of the edge that it goes to"},
    EPOCH_ARGS,
    {0},
};
static const struct cli_arg immigrate_args[] = {
    VM_ARGS,
    {.name = "phase",
      .type = CLI_WORD,
      .value = "PHASE",
      .words = immigrate_words,
      .help =
            "pre (the default) reserves epoch and tag; at asso the VM is about to run"},
    {.name = "source",
      .type = CLI_IP,
      .value = "IP",
      .help = "underlay address of the edge that it comes from"},
    {.name = "suspended",
      .type = CLI_FLAG,
      .help = "at asso: it was paused before it moved, and stays so"},
    {0                                                                },
};

/* ---- columns ---- */

static const struct cli_column vn_columns[] = {
    {"vni",       "VNI", CLI_NUMBER, false, NULL},
    {"name", "NAME", CLI_TEXT, false, NULL},
    {"mtu",       "MTU", CLI_NUMBER, false, NULL},
    {"arp",      "ARP", CLI_TEXT, false, NULL},
    {"reply",   "REPLY", CLI_TEXT, false, NULL},
    {"pull",       "PULL", CLI_BOOL, false, NULL},
    {"mappings",       "MAPPINGS", CLI_NUMBER, false, NULL},
    {"members", "MEMBERS", CLI_NUMBER, false, NULL},
    {0      },
};
static const struct cli_column attachment_columns[] = {
    {"port",      "PORT", CLI_TEXT, false, NULL},
    {"vsi",   "VSI", CLI_TEXT, false, NULL},
    {"state",       "STATE", CLI_TEXT, false, NULL},
    {"vn",       "VN", CLI_TEXT, false, NULL},
    {"vni",   "VNI", CLI_NUMBER, false, NULL},
    {"mac",       "MAC", CLI_TEXT, false, NULL},
    {"ips",     "IPS", CLI_TEXT, false, NULL},
    {"vid",   "VID", CLI_NUMBER, false, NULL},
    {"pcp",       "PCP", CLI_NUMBER, false, NULL},
    {"epoch",        "EPOCH", CLI_NUMBER, false, NULL},
    {"wildcard",   "WILDCARD", CLI_BOOL, true, NULL},
    {"unpublished",       "UNPUBLISHED", CLI_BOOL, true, NULL},
    {"waiting",       "WAITING", CLI_WAITING, true, NULL},
    {"armed", "ARMED", CLI_BOOL, true, NULL},
    {"hold", "HOLD", CLI_BOOL, true, NULL},
    {"target",       "TARGET", CLI_TEXT, true, NULL},
    {"age_s",       "AGE", CLI_SECONDS, false, NULL},
    {"idle_left_s",   "IDLE-LEFT", CLI_SECONDS, false, NULL},
    {0      },
};
static const struct cli_column tag_columns[] = {
    {"port",      "PORT", CLI_TEXT, false, NULL},
    {"vid",   "VID", CLI_NUMBER, false, NULL},
    {"vni",       "VNI", CLI_NUMBER, false, NULL},
    {"vn",       "VN", CLI_TEXT, false, NULL},
    {"state", "STATE", CLI_TEXT, false, NULL},
    {"refs",       "REFS", CLI_NUMBER, false, NULL},
    {"hold_left_s",       "HOLD-LEFT", CLI_SECONDS, true, NULL},
    {0},
};
static const struct cli_column mapping_columns[] = {
    {"vni",       "VNI", CLI_NUMBER, false, NULL},
    {"vn", "VN", CLI_TEXT, false, NULL},
    {"mac",       "MAC", CLI_TEXT, false, NULL},
    {"ips",        "IPS", CLI_TEXT, false, NULL},
    {"owner",   "OWNER", CLI_TEXT, false, NULL},
    {"nve",       "NVE", CLI_TEXT, false, NULL},
    {"local",       "LOCAL", CLI_BOOL, false, NULL},
    {"epoch",   "EPOCH", CLI_NUMBER, false, NULL},
    {"stale",       "STALE", CLI_BOOL, true, NULL},
    {"tombstone",       "TOMBSTONE", CLI_BOOL, true, NULL},
    {"held",   "HELD", CLI_BOOL, true, NULL},
    {"relay",       "RELAY", CLI_TEXT, true, NULL},
    {"frozen",     "FROZEN", CLI_BOOL, true, NULL},
    {"rival",     "RIVAL", CLI_TEXT, true, NULL},
    {"frozen_left_s",     "FROZEN-LEFT", CLI_SECONDS, true, NULL},
    {0  },
};
static const struct cli_column port_columns[] = {
    {"port",      "PORT", CLI_NUMBER, false, NULL},
    {"name", "NAME", CLI_TEXT, false, NULL},
    {"up",       "UP", CLI_BOOL, false, NULL},
    {"native",      "NATIVE", CLI_TEXT, false, NULL},
    {"station",   "STATION", CLI_TEXT, false, NULL},
    {"berth",       "BERTH", CLI_BOOL, false, NULL},
    {"reflective_relay",        "REFLECTIVE", CLI_BOOL, false, NULL},
    {"rte",   "RTE", CLI_NUMBER, false, NULL},
    {"rka",       "RKA", CLI_NUMBER, false, NULL},
    {"attachments",    "ATTACHMENTS", CLI_NUMBER, false, NULL},
    {0  },
};
static const struct cli_column counter_columns[] = {
    {"group",   "GROUP", CLI_TEXT, false, NULL},
    {"name", "NAME", CLI_TEXT, false, NULL},
    {"value",     "VALUE", CLI_NUMBER, false, NULL},
    {"help",    "MEANING", CLI_TEXT, true, NULL},
    {"station", "STATION", CLI_TEXT, false, NULL},
    {0    },
};
static const struct cli_column session_columns[] = {
    {"peer",       "PEER", CLI_TEXT, false, NULL},
    {"nve",    "NVE", CLI_TEXT, false, NULL},
    {"address",        "ADDRESS", CLI_TEXT, false, NULL},
    {"vtep",        "VTEP", CLI_TEXT, false, NULL},
    {"state",    "STATE", CLI_TEXT, false, NULL},
    {"since_s",        "SINCE", CLI_SECONDS, false, NULL},
    {"sent",    "SENT", CLI_NUMBER, false, NULL},
    {"received",    "RECEIVED", CLI_NUMBER, false, NULL},
    {"registered",        "REGISTERED", CLI_NUMBER, false, NULL},
    {"unacknowledged",       "UNACKNOWLEDGED", CLI_NUMBER, false, NULL},
    {"mappings",    "MAPPINGS", CLI_NUMBER, false, NULL},
    {"subscriptions",        "SUBSCRIPTIONS", CLI_NUMBER, false, NULL},
    {"keys",      "KEYS", CLI_NUMBER, false, NULL},
    {"behind",    "BEHIND", CLI_NUMBER, false, NULL},
    {"unconfirmed",        "UNCONFIRMED", CLI_BOOL, true, NULL},
    {"prefix",    "PREFIX", CLI_TEXT, true, NULL},
    {0},
};
static const struct cli_column timer_columns[] = {
    {"name",       "NAME", CLI_TEXT, false, NULL},
    {"value_s",    "VALUE", CLI_SECONDS, false, "value"},
    {"default_s",        "DEFAULT", CLI_SECONDS, false, "default"},
    {"min_s",    "MIN", CLI_SECONDS, false, "min"},
    {"max_s", "MAX", CLI_SECONDS, false, "max"},
    {"clause",     "CLAUSE", CLI_TEXT, false, NULL},
    {"help",  "MEANING", CLI_TEXT, false, NULL},
    {0},
};
static const struct cli_column talker_columns[] = {
    {"vni",       "VNI", CLI_NUMBER, false, NULL},
    {"asker", "ASKER", CLI_TEXT, false, NULL},
    {"src",       "SRC", CLI_TEXT, false, NULL},
    {"mac",     "MAC", CLI_TEXT, false, NULL},
    {"ip",   "IP", CLI_TEXT, false, NULL},
    {"owner",       "OWNER", CLI_TEXT, false, NULL},
    {"count",       "COUNT", CLI_NUMBER, false, NULL},
    {"last_s",   "LAST", CLI_SECONDS, false, NULL},
    {0      },
};
static const struct cli_column hold_columns[] = {
    {"vni",       "VNI", CLI_NUMBER, false, NULL},
    {"vn", "VN", CLI_TEXT, false, NULL},
    {"mac",       "MAC", CLI_TEXT, false, NULL},
    {"frames",        "FRAMES", CLI_NUMBER, false, NULL},
    {"octets",   "OCTETS", CLI_NUMBER, false, NULL},
    {"oldest_s",       "OLDEST", CLI_SECONDS, false, NULL},
    {"draining",       "DRAINING", CLI_BOOL, true, NULL},
    {"kept",   "KEPT", CLI_NUMBER, false, NULL},
    {"released",       "RELEASED", CLI_NUMBER, false, NULL},
    {"dropped",    "DROPPED", CLI_NUMBER, false, NULL},
    {0},
};
static const struct cli_column reservation_columns[] = {
    {"vni",       "VNI", CLI_NUMBER, false, NULL},
    {"vn", "VN", CLI_TEXT, false, NULL},
    {"mac",       "MAC", CLI_TEXT, false, NULL},
    {"owner",        "OWNER", CLI_TEXT, false, NULL},
    {"target",   "TARGET", CLI_TEXT, false, NULL},
    {"epoch",       "EPOCH", CLI_NUMBER, false, NULL},
    {"migration",       "MIGRATION", CLI_NUMBER, false, NULL},
    {"age_s",   "AGE", CLI_SECONDS, false, NULL},
    {0      },
};
static const struct cli_column vm_columns[] = {
    {"vsi",       "VSI", CLI_TEXT, false, NULL},
    {"domain",   "DOMAIN", CLI_TEXT, true, NULL},
    {"if",       "IF", CLI_TEXT, false, NULL},
    {"mac",    "MAC", CLI_TEXT, false, NULL},
    {"vn",   "VN", CLI_TEXT, false, NULL},
    {"vni",       "VNI", CLI_NUMBER, false, NULL},
    {"vid",        "VID", CLI_NUMBER, false, NULL},
    {"pcp",   "PCP", CLI_NUMBER, false, NULL},
    {"mtu",       "MTU", CLI_NUMBER, false, NULL},
    {"state",       "STATE", CLI_TEXT, false, NULL},
    {"unpublished",   "UNPUBLISHED", CLI_BOOL, true, NULL},
    {"unconfirmed",       "UNCONFIRMED", CLI_BOOL, true, NULL},
    {"confirmed",        "CONFIRMED", CLI_BOOL, true, NULL},
    {"reason",   "REASON", CLI_TEXT, true, NULL},
    {"tag_error",       "TAG-ERROR", CLI_NUMBER, true, NULL},
    {"uplink",       "UPLINK", CLI_TEXT, false, NULL},
    {"epoch", "EPOCH", CLI_NUMBER, false, NULL},
    {"since_s",       "SINCE", CLI_SECONDS, false, NULL},
    {"migration",       "MIGRATION", CLI_NUMBER, true, NULL},
    {"nve", "NVE", CLI_TEXT, true, NULL},
    {"answer_s",       "ANSWER", CLI_SECONDS, false, NULL},
    {0      },
};
static const struct cli_column uplink_columns[] = {
    {"name",    "NAME", CLI_TEXT, false, NULL},
    {"up", "UP", CLI_BOOL, false, NULL},
    {"mac",     "MAC", CLI_TEXT, false, NULL},
    {"bridge",      "BRIDGE", CLI_TEXT, false, NULL},
    {"berth", "BERTH", CLI_BOOL, false, NULL},
    {"reflective_relay",     "REFLECTIVE", CLI_BOOL, false, NULL},
    {"rte",     "RTE", CLI_NUMBER, false, NULL},
    {"rka", "RKA", CLI_NUMBER, false, NULL},
    {"vms",     "VMS", CLI_NUMBER, false, NULL},
    {0 },
};
static const struct cli_column ping_columns[] = {
    {"program", "PROGRAM", CLI_TEXT, false, NULL},
    {"version", "VERSION", CLI_TEXT, false, NULL},
    {"name",     "NAME", CLI_TEXT, false, NULL},
    {"uptime_s", "UPTIME", CLI_SECONDS, false, NULL},
    {0},
};

/* ---- commands ---- */

#define VM(verb_, args_, help_)                                                        \
    {                                                                                  \
        "vm", verb_, "vm " verb_, CLI_TES, args_, vm_columns, NULL, help_              \
    }

const struct cli_command cli_commands[] = {
    {"vn",                                               "add", "vn add", CLI_NVA, vn_add_args, NULL, NULL, "make a virtual network"},
    {"vn",                                          "list", "vn list", CLI_NVA, NULL, vn_columns, "vni",
     "virtual networks at the authority"},
    {"vn",                                       "del", "vn del", CLI_NVA, vn_del_args, NULL, NULL,
     "remove a virtual network"},
    {"mapping", "clear", "mapping clear", CLI_NVA, mapping_clear_args, NULL, NULL,
     "let an address move again that is frozen, as edges claim it in turns"},

    {"show",                                              "attachments", "show attachments", CLI_NVE, attachment_args,
     attachment_columns, "port vni vid mac vsi",
     "virtual station interfaces attached to this edge"},
    {"show",                                                  "tags", "show tags", CLI_NVE, tag_args, tag_columns, "port vid",
     "local tags of this edge's server ports"},
    {"show",   "mappings", "show mappings", CLI_NVE, mapping_args, mapping_columns,
     "vni mac owner", "which edge an address is behind"},
    {"show",                                           "vns", "show vns", CLI_NVE, NULL, vn_columns, "vni",
     "virtual networks that this edge knows"},
    {"show",                                        "holds", "show holds", CLI_NVE, NULL, hold_columns, "vni mac",
     "frames that wait at this edge for a VM on its way"},
    {"show",                "ports", "show ports", CLI_NVE, NULL, port_columns, "port",
     "server ports of this edge and the stations behind them"},
    {"show",                                               "counters", "show counters", CLI_NVE, counter_args, counter_columns,
     "group name", "counters of a daemon and its data plane"},
    {"show",                                          "sessions", "show sessions", CLI_NVE, daemon_args, session_columns,
     "peer nve address", "sessions between edge and authority"},
    {"show",                                       "timers", "show timers", CLI_NVE, daemon_args, timer_columns, NULL,
     "timers and limits in effect, with default, range and origin"},
    {"show",                                              "reservations", "show reservations", CLI_NVA, reservation_args,
     reservation_columns, "vni mac",
     "migrations that have begun, as the authority knows them"},
    {"show",                                                  "talkers", "show talkers", CLI_NVA, talker_args, talker_columns,
     "vni asker mac", "who asked the authority for whom"},
    {"show","vms", "show vms", CLI_TES, NULL, vm_columns, "if vsi",
     "virtual machines that this server's agent signals"},
    {"show",                                           "uplinks", "show uplinks", CLI_TES, NULL, uplink_columns, "name",
     "links of this server to its edges"},

    VM("preassociate", vm_args,
        "announce a VM: tag and resources, nothing forwards yet"),
    VM("associate", vm_args, "attach a VM: answered when its packets are forwarded"),
    VM("suspend", vsi_args, "stop forwarding for a VM that is paused"),
    VM("resume", vsi_args, "forward again, also after an emigration that failed"),
    VM("emigrate", emigrate_args, "the VM leaves for another server"),
    VM("immigrate", immigrate_args, "the VM comes from another server"),
    VM("terminate", vsi_args, "detach a VM and release everything"),
    {"vm",                                 "follow", "vm follow", CLI_TES, follow_args, NULL, NULL,
     "tag a VM that lldpad signals (berth-tes --station=lldpad)"},
    {"vm", "list", "show vms", CLI_TES, NULL, vm_columns, "if vsi",
     "the same as show vms"},

    {"log",                                             NULL, "log", CLI_NVE, log_args, NULL, NULL,
     "set how much a part of a daemon writes to its log"},
    {"trace",                                       "vm", NULL, CLI_NONE, trace_args, NULL, NULL,
     "who said what when, as every daemon remembers it, of a VM's last migration"},
    {"ping",                                          NULL, "ping", CLI_NVE, daemon_args, ping_columns, NULL,
     "ask a daemon whether it lives, and which version it is"},
    {"help",                                        NULL, NULL, CLI_NONE, NULL, NULL, NULL,
     "this overview, or a command with all of its arguments"},
    {"completion",                                                  NULL, NULL, CLI_NONE, completion_args, NULL, NULL,
     "print the completion script of a shell"},
    {0                                     },
};

/* min holds the short form. */
const struct cli_arg cli_options[] = {
    {.name = "socket",
     .type = CLI_STRING,
     .value = "SOCKET",
     .min = 's',
     .help = "control socket of the daemon; else $BERTH_SOCKET, else by command"},
    {.name = "json",
     .type = CLI_FLAG,
     .min = 'j',
     .help = "rows as the daemon gave them: one JSON object per line, stable keys"},
    {.name = "timeout",
     .type = CLI_UINT,
     .value = "SECONDS",
     .min = 't',
     .max = NUMBER_MAX,
     .help = "give up after this long a silence (60; 0: never)"},
    {.name = "output",
     .type = CLI_STRING,
     .value = "FILE",
     .min = 'o',
     .help = "where `berth trace` draws its picture (SVG)"},
    {.name = "help",                                                                  .type = CLI_FLAG, .min = 'h', .help = "what the command takes"},
    {.name = "version",                                                                           .type = CLI_FLAG, .min = 'V', .help = "version of berth"},
    {0                                                           },
};
