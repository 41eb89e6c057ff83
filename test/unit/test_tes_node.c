/* SPDX-License-Identifier: Apache-2.0 */
/* The agent against the bridge side of VDP: every command, what its edge may answer,
 * tags before answers, loss and return, restart from the journal, follow mode. */
#include "tes_pair.h"
#include "base/fsm.h"
#include "base/rng.h"

static void
test_associate(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    pair_call(p, ASSOC1);
    assert_int_equal(p->n_lines, 2);
    assert_says(p->lines[0], "\"vid\":100");
    assert_says(p->lines[0], "\"vni\":5000");
    assert_says(p->lines[0], "\"mtu\":1450");
    assert_says(p->lines[0], "\"epoch\":\"41\"");
    assert_says(p->lines[0], "\"state\":\"associated\"");
    assert_says(p->lines[0], "\"answer_s\":");
    assert_says(p->lines[0], "\"id\":17");
    assert_string_equal(p->lines[1], "{\"ok\":true,\"id\":17}");
    assert_int_equal(p->last.type, VDP_ASSOC);
    assert_int_equal(p->last.filter_format, VDP_FILTER_GROUP_MAC);
    assert_int_equal(p->last_entry.group, 5000);
    assert_int_equal(p->last_entry.vid, 0);
    assert_true(p->last.has_berth);
    assert_int_equal(p->last.berth.op, BERTH_OP_ASSOC);
    assert_int_equal(p->last.berth.n_ips, 2);
    assert_int_equal(p->n_tags, 2); /* closed first, then open */
    assert_string_equal(p->tag.ifname, "vm1");
    assert_int_equal(p->tag.vid, 100);
    assert_true(p->tag.pass);
    assert_false(p->tag.reflect);
    assert_int_equal(p->n_journal, 1);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_int_equal(p->n_lines, 2);
    assert_says(p->lines[0], "\"if\":\"vm1\"");
    assert_says(p->lines[0], "\"state\":\"associated\"");
    pair_call(p, "{\"cmd\":\"show uplinks\"}");
    assert_says(p->lines[0], "\"berth\":true");
    assert_says(p->lines[0], "\"bridge\":\"02:00:00:00:00:02\"");
    pair_free(p);
}

static void
test_answer_waits_for_the_tag(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    p->hold_tags = true;
    pair_call(p, ASSOC1);
    assert_int_equal(p->n_lines, 0);
    assert_int_equal(p->n_held, 2);
    /* the older id is no longer waited for */
    tes_input(
        p->tes, &(struct tes_in){.type = TES_IN_TAGGED, .id = p->held[0]}, p->now);
    pair_run(p, 0);
    assert_int_equal(p->n_lines, 0);
    tes_input(
        p->tes, &(struct tes_in){.type = TES_IN_TAGGED, .id = p->held[1]}, p->now);
    pair_run(p, 0);
    assert_int_equal(p->n_lines, 2);
    pair_free(p);
}

static void
test_no_interface(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    p->tag_status = -19;
    pair_call(p, ASSOC1);
    assert_int_equal(p->n_lines, 1);
    assert_says(p->lines[0], "\"ok\":false");
    assert_says(p->lines[0], "\"code\":\"no_interface\"");
    pair_run(p, 100000);
    assert_int_equal(p->last.type, VDP_DEASSOC); /* the edge does not keep it */
    assert_int_equal(tes_n_vms(p->tes), 0);
    assert_int_equal(p->n_journal, 0);
    pair_free(p);
}

