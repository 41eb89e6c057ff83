/* SPDX-License-Identifier: Apache-2.0 */
/* TCP and unix byte streams. Writes gather and leave after the step in one call. A peer
 * that does not read is closed when the write bound is passed, so memory is bounded. A
 * dead TCP peer is found by keepalive and TCP_USER_TIMEOUT. */
#ifndef BERTH_HOST_STREAM_H
#define BERTH_HOST_STREAM_H
#include "host/error.h"
#include "wire/addr.h"
#include <sys/types.h>

#define STREAM_CHUNK    65536 /* most octets of one on_data */
#define STREAM_ADDR_STR 112

struct loop;
struct stream;
struct stream_server;
struct stream_addr {
    char path[108]; /* unix when not empty, else ip and port */
    struct ip ip;
    uint16_t port;
};
struct stream_conf {
    uint32_t write_max;  /* octets waiting to be written; 0: 1 MB */
    uint32_t accept_max; /* streams of one server; 0: 1024. More are refused */
    uint64_t connect_us; /* 0: 5 s */
    uint64_t dead_us;    /* TCP: silent peer given up; 0: 10 s */
    struct ip local;     /* connect from; none: the kernel picks */
    mode_t mode;         /* of a unix listener; 0: 0600 */
};
struct stream_calls {
    /* Server: a new stream; returns its own ctx for the calls below, NULL refuses it.
     */
    void *(*on_accept)(void *server_ctx, struct stream *s);
    void (*on_open)(void *ctx, struct stream *s); /* connected */
    void (*on_data)(void *ctx, struct stream *s, const uint8_t *data, size_t size);
    /* After a stream_room() below half the bound: half is free again. May be NULL. */
    void (*on_room)(void *ctx, struct stream *s);
    /* Once, unless the owner closed: code 0 = the peer ended, else -errno (-ETIMEDOUT,
     * -ENOBUFS = peer does not read, ...). s is gone when this returns; do not close
     * it. */
    void (*on_close)(void *ctx, struct stream *s, int code, const char *why);
};

/* "127.0.0.1:80", "[::1]:80", "unix:/path" or "/path". */
bool stream_addr_parse(const char *text, struct stream_addr *a);
const char *stream_addr_str(const struct stream_addr *a, char *text);

int stream_listen(struct stream_server **out, struct loop *l,
    const struct stream_addr *a, const struct stream_conf *conf,
    const struct stream_calls *calls, void *ctx, struct host_err *err);
uint16_t stream_server_port(const struct stream_server *sv);
uint32_t stream_server_count(const struct stream_server *sv);
/* Accepted streams live on, with their own ctx. A unix path is not removed. */
void stream_server_close(struct stream_server *sv);

/* Returns at once; on_open or on_close tells. */
int stream_connect(struct stream **out, struct loop *l, const struct stream_addr *a,
    const struct stream_conf *conf, const struct stream_calls *calls, void *ctx,
    struct host_err *err);
/* Copies. -ENOBUFS: over the bound, the stream will be closed (on_close tells); -EPIPE
 * when it is closing already. */
int stream_write(struct stream *s, const void *data, size_t size);
size_t stream_room(struct stream *s); /* octets until the bound */
size_t stream_waiting(const struct stream *s);
void stream_pause(struct stream *s, bool pause); /* stop reading (flow control) */
const struct stream_addr *stream_peer(const struct stream *s);
int stream_peer_uid(const struct stream *s, uid_t *uid); /* unix only */
/* Writes what is waiting if the socket takes it, then ends. No callback follows. */
void stream_close(struct stream *s);
#endif
