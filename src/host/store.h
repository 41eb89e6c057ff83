/* SPDX-License-Identifier: Apache-2.0 */
/* The authority's durable store (K7, K4): virtual networks and epoch maxima in SQLite
 * (WAL, synchronous=FULL). Operations are queued without waiting; a thread commits all
 * that is queued as one transaction (group commit) and posts completions, in the order
 * of the operations, through an eventfd. Calls from one thread. Mappings are not here:
 * soft state.
 *
 * Epochs are never granted twice, and a grant waits for no disk: the row epoch_hwm is
 * raised ahead of use, by blocks. Numbers below the mark that is on the disk belong to
 * this run; the next run (after exit, SIGKILL or power loss) starts at the mark it
 * finds, so it cannot meet a number of this run. A restart costs at most two blocks of
 * a 64-bit space. */
#ifndef BERTH_HOST_STORE_H
#define BERTH_HOST_STORE_H
#include "host/error.h"
#include "wire/addr.h"

#define STORE_NAME        64
#define STORE_SCHEMA      1
#define STORE_EPOCH_BLOCK 100000
#define STORE_EPOCH_LEAP  ((uint64_t)1 << 40)
#define STORE_EPOCH_MAX   ((uint64_t)1 << 62)
#define STORE_QUEUE_MAX   262144 /* operations that wait; beyond: refused */

struct store_vn {
    uint32_t vni;
    char name[STORE_NAME];
    uint16_t mtu;
    uint8_t arp_policy, reply_mode; /* the core's numbers */
    uint32_t flags;
    const char *extra; /* JSON text or NULL; copied */
};
struct store_epoch { /* highest epoch granted or seen for a key */
    uint32_t vni;
    struct mac mac;
    uint64_t epoch, migration;
    uint64_t t_us; /* wall clock of the last change (T_forget) */
};
struct store_load { /* called by store_open for every row */
    void (*vn)(void *ctx, const struct store_vn *vn);
    void (*epoch)(void *ctx, const struct store_epoch *e);
    void (*nve)(void *ctx, const char *name); /* any may be NULL */
    void (*reservation)(void *ctx, const struct store_epoch *e, const struct ip *target);
    void *ctx;
};
struct store_conf {
    const char *path;     /* the directory must exist and be writable */
    uint64_t epoch_block; /* 0 = STORE_EPOCH_BLOCK */
};
struct store;
/* -EUCLEAN corrupt, -EPROTO newer schema or foreign file, -EROFS, -ENOSPC, -EBUSY
 * (open in another process), -EACCES ... The file is then left as it was found. */
int store_open(struct store **s, const struct store_conf *conf,
    const struct store_load *load, struct host_err *err);
void store_close(struct store *s); /* commits what is queued, then closes */

/* Each returns the operation's id (rising, never 0), or 0: refused now, text in err. */
uint64_t store_put_vn(struct store *s, const struct store_vn *vn, struct host_err *err);
uint64_t store_del_vn(struct store *s, uint32_t vni, struct host_err *err);
uint64_t store_put_epoch(
    struct store *s, const struct store_epoch *e, struct host_err *err);
uint64_t store_del_epoch(
    struct store *s, uint32_t vni, const struct mac *mac, struct host_err *err);
/* A number that the NVE at target has reserved for a key: one per both, the last put. */
uint64_t store_put_reservation(struct store *s, const struct store_epoch *e,
    const struct ip *target, struct host_err *err);
uint64_t store_del_reservation(struct store *s, uint32_t vni, const struct mac *mac,
    const struct ip *target, struct host_err *err);
/* An NVE that has ever connected: a restart waits for it (K4). Repeating is harmless. */
uint64_t store_put_nve(struct store *s, const char *name, struct host_err *err);
uint64_t store_flush(
    struct store *s, struct host_err *err); /* completes when all before did */

struct store_done {
    uint64_t id;
    int result; /* 0 durable; -EEXIST name taken; -ENOENT no such VN; -ENOSPC ... */
    struct host_err err;
};
int store_fd(const struct store *s); /* readable when completions wait */
bool store_next_done(struct store *s, struct store_done *done);
bool store_wait(
    struct store *s, uint64_t timeout_us); /* false: nothing came (tools, tests) */

/* A number greater than `above` and than every number given before, in this run or any.
 * 0; -EAGAIN: the mark is on its way to the disk, ask again when store_fd was readable
 * (only when a carried epoch leaps ahead, or the disk lags half a block behind);
 * -ERANGE: `above` is more than STORE_EPOCH_LEAP ahead (one liar must not use up the
 * numbers of all); another -errno: the last raise of the mark failed so, a new one has
 * been queued. */
int store_epoch_grant(struct store *s, uint64_t above, uint64_t *epoch);
/* For an owner that counts itself (a pure node): numbers next..limit-1 are its own.
 * Raise asks that `limit` reach at least `want`; 0 in done means store_epoch_range
 * shows it. Use either this or store_epoch_grant in one program. */
void store_epoch_range(struct store *s, uint64_t *next, uint64_t *limit);
uint64_t store_epoch_raise(struct store *s, uint64_t want, struct host_err *err);
#endif
