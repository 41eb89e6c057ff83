/* SPDX-License-Identifier: Apache-2.0 */
/* The seccomp list names what is refused: libuv, libbpf, SQLite, GnuTLS and libc need
 * many calls that differ by version, and a daemon that dies in the field of a missing
 * one is worse than a wider list. What remains is bounded by the capabilities. */
#include "host/daemon.h"
#include "host/loop.h"
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

/* --- log --- */

#define LOG_MODULES 64
#define LOG_BURST   4 /* times the rate */

struct bucket {
    char module[24];
    uint64_t tokens; /* millionths of a line */
    uint64_t last_us, dropped;
};

struct daemon_log {
    int fd;
    bool journal, colour;
    uint32_t rate;
    uint64_t dropped;
    struct bucket buckets[LOG_MODULES];
};

static uint64_t
clock_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* systemd says which file the journal's stream is; stderr may have been redirected
 * since. */
static bool
is_journal(int fd)
{
    const char *env = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;
    return env && sscanf(env, "%llu:%llu", &dev, &ino) == 2 && fstat(fd, &st) == 0 &&
           st.st_dev == dev && st.st_ino == ino;
}

struct daemon_log *
daemon_log_open(int fd, uint32_t per_second)
{
    struct daemon_log *log = calloc(1, sizeof(*log));
    if (!log)
        abort();
    log->fd = fd;
    log->rate = per_second ? per_second : 200;
    log->journal = is_journal(fd);
    log->colour = !log->journal && isatty(fd) && !getenv("NO_COLOR");
    return log;
}

static void
write_line(const struct daemon_log *log, enum log_level level, const char *module,
    const char *line)
{
    static const char *const prefix[] = {
        SD_ERR, SD_WARNING, SD_NOTICE, SD_INFO, SD_DEBUG};
    static const char *const colour[] = {
        "\033[31m", "\033[33m", "\033[1m", "", "\033[2m"};
    char text[2048], stamp[32];
    int n;
    if (log->journal) {
        n = snprintf(text, sizeof(text), "%s%s: %s\n", prefix[level], module, line);
    } else {
        struct timespec ts;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &ts);
        localtime_r(&ts.tv_sec, &tm);
        strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
        n = snprintf(text, sizeof(text), "%s.%06ld %s%-7s %s: %s%s\n", stamp,
            ts.tv_nsec / 1000, log->colour ? colour[level] : "", log_level_name(level),
            module, line, log->colour ? "\033[0m" : "");
    }
    if (n >= (int)sizeof(text)) {
        n = (int)sizeof(text) - 1;
        text[n - 1] = '\n';
    }
    while (write(log->fd, text, (size_t)n) < 0 && errno == EINTR)
        ;
}

static struct bucket *
bucket_of(struct daemon_log *log, const char *module, uint64_t now)
{
    struct bucket *b = log->buckets;
    for (; b < log->buckets + LOG_MODULES - 1 && b->module[0]; b++)
        if (strncmp(b->module, module, sizeof(b->module) - 1) == 0)
            return b;
    if (!b->module[0]) { /* the last one serves all that came too late */
        snprintf(b->module, sizeof(b->module), "%s", module);
        b->tokens = (uint64_t)log->rate * LOG_BURST * 1000000;
        b->last_us = now;
    }
    return b;
}

void
daemon_log_sink(void *ctx, enum log_level level, const char *module, const char *line)
{
    struct daemon_log *log = ctx;
    uint64_t now = clock_us(CLOCK_MONOTONIC);
    uint64_t max = (uint64_t)log->rate * LOG_BURST * 1000000;
    struct bucket *b = bucket_of(log, module, now);
    uint64_t gone = now - b->last_us;
    if (gone > (uint64_t)LOG_BURST * 1000000)
        gone = (uint64_t)LOG_BURST * 1000000;
    b->tokens += gone * log->rate;
    b->last_us = now;
    if (b->tokens > max)
        b->tokens = max;
    if (b->tokens < 1000000 && level != LOG_ERR_) {
        b->dropped++;
        log->dropped++;
        return;
    }
    b->tokens -= b->tokens < 1000000 ? b->tokens : 1000000;
    if (b->dropped) {
        char text[64];
        snprintf(
            text, sizeof(text), "lines_dropped=%llu", (unsigned long long)b->dropped);
        b->dropped = 0;
        write_line(log, LOG_WARN, module, text);
    }
    write_line(log, level, module, line);
}

uint64_t
daemon_log_dropped(const struct daemon_log *log)
{
    return log->dropped;
}

void
daemon_log_close(struct daemon_log *log)
{
    free(log);
}

/* --- limits and privileges --- */

static int
raise_limit(int what, rlim_t want)
{
    struct rlimit r;
    if (getrlimit(what, &r))
        return -errno;
    if (r.rlim_cur >= want) /* RLIM_INFINITY is the greatest */
        return 0;
    r.rlim_cur = want;
    if (r.rlim_max < want) {
        struct rlimit more = {want, want};
        if (setrlimit(what, &more) == 0)
            return 0;
        r.rlim_cur = r.rlim_max;
    }
    return setrlimit(what, &r) ? -errno : 0;
}

