/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends share everything but the handshake:
 *
 *   NVE                                   authority
 *    HELLO id, vtep, nonce  ------------>  looks for the key of id
 *            <---------------------------  CHALLENGE id, nonce
 *    AUTH proof             ------------>  checked
 *            <---------------------------  WELCOME proof, incarnation, hold time
 *   from here on every frame carries a tag under a key of its direction and this
 * session
 *
 * Verbs append entries to an open frame, which is closed when it is full, when another
 * type follows, or when output is pulled: so a burst of verbs is few frames. Input is
 * decoded entry by entry as output is pulled: there is no queue of events. What was
 * handed out and not yet reported as written counts towards the bound of the backlog.
 */
#include "proto/lisp_session_int.h"

#include "base/log.h"
#include "base/mem.h"

#include <string.h>

#define MODULE "lisp"
#define IN_MAX                                                                         \
    (1u << 20)         /* one input may be this long; what stays is under a frame      \
                        */
#define OUT_KEEP 65536 /* an idle buffer above this is given back */

const struct setting lisp_session_settings[LISP_SESSION_N_SETTINGS] = {
    {"session-hold",        15000000, 1000000, 600000000,  "K5",
     "silence after which the peer is dead"},
    {"session-handshake",   5000000,  100000,  60000000,   "K5",
     "time for connect and handshake"      },
    {"session-backoff",     100000,   1000,    60000000,   "K5",
     "first pause before a new attempt"    },
    {"session-backoff-max", 10000000, 1000,    600000000,  "K5",
     "longest pause between attempts"      },
    {"session-out-max",     16777216, 131072,  1073741824, "K5",
     "octets a peer may leave unread"      },
    {"session-window",      262144,   16384,   16777216,   "K5",
     "octets handed to the socket at once" },
};

/* ---- the state table ---- */

#define E_NAME(n) #n,
static const char *const state_names[] = {LISP_SESSION_STATES(E_NAME)};
static const char *const event_names[] = {LISP_SESSION_EVENTS(E_NAME)};
static const char *const action_names[] = {LISP_SESSION_ACTIONS(E_NAME)};

static const struct fsm_row session_rows[] = {
  /* the NVE's end */
    {ST_IDLE,       EV_RETRY,     ST_CONNECTING, ACT_CONNECT,        "K5" },
    {ST_CONNECTING, EV_CONNECTED, ST_GREETED,    ACT_SEND_HELLO,     "K5" },
    {ST_GREETED,    EV_CHALLENGE, ST_PROVED,     ACT_SEND_AUTH,      "K5" },
    {ST_PROVED,     EV_WELCOME,   ST_UP,         ACT_COME_UP,        "K5" },
    {ST_UP,         EV_DATA,      ST_UP,         ACT_DELIVER,        "K5" },
    {ST_CONNECTING, EV_FAIL,      ST_IDLE,       ACT_RETRY_LATER,    "K5" },
    {ST_GREETED,    EV_FAIL,      ST_IDLE,       ACT_RETRY_LATER,    "K5" },
    {ST_PROVED,     EV_FAIL,      ST_IDLE,       ACT_RETRY_LATER,    "K5" },
    {ST_UP,         EV_FAIL,      ST_IDLE,       ACT_RETRY_LATER,    "K11"},
    {ST_IDLE,       EV_STOP,      ST_ENDED,      ACT_END,            "K5" },
    {ST_CONNECTING, EV_STOP,      ST_ENDED,      ACT_END,            "K5" },
    {ST_GREETED,    EV_STOP,      ST_ENDED,      ACT_END,            "K5" },
    {ST_PROVED,     EV_STOP,      ST_ENDED,      ACT_END,            "K5" },
    {ST_UP,         EV_STOP,      ST_ENDED,      ACT_END,            "K5" },
 /* the authority's end, one per connection */
    {ST_LISTENING,  EV_KEY,       ST_CHALLENGED, ACT_SEND_CHALLENGE, "K5" },
    {ST_CHALLENGED, EV_AUTH,      ST_SERVING,    ACT_SEND_WELCOME,   "K5" },
    {ST_SERVING,    EV_DATA,      ST_SERVING,    ACT_DELIVER,        "K5" },
    {ST_LISTENING,  EV_FAIL,      ST_ENDED,      ACT_END,            "K5" },
    {ST_CHALLENGED, EV_FAIL,      ST_ENDED,      ACT_END,            "K5" },
    {ST_SERVING,    EV_FAIL,      ST_ENDED,      ACT_END,            "K11"},
    {ST_LISTENING,  EV_STOP,      ST_ENDED,      ACT_END,            "K5" },
    {ST_CHALLENGED, EV_STOP,      ST_ENDED,      ACT_END,            "K5" },
    {ST_SERVING,    EV_STOP,      ST_ENDED,      ACT_END,            "K5" },
};
static const struct fsm_def session_def = {"lisp_session", state_names, event_names,
    action_names, N_STATES, N_EVENTS, N_ACTIONS, session_rows,
    sizeof session_rows / sizeof session_rows[0]};

