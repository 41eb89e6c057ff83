/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions as libvirt writes them, and what is none. */
#include "test.h"
#include "base/rng.h"
#include "host/virt_xml.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HEAD                                                                           \
    "<domain type='qemu' id='1'><name>vm1</name>"                                      \
    "<uuid>11111111-2222-4333-8444-555555555555</uuid>"
#define VN "<b:vn xmlns:b='urn:berth:1' name='red' vni='5000'>"
#define NICS                                                                           \
    "<devices><emulator>/usr/bin/qemu</emulator>"                                      \
    "<interface type='bridge'><mac address='52:54:00:00:00:11'/><source "              \
    "bridge='br0'/>"                                                                   \
    "<target dev='vnet0'/><model type='virtio'/></interface>"                          \
    "<interface type='network'><mac address='52:54:00:00:00:22'/>"                     \
    "<source network='lan' portid='x' bridge='virbr1'/></interface>"                   \
    "<interface type='direct'><mac address='52:54:00:00:00:33'/></interface>"          \
    "</devices>"

static json_t *
facts_of(const char *xml)
{
    struct host_err err;
    json_t *facts = virt_xml_facts(xml, strlen(xml), &err);
    if (!facts)
        fail_msg("%s", err.text);
    return facts;
}

static json_t *
nic(json_t *facts, size_t i)
{
    return json_array_get(
        json_object_get(json_object_get(facts, "domain"), "interfaces"), i);
}

static void
says(json_t *o, const char *key, const char *want)
{
    const char *text = json_string_value(json_object_get(o, key));
    if (want ? !text || strcmp(text, want) != 0 : text != NULL)
        fail_msg(
            "%s is %s, not %s", key, text ? text : "not there", want ? want : "away");
}

static void
test_domain(void **state)
{
    json_t *f = facts_of(HEAD "<metadata>" VN "</b:vn></metadata>" NICS "</domain>");
    (void)state;
    says(json_object_get(f, "domain"), "uuid", "11111111-2222-4333-8444-555555555555");
    says(json_object_get(f, "domain"), "name", "vm1");
    says(nic(f, 0), "mac", "52:54:00:00:00:11");
    says(nic(f, 0), "if", "vnet0");
    says(nic(f, 0), "vn", "red");
    says(nic(f, 0), "vni", "5000");
    says(nic(f, 1), "if", NULL);
    says(nic(f, 1), "network", "lan");
    says(nic(f, 1), "vn", "red");
    assert_null(nic(f, 2)); /* macvtap has no tap */
    assert_true(virt_xml_ours(f));
    json_decref(f);
}

/* The list of interfaces says which are ours; residences come along. */
static void
test_interfaces(void **state)
{
    json_t *f =
        facts_of(HEAD "<metadata><other xmlns='urn:other'><vn name='x'/></other>" VN
                      "<b:interface mac='52:54:00:00:00:22' vn='blue' uplink='eth1'>"
                      "<b:ip> 10.7.0.1 </b:ip><b:ip>fd00::1</b:ip></b:interface></b:vn>"
                      "<r:residences xmlns:r='urn:berth:residence:1'>"
                      "<r:residence mac='52:54:00:00:00:22' "
                      "vsi='aaaaaaaa-2222-4333-8444-555555555555' "
                      "epoch='18446744073709551615' migration='77'/></r:residences>"
                      "</metadata>" NICS "</domain>");
    (void)state;
    says(nic(f, 0), "vn", NULL);
    says(nic(f, 0), "epoch", NULL);
    says(nic(f, 1), "vn", "blue");
    says(nic(f, 1), "vni", NULL);
    says(nic(f, 1), "uplink", "eth1");
    says(nic(f, 1), "vsi", "aaaaaaaa-2222-4333-8444-555555555555");
    says(nic(f, 1), "epoch", "18446744073709551615");
    says(nic(f, 1), "migration", "77");
    assert_int_equal(json_array_size(json_object_get(nic(f, 1), "ips")), 2);
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(nic(f, 1), "ips"), 0)),
        "10.7.0.1");
    json_decref(f);
    f = facts_of(HEAD NICS "</domain>");
    assert_false(virt_xml_ours(f));
    json_decref(f);
    /* about all of them, and names nothing: somebody must say so */
    f = facts_of(
        HEAD "<metadata><b:vn xmlns:b='urn:berth:1' nmae='red'/></metadata>" NICS
             "</domain>");
    assert_true(json_is_true(json_object_get(nic(f, 0), "unnamed")));
    assert_true(virt_xml_ours(f));
    json_decref(f);
}

