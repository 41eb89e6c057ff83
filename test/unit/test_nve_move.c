/* SPDX-License-Identifier: Apache-2.0 */
/* A migration between whole nodes: three edges, an authority and VDP stations joined by
 * octets. What the machines inside do has its own tests; here it is seen that their
 * words cross: Berth's TLV, the notice of a reservation, the SMR and its question. */
#include "test.h"

#include "core/registry.h"
#include "nva/node.h"
#include "nve/node.h"
#include "proto/vdp_station.h"
#include "wire/eth.h"
#include "wire/lisp.h"

#define NODES  3
#define OPS    512
#define VNI    5000
#define SECRET "a secret that all share"
#define SEC    1000000u
enum { L, T, R }; /* the old place, the target, a remote one */

struct octets {
    uint8_t *p;
    uint32_t n;
};
struct edge_node {
    struct nve *n;
    struct vdp_station *s;
    struct ip vtep;
    uint64_t conn;
    struct octets wire; /* from the authority */
    uint32_t done[OPS], n_done, logged[OPS], n_logged;
    struct dp_op ops[OPS];
    uint32_t n_ops;
    struct vdp_station_out result; /* the last one */
    uint32_t n_results;
    char text[8192]; /* of the control socket */
    bool ends;       /* its session may */
};
struct dgram {
    struct ip from, to;
    uint16_t port;
    uint32_t size;
    uint8_t p[1024];
};
static struct {
    struct nva *a;
    struct edge_node e[NODES];
    struct dgram air[64];
    uint32_t n_air, n_smr, n_invoked;
    uint32_t stored[256], n_stored;
    uint64_t now, conns;
} W;

static struct ip
vtep_n(unsigned i)
{
    return ip_v4(i < NODES ? 0x0a000001 + i : 0x0a0000fe);
}

static void
push(struct octets *o, const uint8_t *p, uint32_t n)
{
    o->p = realloc(o->p, o->n + n);
    memcpy(o->p + o->n, p, n);
    o->n += n;
}

static void
fly(const struct ip *from, const struct ip *to, uint16_t port, const uint8_t *p,
    uint32_t n)
{
    assert_true(W.n_air < 64 && n <= sizeof W.air[0].p);
    struct dgram *d = &W.air[W.n_air++];
    d->from = *from;
    d->to = *to;
    d->port = port;
    d->size = n;
    memcpy(d->p, p, n);
}

static void
to_nve(struct edge_node *e, const struct nve_in *in)
{
    nve_input(e->n, in, W.now);
}

static void
connect_to(struct edge_node *e)
{
    uint8_t nonce[32];
    e->conn = ++W.conns;
    memset(nonce, (int)e->conn, sizeof nonce);
    struct nva_in a = {.type = NVA_IN_STREAM_OPEN,
        .conn = e->conn,
        .p = nonce,
        .size = sizeof nonce,
        .from = e->vtep};
    nva_input(W.a, &a, W.now);
    nonce[0] ^= 0x80;
    struct nve_in n = {.type = NVE_IN_STREAM_OPEN, .p = nonce, .size = sizeof nonce};
    to_nve(e, &n);
}

