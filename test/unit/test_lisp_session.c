/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends joined by octets in random pieces, and an attacker who writes his own. */
#include "test.h"

#include "lisp_gen.h"
#include "proto/lisp_session.h"

#define EVENTS_MAX 4096
static const uint8_t KEY[] = "a key of this NVE alone";

/* One end, what it told, and the octets on their way from it to the other. */
struct end {
    struct lisp_session *s;
    struct lisp_session_event *events;
    char (*ids)[LISP_RT_NAME + 1];
    unsigned n_events, n_connects, n_closes;
    uint8_t *wire;
    size_t n_wire, sent; /* sent: all octets so far */
    bool deaf;           /* written is not reported */
};
struct pair {
    struct end nve, nva;
    struct rng rng;
    uint64_t now;
    size_t chunk; /* 0: random */
};

static const struct lisp_session_conf nve_conf = {.id = "tor-1",
    .key = KEY,
    .key_size = sizeof KEY,
    .vtep = {{[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}},
    .seed = 1};
static const struct lisp_session_conf nva_conf = {
    .id = "authority", .incarnation = 77, .seed = 2};

static void
end_free(struct end *e)
{
    lisp_session_free(e->s);
    free(e->events);
    free(e->ids);
    free(e->wire);
    memset(e, 0, sizeof *e);
}

static void
end_init(struct end *e, struct lisp_session *s)
{
    memset(e, 0, sizeof *e);
    e->s = s;
    e->events = calloc(EVENTS_MAX, sizeof *e->events);
    e->ids = calloc(EVENTS_MAX, sizeof *e->ids);
    e->wire = malloc(1 << 22);
}

static void
drain(struct pair *p, struct end *e)
{
    static struct lisp_session_out out;
    while (lisp_session_output(e->s, &out)) {
        switch ((enum lisp_session_out_type)out.type) {
        case LISP_SOUT_CONNECT:
            e->n_connects++;
            break;
        case LISP_SOUT_SEND:
            assert_true(e->n_wire + out.size < 1 << 22);
            memcpy(e->wire + e->n_wire, out.bytes, out.size);
            e->n_wire += out.size;
            e->sent += out.size;
            if (!e->deaf)
                lisp_session_written(e->s, out.size, p->now);
            break;
        case LISP_SOUT_CLOSE:
            e->n_closes++;
            break;
        case LISP_SOUT_EVENT:
            assert_true(e->n_events < EVENTS_MAX);
            if (out.event.id) {
                strcpy(e->ids[e->n_events], out.event.id);
                out.event.id = e->ids[e->n_events];
            }
            e->events[e->n_events++] = out.event;
            if (out.event.type == LISP_SEV_NEED_KEY)
                lisp_session_key(e->s, strcmp(out.event.id, "tor-1") == 0 ? KEY : NULL,
                    sizeof KEY, p->now);
            break;
        }
    }
}

/* Some octets from a to b; true when there were any. */
static bool
carry(struct pair *p, struct end *a, struct end *b)
{
    if (!a->n_wire)
        return false;
    size_t n = p->chunk ? p->chunk : 1 + rng_below(&p->rng, 400);
    n = n < a->n_wire ? n : a->n_wire;
    uint8_t *piece = malloc(n); /* its own block, so that over-reading is seen */
    memcpy(piece, a->wire, n);
    lisp_session_input(b->s, piece, n, p->now);
    free(piece);
    memmove(a->wire, a->wire + n, a->n_wire - n);
    a->n_wire -= n;
    drain(p, b);
    return true;
}

static void
settle(struct pair *p)
{
    drain(p, &p->nve);
    drain(p, &p->nva);
    bool more = true;
    while (more) {
        more = carry(p, &p->nve, &p->nva);
        more |= carry(p, &p->nva, &p->nve);
    }
}

static void
pair_new(struct pair *p, uint64_t seed, size_t chunk)
{
    memset(p, 0, sizeof *p);
    rng_seed(&p->rng, seed);
    p->chunk = chunk;
    p->now = 1000000;
    end_init(&p->nve, lisp_session_new_client(&nve_conf, p->now));
    uint8_t nonce[LISP_RT_NONCE];
    rng_bytes(&p->rng, nonce, sizeof nonce);
    end_init(&p->nva, lisp_session_new_server(&nva_conf, nonce, p->now));
    drain(p, &p->nve);
    assert_int_equal(p->nve.n_connects, 1);
    rng_bytes(&p->rng, nonce, sizeof nonce);
    lisp_session_connected(p->nve.s, nonce, p->now);
}

static void
pair_up(struct pair *p, uint64_t seed, size_t chunk)
{
    pair_new(p, seed, chunk);
    settle(p);
    assert_true(lisp_session_is_up(p->nve.s) && lisp_session_is_up(p->nva.s));
}

static void
pair_free(struct pair *p)
{
    end_free(&p->nve);
    end_free(&p->nva);
}

static const struct lisp_session_event *
last(const struct end *e, uint8_t type)
{
    assert_true(e->n_events > 0);
    const struct lisp_session_event *ev = &e->events[e->n_events - 1];
    assert_int_equal(ev->type, type);
    return ev;
}

static void
handshake(void **state)
{
    (void)state;
    struct pair p;
    pair_up(&p, 1, 1); /* octet by octet */
    assert_int_equal(p.nva.n_events, 2);
    assert_int_equal(p.nva.events[0].type, LISP_SEV_NEED_KEY);
    assert_int_equal(p.nva.events[1].type, LISP_SEV_AUTHENTICATED);
    assert_string_equal(p.nva.events[1].id, "tor-1");
    assert_true(ip_equal(&p.nva.events[1].vtep, &nve_conf.vtep));
    const struct lisp_session_event *up = last(&p.nve, LISP_SEV_UP);
    assert_string_equal(up->id, "authority");
    assert_int_equal(up->incarnation, 77);
    pair_free(&p);
}

static void
verbs(void **state)
{
    (void)state;
    struct pair p;
    pair_up(&p, 2, 0);
    struct lisp_session *c = p.nve.s, *s = p.nva.s;
    struct lisp_record rec = gen_record(&p.rng, true);
    struct ip owner = ip_v4(0xc0000201);
    struct mac mac = gen_mac(&p.rng);
    const struct lisp_session_event *ev;

    assert_true(lisp_session_register(c, 5, LISP_RT_F_CLAIM, &rec));
    settle(&p);
    ev = last(&p.nva, LISP_SEV_REGISTER);
    assert_int_equal(ev->ref, 5);
    assert_int_equal(ev->flags, LISP_RT_F_CLAIM);
    assert_record_equal(&ev->record, &rec);
    assert_true(lisp_session_ack(s, 5, 9, 10));
    settle(&p);
    ev = last(&p.nve, LISP_SEV_ACK);
    assert_true(ev->ref == 5 && ev->epoch == 9 && ev->migration_id == 10);

    assert_true(lisp_session_register_end(c));
    settle(&p);
    last(&p.nva, LISP_SEV_REGISTER_END);

    assert_true(lisp_session_withdraw(c, 6, &rec.eid, &owner, 9));
    settle(&p);
    ev = last(&p.nva, LISP_SEV_WITHDRAW);
    assert_true(ev->ref == 6 && ev->epoch == 9 && ip_equal(&ev->owner, &owner) &&
                lisp_eid_equal(&ev->eid, &rec.eid));
    struct lisp_rt_answer no = {.ref = 6,
        .reason = LISP_RT_R_NOT_OWNER,
        .epoch = 11,
        .migration_id = 3,
        .owner = owner};
    assert_true(lisp_session_reject(s, &no));
    settle(&p);
    ev = last(&p.nve, LISP_SEV_REJECT);
    assert_true(ev->ref == 6 && ev->reason == LISP_RT_R_NOT_OWNER && ev->epoch == 11 &&
                ip_equal(&ev->owner, &owner));

    for (uint64_t vsi = 0; vsi < 2; vsi++) { /* without one it is another message */
        assert_true(lisp_session_reserve(c, 7, 4096, &mac, vsi, 2, 8));
        settle(&p);
        ev = last(&p.nva, LISP_SEV_RESERVE);
        assert_true(ev->ref == 7 && ev->vni == 4096 && ev->epoch == 2 &&
                    ev->migration_id == 8 && ev->vsi == vsi &&
                    mac_equal(&ev->mac, &mac));
    }
    assert_true(lisp_session_grant(s, 7, 12, 8));
    settle(&p);
    ev = last(&p.nve, LISP_SEV_GRANT);
    assert_true(ev->ref == 7 && ev->epoch == 12 && ev->migration_id == 8);

    assert_true(lisp_session_vn_lookup(c, 8, 0, "blue"));
    settle(&p);
    ev = last(&p.nva, LISP_SEV_VN_LOOKUP);
    assert_int_equal(ev->ref, 8);
    assert_string_equal(ev->vn.name, "blue");
    struct lisp_rt_vn vn = {.ref = 8,
        .vni = 4096,
        .mtu = 1450,
        .arp_policy = 1,
        .reply_mode = LISP_VN_DISTRIBUTED,
        .flags = LISP_VN_F_PULL,
        .name_size = 4,
        .name = "blue"};
    assert_true(lisp_session_vn_record(s, &vn));
    settle(&p);
    ev = last(&p.nve, LISP_SEV_VN);
    assert_memory_equal(
        &ev->vn, &vn, offsetof(struct lisp_rt_vn, name) + sizeof vn.name);

    assert_true(lisp_session_subscribe(c, 4096));
    settle(&p);
    assert_int_equal(last(&p.nva, LISP_SEV_SUBSCRIBE)->vni, 4096);
    uint64_t seq;
    assert_true(lisp_session_snapshot(s, 4096, true, &seq) && seq == 1);
    assert_true(lisp_session_member(s, 4096, &owner, false, &seq) && seq == 2);
    assert_true(lisp_session_notify(s, 0, &rec, &seq) && seq == 3);
    assert_true(lisp_session_notify(s, 0, &rec, &seq) && seq == 4);
    assert_true(lisp_session_snapshot(s, 4096, false, &seq) && seq == 5);
    unsigned at = p.nve.n_events;
    settle(&p);
    static const uint8_t order[] = {LISP_SEV_SNAPSHOT_BEGIN, LISP_SEV_MEMBER,
        LISP_SEV_NOTIFY, LISP_SEV_NOTIFY, LISP_SEV_SNAPSHOT_END};
    assert_int_equal(p.nve.n_events, at + 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(p.nve.events[at + i].type, order[i]);
        assert_int_equal(p.nve.events[at + i].seq, i + 1);
    }
    assert_false(lisp_session_seq_ack(c, 6)); /* not seen yet */
    assert_true(lisp_session_seq_ack(c, 3) && lisp_session_seq_ack(c, 5));
    assert_false(lisp_session_seq_ack(c, 4));
    at = p.nva.n_events;
    settle(&p);
    assert_int_equal(last(&p.nva, LISP_SEV_SEQ_ACK)->seq, 5);
    assert_int_equal(p.nva.n_events, at + 1); /* cumulative: one for both */

    assert_true(lisp_session_confirm(s, &rec.eid, 9));
    settle(&p);
    assert_int_equal(last(&p.nve, LISP_SEV_CONFIRM)->epoch, 9);
    assert_true(lisp_session_who_has(s, &rec.eid));
    settle(&p);
    assert_true(lisp_eid_equal(&last(&p.nve, LISP_SEV_WHO_HAS)->eid, &rec.eid));
    struct lisp_rt_reserved res = {
        .epoch = 77, .migration_id = 9, .vni = 4096, .mac = mac, .target = owner};
    assert_true(lisp_session_reserved(s, &res, false));
    settle(&p);
    ev = last(&p.nve, LISP_SEV_RESERVED);
    assert_true(ev->epoch == 77 && ev->migration_id == 9 && ev->vni == 4096 &&
                mac_equal(&ev->mac, &mac) && ip_equal(&ev->owner, &owner));
    assert_false(ev->gone);
    assert_true(lisp_session_reserved(s, &res, true));
    settle(&p);
    ev = last(&p.nve, LISP_SEV_RESERVED);
    assert_true(ev->gone && ev->epoch == 77 && ip_equal(&ev->owner, &owner));
    assert_false(lisp_session_reserved(c, &res, true));
    assert_true(lisp_session_unsubscribe(c, 4096));
    settle(&p);
    last(&p.nva, LISP_SEV_UNSUBSCRIBE);

    /* verbs of the other end are refused, and change nothing */
    assert_false(lisp_session_ack(c, 1, 1, 1));
    assert_false(lisp_session_subscribe(s, 1));
    assert_true(lisp_session_is_up(c) && lisp_session_is_up(s));

    lisp_session_stop(c, LISP_RT_R_SHUTDOWN, p.now);
    settle(&p);
    assert_int_equal(last(&p.nva, LISP_SEV_CLOSED)->reason, LISP_RT_R_SHUTDOWN);
    assert_int_equal(p.nve.n_closes, 1);
    assert_int_equal(lisp_session_deadline(c), TIMER_NEVER);
    assert_false(lisp_session_subscribe(c, 1));
    pair_free(&p);
}

/* Bursts of random verbs from both ends arrive whole, in order, as they were said. */
static void
bursts(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct pair p;
        pair_up(&p, seed, seed % 3 ? 0 : 5000);
        struct lisp_record *sent = calloc(1500, sizeof *sent);
        unsigned n_up = 0, n_down = 0, base_up = p.nva.n_events,
                 base_down = p.nve.n_events;
        uint8_t kind_up[1500], kind_down[1500];
        for (int i = 0; i < 700; i++) {
            struct lisp_record rec = gen_record(&p.rng, true);
            if (rng_chance(&p.rng, 500000)) {
                sent[n_up + n_down] = rec;
                kind_up[n_up] = rng_below(&p.rng, 3);
                if (kind_up[n_up] == 0)
                    assert_true(lisp_session_subscribe(p.nve.s, 1 + n_up));
                else
                    assert_true(lisp_session_register(p.nve.s, n_up, 0, &rec));
                n_up++;
            } else {
                kind_down[n_down] = rng_below(&p.rng, 2);
                if (kind_down[n_down] == 0)
                    assert_true(lisp_session_ack(p.nva.s, n_down, 1, 1));
                else
                    assert_true(lisp_session_notify(p.nva.s, 0, &rec, NULL));
                n_down++;
            }
            if (rng_chance(&p.rng, 100000))
                settle(&p);
            else if (rng_chance(&p.rng, 300000))
                drain(&p, &p.nve);
        }
        settle(&p);
        assert_int_equal(p.nva.n_events - base_up, n_up);
        assert_int_equal(p.nve.n_events - base_down, n_down);
        for (unsigned i = 0; i < n_up; i++) {
            const struct lisp_session_event *ev = &p.nva.events[base_up + i];
            assert_int_equal(
                ev->type, kind_up[i] ? LISP_SEV_REGISTER : LISP_SEV_SUBSCRIBE);
            assert_int_equal(kind_up[i] ? ev->ref : ev->vni - 1, i);
        }
        uint64_t seq = 0;
        for (unsigned i = 0; i < n_down; i++) {
            const struct lisp_session_event *ev = &p.nve.events[base_down + i];
            assert_int_equal(ev->type, kind_down[i] ? LISP_SEV_NOTIFY : LISP_SEV_ACK);
            assert_int_equal(
                kind_down[i] ? ev->seq : ev->ref, kind_down[i] ? ++seq : i);
        }
        /* batches: far fewer frames than entries */
        assert_true(lisp_session_counter(p.nve.s, LISP_SC_FRAMES_OUT) < n_up);
        free(sent);
        pair_free(&p);
    }
}

