/* SPDX-License-Identifier: Apache-2.0 */
#include "host/hold.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAG_AT      (HOLD_HEAD + 12)
#define FRAME_MIN   (HOLD_HEAD + 18)
#define FRAME_MAX   (HOLD_HEAD + 65535 + 18)
#define READ_BATCH  256 /* per turn: fewer than are written, so a drain gains ground */
#define WRITE_BATCH 512
#define WRITE_SIZE  (4u << 20)
#define REST_US     1000000 /* before a slot's number is given out again */
#define QUIET_US    20000   /* what is missing so long was lost in the TAP's queue */
#define LOOKS       4       /* ... and in so many looks */
#define DRAIN_US                                                                       \
    5000000 /* then order gives way: frames come faster than they leave                \
             */
#define AGAIN_US 1000

struct frame {
    struct frame *next;
    uint64_t at_us;
    uint32_t size;
    uint8_t data[];
};
struct slot {
    struct frame *head, *tail;
    uint32_t frames;
    uint64_t octets;
    uint64_t read;                   /* of `in` */
    uint64_t before;                 /* `in` when this turn began to read */
    uint64_t missing, missing_since; /* the fewest seen since then */
    unsigned looks;
    uint64_t since_us; /* draining; lingering; resting */
    uint32_t live;     /* place in live[] + 1 */
};
struct share { /* what one network has of the slots, and of the memory */
    uint32_t vni, slots;
    uint64_t octets;
    uint64_t before; /* `in` of its part of the TAP when this turn began to read */
};
struct hold {
    struct hold_conf conf;
    struct slot *slots;
    struct share *shares;            /* from 1; no more than slots */
    uint32_t n_shares;               /* numbers from here on were never used */
    uint64_t empty_us;               /* when nothing was left in the TAP */
    uint32_t *live, n_live;          /* KEEP, REFUSE, DRAIN, or PASS with frames left */
    uint32_t *rest, rest_at, n_rest; /* freed, oldest first, its network's still */
    uint32_t *spare, n_spare;        /* nobody's */
    uint32_t unused;                 /* numbers from here on were never given out */
    uint32_t turn;
    uint64_t octets; /* over all slots, with what a frame costs here */
    uint64_t unordered;
    uint8_t buf[FRAME_MAX];
};

/* ---- slots ---- */

static void
store(__u64 *at, uint64_t v)
{
    __atomic_store_n(at, v, __ATOMIC_RELEASE);
}

static uint64_t
entered(const struct nve_hold *n)
{
    return __atomic_load_n(&n->in, __ATOMIC_ACQUIRE);
}

static void
state_set(struct nve_hold *n, enum nve_hold_state state)
{
    __atomic_store_n(&n->state, (uint8_t)state, __ATOMIC_RELEASE);
}

static void
live_add(struct hold *h, uint32_t slot)
{
    if (h->slots[slot].live)
        return;
    h->live[h->n_live++] = slot;
    h->slots[slot].live = h->n_live;
}

static void
live_del(struct hold *h, uint32_t slot)
{
    uint32_t at = h->slots[slot].live, last = h->live[h->n_live - 1];

    if (!at)
        return;
    h->live[at - 1] = last;
    h->slots[last].live = at;
    h->slots[slot].live = 0;
    h->n_live--;
}

static void
rest_add(struct hold *h, uint32_t slot, uint64_t now_us)
{
    live_del(h, slot);
    h->slots[slot].since_us = now_us;
    h->rest[(h->rest_at + h->n_rest++) % h->conf.n_slots] = slot;
}

/* ---- shares ---- */

static struct share *
share_of(struct hold *h, uint32_t slot)
{
    return &h->shares[h->conf.slots[slot].share];
}

