/* SPDX-License-Identifier: Apache-2.0 */
/* Questions by UDP: centralised, distributed, negative, silent (S4-31 to S4-33, K8,
 * K17), talkers (S4-13), and a foreign router that speaks plain RFC 9301. */
#include "nva_rig.h"

#include "proto/lisp_server.h"

static const uint16_t ASKER_PORT = 5555;

/* What the fast path, or the slow one, says to a question; false: silence. */
struct said {
    uint8_t p[1600];
    uint32_t size;
    struct ip to;
    uint16_t port;
    struct lisp_reply reply;
    struct lisp_record record;
};

static uint32_t
request(uint8_t *p, uint32_t cap, const struct ip *itr, const struct ip *source,
    struct lisp_eid eid, bool ecm)
{
    uint8_t bare[512];
    struct lisp_request m = {.nonce = 0x1122334455667788,
        .n_itrs = 1,
        .itrs = {*itr},
        .n_eids = 1,
        .eids = {eid}};
    if (source)
        m.source = lisp_eid_ip(eid.vni, source);
    uint32_t n =
        (uint32_t)lisp_request_encode(&m, &lisp_dialect_default, bare, sizeof bare);
    if (!ecm) {
        memcpy(p, bare, n);
        return n;
    }
    struct lisp_ecm e = {.src = *itr,
        .dst = ip_v4(0x01020304),
        .sport = ASKER_PORT,
        .dport = LISP_PORT,
        .payload = bare,
        .size = n};
    return (uint32_t)lisp_ecm_encode(&e, p, cap);
}

static bool
ask(struct rig *r, const struct ip *itr, const struct ip *source, struct lisp_eid eid,
    bool ecm, struct said *s)
{
    uint8_t p[1024];
    uint32_t n = request(p, sizeof p, itr, source, eid, ecm);
    r->n_dgrams = 0;
    s->size = nva_udp_fast(
        r->n, p, n, itr, ASKER_PORT, s->p, sizeof s->p, &s->to, &s->port, r->now);
    if (!s->size) {
        struct nva_in in = {.type = NVA_IN_UDP,
            .p = p,
            .size = n,
            .from = *itr,
            .from_port = ASKER_PORT};
        rig_feed(r, &in);
        rig_run(r);
        if (!r->n_dgrams)
            return false;
        s->size = r->dgrams[0].size;
        s->to = r->dgrams[0].to;
        s->port = r->dgrams[0].port;
        memcpy(s->p, r->dgrams[0].p, s->size);
    }
    rig_run(r);
    if (lisp_type_of(s->p, s->size) == LISP_MAP_REPLY) {
        assert_int_equal(
            lisp_reply_decode(s->p, s->size, &lisp_dialect_default, &s->reply),
            LISP_OK);
        assert_int_equal(s->reply.nonce, 0x1122334455667788);
        assert_int_equal(s->reply.n_records, 1);
        struct rd rd = s->reply.records;
        assert_int_equal(
            lisp_record_get(&rd, &lisp_dialect_default, &s->record), LISP_OK);
    }
    return true;
}

static struct lisp_eid
eid_ip(uint32_t vni, uint32_t i)
{
    struct ip ip = ip_v4(0x0a000000 + i);
    return lisp_eid_ip(vni, &ip);
}

static void
test_centralised(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct said s;
    struct ip stranger = ip_v4(0xc0000209);
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    uint64_t epoch = rig_event(a, LISP_SEV_ACK)->epoch;
    for (int ecm = 0; ecm < 2; ecm++) {
        /* <VNI, IP_B, *> is answered with MAC_B, epoch and owner: one round trip. */
        assert_true(ask(r, &b->vtep, NULL, eid_ip(5000, 1), ecm, &s));
        assert_true(ip_equal(&s.to, &b->vtep));
        assert_int_equal(s.port, ASKER_PORT);
        struct mac mac = rig_mac(1);
        assert_true(s.record.rlocs[0].has_mac && s.record.rlocs[0].has_epoch);
        assert_true(mac_equal(&s.record.rlocs[0].mac, &mac));
        assert_int_equal(s.record.rlocs[0].epoch, epoch);
        assert_true(ip_equal(&s.record.rlocs[0].ip, &a->vtep));
        assert_int_equal(s.record.eid.kind, LISP_EID_IP);
        /* A router without a session gets what RFC 9301 knows, and not for long. */
        assert_true(ask(r, &stranger, NULL, eid_ip(5000, 1), ecm, &s));
        assert_false(s.record.rlocs[0].has_epoch);
        assert_int_equal(s.record.ttl_min, 1);
        assert_true(ip_equal(&s.record.rlocs[0].ip, &a->vtep));
        /* Nobody is there; no such VN. */
        assert_true(ask(r, &stranger, NULL, eid_ip(5000, 9), ecm, &s));
        assert_int_equal(s.record.n_rlocs, 0);
        assert_int_equal(s.record.act, LISP_ACT_DROP);
        assert_true(ask(r, &stranger, NULL, eid_ip(4711, 9), ecm, &s));
        assert_int_equal(s.record.act, LISP_ACT_DROP_POLICY);
    }
    rig_free(r);
}

