/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's conversation (doc/protocol/control.md), shared by the nodes: a
 * command is a table row; a listing is a walk with a cursor, made in pieces as its reader
 * takes them, so a hundred thousand rows never stand in memory at once. Pure: main owns
 * the socket. Pull ctl_rows_output until false after every call; texts live until the next. */
#ifndef BERTH_NODE_CTL_ROWS_H
#define BERTH_NODE_CTL_ROWS_H
#include "base/timers.h"
#include "wire/addr.h"
#include <jansson.h>
#include <stddef.h>

struct ctl_rows;
struct ctl_reader {                      /* one listing under way */
    uint64_t conn;
    json_t *args;                        /* the request */
    uint32_t it, it2;                    /* cursors, 0 at the start */
};
/* The next row (its reference goes over), NULL at the end. */
typedef json_t *(*ctl_next_fn)(void *node, struct ctl_reader *r);
typedef void (*ctl_run_fn)(void *node, uint64_t conn, json_t *args);
struct ctl_command {                     /* either lists, or runs and answers by itself */
    const char *name;
    ctl_next_fn list;
    ctl_run_fn run;
};
/* last: MORE = ask for the rest by ctl_rows_more; ERROR = p is the
 * sentence that says why, with a NUL after it. */
enum ctl_last { CTL_MORE, CTL_OK, CTL_ERROR };
struct ctl_answer {
    uint64_t conn;
    uint8_t last;
    const uint8_t *p;
    uint32_t size;
};

/* commands ends with a row whose name is NULL. "log" is known to every node. */
struct ctl_rows *ctl_rows_new(const char *program, const struct ctl_command *commands, void *node);
void ctl_rows_free(struct ctl_rows *c);
void ctl_rows_request(struct ctl_rows *c, uint64_t conn, const uint8_t *p, uint32_t size);
void ctl_rows_more(struct ctl_rows *c, uint64_t conn, uint32_t room);
void ctl_rows_gone(struct ctl_rows *c, uint64_t conn);
bool ctl_rows_output(struct ctl_rows *c, struct ctl_answer *out);

/* For ctl_run_fn, then or later; each ends the answer but a listing. */
void ctl_rows_ok(struct ctl_rows *c, uint64_t conn);
void ctl_rows_fail(struct ctl_rows *c, uint64_t conn, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void ctl_rows_one(struct ctl_rows *c, uint64_t conn, json_t *row); /* then ok: one row */
void ctl_rows_list(struct ctl_rows *c, uint64_t conn, json_t *args, ctl_next_fn next);
/* A listing that starts when ctl_rows_more is called by the node itself: data must come first. */
bool ctl_rows_list_later(struct ctl_rows *c, uint64_t conn, json_t *args, ctl_next_fn next);

/* Words of rows. Keys are stable: add, never rename. */
double ctl_rows_seconds(uint64_t us);
json_t *ctl_rows_epoch(uint64_t epoch);       /* decimal text */
json_t *ctl_rows_mac(const struct mac *m);
json_t *ctl_rows_ip(const struct ip *ip);     /* null when none */
json_t *ctl_rows_ips(const struct ip *ips, uint8_t n);
const char *ctl_rows_arp_word(uint8_t arp);
int ctl_rows_arp_parse(const char *word);     /* -1: not one */
/* Does the row have what the request names under these keys (NULL-terminated)? "ip" looks
 * into "ips". A row that does not is released: take the next one. */
bool ctl_rows_fits(const struct ctl_reader *r, json_t *row, const char *const *keys);
json_t *ctl_rows_counter(const char *group, const char *name, uint64_t value, const char *help);
json_t *ctl_rows_setting(const struct setting *s, uint64_t value);    /* 0 = the default */
json_t *ctl_rows_ping(const char *program, const char *name, uint64_t uptime_us);
#endif