int
daemon_limits(uint32_t files, struct host_err *err)
{
    int fd, rc;
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    /* A socket must never get number 0..2: libraries print there. */
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
    rc = raise_limit(RLIMIT_NOFILE, files);
    if (!rc)
        rc = raise_limit(RLIMIT_MEMLOCK, RLIM_INFINITY);
    return rc ? host_fail(err, rc, "cannot raise the limits of the process: %m") : 0;
}

int
daemon_caps(const int *caps, uint32_t n, struct host_err *err)
{
    capng_select_t what = CAPNG_SELECT_CAPS;
    if (capng_get_caps_process())
        return host_fail(err, -EINVAL, "cannot read the capabilities of the process");
    for (uint32_t i = 0; i < n; i++)
        if (!capng_have_capability(CAPNG_PERMITTED, (unsigned)caps[i]))
            return host_fail(err, -EPERM,
                "capability %s is needed; run as root, or let the service unit give it",
                capng_capability_to_name((unsigned)caps[i]));
    if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
        what = CAPNG_SELECT_BOTH; /* the bounding set too */
    capng_clear(CAPNG_SELECT_BOTH);
    for (uint32_t i = 0; i < n; i++)
        capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
            (unsigned)caps[i]);
    if (capng_apply(what))
        return host_fail(err, -EPERM, "cannot give up capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return host_fail(err, -errno, "cannot set no_new_privs: %m");
    return 0;
}

int
daemon_seccomp(struct host_err *err)
{
    static const char *const refused[] = {"execve", "execveat", "ptrace",
        "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "mount",
        "umount2", "move_mount", "open_tree", "fsopen", "fsmount", "fsconfig", "fspick",
        "mount_setattr", "pivot_root", "chroot", "setns", "unshare", "init_module",
        "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
        "swapon", "swapoff", "settimeofday", "clock_settime", "clock_adjtime",
        "adjtimex", "sethostname", "setdomainname", "acct", "quotactl", "syslog",
        "vhangup", "iopl", "ioperm", "modify_ldt", "personality", "add_key",
        "request_key", "keyctl", "userfaultfd", "open_by_handle_at",
        "name_to_handle_at", "lookup_dcookie", "mbind", "migrate_pages", "move_pages",
        "nfsservctl", "uselib", "ustat", "sysfs", "_sysctl", "io_uring_setup",
        "io_uring_enter", "io_uring_register", "mknod", "mknodat"};
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    int rc = 0;
    if (!f)
        return host_fail(err, -ENOMEM, "cannot make the system call filter");
    for (size_t i = 0; !rc && i < sizeof(refused) / sizeof(refused[0]); i++) {
        int nr = seccomp_syscall_resolve_name(refused[i]);
        if (nr == __NR_SCMP_ERROR || nr < 0)
            continue; /* not on this architecture */
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), nr, 0);
    }
    if (!rc)
        rc = seccomp_load(f); /* sets no_new_privs */
    seccomp_release(f);
    return rc ? host_fail(err, rc,
                    "cannot load the system call filter: %m; the kernel needs "
                    "CONFIG_SECCOMP_"
                    "FILTER")
              : 0;
}

/* --- service manager --- */

void
daemon_ready(const char *status)
{
    sd_notifyf(
        0, "READY=1\nSTATUS=%s\nMAINPID=%ld", status ? status : "", (long)getpid());
}

void
daemon_status(const char *status)
{
    sd_notifyf(0, "STATUS=%s", status);
}

void
daemon_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

struct daemon_watchdog {
    struct loop *loop;
    struct loop_timer *timer;
    uint64_t every_us;
};

static void
on_watchdog(void *ctx)
{
    struct daemon_watchdog *w = ctx;
    sd_notify(0, "WATCHDOG=1");
    loop_timer_set(w->timer, loop_now(w->loop) + w->every_us);
}

struct daemon_watchdog *
daemon_watchdog_new(struct loop *l)
{
    struct daemon_watchdog *w;
    uint64_t limit_us;
    if (sd_watchdog_enabled(0, &limit_us) <= 0)
        return NULL;
    w = calloc(1, sizeof(*w));
    if (!w)
        abort();
    w->loop = l;
    w->every_us = limit_us / 3;
    w->timer = loop_timer_new(l, on_watchdog, w);
    loop_timer_set(w->timer, 0);
    return w;
}

void
daemon_watchdog_free(struct daemon_watchdog *w)
{
    if (!w)
        return;
    loop_timer_free(w->timer);
    free(w);
}

/* --- pid file --- */

int
daemon_pidfile(const char *path, int *fd, struct host_err *err)
{
    char text[32];
    int n, rc;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (*fd < 0)
        return host_fail(err, -errno, "pid file %s: %m", path);
    if (flock(*fd, LOCK_EX | LOCK_NB)) {
        rc = errno == EWOULDBLOCK ? -EEXIST : -errno;
        close(*fd);
        *fd = -1;
        return host_fail(err, rc,
            rc == -EEXIST ? "pid file %s is held by a running daemon; stop it first"
                          : "pid file %s: cannot lock: %m",
            path);
    }
    n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(*fd, 0) || pwrite(*fd, text, (size_t)n, 0) != n) {
        rc = -errno;
        daemon_pidfile_remove(path, *fd);
        *fd = -1;
        return host_fail(err, rc, "pid file %s: cannot write: %m", path);
    }
    return 0;
}

void
daemon_pidfile_remove(const char *path, int fd)
{
    if (fd < 0)
        return;
    unlink(path);
    close(fd);
}
