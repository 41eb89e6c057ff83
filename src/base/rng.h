/* SPDX-License-Identifier: Apache-2.0 */
/* Repeatable random numbers (xoshiro256**): the seed is an argument, so a simulator run or
 * a property test is replayed from its seed. Not for secrets. */
#ifndef BERTH_BASE_RNG_H
#define BERTH_BASE_RNG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};
void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);            /* 0 .. n-1; n > 0 */
bool rng_chance(struct rng *r, uint32_t per_million);
void rng_bytes(struct rng *r, void *dst, size_t n);
#endif