static void
test_life(void **state)
{
    static const struct {
        const char *op, *more, *state;
        uint8_t type, bop, phase, pass;
        bool m, s;
    } steps[] = {
        {"preassociate", ",\"vni\":5000,\"if\":\"vm1\",\"mac\":\"02:00:00:00:00:11\"",
         "preassociated",                                                                            VDP_PREASSOC, BERTH_OP_PREASSOC, 0,                   0, false, false},
        {"associate",    "",                                                           "associated", VDP_ASSOC,    BERTH_OP_ASSOC,    0,                   1, false, false},
        {"suspend",      "",                                                           "suspended",  VDP_ASSOC,    BERTH_OP_SUSPEND,  0,                   0, false, true },
        {"resume",       "",                                                           "associated", VDP_ASSOC,    BERTH_OP_RESUME,   0,                   1, false, false},
        {"emigrate",
         ",\"phase\":\"prepare\",\"target\":\"10.255.0.2\",\"epoch\":\"77\","
            "\"migration\":\"9\"",                                                     "emigrating", VDP_ASSOC,    BERTH_OP_EMIGRATE, BERTH_PHASE_PREPARE, 1, false,
         true                                                                                                                                                             },
        {"emigrate",     ",\"phase\":\"commit\"",                                      "emigrated",  VDP_ASSOC,    BERTH_OP_EMIGRATE,
         BERTH_PHASE_COMMIT,                                                                                                                               0, false, true },
        {"resume",       "",                                                           "associated", VDP_ASSOC,    BERTH_OP_RESUME,   0,                   1, false, false},
        {"immigrate",    ",\"phase\":\"asso\",\"epoch\":\"99\"",                       "associated", VDP_ASSOC,
         BERTH_OP_IMMIGRATE,                                                                                                          BERTH_PHASE_ASSO,    1, true,  false},
    };
    struct pair *p = pair_new(false);
    char text[400], want[64];
    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        snprintf(text, sizeof(text), "{\"cmd\":\"vm %s\"," VM1 "%s}", steps[i].op,
            steps[i].more);
        pair_call(p, text);
        snprintf(want, sizeof(want), "\"state\":\"%s\"", steps[i].state);
        assert_says(p->lines[0], want);
        assert_int_equal(p->last.type, steps[i].type);
        assert_int_equal(p->last.berth.op, steps[i].bop);
        assert_int_equal(p->last.berth.phase, steps[i].phase);
        assert_int_equal(p->last.m, steps[i].m);
        assert_int_equal(p->last.s, steps[i].s);
        assert_int_equal(p->tag.pass, steps[i].pass);
        assert_int_equal(p->tag.vid, 100);
        if (i == 4) {
            assert_int_equal(p->last.berth.epoch, 77);
            assert_int_equal(p->last.berth.migration, 9);
            assert_int_equal(ip_to_v4(&p->last.berth.target), 0x0aff0002);
        }
        if (i == 5)
            assert_true(ip_is_none(&p->last.berth.target)); /* of one command only */
    }
    pair_call(p, "{\"cmd\":\"vm terminate\"," VM1 "}");
    assert_says(p->lines[0], "\"state\":\"terminated\"");
    assert_int_equal(p->last.type, VDP_DEASSOC);
    assert_int_equal(p->n_untags, 1);
    assert_int_equal(p->n_journal, 0);
    assert_int_equal(tes_n_vms(p->tes), 0);
    assert_int_equal(vdp_bridge_n_vsis(p->bridge), 0);
    pair_free(p);
}

static void
test_refusals(void **state)
{
    static const struct {
        uint8_t code, reason;
        const char *word;
    } rows[] = {
        {VDP_CODE_RESOURCES,  BERTH_REASON_RESOURCES,        "no_resources"  },
        {VDP_CODE_OTHER,      BERTH_REASON_AUTHORIZATION,    "not_authorised"},
        {VDP_CODE_OTHER,      BERTH_REASON_UNKNOWN_VN,       "unknown_vn"    },
        {VDP_CODE_VID,        BERTH_REASON_NONE,             "conflict"      },
        {VDP_CODE_VID,        BERTH_REASON_ADDRESS_CONFLICT, "conflict"      },
        {VDP_CODE_NO_MANAGER, BERTH_REASON_NONE,             "no_authority"  },
        {VDP_CODE_FORMAT,     BERTH_REASON_NONE,             "bad_request"   },
        {VDP_CODE_OTHER,      BERTH_REASON_MTU,              "no_resources"  },
    };
    struct pair *p = pair_new(false);
    char want[64];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        p->code = rows[i].code;
        p->reason = rows[i].reason;
        pair_call(p, ASSOC1);
        assert_int_equal(p->n_lines, 1);
        snprintf(want, sizeof(want), "\"code\":\"%s\"", rows[i].word);
        assert_says(p->lines[0], want);
        assert_says(p->lines[0], "\"id\":17");
        assert_int_equal(tes_n_vms(p->tes), 0);
        assert_int_equal(p->tag.pass, 0);
    }
    assert_int_equal(p->n_journal, 0);
    pair_free(p);
}

