/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. libconfuse does the syntax; every value reaches it as a string and is
 * parsed here. Its pitfalls (3.3) and what is done about them:
 * - out-of-range integers and duplicate keys pass: our own parser, and a list of keys
 * seen;
 * - a section that is open at the end of the file passes, each comment moves the line
 * count by two, a comment between a key and its value is an error: the text is prepared
 * first (prepare: comments become blanks, quotes and braces are checked). A key's row
 * is found through the number kept in its option's unused default. */
#include "host/config.h"
#include "host/config_row.h"
#include "base/mem.h"
#include "base/timers.h"
#include <confuse.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX  (4 << 20) /* octets of a configuration file */
#define DEPTH_MAX 8
#define NAME_MAX_ 64

struct table { /* one array of libconfuse options, made from rows or settings */
    cfg_opt_t *opts;
    const struct config_row *row; /* the section's; NULL at the root */
    struct table *subs;
    uint32_t n;
};
struct key { /* what the number of an option leads to */
    const struct config_row *row;
    const struct setting *setting;
};
struct load {
    const char *path;
    struct host_err *err;
    bool failed;
    struct key *keys;
    uint32_t n_keys, cap_keys;
    const cfg_opt_t **seen;
    uint32_t n_seen, cap_seen;
};
/* libconfuse gives its callbacks no context. */
static __thread struct load *loading;

/* ---- values ---- */

static const struct {
    const char *unit;
    uint64_t us;
} units[] = {
    {"h",   3600000000},
    {"min", 60000000  },
    {"s",   1000000   },
    {"ms",  1000      },
    {"us",  1         }
};
#define N_UNITS (sizeof(units) / sizeof(units[0]))

bool
config_duration_parse(const char *text, uint64_t *us)
{
    uint64_t whole = 0, part = 0, scale = 1;
    const char *p = text;

    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
            return false;
    if (*p == '.') {
        if (p[1] < '0' || p[1] > '9')
            return false;
        for (p++; *p >= '0' && *p <= '9'; p++) {
            if (scale >= 1000000000)
                return false;
            part = part * 10 + (uint64_t)(*p - '0');
            scale *= 10;
        }
    }
    while (*p == ' ')
        p++;
    for (size_t i = 0; i < N_UNITS; i++) {
        if (strcmp(p, units[i].unit) != 0)
            continue;
        if (part * units[i].us % scale != 0) /* less than a microsecond */
            return false;
        return !__builtin_mul_overflow(whole, units[i].us, us) &&
               !__builtin_add_overflow(*us, part * units[i].us / scale, us);
    }
    *us = 0;
    return *p == 0 && whole == 0 && part == 0; /* nought needs no unit */
}

const char *
config_duration_str(uint64_t us, char *text)
{
    size_t i = 0;
    while (us && us % units[i].us != 0)
        i++;
    if (us)
        snprintf(text, CONFIG_DURATION_STR, "%llu%s",
            (unsigned long long)(us / units[i].us), units[i].unit);
    else
        snprintf(text, CONFIG_DURATION_STR, "0");
    return text;
}

static bool
uint_parse(const char *text, uint64_t *v)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *v = strtoull(
        text, &end, text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
    return *end == 0 && errno == 0;
}

static void
uint_store(void *dst, size_t size, uint64_t v)
{
    switch (size) {
    case 1:
        *(uint8_t *)dst = (uint8_t)v;
        break;
    case 2:
        *(uint16_t *)dst = (uint16_t)v;
        break;
    case 4:
        *(uint32_t *)dst = (uint32_t)v;
        break;
    default:
        *(uint64_t *)dst = v;
        break;
    }
}

