/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/rng.h"
#include "wire/addr.h"

static void
macs(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "02:00:00:00:00", "02:00:00:00:00:0",
        "02:00:00:00:00:01 ", " 02:00:00:00:00:01", "02:00:00:00:00:0g",
        "02-00:00:00:00:01", "020000000001", "02.00.00.00.00.01", "02:00:00:00:00:001",
        "2:0:0:0:0:1", "02:00:00:00:00:01:02"};
    struct mac m = {{9}}, n;
    char text[MAC_STR];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(mac_parse(bad[i], &m));
        assert_int_equal(m.b[0], 9); /* untouched */
    }
    assert_true(mac_parse("52:54:00:Ab:cD:0f", &m));
    assert_string_equal(mac_str(&m, text), "52:54:00:ab:cd:0f");
    assert_true(mac_parse("52-54-00-ab-cd-0f", &n));
    assert_true(mac_equal(&m, &n));
    assert_false(mac_is_group(&m));
    assert_false(mac_is_none(&m));
    assert_true(mac_parse("00:00:00:00:00:00", &m) && mac_is_none(&m));
    assert_true(mac_parse("01:80:c2:00:00:00", &m) && mac_is_group(&m));
}

static void
ips(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "1.2.3", "1.2.3.256", "1.2.3.4 ", "1.2.3.4/8",
        ":::", "1::2::3", "fe80::1%lo", "01.2.3.4", "12345::"};
    struct ip ip = {{9}}, other;
    char text[IP_STR];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(ip_parse(bad[i], &ip));
    assert_int_equal(ip.b[0], 9);
    assert_true(ip_parse("10.1.2.3", &ip));
    assert_true(ip_is_v4(&ip));
    assert_int_equal(ip_to_v4(&ip), 0x0a010203);
    other = ip_v4(0x0a010203);
    assert_true(ip_equal(&ip, &other));
    assert_true(ip_parse("::ffff:10.1.2.3", &other));
    assert_true(ip_equal(&ip, &other)); /* one key for both spellings */
    assert_string_equal(ip_str(&ip, text), "10.1.2.3");
    assert_true(ip_parse("2001:DB8:0:0::1", &ip));
    assert_false(ip_is_v4(&ip));
    assert_string_equal(ip_str(&ip, text), "2001:db8::1");
    assert_true(ip_parse("::", &ip) && ip_is_none(&ip));
    ip = ip_v4(0);
    assert_false(ip_is_none(&ip)); /* 0.0.0.0 is an address, none is all zero */
}

static void
vsiids(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t format;
        const char *shown;
    } good[] = {
        {"00112233-4455-6677-8899-AABBCCDDEEFF",  VSIID_UUID,
         "00112233-4455-6677-8899-aabbccddeeff"                                                        },
        {"10.0.0.1",                              VSIID_IPV4,  "10.0.0.1"                              },
        {"2001:db8::1",                           VSIID_IPV6,  "2001:db8::1"                           },
        {"::ffff:10.0.0.1",                       VSIID_IPV6,  "::ffff:10.0.0.1"                       },
        {"52:54:00:00:00:01",                     VSIID_MAC,   "52:54:00:00:00:01"                     },
        {"local:0102",                            VSIID_LOCAL, "local:00000000000000000000000000000102"},
        {"mac:525400000001",                      VSIID_MAC,   "52:54:00:00:00:01"                     },
        {"ipv4:01000000000000000000000000000000", VSIID_IPV4,
         "ipv4:01000000000000000000000000000000"                                                       },
        {"200:ff",                                200,         "200:000000000000000000000000000000ff"  },
    };
    static const char *const bad[] = {"", ":", "local:", "local:1", "local:xy", ":00",
        "local:0102 ", "local:010203040506070809000102030405060708", "256:00",
        "0001:00", "other:00", "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0", "00112233445566778899aabbccddeeff"};
    struct vsiid v, again;
    char text[VSIID_STR];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(vsiid_parse(good[i].text, &v));
        assert_int_equal(v.format, good[i].format);
        assert_string_equal(vsiid_str(&v, text), good[i].shown);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(vsiid_parse(bad[i], &v));
    assert_true(vsiid_parse("10.0.0.1", &v));
    assert_memory_equal(v.b, "\0\0\0\0\0\0\0\0\0\0\0\0\x0a\0\0\x01", 16);
    again = v;
    assert_true(vsiid_equal(&v, &again));
    again.format = VSIID_LOCAL;
    assert_false(vsiid_equal(&v, &again));
}

/* What is printed is read back to the same octets, whatever a peer sent. */
static void
text_round_trips(void **state)
{
    (void)state;
    struct rng g;
    rng_seed(&g, 17);
    for (int i = 0; i < 20000; i++) {
        char text[VSIID_STR];
        struct mac m, m2;
        struct ip ip, ip2;
        struct vsiid v, v2;
        rng_bytes(&g, &m, sizeof m);
        assert_true(mac_parse(mac_str(&m, text), &m2) && mac_equal(&m, &m2));
        rng_bytes(&g, &ip, sizeof ip);
        memset(ip.b, 0, rng_below(&g, 17));
        assert_true(ip_parse(ip_str(&ip, text), &ip2) && ip_equal(&ip, &ip2));
        rng_bytes(&g, v.b, sizeof v.b);
        memset(v.b, 0, rng_below(&g, 17));
        v.format = rng_chance(&g, 800000) ? rng_below(&g, 7) : rng_below(&g, 256);
        assert_true(vsiid_parse(vsiid_str(&v, text), &v2));
        assert_true(vsiid_equal(&v, &v2));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(macs),
        cmocka_unit_test(ips),
        cmocka_unit_test(vsiids),
        cmocka_unit_test(text_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
