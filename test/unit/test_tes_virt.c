/* SPDX-License-Identifier: Apache-2.0 */
/* The follower of a hypervisor: the traces of test/data/libvirt replayed against an
 * edge, the tables' reach, facts that are wrong, and any fact in any order. */
#include "tes_pair.h"
#include "base/rng.h"
#include "tes/virt.h"
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define WHO       "\"uuid\":\"11111111-2222-4333-8444-555555555555\",\"name\":\"vm1\""
#define NIC       "\"mac\":\"52:54:00:00:00:11\""
#define RED       ",\"vn\":\"red\",\"ips\":[\"10.7.0.11\"]"
#define TAP       ",\"if\":\"vnet0\""
#define OLD       ",\"epoch\":\"7\",\"migration\":\"99\""
#define DOM(nics) "\"domain\":{" WHO ",\"interfaces\":[" nics "]}"

static const struct {
    const char *name, *text;
} macros[] = {
    {"$WHO",  WHO                                                                       },
    {"$D",    DOM("{" NIC RED "}")                                                      },
    {"$T",    DOM("{" NIC RED TAP "}")                                                  },
    {"$RT",   DOM("{" NIC RED TAP OLD "}")                                              },
    {"$R",    DOM("{" NIC RED OLD "}")                                                  },
    {"$NT",   DOM("{" NIC TAP "}")                                                      },
    {"$N",    DOM("{" NIC "}")                                                          },
    {"$P",    "\"network\":{\"name\":\"lan\",\"vn\":\"red\"},\"port\":{" WHO "," NIC "}"},
    {"$BT",   DOM("{" NIC ",\"vn\":\"blue\"" TAP "}")                                   },
    {"$NONE", DOM("{" NIC TAP ",\"vn\":null}")                                          },
    {"$BAD",  DOM("{" NIC TAP ",\"unnamed\":true}")                                     },
    {"$NET",  DOM("{" NIC TAP ",\"unnamed\":true,\"network\":\"lan\"}")                 },
    {"$2",    DOM("{" NIC RED TAP "},{\"mac\":\"52:54:00:00:00:22\",\"vni\":\"5001\","
               "\"if\":\"vnet1\"}")                                           },
};

static void
expand(const char *from, char *to, size_t size)
{
    size_t n = 0;
    while (*from) {
        const char *text = NULL;
        size_t best = 0;
        for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++) {
            size_t len = strlen(macros[i].name);
            if (len > best && strncmp(from, macros[i].name, len) == 0) {
                best = len;
                text = macros[i].text;
            }
        }
        if (text) {
            assert_true(n + strlen(text) < size);
            memcpy(to + n, text, strlen(text));
            n += strlen(text);
            from += best;
        } else {
            assert_true(n + 1 < size);
            to[n++] = *from++;
        }
    }
    to[n] = '\0';
}

static void
fact(struct pair *p, const char *json)
{
    struct tes_in in = {.type = TES_IN_DOMAIN,
        .p = (const uint8_t *)json,
        .size = (uint32_t)strlen(json)};
    tes_input(p->tes, &in, p->now);
    pair_run(p, 1000);
}

static void
hook(struct pair *p, const char *json)
{
    char text[2100];
    snprintf(text, sizeof(text), "{\"cmd\":\"hook\",%s", json + 1);
    pair_call(p, text);
}

static void
check_vm(struct pair *p, const char *want)
{
    char state[32], ifname[16], part[64];
    unsigned pass, vid;
    pair_call(p, "{\"cmd\":\"show vms\"}");
    if (strcmp(want, "none") == 0) {
        if (p->n_lines != 1)
            fail_msg("there is still %s", p->lines[0]);
        return;
    }
    assert_int_equal(sscanf(want, "%31s %u %u %15s", state, &pass, &vid, ifname), 4);
    snprintf(part, sizeof(part), "\"state\":\"%s\"", state);
    if (p->n_lines != 2 || !strstr(p->lines[0], part))
        fail_msg("%u lines, no %s in %s", p->n_lines, part, p->lines[0]);
    assert_non_null(strstr(p->lines[0], "\"domain\":\"vm1\""));
    if (strcmp(ifname, "-") == 0) {
        assert_non_null(strstr(p->lines[0], "\"if\":null"));
        return;
    }
    snprintf(part, sizeof(part), "\"if\":\"%s\"", ifname);
    assert_non_null(strstr(p->lines[0], part));
    if (strcmp(p->tag.ifname, ifname) != 0)
        return; /* the last tag was another's */
    assert_int_equal(p->tag.pass, pass);
    assert_int_equal(p->tag.vid, vid);
}