/* The connection breaks after any number of octets, in either direction. */
static void
cut_anywhere(void **state)
{
    (void)state;
    for (int dir = 0; dir < 2; dir++)
        for (size_t k = 0;; k++) {
            struct pair p;
            pair_new(&p, 3, 0);
            struct end *from = dir ? &p.nva : &p.nve, *to = dir ? &p.nve : &p.nva;
            size_t passed = 0;
            bool said = false, more = true;
            drain(&p, &p.nve);
            while (more && passed < k) {
                p.chunk = 1;
                more = carry(&p, from, to);
                passed += more;
                p.chunk = 4096;
                more |= carry(&p, to, from);
                if (!said && lisp_session_is_up(p.nve.s) &&
                    lisp_session_is_up(p.nva.s)) {
                    said = true;
                    struct lisp_record rec = gen_record(&p.rng, true);
                    lisp_session_register(p.nve.s, 1, 0, &rec);
                    lisp_session_notify(p.nva.s, 0, &rec, NULL);
                    drain(&p, &p.nve);
                    drain(&p, &p.nva);
                    more = true;
                }
            }
            bool done = !more;
            lisp_session_closed(p.nve.s, p.now);
            lisp_session_closed(p.nva.s, p.now);
            drain(&p, &p.nve);
            drain(&p, &p.nva);
            assert_int_equal(last(&p.nve, LISP_SEV_DOWN)->reason, LISP_RT_R_LOST);
            last(&p.nva, LISP_SEV_CLOSED);
            assert_int_equal(p.nve.n_closes, 0);
            /* and comes back */
            p.now = lisp_session_deadline(p.nve.s);
            lisp_session_tick(p.nve.s, p.now);
            p.nve.n_wire = 0;
            end_free(&p.nva);
            uint8_t nonce[LISP_RT_NONCE];
            rng_bytes(&p.rng, nonce, sizeof nonce);
            end_init(&p.nva, lisp_session_new_server(&nva_conf, nonce, p.now));
            drain(&p, &p.nve);
            assert_int_equal(p.nve.n_connects, 2);
            rng_bytes(&p.rng, nonce, sizeof nonce);
            lisp_session_connected(p.nve.s, nonce, p.now);
            settle(&p);
            last(&p.nve, LISP_SEV_UP);
            pair_free(&p);
            if (done)
                break;
        }
}

