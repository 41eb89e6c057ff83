/* SPDX-License-Identifier: Apache-2.0 */
/* The authority's commands (doc/protocol/control.md). A VN that is added or deleted is
 * in force at once, and acknowledged when it is on the disk (K7): until then the client
 * waits in `pending`, first without the number of the write, which comes with the
 * output. */
#include "node/trace.h"
#include "nva/node_int.h"
#include "base/log.h"
#include "node/ctl_rows.h"
#include <stdio.h>
#include <string.h>

#define MTU_DEFAULT 1450 /* an underlay of 1500 less VXLAN over IPv4 */
#define MTU_MIN     576
#define MTU_MAX     9166 /* jumbo frames less the same */
#define PENDING_MAX 4096

struct pending {
    uint64_t conn; /* 0: it went away */
    uint32_t vni, id;
    bool del;
};
struct nva_ctl {
    struct nva *n;
    struct ctl_rows *rows;
    struct pending pending[PENDING_MAX];
    uint32_t n_pending;
};

/* ---- listings ---- */

static json_t *
vn_name(struct nva *n, uint32_t vni)
{
    const struct vn_rec *vn = registry_vn(n->reg, vni, NULL);
    return vn && vn->name[0] ? json_string(vn->name) : json_null();
}

static json_t *
next_vn(void *node, struct ctl_reader *r)
{
    struct nva *n = node;
    uint32_t mappings, members;
    const struct vn_rec *v = registry_each_vn(n->reg, &r->it);
    if (!v)
        return NULL;
    registry_vn_count(n->reg, v->vni, &mappings, &members);
    return json_pack("{s:i,s:s,s:i,s:s,s:s,s:b,s:i,s:i}", "vni", (int)v->vni, "name",
        v->name, "mtu", (int)v->mtu, "arp", ctl_rows_arp_word(v->arp), "reply",
        v->centralised ? "centralised" : "distributed", "pull", (int)v->pull,
        "mappings", (int)mappings, "members", (int)members);
}

static const char *
nve_name(struct nva *n, uint32_t number)
{
    struct registry_nve_view v;
    uint32_t it = number - 1; /* walks go by number */
    return number && registry_each_nve(n->reg, &it, &v) && v.number == number ? v.name
                                                                              : "?";
}

static bool
vni_fits(const struct ctl_reader *r, uint32_t vni)
{
    json_t *want = json_object_get(r->args, "vni");
    return !want || json_integer_value(want) == vni;
}

static json_t *
next_mapping(void *node, struct ctl_reader *r)
{
    static const char *const keys[] = {"mac", "ip", "nve", "owner", NULL};
    struct nva *n = node;
    struct registry_map_view v;
    struct foreign_view f;
    char t[IP_STR], e[LISP_EID_STR];
    while (!r->it2 && registry_each_mapping(n->reg, &r->it, &v)) {
        if (!vni_fits(r, v.rec.vni))
            continue;
        json_t *row = json_pack("{s:i,s:o,s:o,s:o,s:s,s:s,s:o,s:b,s:b,s:b,s:o,s:f}",
            "vni", (int)v.rec.vni, "vn", vn_name(n, v.rec.vni), "mac",
            ctl_rows_mac(&v.rec.mac), "ips", ctl_rows_ips(v.rec.ips, v.rec.n_ips),
            "owner", ip_str(&v.rec.owner, t), "nve", nve_name(n, v.nve), "epoch",
            ctl_rows_epoch(v.rec.epoch), "stale", (int)v.stale, "unconfirmed",
            (int)v.unconfirmed, "frozen", v.frozen_s != 0, "rival",
            ctl_rows_ip(&v.rival), "frozen_left_s", (double)v.frozen_s);
        if (ctl_rows_fits(r, row, keys))
            return row;
    }
    if (!r->it2) { /* then what routers said of addresses alone */
        r->it2 = 1;
        r->it = 0;
    }
    while (foreign_each(n->foreign, &r->it, &f)) {
        if (!vni_fits(r, f.eid.vni))
            continue;
        json_t *row = json_pack("{s:i,s:o,s:n,s:o,s:s,s:s,s:n,s:b,s:b,s:s}", "vni",
            (int)f.eid.vni, "vn", vn_name(n, f.eid.vni), "mac", "ips",
            ctl_rows_ips(&f.eid.ip, 1), "owner", ip_str(&f.owner, t), "nve", "router",
            "epoch", "stale", 0, "unconfirmed", 0, "prefix", lisp_eid_str(&f.eid, e));
        if (ctl_rows_fits(r, row, keys))
            return row;
    }
    return NULL;
}