static void
test_distributed(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct said s;
    struct lisp_ecm e;
    rig_start(r);
    rig_vn(r, 5000, ",\"reply\":\"distributed\"");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    for (int ecm = 0; ecm < 2; ecm++) {
        assert_true(ask(r, &b->vtep, NULL, eid_ip(5000, 1), ecm, &s));
        assert_int_equal(lisp_type_of(s.p, s.size), LISP_ECM);
        assert_true(ip_equal(&s.to, &a->vtep));
        assert_int_equal(s.port, LISP_PORT);
        assert_int_equal(lisp_ecm_decode(s.p, s.size, &e), LISP_OK);
        struct lisp_request m;
        assert_int_equal(lisp_request_decode(e.payload, e.size, &m), LISP_OK);
        assert_int_equal(m.nonce, 0x1122334455667788);
        assert_true(ip_equal(&m.itrs[0], &b->vtep));
    }
    /* The owner's session is lost, its data plane is not: we answer for it (K11). */
    lisp_session_stop(a->s, LISP_RT_R_SHUTDOWN, r->now);
    rig_run(r);
    assert_true(ask(r, &b->vtep, NULL, eid_ip(5000, 1), true, &s));
    assert_int_equal(lisp_type_of(s.p, s.size), LISP_MAP_REPLY);
    assert_true(ip_equal(&s.record.rlocs[0].ip, &a->vtep));
    rig_free(r);
}

/* Pulled keys follow a move: the asker is subscribed to what it asked for (K8). */
static void
test_pull_subscribes(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct said s;
    rig_start(r);
    rig_vn(r, 5000, ",\"pull\":true");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1), *c = rig_nve(r, 2);
    assert_true(ask(r, &c->vtep, NULL, eid_ip(5000, 1), true, &s));
    assert_int_equal(s.record.n_rlocs, 0);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    struct lisp_session_event *e = rig_event(c, LISP_SEV_NOTIFY);
    assert_non_null(e);
    assert_true(ip_equal(&e->record.rlocs[0].ip, &a->vtep));
    rig_register(r, b, 2, 5000, 1, 0, LISP_RT_F_CLAIM);
    e = rig_event(c, LISP_SEV_NOTIFY);
    assert_true(ip_equal(&e->record.rlocs[0].ip, &b->vtep));
    rig_free(r);
}

static void
test_silence_while_recovering(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct said s;
    struct ip stranger = ip_v4(0xc0000209);
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0);
    rig_kill(r);
    rig_start(r);
    assert_false(ask(r, &stranger, NULL, eid_ip(5000, 1), true, &s));
    rig_pass(r, 3000000);
    lisp_session_register_end(a->s);
    rig_run(r);
    assert_true(ask(r, &stranger, NULL, eid_ip(5000, 1), true, &s));
    assert_int_equal(s.record.n_rlocs, 0);
    rig_free(r);
}

static void
test_talkers(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct said s;
    struct ip source = ip_v4(0x0a000063);
    uint8_t last;
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    for (int i = 0; i < 3; i++)
        ask(r, &b->vtep, &source, eid_ip(5000, 1), true, &s);
    rig_pass(r, 2000000);
    const char *row = rig_ctl(r, "{\"cmd\":\"show talkers\",\"vni\":5000}", &last);
    assert_string_equal(row,
        "{\"vni\":5000,\"asker\":\"10.255.0.2\",\"src\":\"10.0.0.99\",\"mac\":"
        "\"02:00:00:00:00:01\",\"ip\":\"10.0.0.1\",\"owner\":\"10.255.0.1\",\"count\":"
        "3,"
        "\"last_s\":2.0}\n");
    row = rig_ctl(r, "{\"cmd\":\"show talkers\",\"vni\":5001}", &last);
    assert_string_equal(row, "");
    rig_free(r);
}

