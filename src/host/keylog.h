/* SPDX-License-Identifier: Apache-2.0 */
/* Keyed records over host/journal: the latest record of a (kind, key) counts, an empty one
 * deletes it. Keeps nothing in memory but while it opens or compacts, when the file is
 * read for its live records; it compacts by itself when most of the file is history. */
#ifndef BERTH_HOST_KEYLOG_H
#define BERTH_HOST_KEYLOG_H
#include "host/journal.h"

struct keylog;
/* A live record; borrowed. Within a kind they come in the order last written. */
typedef void (*keylog_record_fn)(void *ctx, uint8_t kind, const void *bytes, size_t size);

/* Hands the live records to fn, kind by kind in the order of `kinds` (0 ends the list).
 * Damage that was cut off is told in report and err, with 0 returned: journal_open. */
int keylog_open(struct keylog **out, const struct journal_conf *conf, const uint8_t *kinds,
    keylog_record_fn fn, void *ctx, struct journal_report *report, struct host_err *err);
/* Stages; size 0 deletes. -EMSGSIZE: larger than a record can be; -ENOSPC: the last commit
 * failed, and as much is staged as is kept for a disk that takes nothing. */
int keylog_put(struct keylog *k, uint8_t kind, const void *key, size_t key_size,
    const void *bytes, size_t size);
bool keylog_staged(const struct keylog *k);
/* One write() for all that is staged; from then on it survives SIGKILL. On failure nothing
 * is lost: the records stay staged and the next commit tries again. */
int keylog_commit(struct keylog *k, struct host_err *err);
void keylog_discard(struct keylog *k);   /* instead: what is staged is forgotten */
void keylog_close(struct keylog *k);     /* commits, flushes */
#endif
