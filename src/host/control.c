/* SPDX-License-Identifier: Apache-2.0 */
/* One daemon per path: a lock file beside the socket is held while the daemon lives, so
 * a socket whose lock is free is a dead one's. A client's next request is handed on
 * when the answer before has ended; what it sends meanwhile waits in its line buffer,
 * and reading pauses when a longest line is in it. */
#include "host/control.h"
#include "base/mem.h"
#include "host/loop.h"
#include "host/stream.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define WRITE_MAX   (256u * 1024)
#define IN_SIZE     (CONTROL_LINE_MAX + STREAM_CHUNK)
#define END_MARK    "{\"ok\":"
#define LINE_MAX_IN (16u << 20) /* client side: longest answer line taken */

struct client {
    struct control *c;
    struct stream *s; /* NULL: the slot is free */
    uint32_t serial;
    uint32_t open;         /* requests handed on and not answered */
    struct loop_call next; /* hand on the next line */
    char *line;            /* a longest line and one chunk: IN_SIZE octets */
    size_t size;
};

struct control {
    struct loop *loop;
    struct stream_server *server;
    struct control_calls calls;
    void *ctx;
    struct client *clients;
    uint32_t n_clients, clients_max, write_max, pipeline;
    struct fifo waiting; /* of uint64_t: clients that are to get a next piece */
    char path[108], lock_path[116];
    int lock_fd;
};

static uint64_t
conn_of(const struct client *cl)
{
    return (uint64_t)cl->serial << 32 | (uint32_t)(cl - cl->c->clients);
}

static struct client *
client_find(struct control *c, uint64_t conn)
{
    uint32_t slot = (uint32_t)conn;
    struct client *cl;
    if (slot >= c->clients_max)
        return NULL;
    cl = &c->clients[slot];
    return cl->s && cl->serial == conn >> 32 && cl->open ? cl : NULL;
}

/* The stream is gone or going; frees the slot. */
static void
client_drop(struct client *cl)
{
    struct control *c = cl->c;
    uint64_t conn = conn_of(cl);
    bool unfinished = cl->open > 0;
    loop_call_cancel(&cl->next);
    free(cl->line);
    cl->line = NULL;
    cl->s = NULL;
    cl->open = 0;
    c->n_clients--;
    if (unfinished && c->calls.on_gone)
        c->calls.on_gone(c->ctx, conn);
}

static int
put(struct client *cl, const char *text, size_t size)
{
    /* -ENOBUFS or a broken socket: the stream's on_close drops the client. */
    return stream_write(cl->s, text, size);
}

static bool
may_hand_on(const struct client *cl)
{
    return cl->open < cl->c->pipeline;
}

static int
request_done(struct client *cl, int rc)
{
    cl->open--;
    loop_later(cl->c->loop, &cl->next);
    return rc;
}

static int
put_end(struct client *cl, const char *error)
{
    static const char ok[] = "{\"ok\":true}\n";
    char *text;
    int rc;
    if (!error) {
        rc = put(cl, ok, sizeof(ok) - 1);
    } else {
        json_t *e = json_string(error);
        text = e ? json_dumps(e, JSON_ENCODE_ANY) : NULL; /* NULL: not UTF-8 */
        rc = put(cl, "{\"ok\":false,\"error\":", 20);
        if (!rc)
            rc = put(cl, text ? text : "\"error\"", text ? strlen(text) : 7);
        if (!rc)
            rc = put(cl, "}\n", 2);
        free(text);
        json_decref(e);
    }
    return request_done(cl, rc);
}

/* Hands on one request line; more lines wait for the end of its answer. */
static void
next_line(struct client *cl)
{
    struct control *c = cl->c;
    char *nl = memchr(cl->line, '\n', cl->size), *line;
    size_t n;
    n = nl ? (size_t)(nl - cl->line) : cl->size;
    if (n >= CONTROL_LINE_MAX) {
        cl->open++; /* put_end ends it: it never reached the daemon */
        put_end(cl, "request line is longer than 64 kB");
        stream_close(cl->s);
        client_drop(cl);
        return;
    }
    if (!nl)
        return;
    line = malloc(n + 1);
    if (!line)
        abort();
    memcpy(line, cl->line, n);
    line[n] = '\0';
    cl->size -= n + 1;
    memmove(cl->line, nl + 1, cl->size);
    stream_pause(cl->s, cl->size >= CONTROL_LINE_MAX);
    if (n == 0 || (n == 1 && line[0] == '\r')) {
        loop_later(c->loop, &cl->next); /* an empty line is no request */
    } else {
        cl->open++;
        c->calls.on_request(c->ctx, conn_of(cl), line, n);
    }
    free(line);
}