/* ---- a foreign router: plain Map-Registers, signed, nothing of Berth in them ---- */

struct xtr {
    struct ip rloc;
    struct lisp_key key;
    uint64_t nonce, site;
    uint16_t version;
    bool proxy;
};

static struct lisp_record
plain(struct lisp_eid eid, const struct ip *rloc, uint32_t ttl, uint16_t version)
{
    struct lisp_record rec;
    memset(&rec, 0, sizeof rec);
    rec.eid = eid;
    rec.ttl_min = ttl;
    rec.version = version;
    rec.n_rlocs = 1;
    rec.rlocs[0].ip = *rloc;
    rec.rlocs[0].prio = 1;
    rec.rlocs[0].weight = 100;
    rec.rlocs[0].local = rec.rlocs[0].reachable = true;
    return rec;
}

/* True when a Map-Notify came for it. */
static bool
xtr_register(struct rig *r, struct xtr *x, const struct lisp_record *records, uint8_t n)
{
    uint8_t p[1500];
    struct lisp_register m = {.type = LISP_MAP_REGISTER,
        .nonce = ++x->nonce,
        .proxy = x->proxy,
        .want_notify = true,
        .n_records = n,
        .use_ttl = true};
    m.key_id = x->key.id;
    if (x->site) {
        m.has_id = true;
        m.site_id = x->site;
        memset(m.xtr_id, 0x5a, sizeof m.xtr_id);
    }
    size_t size =
        lisp_register_encode(&m, records, &x->key, &lisp_dialect_default, p, sizeof p);
    assert_true(size > 0);
    r->n_dgrams = 0;
    struct nva_in in = {.type = NVA_IN_UDP,
        .p = p,
        .size = (uint32_t)size,
        .from = x->rloc,
        .from_port = LISP_PORT};
    rig_feed(r, &in);
    rig_run(r);
    for (unsigned i = 0; i < r->n_dgrams; i++) {
        struct lisp_register got;
        bool covered;
        if (lisp_type_of(r->dgrams[i].p, r->dgrams[i].size) != LISP_MAP_NOTIFY)
            continue;
        assert_int_equal(lisp_register_decode(r->dgrams[i].p, r->dgrams[i].size,
                             &lisp_dialect_default, &got),
            LISP_OK);
        assert_true(lisp_register_verify(
            r->dgrams[i].p, r->dgrams[i].size, &got, &x->key, &covered));
        if (got.nonce == x->nonce)
            return true;
    }
    return false;
}

static struct xtr
xtr_of(uint32_t rloc)
{
    struct xtr x = {
        .rloc = ip_v4(rloc),
        .nonce = 100,
        .proxy = true,
        .key = {.id = 1, .alg = LISP_ALG_SHA256_128}
    };
    x.key.size = (uint8_t)strlen(rig_xtrs[0].secret);
    memcpy(x.key.secret, rig_xtrs[0].secret, x.key.size);
    return x;
}