static json_t *
next_reservation(void *node, struct ctl_reader *r)
{
    static const char *const keys[] = {"mac", "owner", "target", NULL};
    struct nva *n = node;
    struct registry_resv_view v;
    while (registry_each_reservation(n->reg, &r->it, &v)) {
        if (!vni_fits(r, v.vni))
            continue;
        json_t *row = json_pack("{s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:f}", "vni", (int)v.vni,
            "vn", vn_name(n, v.vni), "mac", ctl_rows_mac(&v.mac), "owner",
            ctl_rows_ip(&v.owner), "target", ctl_rows_ip(&v.target), "epoch",
            ctl_rows_epoch(v.epoch), "migration", ctl_rows_epoch(v.migration_id),
            "age_s", ctl_rows_seconds(v.age_us));
        if (ctl_rows_fits(r, row, keys))
            return row;
    }
    return NULL;
}

static bool
session_of(struct nva *n, uint32_t nve, struct session_view *v)
{
    uint32_t it = 0;
    while (sessions_each(n->sessions, &it, v))
        if (v->nve == nve)
            return true;
    return false;
}

static json_t *
next_session(void *node, struct ctl_reader *r)
{
    struct nva *n = node;
    struct registry_nve_view v;
    struct session_view s;
    uint64_t now = n->now_us;
    char t[IP_STR], u[IP_STR];
    if (!r->it2 && registry_each_nve(n->reg, &r->it, &v)) {
        bool router = foreign_is(n->foreign, v.number);
        bool has = v.up && !router && session_of(n, v.number, &s);
        const char *state = router       ? "router"
                            : !v.up      ? "down"
                            : v.blocked  ? "blocked"
                            : v.complete ? "up"
                                         : "registering";
        return json_pack("{s:s,s:s*,s:s,s:s,s:f,s:i,s:i,s:i,s:I}", "nve", v.name,
            "address", has ? ip_str(&s.peer, t) : NULL, "vtep", ip_str(&v.vtep, u),
            "state", state, "since_s", has ? ctl_rows_seconds(now - s.since_us) : 0.0,
            "mappings", (int)v.n_mappings, "subscriptions", (int)v.n_vns, "keys",
            (int)v.n_key_subs, "behind", (json_int_t)(v.seq - v.acked));
    }
    if (!r->it2) {
        r->it2 = 1;
        r->it = 0;
    }
    while (sessions_each(n->sessions, &r->it, &s))
        if (!s.nve)
            return json_pack("{s:s,s:s,s:s,s:f,s:i,s:i,s:i,s:i}", "nve", s.name,
                "address", ip_str(&s.peer, t), "state", "handshake", "since_s",
                ctl_rows_seconds(now - s.since_us), "mappings", 0, "subscriptions", 0,
                "keys", 0, "behind", 0);
    return NULL;
}

