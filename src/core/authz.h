/* SPDX-License-Identifier: Apache-2.0 */
/* Who may join what, until proofs come (S0-11, S3-107): the list of VNIs of a server port
 * (K9). Pure and small; the owner frees the copied ranges by authz_done. */
#ifndef BERTH_CORE_AUTHZ_H
#define BERTH_CORE_AUTHZ_H
#include <stdbool.h>
#include <stdint.h>

struct authz {
    uint32_t *ranges;                    /* pairs first,last: sorted, disjoint */
    uint32_t n;                          /* pairs; 0: every VN may be joined */
};
/* n pairs in any order; false when a pair is reversed or above VNI_MAX. */
bool authz_init(struct authz *a, const uint32_t *pairs, uint32_t n);
bool authz_may_join(const struct authz *a, uint32_t vni);
void authz_done(struct authz *a);
#endif