static bool
nve_pull(struct edge_node *e)
{
    struct nve_out o;
    bool any = false, connects = false, counts = false;
    while (nve_output(e->n, &o)) {
        any = true;
        switch ((enum nve_out_type)o.type) {
        case NVE_OUT_FRAME:
            if (o.p[12] == 0x89 && o.p[13] == 0x40)
                vdp_station_input(e->s, o.p, o.size, W.now);
            break;
        case NVE_OUT_DP:
            assert_true(e->n_ops < OPS && e->n_done < OPS);
            e->ops[e->n_ops++] = o.dp;
            if (o.id)
                e->done[e->n_done++] = o.id;
            break;
        case NVE_OUT_JOURNAL:
            assert_true(e->n_logged < OPS);
            if (o.id)
                e->logged[e->n_logged++] = o.id;
            break;
        case NVE_OUT_STREAM_CONNECT:
            connects = true;
            break;
        case NVE_OUT_STREAM_DATA: {
            uint8_t *copy = malloc(o.size);
            memcpy(copy, o.p, o.size);
            struct nva_in in = {
                .type = NVA_IN_STREAM_DATA, .conn = e->conn, .p = copy, .size = o.size};
            nva_input(W.a, &in, W.now);
            free(copy);
            break;
        }
        case NVE_OUT_STREAM_CLOSE:
            assert_true(e->ends);
            break;
        case NVE_OUT_UDP:
            fly(&e->vtep, &o.to, o.to_port, o.p, o.size);
            break;
        case NVE_OUT_CONTROL:
            assert_int_equal(o.last, CONTROL_OK);
            snprintf(e->text, sizeof e->text, "%.*s", (int)o.size, (const char *)o.p);
            break;
        case NVE_OUT_COUNTERS:
            counts = true;
            break;
        }
    }
    if (connects)
        connect_to(e);
    if (counts) { /* as the data plane would tell */
        static const uint64_t counters[DPC_N];
        struct nve_hold h = {.vni = VNI,
            .frames = 3,
            .mac = {{0x52, 0x54, 0, 0, 0, 1}},
            .octets = 180,
            .oldest_us = 1500000,
            .kept = 5,
            .released = 1,
            .dropped = 1};
        struct nve_in in = {
            .type = NVE_IN_COUNTERS, .counters = counters, .holds = &h, .n_holds = 1};
        to_nve(e, &in);
    }
    for (uint32_t i = 0; i < e->n_done; i++) {
        struct nve_in in = {.type = NVE_IN_DP_DONE, .id = e->done[i]};
        to_nve(e, &in);
    }
    for (uint32_t i = 0; i < e->n_logged; i++) {
        struct nve_in in = {.type = NVE_IN_JOURNAL_DONE, .id = e->logged[i]};
        to_nve(e, &in);
    }
    e->n_done = e->n_logged = 0;
    return any;
}

static bool
station_pull(struct edge_node *e)
{
    struct vdp_station_out o;
    bool any = false;
    while (vdp_station_output(e->s, W.now, &o)) {
        any = true;
        if (o.event == VDP_STATION_FRAME) {
            struct nve_in in = {.type = NVE_IN_FRAME,
                .port = 1,
                .p = o.frame,
                .size = (uint32_t)o.frame_size};
            to_nve(e, &in);
        } else if (o.event == VDP_STATION_RESULT) {
            e->result = o;
            e->n_results++;
        }
    }
    return any;
}

static bool
nva_pull(void)
{
    struct nva_out o;
    bool any = false;
    while (nva_output(W.a, &o)) {
        any = true;
        if (o.type == NVA_OUT_STREAM_DATA)
            for (unsigned i = 0; i < NODES; i++)
                if (W.e[i].conn == o.conn)
                    push(&W.e[i].wire, o.p, o.size);
        if (o.type == NVA_OUT_UDP) {
            struct ip self = vtep_n(NODES);
            fly(&self, &o.to, o.to_port, o.p, o.size);
        }
        if (o.type == NVA_OUT_STORE && o.id)
            W.stored[W.n_stored++] = o.id;
    }
    for (uint32_t i = 0; i < W.n_stored; i++) {
        struct nva_in in = {.type = NVA_IN_STORED, .id = W.stored[i]};
        nva_input(W.a, &in, W.now);
    }
    W.n_stored = 0;
    return any;
}

/* What crosses is counted: the S bit to an edge, the s bit to the authority. */
static bool
land(void)
{
    if (!W.n_air)
        return false;
    struct dgram d = W.air[0];
    memmove(&W.air[0], &W.air[1], --W.n_air * sizeof d);
    struct ip nva = vtep_n(NODES);
    struct lisp_request m;
    struct lisp_ecm ecm;
    if (lisp_request_decode(d.p, d.size, &m) == LISP_OK)
        W.n_smr += m.smr;
    if (lisp_ecm_decode(d.p, d.size, &ecm) == LISP_OK &&
        lisp_request_decode(ecm.payload, ecm.size, &m) == LISP_OK)
        W.n_invoked += m.smr_invoked;
    if (ip_equal(&d.to, &nva)) {
        struct nva_in in = {.type = NVA_IN_UDP,
            .from = d.from,
            .from_port = LISP_PORT,
            .p = d.p,
            .size = d.size};
        nva_input(W.a, &in, W.now);
    }
    for (unsigned i = 0; i < NODES; i++)
        if (ip_equal(&d.to, &W.e[i].vtep)) {
            struct nve_in in = {.type = NVE_IN_UDP,
                .from = d.from,
                .from_port = LISP_PORT,
                .p = d.p,
                .size = d.size};
            to_nve(&W.e[i], &in);
        }
    return true;
}

