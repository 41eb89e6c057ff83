/* SPDX-License-Identifier: Apache-2.0 */
/* The agent while its VMs migrate: the phases it signals, what it does when a VM is
 * taken, and what it does not believe. */
#include "tes_pair.h"
#include "base/fsm.h"
#include "base/rng.h"

/* A5: prepare arms at the edge; who is not associated stays what it is. Suspending an
 * armed VM is its emigration; hold is a prepare that stays armed. */
static void
test_two_phases(void **state)
{
    static const struct {
        const char *op, *more, *state;
        uint8_t bop, phase, pass;
        bool s;
    } steps[] = {
        {"preassociate", ",\"vni\":5000,\"if\":\"vm1\",\"mac\":\"02:00:00:00:00:11\"",
         "preassociated",                                                                               BERTH_OP_PREASSOC,  0,                0, false},
        {"emigrate",     ",\"phase\":\"prepare\"",                                     "preassociated", BERTH_OP_EMIGRATE,
         BERTH_PHASE_PREPARE,                                                                                                                 0, true },
        {"associate",    "",                                                           "associated",    BERTH_OP_ASSOC,     0,                1, false},
        {"suspend",      "",                                                           "suspended",     BERTH_OP_SUSPEND,   0,                0, true },
        {"emigrate",     ",\"phase\":\"hold\"",                                        "suspended",     BERTH_OP_EMIGRATE,
         BERTH_PHASE_HOLD,                                                                                                                    0, true },
        {"resume",       "",                                                           "associated",    BERTH_OP_RESUME,    0,                1, false},
        {"emigrate",     ",\"phase\":\"hold\"",                                        "emigrating",    BERTH_OP_EMIGRATE,
         BERTH_PHASE_HOLD,                                                                                                                    1, true },
        {"suspend",      "",                                                           "emigrated",     BERTH_OP_SUSPEND,   0,                0, true },
        {"resume",       "",                                                           "associated",    BERTH_OP_RESUME,    0,                1, false},
        {"immigrate",    ",\"phase\":\"asso\",\"epoch\":\"99\",\"suspended\":true",
         "suspended",                                                                                   BERTH_OP_IMMIGRATE, BERTH_PHASE_ASSO, 0, true },
    };
    struct pair *p = pair_new(false);
    char text[400], want[64];
    (void)state;
    p->nve = ip_v4(0x0aff0002);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        snprintf(text, sizeof(text), "{\"cmd\":\"vm %s\"," VM1 "%s}", steps[i].op,
            steps[i].more);
        pair_call(p, text);
        snprintf(want, sizeof(want), "\"state\":\"%s\"", steps[i].state);
        assert_says(p->lines[0], want);
        assert_says(p->lines[0], "\"nve\":\"10.255.0.2\"");
        assert_int_equal(p->last.berth.op, steps[i].bop);
        assert_int_equal(p->last.berth.phase, steps[i].phase);
        assert_int_equal(p->last.s, steps[i].s);
        assert_int_equal(p->tag.pass, steps[i].pass);
        assert_int_equal(p->tag.vid, 100);
    }
    pair_free(p);
}