/* Any octet changed after the handshake: the session ends, nothing of it is believed.
 */
static void
forged_octets(void **state)
{
    (void)state;
    for (size_t k = 0; k < 180; k++) {
        struct pair p;
        pair_up(&p, 4, 4096);
        struct lisp_record rec = {.ttl_min = 3};
        struct ip ip = ip_v4(1);
        rec.eid = lisp_eid_ip(1, &ip);
        lisp_session_register(p.nve.s, 1, 0, &rec);
        lisp_session_register(p.nve.s, 2, 0, &rec);
        drain(&p, &p.nve);
        size_t n = p.nve.n_wire;
        unsigned before = p.nva.n_events;
        if (k < n)
            p.nve.wire[k] ^= 1 + rng_below(&p.rng, 255);
        while (carry(&p, &p.nve, &p.nva))
            continue;
        if (k >= n) {
            assert_int_equal(p.nva.n_events, before + 2);
            pair_free(&p);
            break;
        }
        if (p.nva.n_events != before) {
            uint8_t reason = last(&p.nva, LISP_SEV_CLOSED)->reason;
            assert_true(reason == LISP_RT_R_AUTH || reason == LISP_RT_R_PROTOCOL);
            assert_int_equal(p.nva.n_events, before + 1);
        } else { /* a longer length: it waits for the rest, and dies of silence */
            p.now = lisp_session_deadline(p.nva.s);
            p.now += 60000000;
            lisp_session_tick(p.nva.s, p.now);
            drain(&p, &p.nva);
            assert_int_equal(last(&p.nva, LISP_SEV_CLOSED)->reason, LISP_RT_R_LIVENESS);
        }
        pair_free(&p);
    }
}

