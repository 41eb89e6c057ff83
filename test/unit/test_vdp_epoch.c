/* SPDX-License-Identifier: Apache-2.0 */
/* Epoch and migration id in each command of a migration, there and back, in Berth's TLV
 * of VDP and in the vendor's LCAF of LISP, under our laboratory OUI and under another
 * one; and what is left when the two sides do not agree on it (K5, K20, E1). */
#include "vdp_pair.h"
#include "wire/lisp.h"

#define SECOND 1000000ull
#define OTHER  0x0a1b2cu
#define EPOCH  0xfedcba9876543210ull
#define ID     0x0123456789abcdefull

static const struct {
    enum berth_op op;
    enum berth_phase phase;
} commands[] = {
    {BERTH_OP_IMMIGRATE, BERTH_PHASE_PRE    },
    {BERTH_OP_EMIGRATE,  BERTH_PHASE_PREPARE},
    {BERTH_OP_EMIGRATE,  BERTH_PHASE_HOLD   },
    {BERTH_OP_EMIGRATE,  BERTH_PHASE_COMMIT },
    {BERTH_OP_IMMIGRATE, BERTH_PHASE_ASSO   },
    {BERTH_OP_RESUME,    BERTH_PHASE_NONE   },
    {BERTH_OP_SUSPEND,   BERTH_PHASE_NONE   },
    {BERTH_OP_ASSOC,     BERTH_PHASE_NONE   },
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

struct heard {
    bool request, berth, result, answer_berth;
    struct berth_tlv asked, told;
    uint8_t code;
};

static void
on_request(struct pair *p, const struct vdp_request *r)
{
    struct heard *h = p->ctx;
    struct vdp_answer a = {
        .n_entries = r->n_entries,
        .entries = r->entries,
        .has_berth = r->has_berth,
        .berth = {.op = r->berth.op, .epoch = EPOCH + 1, .migration = ID + 1}
    };
    h->request = true;
    h->berth = r->has_berth;
    h->asked = r->berth;
    assert_true(vdp_bridge_answer(p->bridge, r->handle, &a, p->now_us));
}

static void
on_event(struct pair *p, const struct vdp_station_out *o)
{
    struct heard *h = p->ctx;
    assert_int_equal(o->event, VDP_STATION_RESULT);
    h->result = true;
    h->code = o->code;
    h->answer_berth = o->has_berth;
    h->told = o->berth;
}

static void
open_pair(struct pair *p, struct heard *h, uint32_t at_bridge, uint32_t at_station)
{
    struct vdp_bridge_conf b = vdp_bridge_defaults(&pair_bridge_mac);
    struct vdp_station_conf s = vdp_station_defaults(&pair_station_mac);
    b.oui = at_bridge;
    s.oui = at_station;
    pair_init(p, 1, &b, &s);
    p->on_request = on_request;
    p->on_event = on_event;
    p->ctx = h;
    /* Equal timers; that both are Berth's LLDP would say, under the same OUI. */
    bool ours = at_bridge == at_station;
    vdp_bridge_set_peer(
        p->bridge, &pair_station_mac, &b.timers, ours, false, p->now_us);
    vdp_station_set_peer(p->station, &b.timers, ours, false, p->now_us);
}

static struct heard
say(struct pair *p, size_t i)
{
    struct heard *h = p->ctx;
    struct vdp_entry e = {.group = 70000, .vid = 7, .mac = {{2, 0, 0, 9, 0, 1}}};
    struct vdp_station_request r = {
        .filter_format = VDP_FILTER_GROUP_MAC,
        .n_entries = 1,
        .entries = &e,
        .key = {.mgrid = "mgr", .type_id = 5, .id = {.format = VSIID_UUID, .b = {1}}}
    };
    assert_true(vdp_station_op(&r, commands[i].op, commands[i].phase));
    r.has_berth = true;
    r.berth.epoch = EPOCH + i;
    r.berth.migration = ID;
    *h = (struct heard){0};
    assert_true(vdp_station_request(p->station, &r, p->now_us));
    pair_run(p, p->now_us + SECOND);
    assert_true(h->request && h->result);
    assert_int_equal(h->code, 0);
    return *h;
}

static void
carried(void **state)
{
    (void)state;
    static const uint32_t ouis[] = {0 /* the default */, OTHER};
    for (size_t k = 0; k < 2; k++) {
        struct pair p;
        struct heard h;
        open_pair(&p, &h, ouis[k], ouis[k]);
        for (size_t i = 0; i < N_COMMANDS; i++) {
            say(&p, i);
            assert_true(h.berth && h.answer_berth);
            assert_int_equal(h.asked.op, commands[i].op);
            assert_int_equal(h.asked.phase, commands[i].phase);
            assert_true(h.asked.epoch == EPOCH + i && h.asked.migration == ID);
            assert_true(h.told.epoch == EPOCH + 1 && h.told.migration == ID + 1);
        }
        assert_int_equal(vdp_bridge_counters(p.bridge)->rx_unknown_orgs, 0);
        pair_done(&p);
    }
}

/* Not agreed: plain VDP is left, of which both sides know that it carries no epoch
 * (E5). */
static void
not_agreed(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct pair p;
        struct heard h;
        open_pair(&p, &h, k ? OTHER : 0, k ? 0 : OTHER);
        for (size_t i = 0; i < N_COMMANDS; i++) {
            say(&p, i);
            assert_false(h.berth || h.answer_berth);
        }
        assert_true(vdp_bridge_counters(p.bridge)->rx_unknown_orgs >= N_COMMANDS);
        pair_done(&p);
    }
}

