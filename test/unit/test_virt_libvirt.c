/* SPDX-License-Identifier: Apache-2.0 */
/* The follower's connection, against libvirt's own test driver, which lives in this
 * process: facts in the order of events, descriptions, metadata, and a libvirt that is
 * not there. */
#include "test.h"
#include "host/libvirt.h"
#include "host/loop.h"
#include "host/virt_xml.h"
#include <libvirt/libvirt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define URI     "test:///default"
#define WAIT_US 20000000
#define LINES   256
#define RESIDENCE                                                                      \
    "<residences><residence mac='52:54:00:00:00:11' epoch='7'/></residences>"

struct seen {
    struct loop *loop;
    struct libvirt *v;
    char *lines[LINES];
    unsigned n, next; /* next: to be looked at */
};

static void
on_fact(void *ctx, const char *line, size_t size)
{
    struct seen *s = ctx;
    assert_int_equal(strlen(line), size);
    assert_true(s->n < LINES);
    s->lines[s->n++] = strdup(line);
}

static struct seen *
open_uri(const char *uri)
{
    static const struct libvirt_calls calls = {.on_fact = on_fact};
    struct seen *s = calloc(1, sizeof(*s));
    struct host_err err;
    assert_int_equal(loop_new(&s->loop, &err), 0);
    if (libvirt_open(
            &s->v, s->loop, &(struct libvirt_conf){.uri = uri}, &calls, s, &err))
        fail_msg("%s", err.text);
    return s;
}

static void
close_all(struct seen *s)
{
    libvirt_close(s->v);
    loop_free(s->loop);
    while (s->n)
        free(s->lines[--s->n]);
    free(s);
}

/* The next fact with these two parts; those before it are passed over. */
static const char *
wait_for(struct seen *s, const char *part, const char *and)
{
    uint64_t end = loop_now_fresh(s->loop) + WAIT_US;
    for (;;) {
        while (s->next < s->n) {
            const char *line = s->lines[s->next++];
            if (strstr(line, part) && strstr(line, and))
                return line;
        }
        if (loop_now_fresh(s->loop) > end)
            fail_msg("no fact with %s and %s", part, and);
        loop_turn(s->loop, loop_now(s->loop) + 100000);
    }
}

static void
test_events(void **state)
{
    struct seen *s = open_uri(URI);
    char uuid[VIR_UUID_STRING_BUFLEN], *text = NULL;
    virConnectPtr conn;
    virDomainPtr d;
    (void)state;
    wait_for(s, "\"event\":\"link\"", "\"up\":true");
    wait_for(s, "\"event\":\"list\"", "");
    wait_for(s, "\"event\":\"is\"", "\"state\":\"running\"");
    wait_for(s, "\"event\":\"listed\"", "");
    conn = virConnectOpen(URI);
    assert_non_null(conn);
    d = virDomainLookupByName(conn, "test");
    assert_non_null(d);
    assert_int_equal(virDomainGetUUIDString(d, uuid), 0);
    assert_int_equal(virDomainSuspend(d), 0);
    assert_non_null(strstr(wait_for(s, "\"SUSPENDED\"", "\"PAUSED\""), uuid));
    libvirt_look(s->v, uuid);
    wait_for(s, "\"event\":\"is\"", "\"state\":\"paused\"");
    assert_int_equal(virDomainResume(d), 0);
    wait_for(s, "\"RESUMED\"", "\"UNPAUSED\"");
    libvirt_write(s->v, uuid, RESIDENCE);
    libvirt_look(s->v, uuid); /* one after the other: then it is written */
    wait_for(s, "\"event\":\"is\"", "\"state\":\"running\"");
    text = virDomainGetMetadata(d, VIR_DOMAIN_METADATA_ELEMENT, VIRT_NS_RESIDENCE, 0);
    assert_non_null(text);
    assert_non_null(strstr(text, "epoch=\"7\""));
    free(text);
    assert_int_equal(virDomainDestroy(d), 0);
    wait_for(s, "\"STOPPED\"", "\"DESTROYED\"");
    libvirt_look(s->v, uuid);
    wait_for(s, "\"event\":\"is\"", "\"state\":\"off\"");
    libvirt_look(s->v, "00000000-0000-4000-8000-000000000000");
    wait_for(s, "\"event\":\"missing\"", "00000000-0000-4000-8000-000000000000");
    assert_int_equal(virDomainCreate(d), 0);
    wait_for(s, "\"STARTED\"", "\"BOOTED\"");
    virDomainFree(d);
    virConnectClose(conn);
    close_all(s);
}

static void
test_not_there(void **state)
{
    struct seen *s = open_uri("qemu:///system?socket=/nonexistent/libvirt-sock");
    const char *line;
    (void)state;
    libvirt_look(s->v, "00000000-0000-4000-8000-000000000000");
    line = wait_for(s, "\"event\":\"link\"", "\"up\":false");
    assert_non_null(strstr(line, "/nonexistent/libvirt-sock"));
    close_all(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