static void
replays(void **state)
{
    (void)state;
    struct pair p, q;
    pair_new(&p, 5, 4096);
    drain(&p, &p.nve);
    uint8_t log[4096];
    size_t n = 0;
    for (int i = 0; i < 4; i++) { /* all that the NVE says, kept by a listener */
        memcpy(log + n, p.nve.wire, p.nve.n_wire);
        n += p.nve.n_wire;
        carry(&p, &p.nve, &p.nva);
        carry(&p, &p.nva, &p.nve);
    }
    assert_true(lisp_session_is_up(p.nva.s));
    pair_new(&q, 6, 4096);
    lisp_session_input(q.nva.s, log, n, q.now);
    drain(&q, &q.nva);
    assert_int_equal(last(&q.nva, LISP_SEV_CLOSED)->reason, LISP_RT_R_AUTH);
    pair_free(&q);

    lisp_session_subscribe(p.nve.s, 9); /* the same frame twice in one session */
    drain(&p, &p.nve);
    size_t once = p.nve.n_wire;
    memcpy(p.nve.wire + once, p.nve.wire, once);
    p.nve.n_wire *= 2;
    unsigned before = p.nva.n_events;
    while (carry(&p, &p.nve, &p.nva))
        continue;
    assert_int_equal(p.nva.n_events, before + 2);
    assert_int_equal(p.nva.events[before].type, LISP_SEV_SUBSCRIBE);
    assert_int_equal(last(&p.nva, LISP_SEV_CLOSED)->reason, LISP_RT_R_AUTH);
    assert_int_equal(lisp_session_counter(p.nva.s, LISP_SC_BAD_TAG), 1);
    pair_free(&p);
}

