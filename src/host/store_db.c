/* SPDX-License-Identifier: Apache-2.0 */
/* The tables, what is asked of them, and what their refusals mean. */
#include "host/store_int.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x42525448 /* "BRTH": tells our files from others */

static const char *const sql[SQL_N] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_PUT_VN] =
        "INSERT INTO vn(vni,name,mtu,arp_policy,reply_mode,flags,extra)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7) ON CONFLICT(vni) DO UPDATE SET"
        " name=excluded.name, mtu=excluded.mtu, arp_policy=excluded.arp_policy,"
        " reply_mode=excluded.reply_mode, flags=excluded.flags,"
        " extra=excluded.extra",
    [SQL_DEL_VN] = "DELETE FROM vn WHERE vni=?1",
    /* A maximum never falls, whatever order late writes come in (K4). */
    [SQL_PUT_EPOCH] = "INSERT INTO epoch_max(vni,mac,epoch,migration,t_us)"
                      " VALUES(?1,?2,?3,?4,?5) ON CONFLICT(vni,mac) DO UPDATE SET"
                      " epoch=excluded.epoch, migration=excluded.migration,"
                      " t_us=excluded.t_us WHERE excluded.epoch>=epoch_max.epoch",
    [SQL_DEL_EPOCH] = "DELETE FROM epoch_max WHERE vni=?1 AND mac=?2",
    [SQL_PUT_RESV] = "INSERT OR REPLACE INTO reservation(vni,mac,epoch,migration,t_us,"
                     "target) VALUES(?1,?2,?3,?4,?5,?6)",
    [SQL_DEL_RESV] = "DELETE FROM reservation WHERE vni=?1 AND mac=?2 AND target=?6",
    [SQL_PUT_NVE] = "INSERT OR IGNORE INTO nve(name) VALUES(?1)",
    [SQL_RAISE] = "UPDATE meta SET value=max(value,?1) WHERE key='epoch_hwm'",
};
static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT "
    "ROWID;"
    "CREATE TABLE vn(vni INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " mtu INTEGER NOT NULL, arp_policy INTEGER NOT NULL, reply_mode INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, extra TEXT) STRICT;"
    "CREATE TABLE epoch_max(vni INTEGER NOT NULL, mac BLOB NOT NULL,"
    " epoch INTEGER NOT NULL, migration INTEGER NOT NULL, t_us INTEGER NOT NULL,"
    " PRIMARY KEY(vni,mac)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE nve(name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES('schema',1),('epoch_hwm',1);";
/* Younger than schema 1, which does without it. */
static const char later[] =
    "CREATE TABLE IF NOT EXISTS reservation(vni INTEGER NOT NULL, mac BLOB NOT NULL,"
    " target BLOB NOT NULL, epoch INTEGER NOT NULL, migration INTEGER NOT NULL,"
    " t_us INTEGER NOT NULL, PRIMARY KEY(vni,mac,target)) STRICT, WITHOUT ROWID;";
_Static_assert(STORE_SCHEMA == 1, "the text above writes schema 1");

/* ---- errors ---- */

static int
errno_of(sqlite3 *db, int rc)
{
    int sys = db ? sqlite3_system_errno(db) : 0;
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_TOOBIG:
        return -EMSGSIZE;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_NOMEM:
        return -ENOMEM;
    }
    return sys > 0 ? -sys : -EIO;
}

static const char *
advice(int code)
{
    switch (code) {
    case -ENOSPC:
    case -EDQUOT:
        return "free space on the disk";
    case -EROFS:
        return "the file or its file system is read-only; make it writable";
    case -EACCES:
        return "give the program's user the right to write the file and its directory";
    case -EBUSY:
        return "another process has it open; stop it, or configure another path";
    case -EUCLEAN:
        return "damaged, or not a database; left as it is: restore a copy, try "
               "`sqlite3 FILE .recover`, or configure another path";
    case -ENOENT:
    case -EISDIR:
        return "check the path; its directory must exist";
    }
    return "check the disk";
}

static int
fail(struct store *s, struct host_err *err, int rc, const char *what)
{
    int code = errno_of(s->db, rc);
    return host_fail(err, code, "database %s: cannot %s: %s; %s", s->path, what,
        sqlite3_errstr(rc), advice(code));
}