static void
test_bad_commands(void **state)
{
    static const char *const bad[][2] = {
        {"nonsense",                                                              "bad_request"    },
        {"[]",                                                                    "bad_request"    },
        {"{}",                                                                    "unknown_command"},
        {"{\"cmd\":\"vm explode\"}",                                              "unknown_command"},
        {"{\"cmd\":5}",                                                           "unknown_command"},
        {"{\"cmd\":\"vm associate\"}",                                            "bad_request"    },
        {"{\"cmd\":\"vm associate\",\"vsi\":\"x\"}",                              "bad_request"    },
        {"{\"cmd\":\"vm associate\"," VM1 ",\"mac\":\"01:00:00:00:00:01\"}",
         "bad_request"                                                                             },
        {"{\"cmd\":\"vm associate\"," VM1 ",\"vni\":16777216}",                   "bad_request"    },
        {"{\"cmd\":\"vm associate\"," VM1 ",\"vni\":-1}",                         "bad_request"    },
        {"{\"cmd\":\"vm associate\"," VM1 ",\"vid\":4095}",                       "bad_request"    },
        {"{\"cmd\":\"vm associate\"," VM1 ",\"pcp\":8}",                          "bad_request"    },
        {"{\"cmd\":\"vm associate\"," VM1 ",\"if\":\"abcdefghijklmnop\"}",
         "bad_request"                                                                             },
        {"{\"cmd\":\"vm associate\"," VM1 ",\"ips\":[\"x\"]}",                    "bad_request"    },
        {"{\"cmd\":\"vm associate\"," VM1 ",\"epoch\":\"18446744073709551616\"}",
         "bad_request"                                                                             },
        {"{\"cmd\":\"vm associate\"," VM1 ",\"uplink\":\"nope\"}",                "bad_request"    },
        {"{\"cmd\":\"vm suspend\"," VM1 "}",                                      "unknown_vm"     },
        {"{\"cmd\":\"vm terminate\"," VM1 "}",                                    "unknown_vm"     },
        {"{\"cmd\":\"vm emigrate\"," VM1 ",\"phase\":\"x\"}",                     "bad_request"    },
        {"{\"cmd\":\"vm follow\",\"if\":\"vm1\",\"mac\":\"02:00:00:00:00:11\"}",
         "bad_request"                                                                             },
        {"{\"cmd\":\"log\",\"level\":\"loud\"}",                                  "bad_request"    },
    };
    struct pair *p = pair_new(false);
    char want[64];
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pair_call(p, bad[i][0]);
        assert_int_equal(p->n_lines, 1);
        assert_true(strncmp(p->lines[0], "{\"ok\":false", 11) == 0);
        snprintf(want, sizeof(want), "\"code\":\"%s\"", bad[i][1]);
        if (!strstr(p->lines[0], want))
            fail_msg("%s: %s", bad[i][0], p->lines[0]);
    }
    assert_int_equal(p->n_requests, 0);
    pair_call(p, ASSOC1);
    pair_call(p, "{\"cmd\":\"vm preassociate\"," VM1 "}");
    assert_says(pair_last(p), "\"code\":\"invalid_state\"");
    pair_call(p, "{\"cmd\":\"ping\"}");
    assert_says(p->lines[0], "\"program\":\"berth-tes\"");
    assert_says(p->lines[0], "\"name\":\"srv1\"");
    pair_call(p, "{\"cmd\":\"show counters\"}");
    assert_true(p->n_lines > 20);
    pair_free(p);
}

