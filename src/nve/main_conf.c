/* SPDX-License-Identifier: Apache-2.0 */
/* One row per key. The mapping file (static VNs and mappings) has the same two sections as
 * the configuration itself, so small fabrics need one file and large ones can generate it. */
#include "nve/main_conf.h"
#include "base/mem.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const mapping_words[] = {"session", "pull", "static", NULL};
static const char *const native_words[] = {"drop", "pass", "vn", NULL};
static const char *const arp_words[] = {"suppress", "flood", NULL};

#define AT(m) CONFIG_AT(struct main_conf, m)
#define A_AT(m) CONFIG_AT(struct main_authority, m)
#define P_AT(m) CONFIG_AT(struct main_port, m)
#define V_AT(m) CONFIG_AT(struct main_vn, m)
#define M_AT(m) CONFIG_AT(struct main_map, m)
#define F_AT(m) CONFIG_AT(struct main_profile, m)
static const struct config_row overlay_rows[] = {
    {.name = "device", .type = CONFIG_STRING, AT(overlay.device), .def = "berth0", .max = 15,
        .help = "external vxlan device, made or adopted"},
    {.name = "port", .type = CONFIG_INT, AT(overlay.port), .def = "4789", .min = 1,
        .max = 65535, .help = "UDP port of VXLAN"},
    {.name = "checksum", .type = CONFIG_BOOL, AT(overlay.checksum), .def = "true",
        .help = "outer UDP checksum; some network cards are faster without, most with"},
    {.name = "mount_pins", .type = CONFIG_BOOL, AT(overlay.mount), .def = "false",
        .help = "mount a bpffs at pins if none is there; better done by the service unit"},
    {0},
};
static const struct config_row vdp_rows[] = {
    {.name = "rte", .type = CONFIG_INT, AT(vdp.rte), .def = "8", .min = 1, .max = 31,
        .help = "ECP retransmission exponent offered: 10 us * 2^rte; lldpad is slow above 8"},
    {.name = "retries", .type = CONFIG_INT, AT(vdp.retries), .def = "3", .max = 7,
        .help = "ECP retries offered"},
    {.name = "rwd", .type = CONFIG_INT, AT(vdp.rwd), .def = "17", .min = 1, .max = 31,
        .help = "response wait exponent offered"},
    {.name = "rka", .type = CONFIG_INT, AT(vdp.rka), .def = "24", .min = 1, .max = 31,
        .help = "keep-alive exponent offered; stations take the larger of both sides"},
    {.name = "reflective_relay", .type = CONFIG_BOOL, AT(vdp.reflective_relay),
        .def = "true", .help = "offer reflective relay to stations that ask for it (K10)"},
    {.name = "pace", .type = CONFIG_DURATION, AT(vdp.pace_us), .def = "10ms",
        .max = 1000000, .help = "gap between PDUs to stations not known as Berth's (K13)"},
    {0},
};
static const struct config_row table_rows[] = {
    {.name = "ports", .type = CONFIG_INT, AT(tables.ports), .def = "0", .max = 4095,
        .help = "size of the data plane's table; 0 = default"},
    {.name = "attachments", .type = CONFIG_INT, AT(tables.attachments), .def = "0",
        .max = 1000000, .help = "the same"},
    {.name = "mappings", .type = CONFIG_INT, AT(tables.mappings), .def = "0", .max = 4000000,
        .help = "the same"},
    {.name = "vns", .type = CONFIG_INT, AT(tables.vns), .def = "0", .max = 65536,
        .help = "the same"},
    {.name = "vteps", .type = CONFIG_INT, AT(tables.vteps), .def = "0", .max = 65536,
        .help = "the same"},
    {0},
};
static const struct config_row authority_rows[] = {
    {.name = "address", .type = CONFIG_IP, A_AT(address), .required = true,
        .help = "where berth-nva listens", .example = "192.0.2.10"},
    {.name = "port", .type = CONFIG_INT, A_AT(port), .def = "4341", .min = 1, .max = 65535,
        .help = "TCP port of the session"},
    {.name = "udp_port", .type = CONFIG_INT, A_AT(udp_port), .def = "4342", .min = 1,
        .max = 65535, .help = "UDP port of the map server"},
    {.name = "key", .type = CONFIG_STRING, A_AT(key), .required = true, .secret = true, .max = 64,
        .help = "secret shared with the authority", .example = "change-me"},
    {0},
};
static const struct config_row port_rows[] = {
    {.name = "native", .type = CONFIG_ENUM, P_AT(native), .def = "pass", .words = native_words,
        .help = "untagged frames: to this host (pass), refused (drop), or a VN (native_vni)"},
    {.name = "native_vni", .type = CONFIG_INT, P_AT(native_vni), .def = "0", .max = VNI_MAX,
        .help = "VN of untagged frames, with native = vn"},
    {.name = "vns", .type = CONFIG_VNIS, P_AT(vns),
        .help = "VNIs that may be joined from here; absent: all", .example = "5000-5999"},
    {.name = "reserved_vids", .type = CONFIG_STRING, P_AT(vids_reserved),
        .help = "VLAN ids never given out here, ranges by comma", .example = "2-9,4000-4094"},
    {.name = "vid_vns", .type = CONFIG_STRING, P_AT(vid_vns),
        .help = "VN by VLAN id for stations that name none (K2)", .example = "100=5000,200=5001"},
    {.name = "domain", .type = CONFIG_STRING, P_AT(domain),
        .help = "ports with equal words share one VLAN id space (a bridge behind them)"},
    {.name = "extra_group", .type = CONFIG_MAC, P_AT(extra_group),
        .help = "further destination address of ECP and LLDP taken",
        .example = "01:00:0d:0f:0a:00"},
    {0},
};
static const struct config_row vn_rows[] = {
    {.name = "vni", .type = CONFIG_INT, V_AT(vni), .required = true, .min = 1, .max = VNI_MAX,
        .help = "identifier on the overlay", .example = "5000"},
    {.name = "mtu", .type = CONFIG_INT, V_AT(mtu), .def = "1450", .min = 576, .max = 65000,
        .help = "largest packet of tenants"},
    {.name = "arp", .type = CONFIG_ENUM, V_AT(arp), .def = "suppress", .words = arp_words,
        .help = "answer ARP and ND at the edge, or flood them"},
    {0},
};
static const struct config_row map_rows[] = {
    {.name = "vni", .type = CONFIG_INT, M_AT(vni), .required = true, .min = 1, .max = VNI_MAX,
        .help = "virtual network", .example = "5000"},
    {.name = "mac", .type = CONFIG_MAC, M_AT(mac), .required = true, .help = "of the VM",
        .example = "02:00:00:00:00:01"},
    {.name = "vtep", .type = CONFIG_IP, M_AT(vtep), .required = true,
        .help = "underlay address of its edge", .example = "192.0.2.2"},
    {.name = "ips", .type = CONFIG_STRING, M_AT(ips), .help = "its addresses, by comma",
        .example = "10.0.0.1,fd00::1"},
    {0},
};
static const struct config_row profile_rows[] = {
    {.name = "vni", .type = CONFIG_INT, F_AT(vni), .required = true, .min = 1, .max = VNI_MAX,
        .help = "VN of stations that quote this VSI type", .example = "5000"},
    {0},
};
#define STATIC_ROWS                                                                       \
    {.name = "vn", .type = CONFIG_LIST, AT(vns), .rows = vn_rows,                          \
        .item_size = sizeof(struct main_vn), .help = "VN of the static mode; its name",    \
        .example = "red"},                                                                \
    {.name = "map", .type = CONFIG_LIST, AT(maps), .rows = map_rows,                       \
        .item_size = sizeof(struct main_map),                                             \
        .help = "where a VM of another edge is; any word", .example = "web1"}