/* ---- operations ---- */

static int
step(struct store *s, enum statement st)
{
    int rc = sqlite3_step(s->stmt[st]);
    sqlite3_reset(s->stmt[st]);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* sqlite result code of one operation; 0 also where *result says what the data refused
 */
static int
op_run(struct store *s, const struct op *op, int *result, struct host_err *err)
{
    sqlite3_stmt *q;
    bool resv;
    int rc = SQLITE_OK;

    *result = 0;
    switch (op->type) {
    case OP_PUT_VN:
        q = s->stmt[SQL_PUT_VN];
        sqlite3_bind_int64(q, 1, op->vn.vni);
        sqlite3_bind_text(q, 2, op->vn.name, -1, SQLITE_STATIC);
        sqlite3_bind_int(q, 3, op->vn.mtu);
        sqlite3_bind_int(q, 4, op->vn.arp_policy);
        sqlite3_bind_int(q, 5, op->vn.reply_mode);
        sqlite3_bind_int64(q, 6, op->vn.flags);
        sqlite3_bind_text(q, 7, op->extra, -1, SQLITE_STATIC);
        rc = step(s, SQL_PUT_VN);
        if ((rc & 0xff) == SQLITE_CONSTRAINT) {
            *result = host_fail(err, -EEXIST,
                "VN %u: the name %s belongs to another VNI; names are unique",
                op->vn.vni, op->vn.name);
            rc = SQLITE_OK;
        }
        return rc;
    case OP_DEL_VN:
        sqlite3_bind_int64(s->stmt[SQL_DEL_VN], 1, op->vn.vni);
        rc = step(s, SQL_DEL_VN);
        if (rc == SQLITE_OK && sqlite3_changes(s->db) == 0)
            *result = host_fail(err, -ENOENT, "VN %u: not in the database", op->vn.vni);
        return rc;
    case OP_PUT_RESV:
    case OP_PUT_EPOCH:
        resv = op->type == OP_PUT_RESV;
        q = s->stmt[resv ? SQL_PUT_RESV : SQL_PUT_EPOCH];
        sqlite3_bind_int64(q, 1, op->epoch.vni);
        sqlite3_bind_blob(
            q, 2, op->epoch.mac.b, sizeof(op->epoch.mac.b), SQLITE_STATIC);
        sqlite3_bind_int64(q, 3, (sqlite3_int64)op->epoch.epoch);
        sqlite3_bind_int64(q, 4, (sqlite3_int64)op->epoch.migration);
        sqlite3_bind_int64(q, 5, (sqlite3_int64)op->epoch.t_us);
        if (resv)
            sqlite3_bind_blob(q, 6, op->target.b, sizeof(op->target.b), SQLITE_STATIC);
        return step(s, resv ? SQL_PUT_RESV : SQL_PUT_EPOCH);
    case OP_DEL_RESV:
    case OP_DEL_EPOCH:
        resv = op->type == OP_DEL_RESV;
        q = s->stmt[resv ? SQL_DEL_RESV : SQL_DEL_EPOCH];
        sqlite3_bind_int64(q, 1, op->epoch.vni);
        sqlite3_bind_blob(
            q, 2, op->epoch.mac.b, sizeof(op->epoch.mac.b), SQLITE_STATIC);
        if (resv)
            sqlite3_bind_blob(q, 6, op->target.b, sizeof(op->target.b), SQLITE_STATIC);
        return step(s, resv ? SQL_DEL_RESV : SQL_DEL_EPOCH);
    case OP_PUT_NVE: /* the name travels in vn.name */
        sqlite3_bind_text(s->stmt[SQL_PUT_NVE], 1, op->vn.name, -1, SQLITE_STATIC);
        return step(s, SQL_PUT_NVE);
    case OP_RAISE:
        sqlite3_bind_int64(s->stmt[SQL_RAISE], 1, (sqlite3_int64)op->limit);
        return step(s, SQL_RAISE);
    case OP_FLUSH:
        return rc;
    }
    return rc;
}

void
store_batch_run(struct store *s, struct op *ops, struct store_done *done, uint32_t n)
{
    struct host_err err;
    int result = 0, rc = step(s, SQL_BEGIN);

    for (uint32_t i = 0; i < n; i++) {
        done[i] = (struct store_done){.id = ops[i].id};
        if (rc == SQLITE_OK)
            rc = op_run(s, &ops[i], &done[i].result, &done[i].err);
    }
    if (rc == SQLITE_OK)
        rc = step(s, SQL_COMMIT);
    if (rc == SQLITE_OK)
        return;
    result = fail(s, &err, rc, "write");
    if (!sqlite3_get_autocommit(s->db))
        step(s, SQL_ROLLBACK);
    for (uint32_t i = 0; i < n; i++) {
        done[i].result = result;
        done[i].err = err;
    }
}

/* ---- opening ---- */

static int
exec(struct store *s, const char *text, const char *what, struct host_err *err)
{
    int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : fail(s, err, rc, what);
}

/* The first column of the first row; -ENOENT when there is none. */
static int
query_int(struct store *s, const char *text, int64_t *value, struct host_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, text, -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        *value = sqlite3_column_int64(q, 0);
    else if (rc == SQLITE_DONE)
        rc = host_fail(err, -ENOENT,
            "database %s: a row of meta is missing; restore a copy", s->path);
    else
        rc = fail(s, err, rc, "read");
    sqlite3_finalize(q);
    return rc < 0 ? rc : 0;
}

/* Whose file is it, and is it whole? Writes nothing; *fresh = it has no tables yet. */
static int
inspect(struct store *s, bool *fresh, struct host_err *err)
{
    int64_t application = 0, tables = 0, version = 0;
    sqlite3_stmt *q = NULL;
    int rc = query_int(s, "SELECT count(*) FROM sqlite_master", &tables, err);

    *fresh = tables == 0;
    if (rc < 0 || *fresh)
        return rc;
    rc = query_int(s, "PRAGMA application_id", &application, err);
    if (rc == 0 && application != APPLICATION_ID)
        return host_fail(err, -EPROTO,
            "database %s: belongs to another program; configure another path", s->path);
    if (rc == 0)
        rc = query_int(s, "SELECT value FROM meta WHERE key='schema'", &version, err);
    if (rc == 0 && version != STORE_SCHEMA)
        return host_fail(err, -EPROTO,
            "database %s: schema %lld, this program knows %d; start the version that "
            "wrote "
            "it",
            s->path, (long long)version, STORE_SCHEMA);
    if (rc < 0)
        return rc;
    rc = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc != SQLITE_ROW)
        rc = fail(s, err, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "check");
    else if (strcmp((const char *)sqlite3_column_text(q, 0), "ok") != 0)
        rc = host_fail(err, -EUCLEAN, "database %s: %.100s; %s", s->path,
            (const char *)sqlite3_column_text(q, 0), advice(-EUCLEAN));
    else
        rc = 0;
    sqlite3_finalize(q);
    return rc;
}