static void
edge(struct pair *p, const char *how)
{
    char reason[32] = "";
    unsigned code = 0, keep = 0;
    p->mute = strcmp(how, "mute") == 0;
    if (p->mute)
        return;
    assert_true(sscanf(how, "%u %31s %u", &code, reason, &keep) >= 1);
    p->code = (uint8_t)code;
    p->keep = (uint8_t)keep;
    p->reason = BERTH_REASON_NONE;
    if (strcmp(reason, "moved") == 0)
        p->reason = BERTH_REASON_MOVED;
    else if (strcmp(reason, "unknown_vn") == 0)
        p->reason = BERTH_REASON_UNKNOWN_VN;
    else
        assert_string_equal(reason, "");
}

static void
check_answer(const struct pair *p, const char *want)
{
    char part[64];
    snprintf(part, sizeof(part), "\"code\":\"%s\"", want);
    if (!strstr(pair_last(p), strcmp(want, "ok") == 0 ? "{\"ok\":true" : part))
        fail_msg("not %s: %s", want, pair_last(p));
}

static void
take_line(struct pair *p, char *line)
{
    char text[2000];
    char *rest = strchr(line, ' ');
    if (*line == '#' || !*line)
        return;
    assert_non_null(rest);
    *rest++ = '\0';
    expand(rest, text, sizeof(text));
    if (strcmp(line, "hook") == 0) {
        hook(p, text);
    } else if (strcmp(line, "fact") == 0) {
        fact(p, text);
    } else if (strcmp(line, "wait") == 0) {
        pair_run(p, (uint64_t)(atof(rest) * 1e6));
    } else if (strcmp(line, "edge") == 0) {
        edge(p, rest);
    } else if (strcmp(line, "ops") == 0) {
        assert_string_equal(*p->ops ? p->ops : "-", rest);
        *p->ops = '\0';
    } else if (strcmp(line, "vm") == 0) {
        check_vm(p, rest);
    } else if (strcmp(line, "answer") == 0) {
        check_answer(p, rest);
    } else if (strcmp(line, "written") == 0) {
        if (!strstr(p->written, rest))
            fail_msg("no %s in %s", rest, p->written);
    } else if (strcmp(line, "looks") == 0) {
        assert_int_equal(p->n_looks, atoi(rest));
        p->n_looks = 0;
    } else {
        fail_msg("no such word: %s", line);
    }
}

static struct pair *
new_pair(void)
{
    struct pair *p = pair_new(false);
    tes_free(p->tes);
    p->virt = true;
    pair_start_tes(p);
    tes_input(p->tes, &(struct tes_in){.type = TES_IN_RESTORED}, p->now);
    pair_up(p);
    pair_run(p, 2000000);
    *p->ops = '\0';
    return p;
}

static void
replay(const char *name)
{
    char path[512], line[1024];
    struct pair *p = new_pair();
    FILE *f;
    snprintf(path, sizeof(path), TEST_DATA "/libvirt/%s", name);
    f = fopen(path, "r");
    assert_non_null(f);
    for (unsigned n = 1; fgets(line, sizeof(line), f); n++) {
        line[strcspn(line, "\n")] = '\0';
        print_message("%s:%u %s\n", name, n, line);
        take_line(p, line);
    }
    fclose(f);
    pair_free(p);
}

static void
test_traces(void **state)
{
    DIR *dir = opendir(TEST_DATA "/libvirt");
    struct dirent *e;
    unsigned n = 0;
    (void)state;
    assert_non_null(dir);
    while ((e = readdir(dir)))
        if (strstr(e->d_name, ".txt")) {
            replay(e->d_name);
            n++;
        }
    closedir(dir);
    assert_true(n >= 20);
}

