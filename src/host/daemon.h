/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a program a well-behaved daemon: log sink, service manager, pid file,
 * limits and the giving up of privileges. Order in main: limits, log, open everything,
 * daemon_caps, daemon_seccomp, daemon_ready. */
#ifndef BERTH_HOST_DAEMON_H
#define BERTH_HOST_DAEMON_H
#include "base/log.h"
#include "host/error.h"
#include <stdint.h>

struct loop;
struct daemon_log;
/* Sink for base/log. Under the journal "<N>module: line", else local time stamp, and
 * colours on a tty (unless NO_COLOR is set). More than per_second lines of one module
 * (burst four times that) are dropped and counted in a line of their own; errors are
 * never dropped. */
struct daemon_log *daemon_log_open(int fd, uint32_t per_second); /* 0: 200 */
void daemon_log_sink(
    void *log, enum log_level level, const char *module, const char *line);
uint64_t daemon_log_dropped(const struct daemon_log *log);
void daemon_log_close(struct daemon_log *log); /* the fd stays the caller's */

/* SIGPIPE ignored, umask 022, standard descriptors open; NOFILE raised to `files` and
 * MEMLOCK to no limit as far as the hard limits and privileges allow. */
int daemon_limits(uint32_t files, struct host_err *err);

/* Keeps exactly these capabilities (CAP_* numbers), in the bounding set too, and
 * no_new_privs. -EPERM names the first one that the process does not have. Stays the
 * same user. */
int daemon_caps(const int *caps, uint32_t n, struct host_err *err);
/* Refuses with EPERM what no Berth daemon does: executing programs, tracing, mounting,
 * modules, kexec, reboot, clock setting, keyrings, new namespaces ... Everything else
 * is allowed. */
int daemon_seccomp(struct host_err *err);

/* Service manager (nothing happens without one). The watchdog is fed from the loop. */
void daemon_ready(const char *status);
void daemon_status(const char *status);
void daemon_stopping(void);
struct daemon_watchdog;
struct daemon_watchdog *daemon_watchdog_new(
    struct loop *l); /* NULL: none is asked for */
void daemon_watchdog_free(struct daemon_watchdog *w);

/* Pid file, held under a lock while the daemon lives. -EEXIST: another one runs. */
int daemon_pidfile(const char *path, int *fd, struct host_err *err);
void daemon_pidfile_remove(const char *path, int fd);
#endif
