/* SPDX-License-Identifier: Apache-2.0 */
/* Octets as a journal file. Random octets never have good hashes, so the first octet
 * chooses how many records to seal here, by doc/protocol/journal.md and not by the
 * journal's code; the rest stays as it came. */
#include "host/journal.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 48
#define HEAD   24

struct seen {
    size_t octets;
    uint64_t n;
};

static void
on_record(void *ctx, uint16_t type, const void *payload, size_t size)
{
    struct seen *s = ctx;
    volatile uint8_t sink = 0;
    (void)type;
    for (size_t i = 0; i < size; i++)
        sink ^= ((const uint8_t *)payload)[i];
    s->octets += HEAD + size;
    s->n++;
}

static void
seal(uint8_t *f, size_t size, unsigned n_records)
{
    const uint8_t *key = f + 16;
    uint8_t head[HEAD];
    memcpy(f, "BERTHJNL", 8);
    crypto_shorthash(f + 40, f, 40, key);
    for (size_t at = HEADER; n_records-- && at + HEAD <= size;) {
        f[at] = f[at + 1] = f[at + 2] = 0; /* shorter than 256 octets */
        f[at + 6] = f[at + 7] = 0;
        size_t len = f[at + 3];
        if (at + HEAD + len <= size)
            crypto_shorthash(f + at + 8, f + at + HEAD, len, key);
        memcpy(head, f + at, 16);
        for (int i = 0; i < 8; i++)
            head[16 + i] = (uint8_t)((uint64_t)at >> (56 - 8 * i));
        crypto_shorthash(f + at + 16, head, sizeof(head), key);
        at += HEAD + len;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {0}, again = {0};
    bool torn, torn_again;

    if (size < 1 || sodium_init() < 0)
        return 0;
    uint8_t *f = malloc(size);
    if (!f)
        return 0;
    memcpy(f, data + 1, --size);
    if (size >= HEADER && data[0])
        seal(f, size, data[0] % 32);
    size_t good = journal_scan(f, size, on_record, &seen, &torn);
    if (good > size || (good && good != HEADER + seen.octets) || (!good && seen.n))
        abort();
    /* The good part stands by itself, and says the same. */
    if (good && (journal_scan(f, good, on_record, &again, &torn_again) != good ||
                    torn_again || again.n != seen.n))
        abort();
    free(f);
    return 0;
}
