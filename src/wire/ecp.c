/* SPDX-License-Identifier: Apache-2.0 */
/* The four fields of the header; which values are acceptable is for proto/ecp_link. */
#include "wire/ecp.h"

#include "wire/tlv.h"

bool
ecp_decode(struct rd *r, struct ecp *ecp)
{
    uint16_t head = rd_u16(r);
    ecp->version = head >> 12;
    ecp->op = head >> 10 & 3;
    ecp->subtype = head & 0x3ff;
    ecp->seq = rd_u16(r);
    return !r->err;
}

void
ecp_encode(struct wr *w, const struct ecp *ecp)
{
    wr_u16(w, (uint16_t)((ecp->version & 15) << 12 | (ecp->op & 3) << 10 |
                         (ecp->subtype & 0x3ff)));
    wr_u16(w, ecp->seq);
}

int
ecp_print(const struct ecp *ecp, char *text, size_t size)
{
    const char *op = ecp->op == ECP_REQUEST ? "req" : ecp->op == ECP_ACK ? "ack" : "?";
    return tlv_text(text, size, 0, "ecp %s version %u subtype %u seq %u", op,
        ecp->version, ecp->subtype, ecp->seq);
}
