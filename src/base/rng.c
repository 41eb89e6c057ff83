/* SPDX-License-Identifier: Apache-2.0 */
/* xoshiro256** (Blackman, Vigna 2018), its state spread from the seed by splitmix64 so
 * that neighbouring seeds give unrelated runs. */
#include "base/rng.h"

#include <assert.h>

static uint64_t
rotl(uint64_t v, int n)
{
    return v << n | v >> (64 - n);
}

void
rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t
rng_next(struct rng *r)
{
    uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* Multiply and shift; the few draws that would favour some results are drawn again. */
uint32_t
rng_below(struct rng *r, uint32_t n)
{
    assert(n > 0);
    uint32_t unfair = -n % n;
    uint64_t product;
    do
        product = (rng_next(r) >> 32) * n;
    while ((uint32_t)product < unfair);
    return product >> 32;
}

bool
rng_chance(struct rng *r, uint32_t per_million)
{
    return rng_below(r, 1000000) < per_million;
}

void
rng_bytes(struct rng *r, void *dst, size_t n)
{
    uint8_t *p = dst;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++, v >>= 8) {
        if (i % 8 == 0)
            v = rng_next(r);
        p[i] = v & 0xff;
    }
}
