/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of host share: turning the loop until something is true, a network
 * namespace of one's own, and counting descriptors. */
#ifndef BERTH_TEST_HOST_H
#define BERTH_TEST_HOST_H
#include "test.h"
#include "host/loop.h"
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <unistd.h>

/* The condition is looked at before and after every turn, so it must not change
 * anything. */
#define TURN_UNTIL(l, cond)                                                            \
    do {                                                                               \
        uint64_t turn_end_ = loop_now_fresh(l) + 2000000;                              \
        while (!(cond) && loop_now_fresh(l) < turn_end_)                               \
            loop_turn(l, turn_end_);                                                   \
        if (!(cond))                                                                   \
            fail_msg("not within 2 s: %s", #cond);                                     \
    } while (0)

static inline struct loop *
make_loop(void)
{
    struct loop *l;
    struct host_err err;
    if (loop_new(&l, &err))
        fail_msg("%s", err.text);
    return l;
}

/* libuv's first loop opens a pipe for signals that stays: it is there before we count.
 */
static inline int
count_fds(void)
{
    DIR *d;
    int n = 0;
    loop_free(make_loop());
    d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Own namespace with lo up and the pair vt0 - vt1; why not, or NULL. */
static inline const char *
enter_netns(void)
{
    if (unshare(CLONE_NEWNET))
        return errno == EPERM ? "needs root for a network namespace"
                              : "no network namespaces";
    if (system("ip link set lo up") ||
        system("ip link add vt0 type veth peer name vt1 && ip link set vt0 up && "
               "ip link set vt1 up"))
        return "needs iproute2 and veth";
    return NULL;
}
#endif