static void
test_foreign_mac(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct said s;
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0);
    lisp_session_subscribe(a->s, 5000);
    rig_run(r);
    struct xtr x = xtr_of(0xc0000205);
    struct mac mac = rig_mac(1);
    struct lisp_record rec = plain(lisp_eid_mac(5000, &mac), &x.rloc, 3, 1);
    assert_true(xtr_register(r, &x, &rec, 1));
    /* Pushed to the subscriber with an epoch of the authority (E5). */
    struct lisp_session_event *e = rig_event(a, LISP_SEV_NOTIFY);
    assert_non_null(e);
    uint64_t epoch = e->record.rlocs[0].epoch;
    assert_true(epoch > 0 && ip_equal(&e->record.rlocs[0].owner, &x.rloc));
    assert_int_equal(rig_count(a, LISP_SEV_MEMBER), 1);
    /* What it repeats is a keep-alive: no new epoch, nothing pushed. */
    unsigned pushed = rig_count(a, LISP_SEV_NOTIFY);
    assert_true(xtr_register(r, &x, &rec, 1));
    assert_int_equal(rig_count(a, LISP_SEV_NOTIFY), pushed);
    /* It may ask. */
    assert_true(ask(r, &x.rloc, NULL, lisp_eid_mac(5000, &mac), true, &s));
    assert_true(ip_equal(&s.record.rlocs[0].ip, &x.rloc));
    /* The VM moves to an NVE: the router is told, its keep-alives claim nothing (K3).
     */
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    assert_true(rig_event(a, LISP_SEV_ACK)->epoch > epoch);
    assert_false(xtr_register(r, &x, &rec, 1));
    assert_int_equal(r->n_dgrams, 1); /* unsolicited: where it is now */
    struct lisp_register note;
    struct lisp_record now;
    assert_int_equal(lisp_register_decode(r->dgrams[0].p, r->dgrams[0].size,
                         &lisp_dialect_default, &note),
        LISP_OK);
    assert_int_equal(
        lisp_record_get(&note.records, &lisp_dialect_default, &now), LISP_OK);
    assert_true(ip_equal(&now.rlocs[0].ip, &a->vtep));
    for (int i = 0; i < 4; i++) {
        rig_pass(r, 60000000);
        assert_false(xtr_register(r, &x, &rec, 1));
    }
    struct mapping_rec m;
    assert_int_equal(
        registry_peek(nva_registry(r->n), 5000, &mac, NULL, &m, NULL), REG_FOUND);
    assert_true(ip_equal(&m.owner, &a->vtep));
    /* It comes back: another Map-Version is a claim. */
    rec.version = 2;
    assert_true(xtr_register(r, &x, &rec, 1));
    registry_peek(nva_registry(r->n), 5000, &mac, NULL, &m, NULL);
    assert_true(ip_equal(&m.owner, &x.rloc));
    /* Silence ends it after the time that it named. */
    rig_pass(r, 181000000);
    assert_int_equal(
        registry_peek(nva_registry(r->n), 5000, &mac, NULL, &m, NULL), REG_ABSENT);
    rig_free(r);
}

/* A MAC and its address in two records of one message are one mapping (table of 3.3).
 */
static void
test_foreign_pair(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    struct xtr x = xtr_of(0xc0000205);
    x.site = 77;
    x.key = (struct lisp_key){.id = 2, .alg = LISP_ALG_SHA256_128_HKDF};
    x.key.size = (uint8_t)strlen(rig_xtrs[1].secret);
    memcpy(x.key.secret, rig_xtrs[1].secret, x.key.size);
    struct mac mac = rig_mac(1);
    struct mapping_rec m;
    struct lisp_record two[2] = {plain(lisp_eid_mac(5000, &mac), &x.rloc, 3, 0),
        plain(eid_ip(5000, 1), &x.rloc, 3, 0)};
    two[1].rlocs[0].has_mac = true;
    two[1].rlocs[0].mac = mac;
    assert_true(xtr_register(r, &x, two, 2));
    struct ip ip = ip_v4(0x0a000001);
    assert_int_equal(
        registry_peek(nva_registry(r->n), 5000, NULL, &ip, &m, NULL), REG_FOUND);
    assert_true(mac_equal(&m.mac, &mac));
    uint64_t epoch = m.epoch;
    assert_true(xtr_register(r, &x, two, 2));
    registry_peek(nva_registry(r->n), 5000, NULL, &ip, &m, NULL);
    assert_int_equal(m.epoch, epoch);
    /* The address alone is withdrawn, then the rest. */
    two[1].ttl_min = 0;
    assert_true(xtr_register(r, &x, &two[1], 1));
    assert_int_equal(
        registry_peek(nva_registry(r->n), 5000, NULL, &ip, &m, NULL), REG_ABSENT);
    assert_int_equal(
        registry_peek(nva_registry(r->n), 5000, &mac, NULL, &m, NULL), REG_FOUND);
    two[0].ttl_min = 0;
    assert_true(xtr_register(r, &x, two, 1));
    assert_int_equal(
        registry_peek(nva_registry(r->n), 5000, &mac, NULL, &m, NULL), REG_ABSENT);
    rig_free(r);
}

