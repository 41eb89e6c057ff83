/* SPDX-License-Identifier: Apache-2.0 */
/* A stream that fails is only marked; on_close runs as a deferred call of the loop, so
 * no function here calls back into the owner that is calling it. Likewise memory: a
 * stream that its owner closes (maybe inside a callback) is freed by the deferred call.
 */
#include "host/stream.h"
#include "host/loop.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WRITE_MAX   (1u << 20)
#define ACCEPT_MAX  1024
#define ACCEPT_TURN 64 /* accepted per turn */
#define CONNECT_US  5000000
#define DEAD_US     10000000

union sock_addr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

enum stream_state { CONNECTING, CONNECTED, OPEN, FAILED, CLOSED };

struct stream {
    struct loop *loop;
    int fd;
    enum stream_state state;
    struct loop_watch *watch;
    struct loop_timer *timer; /* connect timeout */
    struct loop_call flush, later;
    struct stream_server *server;
    struct stream_conf conf;
    struct stream_calls calls;
    void *ctx;
    struct stream_addr peer;
    bool paused, want_room;
    int code; /* of a FAILED stream */
    const char *why;
    uint8_t *out; /* waiting: [head, head+size) of cap */
    size_t head, size, cap;
};

struct stream_server {
    struct loop *loop;
    int fd, spare_fd;
    struct loop_watch *watch;
    struct loop_call later;
    struct stream_conf conf;
    struct stream_calls calls;
    void *ctx;
    struct stream_addr addr;
    uint32_t n; /* streams that point here */
    bool closed;
};

bool
stream_addr_parse(const char *text, struct stream_addr *a)
{
    const char *colon, *host;
    bool is_unix = strncmp(text, "unix:", 5) == 0;
    char buf[IP_STR + 2], *end;
    size_t n;
    unsigned long port;
    memset(a, 0, sizeof(*a));
    if (is_unix)
        text += 5;
    if (*text == '/') {
        if (strlen(text) >= sizeof(a->path))
            return false;
        strcpy(a->path, text);
        return true;
    }
    host = text;
    colon = strrchr(text, ':');
    if (is_unix || !colon || colon[1] < '0' || colon[1] > '9')
        return false;
    n = (size_t)(colon - text);
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        host++;
        n -= 2;
    } else if (memchr(text, ':', n)) {
        return false; /* IPv6 needs its brackets */
    }
    if (n >= sizeof(buf))
        return false;
    memcpy(buf, host, n);
    buf[n] = '\0';
    if (n && strcmp(buf, "*") != 0 && !ip_parse(buf, &a->ip))
        return false;
    port = strtoul(colon + 1, &end, 10);
    a->port = (uint16_t)port;
    return !*end && port <= UINT16_MAX;
}

const char *
stream_addr_str(const struct stream_addr *a, char *text)
{
    char ip[IP_STR];
    if (a->path[0])
        snprintf(text, STREAM_ADDR_STR, "%s", a->path);
    else if (ip_is_none(&a->ip))
        snprintf(text, STREAM_ADDR_STR, "*:%u", a->port);
    else
        snprintf(text, STREAM_ADDR_STR, ip_is_v4(&a->ip) ? "%s:%u" : "[%s]:%u",
            ip_str(&a->ip, ip), a->port);
    return text;
}

static socklen_t
addr_set(union sock_addr *s, const struct stream_addr *a)
{
    memset(s, 0, sizeof(*s));
    if (a->path[0]) {
        s->un.sun_family = AF_UNIX;
        memcpy(s->un.sun_path, a->path, sizeof(a->path));
        return sizeof(s->un);
    }
    if (!ip_is_none(&a->ip) && ip_is_v4(&a->ip)) {
        s->in.sin_family = AF_INET;
        s->in.sin_port = htons(a->port);
        s->in.sin_addr.s_addr = htonl(ip_to_v4(&a->ip));
        return sizeof(s->in);
    }
    s->in6.sin6_family = AF_INET6;
    s->in6.sin6_port = htons(a->port);
    memcpy(&s->in6.sin6_addr, a->ip.b, 16);
    return sizeof(s->in6);
}

static void
addr_get(const union sock_addr *s, struct stream_addr *a)
{
    memset(a, 0, sizeof(*a));
    if (s->sa.sa_family == AF_INET) {
        a->ip = ip_v4(ntohl(s->in.sin_addr.s_addr));
        a->port = ntohs(s->in.sin_port);
    } else if (s->sa.sa_family == AF_INET6) {
        memcpy(a->ip.b, &s->in6.sin6_addr, 16);
        a->port = ntohs(s->in6.sin6_port);
    }
}

static void
set_tcp_options(int fd, uint64_t dead_us)
{
    int on = 1, probes = 3;
    unsigned dead_ms = (unsigned)(dead_us / 1000);
    int idle = (int)(dead_us / 2000000), each = (int)(dead_us / 6000000);
    if (idle < 1)
        idle = 1;
    if (each < 1)
        each = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &each, sizeof(each));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
}