const struct config_row main_rows[] = {
    {.name = "name", .type = CONFIG_STRING, AT(name), .required = true, .max = 63,
        .help = "of this edge, unique at the authority", .example = "tor1"},
    {.name = "vtep", .type = CONFIG_IP, AT(vtep), .required = true,
        .help = "own underlay address, on the loopback or another interface (K11)",
        .example = "192.0.2.1"},
    PROGRAM_ROWS(struct main_conf, program, "/run/berth/nve.sock"),
    {.name = "state", .type = CONFIG_STRING, AT(state), .def = "/var/lib/berth/nve",
        .max = 200, .help = "directory of the journal"},
    {.name = "pins", .type = CONFIG_STRING, AT(pins), .def = "/run/berth/bpf/nve",
        .max = 200, .help = "directory on a bpffs where the data plane is pinned (K21)"},
    {.name = "mapping", .type = CONFIG_ENUM, AT(mapping), .def = "session",
        .words = mapping_words,
        .help = "push by a session with the authority, pull on a miss, or a static file"},
    {.name = "mapping_file", .type = CONFIG_STRING, AT(mapping_file), .max = 255,
        .help = "further file with vn and map sections (mapping = static)"},
    {.name = "oui", .type = CONFIG_INT, AT(oui), .def = "0", .max = 0xffffff,
        .help = "organizational identifier of Berth's TLVs; 0 = the laboratory one (K20)"},
    {.name = "underlay_mtu", .type = CONFIG_INT, AT(underlay_mtu), .def = "0", .max = 65535,
        .help = "largest outer packet; 0 = as the route to the authority says (K18)"},
    {.name = "lisp_port", .type = CONFIG_INT, AT(lisp_port), .def = "4342", .min = 1,
        .max = 65535, .help = "own UDP port of LISP"},
    {.name = "journal_sync", .type = CONFIG_DURATION, AT(journal_sync_us), .def = "50ms",
        .max = 60000000, .help = "flush to disk at most this late; 0 = never (K7)"},
    {.name = "overlay", .type = CONFIG_GROUP, .rows = overlay_rows, .help = "VXLAN"},
    {.name = "vdp", .type = CONFIG_GROUP, .rows = vdp_rows, .help = "offers to stations"},
    {.name = "tables", .type = CONFIG_GROUP, .rows = table_rows,
        .help = "sizes in the kernel; a change is a new layout (K15)"},
    {.name = "settings", .type = CONFIG_SETTINGS, AT(settings), .settings = edge_settings,
        .n_settings = SET_N, .help = "timers and limits (K19)"},
    {.name = "authority", .shown = true, .type = CONFIG_LIST, AT(authorities), .rows = authority_rows,
        .item_size = sizeof(struct main_authority), .max = NVE_AUTHORITIES_MAX,
        .help = "an authority, tried in turn; its name", .example = "nva1"},
    {.name = "port", .type = CONFIG_LIST, AT(ports), .rows = port_rows,
        .item_size = sizeof(struct main_port), .max = NVE_PORTS_MAX, .required = true,
        .help = "a server port; its interface name", .example = "swp1"},
    {.name = "profile", .type = CONFIG_LIST, AT(profiles), .rows = profile_rows,
        .item_size = sizeof(struct main_profile),
        .help = "VN by VSI type: \"type/version\" (K2)", .example = "5/4"},
    STATIC_ROWS,
    {0},
};
static const struct config_row file_rows[] = {STATIC_ROWS, {0}};

