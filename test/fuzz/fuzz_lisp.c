/* SPDX-License-Identifier: Apache-2.0 */
/* Any octets as a LISP control message; what decodes is encoded and decoded again. */
#include <stdlib.h>
#include <string.h>

#include "wire/lisp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
reply(const uint8_t *data, size_t size)
{
    const struct lisp_dialect *d = &lisp_dialect_default;
    static uint8_t out[LISP_RECORD_MAX];
    struct lisp_reply m;
    if (lisp_reply_decode(data, size, d, &m) != LISP_OK)
        return;
    for (unsigned i = 0; i < m.n_records; i++) {
        struct lisp_record rec, back;
        char text[LISP_EID_STR];
        if (lisp_record_get(&m.records, d, &rec) != LISP_OK)
            abort(); /* the decoder has promised */
        lisp_eid_str(&rec.eid, text);
        if (rec.eid.kind == LISP_EID_OTHER)
            continue;
        struct wr w = wr_of(out, sizeof out);
        lisp_record_put(&w, d, &rec);
        struct rd r = rd_of(out, w.pos);
        if (w.err || lisp_record_get(&r, d, &back) != LISP_OK || rd_left(&r) ||
            !lisp_eid_equal(&rec.eid, &back.eid) || rec.n_rlocs != back.n_rlocs)
            abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct lisp_dialect *d = &lisp_dialect_default;
    static const struct lisp_key key = {.id = 1, .alg = 3, .size = 1};
    struct lisp_request q;
    struct lisp_register g;
    struct lisp_ecm e;
    bool covered;
    lisp_request_decode(data, size, &q);
    reply(data, size);
    if (lisp_register_decode(data, size, d, &g) == LISP_OK)
        lisp_register_verify(data, size, &g, &key, &covered);
    if (lisp_ecm_decode(data, size, &e) == LISP_OK)
        lisp_request_decode(e.payload, e.size, &q);
    return 0;
}
