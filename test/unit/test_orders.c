/* SPDX-License-Identifier: Apache-2.0 */
/* The twelve legal orders of pause, start, and what the two edges are told
 * (requirements 4.1), one row each: what becomes of frames that a remote edge, which
 * has not heard of the move, sends in the five intervals before, between and after
 * them. Column B is the bound, for senders of two phases and of one. Real edges and a
 * plain authority: move_rig.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "move_rig.h"

/* p pause, s start, l old NVE told, m new NVE told. D to the VM where it was, R relayed
 * to where it is, B waits and comes, x may be lost (in 4.1: x the VM is paused, X it
 * runs, and nobody has told anybody yet). */
static const struct row {
    const char *order, *fate;
} rows[] = {
    {"pslm", "DxxBR"}, /*  1 */
    {"psml", "DxxxR"}, /*  2 */
    {"plsm", "DxBBR"}, /*  3 */
    {"plms", "DxBBR"}, /*  4 */
    {"pmsl", "DxxxR"}, /*  5 */
    {"pmls", "DxxBR"}, /*  6 */
    {"lpsm", "DDBBR"}, /*  7 */
    {"lpms", "DDBBR"}, /*  8 */
    {"lmps", "DDDBR"}, /*  9 */
    {"mpsl", "DDxxR"}, /* 10 */
    {"mpls", "DDxBR"}, /* 11 */
    {"mlps", "DDDBR"}, /* 12 */
};
#define N_ROWS (sizeof rows / sizeof *rows)

/* How the same events are said. In two phases (A5, A13) what comes before the pause
 * only prepares: Emigrate(prepare) and Immigrate(pre), then commit or Suspend at the
 * pause and Immigrate(asso) before the start. In one phase each is a single word,
 * obeyed at once. */
struct words {
    const char *name;
    bool two, hold; /* hold: the pause is announced */
    uint8_t old, new;
    bool plain; /* a station that knows nothing of Berth: no epoch, no phases (E5) */
};
static const struct words words[] = {
    {"two phases",           true,  false, TNS_EMIGRATE_COMMIT, TNS_IMMIGRATE_ASSO, false},
    {"two phases, Suspend",  true,  false, TNS_SUSPEND,         TNS_IMMIGRATE_ASSO, false},
    {"two phases, hold",     true,  true,  TNS_EMIGRATE_COMMIT, TNS_IMMIGRATE_ASSO, false},
    {"one phase",            false, false, TNS_EMIGRATE_COMMIT, TNS_IMMIGRATE_ASSO, false},
    {"one phase, associate", false, false, TNS_EMIGRATE_COMMIT, TNS_ASSOC,          false},
    {"one phase, plain VDP", false, false, TNS_TERMINATE,       TNS_ASSOC,          true },
};
#define N_WORDS (sizeof words / sizeof *words)

struct walk {
    struct rig *g;
    const struct words *words;
    bool paused, started, l_early, m_early;
};

/* The answer's code. A plain station has no word but for associate and de-associate. */
static int
say(struct walk *w, int at, uint8_t op)
{
    struct rig *g = w->g;
    struct tns_entry n = {
        .vn_ref = VN_BY_VNI, .vni = RIG_VNI, .has_mac = 1, .mac = g->mac};
    struct tns_request rq = {
        .op = op,
        .port = 1,
        .id = {.format = VSIID_UUID, .b = {1}},
        .n_entries = op == TNS_ASSOC,
        .entries = &n
    };
    if (!w->words->plain)
        return rig_ask(g, at, 1, op, NULL);
    edge_request(g->n[at].e, &rq, g->now);
    rig_run(g);
    return g->answer.code;
}

static void
tell_old(struct walk *w)
{
    const struct rig_edge *l = &w->g->n[L];
    /* Whether it is obeyed is no matter: the mapping may have said the same before. */
    if (w->words->old == TNS_SUSPEND && !w->l_early) /* a pause of what is not armed */
        say(w, L, TNS_EMIGRATE_PREPARE);             /* is no migration (S3-30) */
    say(w, L, w->words->old);
    for (uint32_t i = 0; i < l->n_vsi; i++) /* late frames of S's port are refused */
        assert_false(l->vsi[i].u.vsi.port == 1 && l->vsi[i].u.vsi.active);
}

static void
tell_new(struct walk *w)
{
    assert_int_equal(say(w, M, w->words->new), TNS_OK);
    rig_tagged(w->g);
}

