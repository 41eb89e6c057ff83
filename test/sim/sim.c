/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's command line. Every run is a child process, so that a crash is a
 * failure like the others: with its seed, its last events and a shortened list of
 * operations. */
#include "sim.h"
#include "base/log.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_SHOWN 60
#define SHRINK_RUNS  250
#define LIMIT_S      120 /* of one run of an ordinary world: it hangs */
#define PROGRESS_S   2

struct result {     /* in memory shared with the child */
    struct world w; /* the one under way */
    uint64_t seed, done, steps, last_hash;
    uint32_t profile;
    bool failed;
    char property[40], why[600];
    uint64_t counts[V_N], oks[V_N], refusals, delivered, forwarded, relayed, held,
        moves;
    struct coverage cover;
};
struct options {
    uint64_t first, seeds;
    uint32_t nves, vms, jobs, replays;
    char *const *replay;
    const char *out;
    bool verbose, shrink, stats, coverage, rows, every_row;
    uint32_t profiles; /* bits */
};

static struct world *current; /* for the signal handler */
static bool show_events;

static void
events_print(const struct world *w)
{
    uint32_t n = w->n_ring < EVENTS_SHOWN ? w->n_ring : EVENTS_SHOWN;
    for (uint32_t i = 0; i < n; i++)
        printf("  %s\n", w->ring[(w->at_ring + 400 - n + i) % 400]);
    fflush(stdout);
}