/* One more slot for this network: its number, or 0: it has all that it may have. */
static uint32_t
share_take(struct hold *h, uint32_t vni)
{
    uint32_t at = 0;

    for (uint32_t i = h->n_shares - 1; i; i--) {
        if (h->shares[i].slots && h->shares[i].vni == vni) {
            at = i;
            break;
        }
        if (!h->shares[i].slots)
            at = i;
    }
    if (!at)
        at = h->n_shares++;
    if (h->shares[at].slots == DP_HOLD_SHARE(h->conf.n_slots))
        return 0;
    if (!h->shares[at].slots++) {
        h->shares[at] = (struct share){.vni = vni, .slots = 1};
        memset(&h->conf.slots[h->conf.n_slots + at], 0, sizeof(*h->conf.slots));
    }
    return at;
}

/* What the TAP holds of a network. */
static struct nve_hold *
queue_of(const struct hold *h, uint32_t share)
{
    return &h->conf.slots[h->conf.n_slots + share];
}

/* ---- queues ---- */

static struct frame *
pop(struct hold *h, uint32_t slot)
{
    struct slot *s = &h->slots[slot];
    struct frame *f = s->head;
    size_t cost = sizeof(*f) + f->size;

    s->head = f->next;
    if (!s->head)
        s->tail = NULL;
    s->frames--;
    s->octets -= f->size - HOLD_HEAD;
    h->octets -= cost;
    share_of(h, slot)->octets -= cost;
    return f;
}

static void
drop_first(struct hold *h, uint32_t slot)
{
    struct nve_hold *n = &h->conf.slots[slot];

    free(pop(h, slot));
    store(&n->dropped, n->dropped + 1);
}

static void
drop_all(struct hold *h, uint32_t slot)
{
    while (h->slots[slot].head)
        drop_first(h, slot);
}

/* The queue of this share that has most. */
static uint32_t
fattest(const struct hold *h, uint32_t share)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < h->n_live; i++) {
        uint32_t slot = h->live[i];

        if (h->conf.slots[slot].share == share &&
            (!at || h->slots[slot].octets > h->slots[at].octets))
            at = slot;
    }
    return at;
}

/* Who has too much: the network of the slot, or which has most of all; 0: nobody. */
static uint32_t
glutton(struct hold *h, uint32_t slot)
{
    uint32_t at = h->conf.slots[slot].share;

    if (h->shares[at].octets > DP_HOLD_SHARE(h->conf.octets_max))
        return at;
    if (h->octets <= h->conf.octets_max)
        return 0;
    for (uint32_t i = 1; i < h->n_shares; i++)
        if (h->shares[i].octets > h->shares[at].octets)
            at = i;
    return at;
}

/* Oldest first (F21): what comes last is worth most to who still waits for an answer.
 * One network's flood costs no other a frame. */
static void
bound(struct hold *h, uint32_t slot)
{
    const struct nve_hold *n = &h->conf.slots[slot];
    struct slot *s = &h->slots[slot];
    uint32_t share;

    while (s->head && (s->frames > n->frames || s->octets > n->octets))
        drop_first(h, slot);
    while ((share = glutton(h, slot)))
        drop_first(h, fattest(h, share));
}

/* The frame as it lies in h->buf. */
static void
append(struct hold *h, uint32_t slot, size_t size, uint64_t now_us)
{
    struct nve_hold *n = &h->conf.slots[slot];
    struct slot *s = &h->slots[slot];
    struct frame *f = malloc(sizeof(*f) + size);

    if (!f) {
        store(&n->dropped, n->dropped + 1);
        return;
    }
    f->next = NULL;
    f->at_us = now_us;
    f->size = (uint32_t)size;
    memcpy(f->data, h->buf, size);
    if (s->tail)
        s->tail->next = f;
    else
        s->head = f;
    s->tail = f;
    s->frames++;
    s->octets += size - HOLD_HEAD;
    h->octets += sizeof(*f) + size;
    share_of(h, slot)->octets += sizeof(*f) + size;
    bound(h, slot);
}

static void
limits_set(struct nve_hold *n, const struct hold_limits *l)
{
    n->frames = l->frames;
    n->octets = l->octets;
    n->max_us = l->max_us;
    state_set(n, l->frames && l->octets && l->max_us ? NVE_HOLD_KEEP : NVE_HOLD_REFUSE);
}