static void
test_no_uplink(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    tes_input(p->tes,
        &(struct tes_in){.type = TES_IN_UPLINK, .up = 0, .mac = pair_server}, p->now);
    pair_call(p, ASSOC1);
    assert_says(pair_last(p), "\"code\":\"no_uplink\"");
    pair_free(p);
}

static void
test_timeout(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    p->mute = true;
    pair_say(p, 7, ASSOC1);
    pair_run(p, 1000000);
    assert_int_equal(p->n_lines, 1);
    assert_says(p->lines[0], "\"code\":\"timeout\"");
    assert_int_equal(p->tag.pass, 0);
    pair_run(p, 1000000); /* the De-Assoc has no answer either */
    assert_int_equal(tes_n_vms(p->tes), 0);
    p->mute = false;
    pair_run(p, 10000000);
    pair_call(p, ASSOC1);
    assert_string_equal(pair_last(p), "{\"ok\":true,\"id\":17}");
    pair_free(p);
}

static void
test_keepalives(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    pair_call(p, ASSOC1);
    pair_run(p, 20000000);
    assert_in_range(p->n_keepalives, 10, 20);
    assert_int_equal(p->epoch, 41); /* they claim nothing (K3) */
    pair_free(p);
}

/* RFC 8394 Req-6: de-associated, the tag goes at once; then again with the same epoch.
 */
static void
test_deassociated(void **state)
{
    struct pair *p = pair_new(false);
    struct vdp_key key = key_of_vsi1();
    (void)state;
    pair_call(p, ASSOC1);
    p->vid = 200;
    assert_true(vdp_bridge_deassoc(p->bridge, &key.id, NULL, p->now));
    pair_run(p, 1000);
    assert_int_equal(p->tag.vid, 0);
    assert_int_equal(p->tag.pass, 0);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_says(p->lines[0], "\"state\":\"lost\"");
    pair_run(p, 1000000);
    assert_int_equal(p->tag.vid, 200);
    assert_true(p->tag.pass);
    assert_int_equal(p->last.berth.epoch, 41);
    pair_free(p);
}

static void
test_backoff(void **state)
{
    struct pair *p = pair_new(false);
    struct vdp_key key = key_of_vsi1();
    unsigned n;
    (void)state;
    pair_call(p, ASSOC1);
    p->code = VDP_CODE_RESOURCES;
    vdp_bridge_deassoc(p->bridge, &key.id, NULL, p->now);
    n = p->n_requests;
    pair_run(p, 60000000);
    assert_in_range(p->n_requests - n, 5, 12); /* 0.2, 0.4 .. 30 s */
    p->code = VDP_CODE_OK;
    pair_run(p, 40000000);
    assert_true(p->tag.pass);
    pair_free(p);
}

/* A silent edge: its data plane goes on, so do the tags. */
static void
test_silence(void **state)
{
    struct pair *p = pair_new(false);
    unsigned tags;
    (void)state;
    pair_call(p, ASSOC1);
    tags = p->n_tags;
    p->mute = true;
    pair_run(p, 20000000);
    assert_int_equal(p->n_tags, tags);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_says(p->lines[0], "\"state\":\"associated\"");
    assert_says(p->lines[0], "\"unconfirmed\":true");
    p->mute = false;
    pair_run(p, 40000000);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_null(strstr(p->lines[0], "unconfirmed"));
    assert_int_equal(p->tag.vid, 100);
    assert_true(p->tag.pass);
    pair_free(p);
}

static void
test_refused_change_keeps(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    pair_call(p, ASSOC1);
    p->code = VDP_CODE_VID;
    p->keep = 1;
    pair_call(p, "{\"cmd\":\"vm associate\"," VM1 ",\"ips\":[\"10.0.0.9\"]}");
    assert_says(pair_last(p), "\"code\":\"conflict\"");
    assert_true(p->tag.pass);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_says(p->lines[0], "\"state\":\"associated\"");
    pair_free(p);
}

