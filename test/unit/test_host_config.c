/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: what a person gets to read when a file is wrong (golden texts), and
 * that what the module prints it also reads. */
#include "host/config.h"
#include "base/timers.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum role { ROLE_SERVER, ROLE_UPLINK };
static const char *const roles[] = {"server", "uplink", NULL};
static const struct setting timers[] = {
    {"t_publish",       200000, 1000, 60000000, "K17", "Longest wait for the authority"},
    {"attachments_max", 20000,  1,    100000,   NULL,  "Attachments of this edge"      },
};
struct port {
    char *title;
    enum role role;
    struct config_vnis vnis;
    uint32_t flap_max;
};
struct conf {
    char *name, *socket;
    bool learn;
    uint16_t udp_port;
    uint8_t pcp;
    uint64_t t_hold_us, timers[2];
    struct mac mac;
    struct ip vtep;
    struct config_list ports;
    char *device;
    uint32_t mtu;
};
static const struct config_row port_rows[] = {
    {"role",                              CONFIG_ENUM, CONFIG_AT(struct port, role), .words = roles,
     .required = true, .help = "What is behind the port.", .example = "server"},
    {"vnis",              CONFIG_VNIS, CONFIG_AT(struct port, vnis), .def = "1-16777215",
     .help = "Virtual networks that may be joined here."},
    {"flap_max",                     CONFIG_INT, CONFIG_AT(struct port, flap_max), .def = "3", .max = 100,
     .help = "Flaps that are forgiven."},
    {NULL},
};
static const struct config_row tunnel_rows[] = {
    {"device",               CONFIG_STRING, CONFIG_AT(struct conf, device), .def = "berth0", .min = 1,
     .max = 15, .help = "Name of the tunnel device."},
    {"mtu", CONFIG_INT, CONFIG_AT(struct conf, mtu), .def = "1450", .min = 68,
     .max = 9216, .help = "Its MTU."},
    {NULL      },
};
static const struct config_row rows[] = {
    {"name",                                                 CONFIG_STRING, CONFIG_AT(struct conf, name), .required = true,
     .help = "Name of this edge in logs and at the authority.", .example = "leaf1"},
    {"socket",                                 CONFIG_STRING, CONFIG_AT(struct conf, socket), .def = "/run/berth/nve",
     .help = "Path of the control socket."},
    {"learn",                                      CONFIG_BOOL, CONFIG_AT(struct conf, learn), .def = "true",
     .help = "Learn addresses behind wildcard attachments."},
    {"udp_port",                                    CONFIG_INT, CONFIG_AT(struct conf, udp_port), .def = "4789", .min = 1,
     .help = "UDP port of the tunnels."},
    {"pcp",                                               CONFIG_INT, CONFIG_AT(struct conf, pcp), .max = 7, .help = "Priority."},
    {"t_hold",                                 CONFIG_DURATION, CONFIG_AT(struct conf, t_hold_us), .def = "30s",
     .min = 1000, .max = 3600000000, .help = "How long a tag rests before re-use."},
    {"mac",                               CONFIG_MAC, CONFIG_AT(struct conf, mac), .help = "Own MAC address."},
    {"vtep",                                                      CONFIG_IP, CONFIG_AT(struct conf, vtep), .help = "Tunnel address.",
     .example = "192.0.2.1"},
    {"timers",      CONFIG_SETTINGS, CONFIG_AT(struct conf, timers), .settings = timers,
     .n_settings = 2, .help = "Times and limits."},
    {"tunnel",                                                CONFIG_GROUP, .rows = tunnel_rows, .help = "The tunnel device."},
    {"port", CONFIG_LIST, CONFIG_AT(struct conf, ports), .rows = port_rows,
     .item_size = sizeof(struct port), .max = 3, .example = "eth1",
     .help = "A port, by interface name."},
    {NULL                                            },
};

static int
load(const char *text, struct conf *c, struct host_err *err)
{
    err->text[0] = 0;
    return config_load_text(rows, c, sizeof(*c), text, err);
}

