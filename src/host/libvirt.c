/* SPDX-License-Identifier: Apache-2.0 */
/* Facts leave under one mutex with the count of events: a description that was
 * overtaken by an event while it was made has its state read again, so that what is
 * posted later is what was true later. */
#include "host/libvirt.h"
#include "base/mem.h"
#include "host/loop.h"
#include "host/virt_xml.h"
#include <errno.h>
#include <jansson.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RETRY_S     1
#define RETRY_MAX_S 30
#define KEEPALIVE_S 5
#define KEEPALIVES  3
#define STATE_READS 4
#define LEAVE_MS    500

struct fact {
    struct fact *next;
    size_t size;
    char text[];
};
struct job {
    struct job *next;
    char *xml; /* NULL: describe */
    char uuid[VIR_UUID_STRING_BUFLEN];
};
struct libvirt {
    struct libvirt_calls calls;
    void *ctx;
    struct loop_watch *watch;
    struct loop_call begin;
    struct loop *loop;
    char *uri;
    int fd, waker; /* waker: a libvirt timer that ends the wait of its event loop */
    bool started;
    pthread_t events, work;
    pthread_mutex_t mutex; /* what follows */
    pthread_cond_t more;
    struct fact *facts, **facts_tail;
    struct job *jobs, **jobs_tail;
    uint64_t n_events;
    bool stop, lost;
};

/* --- facts --- */

/* Under the mutex. */
static void
append(struct libvirt *v, json_t *o)
{
    size_t n = json_dumpb(o, NULL, 0, JSON_COMPACT);
    struct fact *f = mem_alloc(sizeof(*f) + n + 1);
    uint64_t one = 1;
    json_dumpb(o, f->text, n, JSON_COMPACT);
    f->size = n;
    *v->facts_tail = f;
    v->facts_tail = &f->next;
    json_decref(o);
    if (write(v->fd, &one, sizeof(one)) < 0)
        return; /* full: readable anyway */
}

static void
post(struct libvirt *v, json_t *o)
{
    pthread_mutex_lock(&v->mutex);
    append(v, o);
    pthread_mutex_unlock(&v->mutex);
}

static json_t *
fact(const char *event)
{
    json_t *o = json_object();
    json_object_set_new(o, "event", json_string(event));
    return o;
}

static void
set(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, json_string(text ? text : ""));
}

static void
set_error(json_t *o, const char *what)
{
    const char *why = virGetLastErrorMessage();
    char text[400];
    snprintf(text, sizeof(text), "%s: %.300s", what, why ? why : "no reason given");
    set(o, "text", text);
}

static void
post_failed(struct libvirt *v, const char *what)
{
    json_t *o = fact("failed");
    set_error(o, what);
    post(v, o);
}

/* --- events, in the thread of libvirt's loop --- */

#define WORD(name) [VIR_DOMAIN_EVENT_##name] = #name
static const char *const event_words[] = {WORD(DEFINED), WORD(UNDEFINED), WORD(STARTED),
    WORD(SUSPENDED), WORD(RESUMED), WORD(STOPPED), WORD(SHUTDOWN), WORD(PMSUSPENDED),
    WORD(CRASHED)};
#undef WORD
#define WORD(event, name) [VIR_DOMAIN_EVENT_##event##_##name] = #name
static const char *const started_words[] = {WORD(STARTED, BOOTED),
    WORD(STARTED, MIGRATED), WORD(STARTED, RESTORED), WORD(STARTED, FROM_SNAPSHOT),
    WORD(STARTED, WAKEUP)};
static const char *const suspended_words[] = {WORD(SUSPENDED, PAUSED),
    WORD(SUSPENDED, MIGRATED), WORD(SUSPENDED, IOERROR), WORD(SUSPENDED, WATCHDOG),
    WORD(SUSPENDED, RESTORED), WORD(SUSPENDED, FROM_SNAPSHOT),
    WORD(SUSPENDED, API_ERROR), WORD(SUSPENDED, POSTCOPY),
    WORD(SUSPENDED, POSTCOPY_FAILED)};
static const char *const resumed_words[] = {WORD(RESUMED, UNPAUSED),
    WORD(RESUMED, MIGRATED), WORD(RESUMED, FROM_SNAPSHOT), WORD(RESUMED, POSTCOPY),
    WORD(RESUMED, POSTCOPY_FAILED)};
