/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge against frames written by hand: what section 3 of the interoperability
 * notes asks of a bridge, and what a hostile station can try. */
#include "test.h"
#include "base/rng.h"
#include "proto/vdp_bridge.h"
#include "wire/cisco_tlv.h"

static const struct mac bridge_mac = {
    {2, 0, 0, 0, 2, 1}
};
static const struct mac station_mac = {
    {2, 0, 0, 0, 1, 1}
};

struct rig {
    struct vdp_bridge *b;
    uint64_t now;
    uint16_t seq;
    struct mac src, dst;
    uint8_t payload[ECP_PAYLOAD_MAX];
    struct wr w;
    /* answers taken from the bridge */
    uint8_t frame[ECP_FRAME_MAX];
    struct vdp_pdu pdu;
    uint32_t n_acks, n_pdus;
};

static void
rig_open(struct rig *r, const struct vdp_bridge_conf *conf)
{
    struct vdp_bridge_conf c = conf ? *conf : vdp_bridge_defaults(&bridge_mac);
    memset(r, 0, sizeof *r);
    r->b = vdp_bridge_new(&c, 0);
    r->now = 1000;
    r->src = station_mac;
    r->dst = eth_mac_ncb;
}

static void
begin(struct rig *r)
{
    r->w = wr_of(r->payload, sizeof r->payload);
    vdp_encode_mgrid(&r->w, (const uint8_t[16]){'m', 'g', 'r', '1'});
}

/* One VSI TLV with one MAC/VID entry. */
static void
add(struct rig *r, uint8_t type, uint8_t n, uint8_t status, uint16_t tci)
{
    uint8_t filter[8] = {0x52, 0x54, 0, 0, 0, n, (uint8_t)(tci >> 8), (uint8_t)tci};
    struct vdp_vsi v = {
        .type = type,
        .status = status,
        .type_id = 5,
        .type_version = 4,
        .id = {.format = VSIID_UUID, .b = {[15] = n}},
        .filter_format = VDP_FILTER_MAC,
        .n_entries = 1,
        .filter = filter
    };
    vdp_encode_vsi(&r->w, &v);
}

static size_t
frame_of(struct rig *r, uint8_t *frame, uint8_t op, uint16_t seq)
{
    struct wr w = wr_of(frame, ECP_FRAME_MAX);
    eth_encode(&w, &(struct eth){.dst = r->dst, .src = r->src, .type = ETH_TYPE_ECP});
    ecp_encode(&w, &(struct ecp){ECP_VERSION, op, ECP_VDP, seq});
    if (op == ECP_REQUEST)
        wr_bytes(&w, r->payload, r->w.pos);
    assert_false(w.err);
    return w.pos; /* no padding, no End: as lldpad does (3d) */
}

static void
send_seq(struct rig *r, uint16_t seq)
{
    uint8_t frame[ECP_FRAME_MAX];
    size_t size = frame_of(r, frame, ECP_REQUEST, seq);
    vdp_bridge_input(r->b, frame, size, r->now);
}

static void
send(struct rig *r)
{
    send_seq(r, ++r->seq);
}

/* Next request, with acks counted and answers kept and acked on the way. */
static const struct vdp_request *
pull(struct rig *r)
{
    struct vdp_bridge_out o;
    while (vdp_bridge_output(r->b, r->now, &o)) {
        if (o.kind == VDP_BRIDGE_REQUEST)
            return o.request;
        struct rd rd = rd_of(o.frame, o.frame_size);
        struct eth eth;
        struct ecp ecp;
        assert_true(eth_decode(&rd, &eth) && ecp_decode(&rd, &ecp));
        assert_true(mac_equal(&eth.dst, &r->dst) && mac_equal(&eth.src, &bridge_mac));
        if (ecp.op == ECP_ACK) {
            assert_true(ecp.seq <= r->seq);
            r->n_acks++;
            continue;
        }
        memcpy(r->frame, o.frame, o.frame_size);
        vdp_decode(r->frame + 18, o.frame_size - 18, &r->pdu);
        assert_int_equal(r->pdu.reason, VDP_GOOD);
        assert_true(r->pdu.end);
        r->n_pdus++;
        uint8_t ack[ECP_FRAME_MAX];
        vdp_bridge_input(r->b, ack, frame_of(r, ack, ECP_ACK, ecp.seq), r->now);
    }
    return NULL;
}

