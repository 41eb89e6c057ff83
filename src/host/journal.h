/* SPDX-License-Identifier: Apache-2.0 */
/* Append-only journal of typed records (K7; framing: doc/protocol/journal.md). A step's
 * records are gathered by journal_append and go out in ONE write() by journal_commit;
 * from then on they survive SIGKILL, and an answer may leave. A thread flushes to the
 * disk in batches (power loss takes back at most sync_us). One owner, one calling
 * thread. */
#ifndef BERTH_HOST_JOURNAL_H
#define BERTH_HOST_JOURNAL_H
#include "host/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_RECORD_MAX 65536 /* octets of payload */

struct journal_conf {
    const char *path; /* also <path>.lock, .new, .bad, .bad.N beside it */
    uint32_t layout;  /* of the payloads; another one: -EPROTO, untouched */
    uint64_t sync_us; /* flush at most this late; 0 = never flush */
};
struct journal_report {       /* what the opening found */
    uint64_t n_records, size; /* good records and octets that were kept */
    uint64_t torn;            /* octets of an unfinished last record, cut off */
    bool created;
    bool corrupt; /* damage before the end: replay stopped there and */
    uint64_t corrupt_at, corrupt_size; /*  the rest went to bad_path */
    char bad_path[256];
};
struct journal;
typedef void (*journal_replay_fn)(
    void *ctx, uint16_t type, const void *payload, size_t size);

/* Locks (-EBUSY: another process has it, named), replays every good record in order
 * through `fn`, cuts the tail. `report` and err->text are filled also when damage was
 * found: then the return is 0, report->corrupt is set and the text is for the
 * operator's log. */
int journal_open(struct journal **j, const struct journal_conf *conf,
    journal_replay_fn fn, void *ctx, struct journal_report *report,
    struct host_err *err);
/* Stages one record; false: larger than JOURNAL_RECORD_MAX (nothing staged). */
bool journal_append(struct journal *j, uint16_t type, const void *payload, size_t size);
/* Writes what is staged. On failure (-ENOSPC, -EIO ...) the file is as before and the
 * records stay staged: commit again, or journal_discard them. Reports a failed
 * background flush once, as -EIO (then compact: that rewrites everything into a new
 * file). */
int journal_commit(struct journal *j, struct host_err *err);
void journal_discard(struct journal *j);
int journal_sync(struct journal *j, struct host_err *err); /* waits for the disk */

/* Compaction into a new generation: `next` is called until false and each time gives
 * one live record (payload valid until the next call). Written beside, flushed,
 * renamed: a crash at any point leaves the old or the new file whole. Staged records
 * must have been committed or discarded (else -EBUSY). Blocks for one flush of the live
 * size. */
struct journal_record {
    uint16_t type;
    const void *payload;
    size_t size;
};
typedef bool (*journal_live_fn)(void *ctx, struct journal_record *rec);
int journal_compact(
    struct journal *j, journal_live_fn next, void *ctx, struct host_err *err);

struct journal_stats {
    uint64_t generation; /* counts compactions */
    uint64_t size;       /* octets of the file */
    uint64_t base_size;  /* the same right after open or compaction */
    uint64_t n_records, n_commits, n_flushes;
};
void journal_stats(struct journal *j, struct journal_stats *st);
void journal_close(struct journal *j); /* flushes; staged records are not written */

/* The same framing over octets in memory, for tests and tools: returns the octets that
 * are good (header and whole records), 0 for a foreign header; *torn = the rest looks
 * like an unfinished write rather than damage. */
size_t journal_scan(
    const void *p, size_t size, journal_replay_fn fn, void *ctx, bool *torn);
#endif
