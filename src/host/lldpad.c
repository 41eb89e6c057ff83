/* SPDX-License-Identifier: Apache-2.0 */
/* The control protocol of lldpad for its VDP module (0x80c4): datagrams of text. A
 * request is M, module, C, version 3, command 01 (get), options, name length and name
 * of the interface, agent 02, TLV id 3 (assoc), and arguments {2 hex length, key, 4 hex
 * length, value}. The answer is R, status, the request's head again, and per VSI 4 hex
 * length and arguments. An event is M, module, E, level, and one VSI; it does not say
 * which interface. */
#include "host/lldpad.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/loop.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MODULE    "000080c4"
#define SERVER    "/com/intel/lldpad"
#define REPLY_MAX 8192
#define GIVE_UP   5000000    /* us without an answer */
#define OPS_ALL   "00000011" /* configured, local */
#define OPS_ONE   "0000001d" /* and with arguments */
#define KNOWN_MAX 65536

struct known {
    struct lldpad_vsi v;
    bool seen;
};
struct query {
    uint32_t ifn;
    bool one; /* of .id; else the list */
    struct vsiid id;
};
struct lldpad {
    struct loop *loop;
    struct lldpad_calls calls;
    void *ctx;
    uint64_t poll_us, asked_us;
    char (*ifnames)[IF_NAMESIZE];
    uint32_t n_ifnames;
    int fd;
    struct loop_watch *watch;
    struct loop_timer *timer;
    struct known *known;
    uint32_t n_known, cap_known;
    struct fifo queries;
    struct query asked;
    bool waiting, attached, reading, warned;
    bool unready; /* an answer of this reading said nothing about VSIs */
};

/* --- what is known --- */

static bool
same(const struct lldpad_vsi *a, const struct lldpad_vsi *b)
{
    return strcmp(a->ifname, b->ifname) == 0 && vsiid_equal(&a->id, &b->id) &&
           mac_equal(&a->mac, &b->mac);
}

static void
note(struct lldpad *p, const struct lldpad_vsi *v)
{
    struct lldpad_vsi told = *v;
    uint32_t i = 0;
    while (i < p->n_known && !same(&p->known[i].v, v))
        i++;
    if (i == p->n_known) {
        if (i == KNOWN_MAX)
            return;
        if (i == p->cap_known) {
            p->cap_known = i ? i * 2 : 64;
            p->known = mem_grow(p->known, p->cap_known * sizeof(*p->known));
        }
        p->n_known++;
        told.fresh = true;
    }
    p->known[i].v = *v;
    p->known[i].seen = true;
    p->calls.on_vsi(p->ctx, &told);
}

/* Tells and forgets those of the interface (and id, if given) that were not seen. */
static void
sweep(struct lldpad *p, const char *ifname, const struct vsiid *id)
{
    for (uint32_t i = p->n_known; i-- > 0;) {
        struct lldpad_vsi v = p->known[i].v;
        if (p->known[i].seen || strcmp(v.ifname, ifname) != 0 ||
            (id && !vsiid_equal(&v.id, id)))
            continue;
        p->known[i] = p->known[--p->n_known];
        v.gone = true;
        p->calls.on_vsi(p->ctx, &v);
    }
}

static void
unsee(struct lldpad *p, const char *ifname, const struct vsiid *id)
{
    for (uint32_t i = 0; i < p->n_known; i++)
        if (strcmp(p->known[i].v.ifname, ifname) == 0 &&
            (!id || vsiid_equal(&p->known[i].v.id, id)))
            p->known[i].seen = false;
}

void
lldpad_know(struct lldpad *p, const struct lldpad_vsi *v)
{
    if (p->n_known == KNOWN_MAX)
        return;
    if (p->n_known == p->cap_known) {
        p->cap_known = p->n_known ? p->n_known * 2 : 64;
        p->known = mem_grow(p->known, p->cap_known * sizeof(*p->known));
    }
    p->known[p->n_known++] = (struct known){.v = *v, .seen = true};
}

/* --- text --- */

/* n hex digits; false: others, or too few. */
static bool
hex(const char **s, const char *end, unsigned n, uint32_t *value)
{
    *value = 0;
    if (end - *s < (ptrdiff_t)n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        char c = *(*s)++;
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                            : 16;
        if (d == 16)
            return false;
        *value = *value << 4 | d;
    }
    return true;
}

