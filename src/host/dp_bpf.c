/* SPDX-License-Identifier: Apache-2.0 */
/* Loading and pinning. Under the pin directory:
 *   nve-v<layout>-<sizes>/   the maps of one layout (K15)
 *   jumps-<n>                the jump table of the programs now running: a program
 * array that nobody holds is emptied by the kernel links/                   tcx links
 * by device name names                    port numbers by device name; outlives layouts
 * A new layout is filled beside the old one, whose programs forward until SYNC_END;
 * then every link gets the new program in one step and the old pins go. */
#include "host/dp_bpf.h"
#include "host/dp_bpf_int.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "base/log.h"
#include "host/netlink.h"
#include "host/tc_link.h"
#include "nve.skel.h"

static int
libbpf_line(enum libbpf_print_level level, const char *fmt, va_list ap)
{
    char line[512];
    size_t n;

    if (level == LIBBPF_DEBUG || !log_on(LOG_DBG, "dp"))
        return 0;
    vsnprintf(line, sizeof(line), fmt, ap);
    n = strlen(line);
    if (n && line[n - 1] == '\n')
        line[n - 1] = 0;
    log_dbg("dp", "%s", line);
    return 0;
}

static uint32_t
or_default(uint32_t v, uint32_t d)
{
    return v ? v : d;
}

static void
sizes_set(struct dp_bpf *dp, struct nve_bpf *skel, const struct dp_bpf_conf *conf)
{
    uint32_t ports = or_default(conf->max_ports, 256);
    uint32_t vsis = or_default(conf->max_vsis, 32768);
    uint32_t chunks = or_default(conf->max_chunks, 16384);
    uint32_t neg = or_default(conf->max_neg, 16384);

    dp->max_ports = ports < DP_PORT_MAX ? ports : DP_PORT_MAX;
    dp->max_vsis = vsis;
    bpf_map__set_max_entries(skel->maps.ports, dp->max_ports);
    bpf_map__set_max_entries(skel->maps.ifindexes, dp->max_ports);
    bpf_map__set_max_entries(skel->maps.counters, dp->max_ports);
    bpf_map__set_max_entries(skel->maps.vsis, vsis);
    bpf_map__set_max_entries(skel->maps.vsi_counters, vsis);
    bpf_map__set_max_entries(skel->maps.meters, vsis);
    bpf_map__set_max_entries(skel->maps.vaps, or_default(conf->max_vaps, 32768));
    bpf_map__set_max_entries(skel->maps.fdb, or_default(conf->max_fdb, 131072));
    bpf_map__set_max_entries(skel->maps.neigh, or_default(conf->max_neigh, 131072));
    bpf_map__set_max_entries(skel->maps.vns, or_default(conf->max_vns, 8192));
    bpf_map__set_max_entries(skel->maps.locals, chunks);
    bpf_map__set_max_entries(skel->maps.remotes, chunks);
    bpf_map__set_max_entries(skel->maps.vteps, or_default(conf->max_vteps, 4096));
    bpf_map__set_max_entries(skel->maps.neg, neg);
    bpf_map__set_max_entries(skel->maps.asked, neg);
    bpf_map__set_max_entries(skel->maps.events, or_default(conf->events_size, 1 << 20));
}

/* The layout number stands for the structures, the digest (FNV-1a) for sizes. */
static void
maps_dir_name(struct dp_bpf *dp, struct nve_bpf *skel)
{
    uint32_t digest = 2166136261u;
    const struct bpf_map *map;

    bpf_object__for_each_map(map, skel->obj)
    {
        uint32_t facts[4] = {bpf_map__max_entries(map), bpf_map__key_size(map),
            bpf_map__value_size(map), bpf_map__map_flags(map)};
        const uint8_t *p = (const uint8_t *)facts;

        for (size_t i = 0; i < sizeof(facts); i++)
            digest = (digest ^ p[i]) * 16777619u;
    }
    snprintf(dp->maps_dir, sizeof(dp->maps_dir), "%s/nve-v%d-%08x", dp->dir, NVE_LAYOUT,
        digest);
}

