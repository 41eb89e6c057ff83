/* SPDX-License-Identifier: Apache-2.0 */
/* A PDU: what was decoded as sound is encoded and decoded to the same octets. */
#include <stdlib.h>
#include <string.h>

#include "wire/cisco_tlv.h"
#include "wire/vdp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vdp_pdu a, b;
    static uint8_t bytes[65536], again[65536];
    static char text[4096];
    vdp_decode(data, size, &a);
    vdp_print(&a, text, sizeof text);
    uint16_t n = 0;
    for (uint16_t i = 0; i < a.n_vsis; i++) {
        const struct vdp_vsi *v = &a.vsis[i];
        struct rd r = rd_of(v->org, v->org_size);
        struct vdp_org org;
        struct cisco_tlv cisco;
        while (vdp_org_next(&r, &org))
            if (cisco_tlv_decode(org.body, &cisco))
                cisco_tlv_print(&cisco, text, sizeof text);
        for (uint16_t k = 0; k < v->n_entries; k++) {
            struct vdp_entry e = vdp_entry_get(v->filter_format, v->filter, k);
            if (e.vid > 4095 || v->reason != VDP_GOOD)
                abort();
        }
        if (v->reason == VDP_GOOD)
            a.vsis[n++] = *v;
    }
    a.n_vsis = n;
    struct wr w = wr_of(bytes, sizeof bytes), x = wr_of(again, sizeof again);
    vdp_encode(&w, &a);
    if (w.err || vdp_decode(bytes, w.pos, &b) != VDP_GOOD || b.n_vsis != n)
        abort();
    vdp_encode(&x, &b);
    if (x.pos != w.pos || memcmp(bytes, again, w.pos) != 0)
        abort();
    return 0;
}