/* Addresses without a MAC: kept for questions, the longest prefix answers. */
static void
test_foreign_prefix(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct said s;
    struct ip stranger = ip_v4(0xc0000209);
    uint8_t last;
    rig_start(r);
    rig_vn(r, 5000, "");
    struct xtr x = xtr_of(0xc0000205), y = xtr_of(0xc0000206);
    y.nonce = 200;
    y.proxy = false;
    struct lisp_record wide = plain(eid_ip(5000, 0x0100), &x.rloc, 3, 0);
    wide.eid.prefix_len = 24;
    struct lisp_record host = plain(eid_ip(5000, 0x0107), &y.rloc, 3, 0);
    assert_true(xtr_register(r, &x, &wide, 1));
    assert_true(xtr_register(r, &y, &host, 1));
    assert_true(ask(r, &stranger, NULL, eid_ip(5000, 0x0105), true, &s));
    assert_int_equal(s.record.eid.prefix_len, 24);
    assert_true(ip_equal(&s.record.rlocs[0].ip, &x.rloc));
    /* Without the P bit the router answers for itself. */
    assert_true(ask(r, &stranger, NULL, eid_ip(5000, 0x0107), true, &s));
    assert_int_equal(lisp_type_of(s.p, s.size), LISP_ECM);
    assert_true(ip_equal(&s.to, &y.rloc));
    assert_true(ask(r, &stranger, NULL, eid_ip(5000, 0x0207), true, &s));
    assert_int_equal(s.record.n_rlocs, 0);
    const char *rows =
        rig_ctl(r, "{\"cmd\":\"show mappings\",\"ip\":\"10.0.1.7\"}", &last);
    assert_non_null(strstr(rows, "\"owner\":\"192.0.2.6\""));
    rig_pass(r, 200000000);
    assert_true(ask(r, &stranger, NULL, eid_ip(5000, 0x0105), true, &s));
    assert_int_equal(s.record.n_rlocs, 0);
    rig_free(r);
}

static void
test_foreign_refused(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0);
    struct mac mac = rig_mac(1);
    struct xtr x = xtr_of(0xc0000205);
    /* The place of an NVE that is connected; no such VN; no instance id at all. */
    struct lisp_record rec = plain(lisp_eid_mac(5000, &mac), &a->vtep, 3, 0);
    assert_false(xtr_register(r, &x, &rec, 1));
    rec = plain(lisp_eid_mac(4711, &mac), &x.rloc, 3, 0);
    assert_false(xtr_register(r, &x, &rec, 1));
    rec = plain(eid_ip(0, 1), &x.rloc, 3, 0);
    assert_false(xtr_register(r, &x, &rec, 1));
    assert_int_equal(registry_count(nva_registry(r->n)), 0);
    /* A wrong key, and a replay. */
    rec = plain(lisp_eid_mac(5000, &mac), &x.rloc, 3, 0);
    struct xtr forged = x;
    forged.key.secret[0] ^= 1;
    assert_false(xtr_register(r, &forged, &rec, 1));
    assert_true(xtr_register(r, &x, &rec, 1));
    x.nonce--;
    assert_false(xtr_register(r, &x, &rec, 1));
    assert_int_equal(registry_count(nva_registry(r->n)), 1);
    /* An NVE at that address connects: the router gives way. */
    struct rig_nve *late = &r->nves[4];
    late->vtep = x.rloc;
    struct lisp_session_conf c = {.id = "late",
        .vtep = x.rloc,
        .key = (const uint8_t *)SECRET,
        .key_size = strlen(SECRET),
        .seed = 5};
    late->s = lisp_session_new_client(&c, r->now);
    rig_run(r);
    assert_true(lisp_session_is_up(late->s));
    assert_int_equal(registry_count(nva_registry(r->n)), 0);
    x.nonce += 10;
    assert_false(xtr_register(r, &x, &rec, 1));
    rig_free(r);
}

/* During recovery a router's claim waits like all: no Map-Notify, then it stands. */
static void
test_foreign_recovering(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct mapping_rec m;
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0);
    rig_kill(r);
    rig_start(r);
    struct xtr x = xtr_of(0xc0000205);
    struct mac mac = rig_mac(1);
    struct lisp_record rec = plain(lisp_eid_mac(5000, &mac), &x.rloc, 3, 0);
    assert_false(xtr_register(r, &x, &rec, 1));
    assert_false(xtr_register(r, &x, &rec, 1));
    rig_pass(r, 3000000);
    lisp_session_register_end(a->s);
    rig_run(r);
    assert_int_equal(
        registry_peek(nva_registry(r->n), 5000, &mac, NULL, &m, NULL), REG_FOUND);
    assert_true(xtr_register(r, &x, &rec, 1));
    rig_free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_centralised),
        cmocka_unit_test(test_distributed),
        cmocka_unit_test(test_pull_subscribes),
        cmocka_unit_test(test_silence_while_recovering),
        cmocka_unit_test(test_talkers),
        cmocka_unit_test(test_foreign_mac),
        cmocka_unit_test(test_foreign_pair),
        cmocka_unit_test(test_foreign_prefix),
        cmocka_unit_test(test_foreign_refused),
        cmocka_unit_test(test_foreign_recovering),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
