/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of one VSI, kept compactly: the entries as the station asked for them, and the
 * TCI that each was answered. Short ones (one entry of any format) need no allocation. */
#ifndef BERTH_PROTO_VDP_FILTER_H
#define BERTH_PROTO_VDP_FILTER_H
#include "wire/vdp.h"

#define VDP_FILTER_INLINE 16
struct vdp_filter {
    uint16_t n;
    uint8_t format;
    union {
        uint8_t in[VDP_FILTER_INLINE];   /* when n * (entry size + 2) fits */
        uint8_t *out;
    } u;
};
/* Both in wire form, n entries of `format`; `tagged` has the TCIs answered. Replaces. */
void vdp_filter_set(struct vdp_filter *f, uint8_t format, uint16_t n, const uint8_t *asked,
    const uint8_t *tagged);
void vdp_filter_clear(struct vdp_filter *f);
const uint8_t *vdp_filter_asked(const struct vdp_filter *f);       /* wire form */
/* Wire form with the TCIs answered: n * entry size octets. */
void vdp_filter_tagged(const struct vdp_filter *f, uint8_t *wire);
/* Entry by entry as asked before, or as answered (lldpad quotes the TCI it got). */
bool vdp_filter_same(const struct vdp_filter *f, uint8_t format, uint16_t n,
    const uint8_t *wire);
/* Puts the TCI answered before into entries of `wire` that ask for any VID. */
void vdp_filter_retag(const struct vdp_filter *f, uint8_t format, uint16_t n, uint8_t *wire);
/* The same entries but for the TCI. */
bool vdp_filter_alike(uint8_t format, uint16_t n, const uint8_t *a, const uint8_t *b);
#endif