/* ---- writing ---- */

static enum lisp_rt_side
own_side(const struct lisp_session *s)
{
    return s->server ? LISP_RT_NVA : LISP_RT_NVE;
}

static void
out_reserve(struct lisp_session *s, size_t n)
{
    if (s->out_cap - s->out_n >= n)
        return;
    if (s->out_pos) {
        memmove(s->out, s->out + s->out_pos, s->out_n - s->out_pos);
        s->out_n -= s->out_pos;
        s->open_at -= s->out_pos; /* meaningless when no frame is open */
        s->out_pos = 0;
    }
    size_t cap = s->out_cap ? s->out_cap : 4096;
    while (cap - s->out_n < n)
        cap *= 2;
    if (cap != s->out_cap)
        s->out = mem_grow(s->out, cap);
    s->out_cap = cap;
}

void
lisp_session_frame_close(struct lisp_session *s)
{
    if (!s->open)
        return;
    s->open = false;
    out_reserve(s, LISP_RT_TAG + 4);
    size_t tag = s->sealed ? LISP_RT_TAG : 0, size = s->out_n - s->open_at;
    struct wr w = wr_of(s->out + s->open_at, size + tag + 4);
    w.pos = size;
    wr_patch_u16(&w, 2, size + tag + 4);
    if (tag)
        lisp_rt_tag(s->server ? &s->keys.nva : &s->keys.nve, s->tx_number, w.p, size,
            w.p + size);
    s->tx_number++;
    w.pos += tag;
    wr_u32(&w, LISP_RT_MARKER);
    s->out_n = s->open_at + w.pos;
    s->counters[LISP_SC_FRAMES_OUT]++;
}

bool
lisp_session_is_numbered(uint16_t type)
{
    return type == LISP_RT_NOTIFY || type == LISP_RT_MEMBER;
}

static void
frame_open(struct lisp_session *s, uint16_t type)
{
    uint8_t head[LISP_RT_HEAD + 8];
    struct wr w = wr_of(head, sizeof head);
    lisp_rt_frame_begin(&w, type, ++s->tx_id);
    if (lisp_session_is_numbered(type))
        wr_u64(&w, s->tx_seq + 1);
    out_reserve(s, w.pos);
    s->open = true;
    s->open_at = s->out_n;
    s->open_type = type;
    memcpy(s->out + s->out_n, head, w.pos);
    s->out_n += w.pos;
}

static void
append(struct lisp_session *s, uint16_t type, const uint8_t *entry, size_t n)
{
    size_t room = LISP_RT_FRAME_MAX - LISP_RT_TAG - 4;
    if (s->open && (s->open_type != type || s->out_n - s->open_at + n > room))
        lisp_session_frame_close(s);
    if (!s->open)
        frame_open(s, type);
    out_reserve(s, n);
    if (n)
        memcpy(s->out + s->out_n, entry, n);
    s->out_n += n;
}