/* Distance of two words: letters added, left out, changed or swapped. */
static unsigned
distance(const char *a, const char *b)
{
    unsigned d[3][NAME_MAX_ + 1];
    size_t na = strnlen(a, NAME_MAX_), nb = strnlen(b, NAME_MAX_);

    for (size_t j = 0; j <= nb; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = d[i % 3], *last = d[(i + 2) % 3], *before = d[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return d[na % 3][nb];
}

/* "did you mean X?" when a name is near, else all names. `at` gives them until NULL. */
static void
suggest(const char *word, const char *(*at)(const void *, uint32_t), const void *ctx,
    char *text, size_t size)
{
    const char *name, *nearest = NULL;
    unsigned best = (unsigned)strlen(word) / 3 + 2;
    int n;

    for (uint32_t i = 0; (name = at(ctx, i)); i++) {
        unsigned far = distance(word, name);
        if (far < best) {
            best = far;
            nearest = name;
        }
    }
    if (nearest) {
        snprintf(text, size, "did you mean %s?", nearest);
        return;
    }
    n = snprintf(text, size, "choose of");
    for (uint32_t i = 0; (name = at(ctx, i)) && (size_t)n < size; i++)
        n += snprintf(text + n, size - (size_t)n, "%s %s", i ? "," : "", name);
}

static const char *
word_at(const void *ctx, uint32_t i)
{
    return ((const char *const *)ctx)[i];
}

static int
range_compare(const void *a, const void *b)
{
    const struct config_range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* "5000, 6000-6999": numbers and ranges up to VNI_MAX, in any order, made rising. */
static bool
vnis_parse(const char *text, struct config_vnis *v)
{
    char *end;
    uint32_t n = 0;

    memset(v, 0, sizeof(*v));
    for (const char *p = text; *p;) {
        struct config_range r;
        p += strspn(p, " \t");
        if (*p < '0' || *p > '9')
            goto bad;
        unsigned long a = strtoul(p, &end, 10), b = a;
        p = end + strspn(end, " \t");
        if (*p == '-') {
            p += 1 + strspn(p + 1, " \t");
            if (*p < '0' || *p > '9')
                goto bad;
            b = strtoul(p, &end, 10);
            p = end + strspn(end, " \t");
        }
        if (a > b || b > VNI_MAX || (*p && *p != ',') || (*p == ',' && !p[1]))
            goto bad;
        p += *p == ',';
        r = (struct config_range){(uint32_t)a, (uint32_t)b};
        v->ranges = mem_grow(v->ranges, (v->n + 1) * sizeof(r));
        v->ranges[v->n++] = r;
    }
    if (v->n)
        qsort(v->ranges, v->n, sizeof(v->ranges[0]), range_compare);
    for (uint32_t i = 0; i < v->n; i++) { /* joins what overlaps or touches */
        struct config_range *last = n ? &v->ranges[n - 1] : NULL, r = v->ranges[i];
        if (!last || r.first > last->last + 1)
            v->ranges[n++] = r;
        else if (r.last > last->last)
            last->last = r.last;
    }
    v->n = n;
    return true;
bad:
    mem_free(v->ranges);
    memset(v, 0, sizeof(*v));
    return false;
}

bool
config_vnis_has(const struct config_vnis *v, uint32_t vni)
{
    uint32_t low = 0, high = v->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (vni > v->ranges[mid].last)
            low = mid + 1;
        else if (vni < v->ranges[mid].first)
            high = mid;
        else
            return true;
    }
    return false;
}

/* A number or a time within bounds; the reason why not in `why`. */
static bool
number_parse(const char *text, bool duration, uint64_t min, uint64_t max, uint64_t *v,
    char *why, size_t size)
{
    char a[CONFIG_DURATION_STR], b[CONFIG_DURATION_STR];

    if (!(duration ? config_duration_parse(text, v) : uint_parse(text, v))) {
        snprintf(why, size,
            duration ? "not a time; write a number and a unit: us, ms, s, min or h"
                     : "not a whole number");
        return false;
    }
    if (*v >= min && *v <= max)
        return true;
    if (duration)
        snprintf(why, size, "out of range; from %s to %s", config_duration_str(min, a),
            config_duration_str(max, b));
    else
        snprintf(why, size, "out of range; from %llu to %llu", (unsigned long long)min,
            (unsigned long long)max);
    return false;
}

/* Parses text into dst, or only checks it (dst NULL). */
static bool
value_parse(
    const struct config_row *row, const char *text, void *dst, char *why, size_t size)
{
    static const char *const words[] = {
        "false", "true", "no", "yes", "off", "on", NULL};
    struct config_vnis vnis;
    struct mac mac;
    struct ip ip;
    uint64_t v;
    size_t n = strlen(text);

    switch (row->type) {
    case CONFIG_STRING:
        if (n < row->min || n > config_row_max(row)) {
            snprintf(why, size, "has %zu characters; from %llu to %llu", n,
                (unsigned long long)row->min, (unsigned long long)config_row_max(row));
            return false;
        }
        if (dst) {
            mem_free(*(char **)dst);
            *(char **)dst = mem_strdup(text);
        }
        return true;
    case CONFIG_BOOL:
        for (int i = 0; words[i]; i++) {
            if (strcmp(text, words[i]) == 0) {
                if (dst)
                    *(bool *)dst = i % 2;
                return true;
            }
        }
        snprintf(why, size, "neither true nor false");
        return false;
    case CONFIG_INT:
    case CONFIG_DURATION:
        if (!number_parse(text, row->type == CONFIG_DURATION, row->min,
                config_row_max(row), &v, why, size))
            return false;
        if (dst)
            uint_store(dst, row->size, v);
        return true;
    case CONFIG_MAC:
        if (!mac_parse(text, &mac)) {
            snprintf(why, size, "not a MAC address such as 02:00:00:00:00:01");
            return false;
        }
        if (dst)
            *(struct mac *)dst = mac;
        return true;
    case CONFIG_IP:
        if (!ip_parse(text, &ip)) {
            snprintf(why, size, "not an IPv4 or IPv6 address");
            return false;
        }
        if (dst)
            *(struct ip *)dst = ip;
        return true;
    case CONFIG_VNIS:
        if (!vnis_parse(text, &vnis)) {
            snprintf(why, size,
                "not a list of VNIs such as \"5000, 6000-6999\"; up to %d", VNI_MAX);
            return false;
        }
        if (dst) {
            mem_free(((struct config_vnis *)dst)->ranges);
            *(struct config_vnis *)dst = vnis;
        } else {
            mem_free(vnis.ranges);
        }
        return true;
    case CONFIG_ENUM:
        for (uint32_t i = 0; row->words[i]; i++) {
            if (strcmp(text, row->words[i]) == 0) {
                if (dst)
                    uint_store(dst, row->size, i);
                return true;
            }
        }
        suggest(text, word_at, row->words, why, size);
        return false;
    case CONFIG_GROUP:
    case CONFIG_LIST:
    case CONFIG_SETTINGS:
        break;
    }
    return true;
}

/* ---- defaults and freeing ---- */

static void
defaults_set(const struct config_row *rows, uint8_t *base)
{
    char why[128];
    for (const struct config_row *r = rows; r->name; r++) {
        if (r->type == CONFIG_GROUP)
            defaults_set(r->rows, base);
        for (size_t i = 0; r->type == CONFIG_SETTINGS && i < r->n_settings; i++)
            ((uint64_t *)(base + r->offset))[i] = r->settings[i].def;
        if (r->def && !value_parse(r, r->def, base + r->offset, why, sizeof(why)))
            abort(); /* a default of our own table that does not parse: our bug */
    }
}

void
config_free(const struct config_row *rows, void *conf)
{
    uint8_t *base = conf;
    for (const struct config_row *r = rows; r->name; r++) {
        uint8_t *at = base + r->offset;
        if (r->type == CONFIG_STRING) {
            mem_free(*(char **)at);
            *(char **)at = NULL;
        } else if (r->type == CONFIG_VNIS) {
            mem_free(((struct config_vnis *)at)->ranges);
            memset(at, 0, sizeof(struct config_vnis));
        } else if (r->type == CONFIG_GROUP) {
            config_free(r->rows, conf);
        } else if (r->type == CONFIG_LIST) {
            struct config_list *list = (struct config_list *)at;
            for (uint32_t i = 0; i < list->n; i++) {
                uint8_t *item = (uint8_t *)list->items + i * r->item_size;
                mem_free(*(char **)item);
                config_free(r->rows, item);
            }
            mem_free(list->items);
            memset(list, 0, sizeof(*list));
        }
    }
}

/* ---- libconfuse ---- */

/* The first error counts: those that follow are often its echo. */
__attribute__((format(printf, 3, 4))) static int
refuse(struct load *l, int line, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (!l->failed && line > 0)
        host_fail(l->err, 0, "%s:%d: %s", l->path, line, text);
    else if (!l->failed)
        host_fail(l->err, 0, "%s: %s", l->path, text);
    l->failed = true;
    return -1;
}

static const char *
section_text(const cfg_t *sec, char *text, size_t size)
{
    if (strcmp(sec->name, "root") == 0)
        text[0] = 0;
    else if (sec->title)
        snprintf(text, size, " in %s \"%s\"", sec->name, sec->title);
    else
        snprintf(text, size, " in %s", sec->name);
    return text;
}

static const char *
opt_at(const void *ctx, uint32_t i)
{
    return ((const cfg_opt_t *)ctx)[i].name;
}

static void
on_error(cfg_t *sec, const char *fmt, va_list ap)
{
    char text[160], where[80], hint[160];

    if (strncmp(fmt, "no such option", 14) == 0) {
        const char *name = va_arg(ap, const char *);
        suggest(name, opt_at, sec->opts, hint, sizeof(hint));
        refuse(loading, sec->line, "unknown key %s%s; %s", name,
            section_text(sec, where, sizeof(where)), hint);
        return;
    }
    vsnprintf(text, sizeof(text), fmt, ap);
    refuse(loading, sec->line, "%s%s", text, section_text(sec, where, sizeof(where)));
}

/* Called for every value as it is read, and for a section at its end. */
static int
on_value(cfg_t *sec, cfg_opt_t *opt)
{
    struct load *l = loading;
    const struct key *key = &l->keys[opt->def.number];
    char why[160], where[80];
    uint64_t v;

    section_text(sec, where, sizeof(where));
    if (key->row->type != CONFIG_LIST || key->setting) {
        for (uint32_t i = 0; i < l->n_seen; i++)
            if (l->seen[i] == opt)
                return refuse(
                    l, sec->line, "%s is set twice%s; remove one", opt->name, where);
        if (l->n_seen == l->cap_seen) {
            l->cap_seen = l->cap_seen ? 2 * l->cap_seen : 64;
            l->seen = mem_grow(l->seen, l->cap_seen * sizeof(l->seen[0]));
        }
        l->seen[l->n_seen++] = opt;
    }
    if (opt->type != CFGT_STR)
        return 0;
    const char *text = cfg_opt_getnstr(opt, 0);
    bool good = key->setting
                    ? number_parse(text, config_setting_is_time(key->setting),
                          key->setting->min, key->setting->max, &v, why, sizeof(why))
                    : value_parse(key->row, text, NULL, why, sizeof(why));
    return good ? 0
                : refuse(l, sec->line, "%s = %.60s%s: %s", opt->name, text, where, why);
}

static long
key_add(struct load *l, const struct config_row *row, const struct setting *setting)
{
    if (l->n_keys == l->cap_keys) {
        l->cap_keys = l->cap_keys ? 2 * l->cap_keys : 64;
        l->keys = mem_grow(l->keys, l->cap_keys * sizeof(l->keys[0]));
    }
    l->keys[l->n_keys] = (struct key){row, setting};
    return l->n_keys++;
}

static bool
is_section(enum config_type type)
{
    return type == CONFIG_GROUP || type == CONFIG_LIST || type == CONFIG_SETTINGS;
}

static cfg_opt_t
opt_of(const char *name, long number)
{
    cfg_opt_t str = CFG_STR(name, NULL, CFGF_NODEFAULT);
    str.validcb = on_value;
    str.def.number = number;
    return str;
}

static void
table_make(struct load *l, struct table *t, const struct config_row *row,
    const struct config_row *rows)
{
    const cfg_opt_t end = CFG_END();
    bool settings = row && row->type == CONFIG_SETTINGS;

    t->row = row;
    for (t->n = 0; settings ? t->n < row->n_settings : rows[t->n].name != NULL;)
        t->n++;
    t->opts = mem_alloc((t->n + 1) * sizeof(*t->opts));
    t->subs = mem_alloc((t->n + 1) * sizeof(*t->subs));
    for (uint32_t i = 0; i < t->n; i++) {
        if (settings) {
            const struct setting *s = &row->settings[i];
            t->opts[i] = opt_of(s->name, key_add(l, row, s));
            continue;
        }
        const struct config_row *r = &rows[i];
        t->opts[i] = opt_of(r->name, key_add(l, r, NULL));
        if (is_section(r->type)) {
            table_make(l, &t->subs[i], r, r->rows);
            t->opts[i].type = CFGT_SEC;
            t->opts[i].subopts = t->subs[i].opts;
            if (r->type == CONFIG_LIST)
                t->opts[i].flags |= CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
        }
    }
    t->opts[t->n] = end;
}

static void
table_free(struct table *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        table_free(&t->subs[i]);
    mem_free(t->subs);
    mem_free(t->opts);
}

/* ---- from sections to the struct ---- */

static int fill(
    struct load *l, const struct config_row *rows, cfg_t *sec, uint8_t *base);

static int
fill_list(struct load *l, const struct config_row *r, cfg_t *sec, uint8_t *base)
{
    struct config_list *list = (struct config_list *)(base + r->offset);
    uint32_t n = cfg_size(sec, r->name);

    if (r->required && n == 0)
        return refuse(l, 0, "no section %s; add: %s \"%s\" { ... }", r->name, r->name,
            r->example ? r->example : "name");
    if (r->max && n > r->max)
        return refuse(l, cfg_getnsec(sec, r->name, n - 1)->line,
            "%u sections %s; at most %llu", n, r->name, (unsigned long long)r->max);
    list->items = n ? mem_alloc(n * r->item_size) : NULL;
    for (uint32_t i = 0; i < n; i++) {
        cfg_t *sub = cfg_getnsec(sec, r->name, i);
        uint8_t *item = (uint8_t *)list->items + i * r->item_size;
        if (!cfg_title(sub)[0])
            return refuse(l, sub->line, "a section %s has an empty name", r->name);
        *(char **)item = mem_strdup(cfg_title(sub));
        list->n = i + 1;
        defaults_set(r->rows, item);
        if (fill(l, r->rows, sub, item) < 0)
            return -1;
    }
    return 0;
}

/* Values have been checked by on_value: what is left is what may be missing. */
static int
fill(struct load *l, const struct config_row *rows, cfg_t *sec, uint8_t *base)
{
    char why[128], where[80];
    int rc = 0;

    for (const struct config_row *r = rows; r->name && rc == 0; r++) {
        cfg_t *sub;
        if (r->type == CONFIG_LIST) {
            rc = fill_list(l, r, sec, base);
        } else if (r->type == CONFIG_GROUP) {
            sub = cfg_size(sec, r->name) ? cfg_getsec(sec, r->name) : NULL;
            /* A group that is not there may hold a key that must be. */
            for (const struct config_row *k = r->rows; !sub && k->name && rc == 0; k++)
                if (k->required)
                    rc = refuse(l, 0, "no key %s in %s; add: %s { %s = %s }", k->name,
                        r->name, r->name, k->name, k->example ? k->example : "...");
            if (sub)
                rc = fill(l, r->rows, sub, base);
        } else if (r->type == CONFIG_SETTINGS) {
            sub = cfg_size(sec, r->name) ? cfg_getsec(sec, r->name) : NULL;
            for (size_t i = 0; sub && i < r->n_settings; i++) {
                const struct setting *s = &r->settings[i];
                if (cfg_size(sub, s->name))
                    number_parse(cfg_getstr(sub, s->name), config_setting_is_time(s),
                        s->min, s->max, (uint64_t *)(base + r->offset) + i, why,
                        sizeof(why));
            }
        } else if (cfg_size(sec, r->name)) {
            value_parse(
                r, cfg_getstr(sec, r->name), base + r->offset, why, sizeof(why));
        } else if (r->required) {
            rc = refuse(l, strcmp(sec->name, "root") == 0 ? 0 : sec->line,
                "no key %s%s; add: %s = %s", r->name,
                section_text(sec, where, sizeof(where)), r->name,
                r->example ? r->example : "...");
        }
    }
    return rc;
}

/* ---- the text ---- */

/* Comments become blanks (lines stay), strings and braces are checked. In place. */
static int
prepare(struct load *l, char *text)
{
    int line = 1, open_line[DEPTH_MAX + 1], depth = 0;
    bool fresh = true; /* at the start of a word: only there // and slash-star begin */

    for (char *p = text; *p; p++) {
        if (*p == '#' || (fresh && p[0] == '/' && p[1] == '/')) {
            while (p[0] && p[0] != '\n')
                *p++ = ' ';
            if (!*p)
                return depth ? refuse(l, open_line[depth], "section not closed; add }")
                             : 0;
        } else if (fresh && p[0] == '/' && p[1] == '*') {
            int begin = line;
            char *end = strstr(p + 2, "*/");
            if (!end)
                return refuse(l, begin, "comment not closed; add */");
            for (; p < end + 2; p++) {
                line += *p == '\n';
                *p = *p == '\n' ? '\n' : ' ';
            }
            p--;
            continue;
        }
        if (*p == '"' || *p == '\'') {
            char quote = *p;
            for (p++; *p && *p != quote && *p != '\n'; p++)
                p += *p == '\\' && p[1] && p[1] != '\n';
            if (*p != quote)
                return refuse(l, line, "string not closed; add %c", quote);
        } else if (*p == '{') {
            if (++depth > DEPTH_MAX)
                return refuse(l, line, "sections are nested too deep");
            open_line[depth] = line;
        } else if (*p == '}' && depth > 0) {
            depth--;
        }
        line += *p == '\n';
        fresh = strchr(" \t\r\n{}=,\"'", *p) != NULL;
    }
    return depth ? refuse(l, open_line[depth], "section not closed; add }") : 0;
}

/* `text` is changed. */
static int
load_text(const struct config_row *rows, void *conf, size_t conf_size, const char *path,
    char *text, struct host_err *err)
{
    struct load l = {.path = path, .err = err};
    struct table root = {0};
    cfg_t *cfg = NULL;

    memset(conf, 0, conf_size);
    defaults_set(rows, conf);
    if (prepare(&l, text) == 0) {
        table_make(&l, &root, NULL, rows);
        loading = &l;
        cfg = cfg_init(root.opts, CFGF_NONE);
        cfg_set_error_function(cfg, on_error);
        if (cfg_parse_buf(cfg, text) != CFG_SUCCESS && !l.failed)
            refuse(&l, cfg->line, "does not parse");
        if (!l.failed)
            fill(&l, rows, cfg, conf);
        loading = NULL;
        cfg_free(cfg);
        table_free(&root);
    }
    mem_free(l.keys);
    mem_free(l.seen);
    if (!l.failed)
        return 0;
    config_free(rows, conf);
    return -EINVAL;
}

int
config_load_text(const struct config_row *rows, void *conf, size_t conf_size,
    const char *text, struct host_err *err)
{
    char *copy = mem_strdup(text);
    int rc = load_text(rows, conf, conf_size, "<text>", copy, err);
    mem_free(copy);
    return rc;
}

int
config_load(const struct config_row *rows, void *conf, size_t conf_size,
    const char *path, struct host_err *err)
{
    char *text = NULL;
    size_t size;
    int rc = 0;
    FILE *f;

    if (!path) {
        text = mem_strdup("");
        rc = load_text(rows, conf, conf_size, "(no file)", text, err);
        mem_free(text);
        return rc;
    }
    memset(conf, 0, conf_size);
    f = fopen(path, "re");
    if (!f)
        return host_fail(err, -errno,
            "%s: %m; --print-example-config writes a commented one to begin with",
            path);
    text = mem_alloc(FILE_MAX + 1);
    size = fread(text, 1, FILE_MAX + 1, f);
    if (ferror(f))
        rc = host_fail(err, -EIO, "%s: cannot read; is it a file?", path);
    else if (size > FILE_MAX)
        rc = host_fail(err, -EFBIG, "%s: larger than %d octets", path, FILE_MAX);
    else if (memchr(text, 0, size))
        rc = host_fail(err, -EINVAL, "%s: not a text file", path);
    else
        rc = load_text(rows, conf, conf_size, path, text, err);
    fclose(f);
    mem_free(text);
    return rc;
}
