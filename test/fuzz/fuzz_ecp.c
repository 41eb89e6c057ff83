/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of frames into one ECP link: octet of length, octet of time, frame; again.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/ecp_link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ecp_link_conf conf = {.self = {{2, 0, 0, 0, 2, 1}},
        .retries = 2,
        .rte_us = 100,
        .gap_us = 300,
        .queue_max = 2};
    struct ecp_link *l = ecp_link_new(&conf, 0);
    struct rd r = rd_of(data, size);
    uint64_t now = 0;
    uint8_t frame[ECP_FRAME_MAX];
    while (rd_left(&r) > 2) {
        size_t n = rd_u8(&r);
        now += rd_u8(&r) * 10u;
        if (n > rd_left(&r))
            n = rd_left(&r);
        const uint8_t *p = rd_ptr(&r, n), *payload;
        size_t payload_size;
        if (n % 3 == 0) /* every third comes with a sound head */
            memcpy(frame, "\x01\x80\xc2\0\0\0\x02\0\0\0\x01\x01\x89\x40\x10\x01", 16);
        size_t at = n % 3 == 0 ? 16 : 0;
        memcpy(frame + at, p, n);
        if (ecp_link_input(l, frame, at + n, now, &payload, &payload_size) ==
                ECP_LINK_DELIVER &&
            payload + payload_size > frame + at + n)
            abort();
        ecp_link_send(l, frame, n, now);
        for (int k = 0; ecp_link_output(l, now, frame); k++)
            if (k > 100)
                abort();
        if (ecp_link_deadline(l) <= now)
            abort(); /* would spin */
    }
    ecp_link_free(l);
    return 0;
}