/* On the wire it is the configured one, and nothing is left of ours. */
static void
octets(void **state)
{
    (void)state;
    struct pair p;
    struct heard h;
    open_pair(&p, &h, OTHER, OTHER);
    struct vdp_station_out o;
    struct vdp_station_request r = {
        .filter_format = VDP_FILTER_GROUP_MAC,
        .n_entries = 1,
        .entries = &(struct vdp_entry){.group = 7,     .mac = {{2, 0, 0, 9, 0, 1}}           },
        .key = {.mgrid = "mgr", .id = {.format = VSIID_UUID, .b = {1}}},
        .has_berth = true
    };
    assert_true(vdp_station_op(&r, BERTH_OP_RESUME, BERTH_PHASE_NONE));
    r.berth.epoch = EPOCH;
    assert_true(vdp_station_request(p.station, &r, p.now_us));
    assert_true(vdp_station_output(p.station, p.now_us, &o));
    static const uint8_t ours[] = {0x0a, 0x1b, 0x2c}, lab[] = {0x42, 0x45, 0x52};
    assert_non_null(memmem(o.frame, o.frame_size, ours, sizeof ours));
    assert_null(memmem(o.frame, o.frame_size, lab, sizeof lab));
    pair_done(&p);
}

static void
lisp(void **state)
{
    (void)state;
    static const uint32_t ouis[] = {LISP_OUI_LAB, OTHER};
    struct mac mac = {
        {2, 0, 0, 9, 0, 1}
    };
    struct lisp_record a = {
        .eid = lisp_eid_mac(5000, &mac), .ttl_min = 1, .n_rlocs = 1};
    a.rlocs[0] = (struct lisp_rloc){.ip = ip_v4(0x0a000001),
        .reachable = true,
        .has_epoch = true,
        .epoch = EPOCH,
        .migration_id = ID,
        .owner = ip_v4(0x0a000001)};
    for (size_t from = 0; from < 2; from++)
        for (size_t to = 0; to < 2; to++) {
            struct lisp_dialect d = lisp_dialect_default, e = lisp_dialect_default;
            uint8_t b[512];
            struct wr w = wr_of(b, sizeof b);
            struct lisp_record back;
            d.oui = ouis[from];
            e.oui = ouis[to];
            lisp_record_put(&w, &d, &a);
            assert_false(w.err);
            struct rd r = rd_of(b, w.pos);
            enum lisp_err err = lisp_record_get(&r, &e, &back);
            /* RFC 9306 clause 4: who does not know the OUI drops the message */
            assert_int_equal(err, from == to ? LISP_OK : LISP_ERR_OUI);
            if (from == to)
                assert_true(back.rlocs[0].has_epoch && back.rlocs[0].epoch == EPOCH &&
                            back.rlocs[0].migration_id == ID);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carried),
        cmocka_unit_test(not_agreed),
        cmocka_unit_test(octets),
        cmocka_unit_test(lisp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