/* Entries of the pin directory that start so, other than `keep`: their number, or
 * removed. */
static int
others(const struct dp_bpf *dp, const char *prefix, const char *keep, bool remove_them)
{
    char path[PATH_MAX + 300], inner[PATH_MAX + 600];
    struct dirent *e, *f;
    int n = 0;
    DIR *d = opendir(dp->dir), *sub;

    if (!d)
        return -errno;
    while ((e = readdir(d))) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) || !strcmp(e->d_name, keep))
            continue;
        n++;
        if (!remove_them)
            continue;
        snprintf(path, sizeof(path), "%s/%s", dp->dir, e->d_name);
        sub = opendir(path);
        if (!sub) {
            unlink(path);
            continue;
        }
        while ((f = readdir(sub))) {
            snprintf(inner, sizeof(inner), "%s/%s", path, f->d_name);
            if (f->d_name[0] != '.')
                unlink(inner);
        }
        closedir(sub);
        rmdir(path);
    }
    closedir(d);
    return n;
}

static const char *
base_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

/* Not before SYNC_END, when every port has its new program: a jump table that is
 * unpinned is emptied, and a link of a port that is configured no more would run on
 * without it. */
int
dp_remove_old(struct dp_bpf *dp)
{
    char dir[PATH_MAX], path[PATH_MAX + 300], keep[PATH_MAX + 300];
    struct dirent *e;
    DIR *d;
    int rc;

    snprintf(dir, sizeof(dir), "%s/links", dp->dir);
    d = opendir(dir);
    if (!d)
        return -errno;
    while ((e = readdir(d))) {
        bool ours = e->d_name[0] == '.';

        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        tc_link_path(keep, sizeof(keep), dir, "", dp->vxlan);
        ours |= !strcmp(path, keep);
        tc_link_path(keep, sizeof(keep), dir, "", dp->hold_dev);
        ours |= !strcmp(path, keep);
        for (uint32_t i = 1; !ours && i < dp->max_ports; i++) {
            if (!dp->ports[i].bound)
                continue;
            tc_link_path(keep, sizeof(keep), dir, "", dp->ports[i].name);
            ours = !strcmp(path, keep);
        }
        if (!ours)
            unlink(path);
    }
    closedir(d);
    rc = others(dp, "nve-v", base_name(dp->maps_dir), true);
    if (rc >= 0)
        rc = others(dp, "jumps-", dp->jumps, true);
    return rc < 0 ? rc : 0;
}

/* A key with its own source address came with 5.19; an older kernel refuses the size.
 */
static bool
kernel_takes_source(void)
{
    struct utsname u;
    int major = 0, minor = 0;

    return !uname(&u) && sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 19));
}

static void
constants_set(struct nve_bpf *skel, const struct dp_bpf_conf *conf)
{
    skel->rodata->nve_key_flags = conf->zero_csum ? BPF_F_ZERO_CSUM_TX : 0;
    if (ip_is_none(&conf->local))
        return;
    if (!kernel_takes_source()) {
        log_warn(
            "dp", "kernel before 5.19: the route chooses the outer source address");
        return;
    }
    if (ip_is_v4(&conf->local))
        skel->rodata->nve_local_v4 = ip_to_v4(&conf->local);
    else
        memcpy((void *)skel->rodata->nve_local_v6, conf->local.b, 16);
}

