/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of store: the database (store_db.c) beneath the queue, the thread and the
 * epochs of this run (store.c). For these two files alone. */
#ifndef BERTH_HOST_STORE_INT_H
#define BERTH_HOST_STORE_INT_H
#include "host/store.h"
#include "base/mem.h"
#include <pthread.h>
#include <sqlite3.h>

enum op_type {
    OP_PUT_VN,
    OP_DEL_VN,
    OP_PUT_EPOCH,
    OP_DEL_EPOCH,
    OP_PUT_RESV,
    OP_DEL_RESV,
    OP_PUT_NVE,
    OP_FLUSH,
    OP_RAISE
};
struct op {
    enum op_type type;
    bool quiet; /* asked for by the store itself: no completion */
    uint64_t id, limit;
    struct store_vn vn;
    char *extra;
    struct store_epoch epoch;
    struct ip target;
};

enum statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_PUT_VN,
    SQL_DEL_VN,
    SQL_PUT_EPOCH,
    SQL_DEL_EPOCH,
    SQL_PUT_RESV,
    SQL_DEL_RESV,
    SQL_PUT_NVE,
    SQL_RAISE,
    SQL_N
};

struct store {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *stmt[SQL_N];
    uint64_t block;
    int fd; /* eventfd */
    pthread_t thread;
    bool threaded;

    pthread_mutex_t mutex; /* all that follows */
    pthread_cond_t cond;
    struct fifo queue, done; /* struct op, struct store_done */
    uint64_t last_id;
    uint64_t next, limit; /* epochs of this run: next..limit-1 */
    uint64_t
        raise_wanted; /* limit that has been asked for and is not there yet; 0 none */
    int raise_error;  /* -errno of the last own raise, told once */
    bool stop;
};

/* Opens the database, takes its lock, and makes the first block of this run durable. */
int store_db_open(struct store *s, const struct store_load *load, struct host_err *err);
/* One transaction. Fills done[i]; a failure of the disk is the answer to every one. */
void store_batch_run(
    struct store *s, struct op *ops, struct store_done *done, uint32_t n);
#endif
