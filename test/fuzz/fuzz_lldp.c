/* SPDX-License-Identifier: Apache-2.0 */
/* The codec: what was decoded is encoded and decoded to the same. And the conversation.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/lldp_evb.h"
#include "wire/berth_tlv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
codec(const uint8_t *data, size_t size)
{
    struct rd r = rd_of(data, size);
    struct lldp a, b;
    if (lldp_decode(&r, BERTH_OUI, &a) != LLDP_GOOD)
        return;
    uint8_t bytes[512], again[512];
    char text[512];
    struct wr w = wr_of(bytes, sizeof bytes), x = wr_of(again, sizeof again);
    lldp_print(&a, text, sizeof text);
    lldp_encode(&w, BERTH_OUI, &a);
    r = rd_of(bytes, w.pos);
    if (w.err || lldp_decode(&r, BERTH_OUI, &b) != LLDP_GOOD)
        abort();
    lldp_encode(&x, BERTH_OUI, &b);
    if (x.pos != w.pos || memcmp(bytes, again, w.pos) != 0)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    codec(data, size);
    struct mac self = {
        {2, 0, 0, 0, 2, 1}
    };
    struct lldp_evb_conf conf =
        lldp_evb_defaults(size & 1 ? LLDP_EVB_BRIDGE : LLDP_EVB_STATION, &self);
    struct lldp_evb *e = lldp_evb_new(&conf, 0);
    struct lldp_evb_out out;
    uint8_t frame[2048] = "\x01\x80\xc2\0\0\0\x02\0\0\0\x01\x01\x88\xcc";
    size_t n = size < sizeof frame - 14 ? size : sizeof frame - 14;
    memcpy(frame + 14, data, n);
    lldp_evb_input(e, frame, 14 + n, 5);
    lldp_evb_input(e, data, size, 6);
    uint64_t now = 6;
    for (int k = 0; k < 50; k++)
        if (!lldp_evb_output(e, now, &out)) {
            if (lldp_evb_deadline(e) <= now)
                abort();
            now = lldp_evb_deadline(e);
        }
    lldp_evb_free(e);
    return 0;
}
