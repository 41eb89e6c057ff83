/* SPDX-License-Identifier: Apache-2.0 */
/* vmevents URI: what libvirt and QEMU say of their domains, one JSON line each, until
 * the connection or the standard output ends. "us" is the real-time clock here when it
 * came, "at_us" QEMU's own stamp. The measure of a pause is from QEMU's STOP at the one
 * server to its RESUME at the other. */
#include <inttypes.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LAST(list) (sizeof(list) / sizeof((list)[0]))

static const char *const kinds[] = {"DEFINED", "UNDEFINED", "STARTED", "SUSPENDED",
    "RESUMED", "STOPPED", "SHUTDOWN", "PMSUSPENDED", "CRASHED"};
static const char *const started[] = {
    "BOOTED", "MIGRATED", "RESTORED", "FROM_SNAPSHOT", "WAKEUP"};
static const char *const suspended[] = {"PAUSED", "MIGRATED", "IOERROR", "WATCHDOG",
    "RESTORED", "FROM_SNAPSHOT", "API_ERROR", "POSTCOPY", "POSTCOPY_FAILED"};
static const char *const resumed[] = {
    "UNPAUSED", "MIGRATED", "FROM_SNAPSHOT", "POSTCOPY", "POSTCOPY_FAILED"};
static const char *const stopped[] = {
    "SHUTDOWN", "DESTROYED", "CRASHED", "MIGRATED", "SAVED", "FAILED", "FROM_SNAPSHOT"};

static const char *
word(const char *const *list, size_t n, int i)
{
    return i >= 0 && (size_t)i < n ? list[i] : "?";
}

static const char *
detail_of(int event, int detail)
{
    switch (event) {
    case VIR_DOMAIN_EVENT_STARTED:
        return word(started, LAST(started), detail);
    case VIR_DOMAIN_EVENT_SUSPENDED:
        return word(suspended, LAST(suspended), detail);
    case VIR_DOMAIN_EVENT_RESUMED:
        return word(resumed, LAST(resumed), detail);
    case VIR_DOMAIN_EVENT_STOPPED:
        return word(stopped, LAST(stopped), detail);
    default:
        return "";
    }
}

static uint64_t
now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int
on_lifecycle(virConnectPtr c, virDomainPtr dom, int event, int detail, void *ctx)
{
    (void)c;
    (void)ctx;
    printf("{\"us\": %" PRIu64
           ", \"domain\": \"%s\", \"event\": \"%s\", \"detail\": \"%s\"}\n",
        now_us(), virDomainGetName(dom), word(kinds, LAST(kinds), event),
        detail_of(event, detail));
    fflush(stdout);
    return 0;
}

static void
on_qemu(virConnectPtr c, virDomainPtr dom, const char *event, long long s, unsigned us,
    const char *data, void *ctx)
{
    (void)c;
    (void)ctx;
    printf("{\"us\": %" PRIu64
           ", \"domain\": \"%s\", \"qemu\": \"%s\", \"at_us\": %lld, "
           "\"data\": %s}\n",
        now_us(), virDomainGetName(dom), event, s * 1000000 + us, data ? data : "null");
    fflush(stdout);
}

static void
on_close(virConnectPtr c, int reason, void *ctx)
{
    (void)c;
    (void)reason;
    (void)ctx;
    exit(0);
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: vmevents URI\n");
        return 2;
    }
    virEventRegisterDefaultImpl();
    virConnectPtr c = virConnectOpen(argv[1]);
    if (!c)
        return 1;
    virConnectRegisterCloseCallback(c, on_close, NULL, NULL);
    if (virConnectDomainEventRegisterAny(c, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), NULL, NULL) < 0 ||
        virConnectDomainQemuMonitorEventRegister(
            c, NULL, NULL, on_qemu, NULL, NULL, 0) < 0)
        return 1;
    virConnectSetKeepAlive(c, 5, 3);
    printf("{\"us\": %" PRIu64 ", \"ready\": true}\n", now_us());
    fflush(stdout);
    while (!ferror(stdout) && virEventRunDefaultImpl() == 0)
        continue;
    return 0;
}