static void
test_values(void **state)
{
    (void)state;
    struct conf c;
    struct host_err err;
    char text[IP_STR];
    int rc = load("# a comment, {braces} and \"quotes\" in it\n"
                  "name = 'leaf\"7' # behind a value\n"
                  "learn = off udp_port = 0x12B6\n"
                  "t_hold = 1.5s // another kind\n"
                  "mac = 02:00:00:00:00:0a\n"
                  "vtep = 2001:db8::1\n"
                  "/* of two\n lines */\n"
                  "timers { t_publish = 1min attachments_max = 5 }\n"
                  "tunnel { mtu = 9000 }\n"
                  "port \"eth1\" {\n  role = uplink\n  vnis = \"7, 1-3, 4, 100-200, "
                  "150-300\"\n}\n"
                  "port eth2 { role = # here too\n server }\n",
        &c, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
    assert_string_equal(c.name, "leaf\"7");
    assert_string_equal(c.socket, "/run/berth/nve");
    assert_false(c.learn);
    assert_int_equal(c.udp_port, 4790);
    assert_int_equal(c.t_hold_us, 1500000);
    assert_string_equal(mac_str(&c.mac, text), "02:00:00:00:00:0a");
    assert_string_equal(ip_str(&c.vtep, text), "2001:db8::1");
    assert_int_equal(c.timers[0], 60000000);
    assert_int_equal(c.timers[1], 5);
    assert_string_equal(c.device, "berth0");
    assert_int_equal(c.mtu, 9000);
    assert_int_equal(c.ports.n, 2);
    struct port *p = c.ports.items;
    assert_string_equal(p[0].title, "eth1");
    assert_int_equal(p[0].role, ROLE_UPLINK);
    assert_int_equal(p[0].vnis.n, 3);
    assert_int_equal(p[0].flap_max, 3);
    const uint32_t in[] = {1, 4, 7, 100, 175, 300}, out[] = {0, 5, 8, 99, 301};
    for (size_t i = 0; i < 6; i++)
        assert_true(config_vnis_has(&p[0].vnis, in[i]));
    for (size_t i = 0; i < 5; i++)
        assert_false(config_vnis_has(&p[0].vnis, out[i]));
    assert_string_equal(p[1].title, "eth2");
    assert_int_equal(p[1].role, ROLE_SERVER);
    assert_true(config_vnis_has(&p[1].vnis, VNI_MAX));
    config_free(rows, &c);
    assert_null(c.name);
    assert_null(c.ports.items);
}

/* The file is wrong so, the person reads that. */
static const struct {
    const char *text, *says;
} golden[] = {
    {"name = a\nudp_prot = 1\n",
     "<text>:2: unknown key udp_prot; did you mean udp_port?"                                                           },
    {"# one\n# two\n\n# three\nname = a # four\nfoo = 1\n",
     "<text>:6: unknown key foo; choose of name, socket, learn, udp_port, pcp, "
     "t_hold, "
        "mac, vtep, timers, tunnel, port"                                                                               },
    {"name = a\nport \"e\" {\n  roel = server\n}\n",
     "<text>:3: unknown key roel in port \"e\"; did you mean role?"                                                     },
    {"name = a\nudp_port = 65536\n",
     "<text>:2: udp_port = 65536: out of range; from 1 to 65535"                                                        },
    {"name = a\nudp_port = 0\n",
     "<text>:2: udp_port = 0: out of range; from 1 to 65535"                                                            },
    {"name = a\nudp_port = 99999999999999999999\n",
     "<text>:2: udp_port = 99999999999999999999: not a whole number"                                                    },
    {"name = a\npcp = -1\n",                                           "<text>:2: pcp = -1: not a whole number"         },
    {"name = a\npcp = 8\n",                                            "<text>:2: pcp = 8: out of range; from 0 to 7"   },
    {"name = a\npcp = 1\nname = b\n",                                  "<text>:3: name is set twice; remove one"        },
    {"name = a\nport e { role = server role = server }\n",
     "<text>:2: role is set twice in port \"e\"; remove one"                                                            },
    {"name = a\ntimers { }\ntimers { }\n",                             "<text>:3: timers is set twice; remove one"      },
    {"name = a\nport e { role = server }\nport e { role = server }\n",
     "<text>:3: found duplicate title 'e'"                                                                              },
    {"pcp = 1\n",                                                      "<text>: no key name; add: name = leaf1"         },
    {"",                                                               "<text>: no key name; add: name = leaf1"         },
    {"name = a\nport \"e\" {\n}\n",
     "<text>:3: no key role in port \"e\"; add: role = server"                                                          },
    {"name = a\nport e {\n  role = servr\n}\n",
     "<text>:3: role = servr in port \"e\": did you mean server?"                                                       },
    {"name = a\nport e { role = x }\n",
     "<text>:2: role = x in port \"e\": choose of server, uplink"                                                       },
    {"name = a\nport \"\" { role = server }\n",
     "<text>:2: a section port has an empty name"                                                                       },
    {"name = a\nport 1 { role = server } port 2 { role = server }\n"
     "port 3 { role = server } port 4 { role = server }\n",       "<text>:3: 4 sections port; at most 3"           },
    {"name = a\nlearn = maybe\n",                                      "<text>:2: learn = maybe: neither true nor false"},
    {"name = a\nt_hold = 30\n",                                        "<text>:2: t_hold = 30: not a time; write a number and "
     "a unit: us, ms, s, min or "
                                "h"                                                                                         },
    {"name = a\nt_hold = 2h\n",                                                                "<text>:2: t_hold = 2h: out of range; from 1ms to 1h"},
    {"name = a\nmac = 02:00\n",
     "<text>:2: mac = 02:00: not a MAC address such as 02:00:00:00:00:01"                                                                                         },
    {"name = a\nvtep = 10.0.0.256\n",
     "<text>:2: vtep = 10.0.0.256: not an IPv4 or IPv6 address"},
    {"name = a\nport e { role = server vnis = \"5-3\" }\n",
     "<text>:2: vnis = 5-3 in port \"e\": not a list of VNIs such as \"5000, "
        "6000-6999\"; up to 16777215"                                                                   },
    {"name = a\ntunnel { device = a-name-of-sixteen }\n",
     "<text>:2: device = a-name-of-sixteen in tunnel: has 17 characters; from 1 to "
     "15"},
    {"name = a\ntimers { t_publish = 2min }\n",
     "<text>:2: t_publish = 2min in timers: out of range; from 1ms to 1min"                                                                             },
    {"name = a\ntimers { t_publsh = 2s }\n",
     "<text>:2: unknown key t_publsh in timers; did you mean t_publish?"},
    {"name = a\n\nport e {\n role = server\n",                                                                "<text>:3: section not closed; add }"                                                                           },
    {"name = \"a\npcp = 1\n",                                                                "<text>:1: string not closed; add \""               },
    {"name = a\n/* for ever\n",                                                                "<text>:2: comment not closed; add */"                                                                         },
    {"name = a\npcp\n= \n",                                                                "<text>:4: premature end of file"                   },
    {"name = a\npcp 1\n",                                                                "<text>:2: missing equal sign after option 'pcp'"                                                                           },
    {"name = a\n}\n",                                                                "<text>:2: unexpected closing brace"                       },
};

static void
test_golden_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        struct conf c;
        struct host_err err;
        int rc = load(golden[i].text, &c, &err);
        if (rc != -EINVAL || strcmp(err.text, golden[i].says) != 0)
            print_message("--- file\n%s--- says\n%s\n--- wanted\n%s\n", golden[i].text,
                err.text, golden[i].says);
        assert_int_equal(rc, -EINVAL);
        assert_string_equal(err.text, golden[i].says);
        assert_null(c.name);
    }
}