static const char *const stopped_words[] = {WORD(STOPPED, SHUTDOWN),
    WORD(STOPPED, DESTROYED), WORD(STOPPED, CRASHED), WORD(STOPPED, MIGRATED),
    WORD(STOPPED, SAVED), WORD(STOPPED, FAILED), WORD(STOPPED, FROM_SNAPSHOT)};
#undef WORD
#define WORDS(list) list, sizeof(list) / sizeof(list[0])

static const char *
word_of(const char *const *words, size_t n, int i)
{
    return i >= 0 && (size_t)i < n && words[i] ? words[i] : "OTHER";
}

static const char *
detail_word(int event, int detail)
{
    switch (event) {
    case VIR_DOMAIN_EVENT_STARTED:
        return word_of(WORDS(started_words), detail);
    case VIR_DOMAIN_EVENT_SUSPENDED:
        return word_of(WORDS(suspended_words), detail);
    case VIR_DOMAIN_EVENT_RESUMED:
        return word_of(WORDS(resumed_words), detail);
    case VIR_DOMAIN_EVENT_STOPPED:
        return word_of(WORDS(stopped_words), detail);
    }
    return "OTHER";
}

static void
post_event(
    struct libvirt *v, virDomainPtr domain, const char *event, const char *detail)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    json_t *o = fact(event);
    if (virDomainGetUUIDString(domain, uuid) < 0) {
        json_decref(o);
        return;
    }
    set(o, "detail", detail);
    set(o, "uuid", uuid);
    set(o, "name", virDomainGetName(domain));
    pthread_mutex_lock(&v->mutex);
    v->n_events++;
    append(v, o);
    pthread_mutex_unlock(&v->mutex);
}

static int
on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *ctx)
{
    (void)conn;
    post_event(
        ctx, domain, word_of(WORDS(event_words), event), detail_word(event, detail));
    return 0;
}

static void
on_device_added(virConnectPtr conn, virDomainPtr domain, const char *alias, void *ctx)
{
    (void)conn;
    (void)alias;
    post_event(ctx, domain, "DEVICE", "ADDED");
}

static void
on_device_removed(virConnectPtr conn, virDomainPtr domain, const char *alias, void *ctx)
{
    (void)conn;
    (void)alias;
    post_event(ctx, domain, "DEVICE", "REMOVED");
}

/* Of what we write ourselves nothing is to be learned. */
static int
on_metadata(
    virConnectPtr conn, virDomainPtr domain, int type, const char *uri, void *ctx)
{
    (void)conn;
    if (type == VIR_DOMAIN_METADATA_ELEMENT && uri && strcmp(uri, VIRT_NS) == 0)
        post_event(ctx, domain, "METADATA", "CHANGED");
    return 0;
}

/* QEMU's own word, which comes before a machine runs, at the one server or the other.
 */
static void
on_migration(virConnectPtr conn, virDomainPtr domain, const char *event, long long s,
    unsigned us, const char *details, void *ctx)
{
    json_t *o = details ? json_loads(details, 0, NULL) : NULL;
    const char *status = json_string_value(json_object_get(o, "status"));
    (void)conn;
    (void)s;
    (void)us;
    if (status)
        post_event(ctx, domain, event, status);
    json_decref(o);
}

static void
on_closed(virConnectPtr conn, int reason, void *ctx)
{
    struct libvirt *v = ctx;
    (void)conn;
    (void)reason;
    pthread_mutex_lock(&v->mutex);
    v->lost = true;
    pthread_cond_signal(&v->more);
    pthread_mutex_unlock(&v->mutex);
}

static void
on_wake(int timer, void *ctx)
{
    (void)ctx;
    virEventUpdateTimeout(timer, -1);
}

static bool
stopping(struct libvirt *v)
{
    bool stop;
    pthread_mutex_lock(&v->mutex);
    stop = v->stop;
    pthread_mutex_unlock(&v->mutex);
    return stop;
}

static void *
run_events(void *ctx)
{
    struct libvirt *v = ctx;
    while (!stopping(v) && virEventRunDefaultImpl() == 0)
        ;
    return NULL;
}

/* --- calls, in the other thread --- */

/* Where the domain names no network of ours, its libvirt network may. What is in none
 * for sure gets "vn": null; a libvirt network that cannot be asked leaves it open. */