/* ---- loading ---- */

/* Appends b's items to a; b's array is left empty so that config_free frees each once. */
static void
list_move(struct config_list *a, struct config_list *b, size_t item)
{
    if (!b->n)
        return;
    uint8_t *all = mem_alloc((a->n + b->n) * item);
    if (a->n)
        memcpy(all, a->items, a->n * item);
    memcpy(all + a->n * item, b->items, b->n * item);
    mem_free(a->items);
    mem_free(b->items);
    a->items = all;
    a->n += b->n;
    memset(b, 0, sizeof *b);
}

int
main_conf_load(struct main_conf *c, const char *path, struct host_err *err)
{
    struct main_conf file;
    int rc = config_load(main_rows, c, sizeof *c, path, err);
    if (rc)
        return rc;
    if (c->mapping_file) {
        rc = config_load(file_rows, &file, sizeof file, c->mapping_file, err);
        if (rc)
            goto bad;
        list_move(&c->vns, &file.vns, sizeof(struct main_vn));
        list_move(&c->maps, &file.maps, sizeof(struct main_map));
    }
    if (c->mapping != NVE_MAP_STATIC && !c->authorities.n) {
        rc = host_fail(err, -EINVAL, "%s: no authority section; add one, or set mapping = "
            "\"static\"", path);
        goto bad;
    }
    for (uint32_t i = 0; i < c->ports.n; i++) {
        const struct main_port *p = (struct main_port *)c->ports.items + i;
        if (strlen(p->title) > 15 || (p->native == NATIVE_VN) != (p->native_vni != 0)) {
            rc = host_fail(err, -EINVAL, "%s: port \"%s\": %s", path, p->title,
                strlen(p->title) > 15 ? "not an interface name (15 characters at most)"
                                      : "native = vn and native_vni go together");
            goto bad;
        }
    }
    return 0;
bad:
    config_free(main_rows, c);
    return rc;
}

