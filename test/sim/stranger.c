/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody who is no edge connects to the authority: says nothing, says noise, or gives
 * a name, and proves nothing. He goes again, or stays until he is shown out. */
#include "sim.h"
#include "proto/lisp_session.h"

static void
say(struct world *w, uint64_t conn, const uint8_t *p, uint32_t size)
{
    struct nva_in in = {.type = NVA_IN_STREAM_DATA, .conn = conn, .p = p, .size = size};
    nva_feed(w, &in);
}

/* As an edge begins that does not know the key. */
static void
greet(struct world *w, uint64_t conn, const uint8_t *nonce)
{
    struct lisp_session_conf c = {.id = "stranger",
        .vtep = ip_v4(0x0afe00ff),
        .key = nonce,
        .key_size = 32,
        .seed = conn};
    struct lisp_session *s = lisp_session_new_client(&c, w->now);
    struct lisp_session_out o;
    lisp_session_output(s, &o); /* wants to connect */
    lisp_session_connected(s, nonce, w->now);
    while (lisp_session_output(s, &o))
        if (o.type == LISP_SOUT_SEND)
            say(w, conn, o.bytes, (uint32_t)o.size);
    lisp_session_free(s);
}

void
stranger_call(struct world *w, uint32_t how)
{
    uint64_t conn = UINT64_C(1) << 48 | w->seq; /* none of net.c's */
    uint8_t octets[64];
    rng_bytes(&w->net, octets, sizeof(octets));
    struct nva_in in = {.type = NVA_IN_STREAM_OPEN,
        .conn = conn,
        .p = octets,
        .size = 32,
        .from = ip_v4(0x0afe00ff),
        .from_port = 40000};
    nva_feed(w, &in);
    if (how & 1)
        greet(w, conn, octets + 32);
    if (how & 2)
        say(w, conn, octets, sizeof(octets));
    in.type = NVA_IN_STREAM_CLOSED;
    if (how & 4)
        nva_feed(w, &in);
}