size_t
lisp_session_backlog(const struct lisp_session *s)
{
    return s->out_n - s->out_pos + s->in_flight;
}

/* ---- ends ---- */

static void
step(struct lisp_session *s, uint8_t event)
{
    fsm_step(&s->fsm, &s->state, event, s->server ? s->nve.id : s->nva.id);
}

static void
io_reset(struct lisp_session *s)
{
    s->in_n = s->in_pos = 0;
    s->body = rd_of(NULL, 0);
    s->sealed = false;
    s->tx_number = s->rx_number = 0;
    s->rx_seq = s->ack_to_send = s->tx_seq = s->acked_seq = 0;
    s->tx_id = 0;
}

static void
finish(struct lisp_session *s, uint8_t event, uint8_t reason, bool tell)
{
    if (s->state == ST_IDLE && event != EV_STOP)
        return;
    if (s->state == ST_ENDED)
        return;
    bool speak = tell && s->connected;
    if (speak) {
        append(s, LISP_RT_GOODBYE, &reason, 1);
        lisp_session_frame_close(s);
    } else {
        s->out_n = s->out_pos = 0;
        s->open = false;
    }
    log_note(MODULE, "peer=%s state=%s reason=\"%s\"",
        s->server ? s->nve.id : s->nva.id, state_names[s->state],
        lisp_rt_reason_str(reason));
    s->want_connect = false;
    s->want_close = s->connected || s->state == ST_CONNECTING;
    s->connected = false;
    s->want_notice = true;
    s->notice = s->server ? LISP_SEV_CLOSED : LISP_SEV_DOWN;
    s->notice_reason = reason;
    s->counters[LISP_SC_DOWNS]++;
    step(s, event);
    io_reset(s);
    if (s->state != ST_IDLE)
        return;
    /* Where trying soon cannot help, the pause is long at once. */
    if (reason == LISP_RT_R_AUTH || reason == LISP_RT_R_VERSION ||
        reason == LISP_RT_R_REPLACED)
        s->backoff = s->settings[LISP_SESSION_BACKOFF_MAX_US];
    s->retry_at = s->now + s->backoff / 2 + rng_below(&s->rng, s->backoff / 2 + 1);
    s->backoff *= 2;
    if (s->backoff > s->settings[LISP_SESSION_BACKOFF_MAX_US])
        s->backoff = s->settings[LISP_SESSION_BACKOFF_MAX_US];
}

static void
fail(struct lisp_session *s, uint8_t reason, enum lisp_session_counter counter)
{
    s->counters[counter]++;
    finish(s, EV_FAIL, reason, reason != LISP_RT_R_LOST && reason != LISP_RT_R_SLOW);
}

bool
lisp_session_is_up(const struct lisp_session *s)
{
    return s->state == ST_UP || s->state == ST_SERVING;
}

/* Every verb passes here: up, of the right end, and within the bound. */
bool
lisp_session_say(struct lisp_session *s, uint16_t type, const struct wr *w)
{
    if (!lisp_session_is_up(s) || w->err ||
        lisp_rt_check(
            type, w->pos + (lisp_session_is_numbered(type) ? 8 : 0), own_side(s)))
        return false;
    if (lisp_session_backlog(s) + w->pos + LISP_RT_OVERHEAD + LISP_RT_TAG >
        s->settings[LISP_SESSION_OUT_MAX]) {
        fail(s, LISP_RT_R_SLOW, LISP_SC_SLOW);
        return false;
    }
    append(s, type, w->p, w->pos);
    return true;
}

/* ---- making ---- */

