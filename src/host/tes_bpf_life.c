/* SPDX-License-Identifier: Apache-2.0 */
/* The server's data plane from opening to removal: programs and pins, what an earlier
 * run left and nobody takes again, other layouts (K15). */
#include "host/tes_bpf_int.h"
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
name_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct tag_entry *e = pool_at(ctx, handle);
    return strcmp(e->v.name, key) == 0;
}

static void
remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    char path[600];
    if (!d)
        return;
    while ((e = readdir(d))) {
        int n = snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.' && n < (int)sizeof(path))
            unlink(path);
    }
    closedir(d);
    rmdir(dir);
}

/* The programs of another layout were first in line on each interface, so they have
 * done the work until now; ours take over when their links go. */
static void
remove_other_layouts(struct tes_bpf_plane *p)
{
    DIR *d = opendir(p->root);
    struct dirent *e;
    char path[600];
    if (!d)
        return;
    while ((e = readdir(d))) {
        snprintf(path, sizeof(path), "%s/%s", p->root, e->d_name);
        if (strncmp(e->d_name, "tes-", 4) == 0 && strcmp(path, p->dir) != 0)
            remove_dir(path);
    }
    closedir(d);
}

/* Of an agent that was killed before its thread came to them. */
static void
remove_stray_pins(struct tes_bpf_plane *p)
{
    DIR *d = opendir(p->dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[600], name[20] = "";
        size_t n = 0;
        if (strncmp(e->d_name, "vm-", 3) != 0)
            continue;
        for (const char *s = e->d_name + 3; *s && n < sizeof(name) - 1; n++) {
            unsigned c = (unsigned char)*s++;
            if (c == '%' && sscanf(s, "%2x", &c) == 1)
                s += 2;
            name[n] = (char)c;
        }
        snprintf(path, sizeof(path), "%s/%s", p->dir, e->d_name);
        if (!tes_bpf_tag_find(p, name))
            unlink(path);
    }
    if (d)
        closedir(d);
}

uint32_t
tes_bpf_sweep(struct tes_bpf_plane *p)
{
    uint32_t it = 0, h, n = 0, n_old = 0;
    uint32_t *old = malloc((p->tags.n + 1) * sizeof(*old));
    if (!old)
        abort();
    while ((h = map_each(&p->by_name, &it)))
        if (((struct tag_entry *)pool_at(&p->tags, h))->old)
            old[n_old++] = h;
    for (n = 0; n < n_old; n++) {
        struct tag_entry *e = pool_at(&p->tags, old[n]);
        tes_bpf_unbind_vm(p, e, if_nametoindex(e->v.name) != e->ifindex);
        tes_bpf_tag_drop(p, old[n]);
    }
    free(old);
    remove_stray_pins(p);
    for (uint32_t i = 0; i < TES_UPLINKS; i++)
        if (p->up[i].old)
            tes_bpf_drop_uplink(p, i);
    remove_other_layouts(p);
    return n_old;
}

/* --- opening --- */

static void
read_back(struct tes_bpf_plane *p)
{
    uint32_t key, *prev = NULL;
    struct tes_vm v;
    struct tes_uplink u;
    while (bpf_map_get_next_key(p->uplinks, prev, &key) == 0) {
        prev = &key;
        if (bpf_map_lookup_elem(p->uplinks, &key, &u) || u.number >= TES_UPLINKS)
            continue;
        p->up[u.number].ifindex = key;
        p->up[u.number].old = true;
        snprintf(p->up[u.number].name, sizeof(u.name), "%.15s", u.name);
    }
    prev = NULL;
    while (bpf_map_get_next_key(p->vms, prev, &key) == 0) {
        struct tag_entry *e;
        prev = &key;
        if (bpf_map_lookup_elem(p->vms, &key, &v))
            continue;
        v.name[sizeof(v.name) - 1] = '\0';
        if (tes_bpf_tag_find(p, v.name) || !(e = tes_bpf_tag_add(p, v.name)))
            continue;
        e->v = v;
        e->ifindex = key;
        e->old = true;
    }
}