static void
run(void)
{
    for (bool more = true; more;) {
        more = nva_pull() | land();
        for (unsigned i = 0; i < NODES; i++) {
            struct edge_node *e = &W.e[i];
            struct octets o = e->wire;
            e->wire = (struct octets){0};
            if (o.n) {
                struct nve_in in = {.type = NVE_IN_STREAM_DATA, .p = o.p, .size = o.n};
                to_nve(e, &in);
                more = true;
            }
            free(o.p);
            more |= nve_pull(e) | station_pull(e);
        }
    }
}

static void
pass(uint64_t us)
{
    for (uint64_t end = W.now + us; W.now < end;) {
        run();
        uint64_t due = nva_deadline(W.a) < end ? nva_deadline(W.a) : end;
        for (unsigned i = 0; i < NODES; i++) {
            uint64_t n = nve_deadline(W.e[i].n), s = vdp_station_deadline(W.e[i].s);
            due = n < due ? n : due;
            due = s < due ? s : due;
        }
        W.now = due > W.now ? due : W.now;
        struct nva_in a = {.type = NVA_IN_TICK};
        if (nva_deadline(W.a) <= W.now)
            nva_input(W.a, &a, W.now);
        for (unsigned i = 0; i < NODES; i++) {
            struct nve_in n = {.type = NVE_IN_TICK};
            if (nve_deadline(W.e[i].n) <= W.now)
                to_nve(&W.e[i], &n);
        }
    }
    run();
}

static int
setup(void **state)
{
    static const struct nva_key keys[] = {
        {"*", SECRET}
    };
    struct nva_conf ac = {.name = "a", .keys = keys, .n_keys = 1, .seed = 1};
    struct vn_rec vn = {.vni = VNI, .name = "red", .mtu = 1450, .centralised = 1};
    struct nva_in in = {.type = NVA_IN_LOAD_VN, .vn = &vn};
    (void)state;
    memset(&W, 0, sizeof W);
    W.now = SEC;
    W.a = nva_new(&ac, W.now);
    nva_input(W.a, &in, W.now);
    in = (struct nva_in){.type = NVA_IN_LOADED};
    nva_input(W.a, &in, W.now);
    for (unsigned i = 0; i < NODES; i++) {
        struct edge_node *e = &W.e[i];
        struct nve_port_conf port = {
            .edge = {.name = "swp1", .domain = 1}
        };
        char name[8] = {'t', 'o', 'r', (char)('1' + i)};
        struct mac bridge =
                       {
                           {2, 0, 0, 0, 2, (uint8_t)i}
        },
                   station = {{2, 0, 0, 0, 1, (uint8_t)i}};
        e->vtep = vtep_n(i);
        struct nve_conf c = {
            .edge = {.name = name, .vtep = e->vtep, .seed = i + 2},
            .key = SECRET,
            .authority_udp = vtep_n(NODES),
            .ports = &port,
            .n_ports = 1
        };
        e->n = nve_new(&c, W.now);
        struct vdp_station_conf sc = vdp_station_defaults(&station);
        sc.seed = i + 9;
        e->s = vdp_station_new(&sc, W.now);
        vdp_station_set_peer(e->s, &sc.timers, true, false, W.now);
        struct nve_in up = {.type = NVE_IN_PORT, .port = 1, .up = 1, .mac = bridge};
        to_nve(e, &up);
        struct nve_in restored = {.type = NVE_IN_RESTORED};
        to_nve(e, &restored);
    }
    pass(SEC);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        nve_free(W.e[i].n);
        vdp_station_free(W.e[i].s);
        free(W.e[i].wire.p);
    }
    nva_free(W.a);
    return 0;
}

static struct mac
vm_mac(unsigned n)
{
    return (struct mac){
        {0x52, 0x54, 0, 0, 0, (uint8_t)n}
    };
}

