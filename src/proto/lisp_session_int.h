/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lisp_session: the machine (lisp_session.c), its entries (lisp_session_entry.c)
 * and its verbs (lisp_session_verb.c). For these three files alone. */
#ifndef BERTH_PROTO_LISP_SESSION_INT_H
#define BERTH_PROTO_LISP_SESSION_INT_H
#include "proto/lisp_session.h"

#include "base/fsm.h"
#include "base/rng.h"

#define LISP_SESSION_STATES(X)                                                                      \
    X(IDLE)                                                                            \
    X(CONNECTING) X(GREETED) X(PROVED) X(UP) X(LISTENING) X(CHALLENGED) X(SERVING)      \
        X(ENDED)
#define LISP_SESSION_EVENTS(X)                                                                      \
    X(RETRY)                                                                           \
    X(CONNECTED) X(KEY) X(CHALLENGE) X(AUTH) X(WELCOME) X(DATA) X(FAIL) X(STOP)
#define LISP_SESSION_ACTIONS(X)                                                                     \
    X(CONNECT)                                                                         \
    X(SEND_HELLO) X(SEND_CHALLENGE) X(SEND_AUTH) X(SEND_WELCOME) X(COME_UP)           \
        X(DELIVER) X(RETRY_LATER) X(END)
#define E_STATE(n)  ST_##n,
#define E_EVENT(n)  EV_##n,
#define E_ACTION(n) ACT_##n,
#define E_NAME(n)   #n,
enum { LISP_SESSION_STATES(E_STATE) N_STATES };
enum { LISP_SESSION_EVENTS(E_EVENT) N_EVENTS };
enum { LISP_SESSION_ACTIONS(E_ACTION) N_ACTIONS };

struct lisp_session {
    bool server;
    struct lisp_dialect dialect;
    uint64_t settings[LISP_SESSION_N_SETTINGS];
    uint64_t incarnation;
    struct rng rng;
    struct fsm fsm;
    uint8_t state;
    /* handshake */
    struct lisp_rt_hello nve, nva; /* what each end has said of itself */
    uint8_t key[LISP_KEY_MAX];
    size_t key_size;
    bool keyless; /* it has said who it is, and waits for the key of that */
    struct lisp_rt_keys keys;
    bool sealed; /* frames carry tags, both ways */
    uint64_t tx_number, rx_number;
    /* time */
    uint64_t now, last_in, hold_us, keep_at, limit_at, retry_at, backoff;
    /* input: in[in_pos .. in_n), and the entries left of the current frame */
    uint8_t *in;
    size_t in_cap, in_n, in_pos;
    struct rd body;
    uint16_t body_type;
    uint64_t rx_seq, ack_to_send;
    /* output: out[out_pos .. out_n), the last frame perhaps open */
    uint8_t *out;
    size_t out_cap, out_n, out_pos, in_flight;
    bool open;
    size_t open_at;
    uint16_t open_type;
    uint32_t tx_id;
    uint64_t tx_seq, acked_seq;
    /* what output has to tell beside octets and entries */
    bool connected, want_connect, want_close, want_notice;
    uint8_t notice, notice_reason;
    uint64_t counters[LISP_SC_N];
};

/* Notify and member frames start with the sequence number of their first entry. */
bool lisp_session_is_numbered(uint16_t type);
/* Appends one entry to the open frame of its type. false: not up, not of this end, or the
 * backlog is at its bound (then the session was cut). */
bool lisp_session_say(struct lisp_session *s, uint16_t type, const struct wr *w);
void lisp_session_frame_close(struct lisp_session *s);
/* Makes the next entry of the current body into an event. */
enum lisp_err lisp_session_fill(struct lisp_session *s, struct lisp_session_event *ev);
#endif