static void
strangers(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        struct pair p;
        pair_new(&p, 7, 0);
        struct lisp_session_conf conf = nve_conf;
        if (what == 0)
            conf.key = (const uint8_t *)"another key, but as long";
        else if (what == 1)
            conf.id = "tor-2"; /* nobody knows it */
        end_free(&p.nve);
        end_init(&p.nve, lisp_session_new_client(&conf, p.now));
        drain(&p, &p.nve);
        uint8_t nonce[LISP_RT_NONCE] = {what};
        lisp_session_connected(p.nve.s, nonce, p.now);
        drain(&p, &p.nve);
        if (what == 2)
            p.nve.wire[LISP_RT_HEAD] = 9; /* version */
        settle(&p);
        uint8_t want = what == 2 ? LISP_RT_R_VERSION : LISP_RT_R_AUTH;
        assert_int_equal(last(&p.nva, LISP_SEV_CLOSED)->reason, want);
        assert_int_equal(last(&p.nve, LISP_SEV_DOWN)->reason, want);
        assert_int_equal(p.nva.n_closes, 1);
        for (unsigned i = 0; i < p.nva.n_events; i++)
            assert_int_not_equal(p.nva.events[i].type, LISP_SEV_AUTHENTICATED);
        /* no hammering after such an answer */
        assert_true(lisp_session_deadline(p.nve.s) >= p.now + 5000000);
        pair_free(&p);
    }
    /* a false authority, which has no key, is not believed */
    struct pair p;
    pair_new(&p, 8, 4096);
    drain(&p, &p.nve);
    uint8_t b[256];
    struct wr w = wr_of(b, sizeof b);
    struct lisp_rt_hello hello = {.version = 1, .id_size = 1, .id = "x"};
    size_t at = lisp_rt_frame_begin(&w, LISP_RT_CHALLENGE, 1);
    lisp_rt_hello_put(&w, false, &hello);
    lisp_rt_frame_end(&w, at);
    struct lisp_rt_welcome wel = {1, 1000, 0, {0}};
    at = lisp_rt_frame_begin(&w, LISP_RT_WELCOME, 2);
    lisp_rt_welcome_put(&w, &wel);
    lisp_rt_frame_end(&w, at);
    lisp_session_input(p.nve.s, b, w.pos, p.now);
    drain(&p, &p.nve);
    assert_int_equal(last(&p.nve, LISP_SEV_DOWN)->reason, LISP_RT_R_AUTH);
    pair_free(&p);
}

