/* SPDX-License-Identifier: Apache-2.0 */
/* The organizational TLVs that deployed VDP stations send after a VSI TLV (OUI 00-00-0C,
 * subtypes F1 and F2): the only carried source of a VM's IP in plain VDP (K8). */
#ifndef BERTH_WIRE_CISCO_TLV_H
#define BERTH_WIRE_CISCO_TLV_H
#include "wire/addr.h"
#include "wire/tlv.h"

#define CISCO_OUI 0x00000c
enum cisco_subtype { CISCO_VM = 0xf1, CISCO_ADDR = 0xf2 };
struct cisco_tlv {
    uint8_t subtype;                     /* enum cisco_subtype */
    struct vsiid vsi;
    struct vsiid vm;                     /* F1; format 0 = none */
    const char *name;                    /* F1: not terminated, in the caller's bytes */
    uint16_t name_size;
    struct ip ip;                        /* F2 */
};
/* `body` starts after the OUI. false: another subtype, or malformed. */
bool cisco_tlv_decode(struct rd body, struct cisco_tlv *tlv);
void cisco_tlv_encode(struct wr *w, const struct cisco_tlv *tlv);
int cisco_tlv_print(const struct cisco_tlv *tlv, char *text, size_t size);
#endif
