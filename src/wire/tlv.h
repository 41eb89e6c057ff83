/* SPDX-License-Identifier: Apache-2.0 */
/* The TLV header that LLDP, VDP and Berth's own sub-TLVs share: 7 bits of type, 9 bits of
 * length, which counts the octets after the header (802.1AB 8.4, 802.1Q 41.2). */
#ifndef BERTH_WIRE_TLV_H
#define BERTH_WIRE_TLV_H
#include "base/buf.h"

#define TLV_HEADER_SIZE 2
#define TLV_BODY_MAX    511
#define TLV_ORG         127              /* organizationally specific: OUI 3, then its own */

struct tlv {
    uint8_t type;
    uint16_t size;                       /* as written in the header */
    bool whole;                          /* false: the buffer ends before the body does */
    struct rd body;                      /* what is there of the body */
};
/* Next TLV; false when nothing (or less than a header) is left. A TLV cut short by the end
 * of the buffer is given once with .whole false. */
bool tlv_next(struct rd *r, struct tlv *tlv);
/* Writes a header with length 0; tlv_end patches it and fails the cursor above 511. */
size_t tlv_begin(struct wr *w, uint8_t type);
void tlv_end(struct wr *w, size_t at);
/* Appends to a text at offset `at` as snprintf would, and returns the new offset, which may
 * lie beyond `size`: for the print functions of this folder. */
int tlv_text(char *text, size_t size, int at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#endif