static void
ask_network(virConnectPtr conn, json_t *o, const char *name)
{
    virNetworkPtr net = virNetworkLookupByName(conn, name);
    char *xml = net ? virNetworkGetXMLDesc(net, 0) : NULL;
    json_t *facts = xml ? virt_xml_facts(xml, strlen(xml), NULL) : NULL;
    json_t *n = json_object_get(facts, "network");
    if (json_object_get(n, "vn"))
        json_object_set(o, "vn", json_object_get(n, "vn"));
    if (json_object_get(n, "vni"))
        json_object_set(o, "vni", json_object_get(n, "vni"));
    if (n)
        json_object_del(o, "network");
    json_decref(facts);
    free(xml);
    if (net)
        virNetworkFree(net);
}

static void
ask_networks(virConnectPtr conn, json_t *domain)
{
    json_t *list = json_object_get(domain, "interfaces");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *o = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(o, "network"));
        if (json_object_get(o, "vn") || json_object_get(o, "vni"))
            continue;
        if (name)
            ask_network(conn, o, name);
        if (!json_object_get(o, "network") && !json_object_get(o, "vn") &&
            !json_object_get(o, "vni"))
            json_object_set_new(o, "vn", json_null());
    }
}

static const char *
state_word(virDomainPtr domain)
{
    int state, reason;
    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        return NULL;
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        return "running";
    case VIR_DOMAIN_PAUSED:
        if (reason == VIR_DOMAIN_PAUSED_STARTING_UP)
            return "other";
        return reason == VIR_DOMAIN_PAUSED_MIGRATION ||
                       reason == VIR_DOMAIN_PAUSED_POSTCOPY ||
                       reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED
                   ? "moving"
                   : "paused";
    case VIR_DOMAIN_SHUTOFF:
        return "off";
    }
    return "other";
}

static void
post_missing(struct libvirt *v, const char *uuid)
{
    json_t *o = fact("missing");
    set(o, "uuid", uuid);
    post(v, o);
}

/* A call has failed. Any reason but this one says nothing of the domain: libvirt may be
 * on its way down, and the domain lives. */
static bool
has_ended(void)
{
    virErrorPtr e = virGetLastError();
    return e && e->code == VIR_ERR_NO_DOMAIN;
}

/* The state goes into the fact at the moment at which it is posted. NULL: unknown. */
static const char *
post_state(struct libvirt *v, virDomainPtr domain, json_t *facts)
{
    const char *state = NULL;
    uint64_t before;
    for (unsigned i = 0; i < STATE_READS; i++) {
        pthread_mutex_lock(&v->mutex);
        before = v->n_events;
        pthread_mutex_unlock(&v->mutex);
        state = state_word(domain);
        if (!state && has_ended())
            state = "off";
        pthread_mutex_lock(&v->mutex);
        if (before == v->n_events || i + 1 == STATE_READS)
            break; /* with the mutex */
        pthread_mutex_unlock(&v->mutex);
    }
    if (state) {
        json_object_set_new(facts, "event", json_string("is"));
        json_object_set_new(facts, "state", json_string(state));
        append(v, facts);
    } else {
        json_decref(facts);
    }
    pthread_mutex_unlock(&v->mutex);
    return state;
}

/* false: it is there, and nothing is known of it. */
static bool
describe(struct libvirt *v, virConnectPtr conn, virDomainPtr domain)
{
    char *xml = virDomainGetXMLDesc(domain, 0);
    char uuid[VIR_UUID_STRING_BUFLEN];
    struct host_err err;
    json_t *facts;
    if (!xml && has_ended()) { /* meanwhile: the event says so, too */
        if (virDomainGetUUIDString(domain, uuid) == 0)
            post_missing(v, uuid);
        return true;
    }
    if (!xml) {
        post_failed(v, "cannot describe a domain");
        return false;
    }
    facts = virt_xml_facts(xml, strlen(xml), &err);
    free(xml);
    if (!facts) {
        json_t *o = fact("failed");
        set(o, "text", err.text);
        post(v, o);
        return false;
    }
    ask_networks(conn, json_object_get(facts, "domain"));
    if (post_state(v, domain, facts))
        return true;
    post_failed(v, "cannot ask for a domain's state");
    return false;
}

static void
list_all(struct libvirt *v, virConnectPtr conn)
{
    virDomainPtr *domains = NULL;
    bool all = true;
    int n;
    post(v, fact("list"));
    n = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    for (int i = 0; i < n; i++) {
        all &= describe(v, conn, domains[i]);
        virDomainFree(domains[i]);
    }
    free(domains);
    if (n < 0)
        post_failed(v, "cannot list the domains");
    else if (all) /* what was not in it has gone */
        post(v, fact("listed"));
}

