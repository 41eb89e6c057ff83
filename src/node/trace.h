/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to each VM, as one node saw it: the latest events, of each VM and each
 * source a bounded share, filled where messages pass the node's adapters, listed by the
 * control command `trace`. It
 * answers "who said what when" after the fact and decides nothing. Pure: now_us is an
 * argument, and the time of day is that plus `wall_us`, which whoever has a clock
 * measured once at the start. */
#ifndef BERTH_NODE_TRACE_H
#define BERTH_NODE_TRACE_H
#include "core/mapping.h"
#include "node/ctl_rows.h"

#define TRACE_EVENTS 16384 /* kept by default; the oldest goes */

/* symbol, word in rows (stable), sentence */
#define TRACE_EVENTS_TABLE(X)                                                          \
    X(COMMAND, "command", "told by the hypervisor or the operator")                    \
    X(RESULT, "result", "command answered")                                            \
    X(HYPERVISOR, "hypervisor", "event of the hypervisor")                             \
    X(FRAMES, "frames", "what the VM's frames may do at the server")                   \
    X(REQUEST, "request", "server's request taken")                                    \
    X(ANSWER, "answer", "request answered")                                            \
    X(NOTICE, "notice", "server told")                                                 \
    X(RESERVE, "reserve", "epoch asked for")                                           \
    X(GRANTED, "granted", "epoch reserved")                                            \
    X(RESERVED, "reserved", "told that an epoch is reserved elsewhere")                \
    X(REGISTER, "register", "mapping registered")                                      \
    X(REGISTERED, "registered", "registration accepted")                               \
    X(REFUSED, "refused", "refused by the authority")                                  \
    X(WITHDRAW, "withdraw", "mapping withdrawn")                                       \
    X(TOLD, "told", "subscriber told of the mapping")                                  \
    X(MAPPED, "mapped", "heard of the mapping")                                        \
    X(UNMAPPED, "unmapped", "heard that the mapping is gone")                          \
    X(CONFIRMED, "confirmed", "every subscriber forwards")                             \
    X(LOCAL, "local", "frames go to the local port")                                   \
    X(REMOTE, "remote", "frames go to another edge")                                   \
    X(RELAY, "relay", "late frames are relayed")                                       \
    X(FORGOTTEN, "forgotten", "no place known for frames")                             \
    X(HOLD, "hold", "frames wait")                                                     \
    X(RELEASE, "release", "waiting frames sent on, in order")                          \
    X(DISCARD, "discard", "waiting frames dropped")                                    \
    X(HELD, "held", "all that waited has left the queue")                              \
    X(RELAYED, "relayed", "frames of another edge had to be relayed")                  \
    X(REDIRECT, "redirect", "another edge told to ask again")                          \
    X(REDIRECTED, "redirected", "told to ask the authority again")
enum trace_what {
#define X(sym, word, help) TRACE_##sym,
    TRACE_EVENTS_TABLE(X)
#undef X
        TRACE_N
};
struct trace_event {
    uint64_t at_us, epoch, migration_id;
    uint64_t print;  /* vsiid_print where only that is known; or 0 */
    struct vsiid id; /* format 0: not known */
    struct mac mac;
    uint8_t what, tns;        /* enum trace_what; tns: op and code below are set */
    uint8_t op, code;         /* enum tns_op, enum tns_code */
    uint32_t vni, port, vid;  /* 0: not known */
    uint32_t ref;             /* of a question to the authority; 0: none */
    uint32_t source;          /* who made it happen: a port, an NVE; 0: not known */
    uint64_t frames, dropped; /* of RELEASE, DISCARD, RELAYED */
    struct ip peer;
    const char *word; /* constant text beside: a state, a reason; or NULL */
};

struct trace;
struct trace *trace_new(uint32_t max, uint64_t wall_us); /* max: events kept */
void trace_free(struct trace *t);
/* A fresh event, zeroed but for what and at_us, valid until the next. */
struct trace_event *trace_add(struct trace *t, enum trace_what what, uint64_t now_us);
struct trace_event *trace_rec(struct trace *t, enum trace_what what,
    const struct mapping_rec *rec,
    uint64_t now_us); /* filled from a mapping; peer: owner */
/* The next row of a listing for a reader whose request names "vsi", or "keys": an array
 * of "VNI/MAC"; either fits. program, name: who we are. self: our underlay address, or
 * NULL. */
json_t *trace_row(struct trace *t, struct ctl_reader *r, const char *program,
    const char *name, const struct ip *self);
/* What is wrong with such a request, for people; NULL: nothing. */
const char *trace_fault(const json_t *args);
/* The same of one event that is not kept; NULL: it is not what the reader wants. */
json_t *trace_row_of(const struct trace *t, const struct ctl_reader *r,
    const struct trace_event *ev, const char *program, const char *name,
    const struct ip *self);
/* The latest event with this ref among the last `among`; NULL: none. */
const struct trace_event *trace_ref(struct trace *t, uint32_t ref, uint32_t among);
const char *trace_word(uint8_t what);
#endif
