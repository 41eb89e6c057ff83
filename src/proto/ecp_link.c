/* SPDX-License-Identifier: Apache-2.0 */
/* Stop and wait (802.1Q-2014 43.3). Two things go beyond the text, both for peers that
 * are met: (1) a duplicate is told by sequence number *and* content among the last
 * requests, not by the last number alone, so a late copy of an older request is not
 * executed again, and a peer that starts anew at number 1 is heard; (2) new requests
 * keep a distance, and it counts from the last transmission, since the peer may have
 * read only that one (K13). */
#include "proto/ecp_link.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define RECENT      16
#define ACKS_MAX    32
#define RTE_MIN_US  10
#define HORIZON_MIN 1000000 /* a copy older than this is a peer that has started anew  \
                             */
#define HORIZON_MAX 60000000

struct payload {
    uint8_t *p;
    size_t size;
};
struct recent {
    uint64_t hash, at_us;
    uint16_t seq;
    bool used;
};
struct ack {
    struct mac dst;
    uint16_t seq;
};
struct ecp_link {
    struct ecp_link_conf conf;
    struct ecp_link_counters counters;
    /* sending */
    struct payload out; /* the outstanding request, p = NULL: none */
    struct fifo queue;  /* struct payload */
    struct mac dst;     /* where the peer listens */
    uint16_t seq;       /* of the outstanding or the last request */
    uint8_t n_sent;     /* transmissions of it; 0 = not yet on the wire */
    bool ever_sent;
    uint64_t again_us;   /* retransmission is due */
    uint64_t last_tx_us; /* of any request */
    /* receiving */
    struct recent recent[RECENT];
    uint8_t recent_next;
    struct ack acks[ACKS_MAX];
    uint8_t n_acks;
};

static const struct mac *
group_of(const struct ecp_link_conf *conf)
{
    return mac_is_none(&conf->group) ? &eth_mac_ncb : &conf->group;
}

struct ecp_link *
ecp_link_new(const struct ecp_link_conf *conf, uint64_t now_us)
{
    struct ecp_link *l = mem_alloc(sizeof *l);
    (void)now_us;
    l->conf = *conf;
    l->conf.group = *group_of(conf);
    l->dst = l->conf.group;
    fifo_init(&l->queue, sizeof(struct payload));
    ecp_link_set_timers(l, conf->retries, conf->rte_us);
    return l;
}

void
ecp_link_free(struct ecp_link *l)
{
    if (!l)
        return;
    struct payload p;
    while (fifo_pop(&l->queue, &p))
        mem_free(p.p);
    fifo_done(&l->queue);
    mem_free(l->out.p);
    mem_free(l);
}

void
ecp_link_set_timers(struct ecp_link *l, uint8_t retries, uint64_t rte_us)
{
    l->conf.retries = retries;
    l->conf.rte_us = rte_us < RTE_MIN_US ? RTE_MIN_US : rte_us;
    /* What is outstanding does not wait for a time that was a neighbour's error. */
    if (l->out.p && l->n_sent && l->again_us > l->last_tx_us + l->conf.rte_us)
        l->again_us = l->last_tx_us + l->conf.rte_us;
}

void
ecp_link_set_gap(struct ecp_link *l, uint64_t gap_us)
{
    l->conf.gap_us = gap_us;
}

void
ecp_link_reset_peer(struct ecp_link *l)
{
    memset(l->recent, 0, sizeof l->recent);
}

const struct ecp_link_counters *
ecp_link_counters(const struct ecp_link *l)
{
    return &l->counters;
}

/* ---- receiving ---- */

struct head {
    struct eth eth;
    struct ecp ecp;
};

