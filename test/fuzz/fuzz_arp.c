/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that the data plane hands up, taken by the ARP agent of an edge with three
 * VSIs. Octets: [event, port, vid, advance] then the frame; 0xff 0xff separates events.
 */
#include <assert.h>
#include <string.h>

#include "core/arp.h"
#include "core/edge_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
drain(struct edge *e)
{
    struct edge_out o;
    while (edge_output(e, &o)) {
        if (o.type == EDGE_DP && o.u.dp.type == DP_FRAME)
            assert(o.u.dp.u.frame.p && o.u.dp.u.frame.size >= 14);
        if (o.type == EDGE_DP && o.id)
            edge_done(e, o.id, 0, e->now_us);
    }
}

static void
vsi(struct edge *e, uint32_t n, bool ips)
{
    struct ip a[2] = {ip_v4(0xc0a80000 + n), {{0x20, 1, [15] = (uint8_t)n}}};
    struct mapping_local l = {.vni = 5000,
        .att = n,
        .port = n,
        .vid = 100,
        .mac = {{0x52, 0x54, 0, 0, 0, (uint8_t)n}},
        .n_ips = ips ? 2 : 0,
        .ips = a,
        .epoch = 1,
        .migration_id = n};
    mapping_local_set(e, &l, TICKET_DP, 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct edge_conf conf = {.name = "fuzz", .authority = 1, .seed = 1};
    conf.vtep = ip_v4(0x0a000001);
    uint64_t now = 1000;
    struct edge *e = edge_new(&conf, now);
    edge_restored(e, now);
    vsi(e, 1, true);
    vsi(e, 2, false);
    vsi(e, 3, false);
    drain(e);
    while (size > 4) {
        const uint8_t *end = data + 4;
        while (end + 1 < data + size &&
               (end[0] != 0xff || end[1] != 0xff || end < data + 18))
            end++;
        struct dp_event ev = {.type = data[0] % (DP_N_EVENTS + 1),
            .port = 1 + data[1] % 4,
            .vid = data[2] % 2 ? 100 : 7,
            .vni = 5000,
            .frame = data + 4,
            .size = (uint16_t)(end - data - 4)};
        if (ev.size >= 12) {
            memcpy(ev.dst.b, ev.frame, 6);
            memcpy(ev.src.b, ev.frame + 6, 6);
        }
        now += (uint64_t)data[3] * 10000;
        edge_tick(e, now);
        struct arp_learned l = {0};
        if (arp_event(e, &ev, &l)) {
            struct mapping_rec rec;
            assert(mapping_find(e, l.vni, NULL, &l.ip, &rec, NULL));
            assert(mac_equal(&rec.mac, &l.mac));
        }
        drain(e);
        uint32_t keys, frames, bytes;
        arp_waiting(e, &keys, &frames, &bytes);
        assert(keys <= ARP_PENDING_MAX && bytes <= ARP_HELD_BYTES);
        size_t used = (size_t)(end - data) + 2;
        if (used >= size)
            break;
        data += used;
        size -= used;
    }
    edge_free(e);
    return 0;
}
