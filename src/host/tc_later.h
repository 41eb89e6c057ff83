/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that turns clsact filters into pinned tcx links (tc_link_upgrade), because
 * each of them keeps its caller waiting for milliseconds. It starts with the first job.
 */
#ifndef BERTH_HOST_TC_LATER_H
#define BERTH_HOST_TC_LATER_H
#include "host/error.h"
#include <stdbool.h>
#include <stdint.h>

#define TC_LATER_QUIET_MS 2000
struct tc_job {
    char path[256];
    char ifname[16];
    uint32_t ifindex;
    int prog_fd;
    bool detach; /* else upgrade */
    int status;  /* done: 0 or -errno */
};
struct tc_later;
int tc_later_new(struct tc_later **out, struct host_err *err);
void tc_later_push(struct tc_later *l, const struct tc_job *job); /* copies */
/* Takes back what is to be done with this path; waits for the job in hand. */
void tc_later_cancel(struct tc_later *l, const char *path);
int tc_later_fd(const struct tc_later *l); /* readable: some are done */
bool tc_later_pop(struct tc_later *l, struct tc_job *job);
void tc_later_wait(struct tc_later *l); /* at once now, and until no job is left */
void tc_later_free(struct tc_later *l); /* ends after the job in hand; NULL is fine */
#endif
