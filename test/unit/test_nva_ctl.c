/* SPDX-License-Identifier: Apache-2.0 */
/* The control commands of the authority: what is refused and with which words, when an
 * answer comes, and listings in pieces. */
#include "nva_rig.h"

#include <errno.h>

static void
test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *request, *why;
    } bad[] = {
        {"xx",                                                                             "a request is one JSON object"},
        {"{}",                                                                             "a request is one JSON object"},
        {"{\"cmd\":\"vn fly\"}",                                                           "does not know \"vn fly\""    },
        {"{\"cmd\":\"vn add\",\"name\":\"a\"}",
         "vni is a whole number from 1 to 16777215"                                                                      },
        {"{\"cmd\":\"vn add\",\"vni\":0,\"name\":\"a\"}",                                  "vni is a whole number"       },
        {"{\"cmd\":\"vn add\",\"vni\":16777216,\"name\":\"a\"}",
         "vni is a whole number"                                                                                         },
        {"{\"cmd\":\"vn add\",\"vni\":\"5\",\"name\":\"a\"}",                              "vni is a whole number"       },
        {"{\"cmd\":\"vn add\",\"vni\":5}",                                                 "name is missing"             },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"77\"}",                                 "digits alone"                },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"a b\"}",                                "has a space"                 },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"a\\nb\"}",                              "control character"           },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":"
         "\"0123456789012345678901234567890123456789012345678901234567890123\"}", "longer than 63"              },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"a\",\"mtu\":500}",                      "mtu is a whole"              },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"a\",\"mtu\":9167}",
         "mtu is a whole"                                                                                                },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"a\",\"arp\":\"x\"}",
         "suppress or flood"                                                                                             },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"a\",\"arp\":\"translate\"}",
         "not offered"                                                                                                   },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"a\",\"reply\":\"x\"}",
         "centralised or"                                                                                                },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"a\",\"pull\":1}",                       "true or false"               },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"a\",\"mut\":1400}",
         "unknown argument \"mut\""                                                                                      },
        {"{\"cmd\":\"vn add\",\"vni\":5000,\"name\":\"a\"}",
         "is the VN vn5000 already"                                                                                      },
        {"{\"cmd\":\"vn add\",\"vni\":5,\"name\":\"vn5000\"}",                             "belongs to VNI 5000"         },
        {"{\"cmd\":\"vn del\"}",                                                           "by vni (a number) or by name"},
        {"{\"cmd\":\"vn del\",\"vni\":5000,\"name\":\"vn5000\"}",                          "one of them"                 },
        {"{\"cmd\":\"vn del\",\"vni\":7}",                                                 "there is no VN 7"            },
        {"{\"cmd\":\"vn del\",\"name\":\"blue\"}",                                         "there is no VN blue"         },
        {"{\"cmd\":\"log\",\"level\":\"loud\"}",                                           "level is one of"             },
    };
    struct rig *r = rig_new();
    uint8_t last;
    rig_start(r);
    rig_vn(r, 5000, "");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *text = rig_ctl(r, bad[i].request, &last);
        if (last != 2 || !strstr(text, bad[i].why))
            print_message("%s: %s\n", bad[i].request, text);
        assert_int_equal(last, 2);
        assert_non_null(strstr(text, bad[i].why));
    }
    assert_string_equal(rig_ctl(r, "{\"cmd\":\"vn list\"}", &last),
        "{\"vni\":5000,\"name\":\"vn5000\",\"mtu\":1450,\"arp\":\"suppress\",\"reply\":"
        "\"centralised\",\"pull\":false,\"mappings\":0,\"members\":0}\n");
    rig_free(r);
}