/* "a-b,c" in pairs first,last; -1 when it is not that. */
static int
ranges_parse(const char *text, uint16_t *pairs, uint32_t max)
{
    uint32_t n = 0;
    for (const char *p = text; p && *p;) {
        char *end;
        unsigned long a = strtoul(p, &end, 10), b = a;
        if (end == p)
            return -1;
        if (*end == '-')
            b = strtoul(p = end + 1, &end, 10);
        if (end == p || a > b || b > 4095 || n == max || (*end && *end != ','))
            return -1;
        pairs[2 * n] = (uint16_t)a;
        pairs[2 * n++ + 1] = (uint16_t)b;
        p = *end ? end + 1 : end;
    }
    return (int)n;
}

static int
vid_vns_parse(const char *text, uint32_t port, struct nve_vid_vn *to, uint32_t max)
{
    uint32_t n = 0;
    for (const char *p = text; p && *p;) {
        char *end;
        unsigned long vid = strtoul(p, &end, 10), vni;
        if (end == p || *end != '=' || vid > VID_MAX)
            return -1;
        vni = strtoul(p = end + 1, &end, 10);
        if (end == p || !vni || vni > VNI_MAX || n == max || (*end && *end != ','))
            return -1;
        to[n++] = (struct nve_vid_vn){port, (uint32_t)vni, (uint16_t)vid};
        p = *end ? end + 1 : end;
    }
    return (int)n;
}

static int
ports_of(const struct main_conf *c, struct nve_conf *n, struct host_err *err)
{
    uint32_t top = 0, doms = 0;
    for (uint32_t i = 0; i < c->ports.n; i++)
        if (((struct main_port *)c->ports.items)[i].number > top)
            top = ((struct main_port *)c->ports.items)[i].number;
    struct nve_port_conf *to = mem_alloc((top + 1) * sizeof *to);
    struct nve_vid_vn *vids = mem_alloc(VID_MAX * sizeof *vids);
    const char *names[NVE_PORTS_MAX];
    uint32_t n_vids = 0;
    for (uint32_t i = 0; i < c->ports.n; i++) {
        const struct main_port *p = (struct main_port *)c->ports.items + i;
        struct nve_port_conf *q = &to[p->number - 1];
        uint16_t *pairs = mem_alloc(64 * 2 * sizeof *pairs);
        uint32_t d = 0;
        q->edge.name = p->title;
        q->edge.native = (uint8_t)p->native;
        q->edge.native_vni = p->native_vni;
        q->edge.vn_ranges = (const uint32_t *)p->vns.ranges;
        q->edge.n_vn_ranges = p->vns.n;
        q->extra_group = p->extra_group;
        /* a domain of its own, or that of the first port with the same word */
        q->edge.domain = p->number;
        while (p->domain && d < doms && strcmp(names[d], p->domain))
            d++;
        if (p->domain) {
            q->edge.domain = DP_PORT_MAX + d;
            names[d] = p->domain;
            doms += d == doms;
        }
        int got = ranges_parse(p->vids_reserved, pairs, 64);
        if (got < 0)
            return host_fail(err, -EINVAL, "port \"%s\": reserved_vids = \"%s\" is not like "
                "\"2-9,4000\"", p->title, p->vids_reserved);
        q->edge.vid_reserved = pairs;
        q->edge.n_vid_reserved = (uint32_t)got;
        got = vid_vns_parse(p->vid_vns, p->number, vids + n_vids, VID_MAX - n_vids);
        if (got < 0)
            return host_fail(err, -EINVAL, "port \"%s\": vid_vns = \"%s\" is not like "
                "\"100=5000,200=5001\"", p->title, p->vid_vns);
        n_vids += (uint32_t)got;
    }
    n->ports = to;
    n->n_ports = top;
    n->vid_vns = vids;
    n->n_vid_vns = n_vids;
    return 0;
}