/* Leaves the cursor at the payload. Our own frames come back from some switches. */
static bool
take_head(const struct ecp_link_conf *conf, struct rd *r, struct head *h)
{
    if (!eth_decode(r, &h->eth) || h->eth.type != ETH_TYPE_ECP || h->eth.n_tags)
        return false;
    bool to_us = mac_equal(&h->eth.dst, group_of(conf)) ||
                 mac_equal(&h->eth.dst, &conf->self) ||
                 (!mac_is_none(&conf->extra) && mac_equal(&h->eth.dst, &conf->extra));
    if (!to_us || mac_is_group(&h->eth.src) || mac_is_none(&h->eth.src) ||
        mac_equal(&h->eth.src, &conf->self))
        return false;
    return ecp_decode(r, &h->ecp) && h->ecp.version == ECP_VERSION &&
           h->ecp.subtype == ECP_VDP && h->ecp.op <= ECP_ACK;
}

bool
ecp_link_peek(const struct ecp_link_conf *conf, const uint8_t *frame, size_t size,
    struct mac *peer, struct ecp *ecp)
{
    struct rd r = rd_of(frame, size);
    struct head h;
    if (!take_head(conf, &r, &h))
        return false;
    *peer = h.eth.src;
    *ecp = h.ecp;
    return true;
}

static uint64_t
hash_of(const uint8_t *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325; /* FNV-1a: only the peer's own requests compare */
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3;
    return h;
}

static uint64_t
horizon_us(const struct ecp_link *l)
{
    uint64_t us = 8 * (l->conf.retries + 1) * l->conf.rte_us;
    return us < HORIZON_MIN ? HORIZON_MIN : us > HORIZON_MAX ? HORIZON_MAX : us;
}

/* Notes the request as seen; true when it was seen before. */
static bool
seen_before(struct ecp_link *l, uint16_t seq, uint64_t hash, uint64_t now_us)
{
    for (int i = 0; i < RECENT; i++) {
        struct recent *c = &l->recent[i];
        if (c->used && c->seq == seq && c->hash == hash &&
            now_us - c->at_us <= horizon_us(l)) {
            c->at_us = now_us;
            return true;
        }
    }
    l->recent[l->recent_next] =
        (struct recent){.hash = hash, .at_us = now_us, .seq = seq, .used = true};
    l->recent_next = (l->recent_next + 1) % RECENT;
    return false;
}

static enum ecp_link_in
take_ack(struct ecp_link *l, uint16_t seq)
{
    if (!l->out.p || l->n_sent == 0 || seq != l->seq) {
        l->counters.rx_stray_ack++;
        return ECP_LINK_IGNORED;
    }
    l->counters.rx_ack++;
    mem_free(l->out.p);
    l->out.p = NULL;
    return ECP_LINK_ACKED;
}

enum ecp_link_in
ecp_link_input(struct ecp_link *l, const uint8_t *frame, size_t size, uint64_t now_us,
    const uint8_t **payload, size_t *payload_size)
{
    struct rd r = rd_of(frame, size);
    struct head h;
    *payload = NULL;
    *payload_size = 0;
    if (!take_head(&l->conf, &r, &h)) {
        l->counters.rx_refused++;
        return ECP_LINK_IGNORED;
    }
    /* Answer where the peer can be reached: the group it uses, or it alone. */
    l->dst = mac_is_group(&h.eth.dst) ? h.eth.dst : h.eth.src;
    if (h.ecp.op == ECP_ACK)
        return take_ack(l, h.ecp.seq);
    if (l->n_acks == ACKS_MAX) { /* nobody pulls: the peer will send it again */
        l->counters.rx_refused++;
        return ECP_LINK_IGNORED;
    }
    l->acks[l->n_acks++] = (struct ack){.dst = l->dst, .seq = h.ecp.seq};
    size_t n = rd_left(&r);
    const uint8_t *p = rd_ptr(&r, n);
    if (seen_before(l, h.ecp.seq, hash_of(p, p ? n : 0), now_us)) {
        l->counters.rx_duplicate++;
        return ECP_LINK_DUPLICATE;
    }
    l->counters.rx_new++;
    *payload = p;
    *payload_size = n;
    return ECP_LINK_DELIVER;
}

/* ---- sending ---- */

