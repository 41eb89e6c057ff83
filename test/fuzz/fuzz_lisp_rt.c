/* SPDX-License-Identifier: Apache-2.0 */
/* Any octets as a stream of frames; every body through the decoder of its type. */
#include <stdlib.h>

#include "wire/lisp_rt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum lisp_err
entry(uint16_t type, struct rd *r)
{
    union {
        struct lisp_rt_hello hello;
        struct lisp_rt_welcome welcome;
        struct lisp_rt_entry entry;
        struct lisp_rt_withdraw withdraw;
        struct lisp_rt_answer answer;
        struct lisp_rt_reserve reserve;
        struct lisp_rt_reserved reserved;
        struct lisp_rt_vn vn;
        struct lisp_rt_member member;
        struct lisp_rt_confirm confirm;
    } u;
    switch (type % 11) {
    case 0:
        return lisp_rt_hello_get(r, type & 1, &u.hello);
    case 1:
        return lisp_rt_welcome_get(r, &u.welcome);
    case 2:
    case 3:
        return lisp_rt_entry_get(r, &lisp_dialect_default, type & 1, &u.entry);
    case 4:
        return lisp_rt_withdraw_get(r, &u.withdraw);
    case 5:
        return lisp_rt_answer_get(r, type & 1, &u.answer);
    case 6:
        return lisp_rt_reserve_get(r, type & 1, &u.reserve);
    case 7:
        return lisp_rt_vn_get(r, type & 1, &u.vn);
    case 8:
        return lisp_rt_member_get(r, &u.member);
    case 9:
        return lisp_rt_reserved_get(r, &u.reserved);
    default:
        return lisp_rt_confirm_get(r, &u.confirm);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lisp_rt_frame f;
    while (lisp_rt_frame_get(data, size, &f) == 1) {
        lisp_rt_check(f.type, f.size, LISP_RT_BOTH);
        lisp_rt_type_str(f.type);
        struct rd r = rd_of(f.body, f.size);
        while (rd_left(&r) && entry(f.type, &r) == LISP_OK)
            continue;
        data += f.whole;
        size -= f.whole;
    }
    for (uint16_t type = 0; type < 20; type++) {
        struct rd r = rd_of(data, size);
        while (rd_left(&r) && entry(type, &r) == LISP_OK)
            continue;
    }
    return 0;
}