static json_t *
next_talker(void *node, struct ctl_reader *r)
{
    struct nva *n = node;
    struct registry_talk_view v;
    char t[IP_STR];
    while (registry_each_talk(n->reg, &r->it, &v)) {
        struct mapping_rec rec;
        static const struct ip none;
        if (!vni_fits(r, v.vni))
            continue;
        bool known =
            !mac_is_none(&v.dst_mac) &&
            registry_peek(n->reg, v.vni, &v.dst_mac, NULL, &rec, NULL) == REG_FOUND;
        return json_pack("{s:i,s:s,s:o,s:o,s:o,s:o,s:I,s:f}", "vni", (int)v.vni,
            "asker", ip_str(&v.asker, t), "src", ctl_rows_ip(&v.src), "mac",
            mac_is_none(&v.dst_mac) ? json_null() : ctl_rows_mac(&v.dst_mac), "ip",
            ctl_rows_ip(&v.dst), "owner", ctl_rows_ip(known ? &rec.owner : &none),
            "count", (json_int_t)v.count, "last_s",
            ctl_rows_seconds(n->now_us - v.last_us));
    }
    return NULL;
}

static json_t *
registry_row(struct nva *n, uint32_t i)
{
#define X(sym, name, help) help,
    static const char *const helps[] = {REGISTRY_COUNTERS(X)};
#undef X
    if (i < REGC_N)
        return ctl_rows_counter("registry", registry_counter_name(i),
            registry_counter(n->reg, i), helps[i]);
    switch (i - REGC_N) {
    case 0:
        return ctl_rows_counter("registry", "mappings", registry_count(n->reg),
            "mappings that have an owner now");
    case 1:
        return ctl_rows_counter("registry", "mapping_bytes", registry_bytes(n->reg),
            "memory of mappings and their indexes");
    case 2:
        return ctl_rows_counter("registry", "recovering", registry_recovering(n->reg),
            "1: known NVEs have not registered again yet, nothing is granted or "
            "denied");
    }
    return NULL;
}

static json_t *
next_counter(void *node, struct ctl_reader *r)
{
    struct nva *n = node;
    const char *group, *name, *help;
    uint64_t value;
    for (;; r->it++, r->it2 = 0) {
        if (r->it == 0) {
            json_t *row = registry_row(n, r->it2++);
            if (row)
                return row;
        } else if (r->it == 1) {
            if (sessions_counter(n->sessions, &r->it2, &group, &name, &value, &help))
                return ctl_rows_counter(group, name, value, help);
        } else if (r->it == 2) {
            if (udp_map_counter(n->udp, &r->it2, &group, &name, &value, &help))
                return ctl_rows_counter(group, name, value, help);
        } else {
            return NULL;
        }
    }
}

static json_t *
next_timer(void *node, struct ctl_reader *r)
{
    struct nva *n = node;
    if (r->it >= NVA_SET_N)
        return NULL;
    uint32_t i = r->it++;
    return ctl_rows_setting(&nva_settings[i], n->settings[i]);
}

static json_t *
next_event(void *node, struct ctl_reader *r)
{
    struct nva *n = node;
    return trace_row(n->trace, r, "berth-nva", n->name, NULL);
}

static void
run_trace(void *node, uint64_t conn, json_t *args)
{
    struct nva *n = node;
    const char *fault = trace_fault(args);
    if (fault)
        ctl_rows_fail(n->ctl->rows, conn, "%s", fault);
    else
        ctl_rows_list(n->ctl->rows, conn, args, next_event);
}

static json_t *
next_ping(void *node, struct ctl_reader *r)
{
    struct nva *n = node;
    return r->it++ ? NULL
                   : ctl_rows_ping("berth-nva", n->name, n->now_us - n->started_us);
}

/* ---- virtual networks ---- */

static bool
pend(struct nva_ctl *c, uint64_t conn, uint32_t vni, bool del)
{
    if (c->n_pending == PENDING_MAX) {
        ctl_rows_fail(c->rows, conn,
            "%d changes wait for the disk already: try again, and see whether it is "
            "slow",
            PENDING_MAX);
        return false;
    }
    c->pending[c->n_pending++] = (struct pending){.conn = conn, .vni = vni, .del = del};
    return true;
}

/* Only what the command knows may be there: a misspelt key would be a silent default.
 */
