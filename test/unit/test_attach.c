/* SPDX-License-Identifier: Apache-2.0 */
/* The state table against a second transcription of requirements 1.3, and every row of
 * it taken by a request or event; then the decisions K1, K3, K4, K9, K17, K18, A9, A20
 * one by one. */
#include "test.h"

#include "edge_env.h"

/* One cell: what the requirement's table says the next state is, and the reply. '-' no
 * reply (an event from inside), 'o' SUCCESS, 's' INVALID-STATE, 'n' NO-STATE, 'm'
 * MOVED. */
struct cell {
    const char *next;
    char reply;
};
#define SAME "="
#define NONE NULL, 0 /* it cannot come there: no row */
/* Columns: NULL, PREASSOC, ASSOC, SUSP, EMIG, IMMIG; TERM is as NULL but stays TERM. Of
 * events from inside the first column is TERM alone: in NULL nothing is there. */
static const struct {
    uint8_t event;
    struct cell cells[6];
} sheet[] = {
    {ATT_EV_PREASSOC,     {{"PREASSOC", 'o'}, {"PREASSOC", 'o'}, {"ASSOC", 'o'},
                          {"SUSP", 'o'}, {"EMIG", 's'}, {"PREASSOC", 'o'}}     },
    {ATT_EV_ASSOC,        {{"ASSOC", 'o'}, {"ASSOC", 'o'}, {"ASSOC", 'o'}, {"ASSOC", 'o'},
                       {"ASSOC", 'o'}, {"ASSOC", 'o'}}                            },
    {ATT_EV_SUSPEND,      {{SAME, 's'}, {"PREASSOC", 's'}, {"SUSP", 'o'}, {"SUSP", 'o'},
                         {"EMIG", 'o'}, {"IMMIG", 's'}}                         },
    {ATT_EV_RESUME,       {{SAME, 'o'}, {"PREASSOC", 'o'}, {"ASSOC", 'o'}, {"ASSOC", 'o'},
                        {"ASSOC", 'o'}, {"IMMIG", 'o'}}                          },
    {ATT_EV_EMIGRATE,     {{SAME, 'n'}, {"EMIG", 'o'}, {"EMIG", 'o'}, {"EMIG", 'o'},
                          {"EMIG", 'o'}, {"IMMIG", 's'}}                       },
    {ATT_EV_EMIG_PREPARE, {{SAME, 'n'}, {"PREASSOC", 'o'}, {"ASSOC", 'o'},
                              {"SUSP", 'o'}, {"EMIG", 'o'}, {"IMMIG", 's'}}},
    {ATT_EV_IMMIG_PRE,    {{"IMMIG", 'o'}, {"IMMIG", 'o'}, {"ASSOC", 'o'}, {"SUSP", 'o'},
                           {"IMMIG", 'o'}, {"IMMIG", 'o'}}                    },
    {ATT_EV_IMMIG_ASSO,   {{"ASSOC", 'o'}, {"ASSOC", 'o'}, {"ASSOC", 'o'}, {"ASSOC", 'o'},
                            {"ASSOC", 'o'}, {"ASSOC", 'o'}}                  },
    {ATT_EV_IMMIG_SUSP,   {{"SUSP", 'o'}, {"SUSP", 'o'}, {"SUSP", 'o'}, {"SUSP", 'o'},
                            {"SUSP", 'o'}, {"SUSP", 'o'}}                    },
    {ATT_EV_TERMINATE,    {{SAME, 'o'}, {"TERM", 'o'}, {"TERM", 'o'}, {"TERM", 'o'},
                           {"TERM", 'o'}, {"TERM", 'o'}}                      },
    {ATT_EV_KEEPALIVE,    {{SAME, 'n'}, {"PREASSOC", 'o'}, {"ASSOC", 'o'}, {"SUSP", 'o'},
                           {"EMIG", 'o'}, {"IMMIG", 'o'}}                     },
    {ATT_EV_STALE,        {{SAME, 'm'}, {"PREASSOC", 'm'}, {"ASSOC", 'm'}, {"SUSP", 'm'},
                       {"EMIG", 'm'}, {"IMMIG", 'm'}}                             },
    {ATT_EV_TIMER,        {{"NULL", '-'}, {"TERM", '-'}, {"TERM", '-'}, {"TERM", '-'},
                       {"TERM", '-'}, {"TERM", '-'}}                              },
    {ATT_EV_NEWER,        {{NONE}, {"PREASSOC", '-'}, {"EMIG", '-'}, {"EMIG", '-'},
                       {"EMIG", '-'}, {"IMMIG", '-'}}                             },
    {ATT_EV_LOCAL_CHANGE, {{SAME, '-'}, {"PREASSOC", '-'}, {"ASSOC", '-'},
                              {"SUSP", '-'}, {"EMIG", '-'}, {"IMMIG", '-'}}},
    {ATT_EV_PORT_DOWN,    {{NONE}, {NONE}, {"SUSP", '-'}, {"SUSP", '-'}, {NONE}, {NONE}}            },
    {ATT_EV_PORT_UP,      {{NONE}, {NONE}, {NONE}, {"SUSP", '-'}, {NONE}, {NONE}}                   },
    {ATT_EV_GONE,         {{NONE}, {"TERM", '-'}, {"TERM", '-'}, {"TERM", '-'}, {"TERM", '-'},
                      {"TERM", '-'}}                                               },
};
static const uint8_t columns[] = {
    ATT_NULL, ATT_PREASSOC, ATT_ASSOC, ATT_SUSP, ATT_EMIG, ATT_IMMIG};