/* Cut anywhere, or with any one octet changed: an error or a configuration, never a
 * leak or a crash (the sanitizers look). */
static void
test_damaged(void **state)
{
    (void)state;
    static const char good[] =
        "name = \"a\" # c\nt_hold = 1s\nport \"e\" {\n role = server /* x */\n vnis = "
        "\"1-5\"\n}\ntimers { t_publish = 1s }\n";
    char text[sizeof(good)];
    struct conf c;
    struct host_err err;
    for (size_t i = 0; i < sizeof(good); i++) {
        memcpy(text, good, sizeof(good));
        text[i] = 0;
        if (load(text, &c, &err) == 0)
            config_free(rows, &c);
        else
            assert_true(strncmp(err.text, "<text>", 6) == 0);
        for (const char *x = "{}\"'#/*=\\\n ,a"; i + 1 < sizeof(good) && *x; x++) {
            text[i] = *x;
            memcpy(text + i + 1, good + i + 1, sizeof(good) - i - 1);
            if (load(text, &c, &err) == 0)
                config_free(rows, &c);
            else
                assert_true(strncmp(err.text, "<text>", 6) == 0);
        }
    }
}

static char *
printed(const struct conf *c)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (c)
        config_print(rows, c, out);
    else
        config_print_example(rows, "berth-nve", out);
    fclose(out);
    return text;
}

static const char example_begins[] =
    "# Configuration of berth-nve. A key that is commented out shows its default.\n"
    "\n"
    "# Name of this edge in logs and at the authority.\n"
    "name = \"leaf1\"\n"
    "\n"
    "# Path of the control socket.\n"
    "#socket = \"/run/berth/nve\"\n"
    "\n"
    "# Learn addresses behind wildcard attachments.\n"
    "#learn = true\n"
    "\n"
    "# UDP port of the tunnels.\n"
    "# Number from 1 to 65535\n"
    "#udp_port = 4789\n";