/* Well-formed frames at the wrong time or place, and frames that are none. */
static void
intruders(void **state)
{
    (void)state;
    static const uint16_t types[] = {LISP_RT_REGISTER, LISP_RT_AUTH, LISP_RT_WELCOME,
        LISP_RT_CHALLENGE, LISP_RT_SUBSCRIBE, LISP_RT_KEEPALIVE, LISP_RT_NOTIFY,
        0x1234};
    uint8_t b[128] = {0};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (size_t size = 0; size < 64; size += 4) {
            struct pair p;
            pair_new(&p, 9, 0);
            struct wr w = wr_of(b, sizeof b);
            size_t at = lisp_rt_frame_begin(&w, types[i], 1);
            wr_zero(&w, size);
            lisp_rt_frame_end(&w, at);
            lisp_session_input(p.nva.s, b, w.pos, p.now);
            drain(&p, &p.nva);
            assert_int_equal(p.nva.n_events, 1);
            assert_int_equal(last(&p.nva, LISP_SEV_CLOSED)->reason, LISP_RT_R_PROTOCOL);
            assert_int_equal(p.nva.n_closes, 1);
            lisp_session_input(p.nva.s, b, w.pos, p.now); /* after the end: nothing */
            drain(&p, &p.nva);
            assert_int_equal(p.nva.n_events, 1);
            pair_free(&p);
        }
    for (int i = 0; i < 200; i++) {
        struct pair p;
        pair_new(&p, 10 + i, 0);
        uint8_t junk[64];
        rng_bytes(&p.rng, junk, sizeof junk);
        junk[2] = 0xff; /* a length beyond the longest frame */
        lisp_session_input(p.nva.s, junk, sizeof junk, p.now);
        drain(&p, &p.nva);
        last(&p.nva, LISP_SEV_CLOSED);
        pair_free(&p);
    }
}