static char
reply_of(uint8_t action)
{
    switch ((enum att_action)action) {
    case ATT_DO_REFUSE_STATE:
        return 's';
    case ATT_DO_REFUSE_NO_STATE:
        return 'n';
    case ATT_DO_REFUSE_MOVED:
        return 'm';
    case ATT_DO_NOTHING:
    case ATT_DO_AGE_OUT:
    case ATT_DO_FORGET:
    case ATT_DO_LOSE:
    case ATT_DO_NOTIFY:
    case ATT_DO_PORT_DOWN:
    case ATT_DO_PORT_UP:
    case ATT_DO_UNDO:
    case ATT_N_ACTIONS:
        return '-';
    case ATT_DO_OK:
    case ATT_DO_REFRESH:
    case ATT_DO_ARM:
    case ATT_DO_PREPARE:
    case ATT_DO_PREPARE_EPOCH:
    case ATT_DO_CLAIM:
    case ATT_DO_COMPARE:
    case ATT_DO_RAISE:
    case ATT_DO_CLAIM_SUSP:
    case ATT_DO_ROLLBACK_PRE:
    case ATT_DO_INACTIVATE:
    case ATT_DO_EMIGRATE:
    case ATT_DO_WAS_SUSP:
    case ATT_DO_TERMINATE:
        return 'o';
    }
    return '?';
}

static const struct fsm_row *
row_at(uint8_t state, uint8_t event)
{
    const struct fsm_row *found = NULL;
    for (uint16_t i = 0; i < att_fsm.n_rows; i++)
        if (att_fsm.rows[i].from == state && att_fsm.rows[i].event == event) {
            assert_null(found);
            found = &att_fsm.rows[i];
        }
    return found;
}

static void
test_table_is_the_requirement(void **state)
{
    (void)state;
    uint16_t n = 0;
    for (size_t i = 0; i < sizeof sheet / sizeof *sheet; i++)
        for (size_t c = 0; c < 7; c++) {
            uint8_t from = c < 6 ? columns[c] : ATT_TERM;
            const struct cell *cell = &sheet[i].cells[c < 6 ? c : 0];
            const struct fsm_row *row = row_at(from, sheet[i].event);
            if (!cell->next || (from == ATT_NULL && cell->reply == '-')) {
                assert_null(row);
                continue;
            }
            assert_non_null(row);
            const char *next =
                strcmp(cell->next, SAME) ? cell->next : att_state_str(from);
            assert_string_equal(att_state_str(row->to), next);
            assert_int_equal(reply_of(row->action), cell->reply);
            assert_true(row->clause && *row->clause);
            n++;
        }
    /* Beside the sheet: the guards of Resume in EMIG, the port that is back, the
     * undoing. */
    assert_int_equal(row_at(ATT_EMIG, ATT_EV_ROLLBACK_PRE)->to, ATT_PREASSOC);
    assert_int_equal(row_at(ATT_EMIG, ATT_EV_ROLLBACK_SUSP)->to, ATT_SUSP);
    assert_int_equal(row_at(ATT_SUSP, ATT_EV_PORT_BACK)->to, ATT_ASSOC);
    static const uint8_t undo[][2] = {
        {ATT_EV_UNDO_NULL,     ATT_NULL    },
        {ATT_EV_UNDO_PREASSOC, ATT_PREASSOC},
        {ATT_EV_UNDO_ASSOC,    ATT_ASSOC   },
        {ATT_EV_UNDO_SUSP,     ATT_SUSP    },
        {ATT_EV_UNDO_EMIG,     ATT_EMIG    },
        {ATT_EV_UNDO_IMMIG,    ATT_IMMIG   }
    };
    for (uint16_t i = 0; i < att_fsm.n_rows; i++)
        for (size_t k = 0; k < sizeof undo / sizeof *undo; k++)
            if (att_fsm.rows[i].event == undo[k][0]) {
                assert_int_equal(att_fsm.rows[i].to, undo[k][1]);
                n++;
            }
    assert_int_equal(att_fsm.n_rows, n + 3);
    struct fsm f;
    const char *why;
    assert_true(fsm_init(&f, &att_fsm, &why));
    fsm_done(&f);
}

/* ---- every row is taken ---- */

/* Brings VSI 1 of port 1, MAC 1 of VN 1, to a state. */
static void
bring(struct env *v, uint8_t to)
{
    static const uint8_t op[ATT_N_STATES] = {[ATT_PREASSOC] = TNS_PREASSOC,
        [ATT_ASSOC] = TNS_ASSOC,
        [ATT_SUSP] = TNS_SUSPEND,
        [ATT_EMIG] = TNS_EMIGRATE_COMMIT,
        [ATT_IMMIG] = TNS_IMMIGRATE_PRE,
        [ATT_TERM] = TNS_TERMINATE};
    if (to == ATT_NULL)
        return;
    if (to == ATT_SUSP || to == ATT_EMIG || to == ATT_TERM)
        env_do(v, TNS_ASSOC, 1, 1, 1, 1);
    assert_int_equal(
        env_do(v, op[to], 1, 1,
            to == ATT_PREASSOC || to == ATT_ASSOC || to == ATT_IMMIG ? 1 : 0, 1)
            ->r.code,
        TNS_OK);
    assert_int_equal(env_state(v, 1, 1), to);
}

static void
add_hits(const struct env *v, uint64_t *sum)
{
    uint64_t hits[512];
    assert_true(att_fsm.n_rows <= 512);
    attach_coverage(v->e, hits);
    for (uint16_t i = 0; i < att_fsm.n_rows; i++)
        sum[i] += hits[i];
}