static struct lisp_session *
session_new(const struct lisp_session_conf *conf, bool server, uint64_t now_us)
{
    struct lisp_session *s = mem_alloc(sizeof *s);
    const char *why;
    fsm_init(&s->fsm, &session_def, &why);
    s->server = server;
    s->dialect = conf->dialect.mac_afi ? conf->dialect : lisp_dialect_default;
    s->incarnation = conf->incarnation;
    s->now = now_us;
    rng_seed(&s->rng, conf->seed);
    for (unsigned i = 0; i < LISP_SESSION_N_SETTINGS; i++)
        s->settings[i] =
            conf->settings[i] ? conf->settings[i] : lisp_session_settings[i].def;
    struct lisp_rt_hello *own = server ? &s->nva : &s->nve;
    own->version = LISP_RT_VERSION;
    own->id_size = strnlen(conf->id, LISP_RT_NAME);
    memcpy(own->id, conf->id, own->id_size);
    if (!server) {
        own->vtep = conf->vtep;
        s->key_size = conf->key_size < LISP_KEY_MAX ? conf->key_size : LISP_KEY_MAX;
        memcpy(s->key, conf->key, s->key_size);
    }
    s->backoff = s->settings[LISP_SESSION_BACKOFF_US];
    s->hold_us = s->settings[LISP_SESSION_HOLD_US];
    return s;
}

struct lisp_session *
lisp_session_new_client(const struct lisp_session_conf *conf, uint64_t now_us)
{
    struct lisp_session *s = session_new(conf, false, now_us);
    s->state = ST_IDLE;
    s->retry_at = now_us;
    lisp_session_tick(s, now_us);
    return s;
}

struct lisp_session *
lisp_session_new_server(const struct lisp_session_conf *conf,
    const uint8_t nonce[LISP_RT_NONCE], uint64_t now_us)
{
    struct lisp_session *s = session_new(conf, true, now_us);
    memcpy(s->nva.nonce, nonce, LISP_RT_NONCE);
    s->state = ST_LISTENING;
    s->connected = true;
    s->last_in = now_us;
    s->limit_at = now_us + s->settings[LISP_SESSION_HANDSHAKE_US];
    return s;
}

void
lisp_session_free(struct lisp_session *s)
{
    if (!s)
        return;
    fsm_done(&s->fsm);
    memset(s->key, 0, sizeof s->key);
    mem_free(s->in);
    mem_free(s->out);
    mem_free(s);
}

/* ---- time ---- */

uint64_t
lisp_session_deadline(const struct lisp_session *s)
{
    if (s->state == ST_IDLE)
        return s->retry_at;
    if (s->state == ST_ENDED)
        return TIMER_NEVER;
    if (!lisp_session_is_up(s))
        return s->limit_at;
    uint64_t dead = s->last_in + s->hold_us;
    return dead < s->keep_at ? dead : s->keep_at;
}

static bool
tick_up(struct lisp_session *s)
{
    if (s->now >= s->last_in + s->hold_us) {
        fail(s, LISP_RT_R_LIVENESS, LISP_SC_DEAD);
        return false;
    }
    if (s->now >= s->keep_at) {
        s->keep_at = s->now + s->hold_us / 3;
        struct wr w = wr_of(NULL, 0);
        if (!lisp_session_backlog(s)) /* what waits to be read proves as much */
            lisp_session_say(s, LISP_RT_KEEPALIVE, &w);
    }
    return true;
}

void
lisp_session_tick(struct lisp_session *s, uint64_t now_us)
{
    s->now = now_us;
    if (now_us < lisp_session_deadline(s))
        return;
    if (s->state == ST_IDLE) {
        step(s, EV_RETRY);
        s->want_connect = true;
        s->limit_at = now_us + s->settings[LISP_SESSION_HANDSHAKE_US];
        s->counters[LISP_SC_CONNECTS]++;
    } else if (lisp_session_is_up(s)) {
        tick_up(s);
    } else if (s->state != ST_ENDED) {
        fail(s, LISP_RT_R_LIVENESS, LISP_SC_DEAD);
    }
}