/* A frame as an authenticated but ill-meaning peer can write it. */
static size_t
sealed_frame(struct pair *p, bool from_nva, uint64_t number, uint16_t type,
    const uint8_t *body, size_t size, uint8_t *out)
{
    struct lisp_rt_hello nve = {.version = 1,
                             .id_size = 5,
                             .id = "tor-1",
                             .vtep = nve_conf.vtep},
                         nva = {.version = 1, .id_size = 9, .id = "authority"};
    struct rng again;
    rng_seed(&again, 21);
    rng_bytes(&again, nva.nonce, sizeof nva.nonce);
    rng_bytes(&again, nve.nonce, sizeof nve.nonce);
    (void)p;
    struct lisp_rt_keys keys;
    lisp_rt_session_keys(KEY, sizeof KEY, &nve, &nva, &keys);
    struct wr w = wr_of(out, 512);
    size_t at = lisp_rt_frame_begin(&w, type, 1);
    wr_bytes(&w, body, size);
    wr_zero(&w, LISP_RT_TAG);
    lisp_rt_frame_end(&w, at);
    lisp_rt_tag(from_nva ? &keys.nva : &keys.nve, number, out, LISP_RT_HEAD + size,
        out + LISP_RT_HEAD + size);
    return w.pos;
}

static void
liars(void **state)
{
    (void)state;
    static const uint8_t ack99[8] = {[7] = 99}, gap[40] = {[7] = 5},
                         snap[12] = {[3] = 1}, vni0[4] = {0}, odd[5] = {0, 0, 0, 1, 7};
    static const struct {
        bool to_nve;
        uint16_t type;
        const uint8_t *body;
        size_t size;
    } lies[] = {
        {false, LISP_RT_SEQ_ACK,      ack99, 8 },
        {false, LISP_RT_SUBSCRIBE,    vni0,  4 },
        {false, LISP_RT_SUBSCRIBE,    odd,   5 },
        {false, LISP_RT_NOTIFY,       gap,   40},
        {false, LISP_RT_HELLO,        gap,   40},
        {false, LISP_RT_REGISTER,     gap,   40},
        {true,  LISP_RT_NOTIFY,       gap,   40},
        {true,  LISP_RT_SNAPSHOT_END, snap,  12},
        {true,  LISP_RT_WELCOME,      gap,   40},
        {true,  LISP_RT_ERROR,        gap,   12},
    };
    uint8_t b[512];
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct pair p;
        pair_up(&p, 21, 0);
        struct end *e = lies[i].to_nve ? &p.nve : &p.nva;
        size_t n = sealed_frame(
            &p, lies[i].to_nve, 0, lies[i].type, lies[i].body, lies[i].size, b);
        lisp_session_input(e->s, b, n, p.now);
        drain(&p, e);
        uint8_t reason =
            last(e, lies[i].to_nve ? LISP_SEV_DOWN : LISP_SEV_CLOSED)->reason;
        assert_true(reason == LISP_RT_R_MALFORMED || reason == LISP_RT_R_PROTOCOL);
        assert_int_equal(lisp_session_counter(e->s, LISP_SC_BAD_TAG), 0);
        pair_free(&p);
    }
}

/* What a later version may have to say is skipped, and the session goes on. */
static void
later_versions(void **state)
{
    (void)state;
    static const uint8_t body[40] = {[7] = 5};
    uint8_t b[512];
    for (int to_nve = 0; to_nve < 2; to_nve++)
        for (size_t size = 0; size <= sizeof body; size += 8) {
            struct pair p;
            pair_up(&p, 21, 0);
            struct end *e = to_nve ? &p.nve : &p.nva;
            unsigned at = e->n_events;
            size_t n = sealed_frame(&p, to_nve, 0, 0xfb7e, body, size, b);
            lisp_session_input(e->s, b, n, p.now);
            n = sealed_frame(&p, to_nve, 1, LISP_RT_KEEPALIVE, NULL, 0, b);
            lisp_session_input(e->s, b, n, p.now);
            drain(&p, e);
            assert_int_equal(e->n_events, at);
            assert_int_equal(e->n_closes, 0);
            assert_true(lisp_session_is_up(e->s));
            assert_int_equal(lisp_session_counter(e->s, LISP_SC_SKIPPED), 1);
            /* but not where anybody could have written it */
            n = sealed_frame(&p, to_nve, 7, 0xfb7e, body, size, b);
            lisp_session_input(e->s, b, n, p.now);
            drain(&p, e);
            assert_false(lisp_session_is_up(e->s));
            pair_free(&p);
        }
}