static const struct vdp_request *
pull_one(struct rig *r)
{
    const struct vdp_request *rq = pull(r);
    assert_non_null(rq);
    return rq;
}

static void
answer(struct rig *r, const struct vdp_request *rq, uint8_t code, uint16_t vid)
{
    struct vdp_entry e = {.vid = vid, .ps = vid, .pcp = vid ? 5 : 0};
    struct vdp_answer a = {.code = code, .n_entries = vid ? 1 : 0, .entries = &e};
    assert_true(vdp_bridge_answer(r->b, rq->handle, &a, r->now));
    r->now += 20000;
    assert_null(pull(r));
}

static uint16_t
answered_tci(const struct rig *r, int i)
{
    struct vdp_entry e =
        vdp_entry_get(r->pdu.vsis[i].filter_format, r->pdu.vsis[i].filter, 0);
    return vdp_entry_tci(&e);
}

static void
associate(struct rig *r, uint8_t n, uint16_t tci, uint16_t vid)
{
    begin(r);
    add(r, VDP_ASSOC, n, 0, tci);
    send(r);
    answer(r, pull_one(r), 0, vid);
}

/* Null VID: filled in, the same for ever after, however the station asks. */
static void
null_vid(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    begin(&r);
    add(&r, VDP_PREASSOC, 1, 0, 0);
    send(&r);
    const struct vdp_request *rq = pull_one(&r);
    assert_false(rq->keepalive || rq->known || rq->m || rq->s || rq->has_berth);
    assert_int_equal(rq->type, VDP_PREASSOC);
    assert_int_equal(rq->entries[0].vid, 0);
    assert_true(mac_equal(&rq->peer, &station_mac));
    answer(&r, rq, 0, 600);
    assert_int_equal(r.n_acks, 1);
    assert_int_equal(r.n_pdus, 1);
    assert_int_equal(r.pdu.vsis[0].type, VDP_PREASSOC);
    assert_int_equal(r.pdu.vsis[0].status, VDP_RSP_ACK);
    assert_int_equal(answered_tci(&r, 0), 0xd258);
    static const uint16_t asked[] = {0, 0xd258, 0};
    for (int i = 0; i < 3; i++) {
        begin(&r);
        add(&r, VDP_PREASSOC, 1, 0, asked[i]);
        send(&r);
        rq = pull_one(&r);
        assert_true(rq->keepalive && rq->known);
        assert_int_equal(rq->entries[0].vid, 600);
        assert_int_equal(rq->entries[0].pcp, 5);
        answer(&r, rq, 0, i == 1 ? 601 : 0); /* whatever the node says now */
        assert_int_equal(answered_tci(&r, 0), 0xd258);
    }
    begin(&r);
    add(&r, VDP_ASSOC, 1, 0, 0);
    send(&r);
    rq = pull_one(&r);
    assert_true(!rq->keepalive && rq->known);
    assert_int_equal(rq->entries[0].vid, 600);
    answer(&r, rq, 0, 600);
    begin(&r);
    add(&r, VDP_DEASSOC, 1, 0, 0xd258);
    send(&r);
    rq = pull_one(&r);
    assert_true(rq->type == VDP_DEASSOC && !rq->keepalive && rq->known);
    answer(&r, rq, 0, 0);
    assert_int_equal(r.pdu.vsis[0].status, VDP_RSP_ACK);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 0);
    vdp_bridge_free(r.b);
}

