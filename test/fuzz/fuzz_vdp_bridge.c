/* SPDX-License-Identifier: Apache-2.0 */
/* A sequence of events at one bridge: payloads, raw frames, acks, late and wrong
 * answers, de-associations, time. Nothing may crash, leak, spin, or break a limit. */
#include <stdlib.h>
#include <string.h>

#include "proto/vdp_bridge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_VSIS 8
struct rig {
    struct vdp_bridge *b;
    uint64_t now, handles[16];
    struct vdp_key key;
    uint32_t n_handles;
};

static void
drain(struct rig *r, uint8_t mode)
{
    struct vdp_bridge_out o;
    for (int k = 0; vdp_bridge_output(r->b, r->now, &o); k++) {
        if (k > 2000)
            abort();
        if (o.kind == VDP_BRIDGE_FRAME) {
            if (o.frame_size < ETH_MIN_SIZE || o.frame_size > ECP_FRAME_MAX)
                abort();
            continue;
        }
        r->key = o.request->key;
        r->handles[r->n_handles++ % 16] = o.request->handle;
        struct vdp_answer a = {.code = mode & 7,
            .keep = mode & 8,
            .hard = mode & 16,
            .n_entries = mode & 32 ? o.request->n_entries : 0,
            .entries = o.request->entries,
            .has_berth = mode & 64,
            .berth = o.request->berth};
        if (!(mode & 128))
            vdp_bridge_answer(r->b, o.request->handle, &a, r->now);
    }
    if (vdp_bridge_deadline(r->b) <= r->now || vdp_bridge_n_vsis(r->b) > MAX_VSIS)
        abort();
}

static void
put(struct rig *r, uint8_t what, const uint8_t *p, size_t n)
{
    uint8_t frame[600], saved[VDP_BRIDGE_SAVE_MAX];
    struct wr w = wr_of(frame, sizeof frame);
    if (what & 1) {
        eth_encode(&w, &(struct eth){.dst = eth_mac_ncb,
                           .src = {{2, 0, 0, 0, 1, what >> 4 & 3}},
                           .type = ETH_TYPE_ECP});
        ecp_encode(&w, &(struct ecp){1, what >> 1 & 1, 1, n ? p[0] : 0});
        if (what & 4)
            vdp_encode_mgrid(&w, (const uint8_t[16]){what >> 6});
    }
    wr_bytes(&w, p, n);
    if (!w.err)
        vdp_bridge_input(r->b, frame, w.pos, r->now);
    if (what & 8 && n) {
        size_t size = vdp_bridge_save(r->b, &r->key.id, saved);
        if (p[0] & 1)
            vdp_bridge_deassoc(r->b, &r->key.id, NULL, r->now);
        else
            vdp_bridge_forget(r->b, &r->key.id);
        if (size && p[0] & 2 && !vdp_bridge_restore(r->b, saved, size))
            abort();
        vdp_bridge_restore(r->b, p, n);
        vdp_bridge_answer(
            r->b, r->handles[p[0] % 16], &(struct vdp_answer){.code = 0}, r->now);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mac self = {
        {2, 0, 0, 0, 2, 1}
    };
    struct vdp_bridge_conf conf = vdp_bridge_defaults(&self);
    conf.max_vsis = MAX_VSIS;
    conf.max_entries = 100;
    conf.max_managers = 3;
    conf.max_peers = 2;
    struct rig r = {.b = vdp_bridge_new(&conf, 0)};
    struct rd rd = rd_of(data, size);
    while (rd_left(&rd) > 4) {
        uint8_t what = rd_u8(&rd), mode = rd_u8(&rd);
        r.now += rd_u8(&rd) * 300u;
        size_t n = rd_u8(&rd);
        if (n > rd_left(&rd))
            n = rd_left(&rd);
        put(&r, what, rd_ptr(&rd, n), n);
        drain(&r, mode);
    }
    vdp_bridge_free(r.b);
    return 0;
}