static void
go_up(struct lisp_session *s)
{
    s->sealed = true;
    s->tx_number = s->rx_number = 0;
    s->keep_at = s->now + s->hold_us / 3;
    s->backoff = s->settings[LISP_SESSION_BACKOFF_US];
}

/* ---- transport ---- */

void
lisp_session_connected(
    struct lisp_session *s, const uint8_t nonce[LISP_RT_NONCE], uint64_t now_us)
{
    s->now = now_us;
    if (s->state != ST_CONNECTING || s->server)
        return;
    s->connected = true;
    s->last_in = now_us;
    s->out_n = s->out_pos = s->in_flight = 0;
    s->open = false;
    io_reset(s);
    memcpy(s->nve.nonce, nonce, LISP_RT_NONCE);
    uint8_t b[160];
    struct wr w = wr_of(b, sizeof b);
    lisp_rt_hello_put(&w, true, &s->nve);
    append(s, LISP_RT_HELLO, b, w.pos);
    lisp_session_frame_close(s);
    step(s, EV_CONNECTED);
}

void
lisp_session_closed(struct lisp_session *s, uint64_t now_us)
{
    s->now = now_us;
    if (s->state == ST_IDLE || s->state == ST_ENDED)
        return;
    finish(s, EV_FAIL, LISP_RT_R_LOST, false);
    s->want_close = false;
}

void
lisp_session_stop(struct lisp_session *s, uint8_t reason, uint64_t now_us)
{
    s->now = now_us;
    finish(s, EV_STOP, reason, true);
}

void
lisp_session_written(struct lisp_session *s, size_t n, uint64_t now_us)
{
    s->now = now_us;
    s->in_flight -= n < s->in_flight ? n : s->in_flight;
}

void
lisp_session_input(
    struct lisp_session *s, const uint8_t *bytes, size_t n, uint64_t now_us)
{
    s->now = now_us;
    if (!s->connected)
        return;
    s->last_in = now_us;
    s->counters[LISP_SC_BYTES_IN] += n;
    if (n > IN_MAX || s->in_n - s->in_pos > IN_MAX) {
        fail(s, LISP_RT_R_PROTOCOL, LISP_SC_BAD_FRAME);
        return;
    }
    if (!rd_left(&s->body)) { /* else the body points to what would move */
        s->body = rd_of(NULL, 0);
        if (s->in_pos)
            memmove(s->in, s->in + s->in_pos, s->in_n - s->in_pos);
        s->in_n -= s->in_pos;
        s->in_pos = 0;
    }
    if (n > s->in_cap - s->in_n) {
        size_t at = s->body.p ? (size_t)(s->body.p - s->in) : 0;
        s->in_cap = s->in_n + n < 4096 ? 4096 : s->in_n + n;
        s->in = mem_grow(s->in, s->in_cap);
        if (s->body.p)
            s->body.p = s->in + at;
    }
    if (n)
        memcpy(s->in + s->in_n, bytes, n);
    s->in_n += n;
}

/* ---- handshake, frame by frame ---- */

static bool
hello_in(struct lisp_session *s, struct rd *r, struct lisp_session_event *ev)
{
    if (lisp_rt_hello_get(r, true, &s->nve) || rd_left(r)) {
        memset(&s->nve, 0, sizeof s->nve);
        fail(s, LISP_RT_R_MALFORMED, LISP_SC_BAD_ENTRY);
        return false;
    }
    if (s->nve.version != LISP_RT_VERSION) {
        fail(s, LISP_RT_R_VERSION, LISP_SC_BAD_AUTH);
        return false;
    }
    s->keyless = true;
    ev->type = LISP_SEV_NEED_KEY;
    ev->id = s->nve.id;
    ev->vtep = s->nve.vtep;
    return true;
}