/* K3: any octet that differs, hints included, makes it a request again. */
static void
keepalives(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    begin(&r);
    add(&r, VDP_ASSOC, 1, VDP_REQ_M, 100);
    send(&r);
    answer(&r, pull_one(&r), 0, 0);
    static const struct {
        uint8_t type, status;
        uint16_t tci;
        bool keepalive;
    } cases[] = {
        {VDP_ASSOC,    VDP_REQ_M, 100, true },
        {VDP_ASSOC,    VDP_REQ_S, 100, false},
        {VDP_ASSOC,    0,         100, false},
        {VDP_ASSOC,    0,         101, false},
        {VDP_PREASSOC, 0,         100, false},
        {VDP_ASSOC,    VDP_REQ_M, 100, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(&r);
        add(&r, cases[i].type, 1, cases[i].status, cases[i].tci);
        send(&r);
        const struct vdp_request *rq = pull_one(&r);
        assert_int_equal(rq->keepalive, cases[i].keepalive);
        assert_int_equal(rq->m, cases[i].status == VDP_REQ_M);
        assert_int_equal(rq->s, cases[i].status == VDP_REQ_S);
        struct vdp_answer a = {
            .code = cases[i].keepalive ? 0 : VDP_CODE_OTHER, .keep = true};
        assert_true(vdp_bridge_answer(r.b, rq->handle, &a, r.now));
        r.now += 20000;
        assert_null(pull(&r));
        assert_int_equal(r.pdu.vsis[0].status,
            cases[i].keepalive ? VDP_RSP_ACK
                               : VDP_RSP_ACK | VDP_RSP_KEEP | VDP_CODE_OTHER);
    }
    assert_int_equal(vdp_bridge_counters(r.b)->keepalives, 2);
    vdp_bridge_free(r.b);
}

static void
duplicates(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    begin(&r);
    add(&r, VDP_ASSOC, 1, 0, 100);
    send(&r);
    for (int i = 0; i < 5; i++)
        send_seq(&r, r.seq);
    const struct vdp_request *rq = pull_one(&r);
    assert_int_equal(r.n_acks, 6);
    answer(&r, rq, 0, 0);
    assert_int_equal(r.n_pdus, 1);
    send_seq(&r, r.seq);
    assert_null(pull(&r));
    assert_int_equal(r.n_pdus, 1); /* acked, not answered again */
    assert_int_equal(r.n_acks, 7);
    /* The same request under a new number while its answer is awaited: one answer. */
    begin(&r);
    add(&r, VDP_ASSOC, 2, 0, 100);
    send(&r);
    send(&r);
    rq = pull_one(&r);
    answer(&r, rq, 0, 0);
    assert_int_equal(vdp_bridge_counters(r.b)->repeated, 1);
    assert_int_equal(r.n_pdus, 2);
    /* Another request takes its place; the old answer comes too late. */
    begin(&r);
    add(&r, VDP_ASSOC, 3, 0, 100);
    send(&r);
    uint64_t old = pull_one(&r)->handle;
    begin(&r);
    add(&r, VDP_DEASSOC, 3, 0, 100);
    send(&r);
    rq = pull_one(&r);
    assert_false(vdp_bridge_answer(r.b, old, &(struct vdp_answer){.code = 0}, r.now));
    answer(&r, rq, 0, 0);
    assert_int_equal(r.pdu.vsis[0].type, VDP_DEASSOC);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 2);
    assert_false(vdp_bridge_answer(r.b, 0, &(struct vdp_answer){.code = 0}, r.now));
    assert_false(vdp_bridge_answer(r.b, ~0ull, &(struct vdp_answer){.code = 0}, r.now));
    vdp_bridge_free(r.b);
}