static void
test_moved_stays_away(void **state)
{
    struct pair *p = pair_new(false);
    struct vdp_key key = key_of_vsi1();
    struct berth_tlv why = {.op = BERTH_OP_TERMINATE, .reason = BERTH_REASON_MOVED};
    unsigned n;
    (void)state;
    pair_call(p, ASSOC1);
    n = p->n_requests - p->n_keepalives;
    assert_true(vdp_bridge_deassoc(p->bridge, &key.id, &why, p->now));
    pair_run(p, 60000000);
    assert_int_equal(p->n_requests - p->n_keepalives, n); /* no fight for it */
    assert_int_equal(p->tag.vid, 0);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_says(p->lines[0], "\"reason\":");
    /* the source of a migration may hear of its end before it has said commit */
    pair_call(p, "{\"cmd\":\"vm emigrate\"," VM1 ",\"phase\":\"commit\"}");
    assert_string_equal(pair_last(p), "{\"ok\":true}");
    assert_says(p->lines[0], "\"state\":\"lost\"");
    assert_int_equal(p->n_requests - p->n_keepalives, n);
    pair_call(p, "{\"cmd\":\"vm emigrate\"," VM1 ",\"phase\":\"prepare\"}");
    assert_says(pair_last(p), "\"ok\":false");
    /* the migration failed after all (F6): a claim, without the number that was lost */
    pair_call(p, "{\"cmd\":\"vm resume\"," VM1 "}");
    assert_string_equal(pair_last(p), "{\"ok\":true}");
    assert_says(p->lines[0], "\"state\":\"associated\"");
    assert_int_equal(p->last.berth.op, BERTH_OP_ASSOC);
    assert_int_equal(p->last.berth.epoch, 0);
    assert_int_equal(p->last.n_entries, 1);
    assert_int_equal(p->tag.vid, 100);
    assert_true(p->tag.pass);
    pair_call(p, "{\"cmd\":\"vm terminate\"," VM1 "}");
    assert_string_equal(pair_last(p), "{\"ok\":true}");
    assert_int_equal(tes_n_vms(p->tes), 0);
    pair_free(p);
}

/* While it is on its way, and a moment longer, what VMs here send to it is the edge's.
 */
static void
test_away(void **state)
{
    static const struct {
        const char *cmd;
        uint8_t away, later;
    } steps[] = {
        {"vm associate",                      0, 0},
        {"vm emigrate\",\"phase\":\"prepare", 0, 0},
        {"vm emigrate\",\"phase\":\"hold",    1, 1},
        {"vm resume",                         1, 0},
        {"vm emigrate\",\"phase\":\"commit",  1, 1},
        {"vm immigrate\",\"phase\":\"pre",    1, 1},
        {"vm immigrate\",\"phase\":\"asso",   1, 0},
    };
    struct pair *p = pair_new(false);
    char text[200];
    (void)state;
    pair_call(p, ASSOC1);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        snprintf(text, sizeof(text), "{\"cmd\":\"%s\"," VM1 "}", steps[i].cmd);
        pair_call(p, text);
        assert_string_equal(pair_last(p), "{\"ok\":true}");
        assert_int_equal(p->tag.away, steps[i].away);
        pair_run(p, 120000);
        assert_int_equal(p->tag.away, steps[i].later);
    }
    pair_free(p);
}

static void
test_suspended_comes_back_suspended(void **state)
{
    struct pair *p = pair_new(false);
    struct vdp_key key = key_of_vsi1();
    (void)state;
    pair_call(p, ASSOC1);
    pair_call(p, "{\"cmd\":\"vm suspend\"," VM1 "}");
    vdp_bridge_deassoc(p->bridge, &key.id, NULL, p->now);
    pair_run(p, 2000000);
    assert_int_equal(p->last.berth.op, BERTH_OP_SUSPEND);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_says(p->lines[0], "\"state\":\"suspended\"");
    assert_int_equal(p->tag.vid, 100);
    assert_int_equal(p->tag.pass, 0);
    pair_free(p);
}

/* A pause takes the place of an emigration that the edge may have begun: what is ok
 * then is the pause, and of the emigration nothing is known still. A resume could lead
 * back to the pause (A2); a claim cannot. */
