/* SPDX-License-Identifier: Apache-2.0 */
/* LISP over UDP at an NVE: asks on a miss (RFC 9301 clause 5.3), answers what the
 * authority routes here in distributed mode (S4-32), gives and takes SMRs (clause 6.1, D5).
 * Questions go as ECM to the map resolver. At most one packet per second and key; tables
 * are bounded; a reply counts only with its nonce and EID. It decides nothing.
 *
 * Pull lisp_pull_output until false after every call. Contents live until the next call. */
#ifndef BERTH_PROTO_LISP_PULL_H
#define BERTH_PROTO_LISP_PULL_H
#include "base/timers.h"
#include "wire/lisp.h"

enum lisp_pull_setting { LISP_PULL_RETRY_US, LISP_PULL_TRIES, LISP_PULL_MAX, LISP_PULL_SMR_US,
    LISP_PULL_SMR_MAX, LISP_PULL_SMR_IN, LISP_PULL_N_SETTINGS };
extern const struct setting lisp_pull_settings[LISP_PULL_N_SETTINGS];   /* K19 */

struct lisp_pull_conf {
    struct ip self;                      /* our RLOC: the ITR-RLOC of questions */
    uint16_t port;                       /* our UDP port: replies come to it */
    struct ip server;                    /* map resolver */
    uint16_t server_port;                /* 0 = LISP_PORT */
    uint64_t seed;                       /* nonces, hash */
    struct lisp_dialect dialect;
    uint64_t settings[LISP_PULL_N_SETTINGS];     /* 0 = default */
};
enum lisp_pull_verdict {
    LISP_PULL_ASKED,                     /* a question goes out; an ANSWER or TIMEOUT follows */
    LISP_PULL_PENDING,                   /* asked already: the same answer serves */
    LISP_PULL_LIMITED,                   /* answered less than a second ago */
    LISP_PULL_FULL                       /* too many questions are open */
};
enum lisp_pull_out_type {
    LISP_POUT_SEND,                      /* to, port, bytes */
    LISP_POUT_ANSWER,                    /* eid, record: n_rlocs > 0 */
    LISP_POUT_NEGATIVE,                  /* eid, record: act and ttl_min say what and how long */
    LISP_POUT_TIMEOUT,                   /* eid */
    LISP_POUT_QUESTION,                  /* question: reply with lisp_pull_reply, or not at all */
    LISP_POUT_SMR                        /* eid, from: ask the authority before believing (D5); who
                                          * sent it is not proven */
};
struct lisp_pull_question {              /* a value: may be kept and answered later */
    struct lisp_eid eid;
    uint64_t nonce;
    struct ip to;                        /* where the reply goes */
    uint16_t port;
    bool probe;
};
struct lisp_pull_out {
    uint8_t type;                        /* enum lisp_pull_out_type */
    struct ip to, from;
    uint16_t port;
    const uint8_t *bytes;
    size_t size;
    struct lisp_eid eid;
    struct lisp_record record;
    struct lisp_pull_question question;
};
struct lisp_pull;
struct lisp_pull *lisp_pull_new(const struct lisp_pull_conf *conf, uint64_t now_us);
void lisp_pull_free(struct lisp_pull *p);
uint64_t lisp_pull_deadline(const struct lisp_pull *p);
void lisp_pull_tick(struct lisp_pull *p, uint64_t now_us);
bool lisp_pull_output(struct lisp_pull *p, struct lisp_pull_out *out);

enum lisp_pull_verdict lisp_pull_request(struct lisp_pull *p, const struct lisp_eid *eid,
    uint64_t now_us);
/* The authority knows us again, and of nothing that was asked before (K8): what was asked in
 * the last second, or is open, is asked once more, no sooner than it may be. */
void lisp_pull_again(struct lisp_pull *p);
void lisp_pull_cancel(struct lisp_pull *p, const struct lisp_eid *eid);  /* known by now */
void lisp_pull_input(struct lisp_pull *p, const struct ip *from, uint16_t port,
    const uint8_t *bytes, size_t n, uint64_t now_us);
/* record NULL: negative. false: no room to send now. */
bool lisp_pull_reply(struct lisp_pull *p, const struct lisp_pull_question *q,
    const struct lisp_record *record);
/* Solicit a Map-Request for eid from the ITR at `to`; false: one went less than
 * LISP_PULL_SMR_US ago, or no room. */
bool lisp_pull_smr(struct lisp_pull *p, const struct ip *to, const struct lisp_eid *eid,
    uint64_t now_us);

#define LISP_PULL_COUNTERS(X) \
    X(ASKED, "asked") X(RETRIES, "retries") X(ANSWERED, "answered") X(NEGATIVE, "negative") \
    X(TIMEOUTS, "timeouts") X(LIMITED, "limited") X(FULL, "full") X(BAD, "malformed") \
    X(STRAY, "stray_replies") X(QUESTIONS, "questions") X(REPLIES, "replies") \
    X(SMR_IN, "smr_in") X(SMR_OUT, "smr_out") X(SMR_LIMITED, "smr_limited") \
    X(SMR_INVOKED, "smr_invoked")
enum lisp_pull_counter {
#define X(sym, name) LISP_PC_##sym,
    LISP_PULL_COUNTERS(X)
#undef X
    LISP_PC_N
};
uint64_t lisp_pull_counter(const struct lisp_pull *p, unsigned c);
const char *lisp_pull_counter_name(unsigned c);
#endif