/* Many VSIs of one PDU are answered in one PDU; the next waits for the gap. */
static void
aggregation(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    begin(&r);
    for (uint8_t n = 1; n <= 40; n++)
        add(&r, VDP_ASSOC, n, 0, 100);
    send(&r);
    struct vdp_answer ok = {.code = 0};
    const struct vdp_request *rq;
    while ((rq = pull(&r)))
        assert_true(vdp_bridge_answer(r.b, rq->handle, &ok, r.now));
    assert_int_equal(r.n_pdus, 1);
    assert_int_equal(r.pdu.n_vsis, 40);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 40);
    begin(&r);
    add(&r, VDP_ASSOC, 50, 0, 100);
    send(&r);
    assert_true(vdp_bridge_answer(r.b, pull_one(&r)->handle, &ok, r.now));
    assert_null(pull(&r));
    assert_int_equal(r.n_pdus, 1);
    uint64_t due = vdp_bridge_deadline(r.b);
    assert_int_equal(due, r.now + ECP_LINK_GAP_US);
    r.now = due - 1;
    assert_null(pull(&r));
    assert_int_equal(r.n_pdus, 1);
    r.now = due;
    assert_null(pull(&r));
    assert_int_equal(r.n_pdus, 2);
    /* To a station of ours there is no gap. */
    struct evb_timers t = {3, 8, 20, 20};
    vdp_bridge_set_peer(r.b, &station_mac, &t, true, false, r.now);
    begin(&r);
    add(&r, VDP_ASSOC, 51, 0, 100);
    send(&r);
    assert_true(vdp_bridge_answer(r.b, pull_one(&r)->handle, &ok, r.now));
    assert_null(pull(&r));
    assert_int_equal(r.n_pdus, 3);
    vdp_bridge_free(r.b);
}

static void
managers(void **state)
{
    (void)state;
    struct vdp_bridge_conf c = vdp_bridge_defaults(&bridge_mac);
    c.max_managers = 2;
    struct rig r;
    rig_open(&r, &c);
    struct vdp_answer ok = {.code = 0};
    for (uint8_t m = 0; m < 3; m++) {
        r.w = wr_of(r.payload, sizeof r.payload);
        vdp_encode_mgrid(&r.w, (const uint8_t[16]){m});
        add(&r, VDP_ASSOC, m + 1, 0, 100);
        send(&r);
        const struct vdp_request *rq = pull(&r);
        assert_int_equal(rq != NULL, m < 2);
        if (rq) {
            assert_int_equal(rq->key.mgrid[0], m);
            assert_true(vdp_bridge_answer(r.b, rq->handle, &ok, r.now));
        }
    }
    assert_int_equal(vdp_bridge_counters(r.b)->refused_limit, 1);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 2);
    for (int i = 0; i < 2; i++) { /* one PDU for each */
        r.now += 20000;
        assert_null(pull(&r));
    }
    assert_int_equal(r.n_pdus, 2);
    /* No or two manager ids: acked, dropped, counted. */
    r.w = wr_of(r.payload, sizeof r.payload);
    add(&r, VDP_ASSOC, 9, 0, 100);
    send(&r);
    begin(&r);
    add(&r, VDP_ASSOC, 9, 0, 100);
    vdp_encode_mgrid(&r.w, (const uint8_t[16]){9});
    send(&r);
    r.seq--; /* both acks are looked at */
    struct vdp_bridge_out o;
    uint32_t n = 0;
    while (vdp_bridge_output(r.b, r.now, &o))
        n++;
    assert_int_equal(n, 2);
    assert_int_equal(vdp_bridge_counters(r.b)->rx_no_mgrid, 1);
    assert_int_equal(vdp_bridge_counters(r.b)->rx_two_mgrids, 1);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 2);
    vdp_bridge_free(r.b);
}

static const struct vdp_request *
ask_of_manager(struct rig *r, uint8_t m, uint8_t type, uint16_t tci)
{
    r->w = wr_of(r->payload, sizeof r->payload);
    vdp_encode_mgrid(&r->w, (const uint8_t[16]){m});
    add(r, type, 1, 0, tci);
    send(r);
    return pull_one(r);
}

/* One VSIID is one VSI: under another manager (or type) it claims anew, and what was
 * accepted last is all there is to keep, to save and to end. */