/* A VN is acknowledged when it is on the disk, and not before (K7). */
static void
test_durable(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    uint8_t last;
    rig_start(r);
    r->slow_disk = true;
    rig_ctl(r, "{\"cmd\":\"vn add\",\"vni\":1,\"name\":\"a\"}", &last);
    assert_int_equal(last, 99);
    rig_ctl(r, "{\"cmd\":\"vn add\",\"vni\":2,\"name\":\"b\"}", &last);
    assert_int_equal(last, 99);
    r->slow_disk = false;
    rig_run(r);
    assert_int_equal(r->n_answers, 2);
    assert_int_equal(r->answers[0].last, 1);
    assert_int_equal(r->answers[1].last, 1);
    assert_true(r->answers[0].conn < r->answers[1].conn);
    /* The disk is full: the answer says so. */
    r->disk_status = -ENOSPC;
    const char *text =
        rig_ctl(r, "{\"cmd\":\"vn add\",\"vni\":3,\"name\":\"c\"}", &last);
    assert_int_equal(last, 2);
    assert_non_null(strstr(text, "could not be written"));
    r->disk_status = 0;
    /* A client that goes away while it waits is forgotten. */
    r->slow_disk = true;
    rig_ctl(r, "{\"cmd\":\"vn del\",\"name\":\"a\"}", &last);
    struct nva_in gone = {.type = NVA_IN_CONTROL_GONE, .conn = r->answers[2].conn + 1};
    rig_feed(r, &gone);
    r->slow_disk = false;
    unsigned n = r->n_answers;
    rig_run(r);
    assert_int_equal(r->n_answers, n);
    assert_null(registry_vn(nva_registry(r->n), 1, NULL));
    rig_free(r);
}

static void
test_restart_keeps(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    uint8_t last;
    rig_start(r);
    rig_vn(r, 1,
        ",\"mtu\":9000,\"reply\":\"distributed\",\"pull\":true,\"arp\":\"flood\"");
    rig_vn(r, 2, "");
    rig_ctl(r, "{\"cmd\":\"vn del\",\"vni\":2}", &last);
    assert_int_equal(last, 1);
    r->slow_disk = true;
    rig_ctl(r, "{\"cmd\":\"vn add\",\"vni\":3,\"name\":\"never\"}", &last);
    rig_kill(r);
    r->slow_disk = false;
    rig_start(r);
    assert_string_equal(rig_ctl(r, "{\"cmd\":\"vn list\"}", &last),
        "{\"vni\":1,\"name\":\"vn1\",\"mtu\":9000,\"arp\":\"flood\",\"reply\":"
        "\"distributed\",\"pull\":true,\"mappings\":0,\"members\":0}\n");
    rig_free(r);
}

static void
test_pieces(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    uint8_t last;
    char text[128];
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0);
    for (uint32_t i = 1; i <= 1000; i++)
        rig_register(r, a, i, 5000, i, 0, LISP_RT_F_CLAIM);
    rig_ctl(r, "{\"cmd\":\"show mappings\"}", &last);
    assert_int_equal(last, 0);
    struct rig_answer first = r->answers[r->n_answers - 1];
    unsigned rows = 0, pieces = 1;
    for (const char *p = first.text; *p; p++)
        rows += *p == '\n';
    while (last == 0) {
        struct nva_in in = {
            .type = NVA_IN_CONTROL_MORE, .conn = first.conn, .size = 20000};
        unsigned n = r->n_answers;
        rig_feed(r, &in);
        rig_run(r);
        assert_int_equal(r->n_answers, n + 1);
        const struct rig_answer *got = &r->answers[n];
        assert_true(strlen(got->text) <= 20000);
        last = got->last;
        pieces++;
        for (const char *p = got->text; *p; p++)
            rows += *p == '\n';
    }
    assert_int_equal(last, 1);
    assert_int_equal(rows, 1000);
    assert_true(pieces > 5);
    /* One of them, by each filter. */
    static const char *const filters[] = {"\"mac\":\"02:00:00:00:02:0a\"",
        "\"ip\":\"10.0.2.10\"", "\"vni\":5000,\"ip\":\"10.0.2.10\""};
    for (unsigned i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "{\"cmd\":\"show mappings\",%s}", filters[i]);
        const char *row = rig_ctl(r, text, &last);
        assert_int_equal(last, 1);
        assert_non_null(
            strstr(row, "\"mac\":\"02:00:00:00:02:0a\",\"ips\":[\"10.0.2.10\"],"
                        "\"owner\":\"10.255.0.1\",\"nve\":\"tor1\""));
        assert_null(strchr(strchr(row, '\n') + 1, '\n'));
    }
    rig_free(r);
}