/* As many lines as there are whole ones and as may be open at once. */
static void
next_lines(struct client *cl)
{
    uint32_t serial = cl->serial;
    size_t size;
    do {
        size = cl->size;
        next_line(cl); /* may end in the client's being dropped */
    } while (cl->s && cl->serial == serial && may_hand_on(cl) && cl->size < size);
}

static void
on_next(void *ctx)
{
    struct client *cl = ctx;
    if (may_hand_on(cl))
        next_lines(cl);
}

static void *
on_accept(void *ctx, struct stream *s)
{
    struct control *c = ctx;
    uid_t uid;
    if (stream_peer_uid(s, &uid) || (uid != 0 && uid != geteuid()))
        return NULL;
    for (uint32_t i = 0; i < c->clients_max; i++) {
        struct client *cl = &c->clients[i];
        if (cl->s)
            continue;
        cl->c = c;
        cl->s = s;
        cl->serial++;
        cl->size = 0;
        cl->line = malloc(IN_SIZE);
        if (!cl->line)
            abort();
        cl->next = (struct loop_call){.fn = on_next, .ctx = cl};
        c->n_clients++;
        return cl;
    }
    return NULL;
}

static void
on_data(void *ctx, struct stream *s, const uint8_t *data, size_t size)
{
    struct client *cl = ctx;
    memcpy(cl->line + cl->size, data, size);
    cl->size += size;
    stream_pause(s, cl->size >= CONTROL_LINE_MAX);
    if (may_hand_on(cl))
        loop_later(cl->c->loop, &cl->next);
}

static void
on_close(void *ctx, struct stream *s, int code, const char *why)
{
    (void)s;
    (void)code;
    (void)why;
    client_drop(ctx);
}

static int
make_directory(const char *path, struct host_err *err)
{
    char dir[108];
    char *slash;
    snprintf(dir, sizeof(dir), "%s", path);
    slash = strrchr(dir, '/');
    if (!slash || slash == dir)
        return 0;
    *slash = '\0';
    if (mkdir(dir, 0755) && errno != EEXIST)
        return host_fail(
            err, -errno, "control socket: cannot make directory %s: %m", dir);
    return 0;
}

/* The lock file is removed at a clean end, so the one we locked may be no longer the
 * one at the path: then try again. */