static void
test_superseded(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    pair_say(p, 7, ASSOC1);
    pair_say(p, 8, "{\"cmd\":\"vm suspend\"," VM1 "}"); /* not yet associated */
    pair_say(p, 9, "{\"cmd\":\"vm associate\"," VM1 ",\"id\":\"b\"}");
    pair_run(p, 1000);
    assert_int_equal(p->n_lines, 4);
    assert_says(p->lines[1], "\"code\":\"superseded\"");
    assert_says(p->lines[3], "{\"ok\":true,\"id\":\"b\"}");
    pair_free(p);
}

static void
test_reflective_relay(void **state)
{
    struct pair *p = pair_new(true);
    (void)state;
    pair_call(p, ASSOC1);
    assert_true(p->tag.reflect);
    lldp_evb_bye(p->lldp);
    pair_run(p, 1000);
    assert_false(p->tag.reflect); /* nobody reflects any more: we switch */
    assert_true(p->tag.pass);
    pair_free(p);
}

/* E6, K15: a restarted agent tags as before and repeats the association with its epoch.
 */
static void
test_restart(void **state)
{
    struct pair *p = pair_new(false);
    uint64_t epoch;
    (void)state;
    pair_call(p, ASSOC1);
    epoch = p->epoch;
    tes_free(p->tes);
    pair_start_tes(p);
    for (unsigned i = 0; i < p->n_journal; i++)
        tes_input(p->tes,
            &(struct tes_in){.type = TES_IN_RESTORE,
                .p = p->journal[i].p,
                .size = p->journal[i].size},
            p->now);
    memset(&p->tag, 0, sizeof(p->tag));
    tes_input(p->tes, &(struct tes_in){.type = TES_IN_RESTORED}, p->now);
    pair_settle(p);
    assert_int_equal(p->tag.vid, 100); /* before the edge has answered */
    assert_true(p->tag.pass);
    assert_string_equal(p->tag.ifname, "vm1");
    pair_up(p);
    pair_run(p, 1000000);
    assert_int_equal(p->last.berth.epoch, epoch);
    assert_int_equal(p->last.berth.n_ips, 2);
    assert_int_equal(p->epoch, epoch);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_says(p->lines[0], "\"state\":\"associated\"");
    assert_null(strstr(p->lines[0], "unconfirmed"));
    pair_free(p);
}

static void
test_records_of_others(void **state)
{
    struct pair *p = pair_new(false);
    struct rng r;
    uint8_t bytes[200];
    (void)state;
    pair_call(p, ASSOC1);
    rng_seed(&r, 5);
    for (unsigned i = 0; i < 20000; i++) {
        struct tes_in in = {.type = TES_IN_RESTORE, .p = bytes};
        in.size = p->journal[0].size;
        assert_true(in.size <= sizeof(bytes));
        memcpy(bytes, p->journal[0].p, in.size);
        bytes[rng_below(&r, in.size)] ^= (uint8_t)(1 + rng_below(&r, 255));
        in.size -= rng_below(&r, 4) ? 0 : rng_below(&r, in.size);
        tes_input(p->tes, &in, p->now);
    }
    assert_true(tes_n_vms(p->tes) >= 1);
    pair_free(p);
}

static void
test_edge_restart(void **state)
{
    struct pair *p = pair_new(false);
    unsigned tags;
    (void)state;
    pair_call(p, ASSOC1);
    tags = p->n_tags;
    vdp_bridge_free(p->bridge);
    lldp_evb_free(p->lldp);
    p->now += 5;
    pair_start_bridge(p, false);
    pair_run(p, 5000000);
    assert_int_equal(p->n_tags, tags); /* nothing happens to the VM */
    assert_int_equal(vdp_bridge_n_vsis(p->bridge), 1);
    pair_free(p);
}

