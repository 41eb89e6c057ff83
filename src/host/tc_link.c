/* SPDX-License-Identifier: Apache-2.0 */
/* tcx came with Linux 6.6 and libbpf 1.3; the numbers below let an older libbpf ask for
 * it. A pinned tcx link holds its program and cannot be removed by `tc qdisc del`; the
 * clsact filter can, which is why the callers check now and then. */
#include "host/tc_link.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TCX_INGRESS   46 /* enum bpf_attach_type of 6.6 */
#define CLSACT_HANDLE 0xbe
#define CLSACT_PRIO   0xbe

static bool
is_bpffs(const char *dir)
{
    struct statfs fs;
    return statfs(dir, &fs) == 0 && (uint32_t)fs.f_type == BPF_FS_MAGIC;
}

/* Directories of the path that are missing. */
static int
make_path(const char *dir)
{
    char path[256];
    size_t n = strlen(dir);
    if (n >= sizeof(path))
        return -ENAMETOOLONG;
    memcpy(path, dir, n + 1);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(path, 0755) && errno != EEXIST && errno != EPERM)
            return -errno;
        *p = '/';
    }
    return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

int
tc_link_fs(const char *dir, bool mount_it, struct host_err *err)
{
    int rc;
    if (dir[0] != '/')
        return host_fail(
            err, -EINVAL, "pin directory '%s': give an absolute path", dir);
    if (strncmp(dir, "/sys/", 5) == 0)
        return host_fail(err, -EINVAL,
            "pin directory %s lies in /sys, where other namespaces lose it; use one "
            "such as "
            "/run/berth/bpf",
            dir);
    rc = make_path(dir);
    if (rc)
        return host_fail(err, rc, "pin directory %s: cannot make it: %m", dir);
    if (is_bpffs(dir))
        return 0;
    if (!mount_it)
        return host_fail(err, -ENODEV,
            "pin directory %s is on no bpffs; mount one there first (mount -t bpf bpf "
            "%s)",
            dir, dir);
    if (mount("bpf", dir, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
        return host_fail(
            err, -errno, "pin directory %s: cannot mount a bpffs: %m", dir);
    return 0;
}

void
tc_link_path(
    char *path, size_t size, const char *dir, const char *prefix, const char *ifname)
{
    size_t n = (size_t)snprintf(path, size, "%s/%s", dir, prefix);
    for (const char *p = ifname; *p && n + 4 < size; p++) {
        unsigned char c = (unsigned char)*p;
        if (isalnum(c) || c == '_' || c == '-')
            path[n++] = (char)c;
        else
            n += (size_t)snprintf(path + n, size - n, "%%%02x", c);
    }
    if (n < size)
        path[n] = '\0';
}

/* Interface of a tcx link; 0 = it is gone, and the link with it. */
static uint32_t
link_ifindex(int fd)
{
    union {
        struct bpf_link_info info;
        uint32_t words[64];
    } u;
    uint32_t size = sizeof(u);
    memset(&u, 0, sizeof(u));
    if (bpf_obj_get_info_by_fd(fd, &u, &size))
        return 0;
    /* type, id, prog_id and a word of padding; then the union, of which tcx begins with
     * the ifindex. */
    return u.words[offsetof(struct bpf_link_info, raw_tracepoint) / 4];
}

static int
attach_clsact(uint32_t ifindex, int prog_fd, struct host_err *err)
{
    DECLARE_LIBBPF_OPTS(
        bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = CLSACT_HANDLE,
        .priority = CLSACT_PRIO, .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);
    int rc = bpf_tc_hook_create(&hook);
    if (rc && rc != -EEXIST)
        return host_fail(
            err, rc, "interface %u: cannot add a clsact qdisc: %m", ifindex);
    rc = bpf_tc_attach(&hook, &opts);
    if (rc)
        return host_fail(
            err, rc, "interface %u: cannot attach the tc program: %m", ifindex);
    return 1;
}

int
tc_link_attach(
    const char *path, uint32_t ifindex, int prog_fd, bool no_tcx, struct host_err *err)
{
    int fd = bpf_obj_get(path), rc;
    if (fd >= 0) {
        if (!no_tcx && link_ifindex(fd) == ifindex) {
            rc = bpf_link_update(fd, prog_fd, NULL) ? -errno : 0;
            close(fd);
            return rc ? host_fail(
                            err, rc, "%s: cannot update the pinned link: %m", path)
                      : 0;
        }
        close(fd);
        unlink(path); /* severed, or of another device */
    }
    if (no_tcx)
        return attach_clsact(ifindex, prog_fd, err);
    fd =
        bpf_link_create(prog_fd, (int)ifindex, (enum bpf_attach_type)TCX_INGRESS, NULL);
    if (fd < 0 && errno == EINVAL)
        return attach_clsact(ifindex, prog_fd, err);
    if (fd < 0)
        return host_fail(
            err, -errno, "interface %u: cannot attach the tc program: %m", ifindex);
    rc = bpf_obj_pin(fd, path) ? -errno : 0;
    close(fd);
    return rc ? host_fail(err, rc, "cannot pin %s: %m", path) : 1;
}

int
tc_link_attach_fast(
    const char *path, uint32_t ifindex, int prog_fd, struct host_err *err)
{
    int fd = bpf_obj_get(path);
    bool pinned = fd >= 0 && link_ifindex(fd) == ifindex;
    if (fd >= 0)
        close(fd);
    return pinned ? tc_link_attach(path, ifindex, prog_fd, false, err)
                  : attach_clsact(ifindex, prog_fd, err);
}

int
tc_link_upgrade(const char *path, uint32_t ifindex, int prog_fd)
{
    DECLARE_LIBBPF_OPTS(
        bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(
        bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIO);
    int rc, fd = bpf_obj_get(path);
    if (fd < 0 || link_ifindex(fd) != ifindex) {
        if (fd >= 0) {
            close(fd);
            unlink(path);
        }
        fd = bpf_link_create(
            prog_fd, (int)ifindex, (enum bpf_attach_type)TCX_INGRESS, NULL);
        if (fd < 0)
            return errno == EINVAL ? -EOPNOTSUPP : -errno;
        if (bpf_obj_pin(fd, path)) {
            rc = -errno;
            close(fd);
            return rc;
        }
    }
    close(fd);
    bpf_tc_detach(&hook, &opts);
    return 0;
}

bool
tc_link_there(const char *path, uint32_t ifindex)
{
    DECLARE_LIBBPF_OPTS(
        bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(
        bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIO);
    int fd = bpf_obj_get(path);
    bool there = fd >= 0 && link_ifindex(fd) == ifindex;
    if (fd >= 0)
        close(fd);
    return there || bpf_tc_query(&hook, &opts) == 0;
}

int
tc_link_detach(const char *path, uint32_t ifindex)
{
    DECLARE_LIBBPF_OPTS(
        bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(
        bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIO);
    unlink(path);
    if (ifindex)
        bpf_tc_detach(&hook, &opts);
    return 0;
}
