/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds-checked cursors with a sticky error. After an error reads give 0 and writes
 * do nothing, so a codec runs straight through and checks .err once. Network byte
 * order. The bytes belong to the caller and must outlive the cursor. A value above 24
 * bits given to wr_u24 is an error. */
#ifndef BERTH_BASE_BUF_H
#define BERTH_BASE_BUF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rd {
    const uint8_t *p;
    size_t size, pos;
    bool err;
};
struct rd rd_of(const void *p, size_t size);
size_t rd_left(const struct rd *r);              /* octets not yet read; 0 after an error */
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u24(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
void rd_bytes(struct rd *r, void *dst, size_t n); /* dst is zeroed on error */
const uint8_t *rd_ptr(struct rd *r, size_t n);    /* n octets in place, NULL on error */
struct rd rd_sub(struct rd *r, size_t n);         /* cursor over the next n; inherits the error */
void rd_skip(struct rd *r, size_t n);

struct wr {
    uint8_t *p;
    size_t cap, pos;
    bool err;
};
struct wr wr_of(void *p, size_t cap);
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u24(struct wr *w, uint32_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_bytes(struct wr *w, const void *src, size_t n);
void wr_zero(struct wr *w, size_t n);
void wr_patch_u8(struct wr *w, size_t at, uint8_t v);    /* overwrite what was written at `at` */
void wr_patch_u16(struct wr *w, size_t at, uint16_t v);
void wr_patch_u32(struct wr *w, size_t at, uint32_t v);
#endif