/* Many requests without waiting, without interfaces, few PDUs; a listing in pieces. */
static void
test_pipeline(void **state)
{
    struct pair *p = pair_new(false);
    unsigned ok = 0, frames;
    char text[256];
    (void)state;
    frames = p->n_frames;
    for (unsigned i = 0; i < 200; i++) {
        snprintf(text, sizeof(text),
            "{\"cmd\":\"vm "
            "associate\",\"vsi\":\"00000000-0000-4000-8000-%012x\",\"vni\":5000,"
            "\"mac\":\"02:00:00:00:01:%02x\",\"id\":%u}",
            i, i, i);
        pair_say(p, 3, text);
    }
    pair_run(p, 100000);
    assert_int_equal(p->n_lines, 400);
    for (unsigned i = 0; i < p->n_lines; i++)
        ok += strncmp(p->lines[i], "{\"ok\":true", 10) == 0;
    assert_int_equal(ok, 200);
    assert_int_equal(p->n_tags, 0);
    assert_true(p->n_frames - frames < 60);
    pair_call(p, "{\"cmd\":\"show vms\",\"id\":1}");
    assert_int_equal(p->n_lines, 201);
    pair_free(p);
}

static void
test_table_full(void **state)
{
    struct pair *p = pair_new(false);
    char text[256];
    unsigned refused = 0;
    (void)state;
    for (unsigned i = 0; i < 1010; i++) {
        snprintf(text, sizeof(text),
            "{\"cmd\":\"vm "
            "associate\",\"vsi\":\"00000000-0000-4000-8000-%012x\",\"vni\":1}",
            i);
        pair_forget_lines(p);
        pair_say(p, 3, text);
        pair_run(p, 1000);
        refused += strstr(pair_last(p), "no_resources") != NULL;
    }
    assert_int_equal(refused, 10);
    assert_int_equal(tes_n_vms(p->tes), 1000);
    pair_free(p);
}

static void
test_follow(void **state)
{
    static const char *const uplinks[] = {"up0"};
    struct tes_conf c = {.name = "srv1",
        .follow = 1,
        .uplinks = uplinks,
        .n_uplinks = 1,
        .max_vms = 10,
        .seed = 3};
    struct pair *p = pair_new(false);
    struct tes_in vsi = {.type = TES_IN_FOLLOW,
        .mac = {{2, 0, 0, 0, 0, 0x11}},
        .tci = 0xd258,
        .group = 70001};
    (void)state;
    tes_free(p->tes);
    p->tes = tes_new(&c, p->now);
    pair_up(p);
    pair_call(
        p, "{\"cmd\":\"vm follow\",\"if\":\"vm1\",\"mac\":\"02:00:00:00:00:11\"}");
    assert_string_equal(pair_last(p), "{\"ok\":true}");
    assert_int_equal(p->n_tags, 0); /* what is pinned holds until lldpad was read */
    tes_input(p->tes, &vsi, p->now);
    tes_input(p->tes, &(struct tes_in){.type = TES_IN_RESTORED}, p->now);
    pair_settle(p);
    assert_int_equal(p->tag.vid, 600);
    assert_int_equal(p->tag.pcp, 5);
    assert_true(p->tag.pass);
    assert_int_equal(p->n_tags, 1);
    tes_input(p->tes, &vsi, p->now);
    pair_settle(p);
    assert_int_equal(p->n_tags, 1);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_says(p->lines[0], "\"vni\":70001");
    vsi.gone = 1;
    tes_input(p->tes, &vsi, p->now);
    pair_settle(p);
    assert_int_equal(p->tag.vid, 0);
    vsi.gone = 0;
    tes_input(p->tes, &vsi, p->now);
    pair_settle(p);
    assert_true(p->tag.pass);
    pair_call(p, ASSOC1);
    assert_says(pair_last(p), "\"code\":\"follows\"");
    /* a restart: the tag stays while lldpad has the VSI, and goes if it has not */
    for (unsigned has = 2; has-- > 0;) {
        unsigned n = p->n_journal;
        assert_int_equal(n, 1);
        tes_free(p->tes);
        p->tes = tes_new(&c, p->now);
        tes_input(p->tes,
            &(struct tes_in){.type = TES_IN_RESTORE,
                .p = p->journal[0].p,
                .size = p->journal[0].size},
            p->now);
        if (has)
            tes_input(p->tes, &vsi, p->now);
        tes_input(p->tes, &(struct tes_in){.type = TES_IN_RESTORED}, p->now);
        pair_settle(p);
        assert_int_equal(p->tag.vid, has ? 600 : 0);
        assert_int_equal(p->tag.pass, has);
    }
    pair_call(p, "{\"cmd\":\"vm terminate\",\"vsi\":\"02:00:00:00:00:11\"}");
    assert_string_equal(pair_last(p), "{\"ok\":true}");
    assert_int_equal(p->n_journal, 0);
    pair_free(p);
}