static void
adopt(struct hold *h, uint32_t slot, uint64_t now_us)
{
    struct nve_hold *n = &h->conf.slots[slot];
    struct slot *s = &h->slots[slot];
    uint64_t in = entered(n);

    if (in - n->out > n->dropped)
        store(&n->dropped, in - n->out);
    s->read = in;
    n->share = (uint16_t)share_take(h, n->vni);
    if (n->state == NVE_HOLD_KEEP || n->state == NVE_HOLD_REFUSE) {
        live_add(h, slot);
        return;
    }
    state_set(n, NVE_HOLD_FREE);
    rest_add(h, slot, now_us);
}

struct hold *
hold_new(const struct hold_conf *conf, uint64_t now_us)
{
    struct hold *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->conf = *conf;
    h->slots = calloc(conf->n_slots, sizeof(*h->slots));
    h->live = calloc(conf->n_slots, sizeof(*h->live));
    h->rest = calloc(conf->n_slots, sizeof(*h->rest));
    h->spare = calloc(conf->n_slots, sizeof(*h->spare));
    h->shares = calloc(conf->n_slots, sizeof(*h->shares));
    h->n_shares = 1;
    if (!h->slots || !h->live || !h->rest || !h->spare || !h->shares) {
        h->conf.fd = -1;
        hold_free(h);
        return NULL;
    }
    for (h->unused = conf->n_slots; h->unused > 1; h->unused--)
        if (conf->slots[h->unused - 1].vni)
            break;
    for (uint32_t i = 1; i < h->unused; i++)
        adopt(h, i, now_us);
    return h;
}

void
hold_free(struct hold *h)
{
    if (!h)
        return;
    while (h->n_live) {
        uint32_t slot = h->live[0];

        drop_all(h, slot);
        if (h->conf.slots[slot].state == NVE_HOLD_DRAIN)
            state_set(&h->conf.slots[slot], NVE_HOLD_PASS);
        live_del(h, slot);
    }
    if (h->conf.fd >= 0)
        close(h->conf.fd);
    free(h->slots);
    free(h->live);
    free(h->rest);
    free(h->spare);
    free(h->shares);
    free(h);
}

int
hold_fd(const struct hold *h)
{
    return h->conf.fd;
}

void
hold_fd_set(struct hold *h, int fd)
{
    if (h->conf.fd >= 0)
        close(h->conf.fd);
    h->conf.fd = fd;
}

/* The sums keep what the slot's last user counted. */
static void
renew(struct hold *h, uint32_t slot)
{
    struct nve_hold *n = &h->conf.slots[slot], *sum = &h->conf.slots[0];
    uint64_t in = entered(n), lost = in - n->out - n->dropped;

    store(&sum->in, sum->in + in);
    store(&sum->out, sum->out + n->out);
    store(&sum->dropped, sum->dropped + n->dropped + ((int64_t)lost > 0 ? lost : 0));
    memset(n, 0, sizeof(*n));
    memset(&h->slots[slot], 0, sizeof(h->slots[slot]));
}

static bool read_some(struct hold *h, uint64_t now_us);

/* Slots that have rested are nobody's. What still carries a slot's number is another
 * network's: time alone does not say that none is left in the TAP when nobody has
 * looked. */
static void
wake(struct hold *h, uint64_t now_us)
{
    while (h->n_rest) {
        uint32_t slot = h->rest[h->rest_at];
        uint64_t until_us = h->slots[slot].since_us + REST_US;

        if (now_us < until_us)
            return;
        if (h->empty_us < until_us && !read_some(h, now_us))
            return;
        h->empty_us = now_us;
        share_of(h, slot)->slots--;
        h->rest_at = (h->rest_at + 1) % h->conf.n_slots;
        h->n_rest--;
        h->spare[h->n_spare++] = slot;
    }
}

