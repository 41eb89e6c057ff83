/* SPDX-License-Identifier: Apache-2.0 */
/* ECP header (802.1Q-2014 43.3.3): version 4 bits, operation 2, subtype 10, sequence 16. */
#ifndef BERTH_WIRE_ECP_H
#define BERTH_WIRE_ECP_H
#include "base/buf.h"

#define ECP_HEADER_SIZE 4
#define ECP_VERSION     1
#define ECP_PDU_MAX     1496             /* header and payload; lldpad's buffer ends at 1514 */
#define ECP_PAYLOAD_MAX (ECP_PDU_MAX - ECP_HEADER_SIZE)
enum ecp_op { ECP_REQUEST = 0, ECP_ACK = 1 };
enum ecp_subtype { ECP_VDP = 1, ECP_PE_CSP = 2 };
struct ecp {
    uint8_t version, op;
    uint16_t subtype, seq;
};
bool ecp_decode(struct rd *r, struct ecp *ecp);    /* leaves the cursor at the payload */
void ecp_encode(struct wr *w, const struct ecp *ecp);
int ecp_print(const struct ecp *ecp, char *text, size_t size);
#endif