void
lisp_session_key(
    struct lisp_session *s, const uint8_t *key, size_t key_size, uint64_t now_us)
{
    s->now = now_us;
    if (s->state != ST_LISTENING || !s->keyless)
        return;
    s->keyless = false;
    if (!key || !key_size || key_size > LISP_KEY_MAX) {
        fail(s, LISP_RT_R_AUTH, LISP_SC_BAD_AUTH);
        return;
    }
    memcpy(s->key, key, key_size);
    s->key_size = key_size;
    uint8_t b[160];
    struct wr w = wr_of(b, sizeof b);
    lisp_rt_hello_put(&w, false, &s->nva);
    append(s, LISP_RT_CHALLENGE, b, w.pos);
    lisp_session_frame_close(s);
    step(s, EV_KEY);
}

static void
challenge_in(struct lisp_session *s, struct rd *r)
{
    uint8_t mac[LISP_RT_MAC];
    if (lisp_rt_hello_get(r, false, &s->nva) || rd_left(r)) {
        fail(s, LISP_RT_R_MALFORMED, LISP_SC_BAD_ENTRY);
        return;
    }
    if (s->nva.version != LISP_RT_VERSION) {
        fail(s, LISP_RT_R_VERSION, LISP_SC_BAD_AUTH);
        return;
    }
    lisp_rt_handshake_mac(s->key, s->key_size, LISP_RT_NVE, &s->nve, &s->nva, mac);
    append(s, LISP_RT_AUTH, mac, sizeof mac);
    lisp_session_frame_close(s);
    step(s, EV_CHALLENGE);
}

static bool
auth_in(struct lisp_session *s, struct rd *r, struct lisp_session_event *ev)
{
    uint8_t mac[LISP_RT_MAC], said[LISP_RT_MAC], b[64];
    rd_bytes(r, said, sizeof said);
    lisp_rt_handshake_mac(s->key, s->key_size, LISP_RT_NVE, &s->nve, &s->nva, mac);
    if (!lisp_rt_equal(mac, said, sizeof mac)) {
        fail(s, LISP_RT_R_AUTH, LISP_SC_BAD_AUTH);
        return false;
    }
    struct lisp_rt_welcome wel = {s->incarnation, s->hold_us / 1000, 0, {0}};
    lisp_rt_handshake_mac(s->key, s->key_size, LISP_RT_NVA, &s->nve, &s->nva, wel.mac);
    lisp_rt_session_keys(s->key, s->key_size, &s->nve, &s->nva, &s->keys);
    struct wr w = wr_of(b, sizeof b);
    lisp_rt_welcome_put(&w, &wel);
    append(s, LISP_RT_WELCOME, b, w.pos);
    lisp_session_frame_close(s);
    step(s, EV_AUTH);
    go_up(s);
    ev->type = LISP_SEV_AUTHENTICATED;
    ev->id = s->nve.id;
    ev->vtep = s->nve.vtep;
    return true;
}

static bool
welcome_in(struct lisp_session *s, struct rd *r, struct lisp_session_event *ev)
{
    struct lisp_rt_welcome wel;
    uint8_t mac[LISP_RT_MAC];
    lisp_rt_welcome_get(r, &wel);
    lisp_rt_handshake_mac(s->key, s->key_size, LISP_RT_NVA, &s->nve, &s->nva, mac);
    if (!lisp_rt_equal(mac, wel.mac, sizeof mac)) {
        fail(s, LISP_RT_R_AUTH, LISP_SC_BAD_AUTH);
        return false;
    }
    const struct setting *hold = &lisp_session_settings[LISP_SESSION_HOLD_US];
    s->hold_us = wel.hold_ms * 1000ull;
    if (s->hold_us < hold->min || s->hold_us > hold->max)
        s->hold_us = hold->def;
    lisp_rt_session_keys(s->key, s->key_size, &s->nve, &s->nva, &s->keys);
    step(s, EV_WELCOME);
    go_up(s);
    ev->type = LISP_SEV_UP;
    ev->id = s->nva.id;
    ev->incarnation = wel.incarnation;
    return true;
}