static void
foreign_claim(struct env *v, uint32_t vni, uint32_t mac, uint64_t epoch)
{
    struct mapping_rec rec = {.vni = vni,
        .mac = env_mac(mac),
        .owner = ip_v4(0x0a000002),
        .epoch = epoch,
        .migration_id = 4711};
    struct env_own *w = env_own(v, vni, &rec.mac);
    w->known = w->epoch = epoch;
    w->here = 0;
    edge_map_set(v->e, &rec, 0, v->now);
    env_run(v);
}

static void
stir(struct env *v, uint8_t event)
{
    struct vn_rec vn;
    struct tns_entry n;
    struct tns_request rq;
    int was;
    static const uint8_t op[ATT_N_EVENTS] = {[ATT_EV_PREASSOC] = TNS_PREASSOC,
        [ATT_EV_ASSOC] = TNS_ASSOC,
        [ATT_EV_SUSPEND] = TNS_SUSPEND,
        [ATT_EV_RESUME] = TNS_RESUME,
        [ATT_EV_EMIG_PREPARE] = TNS_EMIGRATE_PREPARE,
        [ATT_EV_EMIGRATE] = TNS_EMIGRATE_COMMIT,
        [ATT_EV_IMMIG_PRE] = TNS_IMMIGRATE_PRE,
        [ATT_EV_IMMIG_ASSO] = TNS_IMMIGRATE_ASSO,
        [ATT_EV_IMMIG_SUSP] = TNS_IMMIGRATE_ASSO,
        [ATT_EV_TERMINATE] = TNS_TERMINATE,
        [ATT_EV_KEEPALIVE] = TNS_KEEPALIVE};
    switch (event) {
    case ATT_EV_STALE:
        was = env_state(v, 1, 1);
        if (was == ATT_ASSOC ||
            was == ATT_SUSP) { /* our own is newer than the command */
            rq = env_rq(TNS_IMMIGRATE_ASSO, 1, 1, &n, 1, 1);
            rq.has_epoch = 1;
            rq.epoch = 900;
            rq.suspended = was == ATT_SUSP;
            env_send(v, &rq);
            env_run(v);
        } else {
            foreign_claim(v, 1, 1, 900);
        }
        rq = env_rq(TNS_ASSOC, 1, 1, &n, 1, 1);
        rq.has_epoch = 1;
        rq.epoch = 500;
        rq.migration_id = 1;
        env_send(v, &rq);
        break;
    case ATT_EV_NEWER:
        foreign_claim(v, 1, 1, 1000);
        break;
    case ATT_EV_TIMER:
        env_tick(v, 700000000);
        break;
    case ATT_EV_LOCAL_CHANGE:
        vn = (struct vn_rec){.vni = 1, .name = "vn1", .mtu = 1400};
        edge_vn(v->e, &vn, 0, v->now);
        break;
    case ATT_EV_GONE:
        vn = (struct vn_rec){.vni = 1, .name = "vn1", .deleted = 1};
        edge_vn(v->e, &vn, 0, v->now);
        break;
    case ATT_EV_PORT_DOWN:
        edge_port_link(v->e, 1, false, v->now);
        env_tick(v, 5000000);
        break;
    default:
        rq = env_rq(op[event], 1, 1, &n, event == ATT_EV_SUSPEND ? 0 : 1, 1);
        rq.suspended = event == ATT_EV_IMMIG_SUSP;
        env_send(v, &rq);
        break;
    }
    env_run(v);
}