static const char example_ends[] =
    "# A port, by interface name.\n"
    "#port \"eth1\" {\n"
    "#    # What is behind the port.\n"
    "#    # One of server, uplink\n"
    "#    role = server\n"
    "#\n"
    "#    # Virtual networks that may be joined here.\n"
    "#    # VNIs and ranges of them: \"5000, 6000-6999\"\n"
    "#    #vnis = \"1-16777215\"\n"
    "#\n"
    "#    # Flaps that are forgiven.\n"
    "#    # Number from 0 to 100\n"
    "#    #flap_max = 3\n"
    "#}\n";

static void
test_print(void **state)
{
    (void)state;
    struct conf c, again;
    struct host_err err;
    char *example = printed(NULL);
    if (strncmp(example, example_begins, sizeof(example_begins) - 1) != 0 ||
        !strstr(example, example_ends))
        print_message("%s", example);
    assert_memory_equal(example, example_begins, sizeof(example_begins) - 1);
    assert_non_null(strstr(example, example_ends));
    assert_non_null(
        strstr(example, "timers {\n    # Longest wait for the authority (K17)\n"
                        "    # Time from 1ms to 1min\n    #t_publish = 200ms\n"));
    /* The example is a configuration: that of the defaults. */
    assert_int_equal(load(example, &c, &err), 0);
    assert_string_equal(c.name, "leaf1");
    assert_int_equal(c.t_hold_us, 30000000);
    config_free(rows, &c);
    /* Uncommented by taking one # from the section, it has a port. */
    char *section = strstr(example, "#port");
    for (char *p = section; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (*p == '#')
            *p = ' ';
    assert_int_equal(load(example, &c, &err), 0);
    assert_int_equal(c.ports.n, 1);
    config_free(rows, &c);
    free(example);
    /* What is in effect loads to the same, in odd cases too. */
    assert_int_equal(load("name = 'x\"$\\\\{HOME}' t_hold = 1500us vtep = 10.0.0.1\n"
                          "mac = 02:00:00:00:00:01 timers { t_publish = 90ms }\n"
                          "port 'p 1' { role = uplink vnis = '9,1-2' }",
                         &c, &err),
        0);
    char *one = printed(&c);
    int rc = load(one, &again, &err);
    if (rc)
        print_message("%s\n%s", err.text, one);
    assert_int_equal(rc, 0);
    assert_string_equal(again.name, c.name);
    char *two = printed(&again);
    assert_string_equal(one, two);
    assert_non_null(strstr(one, "t_hold = 1500us\n"));
    assert_non_null(
        strstr(one, "port \"p 1\" {\n    role = uplink\n    vnis = \"1-2, 9\"\n"));
    free(one);
    free(two);
    config_free(rows, &c);
    config_free(rows, &again);
}

static void
test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t us;
    } good[] = {
        {"0",     0         },
        {"0s",    0         },
        {"1us",   1         },
        {"1.5ms", 1500      },
        {"90s",   90000000  },
        {"2 min", 120000000 },
        {"1h",    3600000000},
        {"0.25s", 250000    }
    };
    static const char *const bad[] = {"", "s", "-1s", "1", "1.5us", "1.s", ".5s", "1x",
        "1ss", "99999999999999999999s", "18446744073709551615s", "1.0000000001s"};
    char text[CONFIG_DURATION_STR];
    uint64_t us;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(config_duration_parse(good[i].text, &us));
        assert_int_equal(us, good[i].us);
        assert_true(config_duration_parse(config_duration_str(us, text), &us));
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(config_duration_parse(bad[i], &us));
}

static void
test_files(void **state)
{
    (void)state;
    struct conf c;
    struct host_err err;
    char path[] = "/tmp/berth-config-XXXXXX", want[128];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "name = x\npcp = 9\n", 17), 17);
    assert_int_equal(config_load(rows, &c, sizeof(c), path, &err), -EINVAL);
    snprintf(want, sizeof(want), "%s:2: pcp = 9: out of range; from 0 to 7", path);
    assert_string_equal(err.text, want);
    assert_int_equal(ftruncate(fd, 8), 0);
    assert_int_equal(config_load(rows, &c, sizeof(c), path, &err), 0);
    config_free(rows, &c);
    assert_int_equal(write(fd, "\0", 1), 1);
    assert_int_equal(config_load(rows, &c, sizeof(c), path, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not a text file"));
    close(fd);
    unlink(path);
    assert_int_equal(config_load(rows, &c, sizeof(c), path, &err), -ENOENT);
    assert_non_null(strstr(err.text, "--print-example-config"));
    assert_int_equal(config_load(rows, &c, sizeof(c), "/tmp", &err), -EIO);
    assert_int_equal(config_load(tunnel_rows, &c, sizeof(c), NULL, &err), 0);
    assert_string_equal(c.device, "berth0");
    config_free(tunnel_rows, &c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_golden_errors),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