static struct stream_conf
conf_of(const struct stream_conf *conf)
{
    struct stream_conf c = {0};
    if (conf)
        c = *conf;
    if (!c.write_max)
        c.write_max = WRITE_MAX;
    if (!c.accept_max)
        c.accept_max = ACCEPT_MAX;
    if (!c.connect_us)
        c.connect_us = CONNECT_US;
    if (!c.dead_us)
        c.dead_us = DEAD_US;
    if (!c.mode)
        c.mode = 0600;
    return c;
}

static void
server_free(struct stream_server *sv)
{
    if (sv->closed && sv->n == 0)
        loop_later(sv->loop, &sv->later); /* maybe inside its accept loop */
}

static void
on_server_later(void *ctx)
{
    free(ctx);
}

/* The descriptor goes at once; the memory with the deferred call. */
static void
release(struct stream *s)
{
    loop_unwatch(s->watch);
    loop_timer_free(s->timer);
    loop_call_cancel(&s->flush);
    if (s->fd >= 0)
        close(s->fd);
    free(s->out);
    s->watch = NULL;
    s->timer = NULL;
    s->fd = -1;
    s->out = NULL;
    s->head = s->size = s->cap = 0;
    if (s->server) {
        s->server->n--;
        server_free(s->server);
        s->server = NULL;
    }
}

static void
set_events(struct stream *s)
{
    int ev = 0;
    if (s->state == CONNECTING)
        ev = LOOP_OUT;
    else if (s->state == OPEN)
        ev = (s->paused ? 0 : LOOP_IN) | (s->size ? LOOP_OUT : 0);
    if (s->watch)
        loop_watch_events(s->watch, ev);
}

static void
fail(struct stream *s, int code, const char *why)
{
    if (s->state == FAILED || s->state == CLOSED)
        return;
    s->state = FAILED;
    s->code = code;
    s->why = why;
    loop_unwatch(s->watch);
    s->watch = NULL;
    loop_later(s->loop, &s->later);
}

/* Writes what the socket takes. */
static void
drain(struct stream *s)
{
    while (s->size) {
        ssize_t n = send(s->fd, s->out + s->head, s->size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            fail(s, -errno, "write failed");
            return;
        }
        s->head += (size_t)n;
        s->size -= (size_t)n;
    }
    if (!s->size) {
        s->head = 0;
        if (s->cap > STREAM_CHUNK) { /* a burst's buffer is not kept */
            free(s->out);
            s->out = NULL;
            s->cap = 0;
        }
    }
    if (s->want_room && s->size <= s->conf.write_max / 2)
        loop_later(s->loop, &s->later);
}

static void
on_flush(void *ctx)
{
    struct stream *s = ctx;
    if (s->state != OPEN)
        return;
    drain(s);
    set_events(s);
}

static void
on_later(void *ctx)
{
    struct stream *s = ctx;
    switch (s->state) {
    case CONNECTING:
        break;
    case CONNECTED:
        s->state = OPEN;
        set_events(s);
        if (s->size)
            loop_flush(s->loop, &s->flush);
        s->calls.on_open(s->ctx, s);
        break;
    case OPEN:
        if (s->want_room && s->size <= s->conf.write_max / 2) {
            s->want_room = false;
            if (s->calls.on_room)
                s->calls.on_room(s->ctx, s);
        }
        break;
    case FAILED:
        s->state = CLOSED;
        release(s);
        s->calls.on_close(s->ctx, s, s->code, s->why);
        loop_call_cancel(&s->later);
        free(s);
        break;
    case CLOSED:
        free(s);
        break;
    }
}

static int
socket_error(const struct stream *s)
{
    int e = 0;
    socklen_t n = sizeof(e);
    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &n) ? errno : e;
}

static void
on_connected(struct stream *s)
{
    int e = socket_error(s);
    if (e) {
        fail(s, -e, "cannot connect");
        return;
    }
    loop_timer_free(s->timer);
    s->timer = NULL;
    s->state = CONNECTED;
    set_events(s);
    loop_later(s->loop, &s->later);
}

static void
on_event(void *ctx, int events)
{
    struct stream *s = ctx;
    uint8_t chunk[STREAM_CHUNK];
    ssize_t n;
    if (s->state == CONNECTING) {
        on_connected(s);
        return;
    }
    if (s->state != OPEN)
        return;
    if (events & LOOP_OUT) {
        drain(s);
        set_events(s);
    }
    if (s->state != OPEN || !(events & LOOP_IN))
        return;
    if (s->paused) { /* not asked for: an error woke us */
        int e = socket_error(s);
        if (e)
            fail(s, -e, "connection lost");
        return;
    }
    n = recv(s->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n > 0) {
        s->calls.on_data(s->ctx, s, chunk, (size_t)n); /* may close s */
        return;
    }
    if (n == 0) {
        drain(s);
        fail(s, 0, "closed by peer");
    } else if (errno != EAGAIN && errno != EINTR) {
        int e = errno;
        fail(s, -e, e == ETIMEDOUT ? "peer is silent" : "connection lost");
    }
}