/* Says it, waits for the answer. */
static const struct vdp_station_out *
say(unsigned at, unsigned n, enum berth_op op, enum berth_phase phase, uint64_t epoch,
    uint64_t migration, const struct ip *target)
{
    struct edge_node *e = &W.e[at];
    struct vdp_entry entry = {.group = VNI, .mac = vm_mac(n)};
    struct vdp_station_request r = {.cookie = 1,
        .filter_format = VDP_FILTER_GROUP_MAC,
        .n_entries = 1,
        .entries = &entry,
        .has_berth = true};
    uint32_t before = e->n_results;
    r.key.id = (struct vsiid){.format = VSIID_UUID};
    r.key.id.b[15] = (uint8_t)n;
    r.key.type_id = 5;
    assert_true(vdp_station_op(&r, op, phase));
    r.berth.epoch = epoch;
    r.berth.migration = migration;
    if (target)
        r.berth.target = *target;
    e->n_ops = 0;
    assert_true(vdp_station_request(e->s, &r, W.now));
    for (int i = 0; i < 30 && e->n_results == before; i++)
        pass(SEC / 10);
    assert_int_equal(e->n_results, before + 1);
    return &e->result;
}

/* The last operation of that kind on the VM since the last request of `at`; NULL: none.
 */
static const struct dp_op *
op_of(unsigned at, uint8_t type)
{
    const struct edge_node *e = &W.e[at];
    for (uint32_t i = e->n_ops; i > 0; i--)
        if (e->ops[i - 1].type == type)
            return &e->ops[i - 1];
    return NULL;
}

static const char *
show(unsigned at, const char *what)
{
    struct edge_node *e = &W.e[at];
    char text[64];
    int n = snprintf(text, sizeof text, "{\"cmd\":\"show %s\"}", what);
    struct nve_in in = {.type = NVE_IN_CONTROL,
        .conn = 1,
        .p = (const uint8_t *)text,
        .size = (uint32_t)n};
    e->text[0] = 0;
    to_nve(e, &in);
    run();
    return e->text;
}

#define SHOWS(at, what, words) assert_non_null(strstr(show(at, what), words))

/* Two servers, two edges: nobody names a target, no plain word of VDP could. */
static void
test_two_phases(void **state)
{
    (void)state;
    const struct vdp_station_out *o =
        say(L, 1, BERTH_OP_ASSOC, BERTH_PHASE_NONE, 0, 0, NULL);
    assert_int_equal(o->code, 0);
    uint64_t e1 = o->berth.epoch;
    assert_true(e1 > 0);
    /* immigrate (pre): a number, an id, and where this edge is */
    o = say(T, 1, BERTH_OP_IMMIGRATE, BERTH_PHASE_PRE, e1, 4711, NULL);
    assert_int_equal(o->code, 0);
    uint64_t e2 = o->berth.epoch;
    assert_true(e2 > e1 && o->berth.migration == 4711);
    assert_true(ip_equal(&o->berth.target, &W.e[T].vtep));
    assert_non_null(op_of(T, DP_HOLD_SET));
    assert_string_equal(show(T, "holds"),
        "{\"vni\":5000,\"vn\":\"red\",\"mac\":\"52:54:00:00:00:01\",\"draining\":false,"
        "\"frames\":3,\"octets\":180,\"oldest_s\":1.5,\"kept\":5,\"released\":1,"
        "\"dropped\":1}\n");
    /* the old edge knows it from the authority */
    SHOWS(L, "attachments", "\"target\":\"10.0.0.2\"");
    SHOWS(L, "attachments", "\"armed\":false");
    /* emigrate: prepare changes nothing, hold keeps what comes, commit sends it on */
    o = say(L, 1, BERTH_OP_EMIGRATE, BERTH_PHASE_PREPARE, 0, 0, NULL);
    assert_int_equal(o->code, 0);
    assert_null(op_of(L, DP_FDB_SET));
    SHOWS(L, "attachments", "\"armed\":true,\"hold\":false");
    o = say(L, 1, BERTH_OP_EMIGRATE, BERTH_PHASE_HOLD, 0, 0, NULL);
    assert_int_equal(o->code, 0);
    assert_non_null(op_of(L, DP_HOLD_SET));
    assert_null(op_of(L, DP_FDB_SET));
    SHOWS(L, "attachments", "\"armed\":true,\"hold\":true");
    o = say(L, 1, BERTH_OP_EMIGRATE, BERTH_PHASE_COMMIT, 0, 0, NULL);
    assert_int_equal(o->code, 0);
    const struct dp_op *fdb = op_of(L, DP_FDB_SET);
    assert_non_null(fdb);
    assert_int_equal(fdb->u.fdb.kind, FDB_RELAY);
    assert_true(ip_equal(&fdb->u.fdb.vtep, &W.e[T].vtep));
    assert_true(op_of(L, DP_HOLD_DEL) && op_of(L, DP_HOLD_DEL)->u.hold.drain);
    SHOWS(L, "mappings", "\"relay\":\"10.0.0.2\"");
    o = say(T, 1, BERTH_OP_IMMIGRATE, BERTH_PHASE_ASSO, e2, 4711, NULL);
    assert_int_equal(o->code, 0);
    assert_int_equal(o->berth.epoch, e2);
    fdb = op_of(T, DP_FDB_SET);
    assert_true(fdb && fdb->u.fdb.kind == FDB_LOCAL);
    const struct dp_op *hold = op_of(T, DP_HOLD_DEL);
    assert_true(hold && hold->u.hold.drain);
    SHOWS(L, "mappings", "\"tombstone\":true");
    o = say(L, 1, BERTH_OP_TERMINATE, BERTH_PHASE_NONE, 0, 0, NULL);
    assert_int_equal(o->code, 0);
}

