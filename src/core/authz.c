/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges are sorted and merged once, so a question is one binary search. */
#include "core/authz.h"

#include <stddef.h>

#include "base/mem.h"
#include "wire/addr.h"

bool
authz_init(struct authz *a, const uint32_t *pairs, uint32_t n)
{
    *a = (struct authz){0};
    for (uint32_t i = 0; i < n; i++)
        if (pairs[2 * i] > pairs[2 * i + 1] || pairs[2 * i + 1] > VNI_MAX)
            return false;
    if (n == 0)
        return true;
    a->ranges = mem_alloc(2 * (size_t)n * sizeof *a->ranges);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        for (; at > 0 && a->ranges[2 * (at - 1)] > pairs[2 * i]; at--) {
            a->ranges[2 * at] = a->ranges[2 * (at - 1)];
            a->ranges[2 * at + 1] = a->ranges[2 * (at - 1) + 1];
        }
        a->ranges[2 * at] = pairs[2 * i];
        a->ranges[2 * at + 1] = pairs[2 * i + 1];
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *last = a->n ? &a->ranges[2 * a->n - 1] : NULL;
        if (last && a->ranges[2 * i] <= *last) {
            if (a->ranges[2 * i + 1] > *last)
                *last = a->ranges[2 * i + 1];
            continue;
        }
        a->ranges[2 * a->n] = a->ranges[2 * i];
        a->ranges[2 * a->n + 1] = a->ranges[2 * i + 1];
        a->n++;
    }
    return true;
}

bool
authz_may_join(const struct authz *a, uint32_t vni)
{
    if (a->n == 0)
        return true;
    uint32_t low = 0, high = a->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (a->ranges[2 * mid + 1] < vni)
            low = mid + 1;
        else
            high = mid;
    }
    return low < a->n && a->ranges[2 * low] <= vni;
}

void
authz_done(struct authz *a)
{
    mem_free(a->ranges);
    *a = (struct authz){0};
}