static void
on_signal(int sig)
{
    if (current && show_events)
        events_print(current);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void
sink(void *ctx, enum log_level level, const char *module, const char *line)
{
    if (current)
        sim_trace(current, "    %s %s: %s", log_level_name(level), module, line);
    (void)ctx;
}

/* ---- one run ---- */

static uint64_t
run(const struct scenario *s, struct result *r, bool trace, bool verbose)
{
    struct world *w = &r->w;
    uint64_t hash;
    memset(w, 0, sizeof(*w));
    w->tracing = trace || verbose;
    w->verbose = verbose;
    current = w;
    if (w->tracing)
        log_set_sink(sink, NULL), log_set_level("*", LOG_INF);
    alarm(s->vms > LARGE ? 0 : LIMIT_S);
    if (!world_run(w, s)) {
        r->failed = true;
        memcpy(r->property, w->property, sizeof(r->property));
        memcpy(r->why, w->why, sizeof(r->why));
        if (trace && show_events)
            events_print(w);
    }
    alarm(0);
    hash = w->hash;
    r->steps += w->steps;
    r->refusals += w->refusals;
    r->delivered += w->n_delivered;
    r->forwarded += w->n_forwarded;
    r->relayed += w->n_relayed;
    r->held += w->n_held;
    r->moves += w->n_moves_ok;
    for (unsigned i = 0; i < V_N; i++) {
        r->counts[i] += w->counts[i];
        r->oks[i] += w->oks[i];
    }
    log_set_sink(NULL, NULL);
    current = NULL;
    world_done(w);
    memset(w, 0, sizeof(*w));
    cover_add(&r->cover, &coverage);
    memset(&coverage, 0, sizeof(coverage));
    return hash;
}

static void
run_seed(const struct scenario *s, struct result *r, bool twice)
{
    uint64_t hash = run(s, r, false, false);
    r->last_hash = hash;
    if (twice && !r->failed && run(s, r, false, false) != hash && !r->failed) {
        r->failed = true;
        snprintf(r->property, sizeof(r->property), "equal-traces");
        snprintf(r->why, sizeof(r->why), "the same seed gives two traces");
    }
}

static void
crashed(struct result *r, int status)
{
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    r->failed = true;
    snprintf(r->property, sizeof(r->property), sig == SIGALRM ? "hang" : "crash");
    if (sig)
        snprintf(r->why, sizeof(r->why), "the process ended by signal %d (%s)", sig,
            strsignal(sig));
    else
        snprintf(
            r->why, sizeof(r->why), "the process ended with %d", WEXITSTATUS(status));
}

static struct result *
shared(void)
{
    void *p = mmap(NULL, sizeof(struct result), PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return p;
}

enum how { PLAIN, TRACED, SILENT };

/* In a child. SILENT: its noise is thrown away (shrinking). */
static void
run_child(const struct scenario *s, struct result *r, enum how how, bool verbose)
{
    int status = 0;
    pid_t pid;
    struct coverage cover = r->cover;
    memset(r, 0, sizeof(*r));
    r->cover = cover;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        if (how == SILENT &&
            (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
            _exit(3);
        show_events = how == TRACED;
        if (how == TRACED || verbose)
            run(s, r, true, verbose);
        else
            run_seed(s, r, true);
        fflush(stdout);
        exit(0); /* by exit: the sanitizer's leak check is part of the run */
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        perror("fork");
        exit(2);
    }
    if (status && !r->failed)
        crashed(r, status);
}

/* ---- failures ---- */

/* Leaves out what is not needed for the same property to fail. */
static void
shrink(struct scenario *s, const char *property, struct result *r)
{
    uint32_t runs = 0;
    for (uint32_t part = (s->n_ops + 1) / 2; part && runs < SHRINK_RUNS; part /= 2) {
        for (uint32_t at = 0; at < s->n_ops && runs < SHRINK_RUNS;) {
            struct scenario t = *s;
            uint32_t n = s->n_ops - at < part ? s->n_ops - at : part;
            t.ops = mem_alloc((s->n_ops + 1) * sizeof(*t.ops));
            memcpy(t.ops, s->ops, at * sizeof(*t.ops));
            memcpy(t.ops + at, s->ops + at + n, (s->n_ops - at - n) * sizeof(*t.ops));
            t.n_ops = s->n_ops - n;
            run_child(&t, r, SILENT, false);
            runs++;
            if (r->failed && strcmp(r->property, property) == 0) {
                mem_free(s->ops);
                *s = t;
            } else {
                mem_free(t.ops);
                at += n;
            }
        }
    }
    uint32_t *knobs[] = {&s->loss, &s->dup, &s->plain, &s->hostile, &s->wild,
        &s->small_tags, &s->pull, &s->centralised, &s->noips, &s->domain_shared};
    for (size_t k = 0; k < sizeof(knobs) / sizeof(knobs[0]); k++) {
        uint32_t was = *knobs[k];
        if (!was)
            continue;
        *knobs[k] = 0;
        run_child(s, r, SILENT, false);
        if (!r->failed || strcmp(r->property, property) != 0)
            *knobs[k] = was;
    }
}

static void
explain(const struct options *o, struct scenario *s, const struct result *found)
{
    struct result *r = shared();
    char property[40], path[512], why[800];
    memcpy(property, found->property, sizeof(property));
    printf("seed %llu (%s): %s: %s\n", (unsigned long long)s->seed,
        profile_names[s->profile], property, found->why);
    if (o->shrink) {
        uint32_t before = s->n_ops;
        shrink(s, property, r);
        printf("shortened from %u to %u operations\n", before, s->n_ops);
    }
    printf("the last events:\n");
    run_child(s, r, TRACED, false);
    snprintf(path, sizeof(path), "%s/sim-%s%llu.txt", o->out, s->profile ? "move-" : "",
        (unsigned long long)s->seed);
    FILE *f = fopen(path, "w");
    if (f) {
        snprintf(why, sizeof(why), "%s: %s", property, r->failed ? r->why : found->why);
        scenario_write(s, f, why);
        fclose(f);
        printf("%s\nreplay: sim --replay %s\n", r->why, path);
    }
    munmap(r, sizeof(*r));
}

/* ---- many seeds ---- */

static pid_t
worker_start(const struct options *o, struct result *r, uint64_t first)
{
    pid_t pid;
    fflush(stdout);
    pid = fork();
    if (pid)
        return pid;
    for (uint64_t seed = first; seed < o->first + o->seeds; seed += o->jobs) {
        struct scenario s;
        r->seed = seed;
        for (uint32_t p = 0; p < PROFILE_N && !r->failed; p++)
            if (o->profiles >> p & 1) {
                r->profile = p;
                scenario_make(&s, seed, o->nves, o->vms, p);
                run_seed(&s, r, seed % 8 == 0 && !o->nves);
                scenario_done(&s);
            }
        if (r->failed)
            break;
        r->done++;
    }
    exit(0);
}

/* ---- progress ---- */

static void
on_due(int sig)
{
    (void)sig; /* ends waitpid */
}

/* On a terminal one line that changes, else one now and then. The worlds belong to the
 * children: what is read of them here is for people. */
static void
progress(const struct options *o, struct result *const *r)
{
    static uint32_t n;
    uint64_t done = 0, steps = 0;
    bool terminal = isatty(2);
    if (!terminal && ++n % 5)
        return;
    for (uint32_t j = 0; j < o->jobs; j++) {
        done += r[j]->done;
        steps += r[j]->steps + r[j]->w.steps;
    }
    fprintf(stderr, "%ssim: %llu of %llu seeds, %.1f million steps",
        terminal ? "\r" : "", (unsigned long long)done, (unsigned long long)o->seeds,
        (double)steps / 1e6);
    if (o->vms > LARGE)
        fprintf(stderr, ", %s, %.1f s of virtual time",
            r[0]->w.calm ? "at rest" : "VMs begin and move", (double)r[0]->w.now / 1e6);
    fputs(terminal ? "\033[K" : "\n", stderr);
}

static int
worker_wait(const struct options *o, struct result *const *r, pid_t pid)
{
    struct itimerval every =
                         {
                             {PROGRESS_S, 0},
                             {PROGRESS_S, 0}
    },
                     never = {0};
    struct sigaction sa = {.sa_handler = on_due}, was;
    int status = 0;
    sigaction(SIGALRM, &sa, &was);
    setitimer(ITIMER_REAL, &every, NULL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        progress(o, r);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &was, NULL);
    if (isatty(2))
        fputs("\r\033[K", stderr);
    return status;
}

static int
run_seeds(const struct options *o)
{
    struct result *r[64], sum = {0};
    pid_t pids[64];
    struct timespec a, b;
    struct rusage usage;
    uint32_t n_failed = 0;
    double took;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (uint32_t j = 0; j < o->jobs; j++) {
        r[j] = shared();
        pids[j] = worker_start(o, r[j], o->first + j);
    }
    for (uint32_t j = 0; j < o->jobs; j++)
        for (;;) {
            int status = worker_wait(o, r, pids[j]);
            if (status && !r[j]->failed)
                crashed(r[j], status);
            if (!r[j]->failed)
                break;
            struct scenario s;
            struct result found = *r[j];
            scenario_make(&s, found.seed, o->nves, o->vms, found.profile);
            if (n_failed++ < 5)
                explain(o, &s, &found);
            else
                printf("seed %llu (%s): %s: %s\n", (unsigned long long)found.seed,
                    profile_names[found.profile], found.property, found.why);
            scenario_done(&s);
            if (found.seed + o->jobs >= o->first + o->seeds || n_failed >= 100)
                break;
            r[j]->failed = false;
            pids[j] = worker_start(o, r[j], found.seed + o->jobs);
        }
    clock_gettime(CLOCK_MONOTONIC, &b);
    took = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    for (uint32_t j = 0; j < o->jobs; j++) {
        sum.done += r[j]->done;
        sum.steps += r[j]->steps;
        sum.refusals += r[j]->refusals;
        sum.delivered += r[j]->delivered;
        sum.forwarded += r[j]->forwarded;
        sum.relayed += r[j]->relayed;
        sum.held += r[j]->held;
        sum.moves += r[j]->moves;
        cover_add(&sum.cover, &r[j]->cover);
        for (unsigned i = 0; i < V_N; i++) {
            sum.counts[i] += r[j]->counts[i];
            sum.oks[i] += r[j]->oks[i];
        }
    }
    if (o->stats) {
        for (unsigned i = 0; i < V_N; i++)
            if (sum.counts[i])
                printf("%-18s %9llu, ok %llu\n", verb_names[i],
                    (unsigned long long)sum.counts[i], (unsigned long long)sum.oks[i]);
        printf("refused %llu, migrations %llu, frames forwarded %llu, relayed %llu, "
               "held %llu, delivered %llu\n",
            (unsigned long long)sum.refusals, (unsigned long long)sum.moves,
            (unsigned long long)sum.forwarded, (unsigned long long)sum.relayed,
            (unsigned long long)sum.held, (unsigned long long)sum.delivered);
    }
    getrusage(RUSAGE_CHILDREN, &usage);
    uint32_t missing = o->coverage ? cover_print(&sum.cover, o->rows) : 0;
    printf("sim: %llu seeds passed, %u failed, first %llu; %.1f s, %.1f seeds/s, %.0f "
           "steps/s, at most %ld MB\n",
        (unsigned long long)sum.done, n_failed, (unsigned long long)o->first, took,
        took > 0 ? (double)sum.done / took : 0.0,
        took > 0 ? (double)sum.steps / took : 0.0, usage.ru_maxrss / 1024);
    return n_failed || (missing && o->every_row) ? 1 : 0;
}

static int
run_file(const struct options *o, const char *path)
{
    struct scenario s;
    struct result *r = shared();
    int failed;
    if (!scenario_read(&s, path)) {
        fprintf(stderr, "%s: not a trace of the simulator\n", path);
        return 2;
    }
    run_child(&s, r, PLAIN, o->verbose);
    if (r->failed && !o->verbose)
        run_child(&s, r, TRACED, false);
    failed = r->failed;
    printf("%s: %s%s%s, %llu steps\n", path, failed ? r->property : "passes",
        failed ? ": " : "", failed ? r->why : "", (unsigned long long)r->steps);
    scenario_done(&s);
    munmap(r, sizeof(*r));
    return failed;
}

static uint64_t
number(const char *text)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    if (!*text || *end) {
        fprintf(stderr, "sim: %s is no number\n", text);
        exit(2);
    }
    return n;
}

static uint32_t
profile_of(const char *name)
{
    for (uint32_t p = 0; p < PROFILE_N; p++)
        if (strcmp(name, profile_names[p]) == 0)
            return 1u << p;
    fprintf(stderr, "sim: no profile %s\n", name);
    exit(2);
}

static void
usage(void)
{
    fputs(
        "sim [--seeds N] [--first SEED] [--nves N] [--vms N] [--jobs N] [--no-shrink]\n"
        "    [--profile chaos|migrate|odd] [--stats] [--coverage [--rows]] "
        "[--every-row]\n"
        "    [--out DIR]                                 many worlds, each from its "
        "seed; every-row: fails when one was not reached\n"
        "    more than 1000 VMs: one profile (migrate), 50 VMs in a network, of which\n"
        "    every hundredth moves\n"
        "sim --replay FILE... [--verbose]                worlds written down\n"
        "sim --seeds 1 --first SEED --verbose            one world, every event\n",
        stderr);
    exit(2);
}

int
main(int argc, char **argv)
{
    struct options o = {
        .first = 1, .seeds = 100, .jobs = 1, .out = ".", .shrink = true, .profiles = 7};
    int bad = 0;
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(a, "--verbose") == 0)
            o.verbose = true;
        else if (strcmp(a, "--no-shrink") == 0)
            o.shrink = false;
        else if (strcmp(a, "--stats") == 0)
            o.stats = true;
        else if (strcmp(a, "--coverage") == 0)
            o.coverage = true;
        else if (strcmp(a, "--every-row") == 0)
            o.coverage = o.every_row = true;
        else if (strcmp(a, "--rows") == 0)
            o.coverage = o.rows = true;
        else if (strcmp(a, "--replay") == 0) {
            o.replay = argv + i + 1;
            while (i + 1 < argc && argv[i + 1][0] != '-')
                i++, o.replays++;
        } else if (i++, strcmp(a, "--seeds") == 0)
            o.seeds = number(v);
        else if (strcmp(a, "--first") == 0)
            o.first = number(v);
        else if (strcmp(a, "--nves") == 0)
            o.nves = (uint32_t)number(v);
        else if (strcmp(a, "--vms") == 0)
            o.vms = (uint32_t)number(v);
        else if (strcmp(a, "--jobs") == 0)
            o.jobs = (uint32_t)number(v);
        else if (strcmp(a, "--profile") == 0)
            o.profiles = profile_of(v);
        else if (strcmp(a, "--out") == 0)
            o.out = v;
        else
            usage();
    }
    for (uint32_t i = 0; i < o.replays; i++)
        bad |= run_file(&o, o.replay[i]);
    if (o.replay)
        return bad;
    if (o.vms > LARGE)
        o.profiles = 1u << PROFILE_MIGRATE; /* the others have no large worlds */
    if (o.jobs < 1 || o.jobs > 64 || o.nves > 60000)
        usage();
    if (o.verbose && o.seeds == 1) {
        struct scenario s;
        struct result *r = shared();
        scenario_make(&s, o.first, o.nves, o.vms, o.profiles & 1 ? 0 : 1);
        run_child(&s, r, PLAIN, true);
        printf("%s %s\n", r->failed ? r->property : "passes", r->why);
        scenario_done(&s);
        return r->failed;
    }
    return run_seeds(&o);
}
