/* SPDX-License-Identifier: Apache-2.0 */
/* A whole authority under virtual time: its disk is a recording, its NVEs are client
 * machines joined by octets, its datagrams and answers are kept for the test to look at. */
#ifndef BERTH_TEST_NVA_RIG_H
#define BERTH_TEST_NVA_RIG_H
#include "test.h"

#include "base/mem.h"
#include "base/rng.h"
#include "core/registry.h"
#include "node/lisp_record.h"
#include "nva/node.h"
#include "proto/lisp_session.h"

#define SECRET  "a secret that all share"
#define NVES    8
#define SEEN    8192
#define DGRAMS  64
#define ANSWERS 64
#define WRITES  4096

struct rig_nve {
    struct lisp_session *s;
    struct ip vtep;
    char name[32];
    uint64_t conn; /* 0: not connected */
    bool deaf;     /* does not read */
    bool lazy;     /* does not acknowledge pushes */
    uint8_t *wire; /* octets on their way to it */
    size_t n_wire;
    struct lisp_session_event seen[SEEN];
    unsigned n_seen;
    uint64_t last_seq;
    struct ip known[NVES]; /* endpoints of the others */
    unsigned n_known, n_lists;
};
struct rig_write { /* one row that reached the disk */
    struct nva_out o;
    char name[80];
};
struct rig_dgram {
    struct ip to;
    uint16_t port;
    uint8_t p[1600];
    uint32_t size;
};
struct rig_answer {
    uint64_t conn;
    uint8_t last;
    char *text;
};
struct rig {
    struct nva *n;
    struct nva_conf conf;
    struct rig_nve nves[NVES];
    uint64_t now, conns;
    uint64_t migration; /* of registrations that carry an epoch */
    /* the disk: what is written and, when slow, what is on its way */
    struct rig_write disk[WRITES];
    unsigned n_disk, n_stored; /* stored: completions given */
    bool slow_disk;
    int disk_status;
    struct rig_dgram dgrams[DGRAMS];
    unsigned n_dgrams;
    struct rig_answer answers[ANSWERS];
    unsigned n_answers;
    unsigned n_closed;
    uint64_t last_closed;
};

static const struct nva_key rig_keys[] = {
    {"*", SECRET}, {"tor-own", "a secret of its own"}};
static const struct nva_xtr_key rig_xtrs[] = {{0, 1, 0, "routers of every site"},
    {77, 2, LISP_ALG_SHA256_128_HKDF, "routers of site 77"}};

static inline void
rig_feed(struct rig *r, const struct nva_in *in)
{
    nva_input(r->n, in, r->now);
}

static inline struct rig_nve *
rig_nve_of(struct rig *r, uint64_t conn)
{
    for (unsigned i = 0; i < NVES; i++)
        if (conn && r->nves[i].conn == conn)
            return &r->nves[i];
    return NULL;
}

static inline void
rig_write(struct rig *r, const struct nva_out *o)
{
    assert_true(r->n_disk < WRITES);
    struct rig_write *w = &r->disk[r->n_disk++];
    w->o = *o;
    if (o->name)
        snprintf(w->name, sizeof w->name, "%s", o->name);
}

static inline void
rig_out(struct rig *r, const struct nva_out *o)
{
    struct rig_nve *v;
    switch ((enum nva_out_type)o->type) {
    case NVA_OUT_STREAM_DATA:
        v = rig_nve_of(r, o->conn);
        assert_non_null(v);
        v->wire = realloc(v->wire, v->n_wire + o->size);
        memcpy(v->wire + v->n_wire, o->p, o->size);
        v->n_wire += o->size;
        break;
    case NVA_OUT_STREAM_CLOSE:
        r->n_closed++;
        r->last_closed = o->conn;
        v = rig_nve_of(r, o->conn);
        if (!v)
            break;
        if (v->n_wire && v->s)
            lisp_session_input(v->s, v->wire, v->n_wire, r->now);
        v->n_wire = 0;
        v->conn = 0;
        break;
    case NVA_OUT_UDP:
        assert_true(r->n_dgrams < DGRAMS && o->size <= sizeof r->dgrams[0].p);
        struct rig_dgram *d = &r->dgrams[r->n_dgrams++];
        d->to = o->to;
        d->port = o->to_port;
        d->size = o->size;
        memcpy(d->p, o->p, o->size);
        break;
    case NVA_OUT_STORE:
        rig_write(r, o);
        break;
    case NVA_OUT_CONTROL:
        assert_true(r->n_answers < ANSWERS);
        struct rig_answer *a = &r->answers[r->n_answers++];
        a->conn = o->conn;
        a->last = o->last;
        a->text = calloc(1, o->size + 1u);
        if (o->size)
            memcpy(a->text, o->p, o->size);
        break;
    }
}