/* A remote edge that still sends to the old one is told, and asks the authority. */
static void
test_smr(void **state)
{
    (void)state;
    uint64_t e1 = say(L, 1, BERTH_OP_ASSOC, BERTH_PHASE_NONE, 0, 0, NULL)->berth.epoch;
    say(R, 2, BERTH_OP_ASSOC, BERTH_PHASE_NONE, 0, 0, NULL);
    SHOWS(R, "mappings", "\"owner\":\"10.0.0.1\"");
    /* nobody may make it ask by saying so: not of what it sends elsewhere */
    struct lisp_eid eid;
    struct mac mac = vm_mac(1);
    eid = lisp_eid_mac(VNI, &mac);
    struct lisp_request m = {.smr = true, .n_itrs = 1, .n_eids = 1};
    m.itrs[0] = W.e[T].vtep;
    m.source = m.eids[0] = eid;
    uint8_t b[256];
    size_t n = lisp_request_encode(&m, &lisp_dialect_default, b, sizeof b);
    fly(&W.e[T].vtep, &W.e[R].vtep, LISP_PORT, b, (uint32_t)n);
    pass(SEC);
    assert_int_equal(W.n_invoked, 0);
    /* the VM moves; the old edge relays what R sends */
    uint64_t e2 =
        say(T, 1, BERTH_OP_IMMIGRATE, BERTH_PHASE_PRE, e1, 4711, NULL)->berth.epoch;
    say(L, 1, BERTH_OP_EMIGRATE, BERTH_PHASE_COMMIT, 0, 0, NULL);
    say(T, 1, BERTH_OP_IMMIGRATE, BERTH_PHASE_ASSO, e2, 4711, NULL);
    struct dp_event ev = {
        .type = DP_EV_RELAYED, .vni = VNI, .dst = mac, .ip = W.e[R].vtep};
    struct nve_in in = {.type = NVE_IN_DP_EVENT, .event = &ev};
    W.n_smr = 0;
    to_nve(&W.e[L], &in);
    pass(SEC / 10);
    assert_int_equal(W.n_smr, 1);
    /* R had the push already and sends to the new place: it need not ask */
    SHOWS(R, "mappings", "\"owner\":\"10.0.0.2\"");
    assert_int_equal(W.n_invoked, 0);
    /* from where it sends to now, it is a reason to ask: once, however often it comes
     */
    for (int i = 0; i < 5; i++)
        fly(&W.e[T].vtep, &W.e[R].vtep, LISP_PORT, b, (uint32_t)n);
    pass(SEC / 10);
    assert_int_equal(W.n_invoked, 1);
    SHOWS(R, "mappings", "\"owner\":\"10.0.0.2\"");
}