uint32_t
hold_open(struct hold *h, uint32_t vni, const struct mac *mac,
    const struct hold_limits *l, uint64_t now_us)
{
    struct nve_hold *n;
    uint32_t slot, share;

    wake(h, now_us);
    if (!h->n_spare && h->unused == h->conf.n_slots)
        return 0;
    share = share_take(h, vni);
    if (!share)
        return 0;
    slot = h->n_spare ? h->spare[--h->n_spare] : h->unused++;
    renew(h, slot);
    n = &h->conf.slots[slot];
    n->share = (uint16_t)share;
    n->vni = vni;
    memcpy(n->mac, mac->b, 6);
    limits_set(n, l);
    live_add(h, slot);
    return slot;
}

static bool
in_use(const struct hold *h, uint32_t slot)
{
    return slot && slot < h->conf.n_slots && h->slots[slot].live;
}

void
hold_set(struct hold *h, uint32_t slot, const struct hold_limits *l)
{
    if (!in_use(h, slot))
        return;
    limits_set(&h->conf.slots[slot], l);
    bound(h, slot);
}

void
hold_drain(struct hold *h, uint32_t slot, uint64_t now_us)
{
    struct nve_hold *n = &h->conf.slots[slot];

    if (!in_use(h, slot) || n->state == NVE_HOLD_DRAIN || n->state == NVE_HOLD_PASS)
        return;
    h->slots[slot].since_us = now_us;
    state_set(n, NVE_HOLD_DRAIN);
}

void
hold_drop(struct hold *h, uint32_t slot, uint64_t now_us)
{
    if (!in_use(h, slot))
        return;
    state_set(&h->conf.slots[slot], NVE_HOLD_FREE);
    drop_all(h, slot);
    rest_add(h, slot, now_us);
}

bool
hold_put(
    struct hold *h, uint32_t slot, const uint8_t *frame, size_t size, uint64_t now_us)
{
    static const struct nve_held way = {.local = 2, .ttl = NVE_TTL};
    struct nve_hold *n = &h->conf.slots[slot];
    size_t at = TAG_AT;

    if (!in_use(h, slot) || size < 14 || size > 65535 || n->state == NVE_HOLD_PASS ||
        (n->state == NVE_HOLD_DRAIN &&
            (int64_t)(entered(n) - n->out - n->dropped) <= 0))
        return false;
    memset(h->buf, 0, HOLD_HEAD);
    memcpy(h->buf + HOLD_HEAD, &way, sizeof(way));
    memcpy(h->buf + HOLD_HEAD + 6, frame + 6, 6);
    h->buf[at++] = 0x81;
    h->buf[at++] = 0;
    h->buf[at++] = (uint8_t)(slot >> 8);
    h->buf[at++] = (uint8_t)slot;
    memcpy(h->buf + at, frame + 12, size - 12);
    __atomic_fetch_add(&n->in, 1, __ATOMIC_ACQ_REL);
    h->slots[slot].read++;
    append(h, slot, at + size - 12, now_us);
    return true;
}

/* ---- turns ---- */

/* 1 sent, 0 not now; what the device refuses is dropped. */
static int
send_back(struct hold *h, struct nve_hold *n, const uint8_t *data, size_t size)
{
    ssize_t rc;

    do
        rc = write(h->conf.fd, data, size);
    while (rc < 0 && errno == EINTR);
    if (rc < 0 && (errno == EAGAIN || errno == ENOBUFS))
        return 0;
    if (rc < 0)
        store(&n->dropped, n->dropped + 1);
    else
        store(&n->out, n->out + 1);
    return 1;
}

