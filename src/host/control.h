/* SPDX-License-Identifier: Apache-2.0 */
/* The local control socket: JSON lines over a unix stream, mode 0600, for uid 0 and the
 * daemon's own uid. A request is one object on one line of at most 64 kB; its answer is
 * any number of lines and then, always, `{"ok":true}` or `{"ok":false,"error":"..."}`.
 * No other answer line begins with `{"ok":`. Requests of one client are answered one by
 * one. */
#ifndef BERTH_HOST_CONTROL_H
#define BERTH_HOST_CONTROL_H
#include "host/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_LINE_MAX 65536 /* octets, newline included */

struct loop;
struct control;
struct control_conf {
    const char *path;     /* its directory is made (0755) if missing */
    uint32_t clients_max; /* 0: 64 */
    uint32_t pipeline;    /* open requests of one client; 0: 1, one by one */
    uint32_t write_max;   /* octets waiting per client; 0: 256 kB, >= 128 kB */
};
struct control_calls {
    /* `line` is NUL ended, without newline. conn is never used twice. Answer now or
     * later. */
    void (*on_request)(void *ctx, uint64_t conn, char *line, size_t size);
    /* The client went away while its answer was not ended. May be NULL. */
    void (*on_gone)(void *ctx, uint64_t conn);
};
/* A dead daemon's socket is taken over, a live one's refused: -EADDRINUSE. */
int control_open(struct control **out, struct loop *l, const struct control_conf *conf,
    const struct control_calls *calls, void *ctx, struct host_err *err);
/* One answer line (newline is added). -ENOENT: client gone; -ENOBUFS: client does not
 * read, it will be dropped; -EINVAL: not one line, or a line that would end the answer.
 */
int control_reply(struct control *c, uint64_t conn, const char *line);
/* Ends the answer. error NULL = ok. */
int control_end(struct control *c, uint64_t conn, const char *error);
/* The same with the answer's last line as the daemon made it; it begins with `{"ok":`.
 */
int control_last(struct control *c, uint64_t conn, const char *line);
/* A long answer is made as the client reads: a piece of whole lines (newlines included;
 * none of them ends the answer), then control_wait, and the next piece when
 * control_turn tells whose turn it is. */
int control_piece(struct control *c, uint64_t conn, const char *lines, size_t size);
void control_wait(struct control *c, uint64_t conn);
/* Who waits and has room for a longest line at least; it waits no longer. Call it until
 * it is false in each step of the loop: a client that has read wakes the loop. */
bool control_turn(struct control *c, uint64_t *conn, size_t *room);
uint32_t control_clients(const struct control *c);
void control_close(struct control *c); /* removes the socket */

/* Client side, blocking: for the command line. on_line gets each answer line but the
 * last and may return false to stop. 0 = ok; -EREMOTEIO = the daemon answered with an
 * error (its text in err); -ETIMEDOUT = nothing came for timeout_us (0: wait for ever);
 * other -errno. */
typedef bool (*control_line_fn)(void *ctx, char *line, size_t size);
int control_call(const char *path, const char *request, control_line_fn on_line,
    void *ctx, uint64_t timeout_us, struct host_err *err);
#endif