static int
load_vns(struct store *s, const struct store_load *load, struct host_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db,
        "SELECT vni,name,mtu,arp_policy,reply_mode,flags,extra FROM vn ORDER BY vni",
        -1, &q, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_vn vn = {
            .vni = (uint32_t)sqlite3_column_int64(q, 0),
            .mtu = (uint16_t)sqlite3_column_int(q, 2),
            .arp_policy = (uint8_t)sqlite3_column_int(q, 3),
            .reply_mode = (uint8_t)sqlite3_column_int(q, 4),
            .flags = (uint32_t)sqlite3_column_int64(q, 5),
            .extra = (const char *)sqlite3_column_text(q, 6),
        };
        snprintf(vn.name, sizeof(vn.name), "%s", sqlite3_column_text(q, 1));
        if (load && load->vn)
            load->vn(load->ctx, &vn);
        rc = SQLITE_OK;
    }
    rc = rc == SQLITE_DONE ? 0 : fail(s, err, rc, "read the virtual networks");
    sqlite3_finalize(q);
    return rc;
}

static struct store_epoch
epoch_of(sqlite3_stmt *q)
{
    struct store_epoch e = {
        .vni = (uint32_t)sqlite3_column_int64(q, 0),
        .epoch = (uint64_t)sqlite3_column_int64(q, 2),
        .migration = (uint64_t)sqlite3_column_int64(q, 3),
        .t_us = (uint64_t)sqlite3_column_int64(q, 4),
    };
    const void *mac = sqlite3_column_blob(q, 1);
    if (mac && sqlite3_column_bytes(q, 1) == sizeof(e.mac.b))
        memcpy(e.mac.b, mac, sizeof(e.mac.b));
    return e;
}