static void
other_manager(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    struct vsiid id = {.format = VSIID_UUID, .b = {[15] = 1}}, saved;
    uint8_t bytes[VDP_BRIDGE_SAVE_MAX];
    answer(&r, ask_of_manager(&r, 1, VDP_ASSOC, 0), 0, 600);
    const struct vdp_request *rq = ask_of_manager(&r, 2, VDP_ASSOC, 0);
    assert_true(rq->known && !rq->keepalive);
    assert_int_equal(rq->key.mgrid[0], 2);
    assert_int_equal(rq->entries[0].vid, 0); /* 600 was of what the other type meant */
    /* Refused, and the other stands: KEEP is not for whom it never was given. */
    struct vdp_answer no = {.code = VDP_CODE_OTHER, .keep = true};
    assert_true(vdp_bridge_answer(r.b, rq->handle, &no, r.now));
    r.now += 20000;
    assert_null(pull(&r));
    assert_int_equal(r.pdu.vsis[0].status, VDP_RSP_ACK | VDP_CODE_OTHER);
    rq = ask_of_manager(&r, 1, VDP_ASSOC, 0);
    assert_true(rq->keepalive);
    assert_int_equal(rq->entries[0].vid, 600);
    answer(&r, rq, 0, 600);
    answer(&r, ask_of_manager(&r, 2, VDP_ASSOC, 0), 0, 700);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 1);
    rq = ask_of_manager(&r, 2, VDP_ASSOC, 0);
    assert_true(rq->keepalive);
    assert_int_equal(rq->entries[0].vid, 700);
    answer(&r, rq, 0, 700);
    size_t size = vdp_bridge_save(r.b, &id, bytes);
    assert_true(size && vdp_bridge_saved_id(bytes, size, &saved));
    assert_true(vsiid_equal(&id, &saved));
    assert_int_equal(bytes[1], 2);
    /* Ended by whoever names it; a slot is free for another manager. */
    answer(&r, ask_of_manager(&r, 1, VDP_DEASSOC, 0), 0, 0);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 0);
    assert_true(vdp_bridge_restore(r.b, bytes, size));
    assert_true(ask_of_manager(&r, 2, VDP_ASSOC, 0)->keepalive);
    vdp_bridge_free(r.b);
}

/* Malformed TLVs are answered with code 1, or 5, and change nothing. */
static void
malformed(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    associate(&r, 1, 100, 0);
    begin(&r);
    size_t at = r.w.pos;
    add(&r, VDP_ASSOC, 1, 0, 100);
    r.payload[at + 26] = 9;          /* more entries than there are */
    add(&r, VDP_ASSOC, 2, 0, 0xfff); /* VID 4095 */
    at = r.w.pos;
    add(&r, VDP_ASSOC, 3, 0, 100);
    r.payload[at + 27] = 0x01;     /* group MAC */
    add(&r, VDP_ASSOC, 4, 0, 100); /* sound */
    send(&r);
    const struct vdp_request *rq = pull_one(&r);
    assert_int_equal(rq->key.id.b[15], 4);
    answer(&r, rq, 0, 0);
    assert_int_equal(r.pdu.n_vsis, 4);
    assert_int_equal(
        r.pdu.vsis[0].status, VDP_RSP_ACK | VDP_RSP_KEEP | VDP_CODE_FORMAT);
    assert_int_equal(r.pdu.vsis[0].n_entries, 0);
    assert_int_equal(r.pdu.vsis[1].status, VDP_RSP_ACK | VDP_CODE_VID);
    assert_int_equal(r.pdu.vsis[2].status, VDP_RSP_ACK | VDP_CODE_VID);
    assert_int_equal(r.pdu.vsis[3].status, VDP_RSP_ACK);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 2);
    assert_int_equal(vdp_bridge_counters(r.b)->rx_malformed, 3);
    vdp_bridge_free(r.b);
}

