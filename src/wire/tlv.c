/* SPDX-License-Identifier: Apache-2.0 */
/* A TLV that is cut short by the end of the buffer is still given, once, so that a
 * codec can name what was in it. */
#include "wire/tlv.h"

#include <stdarg.h>
#include <stdio.h>

bool
tlv_next(struct rd *r, struct tlv *tlv)
{
    if (rd_left(r) < TLV_HEADER_SIZE)
        return false;
    uint16_t head = rd_u16(r);
    size_t left = rd_left(r);
    *tlv = (struct tlv){.type = head >> 9, .size = head & TLV_BODY_MAX};
    tlv->whole = tlv->size <= left;
    tlv->body = rd_sub(r, tlv->whole ? tlv->size : left);
    return true;
}

size_t
tlv_begin(struct wr *w, uint8_t type)
{
    size_t at = w->pos;
    wr_u16(w, (uint16_t)(type << 9));
    return at;
}

void
tlv_end(struct wr *w, size_t at)
{
    if (w->err)
        return;
    size_t size = w->pos - at - TLV_HEADER_SIZE;
    if (size > TLV_BODY_MAX) {
        w->err = true;
        return;
    }
    wr_patch_u16(w, at, (uint16_t)((w->p[at] & 0xfe) << 8 | size));
}

int
tlv_text(char *text, size_t size, int at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool room = (size_t)at < size;
    int n = vsnprintf(room ? text + at : NULL, room ? size - (size_t)at : 0, fmt, ap);
    va_end(ap);
    return at + (n > 0 ? n : 0);
}