static bool
args_known(struct nva_ctl *c, uint64_t conn, json_t *args, const char *const *known,
    const char *noun)
{
    const char *key;
    json_t *value;
    json_object_foreach(args, key, value)
    {
        const char *const *k = known;
        while (*k && strcmp(*k, key))
            k++;
        if (!*k) {
            ctl_rows_fail(c->rows, conn,
                "unknown argument \"%.64s\"; see berth %s --help", key, noun);
            return false;
        }
    }
    return true;
}

static const char *
name_fault(const char *name)
{
    size_t n = strlen(name), digits = strspn(name, "0123456789");
    if (!n)
        return "name is missing: give the VN a name, as name=red";
    if (n >= VN_NAME_SIZE)
        return "name is longer than 63 octets: shorten it";
    if (digits == n)
        return "a name of digits alone would be taken for a VNI: add a letter";
    for (; *name; name++)
        if ((unsigned char)*name <= ' ' || *name == 0x7f || *name == '"' ||
            *name == '\\')
            return "name has a space, quote, backslash or control character: leave it "
                   "out";
    return NULL;
}

/* Fills vn, or answers why not. */
static bool
vn_of(struct nva_ctl *c, uint64_t conn, json_t *args, struct vn_rec *vn)
{
    json_t *vni = json_object_get(args, "vni"), *name = json_object_get(args, "name");
    json_t *mtu = json_object_get(args, "mtu"), *arp = json_object_get(args, "arp");
    json_t *reply = json_object_get(args, "reply"),
           *pull = json_object_get(args, "pull");
    const char *fault = NULL, *word;
    memset(vn, 0, sizeof *vn);
    if (!json_is_integer(vni) || json_integer_value(vni) < 1 ||
        json_integer_value(vni) > VNI_MAX) {
        ctl_rows_fail(c->rows, conn, "vni is a whole number from 1 to %u", VNI_MAX);
        return false;
    }
    word = json_string_value(name);
    if ((fault = name_fault(word ? word : ""))) {
        ctl_rows_fail(c->rows, conn, "%s", fault);
        return false;
    }
    if (mtu && (!json_is_integer(mtu) || json_integer_value(mtu) < MTU_MIN ||
                   json_integer_value(mtu) > MTU_MAX)) {
        ctl_rows_fail(c->rows, conn,
            "mtu is a whole number from %d to %d: the underlay's MTU less 50", MTU_MIN,
            MTU_MAX);
        return false;
    }
    word = arp ? json_string_value(arp) : "suppress";
    int policy = word ? ctl_rows_arp_parse(word) : -1;
    if (policy != ARP_SUPPRESS && policy != ARP_FLOOD) {
        ctl_rows_fail(c->rows, conn,
            policy < 0 ? "arp is suppress or flood"
                       : "arp %s is not offered yet: take suppress or flood",
            word);
        return false;
    }
    word = reply ? json_string_value(reply) : "centralised";
    bool distributed = word && !strcmp(word, "distributed");
    if (!distributed && (!word || strcmp(word, "centralised"))) {
        ctl_rows_fail(c->rows, conn, "reply is centralised or distributed");
        return false;
    }
    if (pull && !json_is_boolean(pull)) {
        ctl_rows_fail(c->rows, conn, "pull is true or false");
        return false;
    }
    vn->vni = (uint32_t)json_integer_value(vni);
    strncpy(vn->name, json_string_value(name), sizeof vn->name - 1);
    vn->mtu = mtu ? (uint32_t)json_integer_value(mtu) : MTU_DEFAULT;
    vn->arp = (uint8_t)policy;
    vn->centralised = !distributed;
    vn->pull = json_is_true(pull);
    return true;
}