/* KEEP only for what is there, HARD only with a code. */
static void
status_bits(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    struct vdp_answer a = {.code = VDP_CODE_RESOURCES, .keep = true, .hard = true};
    begin(&r);
    add(&r, VDP_ASSOC, 1, 0, 100);
    send(&r);
    assert_true(vdp_bridge_answer(r.b, pull_one(&r)->handle, &a, r.now));
    assert_null(pull(&r));
    assert_int_equal(
        r.pdu.vsis[0].status, VDP_RSP_ACK | VDP_RSP_HARD | VDP_CODE_RESOURCES);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 0);
    r.now += 20000;
    begin(&r);
    add(&r, VDP_ASSOC, 1, 0, 101);
    send(&r);
    a.code = 0;
    assert_true(vdp_bridge_answer(r.b, pull_one(&r)->handle, &a, r.now));
    assert_null(pull(&r));
    assert_int_equal(r.pdu.vsis[0].status, VDP_RSP_ACK);
    vdp_bridge_free(r.b);
}

static void
limits(void **state)
{
    (void)state;
    struct vdp_bridge_conf c = vdp_bridge_defaults(&bridge_mac);
    c.max_vsis = 3;
    c.max_peers = 2;
    struct rig r;
    rig_open(&r, &c);
    for (uint8_t n = 1; n <= 3; n++)
        associate(&r, n, 100, 0);
    begin(&r);
    add(&r, VDP_ASSOC, 4, 0, 100);
    send(&r);
    assert_null(pull(&r));
    r.now += 20000;
    assert_null(pull(&r));
    assert_int_equal(r.pdu.vsis[0].status, VDP_RSP_ACK | VDP_CODE_RESOURCES);
    /* De-association of an unknown VSI still reaches the node and is answered. */
    begin(&r);
    add(&r, VDP_DEASSOC, 4, 0, 100);
    send(&r);
    answer(&r, pull_one(&r), 0, 0);
    assert_int_equal(r.pdu.vsis[0].type, VDP_DEASSOC);
    assert_int_equal(r.pdu.vsis[0].status, VDP_RSP_ACK);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 3);
    /* Stations: the one that holds nothing makes room, the one with VSIs stays. */
    for (uint8_t k = 0; k < 10; k++) {
        r.src.b[5] = (uint8_t)(10 + k);
        r.seq = 0;
        begin(&r);
        add(&r, VDP_DEASSOC, 9, 0, 100);
        send(&r);
        answer(&r, pull_one(&r), 0, 0);
    }
    assert_int_equal(vdp_bridge_counters(r.b)->refused_peers, 0);
    vdp_bridge_free(r.b);
}

/* A node that does not answer: the port's requests stay bounded, and are not acked. */
static void
busy(void **state)
{
    (void)state;
    struct vdp_bridge_conf c = vdp_bridge_defaults(&bridge_mac);
    c.max_pending = 128;
    struct rig r;
    rig_open(&r, &c);
    for (int k = 0; k < 20; k++) {
        begin(&r);
        for (uint8_t n = 1; n <= 40; n++)
            add(&r, VDP_DEASSOC, (uint8_t)(40 * k + n), 0, 100);
        send(&r);
        while (pull(&r))
            ;
    }
    assert_int_equal(vdp_bridge_counters(r.b)->refused_busy, 18);
    assert_int_equal(r.n_acks, 2);
    vdp_bridge_free(r.b);
}

