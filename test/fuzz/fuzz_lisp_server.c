/* SPDX-License-Identifier: Apache-2.0 */
/* Any datagram to the map server and to an NVE's pull side. */
#include <stdlib.h>
#include <string.h>

#include "proto/lisp_pull.h"
#include "proto/lisp_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
direct(const struct ip *from, const uint8_t *data, size_t size)
{
    static uint8_t out[70000];
    struct lisp_query q;
    if (lisp_server_fast(from, 4342, data, size, &q) != LISP_SERVER_QUERY)
        return;
    const struct lisp_dialect *d = &lisp_dialect_default;
    struct lisp_reply m;
    size_t n = lisp_server_negative(&q, d, LISP_ACT_DROP, 1, out, sizeof out);
    if (lisp_reply_decode(out, n, d, &m) != LISP_OK || m.nonce != q.nonce)
        abort();
    struct lisp_query again;
    n = lisp_server_forward(&q, from, out, sizeof out);
    if (n && (lisp_server_fast(from, 1, out, n, &again) == LISP_SERVER_OTHER))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct lisp_key key = {.id = 0, .alg = 2, .size = 1};
    const struct ip from = ip_v4(0xc0000201);
    struct lisp_server_conf sc = {.seed = 1};
    struct lisp_pull_conf pc = {.self = from, .server = from, .port = 4342, .seed = 1};
    struct lisp_server *s = lisp_server_new(&sc, 0);
    struct lisp_pull *p = lisp_pull_new(&pc, 0);
    struct lisp_server_out so;
    static struct lisp_pull_out po;
    direct(&from, data, size);
    lisp_server_key_set(s, 0, &key);
    lisp_server_input(s, &from, 4342, data, size, 0);
    while (lisp_server_output(s, &so))
        if (so.type == LISP_SVOUT_REGISTER)
            lisp_server_registered(s);
    lisp_pull_input(p, &from, 4342, data, size, 0);
    while (lisp_pull_output(p, &po))
        if (po.type == LISP_POUT_QUESTION)
            lisp_pull_reply(p, &po.question, NULL);
    lisp_server_free(s);
    lisp_pull_free(p);
    return 0;
}