static int
set_pins(struct tes_bpf_plane *p)
{
    struct bpf_map *m;
    bpf_object__for_each_map(m, p->skel->obj)
    {
        char path[300];
        int rc;
        if (strchr(bpf_map__name(m), '.'))
            continue; /* .rodata and the like */
        tc_link_path(path, sizeof(path), p->dir, "", bpf_map__name(m));
        rc = bpf_map__set_pin_path(m, path);
        if (rc)
            return rc;
    }
    return 0;
}

static int
quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
    (void)level;
    (void)fmt;
    (void)ap;
    return 0;
}

static int
load(struct tes_bpf_plane *p, struct host_err *err)
{
    uint32_t slot = TES_JUMP_FLOOD;
    int rc, fd;
    p->skel = tes_bpf__open();
    if (!p->skel)
        return host_fail(err, -errno, "cannot open the BPF programs: %m");
    rc = set_pins(p);
    if (!rc)
        rc = tes_bpf__load(p->skel);
    if (rc == -EPERM)
        return host_fail(err, rc,
            "cannot load the BPF programs: not permitted; run with CAP_BPF and "
            "CAP_NET_ADMIN");
    if (rc)
        return host_fail(err, rc,
            "cannot load the BPF programs with the maps pinned in %s: %m", p->dir);
    fd = bpf_program__fd(p->skel->progs.flood);
    if (bpf_map_update_elem(bpf_map__fd(p->skel->maps.jumps), &slot, &fd, BPF_ANY))
        return host_fail(err, -errno, "cannot fill the jump table: %m");
    p->vms = bpf_map__fd(p->skel->maps.vms);
    p->macs = bpf_map__fd(p->skel->maps.macs);
    p->groups = bpf_map__fd(p->skel->maps.groups);
    p->uplinks = bpf_map__fd(p->skel->maps.uplinks);
    p->ifindexes = bpf_map__fd(p->skel->maps.ifindexes);
    p->counters = bpf_map__fd(p->skel->maps.counters);
    p->prog_vm = bpf_program__fd(p->skel->progs.vm);
    p->prog_uplink = bpf_program__fd(p->skel->progs.uplink);
    return 0;
}

int
tes_bpf_open(
    struct tes_bpf_plane **out, const struct tes_bpf_conf *conf, struct host_err *err)
{
    struct tes_bpf_plane *p;
    int rc;
    *out = NULL;
    if (strlen(conf->pin_dir) >= sizeof(p->root))
        return host_fail(
            err, -ENAMETOOLONG, "pin directory path is too long: %s", conf->pin_dir);
    libbpf_set_print(quiet);
    p = mem_alloc(sizeof(*p));
    snprintf(p->root, sizeof(p->root), "%s", conf->pin_dir);
    snprintf(p->dir, sizeof(p->dir), "%s/tes-%u", p->root, TES_LAYOUT);
    p->no_tcx = conf->no_tcx;
    pool_init(&p->tags, sizeof(struct tag_entry), TES_VMS_MAX);
    map_init(&p->by_name, name_eq, &p->tags, conf->seed);
    rc = tc_later_new(&p->later, err);
    if (!rc)
        rc = tc_link_fs(p->root, conf->mount, err);
    if (!rc)
        rc = tc_link_fs(p->dir, false, err);
    if (!rc)
        rc = load(p, err);
    if (rc) {
        tes_bpf_close(p);
        return rc;
    }
    read_back(p);
    *out = p;
    return 0;
}

void
tes_bpf_close(struct tes_bpf_plane *p)
{
    if (!p)
        return;
    tc_later_free(p->later); /* it uses the program */
    tes_bpf__destroy(p->skel);
    map_done(&p->by_name);
    pool_done(&p->tags);
    mem_free(p);
}

void
tes_bpf_remove(struct tes_bpf_plane *p)
{
    uint32_t it = 0, h;
    while ((h = map_each(&p->by_name, &it)))
        tes_bpf_unbind_vm(p, pool_at(&p->tags, h), false);
    tes_bpf_settle(p);
    for (uint32_t i = 0; i < TES_UPLINKS; i++)
        if (p->up[i].name[0])
            tes_bpf_drop_uplink(p, i);
    remove_other_layouts(p);
    remove_dir(p->dir);
}