static inline bool
rig_knows(const struct rig_nve *v, const struct ip *vtep)
{
    for (unsigned i = 0; i < v->n_known; i++)
        if (ip_equal(&v->known[i], vtep))
            return true;
    return false;
}

/* What is said of VN 0 is kept apart. */
static inline bool
rig_endpoints(struct rig_nve *v, const struct lisp_session_event *ev)
{
    if (ev->vni || ev->seq == 0)
        return false;
    if (ev->type == LISP_SEV_SNAPSHOT_BEGIN) {
        assert_int_equal(ev->seq, 1);
        v->n_known = 0;
    } else if (ev->type == LISP_SEV_SNAPSHOT_END) {
        v->n_lists++;
    } else if (ev->type != LISP_SEV_MEMBER) {
        return false;
    } else if (!ev->gone && !rig_knows(v, &ev->vtep)) {
        assert_true(v->n_known < NVES);
        v->known[v->n_known++] = ev->vtep;
    } else if (ev->gone) {
        for (unsigned i = 0; i < v->n_known; i++)
            if (ip_equal(&v->known[i], &ev->vtep))
                v->known[i] = v->known[--v->n_known];
    }
    return true;
}

/* All that the NVE's machine has to say; true when there was something. */
static inline bool
rig_nve_pull(struct rig *r, struct rig_nve *v)
{
    static struct lisp_session_out o;
    bool any = false;
    while (v->s && lisp_session_output(v->s, &o)) {
        any = true;
        switch ((enum lisp_session_out_type)o.type) {
        case LISP_SOUT_CONNECT: {
            uint8_t nonce[LISP_RT_NONCE];
            v->conn = ++r->conns;
            memset(nonce, (int)r->conns, sizeof nonce);
            struct nva_in in = {.type = NVA_IN_STREAM_OPEN, .conn = v->conn, .p = nonce,
                .size = sizeof nonce, .from = v->vtep, .from_port = 40000};
            if (r->n) {
                rig_feed(r, &in);
                lisp_session_connected(v->s, nonce, r->now);
            } else {
                v->conn = 0;
                lisp_session_closed(v->s, r->now);
            }
            break;
        }
        case LISP_SOUT_SEND: {
            uint8_t *copy = malloc(o.size);
            memcpy(copy, o.bytes, o.size);
            size_t size = o.size;
            lisp_session_written(v->s, o.size, r->now);
            struct nva_in in = {.type = NVA_IN_STREAM_DATA, .conn = v->conn, .p = copy,
                .size = (uint32_t)size};
            if (r->n && v->conn)
                rig_feed(r, &in);
            free(copy);
            break;
        }
        case LISP_SOUT_CLOSE: {
            struct nva_in in = {.type = NVA_IN_STREAM_CLOSED, .conn = v->conn};
            v->conn = 0;
            if (r->n)
                rig_feed(r, &in);
            break;
        }
        case LISP_SOUT_EVENT:
            if (!rig_endpoints(v, &o.event)) {
                assert_true(v->n_seen < SEEN);
                v->seen[v->n_seen++] = o.event;
            }
            if (o.event.seq && o.event.type != LISP_SEV_ACK) {
                v->last_seq = o.event.seq;
                if (!v->lazy)
                    lisp_session_seq_ack(v->s, o.event.seq);
            }
            break;
        }
    }
    return any;
}

static inline void
rig_stored(struct rig *r)
{
    while (r->n_stored < r->n_disk) {
        struct nva_in in = {.type = NVA_IN_STORED, .id = r->disk[r->n_stored].o.id,
            .status = r->disk_status};
        r->n_stored++;
        if (in.id)
            rig_feed(r, &in);
    }
}