static void
on_connect_timeout(void *ctx)
{
    fail(ctx, -ETIMEDOUT, "connect timed out");
}

static struct stream *
stream_new(struct loop *l, int fd, const struct stream_conf *conf,
    const struct stream_calls *calls)
{
    struct stream *s = calloc(1, sizeof(*s));
    if (!s)
        abort();
    s->loop = l;
    s->fd = fd;
    s->conf = *conf;
    s->calls = *calls;
    s->flush = (struct loop_call){.fn = on_flush, .ctx = s};
    s->later = (struct loop_call){.fn = on_later, .ctx = s};
    return s;
}

static void
accepted(struct stream_server *sv, int fd, const union sock_addr *from)
{
    struct stream *s = stream_new(sv->loop, fd, &sv->conf, &sv->calls);
    s->server = sv;
    sv->n++;
    s->state = OPEN;
    if (sv->addr.path[0])
        s->peer = sv->addr;
    else
        addr_get(from, &s->peer);
    if (!sv->addr.path[0])
        set_tcp_options(fd, sv->conf.dead_us);
    if (loop_watch(sv->loop, fd, LOOP_IN, on_event, s, &s->watch, NULL)) {
        s->state = CLOSED;
        release(s);
        free(s);
        return;
    }
    s->ctx = sv->calls.on_accept(sv->ctx, s);
    if (!s->ctx && s->state != CLOSED)
        stream_close(s);
}