static int
statics_of(const struct main_conf *c, struct nve_conf *n, struct host_err *err)
{
    struct vn_rec *vns = mem_alloc((c->vns.n + 1) * sizeof *vns);
    struct mapping_rec *maps = mem_alloc((c->maps.n + 1) * sizeof *maps);
    for (uint32_t i = 0; i < c->vns.n; i++) {
        const struct main_vn *v = (struct main_vn *)c->vns.items + i;
        if (strlen(v->title) >= sizeof vns[i].name)
            return host_fail(err, -EINVAL, "vn \"%s\": name too long (63 characters)", v->title);
        strcpy(vns[i].name, v->title);
        vns[i].vni = v->vni;
        vns[i].mtu = v->mtu;
        vns[i].arp = (uint8_t)v->arp;
        vns[i].centralised = 1;
    }
    for (uint32_t i = 0; i < c->maps.n; i++) {
        const struct main_map *m = (struct main_map *)c->maps.items + i;
        maps[i].vni = m->vni;
        maps[i].mac = m->mac;
        maps[i].owner = m->vtep;
        maps[i].epoch = 1;
        char *copy = mem_strdup(m->ips ? m->ips : ""), *at = copy, *word;
        while ((word = strsep(&at, ", ")))
            if (*word && (maps[i].n_ips == TNS_IPS_MAX ||
                             !ip_parse(word, &maps[i].ips[maps[i].n_ips++])))
                return host_fail(err, -EINVAL, "map \"%s\": \"%s\" is not an address, or there "
                    "are more than 8", m->title, word);
        mem_free(copy);
    }
    n->vns = vns;
    n->n_vns = c->vns.n;
    n->maps = maps;
    n->n_maps = c->maps.n;
    return 0;
}

static int
profiles_of(const struct main_conf *c, struct nve_conf *n, struct host_err *err)
{
    struct nve_profile_vn *to = mem_alloc((c->profiles.n + 1) * sizeof *to);
    for (uint32_t i = 0; i < c->profiles.n; i++) {
        const struct main_profile *p = (struct main_profile *)c->profiles.items + i;
        char *end;
        unsigned long type = strtoul(p->title, &end, 10), version = 0;
        if (*end == '/')
            version = strtoul(end + 1, &end, 10);
        if (*end || end == p->title || type > 0xffffff || version > 255)
            return host_fail(err, -EINVAL, "profile \"%s\" is not \"type/version\"", p->title);
        to[i] = (struct nve_profile_vn){(uint32_t)type, p->vni, (uint8_t)version};
    }
    n->profile_vns = to;
    n->n_profile_vns = c->profiles.n;
    return 0;
}

int
main_conf_node(const struct main_conf *c, struct nve_conf *n, struct host_err *err)
{
    memset(n, 0, sizeof *n);
    n->edge.name = c->name;
    n->edge.vtep = c->vtep;
    n->edge.underlay_mtu = c->underlay_mtu;
    for (size_t i = 0; i < SET_N; i++) /* here every one has its value */
        n->edge.settings[i] = c->settings[i] ? c->settings[i] : SETTING_ZERO;
    n->mapping = (uint8_t)c->mapping;
    n->oui = c->oui;
    n->evb_rte = c->vdp.rte;
    n->evb_retries = c->vdp.retries;
    n->evb_rwd = c->vdp.rwd;
    n->evb_rka = c->vdp.rka;
    n->reflective_relay = c->vdp.reflective_relay;
    n->pace_us = c->vdp.pace_us;
    n->lisp_port = c->lisp_port;
    if (c->authorities.n) {
        const struct main_authority *a = c->authorities.items;
        n->key = a->key;
        n->authority_udp = a->address;
        n->authority_udp_port = a->udp_port;
    }
    int rc = ports_of(c, n, err);
    if (!rc)
        rc = statics_of(c, n, err);
    if (!rc)
        rc = profiles_of(c, n, err);
    return rc;
}