/* A key that two edges claim in turns: shown with both, and lifted by a command. */
static void
test_frozen(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    uint8_t last;
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    for (uint32_t i = 1; i <= 10; i++)
        rig_register(r, i % 2 ? a : b, i, 5000, 1, 0, LISP_RT_F_CLAIM);
    rig_run(r);
    const char *row = rig_ctl(r, "{\"cmd\":\"show mappings\"}", &last);
    assert_non_null(strstr(row, "\"owner\":\"10.255.0.1\""));
    assert_non_null(strstr(
        row, "\"frozen\":true,\"rival\":\"10.255.0.2\",\"frozen_left_s\":180.0}"));
    static const struct {
        const char *args, *error;
    } bad[] = {
        {"",                                                      "vni is a whole number from 1 to 16777215"},
        {",\"vni\":5000",                                         "mac is an address like"                  },
        {",\"vni\":0,\"mac\":\"02:00:00:00:00:01\"",              "vni is a whole number"                   },
        {",\"vni\":5000,\"mac\":\"x\"",                           "mac is an address like"                  },
        {",\"vni\":5000,\"mac\":\"02:00:00:00:00:01\",\"all\":1",
         "unknown argument \"all\"; see berth mapping --help"                                               },
        {",\"vni\":5000,\"mac\":\"02:00:00:00:00:02\"",
         "02:00:00:00:00:02 in VN 5000 is not frozen; berth show mappings"                                  },
    };
    char text[256];
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "{\"cmd\":\"mapping clear\"%s}", bad[i].args);
        row = rig_ctl(r, text, &last);
        if (!strstr(row, bad[i].error))
            fail_msg("%s: %s", text, row);
    }
    static const char *const traces[][2] = {
        {"\"vsi\":5",      "vsi is a UUID"   },
        {"\"vsi\":\"zz\"", "vsi is a UUID"   },
        {"\"keys\":\"x\"", "keys is an array"},
        {"\"keys\":[5]",   "keys is an array"}
    };
    for (unsigned i = 0; i < sizeof traces / sizeof *traces; i++) {
        snprintf(text, sizeof text, "{\"cmd\":\"trace\",%s}", traces[i][0]);
        assert_non_null(strstr(rig_ctl(r, text, &last), traces[i][1]));
    }
    snprintf(text, sizeof text,
        "{\"cmd\":\"mapping clear\",\"vni\":5000,\"mac\":\"02:00:00:00:00:01\"}");
    rig_ctl(r, text, &last);
    row = rig_ctl(r, "{\"cmd\":\"show mappings\"}", &last);
    assert_non_null(strstr(row, "\"frozen\":false,\"rival\":null"));
    assert_non_null(strstr(rig_ctl(r, text, &last), "is not frozen"));
    rig_free(r);
}

static void
test_shows(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    uint8_t last;
    rig_start(r);
    rig_vn(r, 5000, "");
    struct rig_nve *a = rig_nve(r, 0), *b = rig_nve(r, 1);
    rig_register(r, a, 1, 5000, 1, 0, LISP_RT_F_CLAIM);
    lisp_session_register_end(a->s);
    rig_pass(r, 1500000);
    const char *rows = rig_ctl(r, "{\"cmd\":\"show sessions\"}", &last);
    assert_non_null(strstr(rows, "\"nve\":\"tor1\",\"address\":\"10.255.0.1\",\"vtep\":"
                                 "\"10.255.0.1\",\"state\":\"up\",\"since_s\":1.5,"
                                 "\"mappings\":1,\"subscriptions\":1"));
    assert_non_null(strstr(rows, "\"nve\":\"tor2\""));
    assert_non_null(strstr(rows, "\"state\":\"registering\""));
    lisp_session_stop(b->s, LISP_RT_R_SHUTDOWN, r->now);
    rig_run(r);
    rows = rig_ctl(r, "{\"cmd\":\"show sessions\"}", &last);
    assert_non_null(strstr(rows, "\"state\":\"down\""));
    rows = rig_ctl(r, "{\"cmd\":\"show counters\"}", &last);
    assert_int_equal(last, 1);
    assert_non_null(strstr(rows, "\"name\":\"grants\",\"value\":1,"));
    assert_non_null(strstr(rows, "\"name\":\"questions\",\"value\":0,"));
    rows = rig_ctl(r, "{\"cmd\":\"show timers\"}", &last);
    assert_non_null(strstr(rows, "{\"name\":\"t_recover\",\"value_s\":30.0,"));
    rows = rig_ctl(r, "{\"cmd\":\"ping\"}", &last);
    assert_non_null(strstr(rows, "\"program\":\"berth-nva\""));
    rows = rig_ctl(r, "{\"cmd\":\"vn list\"}", &last);
    assert_non_null(strstr(rows, "\"mappings\":1,\"members\":1}"));
    rig_free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_durable),
        cmocka_unit_test(test_restart_keeps),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