/* Everybody says what he has to say, until all is quiet. */
static inline void
rig_run(struct rig *r)
{
    bool more = true;
    struct nva_out o;
    while (more) {
        more = false;
        while (r->n && nva_output(r->n, &o)) {
            more = true;
            rig_out(r, &o);
        }
        if (r->n && !r->slow_disk && r->n_stored < r->n_disk) {
            rig_stored(r);
            more = true;
        }
        for (unsigned i = 0; i < NVES; i++) {
            struct rig_nve *v = &r->nves[i];
            if (v->s && v->n_wire && !v->deaf) {
                uint8_t *copy = v->wire;
                size_t size = v->n_wire;
                v->wire = NULL;
                v->n_wire = 0;
                lisp_session_input(v->s, copy, size, r->now);
                free(copy);
                more = true;
            }
            more |= rig_nve_pull(r, v);
        }
    }
}

/* Time passes, timers fire one after the other. */
static inline void
rig_pass(struct rig *r, uint64_t us)
{
    uint64_t end = r->now + us;
    rig_run(r);
    for (;;) {
        uint64_t due = r->n ? nva_deadline(r->n) : UINT64_MAX;
        for (unsigned i = 0; i < NVES; i++)
            if (r->nves[i].s && lisp_session_deadline(r->nves[i].s) < due)
                due = lisp_session_deadline(r->nves[i].s);
        if (due > end)
            break;
        r->now = due > r->now ? due : r->now;
        struct nva_in tick = {.type = NVA_IN_TICK};
        if (r->n && nva_deadline(r->n) <= r->now)
            rig_feed(r, &tick);
        for (unsigned i = 0; i < NVES; i++)
            if (r->nves[i].s && lisp_session_deadline(r->nves[i].s) <= r->now)
                lisp_session_tick(r->nves[i].s, r->now);
        rig_run(r);
    }
    r->now = end;
}

/* Starts the authority with what is on the disk: rows replayed in order. */
static inline void
rig_start(struct rig *r)
{
    uint64_t mark = 1;
    r->conf.incarnation++;
    r->n = nva_new(&r->conf, r->now);
    struct rig_write *last_vn[64] = {0};
    for (unsigned i = 0; i < r->n_stored; i++) {
        struct rig_write *w = &r->disk[i];
        struct nva_in in = {.vni = w->o.vni, .mac = w->o.mac, .epoch = w->o.epoch,
            .migration_id = w->o.migration_id, .vn = &w->o.vn, .name = w->name};
        switch ((enum nva_store_op)w->o.store) {
        case STORE_VN_PUT:
        case STORE_VN_DEL:
            last_vn[w->o.vni % 64] = w;
            break;
        case STORE_EPOCH:
            in.type = NVA_IN_LOAD_EPOCH;
            if (w->o.epoch)
                rig_feed(r, &in);
            break;
        case STORE_EPOCH_HWM:
            mark = w->o.epoch > mark ? w->o.epoch : mark;
            break;
        case STORE_NVE_PUT:
            in.type = NVA_IN_LOAD_NVE;
            rig_feed(r, &in);
            break;
        case STORE_RESERVATION: /* the last row of its key */
            in.type = NVA_IN_LOAD_RESERVATION;
            in.target = w->o.target;
            for (unsigned j = i + 1; j < r->n_stored; j++)
                if (r->disk[j].o.store == STORE_RESERVATION &&
                    r->disk[j].o.vni == w->o.vni && mac_equal(&r->disk[j].o.mac, &w->o.mac))
                    in.epoch = 0;
            if (in.epoch)
                rig_feed(r, &in);
            break;
        }
    }
    for (unsigned i = 0; i < 64; i++)
        if (last_vn[i] && last_vn[i]->o.store == STORE_VN_PUT) {
            struct nva_in in = {.type = NVA_IN_LOAD_VN, .vn = &last_vn[i]->o.vn};
            rig_feed(r, &in);
        }
    struct nva_in in = {.type = NVA_IN_LOAD_EPOCH, .epoch = mark};
    rig_feed(r, &in);
    in = (struct nva_in){.type = NVA_IN_LOADED};
    rig_feed(r, &in);
    rig_run(r);
}

/* kill -9: what was not on the disk is gone, streams break. */
static inline void
rig_kill(struct rig *r)
{
    nva_free(r->n);
    r->n = NULL;
    r->n_disk = r->n_stored;
    for (unsigned i = 0; i < NVES; i++) {
        struct rig_nve *v = &r->nves[i];
        if (!v->s || !v->conn)
            continue;
        v->conn = 0;
        v->n_wire = 0;
        lisp_session_closed(v->s, r->now);
    }
    rig_run(r);
}