static void
step(struct walk *w, char event)
{
    struct rig *g = w->g;
    struct tns_request hold = {.hold = 1};
    bool two = w->words->two;
    switch (event) {
    case 'p':
        if (w->l_early && w->words->hold)
            assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_PREPARE, &hold), TNS_OK);
        rig_pause(g);
        w->paused = true;
        if (w->l_early && two)
            tell_old(w);
        break;
    case 's':
        if (w->m_early && two)
            tell_new(w);
        rig_start(g, M, 1);
        w->started = true;
        break;
    case 'l':
        w->l_early = !w->paused;
        if (two && w->l_early)
            RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
        else
            tell_old(w);
        break;
    case 'm':
        w->m_early = !w->started;
        if (two && w->m_early)
            RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
        else
            tell_new(w);
        break;
    default:
        fail();
    }
}

/* D, R: at once, by the VM at the old or at the new place; B: not yet. */
static char
fate_of(struct rig *g, uint16_t frame)
{
    if (rig_got(g, frame))
        return g->at == L ? 'D' : 'R';
    return rig_held(g, frame) ? 'B' : 'x';
}

/* What happened is no worse than what the row allows. A sender of one phase that speaks
 * before the pause has its frames wait from then on: they are late, not lost. */
static bool
allowed(char row, char fate, bool two)
{
    switch (row) {
    case 'D':
        return fate == 'D' || (!two && fate == 'B');
    case 'B':
        return fate == 'B' || fate == 'R';
    case 'R':
        return fate == 'R';
    default:
        return true;
    }
}

/* late: the old edge hears of the mapping only when all is done. */
static void
walk(const struct row *row, const struct words *said, bool late)
{
    struct walk w = {.g = rig_new(), .words = said};
    struct rig *g = w.g;
    uint16_t sent[5][2], last = 0;
    char seen[6] = "";
    g->n[R].deaf = 1;
    rig_port_opens(g, M, 1); /* its card is there, and queues, before the VM is */
    for (int i = 0; i < 5; i++) {
        if (i)
            step(&w, row->order[i - 1]);
        g->n[L].deaf = late && i < 4;
        rig_run(g);
        sent[i][0] = rig_send(g, R);
        sent[i][1] = rig_send(g, R);
        seen[i] = fate_of(g, sent[i][0]);
        assert_int_equal(seen[i], fate_of(g, sent[i][1]));
    }
    rig_ask(g, L, 1, TNS_TERMINATE, NULL);
    for (int i = 0; i < 5; i++)
        if (!allowed(row->fate[i], seen[i], said->two) ||
            (seen[i] != 'x' && !(rig_got(g, sent[i][0]) && rig_got(g, sent[i][1]))))
            fail_msg("order %s, %s%s: frames had %s, allowed is %s (interval %d): %s",
                row->order, said->name, late ? ", late update" : "", seen, row->fate, i,
                g->ops);
    for (uint32_t i = 0; i < g->n_got; i++) { /* in order, none twice */
        assert_true(g->got[i] > last);
        last = g->got[i];
    }
    if (said->hold && w.l_early && w.m_early) /* 9 and 12: nothing at all is lost */
        assert_int_equal(g->n_got, 10);
    for (int i = 0; i < RIG_EDGES; i++)
        assert_int_equal(g->n[i].n_hold, 0);
    assert_true(g->hops_max <= 1);
    assert_int_equal(rig_state(g, M, 1), ATT_ASSOC);
    assert_int_equal(rig_state(g, L, 1), ATT_TERM);
    assert_true(ip_equal(&g->own.owner, &g->n[M].conf.vtep));
    g->n[R].deaf = 0;
    rig_run(g);
    uint16_t after = rig_send(g, R);
    assert_true(rig_got(g, after) && g->hops == 0); /* nobody relays any more */
    rig_free(g);
}

#define ROW(n)                                                                         \
    static void order_##n(void **state)                                                \
    {                                                                                  \
        (void)state;                                                                   \
        for (size_t k = 0; k < N_WORDS; k++) {                                         \
            walk(&rows[n - 1], &words[k], false);                                      \
            walk(&rows[n - 1], &words[k], true);                                       \
        }                                                                              \
    }
ROW(1)
ROW(2)
ROW(3)
ROW(4)
ROW(5)
ROW(6)
ROW(7)
ROW(8)
ROW(9)
ROW(10)
ROW(11)
ROW(12)

/* All twelve, each once, and p before s: what 4.1 counts. */
static void
test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        const char *o = rows[i].order;
        assert_true(strlen(o) == 4 && strspn(o, "pslm") == 4);
        assert_true(strchr(o, 'p') && strchr(o, 'l') && strchr(o, 'm'));
        assert_true(strchr(o, 'p') < strchr(o, 's'));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(o, rows[k].order);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(order_1),
        cmocka_unit_test(order_2),
        cmocka_unit_test(order_3),
        cmocka_unit_test(order_4),
        cmocka_unit_test(order_5),
        cmocka_unit_test(order_6),
        cmocka_unit_test(order_7),
        cmocka_unit_test(order_8),
        cmocka_unit_test(order_9),
        cmocka_unit_test(order_10),
        cmocka_unit_test(order_11),
        cmocka_unit_test(order_12),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