static void
slow_reader(void **state)
{
    (void)state;
    struct pair p;
    pair_up(&p, 11, 0);
    p.nva.deaf = true; /* the socket takes what fits its window, then no more */
    struct lisp_record rec = gen_record(&p.rng, true);
    size_t most = 0;
    unsigned n = 0;
    while (lisp_session_notify(p.nva.s, 0, &rec, NULL)) {
        n++;
        drain(&p, &p.nva);
        p.nva.n_wire = 0;
        size_t backlog = lisp_session_backlog(p.nva.s);
        most = backlog > most ? backlog : most;
        assert_true(n < 10000000);
    }
    assert_true(most <= lisp_session_settings[LISP_SESSION_OUT_MAX].def);
    assert_true(most > lisp_session_settings[LISP_SESSION_OUT_MAX].def / 2);
    drain(&p, &p.nva);
    assert_int_equal(last(&p.nva, LISP_SEV_CLOSED)->reason, LISP_RT_R_SLOW);
    assert_int_equal(p.nva.n_closes, 1);
    assert_int_equal(lisp_session_counter(p.nva.s, LISP_SC_SLOW), 1);
    pair_free(&p);
}

static void
liveness(void **state)
{
    (void)state;
    struct pair p;
    pair_up(&p, 12, 0);
    uint64_t end = p.now + 120000000;
    while (p.now < end) { /* keep-alives alone keep it up */
        uint64_t a = lisp_session_deadline(p.nve.s), b = lisp_session_deadline(p.nva.s);
        p.now = a < b ? a : b;
        lisp_session_tick(p.nve.s, p.now);
        lisp_session_tick(p.nva.s, p.now);
        settle(&p);
        assert_true(lisp_session_is_up(p.nve.s) && lisp_session_is_up(p.nva.s));
    }
    assert_true(lisp_session_counter(p.nva.s, LISP_SC_FRAMES_IN) < 40);
    /* the line goes dead: each finds out within the hold time, at its deadlines */
    uint64_t silent = p.now;
    while (lisp_session_is_up(p.nve.s)) {
        p.now = lisp_session_deadline(p.nve.s);
        lisp_session_tick(p.nve.s, p.now);
        drain(&p, &p.nve);
        assert_true(p.now <= silent + 16000000);
    }
    assert_int_equal(last(&p.nve, LISP_SEV_DOWN)->reason, LISP_RT_R_LIVENESS);
    assert_int_equal(p.nve.n_closes, 1);

    /* nobody answers: attempts further and further apart, up to the bound */
    uint64_t pause = 0;
    for (int i = 0; i < 12; i++) {
        uint64_t before = p.now;
        assert_string_equal(lisp_session_state_str(p.nve.s), "IDLE");
        p.now = lisp_session_deadline(p.nve.s);
        pause = p.now - before;
        assert_true(pause <= 10000000);
        lisp_session_tick(p.nve.s, p.now);
        drain(&p, &p.nve);
        lisp_session_closed(p.nve.s, p.now); /* refused */
        drain(&p, &p.nve);
    }
    assert_true(pause >= 5000000);
    assert_int_equal(p.nve.n_connects, 13);

    /* connected, but no word: the handshake has a limit too */
    p.now = lisp_session_deadline(p.nve.s);
    lisp_session_tick(p.nve.s, p.now);
    drain(&p, &p.nve);
    uint8_t nonce[LISP_RT_NONCE] = {1};
    lisp_session_connected(p.nve.s, nonce, p.now);
    drain(&p, &p.nve);
    p.now = lisp_session_deadline(p.nve.s);
    lisp_session_tick(p.nve.s, p.now);
    drain(&p, &p.nve);
    assert_int_equal(last(&p.nve, LISP_SEV_DOWN)->reason, LISP_RT_R_LIVENESS);
    pair_free(&p);
}

static void
names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LISP_SC_N; i++)
        assert_string_not_equal(lisp_session_counter_name(i), "?");
    assert_string_equal(lisp_session_counter_name(LISP_SC_N), "?");
    for (unsigned i = 0; i < LISP_SESSION_N_SETTINGS; i++)
        assert_true(lisp_session_settings[i].def >= lisp_session_settings[i].min &&
                    lisp_session_settings[i].def <= lisp_session_settings[i].max);
    lisp_session_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(handshake),
        cmocka_unit_test(verbs), cmocka_unit_test(bursts),
        cmocka_unit_test(cut_anywhere), cmocka_unit_test(forged_octets),
        cmocka_unit_test(replays), cmocka_unit_test(strangers),
        cmocka_unit_test(intruders), cmocka_unit_test(liars),
        cmocka_unit_test(later_versions), cmocka_unit_test(slow_reader),
        cmocka_unit_test(liveness), cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
