/* SPDX-License-Identifier: Apache-2.0 */
/* Berth's TLV: decoded means encodable, to a TLV that decodes to the same. */
#include <stdlib.h>
#include <string.h>

#include "wire/berth_tlv.h"
#include "wire/vdp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct berth_tlv a, b;
    char text[512];
    if (size > TLV_BODY_MAX - 3 ||
        berth_tlv_decode(rd_of(data, size), &a) != BERTH_TLV_GOOD)
        return 0;
    berth_tlv_print(&a, text, sizeof text);
    uint8_t bytes[1024], again[1024];
    struct wr w = wr_of(bytes, sizeof bytes), x = wr_of(again, sizeof again);
    berth_tlv_encode(&w, BERTH_OUI, &a);
    struct rd r = rd_of(bytes, w.pos);
    struct vdp_org org;
    if (w.err)
        abort();
    if (!vdp_org_next(&r, &org) || berth_tlv_decode(org.body, &b) != BERTH_TLV_GOOD)
        abort();
    berth_tlv_encode(&x, BERTH_OUI, &b);
    if (x.pos != w.pos || memcmp(bytes, again, w.pos) != 0)
        abort();
    return 0;
}