/* ---- data ---- */

/* Data frame of a session that is up: event at once, or entries to come. */
static bool
data_in(struct lisp_session *s, const struct lisp_rt_frame *f, struct rd *r,
    struct lisp_session_event *ev)
{
    step(s, EV_DATA);
    if (f->type == LISP_RT_REGISTER_END) {
        ev->type = LISP_SEV_REGISTER_END;
        return true;
    }
    if (f->type == LISP_RT_KEEPALIVE)
        return false;
    if (f->type == LISP_RT_ERROR) {
        fail(s, LISP_RT_R_PROTOCOL, LISP_SC_BAD_TYPE);
        return false;
    }
    if (lisp_session_is_numbered(f->type) && rd_u64(r) != s->rx_seq + 1) {
        fail(s, LISP_RT_R_PROTOCOL, LISP_SC_BAD_ENTRY);
        return false;
    }
    s->body = *r;
    s->body_type = f->type;
    return false;
}

static bool
frame_in(struct lisp_session *s, const struct lisp_rt_frame *f,
    struct lisp_session_event *ev)
{
    enum lisp_rt_side from = s->server ? LISP_RT_NVE : LISP_RT_NVA;
    size_t size = f->size;
    s->counters[LISP_SC_FRAMES_IN]++;
    if (s->sealed) {
        uint8_t tag[LISP_RT_TAG];
        if (size < sizeof tag) {
            fail(s, LISP_RT_R_AUTH, LISP_SC_BAD_TAG);
            return false;
        }
        size -= sizeof tag;
        lisp_rt_tag(s->server ? &s->keys.nve : &s->keys.nva, s->rx_number++,
            f->body - LISP_RT_HEAD, LISP_RT_HEAD + size, tag);
        if (!lisp_rt_equal(tag, f->body + size, sizeof tag)) {
            fail(s, LISP_RT_R_AUTH, LISP_SC_BAD_TAG);
            return false;
        }
    }
    /* A later version may have more to say. What it says is authentic, is not awaited,
     * and takes no place in the sequence. */
    if (s->sealed && lisp_session_is_up(s) && !lisp_rt_known(f->type)) {
        s->counters[LISP_SC_SKIPPED]++;
        return false;
    }
    if (lisp_rt_check(f->type, size, from)) {
        fail(s, LISP_RT_R_PROTOCOL, LISP_SC_BAD_TYPE);
        return false;
    }
    struct rd r = rd_of(f->body, size);
    if (f->type == LISP_RT_GOODBYE) {
        uint8_t reason = rd_u8(&r);
        finish(s, EV_FAIL, reason < LISP_RT_N_REASONS ? reason : LISP_RT_R_NONE, false);
        return false;
    }
    bool shake = f->type >= LISP_RT_HELLO && f->type <= LISP_RT_WELCOME;
    if (s->state == ST_LISTENING && f->type == LISP_RT_HELLO)
        return hello_in(s, &r, ev);
    if (s->state == ST_CHALLENGED && f->type == LISP_RT_AUTH)
        return auth_in(s, &r, ev);
    if (s->state == ST_PROVED && f->type == LISP_RT_WELCOME)
        return welcome_in(s, &r, ev);
    if (s->state == ST_GREETED && f->type == LISP_RT_CHALLENGE) {
        challenge_in(s, &r);
        return false;
    }
    if (!shake && lisp_session_is_up(s))
        return data_in(s, f, &r, ev);
    fail(s, LISP_RT_R_PROTOCOL, LISP_SC_BAD_TYPE);
    return false;
}