static void
test_network(void **state)
{
    static const char net[] =
        "<network><name>lan</name><uuid>22222222-2222-4333-8444-555555555555</uuid>"
        "<metadata><b:vn xmlns:b='urn:berth:1' name='red'/></metadata>"
        "<mac address='52:54:00:aa:aa:aa'/></network>";
    static const char port[] =
        "<networkport><uuid>33333333-2222-4333-8444-555555555555</uuid><owner>"
        "<name>vm1</name><uuid>11111111-2222-4333-8444-555555555555</uuid></owner>"
        "<mac address='52:54:00:00:00:11'/><plug type='bridge' bridge='br0'/>"
        "</networkport>";
    char text[2000];
    json_t *f = facts_of(net), *o;
    (void)state;
    says(json_object_get(f, "network"), "vn", "red");
    assert_null(json_object_get(f, "port"));
    json_decref(f);
    snprintf(text, sizeof(text), "<hookData>\n%s\n%s</hookData>\n", net, port);
    f = facts_of(text);
    o = json_object_get(f, "port");
    says(o, "uuid", "11111111-2222-4333-8444-555555555555");
    says(o, "name", "vm1");
    says(o, "mac", "52:54:00:00:00:11");
    says(json_object_get(f, "network"), "name", "lan");
    assert_true(virt_xml_ours(f));
    json_decref(f);
}

static void
test_wrong(void **state)
{
    static const char *const wrong[] = {"", "<", "<domain>", "<domain/>", "<html/>",
        "<hookData/>", "<network/>", "no xml at all",
        "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
        "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;'>]>"
        "<domain><uuid>&d;</uuid></domain>",
        "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
        "<domain><uuid>&x;</uuid></domain>"};
    struct host_err err;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        err.text[0] = '\0';
        assert_null(virt_xml_facts(wrong[i], strlen(wrong[i]), &err));
        assert_string_not_equal(err.text, "");
    }
    assert_null(virt_xml_facts("<domain/>", VIRT_XML_MAX + 1, &err));
}

/* Many interfaces, long words, deep trees: bounded, and never more than a request may
 * be. */
static void
test_bounds(void **state)
{
    size_t size = 1u << 20, n;
    char *xml = malloc(size), *text;
    struct host_err err;
    json_t *f;
    (void)state;
    n = (size_t)sprintf(xml, HEAD "<metadata>" VN);
    for (unsigned i = 0; i < 500; i++) {
        n += (size_t)sprintf(
            xml + n, "<b:interface mac='52:54:00:00:%02x:%02x' vn='", i >> 8, i & 255);
        memset(xml + n, 'x', 120);
        n += 120;
        n += (size_t)sprintf(xml + n, "'>");
        for (unsigned k = 0; k < 20; k++)
            n += (size_t)sprintf(xml + n, "<b:ip>fd00:1111:2222:3333::%x</b:ip>", k);
        n += (size_t)sprintf(xml + n, "</b:interface>");
    }
    n += (size_t)sprintf(xml + n, "</b:vn></metadata><devices>");
    for (unsigned i = 0; i < 500; i++)
        n += (size_t)sprintf(xml + n,
            "<interface type='bridge'><mac "
            "address='52:54:00:00:%02x:%02x'/></interface>",
            i >> 8, i & 255);
    n += (size_t)sprintf(xml + n, "</devices></domain>");
    assert_true(n < size);
    f = virt_xml_facts(xml, n, &err);
    assert_non_null(f);
    assert_int_equal(
        json_array_size(json_object_get(json_object_get(f, "domain"), "interfaces")),
        VIRT_NICS);
    assert_int_equal(
        json_array_size(json_object_get(nic(f, 0), "ips")), 9); /* one too many */
    text = json_dumps(f, JSON_COMPACT);
    assert_true(strlen(text) < 60000);
    free(text);
    json_decref(f);
    memset(xml, 0, size);
    for (n = 0; n < 300000; n += 3)
        memcpy(xml + n, "<a>", 3);
    assert_null(virt_xml_facts(xml, n, &err));
    free(xml);
}

/* Octets changed at random: an answer or a refusal, nothing else. */
static void
test_damage(void **state)
{
    static const char good[] = HEAD
        "<metadata>" VN "<b:interface mac='52:54:00:00:00:11'><b:ip>10.7.0.1</b:ip>"
        "</b:interface></b:vn></metadata>" NICS "</domain>";
    char xml[sizeof(good)];
    struct host_err err;
    struct rng r;
    (void)state;
    rng_seed(&r, 1);
    for (unsigned i = 0; i < 5000; i++) {
        memcpy(xml, good, sizeof(good));
        for (unsigned k = 1 + rng_below(&r, 4); k--;)
            xml[rng_below(&r, sizeof(good) - 1)] = (char)rng_below(&r, 256);
        json_decref(virt_xml_facts(xml, sizeof(good) - 1, &err));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domain),
        cmocka_unit_test(test_interfaces),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_damage),
    };
    int rc;
    virt_xml_init();
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    virt_xml_done();
    return rc;
}
