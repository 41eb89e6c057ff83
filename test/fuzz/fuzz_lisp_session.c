/* SPDX-License-Identifier: Apache-2.0 */
/* Three attackers on the mapping session: octets to an authority, octets to an NVE, and
 * frames of an authenticated peer (rightly tagged, any type and body) to either end. */
#include <stdlib.h>
#include <string.h>

#include "proto/lisp_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[4] = "key";
static const uint8_t nonce[2][LISP_RT_NONCE] = {{1}, {2}};
static const struct lisp_session_conf nve_conf = {.id = "n",
    .key = key,
    .key_size = sizeof key,
    .vtep = {{[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}}};
static const struct lisp_session_conf nva_conf = {.id = "a", .incarnation = 1};

/* All output of s; its octets go to `to` when there is one. */
static void
drain(struct lisp_session *s, struct lisp_session *to)
{
    static struct lisp_session_out out;
    static uint8_t copy[1 << 20];
    while (lisp_session_output(s, &out)) {
        if (out.type == LISP_SOUT_EVENT && out.event.type == LISP_SEV_NEED_KEY)
            lisp_session_key(s, key, sizeof key, 1);
        if (out.type != LISP_SOUT_SEND)
            continue;
        lisp_session_written(s, out.size, 1);
        if (to && out.size <= sizeof copy) {
            memcpy(copy, out.bytes, out.size);
            lisp_session_input(to, copy, out.size, 1);
        }
    }
}

static void
pieces(struct lisp_session *s, const uint8_t *data, size_t size)
{
    for (size_t i = 0, n; i < size; i += n) {
        n = 1 + data[i] % 64;
        n = n < size - i ? n : size - i;
        lisp_session_input(s, data + i, n, 1);
        drain(s, NULL);
    }
}

static void
insider(struct lisp_session *nve, struct lisp_session *nva, const uint8_t *data,
    size_t size, bool to_nve)
{
    struct lisp_rt_hello a = {.version = 1,
                             .id_size = 1,
                             .id = "n",
                             .vtep = nve_conf.vtep},
                         b = {.version = 1, .id_size = 1, .id = "a"};
    struct lisp_rt_keys keys;
    uint64_t number = 0;
    memcpy(a.nonce, nonce[0], sizeof a.nonce);
    memcpy(b.nonce, nonce[1], sizeof b.nonce);
    lisp_rt_session_keys(key, sizeof key, &a, &b, &keys);
    for (int i = 0; i < 4; i++) {
        drain(nve, nva);
        drain(nva, nve);
    }
    if (!lisp_session_is_up(nve) || !lisp_session_is_up(nva))
        abort();
    while (size > 2) { /* type, length, body */
        static uint8_t frame[LISP_RT_FRAME_MAX];
        size_t n = data[1] % 128 < size - 2 ? data[1] % 128 : size - 2;
        struct wr w = wr_of(frame, sizeof frame);
        size_t at =
            lisp_rt_frame_begin(&w, data[0] < 0x20 ? 0xfb00 | data[0] : data[0], 0);
        wr_bytes(&w, data + 2, n);
        wr_zero(&w, LISP_RT_TAG);
        lisp_rt_frame_end(&w, at);
        lisp_rt_tag(to_nve ? &keys.nva : &keys.nve, number++, frame, LISP_RT_HEAD + n,
            frame + LISP_RT_HEAD + n);
        lisp_session_input(to_nve ? nve : nva, frame, w.pos, 1);
        drain(to_nve ? nve : nva, NULL);
        data += 2 + n;
        size -= 2 + n;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct lisp_session *nve = lisp_session_new_client(&nve_conf, 0);
    struct lisp_session *nva = lisp_session_new_server(&nva_conf, nonce[1], 0);
    drain(nve, NULL);
    lisp_session_connected(nve, nonce[0], 1);
    switch (data[0] % 4) {
    case 0:
        pieces(nva, data + 1, size - 1);
        break;
    case 1:
        pieces(nve, data + 1, size - 1);
        break;
    default:
        insider(nve, nva, data + 1, size - 1, data[0] % 4 == 3);
        break;
    }
    lisp_session_tick(nve, 100000000);
    lisp_session_tick(nva, 100000000);
    drain(nve, NULL);
    drain(nva, NULL);
    lisp_session_free(nve);
    lisp_session_free(nva);
    return 0;
}