static void
org_tlvs(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    struct berth_tlv t = {.op = BERTH_OP_RESUME, .epoch = 9, .n_ips = 1};
    t.ips[0].ip = ip_v4(0x0a010203);
    struct cisco_tlv addr = {
        .subtype = CISCO_ADDR, .vsi = {.format = VSIID_UUID}, .ip = ip_v4(0x0a010204)};
    struct cisco_tlv vm = {.subtype = CISCO_VM,
        .vsi = {.format = VSIID_UUID},
        .vm = {.format = VSIID_UUID},
        .name = "web\n1",
        .name_size = 5};
    for (int i = 0; i < 3; i++) {
        begin(&r);
        add(&r, VDP_ASSOC, 1, 0, 100);
        cisco_tlv_encode(&r.w, &vm);
        cisco_tlv_encode(&r.w, &addr);
        t.epoch = i == 2 ? 10 : 9;
        berth_tlv_encode(&r.w, BERTH_OUI, &t);
        size_t at = tlv_begin(&r.w, VDP_ORG);
        wr_u24(&r.w, 0x123456);
        tlv_end(&r.w, at);
        send(&r);
        const struct vdp_request *rq = pull_one(&r);
        assert_int_equal(
            rq->keepalive, i == 1); /* RESUME again is no claim; an epoch is */
        assert_true(rq->has_berth && rq->berth.op == BERTH_OP_RESUME);
        assert_int_equal(rq->berth.n_ips, 2);
        assert_int_equal(ip_to_v4(&rq->berth.ips[1].ip), 0x0a010204);
        assert_string_equal(rq->vm_name, "web?1");
        struct vdp_answer a = {.code = 0, .has_berth = true, .berth = {.mtu = 1400}};
        assert_true(vdp_bridge_answer(r.b, rq->handle, &a, r.now));
        assert_null(pull(&r));
        r.now += 20000;
        assert_null(pull(&r));
        struct rd rd = rd_of(r.pdu.vsis[0].org, r.pdu.vsis[0].org_size);
        struct vdp_org org;
        struct berth_tlv back;
        assert_true(vdp_org_next(&rd, &org));
        assert_int_equal(berth_tlv_decode(org.body, &back), BERTH_TLV_GOOD);
        assert_int_equal(back.mtu, 1400);
        assert_int_equal(back.flags, BERTH_FLAG_RESPONSE);
    }
    assert_int_equal(vdp_bridge_counters(r.b)->rx_unknown_orgs, 3);
    /* Without any org TLV it says nothing new; with a broken one of ours it is refused.
     */
    begin(&r);
    add(&r, VDP_ASSOC, 1, 0, 100);
    send(&r);
    const struct vdp_request *rq = pull_one(&r);
    assert_true(rq->keepalive && !rq->has_berth);
    answer(&r, rq, 0, 0);
    assert_int_equal(r.pdu.vsis[0].org_size, 0);
    begin(&r);
    add(&r, VDP_ASSOC, 1, 0, 100);
    size_t at = tlv_begin(&r.w, VDP_ORG);
    wr_u24(&r.w, BERTH_OUI);
    wr_u8(&r.w, BERTH_SUBTYPE_VSI);
    tlv_end(&r.w, at);
    send(&r);
    assert_null(pull(&r));
    r.now += 20000;
    assert_null(pull(&r));
    assert_int_equal(
        r.pdu.vsis[0].status, VDP_RSP_ACK | VDP_RSP_KEEP | VDP_CODE_FORMAT);
    vdp_bridge_free(r.b);
}

/* Unsolicited: ACK clear, tags as answered; a request that waits is withdrawn. */
static void
deassoc(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    associate(&r, 1, 0, 600);
    struct vdp_key key = {
        .mgrid = {'m',  'g', 'r', '1'},
        .type_id = 5,
        .type_version = 4,
        .id = {.format = VSIID_UUID, .b = {[15] = 1}   }
    };
    begin(&r);
    add(&r, VDP_ASSOC, 1, VDP_REQ_S, 0);
    send(&r);
    uint64_t handle = pull_one(&r)->handle;
    assert_true(vdp_bridge_deassoc(r.b, &key.id, NULL, r.now));
    assert_false(
        vdp_bridge_answer(r.b, handle, &(struct vdp_answer){.code = 0}, r.now));
    r.now += 20000;
    assert_null(pull(&r));
    assert_int_equal(r.pdu.vsis[0].type, VDP_DEASSOC);
    assert_int_equal(r.pdu.vsis[0].status, 0);
    assert_int_equal(answered_tci(&r, 0), 0xd258);
    assert_int_equal(vdp_bridge_n_vsis(r.b), 0);
    associate(&r, 1, 0, 600);
    uint32_t n = r.n_pdus;
    assert_true(vdp_bridge_forget(r.b, &key.id));
    assert_false(vdp_bridge_forget(r.b, &key.id));
    assert_null(pull(&r));
    assert_int_equal(r.n_pdus, n);
    vdp_bridge_free(r.b);
}