static inline struct rig *
rig_new(void)
{
    struct rig *r = calloc(1, sizeof *r);
    r->now = 1000000;
    r->conf = (struct nva_conf){.name = "authority", .keys = rig_keys, .n_keys = 2,
        .xtr_keys = rig_xtrs, .n_xtr_keys = 2, .seed = 7, .incarnation = 100};
    return r;
}

static inline void
rig_forget(struct rig *r)
{
    for (unsigned i = 0; i < r->n_answers; i++)
        free(r->answers[i].text);
    r->n_answers = r->n_dgrams = 0;
    for (unsigned i = 0; i < NVES; i++)
        r->nves[i].n_seen = 0;
}

static inline void
rig_free(struct rig *r)
{
    nva_free(r->n);
    rig_forget(r);
    for (unsigned i = 0; i < NVES; i++) {
        lisp_session_free(r->nves[i].s);
        free(r->nves[i].wire);
    }
    free(r);
}

static inline struct rig_nve *
rig_nve_with(struct rig *r, unsigned i, const char *name, const char *secret)
{
    struct rig_nve *v = &r->nves[i];
    v->vtep = ip_v4(0x0aff0000 + i + 1);
    snprintf(v->name, sizeof v->name, "%s", name);
    struct lisp_session_conf c = {.id = v->name, .vtep = v->vtep,
        .key = (const uint8_t *)secret, .key_size = strlen(secret), .seed = i + 1};
    v->s = lisp_session_new_client(&c, r->now);
    rig_run(r);
    return v;
}

static inline struct rig_nve *
rig_nve(struct rig *r, unsigned i)
{
    char name[32];
    snprintf(name, sizeof name, "tor%u", i + 1);
    return rig_nve_with(r, i, name, SECRET);
}

/* The last event of that type; NULL: none was seen. */
static inline struct lisp_session_event *
rig_event(struct rig_nve *v, uint8_t type)
{
    for (unsigned i = v->n_seen; i > 0; i--)
        if (v->seen[i - 1].type == type)
            return &v->seen[i - 1];
    return NULL;
}

static inline unsigned
rig_count(const struct rig_nve *v, uint8_t type)
{
    unsigned n = 0;
    for (unsigned i = 0; i < v->n_seen; i++)
        n += v->seen[i].type == type;
    return n;
}

static inline struct mac
rig_mac(uint32_t i)
{
    return (struct mac){{2, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8),
        (uint8_t)i}};
}

static inline void
rig_register(struct rig *r, struct rig_nve *v, uint64_t ref, uint32_t vni, uint32_t i,
    uint64_t epoch, uint8_t flags)
{
    struct mapping_rec m = {.vni = vni, .mac = rig_mac(i), .n_ips = 1,
        .ips = {ip_v4(0x0a000000 + i)}, .owner = v->vtep, .epoch = epoch,
        .migration_id = epoch ? r->migration : 0};
    struct lisp_record rec;
    lisp_record_of(&m, NULL, &rec);
    assert_true(lisp_session_register(v->s, ref, flags, &rec));
    rig_run(r);
}

/* A request and its answer: rows and all in one text, the end's kind in *last. */
static inline const char *
rig_ctl(struct rig *r, const char *request, uint8_t *last)
{
    static uint64_t conn = 1;
    struct nva_in in = {.type = NVA_IN_CONTROL, .conn = ++conn,
        .p = (const uint8_t *)request, .size = (uint32_t)strlen(request)};
    unsigned from = r->n_answers;
    rig_feed(r, &in);
    rig_run(r);
    if (r->n_answers == from) {
        *last = 99;
        return "";
    }
    *last = r->answers[r->n_answers - 1].last;
    return r->answers[r->n_answers - 1].text;
}

static inline void
rig_vn(struct rig *r, uint32_t vni, const char *more)
{
    char text[256];
    uint8_t last;
    snprintf(text, sizeof text, "{\"cmd\":\"vn add\",\"vni\":%u,\"name\":\"vn%u\"%s}", vni,
        vni, more);
    const char *answer = rig_ctl(r, text, &last);
    if (last != 1)
        print_message("%s: %s\n", text, answer);
    assert_int_equal(last, 1);
}
#endif