static void
cmd_vn_add(void *node, uint64_t conn, json_t *args)
{
    static const char *const known[] = {
        "cmd", "vni", "name", "mtu", "arp", "reply", "pull", NULL};
    struct nva *n = node;
    struct nva_ctl *c = n->ctl;
    struct vn_rec vn;
    uint8_t reason;
    if (!args_known(c, conn, args, known, "vn") || !vn_of(c, conn, args, &vn))
        return;
    const struct vn_rec *old = registry_vn(n->reg, vn.vni, NULL);
    if (old) {
        ctl_rows_fail(c->rows, conn,
            "VNI %u is the VN %s already: take another VNI, or delete that one first",
            vn.vni, old->name);
        return;
    }
    if ((old = registry_vn(n->reg, 0, vn.name))) {
        ctl_rows_fail(c->rows, conn,
            "the name %s belongs to VNI %u already: names are unique, take another",
            vn.name, old->vni);
        return;
    }
    if (!pend(c, conn, vn.vni, false))
        return;
    if (!registry_vn_put(n->reg, &vn, &reason, n->now_us)) {
        c->n_pending--;
        if (reason == REG_FULL)
            ctl_rows_fail(c->rows, conn, "no room for another VN: raise max_vns (%llu)",
                (unsigned long long)n->settings[NVA_SET_MAX_VNS]);
        else
            ctl_rows_fail(c->rows, conn, "VN %s refused: %s", vn.name,
                registry_reason_str(reason));
        return;
    }
    log_note("nva", "vn=%s vni=%u added", vn.name, vn.vni);
}

static void
cmd_vn_del(void *node, uint64_t conn, json_t *args)
{
    static const char *const known[] = {"cmd", "vni", "name", NULL};
    struct nva *n = node;
    struct nva_ctl *c = n->ctl;
    json_t *vni = json_object_get(args, "vni");
    const char *name = json_string_value(json_object_get(args, "name"));
    const struct vn_rec *vn = NULL;
    if (!args_known(c, conn, args, known, "vn"))
        return;
    if (!!vni == !!name || (vni && !json_is_integer(vni))) {
        ctl_rows_fail(
            c->rows, conn, "name the VN by vni (a number) or by name, one of them");
        return;
    }
    if (vni && json_integer_value(vni) >= 1 && json_integer_value(vni) <= VNI_MAX)
        vn = registry_vn(n->reg, (uint32_t)json_integer_value(vni), NULL);
    else if (name)
        vn = registry_vn(n->reg, 0, name);
    if (!vn) {
        char text[32];
        snprintf(
            text, sizeof text, "%lld", vni ? (long long)json_integer_value(vni) : 0);
        ctl_rows_fail(c->rows, conn, "there is no VN %.64s; berth vn list shows all",
            name ? name : text);
        return;
    }
    uint32_t number = vn->vni;
    if (!pend(c, conn, number, true))
        return;
    log_note("nva", "vn=%s vni=%u deleted", vn->name, number);
    registry_vn_del(n->reg, number, n->now_us);
}

/* ---- what damping has frozen (E5) ---- */

static void
cmd_mapping_clear(void *node, uint64_t conn, json_t *args)
{
    static const char *const known[] = {"cmd", "vni", "mac", NULL};
    struct nva *n = node;
    struct nva_ctl *c = n->ctl;
    json_t *vni = json_object_get(args, "vni");
    const char *text = json_string_value(json_object_get(args, "mac"));
    struct mac mac;
    char t[MAC_STR];
    if (!args_known(c, conn, args, known, "mapping"))
        return;
    if (!json_is_integer(vni) || json_integer_value(vni) < 1 ||
        json_integer_value(vni) > VNI_MAX) {
        ctl_rows_fail(c->rows, conn, "vni is a whole number from 1 to %u", VNI_MAX);
        return;
    }
    if (!text || !mac_parse(text, &mac)) {
        ctl_rows_fail(c->rows, conn, "mac is an address like 52:54:00:12:34:56");
        return;
    }
    uint32_t number = (uint32_t)json_integer_value(vni);
    if (!registry_thaw(n->reg, number, &mac, n->now_us)) {
        ctl_rows_fail(c->rows, conn,
            "%s in VN %u is not frozen; berth show mappings --daemon nva shows which "
            "are",
            mac_str(&mac, t), number);
        return;
    }
    log_note("nva", "vni=%u mac=%s cleared: may move again", number, mac_str(&mac, t));
    ctl_rows_ok(c->rows, conn);
}

