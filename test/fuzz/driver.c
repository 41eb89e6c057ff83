/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libFuzzer where only gcc is at hand (the smoke test): replays the files
 * named, or else a corpus folder, then mutations of it and random bytes from one seed.
 *   fuzz_x FILE...                        replay these
 *   fuzz_x [-s SEED] [-n RUNS] [-c DIR]   corpus, then RUNS made inputs
 * A crash leaves the input in ./crash-SEED-RUN when BERTH_FUZZ_KEEP is set, and the
 * seed and run number on standard error always; both name the input exactly. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"

#define INPUT_MAX  2048
#define CORPUS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sample {
    uint8_t *data;
    size_t size;
};
static struct sample corpus[CORPUS_MAX];
static uint32_t n_corpus;
static char crash_note[512];

static void
tell(void)
{
    /* Only async-signal-safe calls: the note was formatted before the run. */
    ssize_t n = write(STDERR_FILENO, crash_note, strlen(crash_note));
    (void)n;
}

static void
tell_and_die(int sig)
{
    tell();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* A sanitizer has handlers and a report of its own, which must not be replaced. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void
catch_crashes(void)
{
    signal(SIGABRT, tell_and_die);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(tell);
        return;
    }
    signal(SIGSEGV, tell_and_die);
    signal(SIGBUS, tell_and_die);
    signal(SIGFPE, tell_and_die);
}

/* The input is handed over in a block of its exact size, so that a sanitizer sees a
 * read one octet past it. */
static void
run_exact(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static bool
sample_load(const char *path, struct sample *s)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    s->data = malloc(1 << 20);
    if (!s->data)
        abort();
    s->size = fread(s->data, 1, 1 << 20, f);
    fclose(f);
    return true;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Sorted, so that a seed means the same run on every machine. */
static void
corpus_load(const char *dir)
{
    struct dirent **names;
    int n = scandir(dir, &names, NULL, by_name);
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && n_corpus < CORPUS_MAX &&
            sample_load(path, &corpus[n_corpus]))
            n_corpus++;
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

static size_t
input_random(struct rng *r, uint8_t *data)
{
    size_t size = rng_below(r, rng_chance(r, 100000) ? INPUT_MAX : 128);
    rng_bytes(r, data, size);
    return size;
}

static size_t
input_mutate(struct rng *r, uint8_t *data)
{
    const struct sample *s = &corpus[rng_below(r, n_corpus)];
    size_t size = s->size < INPUT_MAX ? s->size : INPUT_MAX;
    memcpy(data, s->data, size);
    for (uint32_t edits = 1 + rng_below(r, 6); edits > 0 && size > 0; edits--) {
        uint32_t at = rng_below(r, size);
        switch (rng_below(r, 7)) {
        case 0:
            data[at] ^= 1u << rng_below(r, 8);
            break;
        case 1:
            data[at] = rng_next(r);
            break;
        case 2: /* the values at which lengths and counts go wrong */
            data[at] = (const uint8_t[]){0, 1, 0x7f, 0x80, 0xfe, 0xff}[rng_below(r, 6)];
            break;
        case 3:
            size = at;
            break;
        case 4: { /* a stretch copied over another */
            uint32_t from = rng_below(r, size);
            size_t n = rng_below(r, 32);
            size_t room = size - (at > from ? at : from);
            memmove(data + at, data + from, n < room ? n : room);
            break;
        }
        case 5: /* one octet less inside */
            memmove(data + at, data + at + 1, size - at - 1);
            size--;
            break;
        case 6: /* one more */
            if (size < INPUT_MAX) {
                memmove(data + at + 1, data + at, size - at);
                data[at] = rng_next(r);
                size++;
            }
            break;
        }
    }
    return size;
}

int
main(int argc, char **argv)
{
    uint64_t seed = 1, runs = 20000;
    int opt;
    while ((opt = getopt(argc, argv, "s:n:c:")) != -1) {
        if (opt == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (opt == 'n')
            runs = strtoull(optarg, NULL, 0);
        else if (opt == 'c')
            corpus_load(optarg);
        else
            return 2;
    }
    catch_crashes();
    if (optind < argc) {
        for (int i = optind; i < argc; i++) {
            struct sample s;
            if (!sample_load(argv[i], &s)) {
                fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
                return 2;
            }
            snprintf(crash_note, sizeof crash_note, "crash at %s\n", argv[i]);
            run_exact(s.data, s.size);
            free(s.data);
        }
        return 0;
    }
    for (uint32_t i = 0; i < n_corpus; i++) {
        snprintf(crash_note, sizeof crash_note, "crash at corpus file %u\n", i);
        run_exact(corpus[i].data, corpus[i].size);
    }
    for (uint64_t i = 0; i < runs; i++) {
        /* One generator per run: a single run is replayed without those before it. */
        struct rng r;
        uint8_t data[INPUT_MAX];
        rng_seed(&r, seed * 1000003 + i);
        bool mutate = n_corpus > 0 && rng_below(&r, 4) > 0;
        size_t size = mutate ? input_mutate(&r, data) : input_random(&r, data);
        snprintf(crash_note, sizeof crash_note, "crash at seed %llu run %llu\n",
            (unsigned long long)seed, (unsigned long long)i);
        if (getenv("BERTH_FUZZ_KEEP")) {
            char path[64];
            snprintf(path, sizeof path, "crash-%llu-%llu", (unsigned long long)seed,
                (unsigned long long)i);
            FILE *f = fopen(path, "wb");
            if (f) {
                fwrite(data, 1, size, f);
                fclose(f);
            }
            run_exact(data, size);
            unlink(path);
            continue;
        }
        run_exact(data, size);
    }
    printf("%u corpus files, %llu made inputs, seed %llu\n", n_corpus,
        (unsigned long long)runs, (unsigned long long)seed);
    for (uint32_t i = 0; i < n_corpus; i++)
        free(corpus[i].data);
    return 0;
}