static int
load_epochs(struct store *s, const struct store_load *load, struct host_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(
        s->db, "SELECT vni,mac,epoch,migration,t_us FROM epoch_max", -1, &q, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_epoch e = epoch_of(q);
        if (load && load->epoch)
            load->epoch(load->ctx, &e);
        rc = SQLITE_OK;
    }
    rc = rc == SQLITE_DONE ? 0 : fail(s, err, rc, "read the epochs");
    sqlite3_finalize(q);
    return rc;
}

static int
load_reservations(struct store *s, const struct store_load *load, struct host_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db,
        "SELECT vni,mac,epoch,migration,t_us,target FROM reservation", -1, &q, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_epoch e = epoch_of(q);
        struct ip target;
        const void *blob = sqlite3_column_blob(q, 5);
        bool whole = blob && sqlite3_column_bytes(q, 5) == sizeof(target.b);
        if (whole)
            memcpy(target.b, blob, sizeof(target.b));
        if (whole && load && load->reservation)
            load->reservation(load->ctx, &e, &target);
        rc = SQLITE_OK;
    }
    rc = rc == SQLITE_DONE ? 0 : fail(s, err, rc, "read the reservations");
    sqlite3_finalize(q);
    return rc;
}

static int
load_nves(struct store *s, const struct store_load *load, struct host_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc =
        sqlite3_prepare_v2(s->db, "SELECT name FROM nve ORDER BY name", -1, &q, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        if (load && load->nve)
            load->nve(load->ctx, (const char *)sqlite3_column_text(q, 0));
        rc = SQLITE_OK;
    }
    rc = rc == SQLITE_DONE ? 0 : fail(s, err, rc, "read the NVEs");
    sqlite3_finalize(q);
    return rc;
}

int
store_db_open(struct store *s, const struct store_load *load, struct host_err *err)
{
    char text[160];
    int64_t mark = 0;
    bool fresh = false;
    int rc = sqlite3_open_v2(s->path, &s->db,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc != SQLITE_OK)
        return fail(s, err, rc, "open");
    sqlite3_extended_result_codes(s->db, 1);
    rc = exec(
        s, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY;", "open", err);
    /* First: a read-only WAL database cannot even be read. */
    if (rc == 0 && sqlite3_db_readonly(s->db, "main") == 1)
        rc = fail(s, err, SQLITE_READONLY, "write");
    if (rc == 0)
        rc = inspect(s, &fresh, err);
    if (rc < 0)
        return rc;
    if (fresh) {
        snprintf(text, sizeof(text), "PRAGMA application_id=%d", APPLICATION_ID);
        rc = exec(s, text, "create", err);
    }
    if (rc == 0)
        rc = exec(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", "write", err);
    if (rc == 0 && fresh) {
        rc = exec(s, "BEGIN IMMEDIATE", "create", err);
        if (rc == 0)
            rc = exec(s, schema, "create", err);
        if (rc == 0)
            rc = exec(s, "COMMIT", "create", err);
    }
    if (rc == 0)
        rc = exec(s, later, "create", err);
    if (rc == 0)
        rc = load_vns(s, load, err);
    if (rc == 0)
        rc = load_epochs(s, load, err);
    if (rc == 0)
        rc = load_reservations(s, load, err);
    if (rc == 0)
        rc = load_nves(s, load, err);
    if (rc == 0)
        rc = query_int(s, "SELECT value FROM meta WHERE key='epoch_hwm'", &mark, err);
    if (rc < 0)
        return rc;
    s->next = (uint64_t)mark;
    s->limit = s->next + s->block;
    snprintf(text, sizeof(text), "UPDATE meta SET value=%llu WHERE key='epoch_hwm'",
        (unsigned long long)s->limit);
    rc = exec(s, text, "write", err);
    for (int i = 0; rc == 0 && i < SQL_N; i++) {
        int prepared = sqlite3_prepare_v3(
            s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i], NULL);
        if (prepared != SQLITE_OK)
            rc = fail(s, err, prepared, "prepare");
    }
    return rc;
}