static int
pin_paths_set(struct dp_bpf *dp, struct nve_bpf *skel)
{
    char path[PATH_MAX + 64];

#define X(name)                                                                        \
    snprintf(path, sizeof(path), "%s/" #name, dp->maps_dir);                           \
    if (bpf_map__set_pin_path(skel->maps.name, path))                                  \
        return -ENOMEM;
    NVE_MAPS(X)
#undef X
    return mkdir(dp->maps_dir, 0700) && errno != EEXIST ? -errno : 0;
}

static int
jumps_pin(struct dp_bpf *dp, struct nve_bpf *skel)
{
    const struct bpf_program *progs[NVE_N_JUMPS] = {
        [NVE_JUMP_ANSWER] = skel->progs.nve_answer,
        [NVE_JUMP_FLOOD] = skel->progs.nve_flood,
        [NVE_JUMP_REMOTE] = skel->progs.nve_remote,
    };
    int fd = bpf_map__fd(skel->maps.jumps), prog;
    char path[PATH_MAX];

    for (uint32_t i = 0; i < NVE_N_JUMPS; i++) {
        prog = bpf_program__fd(progs[i]);
        if (bpf_map_update_elem(fd, &i, &prog, BPF_ANY))
            return -errno;
    }
    for (unsigned i = 0; i < 200; i++) {
        if (i == 100) /* a hundred starts that never came to SYNC_END */
            others(dp, "jumps-", "", true);
        snprintf(dp->jumps, sizeof(dp->jumps), "jumps-%u", i % 100);
        snprintf(path, sizeof(path), "%s/%s", dp->dir, dp->jumps);
        if (!bpf_obj_pin(fd, path))
            return 0;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

/* The skeleton (some MB) goes again at once: file descriptors are all that is kept. */
static int
fds_keep(struct dp_bpf *dp, struct nve_bpf *skel)
{
#define X(name)                                                                        \
    dp->fd.name = fcntl(bpf_map__fd(skel->maps.name), F_DUPFD_CLOEXEC, 3);             \
    if (dp->fd.name < 0)                                                               \
        return -errno;
    NVE_MAPS(X)
#undef X
    dp->prog_port = fcntl(bpf_program__fd(skel->progs.nve_port), F_DUPFD_CLOEXEC, 3);
    dp->prog_overlay =
        fcntl(bpf_program__fd(skel->progs.nve_overlay), F_DUPFD_CLOEXEC, 3);
    dp->prog_hold = fcntl(bpf_program__fd(skel->progs.nve_hold), F_DUPFD_CLOEXEC, 3);
    return dp->prog_port < 0 || dp->prog_overlay < 0 || dp->prog_hold < 0 ? -errno : 0;
}

static int
names_open(struct dp_bpf *dp)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/names", dp->dir);
    dp->fd.names = bpf_obj_get(path);
    if (dp->fd.names >= 0)
        return 0;
    dp->fd.names = bpf_map_create(
        BPF_MAP_TYPE_HASH, "nve_names", IF_NAMESIZE, 4, DP_PORT_MAX, NULL);
    if (dp->fd.names < 0)
        return -errno;
    return bpf_obj_pin(dp->fd.names, path) ? -errno : 0;
}

static int
load(struct dp_bpf *dp, const struct dp_bpf_conf *conf, struct host_err *err)
{
    struct nve_bpf *skel = nve_bpf__open();
    const char *what = "opening the programs";
    int rc = skel ? 0 : -errno;

    if (rc)
        goto out;
    sizes_set(dp, skel, conf);
    maps_dir_name(dp, skel);
    constants_set(skel, conf);
    what = "preparing the pins";
    rc = pin_paths_set(dp, skel);
    if (rc)
        goto out;
    what = "loading the programs";
    rc = nve_bpf__load(skel);
    if (rc)
        goto out;
    what = "pinning the jump table";
    rc = jumps_pin(dp, skel);
    if (!rc)
        rc = fds_keep(dp, skel);
    if (!rc)
        rc = names_open(dp);
out:
    nve_bpf__destroy(skel);
    return rc ? host_fail(err, rc, "data plane: %s: %m", what) : 0;
}

static int
start(struct dp_bpf *dp, struct host_err *err)
{
    struct nve_conf c = {0};
    uint32_t zero = 0;
    int rc;

    if (bpf_map_lookup_elem(dp->fd.conf, &zero, &c))
        return -errno;
    dp->waiting = !c.filled && others(dp, "nve-v", base_name(dp->maps_dir), false) > 0;
    rc = dp_floor_write(dp, c.mtu_floor ? c.mtu_floor : UINT32_MAX);
    if (!rc)
        rc = dp_ring_open(dp);
    if (rc)
        return host_fail(err, rc, "data plane: maps in %s: %m", dp->maps_dir);
    return dp->waiting
               ? 0
               : dp_attach(dp, dp->vxlan, dp->vxlan_ifindex, dp->prog_overlay, err);
}

int
dp_bpf_open(const struct dp_bpf_conf *conf, struct dp_bpf **out, struct host_err *err)
{
    struct dp_bpf *dp;
    char links[PATH_MAX];
    int rc;

    *out = NULL;
    if (strlen(conf->pin_dir) >= sizeof(dp->dir) - 64 ||
        strlen(conf->vxlan) >= IF_NAMESIZE)
        return host_fail(
            err, -EINVAL, "data plane: pin directory or device name too long");
    dp = calloc(1, sizeof(*dp));
    if (!dp)
        return -ENOMEM;
    memset(&dp->fd, 0xff, sizeof(dp->fd));
    dp->prog_port = dp->prog_overlay = dp->prog_hold = -1;
    dp->packet_sock = dp->udp4_sock = dp->udp6_sock = -1;
    snprintf(dp->dir, sizeof(dp->dir), "%s", conf->pin_dir);
    snprintf(dp->vxlan, sizeof(dp->vxlan), "%s", conf->vxlan);
    dp->local = conf->local;
    dp->udp_port = conf->udp_port ? conf->udp_port : 4789;
    dp->zero_csum = conf->zero_csum;
    dp->no_tcx = conf->no_tcx;
    libbpf_set_print(libbpf_line);

    rc = netlink_open(&dp->nl, err);
    if (!rc)
        rc = dp_link_check(dp, &dp->vxlan_ifindex, err);
    if (!rc)
        rc = tc_link_fs(dp->dir, conf->mount, err);
    if (rc)
        goto fail;
    snprintf(links, sizeof(links), "%s/links", dp->dir);
    if (mkdir(links, 0700) && errno != EEXIST) {
        rc = host_fail(err, -errno, "%s: %m", links);
        goto fail;
    }
    rc = load(dp, conf, err);
    if (rc)
        goto fail;
    dp->ports = calloc(dp->max_ports, sizeof(*dp->ports));
    rc = dp->ports ? start(dp, err) : -ENOMEM;
    if (!rc)
        rc = dp_hold_start(dp, conf, err);
    if (rc)
        goto fail;
    log_note("dp", "maps=%s swap=%s", base_name(dp->maps_dir),
        dp->waiting ? "at sync" : "done");
    *out = dp;
    return 0;
fail:
    dp_bpf_close(dp);
    return rc;
}

static void
fd_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

void
dp_bpf_close(struct dp_bpf *dp)
{
    if (!dp)
        return;
    dp_hold_stop(dp);
    dp_sync_free(dp);
    ring_buffer__free(dp->ring);
    netlink_close(dp->nl);
#define X(name) fd_close(dp->fd.name);
    NVE_MAPS(X)
#undef X
    fd_close(dp->fd.names);
    fd_close(dp->prog_port);
    fd_close(dp->prog_overlay);
    fd_close(dp->prog_hold);
    fd_close(dp->packet_sock);
    fd_close(dp->udp4_sock);
    fd_close(dp->udp6_sock);
    free(dp->ports);
    free(dp);
}

int
dp_bpf_remove(struct dp_bpf *dp)
{
    char path[PATH_MAX];
    int rc;

    dp_detach(dp, dp->vxlan, dp->vxlan_ifindex);
    for (uint32_t i = 1; i < dp->max_ports; i++)
        if (dp->ports[i].bound)
            dp_detach(dp, dp->ports[i].name, dp->ports[i].ifindex);
    rc = others(dp, "links", "", true); /* and those of ports that were never bound */
    if (rc >= 0)
        rc = others(dp, "nve-v", "", true);
    if (rc >= 0)
        rc = others(dp, "jumps-", "", true);
    snprintf(path, sizeof(path), "%s/names", dp->dir);
    unlink(path);
    return rc < 0 ? rc : 0;
}

uint32_t
dp_bpf_port_number(struct dp_bpf *dp, const char *name)
{
    char key[IF_NAMESIZE] = {0}, at[IF_NAMESIZE];
    bool used[DP_PORT_MAX] = {false};
    const void *prev = NULL;
    uint32_t n;

    if (!*name || strlen(name) >= sizeof(key))
        return 0;
    memcpy(key, name, strlen(name));
    if (!bpf_map_lookup_elem(dp->fd.names, key, &n) && n && n < dp->max_ports)
        return n;
    while (!bpf_map_get_next_key(dp->fd.names, prev, at)) {
        if (!bpf_map_lookup_elem(dp->fd.names, at, &n) && n < DP_PORT_MAX)
            used[n] = true;
        prev = at;
    }
    for (n = 1; n < dp->max_ports; n++)
        if (!used[n])
            return bpf_map_update_elem(dp->fd.names, key, &n, BPF_ANY) ? 0 : n;
    return 0;
}

static int
counters_add(struct dp_bpf *dp, uint32_t port, uint64_t out[DPC_N])
{
    int cpus = libbpf_num_possible_cpus();
    struct nve_counters *all;
    int rc = 0;

    if (cpus < 1)
        return -EINVAL;
    all = calloc((size_t)cpus, sizeof(*all));
    if (!all)
        return -ENOMEM;
    if (bpf_map_lookup_elem(dp->fd.counters, &port, all))
        rc = -errno;
    for (int i = 0; !rc && i < cpus; i++)
        for (int j = 0; j < DPC_N; j++)
            out[j] += all[i].c[j];
    free(all);
    return rc;
}

int
dp_bpf_counters(struct dp_bpf *dp, uint64_t out[DPC_N])
{
    int rc = 0;

    memset(out, 0, DPC_N * sizeof(out[0]));
    for (uint32_t i = 0; !rc && i < dp->max_ports; i++)
        rc = counters_add(dp, i, out);
    out[DPC_DROP_HELD] += dp_hold_dropped(dp);
    return rc;
}

int
dp_bpf_port_counters(struct dp_bpf *dp, uint32_t port, uint64_t out[DPC_N])
{
    memset(out, 0, DPC_N * sizeof(out[0]));
    if (!port) /* most of them; whence each was is not remembered */
        out[DPC_DROP_HELD] = dp_hold_dropped(dp);
    return port < dp->max_ports ? counters_add(dp, port, out) : -EINVAL;
}

int
dp_bpf_vsi_counters(struct dp_bpf *dp, uint32_t vsi, struct dp_bpf_vsi *out)
{
    int cpus = libbpf_num_possible_cpus();
    struct nve_vsi_counters *all;
    int rc = 0;

    memset(out, 0, sizeof(*out));
    if (cpus < 1 || vsi >= dp->max_vsis)
        return -EINVAL;
    all = calloc((size_t)cpus, sizeof(*all));
    if (!all)
        return -ENOMEM;
    if (bpf_map_lookup_elem(dp->fd.vsi_counters, &vsi, all))
        rc = -errno;
    for (int i = 0; !rc && i < cpus; i++) {
        out->rx_frames += all[i].rx_frames;
        out->rx_octets += all[i].rx_octets;
        out->tx_frames += all[i].tx_frames;
        out->tx_octets += all[i].tx_octets;
    }
    free(all);
    return rc;
}