static void
do_job(struct libvirt *v, virConnectPtr conn, const struct job *j)
{
    virDomainPtr domain = virDomainLookupByUUIDString(conn, j->uuid);
    if (!domain) {
        if (has_ended())
            post_missing(v, j->uuid);
        return;
    }
    if (!j->xml)
        describe(v, conn, domain);
    else if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, j->xml, "berth",
                 VIRT_NS_RESIDENCE, VIR_DOMAIN_AFFECT_LIVE) < 0)
        post_failed(v, "cannot write the domain's metadata");
    virDomainFree(domain);
}

static virConnectPtr
connect_now(struct libvirt *v, bool tell)
{
    virConnectPtr conn = virConnectOpen(v->uri);
    json_t *o = fact("link");
    set(o, "uri", v->uri);
    json_object_set_new(o, "up", json_boolean(conn != NULL));
    if (!conn) {
        set_error(o, "libvirt is not reached");
        if (tell)
            post(v, o);
        else
            json_decref(o);
        return NULL;
    }
    pthread_mutex_lock(&v->mutex);
    v->lost = false;
    pthread_mutex_unlock(&v->mutex);
    virConnectSetKeepAlive(conn, KEEPALIVE_S, KEEPALIVES);
    virConnectRegisterCloseCallback(conn, on_closed, v, NULL);
    virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), v, NULL);
    virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
        VIR_DOMAIN_EVENT_CALLBACK(on_device_added), v, NULL);
    virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
        VIR_DOMAIN_EVENT_CALLBACK(on_device_removed), v, NULL);
    virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
        VIR_DOMAIN_EVENT_CALLBACK(on_metadata), v, NULL);
    /* other drivers than QEMU's have none: then RESUMED is the first to tell */
    virConnectDomainQemuMonitorEventRegister(
        conn, NULL, "MIGRATION", on_migration, v, NULL, 0);
    post(v, o);
    list_all(v, conn);
    if (virConnectIsAlive(conn) != 1) /* it may have ended before it could be told */
        on_closed(conn, VIR_CONNECT_CLOSE_REASON_EOF, v);
    return conn;
}

static void
disconnect(struct libvirt *v, virConnectPtr conn, bool tell)
{
    json_t *o = fact("link");
    virConnectUnregisterCloseCallback(conn, on_closed);
    virConnectClose(conn);
    json_object_set_new(o, "up", json_false());
    set(o, "uri", v->uri);
    set(o, "text", "libvirt has gone away");
    if (tell)
        post(v, o);
    else
        json_decref(o);
}

/* Under the mutex: the next job, or NULL after the time, at the loss or at the end. */
static struct job *
next_job(struct libvirt *v, bool connected, unsigned wait_s)
{
    struct timespec at;
    struct job *j;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += wait_s;
    while (!v->stop && rc == 0 && !(connected && (v->jobs || v->lost)))
        rc = connected ? pthread_cond_wait(&v->more, &v->mutex)
                       : pthread_cond_timedwait(&v->more, &v->mutex, &at);
    j = connected && !v->lost ? v->jobs : NULL;
    if (!j)
        return NULL;
    v->jobs = j->next;
    if (!v->jobs)
        v->jobs_tail = &v->jobs;
    return j;
}

static void
job_free(struct job *j)
{
    mem_free(j->xml);
    mem_free(j);
}

static void *
run_work(void *ctx)
{
    struct libvirt *v = ctx;
    virConnectPtr conn = NULL;
    unsigned wait_s = RETRY_S;
    bool tell = true; /* one line for one outage */
    while (!stopping(v)) {
        struct job *j;
        if (!conn) {
            conn = connect_now(v, tell);
            tell = conn != NULL;
            wait_s = conn ? RETRY_S : wait_s;
        }
        pthread_mutex_lock(&v->mutex);
        j = next_job(v, conn, wait_s);
        pthread_mutex_unlock(&v->mutex);
        if (j) {
            do_job(v, conn, j);
            job_free(j);
        } else if (conn && !stopping(v)) {
            disconnect(v, conn, true);
            conn = NULL;
            tell = false;
        } else if (!conn) {
            wait_s = wait_s * 2 < RETRY_MAX_S ? wait_s * 2 : RETRY_MAX_S;
        }
    }
    if (conn)
        disconnect(v, conn, false);
    return NULL;
}