/* Commands, losses, restarts of the edge and time in any order: the tags and the state
 * that the VM shows agree at every step, and every command gets exactly one last line.
 */
static void
test_any_order(void **state)
{
    static const char *const ops[] = {"associate", "preassociate", "suspend", "resume",
        "emigrate", "immigrate", "terminate"};
    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        struct pair *p = pair_new(false);
        struct rng r;
        unsigned asked = 0, answered = 0;
        rng_seed(&r, seed);
        for (unsigned i = 0; i < 120; i++) {
            char text[300];
            struct vdp_key key = key_of_vsi1();
            switch (rng_below(&r, 6)) {
            case 0:
                key.id.b[15] = (uint8_t)(1 + rng_below(&r, 3));
                vdp_bridge_deassoc(p->bridge, &key.id, NULL, p->now);
                break;
            case 1:
                p->mute = rng_below(&r, 4) == 0;
                p->code = rng_below(&r, 4) ? 0 : (uint8_t)(1 + rng_below(&r, 5));
                p->keep = (uint8_t)rng_below(&r, 2);
                p->tag_status = rng_below(&r, 8) ? 0 : -19;
                break;
            case 2:
                pair_run(p, rng_below(&r, 3000000));
                break;
            default:
                snprintf(text, sizeof(text),
                    "{\"cmd\":\"vm %s\",\"vsi\":\"00000000-0000-4000-8000-%012x\","
                    "\"vni\":5000,\"mac\":\"02:00:00:00:00:11\",\"if\":\"vm%u\"}",
                    ops[rng_below(&r, 7)], 1 + rng_below(&r, 3), rng_below(&r, 3));
                pair_say(p, 7, text);
                asked++;
                if (rng_below(&r, 2))
                    pair_run(p, rng_below(&r, 2000));
            }
            for (unsigned k = 0; k < p->n_lines; k++)
                answered += strncmp(p->lines[k], "{\"ok\":", 6) == 0;
            pair_forget_lines(p);
        }
        p->mute = false;
        p->code = 0;
        p->tag_status = 0;
        pair_run(p, 100000000);
        for (unsigned k = 0; k < p->n_lines; k++)
            answered += strncmp(p->lines[k], "{\"ok\":", 6) == 0;
        if (asked != answered)
            fail_msg("seed %u: %u commands, %u answers", seed, asked, answered);
        /* associated first: a terminate that was not heard would be for the edge's age
         */
        for (unsigned k = 0; k < 6; k++) {
            char text[200];
            snprintf(text, sizeof(text),
                "{\"cmd\":\"vm %s\",\"vsi\":\"00000000-0000-4000-8000-%012x\","
                "\"vni\":5000,\"mac\":\"02:00:00:00:00:11\"}",
                k % 2 ? "terminate" : "associate", 1 + k / 2);
            pair_call(p, text);
        }
        pair_run(p, 1000000);
        if (tes_n_vms(p->tes)) {
            pair_call(p, "{\"cmd\":\"show vms\"}");
            fail_msg("seed %u: %s is left", seed, p->lines[0]);
        }
        assert_int_equal(p->n_journal, 0);
        assert_int_equal(vdp_bridge_n_vsis(p->bridge), 0);
        pair_free(p);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_associate),
        cmocka_unit_test(test_answer_waits_for_the_tag),
        cmocka_unit_test(test_no_interface),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_commands),
        cmocka_unit_test(test_no_uplink),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_keepalives),
        cmocka_unit_test(test_deassociated),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_refused_change_keeps),
        cmocka_unit_test(test_superseded),
        cmocka_unit_test(test_reflective_relay),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_records_of_others),
        cmocka_unit_test(test_edge_restart),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_table_full),
        cmocka_unit_test(test_follow),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