static void
test_pause_leaves_the_doubt_A2(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    pair_call(p, ASSOC1);
    pair_say(p, 7, "{\"cmd\":\"vm emigrate\"," VM1 ",\"phase\":\"commit\"}");
    pair_say(p, 8, "{\"cmd\":\"vm suspend\"," VM1 "}");
    pair_run(p, 1000);
    for (int times = 0; times < 2; times++) {
        pair_call(p, "{\"cmd\":\"vm suspend\"," VM1 "}");
        assert_says(p->lines[0], "\"state\":\"suspended\"");
    }
    pair_call(p, "{\"cmd\":\"vm resume\"," VM1 "}");
    assert_says(p->lines[0], "\"state\":\"associated\"");
    assert_int_equal(p->last.berth.op, BERTH_OP_ASSOC);
    pair_call(p, "{\"cmd\":\"vm suspend\"," VM1 "}");
    pair_call(p, "{\"cmd\":\"vm resume\"," VM1 "}");
    assert_int_equal(p->last.berth.op, BERTH_OP_RESUME);
    /* both in one breath, and the pause was overtaken as well */
    pair_say(p, 7, "{\"cmd\":\"vm emigrate\"," VM1 ",\"phase\":\"commit\"}");
    pair_say(p, 8, "{\"cmd\":\"vm suspend\"," VM1 "}");
    pair_say(p, 9, "{\"cmd\":\"vm resume\"," VM1 "}");
    pair_run(p, 1000);
    assert_int_equal(p->last.berth.op, BERTH_OP_ASSOC);
    pair_free(p);
}

/* F4: the VM runs here by a newer number than the command carries. */
static void
test_words_of_the_past(void **state)
{
    static const char *const late[] = {"vm emigrate\",\"phase\":\"prepare",
        "vm emigrate\",\"phase\":\"commit", "vm suspend", "vm resume", "vm terminate",
        "vm immigrate\",\"phase\":\"asso"};
    struct pair *p = pair_new(false);
    char text[200];
    unsigned n;
    (void)state;
    pair_call(p, ASSOC1); /* by 41 */
    n = p->n_requests - p->n_keepalives;
    for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
        snprintf(
            text, sizeof(text), "{\"cmd\":\"%s\"," VM1 ",\"epoch\":\"40\"}", late[i]);
        pair_call(p, text);
        assert_says(pair_last(p), "\"code\":\"moved\"");
        assert_says(pair_last(p), "by epoch 41");
        assert_int_not_equal(p->tag.vid, 0);
    }
    assert_int_equal(p->n_requests - p->n_keepalives, n);
    pair_call(p, "{\"cmd\":\"vm suspend\"," VM1 ",\"epoch\":\"41\"}");
    assert_string_equal(pair_last(p), "{\"ok\":true}");
    pair_free(p);
}

/* The VM is here already: a late Immigrate(pre) changes nothing, one with a number
 * above ours says that it was elsewhere since (E3). */
static void
test_comes_back(void **state)
{
    struct pair *p = pair_new(false);
    (void)state;
    pair_call(p, ASSOC1);
    assert_int_equal(p->epoch, 41);
    pair_call(
        p, "{\"cmd\":\"vm immigrate\"," VM1 ",\"phase\":\"pre\",\"epoch\":\"41\"}");
    assert_says(p->lines[0], "\"state\":\"associated\"");
    assert_true(p->tag.pass);
    pair_call(
        p, "{\"cmd\":\"vm immigrate\"," VM1 ",\"phase\":\"pre\",\"epoch\":\"42\"}");
    assert_says(p->lines[0], "\"state\":\"immigrating\"");
    assert_int_equal(p->last.berth.epoch, 42);
    assert_false(p->tag.pass);
    assert_true(p->tag.away);
    pair_call(
        p, "{\"cmd\":\"vm immigrate\"," VM1 ",\"phase\":\"asso\",\"epoch\":\"43\"}");
    assert_says(p->lines[0], "\"state\":\"associated\"");
    assert_true(p->tag.pass);
    pair_free(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_phases),
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_moved_stays_away),
        cmocka_unit_test(test_away),
        cmocka_unit_test(test_suspended_comes_back_suspended),
        cmocka_unit_test(test_pause_leaves_the_doubt_A2),
        cmocka_unit_test(test_words_of_the_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