/* A target that is named counts with a newer number alone (D3, X5). */
static void
test_named_target(void **state)
{
    (void)state;
    uint64_t e1 = say(L, 1, BERTH_OP_ASSOC, BERTH_PHASE_NONE, 0, 0, NULL)->berth.epoch;
    const struct dp_op *fdb;
    say(L, 1, BERTH_OP_EMIGRATE, BERTH_PHASE_HOLD, e1, 0, &W.e[T].vtep);
    fdb = op_of(L, DP_FDB_SET);
    assert_true(!fdb || fdb->u.fdb.kind != FDB_RELAY);
    assert_non_null(op_of(L, DP_HOLD_SET));
    const struct vdp_station_out *o =
        say(L, 1, BERTH_OP_EMIGRATE, BERTH_PHASE_COMMIT, e1 + 7, 4711, &W.e[T].vtep);
    assert_int_equal(o->code, 0);
    fdb = op_of(L, DP_FDB_SET);
    assert_non_null(fdb);
    assert_int_equal(fdb->u.fdb.kind, FDB_RELAY);
    assert_true(ip_equal(&fdb->u.fdb.vtep, &W.e[T].vtep));
}

/* The new place gives up after the pause: the old edge hears it through the authority,
 * and what comes from then on waits there until the VM goes on. */
static void
test_target_gives_up(void **state)
{
    (void)state;
    uint64_t e1 = say(L, 1, BERTH_OP_ASSOC, BERTH_PHASE_NONE, 0, 0, NULL)->berth.epoch;
    say(R, 2, BERTH_OP_ASSOC, BERTH_PHASE_NONE, 0, 0, NULL);
    say(T, 1, BERTH_OP_IMMIGRATE, BERTH_PHASE_PRE, e1, 4711, NULL);
    say(L, 1, BERTH_OP_EMIGRATE, BERTH_PHASE_COMMIT, 0, 0, NULL);
    SHOWS(L, "mappings", "\"relay\":\"10.0.0.2\"");
    W.e[L].n_ops = 0;
    assert_int_equal(
        say(T, 1, BERTH_OP_TERMINATE, BERTH_PHASE_NONE, 0, 0, NULL)->code, 0);
    const struct dp_op *hold = op_of(L, DP_HOLD_SET), *fdb = op_of(L, DP_FDB_SET);
    assert_true(hold && fdb && hold < fdb); /* a hold before the FDB that needs it */
    assert_int_equal(fdb->u.fdb.kind, FDB_LOCAL);
    SHOWS(L, "attachments", "\"target\":null");
    hold = op_of(T, DP_HOLD_DEL);
    assert_true(hold && !hold->u.hold.drain);
    const struct vdp_station_out *o =
        say(L, 1, BERTH_OP_RESUME, BERTH_PHASE_NONE, 0, 0, NULL);
    assert_int_equal(o->code, 0);
    assert_true(o->berth.epoch > e1);
    hold = op_of(L, DP_HOLD_DEL);
    assert_true(hold && hold->u.hold.drain);
    SHOWS(R, "mappings", "\"owner\":\"10.0.0.1\"");
}

/* An edge that ends says so: the authority does not wait for its silence, and what the
 * edge has stays as it is (K11). */
static void
test_goodbye(void **state)
{
    (void)state;
    struct nve_in stop = {.type = NVE_IN_STOP};
    struct registry_nve_view v;
    uint32_t found = 0;
    say(L, 1, BERTH_OP_ASSOC, BERTH_PHASE_NONE, 0, 0, NULL);
    W.e[L].n_ops = 0;
    W.e[L].ends = true;
    nve_input(W.e[L].n, &stop, W.now);
    run();
    for (uint32_t it = 0; registry_each_nve(nva_registry(W.a), &it, &v);)
        if (ip_equal(&v.vtep, &W.e[L].vtep)) {
            assert_false(v.up);
            assert_int_equal(v.n_mappings, 1);
            found++;
        }
    assert_int_equal(found, 1);
    assert_int_equal(W.e[L].n_ops, 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_two_phases), TEST(test_smr),
        TEST(test_named_target), TEST(test_target_gives_up), TEST(test_goodbye)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