static void
test_every_row_is_taken(void **state)
{
    (void)state;
    uint64_t hits[512] = {0};
    for (uint8_t from = 0; from < ATT_N_STATES; from++)
        for (uint8_t event = 0; event < ATT_EV_UNDO_NULL; event++) {
            struct env *v = env_new(false);
            bring(v, from);
            stir(v, event);
            env_run(v);
            for (uint32_t i = 0; i < v->n_answers; i++)
                assert_int_equal(v->answers[i].times, 1);
            add_hits(v, hits);
            env_free(v);
        }
    /* Requests that fail in the data plane, from every state: the UNDO rows. */
    static const uint8_t failing[] = {TNS_PREASSOC, TNS_ASSOC, TNS_SUSPEND, TNS_RESUME,
        TNS_EMIGRATE_COMMIT, TNS_IMMIGRATE_PRE, TNS_IMMIGRATE_ASSO};
    for (uint8_t from = 0; from < ATT_N_STATES; from++)
        for (size_t k = 0; k < 2 * sizeof failing; k++) {
            struct rng r;
            struct env *v = env_new(false);
            struct tns_entry n;
            struct tns_request rq;
            rng_seed(&r, 1);
            bring(v, from);
            rq = env_rq(failing[k / 2], 1, 1, &n, 1, 1);
            n.n_ips = 2; /* changed data: nothing is a repetition */
            n.ips[1] = ip_v4(0x0a0a0a0a);
            rq.suspended = k & 1;
            v->rng = &r;
            v->fail_dp = 1000000;
            uint32_t c = env_send(v, &rq);
            env_run(v);
            assert_int_equal(v->answers[c].times, 1);
            v->fail_dp = 0;
            if (v->answers[c].r.code != TNS_OK) { /* A9 */
                bool at_once = v->answers[c].r.code == TNS_INVALID_STATE ||
                               v->answers[c].r.code == TNS_NO_STATE;
                assert_int_equal(
                    env_state(v, 1, 1), from == ATT_TERM && !at_once ? ATT_NULL : from);
                assert_int_equal(
                    v->answers[c].r.kept, from != ATT_NULL && from != ATT_TERM);
            }
            env_quiet(v);
            add_hits(v, hits);
            env_free(v);
        }
    /* A place taken back that was pre-associated, or suspended, before it emigrated. */
    for (int fail = 0; fail < 2; fail++)
        for (int i = 0; i < 2; i++) {
            struct rng r;
            struct env *v = env_new(false);
            rng_seed(&r, 1);
            bring(v, i ? ATT_SUSP : ATT_PREASSOC);
            v->rng = &r;
            v->fail_dp = fail ? 1000000 : 0; /* EMIG is undone to where it came from */
            env_do(v, TNS_EMIGRATE_COMMIT, 1, 1, 0, 0);
            v->fail_dp = 0;
            if (!fail)
                assert_int_equal(env_do(v, TNS_RESUME, 1, 1, 0, 0)->r.code, TNS_OK);
            assert_int_equal(env_state(v, 1, 1), i ? ATT_SUSP : ATT_PREASSOC);
            env_quiet(v);
            add_hits(v, hits);
            env_free(v);
        }
    /* The journal refuses: a roll back to PREASSOC is not made. */
    {
        struct rng r;
        struct env *v = env_new(false);
        rng_seed(&r, 1);
        bring(v, ATT_PREASSOC);
        env_do(v, TNS_EMIGRATE_COMMIT, 1, 1, 0, 0);
        v->rng = &r;
        v->fail_journal = 1000000;
        assert_int_equal(env_do(v, TNS_RESUME, 1, 1, 0, 0)->r.code, TNS_NO_RESOURCES);
        assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
        env_quiet(v);
        add_hits(v, hits);
        env_free(v);
    }
    /* Ports: up again where it was suspended by hand, and where it was not. */
    for (int i = 0; i < 2; i++) {
        struct env *v = env_new(false);
        bring(v, i ? ATT_SUSP : ATT_ASSOC);
        stir(v, ATT_EV_PORT_DOWN);
        assert_int_equal(env_state(v, 1, 1), ATT_SUSP);
        edge_port_link(v->e, 1, true, v->now);
        env_run(v);
        assert_int_equal(env_state(v, 1, 1), i ? ATT_SUSP : ATT_ASSOC);
        env_quiet(v);
        add_hits(v, hits);
        env_free(v);
    }
    /* Events from inside that change nothing there. */
    for (uint8_t from = 0; from < ATT_N_STATES; from++)
        for (uint8_t event = 0; event < ATT_EV_UNDO_NULL; event++) {
            const struct fsm_row *row = row_at(from, event);
            if (!row || row->action != ATT_DO_NOTHING)
                continue;
            struct env *v = env_new(false);
            bring(v, from);
            struct vsiid id = env_vsi_id(1);
            uint32_t notices = v->n_notices;
            att_event(v->e, att_find(v->e, 1, &id), event);
            env_pull(v);
            assert_int_equal(v->n_notices, notices);
            assert_int_equal(env_state(v, 1, 1), from);
            add_hits(v, hits);
            env_free(v);
        }
    uint32_t missed = 0;
    for (uint16_t i = 0; i < att_fsm.n_rows; i++) {
        const struct fsm_row *row = &att_fsm.rows[i];
        if (hits[i] == 0) {
            print_message("not taken: %s on %s\n", att_state_str(row->from),
                att_fsm.events[row->event]);
            missed++;
        }
    }
    assert_int_equal(missed, 0);
}

/* A pair without a row is counted and refused (3.1), and changes nothing. */
static void
test_pair_without_row(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    bring(v, ATT_ASSOC);
    struct vsiid id = env_vsi_id(1);
    att_event(v->e, att_find(v->e, 1, &id), ATT_EV_ROLLBACK_PRE);
    assert_int_equal(edge_counter(v->e, EDGEC_ILLEGAL), 1);
    assert_int_equal(env_state(v, 1, 1), ATT_ASSOC);
    env_free(v);
}

/* ---- decisions ---- */

static void
test_answer_says_what_was_given(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 5, 1);
    n.ps = 1;
    n.pcp = 5;
    n.n_ips = 3;
    n.ips[1] = ip_v4(0x0a000101);
    n.ips[2] = (struct ip){
        {0x20, 1, 2}
    };
    struct env_answer *a = &v->answers[env_send(v, &rq)];
    a = &v->answers[0];
    assert_int_equal(a->times, 0);
    env_run(v);
    assert_int_equal(a->r.code, TNS_OK);
    assert_int_equal(a->r.state, ATT_ASSOC);
    assert_int_equal(a->r.mtu, 1450);
    assert_int_equal(a->r.n_entries, 1);
    assert_int_equal(a->entries[0].vid, 2);
    assert_int_equal(a->entries[0].vni, 5);
    assert_string_equal(a->entries[0].vn_name, "vn5");
    assert_int_equal(a->entries[0].ps, 1);
    assert_int_equal(a->entries[0].pcp, 5);
    assert_int_equal(a->entries[0].n_ips, 3);
    assert_int_equal(a->r.epoch, 1);
    assert_int_equal(a->r.unpublished, 0);
    assert_true(v->subscribed[5]);
    env_quiet(v);
    env_free(v);
}