static void
take(struct hold *h, size_t size, uint64_t now_us)
{
    const uint8_t *tag = h->buf + TAG_AT;
    uint32_t slot = (uint32_t)(tag[2] << 8 | tag[3]) & 0xfff;
    struct nve_hold *n, *q;

    if (size < FRAME_MIN || tag[0] != 0x81 || tag[1] || !slot || slot >= h->unused)
        return; /* the kernel's own */
    n = &h->conf.slots[slot];
    q = queue_of(h, n->share);
    store(&q->out, q->out + NVE_HOLD_COST(size - HOLD_HEAD - 4));
    if (++h->slots[slot].read > entered(n)) /* the TAP had to cut: each piece counts */
        __atomic_fetch_add(&n->in, 1, __ATOMIC_ACQ_REL);
    switch ((enum nve_hold_state)n->state) {
    case NVE_HOLD_KEEP:
    case NVE_HOLD_DRAIN:
        append(h, slot, size, now_us);
        return;
    case NVE_HOLD_PASS: /* it had met the hold a moment before this ended */
        if (h->slots[slot].head)
            append(h, slot, size, now_us);
        else if (!send_back(h, n, h->buf, size))
            store(&n->dropped, n->dropped + 1);
        return;
    case NVE_HOLD_FREE:
    case NVE_HOLD_REFUSE:
        break;
    }
    store(&n->dropped, n->dropped + 1);
}

/* True: nothing is left in the TAP. */
static bool
read_some(struct hold *h, uint64_t now_us)
{
    for (unsigned i = 0; i < READ_BATCH; i++) {
        ssize_t n = read(h->conf.fd, h->buf, sizeof(h->buf));

        if (n < 0 && (errno == EINTR || errno == EINVAL))
            continue; /* the latter: one that has no header here, and is gone */
        if (n <= 0)
            return true;
        take(h, (size_t)n, now_us);
    }
    return false;
}

enum more { MORE_NONE, MORE_NOW, MORE_LATER };

/* As long as something is left in the TAP one frame stays here: of one that comes in
 * pieces the programs have counted one only, and must not think that all are out. */
static enum more
write_some(struct hold *h, bool empty)
{
    uint32_t frames = WRITE_BATCH, start = h->turn++;
    size_t octets = 0;

    for (uint32_t i = 0; i < h->n_live; i++) {
        uint32_t slot = h->live[(start + i) % h->n_live];
        struct nve_hold *n = &h->conf.slots[slot];
        struct slot *s = &h->slots[slot];

        if (n->state != NVE_HOLD_DRAIN && n->state != NVE_HOLD_PASS)
            continue;
        while (s->head && (empty || s->head->next || n->state == NVE_HOLD_PASS)) {
            struct frame *f = s->head;

            if (!frames || octets >= WRITE_SIZE)
                return MORE_NOW;
            if (!send_back(h, n, f->data, f->size))
                return MORE_LATER;
            frames--;
            octets += f->size;
            free(pop(h, slot));
        }
    }
    return MORE_NONE;
}

/* Frames that the programs had counted before the TAP was read until it was empty, and
 * that it did not have, were lost at its queue's end: they must not look as if they
 * were on their way for ever. A frame that is just being sent is missing too, but not
 * in every look. */
static void
forgive(struct hold *h, uint32_t slot, uint64_t now_us)
{
    struct nve_hold *n = &h->conf.slots[slot];
    struct slot *s = &h->slots[slot];
    int64_t missing = (int64_t)(s->before - s->read);

    if (missing <= 0) {
        s->missing = 0;
        return;
    }
    if (!s->missing) {
        s->missing_since = now_us;
        s->looks = 0;
    }
    if (!s->missing || (uint64_t)missing < s->missing)
        s->missing = (uint64_t)missing;
    if (++s->looks < LOOKS || now_us < s->missing_since + QUIET_US)
        return;
    s->read += s->missing;
    store(&n->dropped, n->dropped + s->missing);
    s->missing = 0;
}

/* The programs stop by themselves as soon as the last frame is out; this only notes it.
 */
static bool
ended(const struct slot *s, const struct nve_hold *n)
{
    return !s->head && (n->state == NVE_HOLD_PASS ||
                           (n->state == NVE_HOLD_DRAIN &&
                               (int64_t)(entered(n) - n->out - n->dropped) <= 0));
}