void
nva_ctl_store(struct nva_ctl *c, const struct registry_out *o)
{
    bool del = o->store == REG_STORE_VN_DEL;
    for (uint32_t i = 0; i < c->n_pending; i++)
        if (!c->pending[i].id && c->pending[i].vni == o->vn.vni &&
            c->pending[i].del == del) {
            c->pending[i].id = o->id;
            return;
        }
}

void
nva_ctl_stored(struct nva_ctl *c, uint32_t id, int status)
{
    uint32_t i = 0;
    while (i < c->n_pending && (!id || c->pending[i].id != id))
        i++;
    if (i == c->n_pending)
        return;
    struct pending p = c->pending[i];
    memmove(&c->pending[i], &c->pending[i + 1], (--c->n_pending - i) * sizeof p);
    if (status)
        log_err("nva", "vni=%u: the change is not on the disk: %d", p.vni, status);
    if (!p.conn)
        return;
    if (!status)
        ctl_rows_ok(c->rows, p.conn);
    else
        ctl_rows_fail(c->rows, p.conn,
            "VNI %u is %s now, but this could not be written (error %d; the log says "
            "more) and "
            "will be lost at the next start: make the disk writable, then %s",
            p.vni, p.del ? "deleted" : "in force", -status,
            p.del ? "add and delete it again" : "delete it and add it again");
}

/* ---- in and out ---- */

static const struct ctl_command commands[] = {
    {"vn add",            NULL,             cmd_vn_add       },
    {"vn del",            NULL,             cmd_vn_del       },
    {"vn list",           next_vn,          NULL             },
    {"mapping clear",     NULL,             cmd_mapping_clear},
    {"show mappings",     next_mapping,     NULL             },
    {"show reservations", next_reservation, NULL             },
    {"show sessions",     next_session,     NULL             },
    {"show talkers",      next_talker,      NULL             },
    {"show counters",     next_counter,     NULL             },
    {"show timers",       next_timer,       NULL             },
    {"trace",             NULL,             run_trace        },
    {"ping",              next_ping,        NULL             },
    {NULL,                NULL,             NULL             },
};

struct nva_ctl *
nva_ctl_new(struct nva *n)
{
    struct nva_ctl *c = mem_alloc(sizeof *c);
    c->n = n;
    c->rows = ctl_rows_new("berth-nva", commands, n);
    return c;
}

void
nva_ctl_free(struct nva_ctl *c)
{
    if (!c)
        return;
    ctl_rows_free(c->rows);
    mem_free(c);
}

void
nva_ctl_request(struct nva_ctl *c, uint64_t conn, const uint8_t *p, uint32_t size)
{
    ctl_rows_request(c->rows, conn, p, size);
}

void
nva_ctl_more(struct nva_ctl *c, uint64_t conn, uint32_t room)
{
    ctl_rows_more(c->rows, conn, room);
}

void
nva_ctl_gone(struct nva_ctl *c, uint64_t conn)
{
    for (uint32_t i = 0; i < c->n_pending; i++)
        if (c->pending[i].conn == conn)
            c->pending[i].conn = 0;
    ctl_rows_gone(c->rows, conn);
}

enum pulled
nva_ctl_output(struct nva_ctl *c, struct nva_out *out)
{
    struct ctl_answer a;
    if (!ctl_rows_output(c->rows, &a))
        return PULLED_NOTHING;
    out->type = NVA_OUT_CONTROL;
    out->conn = a.conn;
    out->last = a.last;
    out->p = a.p;
    out->size = a.size;
    return PULLED_OUT;
}