/* K6, E7: data plane, then publication, then journal, then the answer. */
static void
test_order_of_completion(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 5, 1);
    env_send(v, &rq);
    assert_int_equal(v->pending[0].type, EDGE_VN_LOOKUP);
    env_complete(v, 0);
    assert_true(v->n_pending >= 4); /* VN, VAP, VSI, FDB */
    while (v->pending[0].type == EDGE_DP) {
        for (uint32_t i = 0; i < v->n_pending; i++)
            assert_int_equal(v->pending[i].type, EDGE_DP);
        env_complete_in_order(v, 0);
    }
    assert_int_equal(v->n_pending, 1);
    assert_int_equal(v->pending[0].type, EDGE_REGISTER);
    assert_int_equal(v->pending[0].want, 1);
    env_complete(v, 0);
    while (v->pending[0].type == EDGE_DP) /* the granted epoch */
        env_complete_in_order(v, 0);
    assert_int_equal(v->n_pending, 1);
    assert_int_equal(v->pending[0].type, EDGE_JOURNAL);
    assert_int_equal(v->answers[0].times, 0);
    env_complete(v, 0);
    assert_int_equal(v->answers[0].times, 1);
    assert_int_equal(v->n_pending, 0);
    env_free(v);
}

static void
test_refusals(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n[2];
    struct tns_request rq = env_rq(TNS_ASSOC, 3, 1, n, 70, 1);
    uint32_t c = env_send(v, &rq);
    env_run(v);
    assert_int_equal(
        v->answers[c].r.code, TNS_NOT_AUTHORISED); /* K9: not in the list */
    assert_int_equal(edge_counter(v->e, EDGEC_UNAUTHORISED), 1);
    assert_int_equal(env_do(v, TNS_ASSOC, 1, 1, 100, 1)->r.code, TNS_UNKNOWN_VN);
    assert_int_equal(
        env_do(v, TNS_ASSOC, 1, 1, 50, 1)->r.code, TNS_NO_RESOURCES); /* MTU */
    assert_non_null(strstr(v->answers[v->n_answers - 1].r.reason, "MTU"));
    assert_int_equal(
        env_do(v, TNS_ASSOC, 9, 1, 5, 1)->r.code, TNS_BAD_MESSAGE); /* no port */
    rq = env_rq(TNS_ASSOC, 3, 1, n, 5, 1);
    n->vid = 12;
    c = env_send(v, &rq);
    env_run(v);
    assert_int_equal(v->answers[c].r.code, TNS_CONFLICT); /* reserved VID */
    n->vid = 0;
    n->mac.b[0] |= 1;
    c = env_send(v, &rq);
    assert_int_equal(v->answers[c].r.code, TNS_BAD_MESSAGE);
    rq = env_rq(TNS_ASSOC, 1, 1, n, 5, 1);
    n->vn_ref = VN_BY_NONE;
    c = env_send(v, &rq);
    assert_int_equal(v->answers[c].r.code, TNS_UNKNOWN_VN); /* K2: nothing names a VN */
    /* All or nothing (A20): the second entry is refused, the first leaves no trace. */
    rq = env_rq(TNS_ASSOC, 3, 1, n, 5, 1);
    n[1] = n[0];
    n[1].vni = 70;
    rq.n_entries = 2;
    c = env_send(v, &rq);
    env_run(v);
    assert_int_equal(v->answers[c].r.code, TNS_NOT_AUTHORISED);
    assert_int_equal(v->n_vap, 0);
    assert_int_equal(tag_count(v->e), 0);
    assert_int_equal(attach_count(v->e), 0);
    env_empty(v);
    env_free(v);
}

/* K2: by profile, by (port, VID), by the port's native VN, by name. */
static void
test_which_vn(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 5, 1);
    n.vn_ref = VN_BY_NONE;
    n.vid = 77;
    uint32_t c = env_send(v, &rq);
    env_run(v);
    assert_int_equal(v->answers[c].r.code, TNS_OK);
    assert_int_equal(v->answers[c].entries[0].vni, 20);
    assert_int_equal(v->answers[c].entries[0].vid, 77);
    rq = env_rq(TNS_ASSOC, 1, 2, &n, 5, 2);
    n.vn_ref = VN_BY_NONE;
    rq.profile.type_id = 500;
    rq.profile.version = 1;
    c = env_send(v, &rq);
    env_run(v);
    assert_int_equal(v->answers[c].entries[0].vni, 21);
    rq = env_rq(TNS_ASSOC, 4, 3, &n, 5, 3);
    n.vn_ref = VN_BY_NONE;
    c = env_send(v, &rq);
    env_run(v);
    assert_int_equal(v->answers[c].entries[0].vni, 7);
    assert_int_equal(v->answers[c].entries[0].untagged, 1);
    assert_int_equal(v->answers[c].entries[0].vid, 0);
    rq = env_rq(TNS_ASSOC, 2, 4, &n, 5, 4);
    n.vn_ref = VN_BY_NAME;
    snprintf(n.vn_name, sizeof n.vn_name, "vn33");
    c = env_send(v, &rq);
    env_run(v);
    assert_int_equal(v->answers[c].entries[0].vni, 33);
    env_quiet(v);
    env_free(v);
}

