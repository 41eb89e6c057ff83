/* SPDX-License-Identifier: Apache-2.0 */
/* A sequence of events at one station: requests of its user, payloads that quote them,
 * time and restarts of the bridge. Nothing may crash, leak, spin, or break a limit. */
#include <stdlib.h>
#include <string.h>

#include "proto/vdp_station.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_VSIS 8
static void
drain(struct vdp_station *s, uint64_t now)
{
    struct vdp_station_out o;
    for (int k = 0; vdp_station_output(s, now, &o); k++)
        if (k > 2000)
            abort();
    if (vdp_station_deadline(s) <= now || vdp_station_n_vsis(s) > MAX_VSIS)
        abort();
}

/* A TLV about a VSI that the user may have asked for. */
static void
answer(struct vdp_station *s, uint8_t what, const uint8_t *p, size_t n, uint64_t now)
{
    uint8_t frame[600], filter[8] = {0, 0, 0, 1};
    struct wr w = wr_of(frame, sizeof frame);
    eth_encode(
        &w, &(struct eth){
                .dst = eth_mac_ncb, .src = {{2, 0, 0, 0, 2, 1}}, .type = ETH_TYPE_ECP});
    ecp_encode(&w, &(struct ecp){1, what >> 7, 1, n ? p[0] : 0});
    vdp_encode_mgrid(&w, (const uint8_t[16]){0});
    if (n > 3) {
        memcpy(filter + 4, p, 2);
        struct vdp_vsi v = {
            .type = 1 + (p[2] & 3),
            .status = p[3],
            .id = {.format = VSIID_LOCAL, .b = {what & 15}},
            .filter_format = VDP_FILTER_GROUP,
            .n_entries = 1,
            .filter = filter
        };
        vdp_encode_vsi(&w, &v);
    }
    wr_bytes(&w, p, n);
    if (!w.err)
        vdp_station_input(s, frame, w.pos, now);
}

static void
ask(struct vdp_station *s, uint8_t what, const uint8_t *p, size_t n, uint64_t now)
{
    struct vdp_entry e = {.group = 1, .vid = n ? p[0] : 0};
    struct vdp_station_request r = {.cookie = what,
        .key = {.id = {.format = VSIID_LOCAL, .b = {what & 15}}},
        .filter_format = n > 1 && p[1] & 1 ? 0 : VDP_FILTER_GROUP,
        .n_entries = 1,
        .entries = &e};
    if (vdp_station_op(&r, what >> 4 & 7, n ? p[0] & 3 : 0))
        vdp_station_request(s, &r, now);
    if (n && p[0] == 0xff)
        vdp_station_forget(s, &r.key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mac self = {
        {2, 0, 0, 0, 1, 1}
    };
    struct vdp_station_conf conf = vdp_station_defaults(&self);
    struct evb_timers timers = {1, 3, 8, 10};
    conf.timers = timers;
    conf.max_vsis = MAX_VSIS;
    struct vdp_station *s = vdp_station_new(&conf, 0);
    struct rd rd = rd_of(data, size);
    uint64_t now = 0;
    while (rd_left(&rd) > 4) {
        uint8_t kind = rd_u8(&rd), what = rd_u8(&rd);
        now += rd_u8(&rd) * 50u;
        size_t n = rd_u8(&rd) & 63;
        if (n > rd_left(&rd))
            n = rd_left(&rd);
        const uint8_t *p = rd_ptr(&rd, n);
        if (kind & 1)
            ask(s, what, p, n, now);
        if (kind & 2)
            answer(s, what, p, n, now);
        if (kind & 4)
            vdp_station_input(s, p, n, now);
        if ((kind & 0xf8) == 8)
            vdp_station_set_peer(s, &timers, what & 1, what & 2, now);
        drain(s, now);
    }
    vdp_station_free(s);
    return 0;
}