/* Each deed is something's consequence, and no fact asks for what is never legal. */
static void
test_tables(void **state)
{
    unsigned seen[VIRT_N_DEEDS] = {0};
    (void)state;
    for (unsigned m = 0; m < VIRT_N_MEANS; m++)
        for (unsigned s = 0; s < VM_N_STATES; s++)
            seen[virt_deed_of((enum virt_means)m, (uint8_t)s)]++;
    for (unsigned d = 0; d < VIRT_N_DEEDS; d++) {
        assert_true(seen[d] > 0);
        assert_string_not_equal(virt_deed_str((enum virt_deed)d), "?");
    }
    assert_int_equal(virt_event_means("SUSPENDED", "MIGRATED"), VIRT_LEAVES);
    assert_int_equal(virt_event_means("SUSPENDED", "IOERROR"), VIRT_PAUSED);
    assert_int_equal(virt_event_means("RESUMED", "UNPAUSED"), VIRT_RUNS);
    assert_int_equal(virt_event_means("STOPPED", "CRASHED"), VIRT_GONE);
    assert_int_equal(virt_event_means("MIGRATION", "completed"), VIRT_COMPLETE);
    assert_int_equal(virt_event_means("MIGRATION", "active"), VIRT_NOTHING);
    assert_int_equal(virt_event_means("MIGRATION", "postcopy-active"), VIRT_COMPLETE);
    assert_int_equal(virt_event_means("MIGRATION", "failed"), VIRT_BACK);
    for (unsigned s = 0; s < VM_N_STATES; s++) { /* a hint moves what it is about */
        assert_int_equal(virt_deed_of(VIRT_COMPLETE, (uint8_t)s),
            s == VM_IMMIG ? VIRT_DO_IMM_ASSO : VIRT_DO_NOTHING);
        assert_int_equal(virt_deed_of(VIRT_BACK, (uint8_t)s),
            s == VM_EMIG ? VIRT_DO_RESUME : VIRT_DO_NOTHING);
    }
    assert_int_equal(virt_event_means("NOSUCH", ""), VIRT_NOTHING);
    assert_int_equal(virt_hook_means("reconnect"), VIRT_NOTHING);
}

static void
test_wrong_facts(void **state)
{
    static const char *const wrong[] = {"", "{}", "[]", "{\"event\":7}",
        "{\"event\":\"is\"}", "{\"event\":\"is\",\"state\":\"running\"}",
        "{\"event\":\"is\",\"state\":\"running\",\"domain\":{}}",
        "{\"event\":\"is\",\"state\":\"running\",\"domain\":{\"uuid\":\"10.0.0.1\"}}",
        "{\"event\":\"is\",\"state\":\"running\",\"domain\":{" WHO
        ",\"interfaces\":[{}]}}",
        "{\"event\":\"is\",\"state\":\"running\"," DOM(
            "{\"mac\":\"ff:ff:ff:ff:ff:ff\"}") "}",
        "{\"event\":\"is\",\"state\":\"running\"," DOM(
            "{" NIC ",\"vni\":\"16777216\"}") "}",
        "{\"event\":\"is\",\"state\":\"running\"," DOM("{" NIC ",\"vni\":0}") "}",
        "{\"event\":\"is\",\"state\":\"running\"," DOM(
            "{" NIC ",\"if\":\"0123456789abcdef\"}") "}",
        "{\"event\":\"is\",\"state\":\"running\"," DOM(
            "{" NIC ",\"vn\":\"x\",\"ips\":[\"nonsense\"]}") "}",
        "{\"event\":\"is\",\"state\":\"running\"," DOM(
            "{" NIC ",\"vsi\":\"nonsense\"}") "}",
        "{\"event\":\"is\",\"state\":\"running\"," DOM(
            "{" NIC ",\"unnamed\":true}") "}"};
    struct pair *p = new_pair();
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        fact(p, wrong[i]);
        assert_string_equal(p->ops, "");
        assert_int_equal(tes_n_vms(p->tes), 0);
    }
    hook(p,
        "{\"op\":\"start\"," DOM("{" NIC RED ",\"uplink\":\"0123456789abcdef\"}") "}");
    check_answer(p, "bad_request");
    hook(p, "{\"op\":\"start\",\"domain\":{}}");
    check_answer(p, "ok");
    pair_free(p);
}