/* K1, K18: the same VSI elsewhere is a move, another VSI with its MAC a conflict. */
static void
test_move_and_conflict(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    env_do(v, TNS_ASSOC, 1, 1, 5, 1);
    assert_int_equal(env_do(v, TNS_ASSOC, 2, 2, 5, 1)->r.code, TNS_CONFLICT);
    assert_int_equal(env_do(v, TNS_ASSOC, 2, 2, 6, 1)->r.code, TNS_OK); /* other VN */
    uint32_t notices = v->n_notices;
    struct env_answer *a = env_do(v, TNS_ASSOC, 3, 1, 5, 1);
    assert_int_equal(a->r.code, TNS_OK);
    assert_int_equal(v->n_notices, notices + 1);
    assert_int_equal(v->notice.type, NOTICE_MOVED);
    assert_int_equal(v->notice.port, 1);
    assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
    assert_int_equal(env_state(v, 3, 1), ATT_ASSOC);
    env_quiet(v);
    /* The old place is given up for good: the MAC is still served at the new one. */
    env_do(v, TNS_TERMINATE, 1, 1, 0, 0);
    struct mac mac = env_mac(1);
    int fdb = env_fdb_find(v, 5, &mac);
    assert_true(fdb >= 0 && v->fdb[fdb].kind == FDB_LOCAL && v->fdb[fdb].port == 3);
    assert_int_equal(env_own(v, 5, &mac)->here, 1);
    env_quiet(v);
    env_free(v);
}

/* K3: an old station's repetition never takes the VM back; a claim of ours does. */
static void
test_keepalive_never_claims(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 5, 1);
    rq.berth_station = 0;
    uint32_t c = env_send(v, &rq);
    env_run(v);
    n.vid = v->answers[c].entries[0].vid; /* as lldpad repeats it */
    foreign_claim(v, 5, 1, 50);
    assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
    struct mac mac = env_mac(1);
    for (int i = 0; i < 3; i++) {
        c = env_send(v, &rq);
        env_run(v);
        assert_int_equal(v->answers[c].r.code, TNS_MOVED);
        assert_int_equal(v->answers[c].r.state, ATT_EMIG);
        assert_int_equal(env_own(v, 5, &mac)->here, 0);
        int fdb = env_fdb_find(v, 5, &mac);
        assert_int_equal(v->fdb[fdb].kind, FDB_RELAY); /* D1 */
        env_tick(v, 200000000);
    }
    assert_true(edge_counter(v->e, EDGEC_KEEPALIVES) >= 3);
    /* Roll back: fresh epoch above the other's (E2). */
    struct env_answer *a = env_do(v, TNS_RESUME, 1, 1, 0, 0);
    assert_int_equal(a->r.code, TNS_OK);
    assert_int_equal(a->r.state, ATT_ASSOC);
    assert_true(a->r.epoch > 50);
    assert_int_equal(env_own(v, 5, &mac)->here, 1);
    env_quiet(v);
    env_free(v);
}

/* A plain station whose VM comes back asks as at first, for any VID: that is a claim.
 */
static void
test_a_moved_vm_may_come_back(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 5, 1);
    rq.berth_station = 0;
    env_send(v, &rq);
    env_run(v);
    foreign_claim(v, 5, 1, 50);
    assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
    uint32_t c = env_send(v, &rq);
    env_run(v);
    assert_int_equal(v->answers[c].r.code, TNS_OK);
    assert_int_equal(v->answers[c].r.state, ATT_ASSOC);
    assert_true(v->answers[c].r.epoch > 50);
    env_quiet(v);
    env_free(v);
}

/* K17: without the authority the answer comes after T_publish, and the rest silently.
 */
static void
test_authority_out_of_reach(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    env_do(v, TNS_ASSOC, 1, 9, 5, 9);
    v->authority_mute = 1;
    struct env_answer *a = env_do(v, TNS_ASSOC, 1, 1, 5, 1);
    uint32_t c = v->n_answers - 1;
    assert_int_equal(a->times, 0);
    env_tick(v, 150000);
    assert_int_equal(v->answers[c].times, 0);
    env_tick(v, 60000);
    env_run(v);
    assert_int_equal(v->answers[c].times, 1);
    assert_int_equal(v->answers[c].r.code, TNS_OK);
    assert_int_equal(v->answers[c].r.unpublished, 1);
    assert_int_equal(edge_counter(v->e, EDGEC_UNPUBLISHED), 1);
    env_quiet(v);
    v->authority_mute = 0;
    env_run(v);
    struct edge_att_view t;
    for (uint32_t it = 0; edge_each_attachment(v->e, &it, &t, v->now);) {
        assert_int_equal(t.unpublished, 0);
        assert_true(t.epoch > 0);
    }
    /* The session is lost: no question can be asked, a VN not known is refused. */
    v->session = 0;
    edge_session(v->e, false, v->now);
    env_do(v, TNS_ASSOC, 1, 2, 6, 2);
    env_tick(v, 300000);
    env_run(v);
    assert_int_equal(v->answers[v->n_answers - 1].r.code, TNS_NO_AUTHORITY);
    env_do(v, TNS_ASSOC, 1, 3, 5, 3);
    c = v->n_answers - 1;
    env_tick(v, 300000);
    env_run(v);
    assert_int_equal(v->answers[c].r.unpublished, 1);
    struct mac mac = env_mac(3);
    assert_int_equal(env_own(v, 5, &mac)->here, 0);
    edge_session(v->e, true, v->now);
    env_run(v);
    assert_int_equal(env_own(v, 5, &mac)->here, 1);
    env_quiet(v);
    env_free(v);
}

/* K4, E1: Immigrate(pre) reserves, Immigrate(asso) uses what was reserved or carried.
 */
