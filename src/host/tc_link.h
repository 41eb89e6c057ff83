/* SPDX-License-Identifier: Apache-2.0 */
/* tc programs on interfaces that stay when the daemon goes (K15, K21): tcx links pinned
 * in a bpffs where the kernel has them (6.6), else clsact filters with a fixed handle.
 * Acts in the namespaces of the caller. Functions return 0 or -errno and a sentence in
 * `err`. */
#ifndef BERTH_HOST_TC_LINK_H
#define BERTH_HOST_TC_LINK_H
#include "host/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The directory `dir` stands on a bpffs afterwards and exists. Without `mount` a
 * missing bpffs is -ENODEV. /sys/... is refused: mounts there vanish in other
 * namespaces (K21). */
int tc_link_fs(const char *dir, bool mount, struct host_err *err);

/* "<dir>/<prefix><ifname>", octets that a bpffs does not take as %xx. */
void tc_link_path(
    char *path, size_t size, const char *dir, const char *prefix, const char *ifname);

/* `prog_fd` runs at the ingress of `ifindex` afterwards and lives on without us. A link
 * that is pinned at `path` already gets the program by update (no frame is missed); one
 * that its re-created device has severed is made anew (K21). 1 = something had to be
 * done, 0 = all stood already. */
int tc_link_attach(
    const char *path, uint32_t ifindex, int prog_fd, bool no_tcx, struct host_err *err);
/* tcx waits 5 to 20 ms for the kernel (synchronize_rcu, under rtnl). Fast: a pinned
 * link is updated (0), else a clsact filter does the work (1), in some 0.2 ms; a thread
 * may then put the link in the filter's place: the link comes first, so no frame is
 * missed. The empty qdisc stays: to remove it would stop the device's queue for a
 * moment. */
int tc_link_attach_fast(
    const char *path, uint32_t ifindex, int prog_fd, struct host_err *err);
/* -EOPNOTSUPP: this kernel has no tcx, the filter stays. */
int tc_link_upgrade(const char *path, uint32_t ifindex, int prog_fd);
/* For a watchdog: does a link pinned at `path`, or our filter, stand at the device? */
bool tc_link_there(const char *path, uint32_t ifindex);
/* Detaches at once and removes the pin; harmless when there is none. ifindex 0: the
 * device is gone. */
int tc_link_detach(const char *path, uint32_t ifindex);
#endif