static int
take_lock(struct control *c, struct host_err *err)
{
    for (;;) {
        struct stat held, there;
        int rc;
        c->lock_fd =
            open(c->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (c->lock_fd < 0)
            return host_fail(
                err, -errno, "control socket: cannot open %s: %m", c->lock_path);
        if (flock(c->lock_fd, LOCK_EX | LOCK_NB)) {
            rc = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
            close(c->lock_fd);
            c->lock_fd = -1;
            return host_fail(err, rc,
                rc == -EADDRINUSE
                    ? "control socket %s belongs to a running daemon; stop it "
                      "first, or set another path"
                    : "control socket %s: cannot lock: %m",
                c->path);
        }
        if (fstat(c->lock_fd, &held) == 0 && stat(c->lock_path, &there) == 0 &&
            held.st_ino == there.st_ino && held.st_dev == there.st_dev)
            return 0;
        close(c->lock_fd);
        c->lock_fd = -1;
    }
}

/* We hold the lock; what is left at the path is a dead daemon's, unless a program that
 * knows no lock listens there, or it is no socket at all. */
static int
remove_stale(const struct control *c, struct host_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct stat st;
    int fd, rc;
    if (lstat(c->path, &st))
        return errno == ENOENT
                   ? 0
                   : host_fail(err, -errno, "control socket %s: %m", c->path);
    if (!S_ISSOCK(st.st_mode))
        return host_fail(err, -EEXIST,
            "control socket: %s is there and is no socket; remove it or set another "
            "path",
            c->path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return host_fail(err, -errno, "control socket %s: %m", c->path);
    memcpy(un.sun_path, c->path, sizeof(c->path));
    rc = connect(fd, (struct sockaddr *)&un, sizeof(un)) ? errno : 0;
    close(fd);
    if (rc != ECONNREFUSED && rc != ENOENT)
        return host_fail(err, -EADDRINUSE,
            "control socket %s belongs to a running program; stop it first, or set "
            "another "
            "path",
            c->path);
    if (unlink(c->path) && errno != ENOENT)
        return host_fail(
            err, -errno, "control socket: cannot remove the old %s: %m", c->path);
    return 0;
}

static void
drop_lock(struct control *c)
{
    if (c->lock_fd < 0)
        return;
    unlink(c->lock_path);
    close(c->lock_fd);
    c->lock_fd = -1;
}

static int
start(struct control *c, struct host_err *err)
{
    static const struct stream_calls calls = {
        .on_accept = on_accept, .on_data = on_data, .on_close = on_close};
    struct stream_conf sc = {
        .accept_max = c->clients_max, .mode = 0600, .write_max = c->write_max};
    struct stream_addr a = {0};
    int rc = make_directory(c->path, err);
    if (!rc)
        rc = take_lock(c, err);
    if (!rc)
        rc = remove_stale(c, err);
    if (rc)
        return rc;
    memcpy(a.path, c->path, sizeof(a.path));
    return stream_listen(&c->server, c->loop, &a, &sc, &calls, c, err);
}

int
control_open(struct control **out, struct loop *l, const struct control_conf *conf,
    const struct control_calls *calls, void *ctx, struct host_err *err)
{
    struct control *c;
    int rc;
    *out = NULL;
    if (conf->path[0] != '/' || strlen(conf->path) >= sizeof(c->path))
        return host_fail(err, -EINVAL,
            "control socket '%s': give an absolute path of at most 107 octets",
            conf->path);
    c = calloc(1, sizeof(*c));
    if (c) {
        c->clients_max = conf->clients_max ? conf->clients_max : CLIENTS_MAX;
        c->clients = calloc(c->clients_max, sizeof(*c->clients));
    }
    if (!c || !c->clients)
        abort();
    c->write_max = conf->write_max ? conf->write_max : WRITE_MAX;
    if (c->write_max < 2 * CONTROL_LINE_MAX)
        c->write_max = 2 * CONTROL_LINE_MAX;
    c->pipeline = conf->pipeline ? conf->pipeline : 1;
    c->loop = l;
    c->calls = *calls;
    c->ctx = ctx;
    c->lock_fd = -1;
    fifo_init(&c->waiting, sizeof(uint64_t));
    snprintf(c->path, sizeof(c->path), "%s", conf->path);
    snprintf(c->lock_path, sizeof(c->lock_path), "%s.lock", conf->path);
    rc = start(c, err);
    if (rc) {
        drop_lock(c);
        free(c->clients);
        free(c);
        return rc;
    }
    *out = c;
    return 0;
}

int
control_reply(struct control *c, uint64_t conn, const char *line)
{
    struct client *cl = client_find(c, conn);
    size_t n = strlen(line);
    int rc;
    if (!cl)
        return -ENOENT;
    if (memchr(line, '\n', n) || strncmp(line, END_MARK, sizeof(END_MARK) - 1) == 0)
        return -EINVAL;
    rc = put(cl, line, n);
    return rc ? rc : put(cl, "\n", 1);
}

int
control_last(struct control *c, uint64_t conn, const char *line)
{
    struct client *cl = client_find(c, conn);
    size_t n = strlen(line);
    int rc;
    if (!cl)
        return -ENOENT;
    if (memchr(line, '\n', n) || strncmp(line, END_MARK, sizeof(END_MARK) - 1) != 0)
        return -EINVAL;
    rc = put(cl, line, n);
    return request_done(cl, rc ? rc : put(cl, "\n", 1));
}

int
control_piece(struct control *c, uint64_t conn, const char *lines, size_t size)
{
    struct client *cl = client_find(c, conn);
    if (!cl)
        return -ENOENT;
    return size ? put(cl, lines, size) : 0;
}

void
control_wait(struct control *c, uint64_t conn)
{
    *(uint64_t *)fifo_push(&c->waiting) = conn;
}

bool
control_turn(struct control *c, uint64_t *conn, size_t *room)
{
    for (uint32_t n = c->waiting.n; n && fifo_pop(&c->waiting, conn); n--) {
        const struct client *cl = client_find(c, *conn);
        if (!cl)
            continue; /* gone */
        *room = stream_room(cl->s);
        if (*room >= CONTROL_LINE_MAX)
            return true;
        control_wait(c, *conn);
    }
    return false;
}

int
control_end(struct control *c, uint64_t conn, const char *error)
{
    struct client *cl = client_find(c, conn);
    return cl ? put_end(cl, error) : -ENOENT;
}

uint32_t
control_clients(const struct control *c)
{
    return c->n_clients;
}

void
control_close(struct control *c)
{
    if (!c)
        return;
    stream_server_close(c->server);
    for (uint32_t i = 0; i < c->clients_max; i++) {
        struct client *cl = &c->clients[i];
        if (!cl->s)
            continue;
        stream_close(cl->s);
        client_drop(cl);
    }
    unlink(c->path);
    drop_lock(c);
    fifo_done(&c->waiting);
    free(c->clients);
    free(c);
}

/* --- client side --- */

static uint64_t
clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* 0 when the fd is ready; silence longer than timeout_us is an error. */
static int
wait_for(int fd, short events, uint64_t timeout_us)
{
    uint64_t end = clock_us() + timeout_us;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        uint64_t now = clock_us();
        int ms = timeout_us == 0 ? -1
                 : now >= end    ? 0
                                 : (int)((end - now + 999) / 1000);
        int n = poll(&p, 1, ms);
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int
connect_to(const char *path, uint64_t timeout_us, struct host_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = (time_t)(timeout_us / 1000000),
        .tv_usec = (suseconds_t)(timeout_us % 1000000)};
    int fd, rc;
    if (strlen(path) >= sizeof(un.sun_path))
        return host_fail(err, -EINVAL, "control socket path is too long: %s", path);
    strcpy(un.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return host_fail(err, -errno, "cannot open a socket: %m");
    /* A daemon that is stopped lets the first few connect, and the others wait. */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
        return fd;
    rc = -errno;
    close(fd);
    if (rc == -EAGAIN)
        return host_fail(err, -ETIMEDOUT,
            "no answer from the daemon at %s: too many wait for it", path);
    return host_fail(err, rc, "cannot reach the daemon at %s: %m; %s", path,
        rc == -EACCES || rc == -EPERM
            ? "run as root or as the daemon's user"
            : "is it running, and is this its control socket?");
}

static int
send_request(int fd, const char *request, uint64_t timeout_us, struct host_err *err)
{
    size_t n = strlen(request), at = 0;
    char *line;
    int rc = 0;
    if (n + 1 > CONTROL_LINE_MAX || memchr(request, '\n', n))
        return host_fail(
            err, -EMSGSIZE, "the request is not one line of at most 64 kB");
    line = malloc(n + 1);
    if (!line)
        abort();
    memcpy(line, request, n);
    line[n++] = '\n';
    while (!rc && at < n) {
        ssize_t w = send(fd, line + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w > 0)
            at += (size_t)w;
        else if (errno == EAGAIN)
            rc = wait_for(fd, POLLOUT, timeout_us);
        else if (errno != EINTR)
            rc = -errno;
    }
    free(line);
    return rc ? host_fail(err, rc, "cannot send the request: %m") : 0;
}

/* The last line of an answer. */
static int
read_end(const char *line, size_t size, struct host_err *err)
{
    json_t *o = json_loadb(line, size, 0, NULL);
    const char *text = json_string_value(json_object_get(o, "error"));
    int rc = 0;
    if (!json_is_true(json_object_get(o, "ok")))
        rc = host_fail(err, -EREMOTEIO, "%s", text ? text : "the daemon refused");
    json_decref(o);
    return rc;
}

struct answer {
    char *text;
    size_t size, cap, scanned; /* scanned: no newline before here */
};

static void
answer_room(struct answer *a)
{
    if (a->cap - a->size >= STREAM_CHUNK)
        return;
    a->cap = a->cap ? a->cap * 2 : 2 * STREAM_CHUNK;
    a->text = realloc(a->text, a->cap);
    if (!a->text)
        abort();
}

/* Lines of what has come: 1 = the answer has ended (*rc), 0 = more is to come. */
static int
take_lines(
    struct answer *a, control_line_fn on_line, void *ctx, int *rc, struct host_err *err)
{
    char *at = a->text, *end = a->text + a->size, *nl;
    while ((nl = memchr(at + a->scanned, '\n', (size_t)(end - at) - a->scanned))) {
        size_t n = (size_t)(nl - at);
        *nl = '\0';
        a->scanned = 0;
        if (strncmp(at, END_MARK, sizeof(END_MARK) - 1) == 0) {
            *rc = read_end(at, n, err);
            return 1;
        }
        if (on_line && !on_line(ctx, at, n)) {
            *rc = 0;
            return 1;
        }
        at = nl + 1;
    }
    a->size = (size_t)(end - at);
    memmove(a->text, at, a->size);
    a->scanned = a->size;
    if (a->size > LINE_MAX_IN) {
        *rc = host_fail(err, -EMSGSIZE, "the daemon's answer has a line beyond 16 MB");
        return 1;
    }
    return 0;
}

int
control_call(const char *path, const char *request, control_line_fn on_line, void *ctx,
    uint64_t timeout_us, struct host_err *err)
{
    struct answer a = {0};
    int fd = connect_to(path, timeout_us, err), rc;
    if (fd < 0)
        return fd;
    rc = send_request(fd, request, timeout_us, err);
    while (!rc) {
        ssize_t n;
        rc = wait_for(fd, POLLIN, timeout_us);
        if (rc) {
            host_fail(err, rc, "no answer from the daemon at %s: %m", path);
            break;
        }
        answer_room(&a);
        n = recv(fd, a.text + a.size, a.cap - a.size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = host_fail(err, n < 0 ? -errno : -ECONNRESET,
                "the daemon at %s ended before its answer did; look at its log", path);
            break;
        }
        a.size += (size_t)n;
        if (take_lines(&a, on_line, ctx, &rc, err))
            break;
    }
    free(a.text);
    close(fd);
    return rc;
}