/* An extra group address is taken, and answered on. Tagged frames and others are not.
 */
static void
addresses(void **state)
{
    (void)state;
    struct vdp_bridge_conf c = vdp_bridge_defaults(&bridge_mac);
    c.extra = (struct mac){
        {0x01, 0x00, 0x0d, 0x0f, 0x0a, 0x02}
    };
    struct rig r;
    rig_open(&r, &c);
    r.dst = c.extra;
    associate(&r, 1, 100, 0); /* pull() checks the destination */
    uint8_t frame[ECP_FRAME_MAX];
    begin(&r);
    add(&r, VDP_ASSOC, 2, 0, 100);
    r.dst.b[5] = 3;
    vdp_bridge_input(r.b, frame, frame_of(&r, frame, ECP_REQUEST, 9), r.now);
    r.dst = c.extra;
    r.src = bridge_mac;
    vdp_bridge_input(r.b, frame, frame_of(&r, frame, ECP_REQUEST, 9), r.now);
    r.src = station_mac;
    size_t n = frame_of(&r, frame, ECP_REQUEST, 9);
    frame[14] = 0x20; /* version 2 */
    vdp_bridge_input(r.b, frame, n, r.now);
    n = frame_of(&r, frame, ECP_REQUEST, 9);
    memmove(frame + 16, frame + 12, n - 12);
    memcpy(frame + 12, (const uint8_t[]){0x81, 0, 0, 5}, 4);
    vdp_bridge_input(r.b, frame, n, r.now);
    assert_int_equal(vdp_bridge_counters(r.b)->refused_frames, 4);
    assert_null(pull(&r));
    vdp_bridge_free(r.b);
}

/* Resident octets per VSI: the aim is 160. */
static void
memory(void **state)
{
    (void)state;
    struct vdp_bridge_conf c = vdp_bridge_defaults(&bridge_mac);
    c.max_vsis = 20000;
    c.max_entries = 20000;
    struct rig r;
    rig_open(&r, &c);
    uint8_t filter[12] = {0, 1, 2, 3};
    for (uint32_t n = 0; n < 20000;) {
        begin(&r);
        for (uint32_t k = 0; k < 30 && n < 20000; k++, n++) {
            struct vdp_vsi v = {
                .type = VDP_ASSOC,
                .id = {.format = VSIID_UUID,
                       .b = {[14] = (uint8_t)(n >> 8), [15] = (uint8_t)n}},
                .filter_format = VDP_FILTER_GROUP_MAC,
                .n_entries = 1,
                .filter = filter
            };
            vdp_encode_vsi(&r.w, &v);
        }
        send(&r);
        const struct vdp_request *rq;
        while ((rq = pull(&r)))
            assert_true(vdp_bridge_answer(
                r.b, rq->handle, &(struct vdp_answer){.code = 0}, r.now));
        r.now += 20000;
    }
    assert_int_equal(vdp_bridge_n_vsis(r.b), 20000);
    print_message("%zu octets per VSI\n", vdp_bridge_octets(r.b) / 20000);
    assert_true(vdp_bridge_octets(r.b) / 20000 <= 160);
    vdp_bridge_free(r.b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_vid),
        cmocka_unit_test(keepalives),
        cmocka_unit_test(duplicates),
        cmocka_unit_test(aggregation),
        cmocka_unit_test(managers),
        cmocka_unit_test(other_manager),
        cmocka_unit_test(malformed),
        cmocka_unit_test(status_bits),
        cmocka_unit_test(limits),
        cmocka_unit_test(busy),
        cmocka_unit_test(org_tlvs),
        cmocka_unit_test(deassoc),
        cmocka_unit_test(addresses),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
