/* SPDX-License-Identifier: Apache-2.0 */
/* A bridge and a station back to back over a link that loses, copies and delays frames
 * from one seed, in virtual time. The test is the node on both sides: it answers
 * requests and collects events. */
#ifndef BERTH_TEST_VDP_PAIR_H
#define BERTH_TEST_VDP_PAIR_H
#include "test.h"
#include "base/mem.h"
#include "base/rng.h"
#include "proto/vdp_bridge.h"
#include "proto/vdp_station.h"

static const struct mac pair_bridge_mac = {
    {2, 0, 0, 0, 2, 1}
};
static const struct mac pair_station_mac = {
    {2, 0, 0, 0, 1, 1}
};
struct pair_frame {
    uint64_t at_us;
    bool to_bridge;
    size_t size;
    uint8_t b[ECP_FRAME_MAX];
};
struct pair {
    uint64_t now_us;
    struct rng rng;
    uint32_t loss, copy; /* per million */
    uint32_t delay_us;   /* 0 .. this, drawn for each frame: reorders */
    struct vdp_bridge *bridge;
    struct vdp_station *station;
    struct pair_frame *air;
    uint32_t n_air, cap_air;
    /* what the frames showed */
    uint64_t last_new_us, min_gap_us; /* new VDP PDUs from the bridge */
    uint16_t last_seq;
    uint32_t n_bridge_pdus, n_no_end, n_oversize;
    /* the node's side, given by the test */
    void (*on_request)(struct pair *p, const struct vdp_request *r);
    void (*on_event)(struct pair *p, const struct vdp_station_out *o);
    void *ctx;
};

static inline void
pair_watch(struct pair *p, const uint8_t *frame, size_t size, bool to_bridge)
{
    struct rd r = rd_of(frame, size);
    struct eth eth;
    struct ecp ecp;
    assert_true(eth_decode(&r, &eth));
    assert_true(ecp_decode(&r, &ecp));
    assert_true(size >= ETH_MIN_SIZE);
    p->n_oversize += size > ECP_FRAME_MAX;
    if (ecp.op != ECP_REQUEST)
        return;
    assert_int_not_equal(ecp.seq, 0);
    struct vdp_pdu pdu;
    size_t n = rd_left(&r);
    assert_int_equal(vdp_decode(rd_ptr(&r, n), n, &pdu), VDP_GOOD);
    p->n_no_end += !pdu.end;
    assert_int_equal(pdu.n_bad + pdu.n_unknown + pdu.n_over, 0);
    if (to_bridge || ecp.seq == p->last_seq)
        return;
    if (p->n_bridge_pdus++ && p->now_us - p->last_new_us < p->min_gap_us)
        p->min_gap_us = p->now_us - p->last_new_us;
    p->last_new_us = p->now_us;
    p->last_seq = ecp.seq;
}

static inline void
pair_put(struct pair *p, const uint8_t *frame, size_t size, bool to_bridge)
{
    pair_watch(p, frame, size, to_bridge);
    for (int copies = rng_chance(&p->rng, p->copy) ? 2 : 1; copies; copies--) {
        if (rng_chance(&p->rng, p->loss))
            continue;
        if (p->n_air == p->cap_air) {
            p->cap_air = p->cap_air ? p->cap_air * 2 : 16;
            p->air = mem_grow(p->air, p->cap_air * sizeof *p->air);
        }
        struct pair_frame *f = &p->air[p->n_air++];
        f->at_us = p->now_us + 1 + (p->delay_us ? rng_below(&p->rng, p->delay_us) : 0);
        f->to_bridge = to_bridge;
        f->size = size;
        memcpy(f->b, frame, size);
    }
}

static inline void
pair_drain(struct pair *p)
{
    struct vdp_bridge_out b;
    struct vdp_station_out s;
    while (vdp_bridge_output(p->bridge, p->now_us, &b)) {
        if (b.kind == VDP_BRIDGE_FRAME)
            pair_put(p, b.frame, b.frame_size, false);
        else
            p->on_request(p, b.request);
    }
    while (vdp_station_output(p->station, p->now_us, &s)) {
        if (s.event == VDP_STATION_FRAME)
            pair_put(p, s.frame, s.frame_size, true);
        else
            p->on_event(p, &s);
    }
}

/* Runs until `until`, or earlier when nothing is due any more. */
static inline void
pair_run(struct pair *p, uint64_t until)
{
    for (;;) {
        pair_drain(p);
        uint64_t due = vdp_bridge_deadline(p->bridge),
                 at = vdp_station_deadline(p->station);
        due = at < due ? at : due;
        uint32_t first = p->n_air;
        for (uint32_t i = 0; i < p->n_air; i++)
            if (first == p->n_air || p->air[i].at_us < p->air[first].at_us)
                first = i;
        if (first < p->n_air && p->air[first].at_us < due)
            due = p->air[first].at_us;
        if (due > until) {
            p->now_us = until;
            return;
        }
        p->now_us = due > p->now_us ? due : p->now_us;
        if (first == p->n_air || p->air[first].at_us > p->now_us)
            continue;
        struct pair_frame f = p->air[first];
        p->air[first] = p->air[--p->n_air];
        if (f.to_bridge)
            vdp_bridge_input(p->bridge, f.b, f.size, p->now_us);
        else
            vdp_station_input(p->station, f.b, f.size, p->now_us);
    }
}

static inline void
pair_init(struct pair *p, uint64_t seed, const struct vdp_bridge_conf *b,
    const struct vdp_station_conf *s)
{
    *p = (struct pair){.now_us = 1000, .min_gap_us = UINT64_MAX};
    rng_seed(&p->rng, seed);
    p->bridge = vdp_bridge_new(b, p->now_us);
    p->station = vdp_station_new(s, p->now_us);
}

static inline void
pair_done(struct pair *p)
{
    vdp_bridge_free(p->bridge);
    vdp_station_free(p->station);
    mem_free(p->air);
}
#endif