static void
settle(struct hold *h, bool empty, uint64_t now_us)
{
    for (uint32_t i = 0; i < h->n_live;) {
        uint32_t slot = h->live[i];
        struct nve_hold *n = &h->conf.slots[slot];
        struct slot *s = &h->slots[slot];

        while (n->state == NVE_HOLD_KEEP && s->head &&
               now_us >= s->head->at_us + n->max_us)
            drop_first(h, slot);
        if (empty)
            forgive(h, slot, now_us);
        if (n->state == NVE_HOLD_DRAIN && now_us >= s->since_us + DRAIN_US) {
            h->unordered++;
            state_set(n, NVE_HOLD_PASS);
        }
        if (empty && n->state == NVE_HOLD_DRAIN && ended(s, n)) {
            state_set(n, NVE_HOLD_PASS);
            s->since_us = now_us;
        }
        if (empty && ended(s, n) && now_us >= s->since_us + h->conf.linger_us) {
            rest_add(h, slot, now_us); /* the last one of the list takes its place */
            h->conf.drained(h->conf.ctx, slot);
        } else {
            i++;
        }
    }
}

uint64_t
hold_turn(struct hold *h, uint64_t now_us)
{
    uint64_t next = HOLD_NEVER, at;
    enum more more;
    bool empty;

    for (uint32_t i = 0; i < h->n_live; i++)
        h->slots[h->live[i]].before = entered(&h->conf.slots[h->live[i]]);
    for (uint32_t i = 1; i < h->n_shares; i++)
        h->shares[i].before = entered(queue_of(h, i));
    empty = read_some(h, now_us);
    if (empty) {
        h->empty_us = now_us;
        for (uint32_t i = 1; i < h->n_shares; i++) /* also what was lost, or cut */
            store(&queue_of(h, i)->out, h->shares[i].before);
    }
    more = write_some(h, empty);
    settle(h, empty, now_us);
    if (!empty || more == MORE_NOW)
        return now_us;
    if (more == MORE_LATER)
        next = now_us + AGAIN_US;
    for (uint32_t i = 0; i < h->n_live; i++) {
        const struct slot *s = &h->slots[h->live[i]];
        const struct nve_hold *n = &h->conf.slots[h->live[i]];

        at = HOLD_NEVER;
        if (n->state == NVE_HOLD_KEEP && s->head)
            at = s->head->at_us + n->max_us;
        if (n->state == NVE_HOLD_PASS && !s->head)
            at = s->since_us + h->conf.linger_us;
        if (s->missing && now_us + QUIET_US / LOOKS < at)
            at = now_us + QUIET_US / LOOKS;
        if (n->state == NVE_HOLD_DRAIN && now_us + QUIET_US < at)
            at = now_us + QUIET_US; /* one that was just being sent */
        if (at < next)
            next = at;
    }
    return next;
}

bool
hold_each(const struct hold *h, uint32_t *it, struct hold_view *v, uint64_t now_us)
{
    const struct nve_hold *n;
    const struct slot *s;

    while (++*it < h->unused && !h->slots[*it].live)
        ;
    if (*it >= h->unused)
        return false;
    n = &h->conf.slots[*it];
    s = &h->slots[*it];
    *v = (struct hold_view){.slot = *it,
        .vni = n->vni,
        .draining = n->state == NVE_HOLD_DRAIN || n->state == NVE_HOLD_PASS,
        .frames = s->frames,
        .octets = s->octets,
        .oldest_us = s->head && now_us > s->head->at_us ? now_us - s->head->at_us : 0,
        .kept = entered(n),
        .released = n->out,
        .dropped = n->dropped};
    memcpy(v->mac.b, n->mac, 6);
    return true;
}

uint64_t
hold_dropped(const struct hold *h)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < h->conf.n_slots; i++)
        sum += h->conf.slots[i].dropped;
    return sum;
}

uint64_t
hold_unordered(const struct hold *h)
{
    return h->unordered;
}
