/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet and what the edge reads in frames of VMs: ARP and ND. Decoded means
 * encodable. */
#include <stdlib.h>
#include <string.h>

#include "wire/arp.h"
#include "wire/eth.h"
#include "wire/nd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd r = rd_of(data, size), arp_at = r, nd_at = r;
    struct eth eth;
    struct arp arp;
    struct nd nd;
    uint8_t bytes[128];
    char text[256];
    struct wr w = wr_of(bytes, sizeof bytes);
    if (eth_decode(&r, &eth)) {
        eth_encode(&w, &eth);
        eth_print(&eth, text, sizeof text);
        if (w.err || memcmp(bytes, data, w.pos) != 0)
            abort();
    }
    w = wr_of(bytes, sizeof bytes);
    if (arp_decode(&arp_at, &arp)) {
        arp_encode(&w, &arp);
        arp_print(&arp, text, sizeof text);
        if (w.err || memcmp(bytes, data, w.pos) != 0)
            abort();
    }
    w = wr_of(bytes, sizeof bytes);
    nd_decode(&nd_at, &nd);
    nd_print(&nd, text, sizeof text);
    nd_encode(&w, &nd);
    if (w.err)
        abort();
    return 0;
}