/* True when an event was made of what has come in. */
static bool
in_next(struct lisp_session *s, struct lisp_session_event *ev)
{
    for (;;) {
        if (rd_left(&s->body)) {
            if (lisp_session_fill(s, ev) == LISP_OK && !s->body.err)
                return true;
            fail(s, LISP_RT_R_MALFORMED, LISP_SC_BAD_ENTRY);
            return false;
        }
        struct lisp_rt_frame f;
        if (!s->connected || s->keyless || s->in_pos == s->in_n)
            return false;
        int got = lisp_rt_frame_get(s->in + s->in_pos, s->in_n - s->in_pos, &f);
        if (got < 0)
            fail(s, LISP_RT_R_PROTOCOL, LISP_SC_BAD_FRAME);
        if (got <= 0)
            return false;
        s->in_pos += f.whole;
        if (frame_in(s, &f, ev))
            return true;
    }
}

/* ---- output ---- */

static bool
send_next(struct lisp_session *s, struct lisp_session_out *out)
{
    if (s->ack_to_send && lisp_session_is_up(s)) {
        uint8_t b[8];
        struct wr w = wr_of(b, sizeof b);
        wr_u64(&w, s->ack_to_send);
        s->ack_to_send = 0;
        lisp_session_say(s, LISP_RT_SEQ_ACK, &w);
        lisp_session_frame_close(s);
    }
    uint64_t window = s->settings[LISP_SESSION_WINDOW];
    size_t n = s->out_n - s->out_pos;
    if (s->connected) { /* a last word goes out whole */
        size_t room = s->in_flight < window ? window - s->in_flight : 0;
        if (!room)
            return false;
        lisp_session_frame_close(s);
        n = s->out_n - s->out_pos;
        n = n < room ? n : room;
    }
    if (!n) {
        if (s->out_cap > OUT_KEEP && s->out_pos == s->out_n) {
            mem_free(s->out);
            s->out = NULL;
            s->out_cap = s->out_n = s->out_pos = 0;
        }
        return false;
    }
    out->type = LISP_SOUT_SEND;
    out->bytes = s->out + s->out_pos;
    out->size = n;
    s->out_pos += n;
    s->in_flight += n;
    s->counters[LISP_SC_BYTES_OUT] += n;
    if (s->out_pos == s->out_n)
        s->out_pos = s->out_n =
            0; /* the octets stay where they are until the next call */
    return true;
}

bool
lisp_session_output(struct lisp_session *s, struct lisp_session_out *out)
{
    struct lisp_session_event *ev = &out->event;
    memset(ev, 0, offsetof(struct lisp_session_event, record));
    ev->vn.ref = 0;
    if (in_next(s, ev)) {
        out->type = LISP_SOUT_EVENT;
        return true;
    }
    if (send_next(s, out))
        return true;
    if (s->want_close) {
        s->want_close = false;
        s->in_flight = 0;
        out->type = LISP_SOUT_CLOSE;
        return true;
    }
    if (s->want_notice) {
        s->want_notice = false;
        ev->type = s->notice;
        ev->reason = s->notice_reason;
        ev->id = s->server ? s->nve.id : s->nva.id;
        out->type = LISP_SOUT_EVENT;
        return true;
    }
    if (s->want_connect) {
        s->want_connect = false;
        out->type = LISP_SOUT_CONNECT;
        return true;
    }
    return false;
}

/* ---- for people and tests ---- */

uint64_t
lisp_session_counter(const struct lisp_session *s, unsigned c)
{
    return c < LISP_SC_N ? s->counters[c] : 0;
}

const char *
lisp_session_counter_name(unsigned c)
{
#define X(sym, name) name,
    static const char *const names[] = {LISP_SESSION_COUNTERS(X)};
#undef X
    return c < LISP_SC_N ? names[c] : "?";
}

const char *
lisp_session_state_str(const struct lisp_session *s)
{
    return state_names[s->state];
}

uint64_t
lisp_session_seq(const struct lisp_session *s)
{
    return s->server ? s->tx_seq : s->rx_seq;
}