/* VLAN[-MAC[-GROUP]], or VLAN--GROUP */
static bool
parse_filter(const char *text, struct lldpad_vsi *v)
{
    char copy[80], *mac, *group, *end;
    unsigned long n;
    if (strlen(text) >= sizeof(copy))
        return false;
    strcpy(copy, text);
    mac = strchr(copy, '-');
    if (mac)
        *mac++ = '\0';
    group = mac ? strchr(mac, '-') : NULL;
    if (group)
        *group++ = '\0';
    n = strtoul(copy, &end, 10);
    if (*end || end == copy || n > 0xffff)
        return false;
    v->tci = (uint16_t)n;
    v->mac = (struct mac){0};
    if (mac && *mac && !mac_parse(mac, &v->mac))
        return false;
    n = group ? strtoul(group, &end, 10) : 0;
    v->group = (uint32_t)n;
    return true;
}

/* One VSI's arguments. Told once per filter entry. */
static void
parse_vsi(struct lldpad *p, const char *ifname, const char *s, const char *end)
{
    struct lldpad_vsi v = {0};
    bool assoc = false, has_id = false;
    snprintf(v.ifname, sizeof(v.ifname), "%s", ifname);
    while (s < end) {
        uint32_t kn, vn;
        const char *key;
        char value[80];
        if (!hex(&s, end, 2, &kn) || end - s < (ptrdiff_t)kn)
            return;
        key = s;
        s += kn;
        if (!hex(&s, end, 4, &vn) || end - s < (ptrdiff_t)vn)
            return;
        snprintf(value, sizeof(value), "%.*s", (int)vn, s);
        s += vn;
        if (kn == 4 && memcmp(key, "mode", 4) == 0) {
            assoc = strcmp(value, "assoc") == 0;
        } else if (kn == 4 && memcmp(key, "uuid", 4) == 0) {
            has_id = vsiid_parse(value, &v.id);
            unsee(p, ifname, &v.id);
        } else if (kn == 6 && memcmp(key, "filter", 6) == 0 && assoc && has_id &&
                   parse_filter(value, &v)) {
            note(p, &v);
        }
    }
    if (has_id)
        sweep(p, ifname, &v.id); /* what is not associated, or lost an entry */
}

static uint32_t
parse_vsis(struct lldpad *p, const char *ifname, const char *s, const char *end)
{
    uint32_t n = 0, size;
    while (hex(&s, end, 4, &size) && end - s >= (ptrdiff_t)size) {
        parse_vsi(p, ifname, s, s + size);
        s += size;
        n++;
    }
    return n;
}

/* --- conversation --- */

static void
ask(struct lldpad *p, uint32_t ifn, const struct vsiid *id)
{
    struct query *q = fifo_push(&p->queries);
    q->ifn = ifn;
    q->one = id != NULL;
    if (id)
        q->id = *id;
}

static void
hang_up(struct lldpad *p)
{
    struct query q;
    loop_unwatch(p->watch);
    p->watch = NULL;
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->waiting = p->attached = p->reading = p->unready = false;
    while (fifo_pop(&p->queries, &q))
        continue;
}

static void
send_text(struct lldpad *p, const char *text)
{
    if (send(p->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        hang_up(p);
        return;
    }
    p->waiting = true;
    p->asked_us = loop_now(p->loop);
}

static void
next_query(struct lldpad *p)
{
    char text[256], id[VSIID_STR], args[80] = "";
    const char *name;
    if (p->fd < 0 || p->waiting || !p->attached)
        return;
    if (!fifo_pop(&p->queries, &p->asked)) {
        if (p->reading && !p->unready)
            p->calls.on_listed(p->ctx);
        p->reading = p->unready = false;
        return;
    }
    name = p->ifnames[p->asked.ifn];
    if (p->asked.one)
        snprintf(args, sizeof(args), "04uuid%04zx%s",
            strlen(vsiid_str(&p->asked.id, id)), id);
    snprintf(text, sizeof(text), "M" MODULE "C301%s%02zx%s0200000003%s",
        p->asked.one ? OPS_ONE : OPS_ALL, strlen(name), name, args);
    send_text(p, text);
}

/* After "R": status, and if that is 0 the head of the request again. */
static void
take_answer(struct lldpad *p, const char *s, const char *end)
{
    const char *ifname = p->ifnames[p->asked.ifn];
    uint32_t status, n, len;
    p->waiting = false;
    if (!hex(&s, end, 2, &status))
        return;
    if (!p->attached) {
        p->attached = status == 0;
        return;
    }
    if (status || end - s < 12) { /* not ready for VDP: no word about VSIs */
        p->unready = true;
        return;
    }
    s += 12; /* C3 01 and the options */
    if (!hex(&s, end, 2, &len) || end - s < (ptrdiff_t)len + 8)
        return;
    s += len + 8;
    if (p->asked.one) {
        unsee(p, ifname, &p->asked.id);
        parse_vsis(p, ifname, s, end);
        sweep(p, ifname, &p->asked.id);
        return;
    }
    unsee(p, ifname, NULL);
    n = parse_vsis(p, ifname, s, end);
    if (n) {
        sweep(p, ifname, NULL);
        return;
    }
    for (uint32_t i = 0; i < p->n_known; i++) /* none, or too many for one answer */
        if (strcmp(p->known[i].v.ifname, ifname) == 0)
            ask(p, p->asked.ifn, &p->known[i].v.id);
}

/* "M" module "E" level, length, VSI */
static void
take_event(struct lldpad *p, const char *s, const char *end)
{
    const char *uuid;
    struct vsiid id;
    char text[40];
    uint32_t size;
    if (end - s < 12 || memcmp(s + 1, MODULE, 8) != 0)
        return;
    s += 12;
    if (p->n_ifnames == 1) {
        parse_vsis(p, p->ifnames[0], s, end);
        return;
    }
    if (!hex(&s, end, 4, &size))
        return;
    uuid = memmem(s, (size_t)(end - s), "04uuid0024", 10);
    if (!uuid || end - uuid < 46)
        return;
    snprintf(text, sizeof(text), "%.36s", uuid + 10);
    if (vsiid_parse(text, &id))
        for (uint32_t i = 0; i < p->n_ifnames; i++)
            ask(p, i, &id);
}

static void
on_fd(void *ctx, int events)
{
    struct lldpad *p = ctx;
    char buf[REPLY_MAX];
    (void)events;
    while (p->fd >= 0) {
        ssize_t n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                hang_up(p);
            break;
        }
        if (n > 9 && buf[0] == 'M' && buf[9] == 'E')
            take_event(p, buf, buf + n);
        else if (n > 0 && buf[0] == 'R')
            take_answer(p, buf + 1, buf + n);
    }
    next_query(p);
}