/* --- the caller's thread --- */

static void
on_readable(void *ctx, int events)
{
    struct libvirt *v = ctx;
    struct fact *f, *next;
    uint64_t n;
    (void)events;
    pthread_mutex_lock(&v->mutex);
    f = v->facts;
    v->facts = NULL;
    v->facts_tail = &v->facts;
    if (read(v->fd, &n, sizeof(n)) < 0)
        n = 0; /* nothing was told */
    pthread_mutex_unlock(&v->mutex);
    for (; f; f = next) {
        next = f->next;
        v->calls.on_fact(v->ctx, f->text, f->size);
        mem_free(f);
    }
}

static void
no_message(void *ctx, virErrorPtr error)
{
    (void)ctx;
    (void)error;
}

/* Signals are the loop's. */
static void
begin(void *ctx)
{
    struct libvirt *v = ctx;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    v->waker = virEventAddTimeout(-1, on_wake, v, NULL);
    if (pthread_create(&v->events, NULL, run_events, v) == 0) {
        v->started = pthread_create(&v->work, NULL, run_work, v) == 0;
        if (!v->started)
            post_failed(v, "cannot start a thread");
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int
libvirt_open(struct libvirt **out, struct loop *l, const struct libvirt_conf *conf,
    const struct libvirt_calls *calls, void *ctx, struct host_err *err)
{
    struct libvirt *v = mem_alloc(sizeof(*v));
    pthread_condattr_t attr;
    int rc;
    v->loop = l;
    v->calls = *calls;
    v->ctx = ctx;
    v->uri = mem_strdup(conf->uri);
    v->facts_tail = &v->facts;
    v->jobs_tail = &v->jobs;
    pthread_mutex_init(&v->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&v->more, &attr);
    pthread_condattr_destroy(&attr);
    v->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    *out = v;
    if (v->fd < 0)
        return host_fail(err, -errno, "cannot make an eventfd: %m");
    rc = loop_watch(l, v->fd, LOOP_IN, on_readable, v, &v->watch, err);
    if (rc)
        return rc;
    virt_xml_init();
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
        return host_fail(err, -EIO, "libvirt %s: its library cannot be used: %s",
            v->uri, virGetLastErrorMessage());
    virSetErrorFunc(NULL, no_message);
    v->begin = (struct loop_call){.fn = begin, .ctx = v};
    loop_later(l, &v->begin);
    return 0;
}

static void
add_job(struct libvirt *v, const char *uuid, const char *xml)
{
    struct job *j = mem_alloc(sizeof(*j));
    snprintf(j->uuid, sizeof(j->uuid), "%s", uuid);
    j->xml = xml ? mem_strdup(xml) : NULL;
    pthread_mutex_lock(&v->mutex);
    *v->jobs_tail = j;
    v->jobs_tail = &j->next;
    pthread_cond_signal(&v->more);
    pthread_mutex_unlock(&v->mutex);
}

void
libvirt_look(struct libvirt *v, const char *uuid)
{
    add_job(v, uuid, NULL);
}

void
libvirt_write(struct libvirt *v, const char *uuid, const char *xml)
{
    add_job(v, uuid, xml);
}

/* A call that libvirt does not answer cannot be ended: then its thread is left behind,
 * with what it uses, to the end of the process. */
static bool
threads_ended(struct libvirt *v)
{
    struct timespec at;
    if (!v->started)
        return true;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += LEAVE_MS * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    if (pthread_timedjoin_np(v->work, NULL, &at))
        return false;
    virEventUpdateTimeout(v->waker, 0);
    return pthread_timedjoin_np(v->events, NULL, &at) == 0;
}

void
libvirt_close(struct libvirt *v)
{
    struct fact *f;
    struct job *j;
    if (!v)
        return;
    loop_call_cancel(&v->begin);
    loop_unwatch(v->watch);
    pthread_mutex_lock(&v->mutex);
    v->stop = true;
    pthread_cond_signal(&v->more);
    pthread_mutex_unlock(&v->mutex);
    if (!threads_ended(v))
        return;
    while ((f = v->facts)) {
        v->facts = f->next;
        mem_free(f);
    }
    while ((j = v->jobs)) {
        v->jobs = j->next;
        job_free(j);
    }
    pthread_cond_destroy(&v->more);
    pthread_mutex_destroy(&v->mutex);
    if (v->fd >= 0)
        close(v->fd);
    mem_free(v->uri);
    mem_free(v);
}