/* Two interfaces have ids of their own, and the same on both servers. */
static void
test_ids(void **state)
{
    struct pair *p = new_pair();
    char text[2000];
    (void)state;
    expand("{\"event\":\"is\",\"state\":\"running\",$2}", text, sizeof(text));
    fact(p, text);
    pair_call(p, "{\"cmd\":\"show vms\"}");
    assert_int_equal(p->n_lines, 3);
    assert_non_null(
        strstr(p->lines[0], "\"vsi\":\"11111111-2222-4333-8444-555555555555\""));
    assert_non_null(
        strstr(p->lines[1], "\"vsi\":\"11111111-2222-4333-8444-525400000022\""));
    pair_free(p);
}

/* The tag that it has is quoted, but never to another network. */
static void
test_tag_of_another_network(void **state)
{
    static const char *const said[] = {"$T", "$BT", "$T"};
    struct pair *p = new_pair();
    (void)state;
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        char json[100], text[2000];
        snprintf(
            json, sizeof(json), "{\"event\":\"is\",\"state\":\"running\",%s}", said[i]);
        expand(json, text, sizeof(text));
        fact(p, text);
        assert_int_equal(p->last.berth.op, BERTH_OP_ASSOC);
        assert_int_equal(p->last_entry.vid, 0);
        expand(
            "{\"event\":\"SUSPENDED\",\"detail\":\"PAUSED\",$WHO}", text, sizeof(text));
        fact(p, text);
        assert_int_equal(p->last_entry.vid, 100);
        expand(
            "{\"event\":\"RESUMED\",\"detail\":\"UNPAUSED\",$WHO}", text, sizeof(text));
        fact(p, text);
    }
    pair_free(p);
}

static void
test_not_following(void **state)
{
    struct pair *p = pair_new(false);
    char text[2000];
    (void)state;
    expand("{\"op\":\"start\",$T}", text, sizeof(text));
    hook(p, text);
    check_answer(p, "follows");
    expand("{\"op\":\"start\",$NT}", text, sizeof(text));
    hook(p, text);
    check_answer(p, "ok");
    pair_free(p);
}

/* The hook program has given up: what was begun for it is taken back. */
static void
test_hook_gives_up(void **state)
{
    struct pair *p = new_pair();
    char text[2000];
    (void)state;
    p->mute = true;
    expand("{\"op\":\"migrate\",$D}", text, sizeof(text));
    hook(p, text);
    assert_int_equal(p->n_lines, 0);
    tes_input(p->tes, &(struct tes_in){.type = TES_IN_CONTROL_GONE, .conn = 7}, p->now);
    p->mute = false;
    pair_run(p, 60000000);
    assert_int_equal(tes_n_vms(p->tes), 0);
    pair_free(p);
}

/* A VM of the journal that the hypervisor does not have any more. */
static void
test_restart(void **state)
{
    struct pair *p = new_pair();
    char text[2000];
    (void)state;
    expand("{\"event\":\"is\",\"state\":\"running\",$T}", text, sizeof(text));
    fact(p, text);
    pair_call(p,
        "{\"cmd\":\"vm associate\",\"vsi\":\"00000000-0000-4000-8000-000000000001\","
        "\"vni\":5000,\"mac\":\"02:00:00:00:00:11\"}");
    assert_int_equal(p->n_journal, 2);
    for (unsigned there = 0; there < 2; there++) {
        tes_free(p->tes);
        pair_start_tes(p);
        for (unsigned i = 0; i < p->n_journal; i++)
            tes_input(p->tes,
                &(struct tes_in){.type = TES_IN_RESTORE,
                    .p = p->journal[i].p,
                    .size = p->journal[i].size},
                p->now);
        tes_input(p->tes, &(struct tes_in){.type = TES_IN_RESTORED}, p->now);
        pair_up(p);
        pair_run(p, 2000000);
        *p->ops = '\0';
        fact(p, "{\"event\":\"list\"}");
        if (there == 0)
            fact(p, text);
        fact(p, "{\"event\":\"listed\"}");
        pair_run(p, 100000);
        assert_string_equal(p->ops, there == 0 ? "" : "terminate");
        assert_int_equal(tes_n_vms(p->tes), there == 0 ? 2 : 1);
    }
    pair_free(p);
}

/* Any facts in any order, of three domains: nothing is left here when they are gone
 * (what was ended while the edge was deaf, the edge ages out). */