static void
call(struct lldpad *p)
{
    struct sockaddr_un me = {.sun_family = AF_UNIX}, to = {.sun_family = AF_UNIX};
    struct host_err err;
    socklen_t size;
    p->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd < 0)
        return;
    /* lldpad answers only to an abstract name below its own. */
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                       (size_t)snprintf(me.sun_path + 1, sizeof(me.sun_path) - 1,
                           SERVER "/berth-%d", (int)getpid()));
    if (bind(p->fd, (struct sockaddr *)&me, size) == 0) {
        memcpy(to.sun_path + 1, SERVER, sizeof(SERVER) - 1);
        size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(SERVER));
        if (connect(p->fd, (struct sockaddr *)&to, size) == 0 &&
            loop_watch(p->loop, p->fd, LOOP_IN, on_fd, p, &p->watch, &err) == 0) {
            p->warned = false;
            send_text(p, "A" MODULE);
            return;
        }
    }
    if (!p->warned)
        log_warn("lldpad",
            "no lldpad answers in this network namespace (error %d); it is "
            "looked for again",
            errno);
    p->warned = true;
    hang_up(p);
}

static void
on_timer(void *ctx)
{
    struct lldpad *p = ctx;
    uint64_t now = loop_now(p->loop);
    if (p->waiting && now - p->asked_us > GIVE_UP)
        hang_up(p);
    if (p->fd < 0)
        call(p);
    if (p->fd >= 0 && !p->queries.n && !p->reading) {
        p->reading = true;
        for (uint32_t i = 0; i < p->n_ifnames; i++)
            ask(p, i, NULL);
        next_query(p);
    }
    loop_timer_set(p->timer, now + p->poll_us);
}

int
lldpad_open(struct lldpad **out, struct loop *l, const struct lldpad_conf *conf,
    const struct lldpad_calls *calls, void *ctx, struct host_err *err)
{
    struct lldpad *p = mem_alloc(sizeof(*p));
    (void)err;
    p->loop = l;
    p->calls = *calls;
    p->ctx = ctx;
    p->poll_us = conf->poll_us;
    p->fd = -1;
    p->n_ifnames = conf->n_ifnames;
    p->ifnames = mem_alloc(conf->n_ifnames * sizeof(*p->ifnames));
    for (uint32_t i = 0; i < conf->n_ifnames; i++)
        snprintf(p->ifnames[i], sizeof(p->ifnames[i]), "%s", conf->ifnames[i]);
    fifo_init(&p->queries, sizeof(struct query));
    p->timer = loop_timer_new(l, on_timer, p);
    loop_timer_set(p->timer, loop_now(l));
    *out = p;
    return 0;
}

bool
lldpad_next(const struct lldpad *p, uint32_t *it, struct lldpad_vsi *v)
{
    if (*it >= p->n_known)
        return false;
    *v = p->known[(*it)++].v;
    return true;
}

void
lldpad_close(struct lldpad *p)
{
    if (!p)
        return;
    if (p->fd >= 0)
        send(p->fd, "D", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    hang_up(p);
    loop_timer_free(p->timer);
    fifo_done(&p->queries);
    mem_free(p->known);
    mem_free(p->ifnames);
    mem_free(p);
}