static void
test_migration(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct mac mac = env_mac(1);
    foreign_claim(v, 5, 1, 7);
    struct env_answer *a = env_do(v, TNS_IMMIGRATE_PRE, 1, 1, 5, 1);
    assert_int_equal(a->r.code, TNS_OK);
    assert_int_equal(a->r.epoch, 8);
    assert_int_equal(env_own(v, 5, &mac)->here, 0); /* nothing is published yet */
    int vsi = env_vsi_find(v, 1, a->entries[0].vid, &mac);
    assert_true(vsi >= 0 && !v->vsi[vsi].active);
    a = env_do(v, TNS_IMMIGRATE_ASSO, 1, 1, 0, 0);
    assert_int_equal(a->r.code, TNS_OK);
    assert_int_equal(a->r.state, ATT_ASSOC);
    assert_int_equal(a->r.epoch, 8);
    assert_int_equal(env_own(v, 5, &mac)->epoch, 8);
    assert_int_equal(env_own(v, 5, &mac)->here, 1);
    env_quiet(v);
    /* And away again: armed, still forwarding; then inactive; then relaying (A5, D1).
     */
    env_do(v, TNS_EMIGRATE_PREPARE, 1, 1, 0, 0);
    vsi = env_vsi_find(v, 1, 2, &mac);
    assert_true(v->vsi[vsi].active);
    a = env_do(v, TNS_EMIGRATE_COMMIT, 1, 1, 0, 0);
    assert_int_equal(a->r.state, ATT_EMIG);
    vsi = env_vsi_find(v, 1, 2, &mac);
    assert_false(v->vsi[vsi].active);
    foreign_claim(v, 5, 1, 9);
    assert_int_equal(v->fdb[env_fdb_find(v, 5, &mac)].kind, FDB_RELAY);
    env_do(v, TNS_TERMINATE, 1, 1, 0, 0);
    assert_int_equal(v->fdb[env_fdb_find(v, 5, &mac)].kind, FDB_RELAY);
    env_tick(v, 120000000); /* T_tomb */
    assert_int_equal(attach_count(v->e), 0);
    env_run(v);
    env_free(v);
}

/* A9, S3-22: what changes replaces what was; a failure keeps it. */
static void
test_replace_keeps_on_failure(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct rng r;
    rng_seed(&r, 3);
    env_do(v, TNS_ASSOC, 1, 1, 5, 1);
    v->rng = &r;
    v->fail_dp = 1000000;
    struct env_answer *a = env_do(v, TNS_ASSOC, 1, 1, 6, 2);
    v->fail_dp = 0;
    assert_int_equal(a->r.code, TNS_NO_RESOURCES);
    assert_int_equal(a->r.kept, 1);
    env_quiet(v);
    struct mac one = env_mac(1), two = env_mac(2);
    assert_true(env_fdb_find(v, 5, &one) >= 0);
    assert_true(env_fdb_find(v, 6, &two) < 0);
    a = env_do(v, TNS_ASSOC, 1, 1, 6, 2);
    assert_int_equal(a->r.code, TNS_OK);
    assert_true(env_fdb_find(v, 5, &one) < 0);
    assert_int_equal(env_own(v, 5, &one)->here, 0); /* withdrawn */
    assert_int_equal(env_own(v, 6, &two)->here, 1);
    env_quiet(v);
    env_free(v);
}

/* One request behind another waits; a third is told to come back; none is lost. */
static void
test_queue_of_one(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 5, 1);
    uint32_t a = env_send(v, &rq);
    rq.op = TNS_SUSPEND;
    rq.n_entries = 0;
    uint32_t b = env_send(v, &rq);
    rq.op = TNS_TERMINATE;
    uint32_t c = env_send(v, &rq);
    assert_int_equal(v->answers[c].r.code, TNS_BUSY);
    env_run(v);
    assert_int_equal(v->answers[a].r.code, TNS_OK);
    assert_int_equal(v->answers[b].r.code, TNS_OK);
    assert_int_equal(env_state(v, 1, 1), ATT_SUSP);
    /* A port that goes away answers what is under way. */
    rq = env_rq(TNS_ASSOC, 1, 2, &n, 5, 2);
    a = env_send(v, &rq);
    rq.op = TNS_TERMINATE;
    b = env_send(v, &rq);
    edge_port_gone(v->e, 1, v->now);
    env_run(v);
    assert_int_equal(v->answers[a].r.code, TNS_NO_RESOURCES);
    assert_int_equal(v->answers[b].r.code, TNS_NO_RESOURCES);
    assert_int_equal(attach_count(v->e), 0);
    assert_int_equal(attach_in_flight(v->e), 0);
    env_free(v);
}