static void
test_any_order(void **state)
{
    static const char *const events[][2] = {
        {"STARTED",   "BOOTED"   },
        {"STARTED",   "MIGRATED" },
        {"RESUMED",   "UNPAUSED" },
        {"RESUMED",   "MIGRATED" },
        {"MIGRATION", "completed"},
        {"MIGRATION", "failed"   },
        {"SUSPENDED", "MIGRATED" },
        {"SUSPENDED", "PAUSED"   },
        {"STOPPED",   "FAILED"   },
        {"DEVICE",    "ADDED"    },
        {"SHUTDOWN",  ""         }
    };
    static const char *const ops[] = {"migrate", "prepare", "start", "started",
        "stopped", "release", "port-created", "port-deleted"};
    static const char *const states[] = {"running", "paused", "moving", "off", "other"};
    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++) {
        struct pair *p = new_pair();
        struct rng r;
        unsigned asked = 0, answered = 0;
        rng_seed(&r, seed);
        for (unsigned i = 0; i < 200; i++) {
            unsigned d = 1 + rng_below(&r, 3),
                     e = rng_below(&r, sizeof(events) / sizeof(events[0]));
            char who[128], domain[512], text[1500];
            const char *op = ops[rng_below(&r, 8)];
            snprintf(who, sizeof(who),
                "\"uuid\":\"11111111-2222-4333-8444-%012x\",\"name\":\"vm%u\"", d, d);
            snprintf(domain, sizeof(domain),
                "\"domain\":{%s,\"interfaces\":[{\"mac\":\"52:54:00:00:00:%02x\","
                "\"vn\":"
                "\"red\"%s%u\"}]}",
                who, d, rng_below(&r, 2) ? ",\"if\":\"vnet" : ",\"uplink\":\"up", d);
            switch (rng_below(&r, 7)) {
            case 0:
            case 1:
                snprintf(text, sizeof(text), "{\"event\":\"%s\",\"detail\":\"%s\",%s}",
                    events[e][0], events[e][1], who);
                fact(p, text);
                break;
            case 2:
                snprintf(text, sizeof(text), "{\"event\":\"is\",\"state\":\"%s\",%s}",
                    states[rng_below(&r, 5)], domain);
                fact(p, text);
                break;
            case 3:
            case 4:
                if (op[0] == 'p' && op[1] == 'o')
                    snprintf(text, sizeof(text),
                        "{\"cmd\":\"hook\",\"op\":\"%s\",\"network\":{\"name\":\"n\","
                        "\"vn\":"
                        "\"red\"},\"port\":{%s,\"mac\":\"52:54:00:00:01:%02x\"}}",
                        op, who, d);
                else
                    snprintf(text, sizeof(text), "{\"cmd\":\"hook\",\"op\":\"%s\",%s}",
                        op, domain);
                pair_say(p, 7, text);
                asked++;
                pair_run(p, rng_below(&r, 2000));
                break;
            case 5:
                p->mute = rng_below(&r, 4) == 0;
                p->code = rng_below(&r, 4) ? 0 : (uint8_t)(1 + rng_below(&r, 5));
                p->keep = (uint8_t)rng_below(&r, 2);
                p->tag_status = rng_below(&r, 8) ? 0 : -19;
                break;
            case 6:
                pair_run(p, rng_below(&r, 3000000));
                break;
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
            fail_msg("seed %u: %u hooks, %u answers", seed, asked, answered);
        fact(p, "{\"event\":\"link\",\"up\":true}");
        fact(p, "{\"event\":\"list\"}");
        fact(p, "{\"event\":\"listed\"}");
        pair_run(p, 100000000);
        if (p->n_looks)
            for (unsigned d = 1; d <= 3; d++) {
                char text[200];
                snprintf(text, sizeof(text),
                    "{\"event\":\"missing\",\"uuid\":\"11111111-2222-4333-8444-%"
                    "012x\"}",
                    d);
                fact(p, text);
            }
        pair_run(p, 5000000);
        if (tes_n_vms(p->tes)) {
            pair_call(p, "{\"cmd\":\"show vms\"}");
            fail_msg("seed %u: %s is left", seed, p->lines[0]);
        }
        if (p->n_journal)
            fail_msg("seed %u: the journal has %u", seed, p->n_journal);
        pair_free(p);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_wrong_facts),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_tag_of_another_network),
        cmocka_unit_test(test_not_following),
        cmocka_unit_test(test_hook_gives_up),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