uint64_t
ecp_link_ready_at(const struct ecp_link *l)
{
    if (l->out.p && l->n_sent)
        return TIMER_NEVER;
    return l->ever_sent ? l->last_tx_us + l->conf.gap_us : 0;
}

bool
ecp_link_ready(const struct ecp_link *l, uint64_t now_us)
{
    return !l->out.p && l->queue.n == 0 && now_us >= ecp_link_ready_at(l);
}

bool
ecp_link_send(struct ecp_link *l, const uint8_t *payload, size_t size, uint64_t now_us)
{
    (void)now_us;
    if (size > ECP_PAYLOAD_MAX || (l->out.p && l->queue.n >= l->conf.queue_max)) {
        l->counters.queue_full++;
        return false;
    }
    struct payload p = {.p = mem_alloc(size), .size = size};
    memcpy(p.p, payload, size);
    if (!l->out.p && l->queue.n == 0) {
        l->out = p;
        l->n_sent = 0;
    } else {
        *(struct payload *)fifo_push(&l->queue) = p;
    }
    return true;
}

static void
give_up(struct ecp_link *l)
{
    l->counters.lost++;
    log_dbg("ecp", "seq=%u lost after %u transmissions", l->seq, l->n_sent);
    mem_free(l->out.p);
    l->out.p = NULL;
}

static bool
next_from_queue(struct ecp_link *l)
{
    if (!l->out.p) {
        l->n_sent = 0;
        fifo_pop(&l->queue, &l->out);
    }
    return l->out.p;
}

uint64_t
ecp_link_deadline(const struct ecp_link *l)
{
    if (l->n_acks)
        return 0;
    if (l->out.p && l->n_sent)
        return l->again_us;
    return l->out.p || l->queue.n ? ecp_link_ready_at(l) : TIMER_NEVER;
}

static size_t
write_frame(const struct ecp_link *l, const struct mac *dst, const struct ecp *ecp,
    const struct payload *body, uint8_t frame[ECP_FRAME_MAX])
{
    struct wr w = wr_of(frame, ECP_FRAME_MAX);
    struct eth eth = {.dst = *dst, .src = l->conf.self, .type = ETH_TYPE_ECP};
    eth_encode(&w, &eth);
    ecp_encode(&w, ecp);
    if (body)
        wr_bytes(&w, body->p, body->size);
    eth_pad(&w);
    return w.err ? 0 : w.pos;
}

static size_t
write_ack(struct ecp_link *l, uint8_t frame[ECP_FRAME_MAX])
{
    struct ack ack = l->acks[0];
    l->n_acks--;
    memmove(l->acks, l->acks + 1, l->n_acks * sizeof l->acks[0]);
    l->counters.tx_ack++;
    struct ecp ecp = {ECP_VERSION, ECP_ACK, ECP_VDP, ack.seq};
    return write_frame(l, &ack.dst, &ecp, NULL, frame);
}

size_t
ecp_link_output(struct ecp_link *l, uint64_t now_us, uint8_t frame[ECP_FRAME_MAX])
{
    if (l->n_acks)
        return write_ack(l, frame);
    if (l->out.p && l->n_sent) {
        if (now_us < l->again_us)
            return 0;
        if (l->n_sent > l->conf.retries)
            give_up(l);
    }
    if (!next_from_queue(l))
        return 0;
    if (l->n_sent == 0) {
        if (now_us < ecp_link_ready_at(l))
            return 0;
        l->seq = l->seq == UINT16_MAX ? 1 : l->seq + 1; /* never 0 */
        l->counters.tx_new++;
    } else {
        l->counters.tx_again++;
    }
    l->n_sent++;
    l->ever_sent = true;
    l->last_tx_us = now_us;
    l->again_us = now_us + l->conf.rte_us;
    struct ecp ecp = {ECP_VERSION, ECP_REQUEST, ECP_VDP, l->seq};
    return write_frame(l, &l->dst, &ecp, &l->out, frame);
}