/* K2: wildcard VSIs learn within bounds, publish, age, and yield to signalled ones. */
static void
test_wildcard(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 5, 1);
    n.has_mac = 0;
    n.n_ips = 0;
    env_send(v, &rq);
    env_run(v);
    assert_int_equal(v->vap[0].wildcard, 1);
    env_do(v, TNS_ASSOC, 2, 2, 5, 500);
    uint32_t max = (uint32_t)edge_settings[SET_MAX_LEARNED].def;
    for (uint32_t i = 0; i < max + 5; i++) {
        struct dp_event ev = {.type = DP_EV_LEARN,
            .port = 1,
            .vni = 5,
            .vid = 2,
            .src = env_mac(100 + i)};
        edge_dp_event(v->e, &ev, v->now);
        env_run(v);
    }
    assert_int_equal(edge_counter(v->e, EDGEC_LEARNED), max);
    assert_int_equal(edge_counter(v->e, EDGEC_LEARN_REFUSED), 5);
    int vap = env_vap_find(v, 1, 2);
    assert_int_equal(v->vap[vap].wildcard, 0); /* full: closed */
    struct mac mac = env_mac(100), signalled = env_mac(500);
    assert_int_equal(env_own(v, 5, &mac)->here, 1);
    env_quiet(v);
    /* Not heard of: first asked for again, then gone; the one that speaks stays. */
    uint64_t age_us = edge_settings[SET_LEARN_AGE_US].def;
    for (int i = 0; i < 20; i++) {
        env_tick(v, age_us / 20);
        env_do(v, TNS_KEEPALIVE, 1, 1, 0, 0);
        env_do(v, TNS_KEEPALIVE, 2, 2, 0, 0);
    }
    vap = env_vap_find(v, 1, 2);
    assert_int_equal(v->vap[vap].wildcard, 1);
    struct dp_event ev = {
        .type = DP_EV_LEARN, .port = 1, .vni = 5, .vid = 2, .src = mac};
    edge_dp_event(v->e, &ev, v->now);
    ev.src = signalled;
    edge_dp_event(v->e, &ev, v->now);
    for (int i = 0; i < 10; i++) {
        env_tick(v, age_us / 40);
        env_do(v, TNS_KEEPALIVE, 1, 1, 0, 0);
        env_do(v, TNS_KEEPALIVE, 2, 2, 0, 0);
    }
    struct mac other = env_mac(101);
    assert_int_equal(env_own(v, 5, &mac)->here, 1);
    assert_int_equal(env_own(v, 5, &other)->here, 0);
    int fdb = env_fdb_find(v, 5, &signalled);
    assert_int_equal(v->fdb[fdb].port, 2);
    env_quiet(v);
    env_do(v, TNS_TERMINATE, 1, 1, 0, 0);
    assert_int_equal(env_own(v, 5, &mac)->here, 0);
    env_quiet(v);
    env_free(v);
}

/* K9: short loss of carrier is nothing; a long one suspends and withdraws, tags stay.
 */
static void
test_flapping_port(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct mac mac = env_mac(1);
    uint16_t vid = env_do(v, TNS_ASSOC, 1, 1, 5, 1)->entries[0].vid;
    edge_port_link(v->e, 1, false, v->now);
    env_tick(v, 1000000);
    edge_port_link(v->e, 1, true, v->now);
    env_tick(v, 10000000);
    assert_int_equal(env_state(v, 1, 1), ATT_ASSOC);
    edge_port_link(v->e, 1, false, v->now);
    env_tick(v, 4000000);
    assert_int_equal(env_state(v, 1, 1), ATT_SUSP);
    assert_int_equal(env_own(v, 5, &mac)->here, 0);
    assert_true(env_vap_find(v, 1, vid) >= 0);
    edge_port_link(v->e, 1, true, v->now);
    env_run(v);
    assert_int_equal(env_state(v, 1, 1), ATT_ASSOC);
    assert_int_equal(env_own(v, 5, &mac)->here, 1);
    /* The VM went to another NVE while the port was down. */
    edge_port_link(v->e, 1, false, v->now);
    env_tick(v, 4000000);
    foreign_claim(v, 5, 1, 99);
    edge_port_link(v->e, 1, true, v->now);
    env_run(v);
    assert_int_equal(env_state(v, 1, 1), ATT_EMIG);
    assert_int_equal(v->notice.type, NOTICE_MOVED);
    env_quiet(v);
    env_free(v);
}

static void
test_limits(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    edge_free(v->e);
    v->n_pending = 0;
    v->conf.settings[SET_MAX_ATTACHMENTS] = 10;
    v->conf.settings[SET_MAX_PER_PORT] = 6;
    v->n_vn = 0;
    v->e = edge_new(&v->conf, v->now);
    env_ports(v);
    struct vn_rec vn = {.vni = 5, .name = "vn5"};
    edge_vn(v->e, &vn, 0, v->now);
    for (uint32_t i = 1; i <= 6; i++)
        assert_int_equal(env_do(v, TNS_ASSOC, 1, i, 5, i)->r.code, TNS_OK);
    assert_int_equal(env_do(v, TNS_ASSOC, 1, 7, 5, 7)->r.code, TNS_NO_RESOURCES);
    for (uint32_t i = 7; i <= 10; i++)
        assert_int_equal(env_do(v, TNS_ASSOC, 2, i, 5, i)->r.code, TNS_OK);
    assert_int_equal(env_do(v, TNS_ASSOC, 2, 11, 5, 11)->r.code, TNS_NO_RESOURCES);
    /* A tombstone gives way. */
    env_do(v, TNS_TERMINATE, 1, 1, 0, 0);
    assert_int_equal(env_state(v, 1, 1), ATT_TERM);
    assert_int_equal(env_do(v, TNS_ASSOC, 2, 11, 5, 11)->r.code, TNS_OK);
    assert_int_equal(env_state(v, 1, 1), ATT_NULL);
    env_quiet(v);
    env_free(v);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_the_requirement),
        cmocka_unit_test(test_every_row_is_taken),
        cmocka_unit_test(test_pair_without_row),
        cmocka_unit_test(test_answer_says_what_was_given),
        cmocka_unit_test(test_order_of_completion),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_which_vn),
        cmocka_unit_test(test_move_and_conflict),
        cmocka_unit_test(test_keepalive_never_claims),
        cmocka_unit_test(test_a_moved_vm_may_come_back),
        cmocka_unit_test(test_authority_out_of_reach),
        cmocka_unit_test(test_migration),
        cmocka_unit_test(test_replace_keeps_on_failure),
        cmocka_unit_test(test_queue_of_one),
        cmocka_unit_test(test_wildcard),
        cmocka_unit_test(test_flapping_port),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