static void
on_accept(void *ctx, int events)
{
    struct stream_server *sv = ctx;
    (void)events;
    for (int i = 0; i < ACCEPT_TURN && !sv->closed; i++) {
        union sock_addr from;
        socklen_t n = sizeof(from);
        int fd = accept4(sv->fd, &from.sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && sv->n >= sv->conf.accept_max) {
            close(fd);
        } else if (fd >= 0) {
            accepted(sv, fd, &from);
        } else if ((errno == EMFILE || errno == ENFILE) && sv->spare_fd >= 0) {
            /* No descriptor left: refuse the caller with the spare one, or the
             * listening socket would wake us for ever. */
            close(sv->spare_fd);
            fd = accept(sv->fd, NULL, NULL);
            if (fd >= 0)
                close(fd);
            sv->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static int
listen_on(struct stream_server *sv, struct host_err *err)
{
    char text[STREAM_ADDR_STR];
    bool is_unix = sv->addr.path[0] != '\0';
    union sock_addr a;
    socklen_t n = addr_set(&a, &sv->addr);
    int on = 1, off = 0;
    sv->fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sv->fd < 0)
        return host_fail(err, -errno, "%s: cannot open a socket: %m",
            stream_addr_str(&sv->addr, text));
    if (!is_unix)
        setsockopt(sv->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a.sa.sa_family == AF_INET6)
        setsockopt(sv->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(sv->fd, &a.sa, n)) {
        int rc = -errno;
        return host_fail(err, rc, "cannot listen on %s: %m; %s",
            stream_addr_str(&sv->addr, text),
            rc == -EADDRINUSE ? "another program has it (ss -lntxp)"
                              : "check the address and the rights on it");
    }
    /* Before listen(), so nobody comes in by a wider mode. */
    if (is_unix && chmod(sv->addr.path, sv->conf.mode))
        return host_fail(err, -errno, "%s: cannot set the mode: %m", sv->addr.path);
    if (listen(sv->fd, 512))
        return host_fail(
            err, -errno, "cannot listen on %s: %m", stream_addr_str(&sv->addr, text));
    return 0;
}

int
stream_listen(struct stream_server **out, struct loop *l, const struct stream_addr *a,
    const struct stream_conf *conf, const struct stream_calls *calls, void *ctx,
    struct host_err *err)
{
    struct stream_server *sv = calloc(1, sizeof(*sv));
    int rc;
    *out = NULL;
    if (!sv)
        abort();
    sv->loop = l;
    sv->conf = conf_of(conf);
    sv->calls = *calls;
    sv->ctx = ctx;
    sv->addr = *a;
    sv->later = (struct loop_call){.fn = on_server_later, .ctx = sv};
    sv->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rc = listen_on(sv, err);
    if (!rc)
        rc = loop_watch(l, sv->fd, LOOP_IN, on_accept, sv, &sv->watch, err);
    if (rc) {
        stream_server_close(sv);
        return rc;
    }
    *out = sv;
    return 0;
}

uint16_t
stream_server_port(const struct stream_server *sv)
{
    union sock_addr s;
    struct stream_addr a;
    socklen_t n = sizeof(s);
    if (getsockname(sv->fd, &s.sa, &n))
        return 0;
    addr_get(&s, &a);
    return a.port;
}

uint32_t
stream_server_count(const struct stream_server *sv)
{
    return sv->n;
}

void
stream_server_close(struct stream_server *sv)
{
    if (!sv || sv->closed)
        return;
    sv->closed = true;
    loop_unwatch(sv->watch);
    if (sv->fd >= 0)
        close(sv->fd);
    if (sv->spare_fd >= 0)
        close(sv->spare_fd);
    server_free(sv);
}

int
stream_connect(struct stream **out, struct loop *l, const struct stream_addr *a,
    const struct stream_conf *conf, const struct stream_calls *calls, void *ctx,
    struct host_err *err)
{
    char text[STREAM_ADDR_STR];
    struct stream_conf c = conf_of(conf);
    struct stream *s;
    union sock_addr to, from;
    socklen_t n = addr_set(&to, a);
    int rc, fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *out = NULL;
    if (fd < 0)
        return host_fail(
            err, -errno, "%s: cannot open a socket: %m", stream_addr_str(a, text));
    if (!a->path[0])
        set_tcp_options(fd, c.dead_us);
    if (!a->path[0] && !ip_is_none(&c.local)) {
        struct stream_addr local = {.ip = c.local};
        if (bind(fd, &from.sa, addr_set(&from, &local))) {
            rc = host_fail(err, -errno,
                "cannot connect from %s: %m; give this host the address",
                ip_str(&c.local, text));
            close(fd);
            return rc;
        }
    }
    s = stream_new(l, fd, &c, calls);
    s->ctx = ctx;
    s->peer = *a;
    s->state = CONNECTING;
    rc = loop_watch(l, fd, 0, on_event, s, &s->watch, err);
    if (rc) {
        release(s);
        free(s);
        return rc;
    }
    s->timer = loop_timer_new(l, on_connect_timeout, s);
    if (connect(fd, &to.sa, n) == 0) {
        s->state = CONNECTED;
        loop_later(l, &s->later);
    } else if (errno == EINPROGRESS) {
        loop_timer_set(s->timer, loop_now_fresh(l) + c.connect_us);
        set_events(s);
    } else {
        fail(s, -errno, "cannot connect");
    }
    *out = s;
    return 0;
}

/* Room for `more` octets behind what waits: move to the front, or grow. */
static void
make_space(struct stream *s, size_t more)
{
    if (s->head + s->size + more <= s->cap)
        return;
    if (s->head >= s->cap / 2 && s->head) { /* seldom enough to cost little */
        memmove(s->out, s->out + s->head, s->size);
        s->head = 0;
    }
    if (s->head + s->size + more > s->cap) {
        size_t cap = s->cap ? s->cap : 4096;
        while (cap < s->head + s->size + more)
            cap *= 2;
        s->out = realloc(s->out, cap);
        if (!s->out)
            abort();
        s->cap = cap;
    }
}

int
stream_write(struct stream *s, const void *data, size_t size)
{
    if (s->state == FAILED || s->state == CLOSED)
        return -EPIPE;
    if (s->size + size > s->conf.write_max && s->state == OPEN)
        drain(s); /* a burst of one step, the peer may well read */
    if (s->state == FAILED)
        return -EPIPE;
    if (s->size + size > s->conf.write_max) {
        fail(s, -ENOBUFS, "peer does not read");
        return -ENOBUFS;
    }
    make_space(s, size);
    memcpy(s->out + s->head + s->size, data, size);
    s->size += size;
    if (s->state == OPEN)
        loop_flush(s->loop, &s->flush);
    return 0;
}

size_t
stream_room(struct stream *s)
{
    if (s->size > s->conf.write_max / 2)
        s->want_room = true;
    return s->conf.write_max - s->size;
}

size_t
stream_waiting(const struct stream *s)
{
    return s->size;
}

void
stream_pause(struct stream *s, bool pause)
{
    s->paused = pause;
    set_events(s);
}

const struct stream_addr *
stream_peer(const struct stream *s)
{
    return &s->peer;
}

int
stream_peer_uid(const struct stream *s, uid_t *uid)
{
    struct ucred c;
    socklen_t n = sizeof(c);
    if (!s->peer.path[0])
        return -EOPNOTSUPP;
    if (getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &c, &n))
        return -errno;
    *uid = c.uid;
    return 0;
}

void
stream_close(struct stream *s)
{
    if (!s || s->state == CLOSED)
        return;
    if (s->state == OPEN)
        drain(s);
    s->state = CLOSED;
    release(s);
    loop_later(s->loop, &s->later);
}
