/* SPDX-License-Identifier: Apache-2.0 */
/* The text writer keeps the first rows as JSON until it knows the widths, then forgets
 * each row after printing it. Texts come from daemons, and through them from peers:
 * what a terminal would obey is printed as \xNN. */
#include "cli/out.h"
#include "core/edge.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 24
#define CELL_MAX    512 /* octets; longer texts end in "..." */
#define GAP         2

struct out_writer {
    bool (*row)(struct out *o, const char *line, size_t size);
    void (*end)(struct out *o);
};
struct out {
    const struct out_writer *writer;
    FILE *to;
    const struct cli_command *command;
    bool all, bold, streaming;
    struct out_count count;
    json_t **sample;
    size_t n_sample;
    bool shown[COLUMNS_MAX];
    int width[COLUMNS_MAX];
};

/* ---- cells ---- */

const char *
out_seconds(double s, char *text)
{
    static const struct {
        unsigned of, in;
        const char *big, *small;
    } units[] = {
        {86400, 3600, "d", "h"},
        {3600,  60,   "h", "m"},
        {60,    1,    "m", "s"}
    };
    if (s > 0 && s < 0.001)
        snprintf(text, OUT_SECONDS_STR, "%.0fus", s * 1e6);
    else if (s > 0 && s < 1)
        snprintf(text, OUT_SECONDS_STR, "%.3gms", s * 1e3);
    else if (!(s < 1e9))
        snprintf(text, OUT_SECONDS_STR, "never");
    else if (s < 60)
        snprintf(text, OUT_SECONDS_STR, "%.3gs", s);
    for (size_t i = 0; s >= 60 && s < 1e9 && i < sizeof(units) / sizeof(units[0]);
         i++) {
        unsigned long long big = (unsigned long long)s / units[i].of,
                           small = (unsigned long long)s % units[i].of / units[i].in;
        if (!big)
            continue;
        if (small)
            snprintf(text, OUT_SECONDS_STR, "%llu%s%02llu%s", big, units[i].big, small,
                units[i].small);
        else
            snprintf(text, OUT_SECONDS_STR, "%llu%s", big, units[i].big);
        break;
    }
    return text;
}

void
out_clean(char *cell, size_t size, const char *s)
{
    size_t n = strlen(cell);
    if (n + 12 > size)
        return; /* its dots stand already */
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        /* C1 controls are 0xc2 0x80..0x9f in UTF-8 */
        bool bad = c < 0x20 || c == 0x7f ||
                   (c == 0xc2 && ((unsigned char)s[1] & 0xe0) == 0x80);
        /* not within a character, which has three octets more at most: JSON is UTF-8 */
        if (n + 12 > size && (c & 0xc0) != 0x80) {
            strcpy(cell + n, "...");
            return;
        }
        n += (size_t)snprintf(cell + n, 8, bad ? "\\x%02x" : "%c", c);
        if (bad && c == 0xc2)
            n += (size_t)snprintf(cell + n, 8, "\\x%02x", (unsigned char)*++s);
    }
}

static void
clean(char *cell, const char *s)
{
    out_clean(cell, CELL_MAX, s);
}

static void
scalar(char *cell, const json_t *v)
{
    char text[32] = "";
    switch (json_typeof(v)) {
    case JSON_STRING:
        clean(cell, json_string_value(v));
        return;
    case JSON_INTEGER:
        snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        break;
    case JSON_REAL:
        snprintf(text, sizeof(text), "%g", json_real_value(v));
        break;
    case JSON_TRUE:
        strcpy(text, "yes");
        break;
    case JSON_FALSE:
        strcpy(text, "no");
        break;
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    clean(cell, text);
}

/* The pending set of an attachment (K6). */
static void
waiting(char *cell, json_int_t set)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {WAIT_AUTH,     "auth"    },
        {WAIT_EPOCH,    "epoch"   },
        {WAIT_DATAPATH, "datapath"},
        {WAIT_JOURNAL,  "journal" },
        {WAIT_PUBLISH,  "publish" },
        {WAIT_REMOTE,   "remote"  },
        {WAIT_TAG,      "tag"     }
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (set & words[i].bit) {
            if (*cell)
                clean(cell, ",");
            clean(cell, words[i].word);
        }
}

static json_t *
value_at(json_t *row, const struct cli_column *col)
{
    json_t *v = json_object_get(row, col->key);
    return v || !col->instead ? v : json_object_get(row, col->instead);
}

/* Text of one cell; "-" where there is nothing to say. */
static void
cell_of(json_t *row, const struct cli_column *col, char cell[CELL_MAX])
{
    json_t *v = value_at(row, col), *item;
    char text[OUT_SECONDS_STR];
    size_t i;
    cell[0] = '\0';
    if (!v)
        ;
    else if (json_is_array(v))
        json_array_foreach(v, i, item)
        {
            if (i)
                clean(cell, ",");
            scalar(cell, item);
        }
    else if (col->format == CLI_WAITING && json_is_integer(v))
        waiting(cell, json_integer_value(v));
    else if (col->format == CLI_SECONDS && json_is_number(v) &&
             json_object_get(row, col->key) == v)
        clean(cell, out_seconds(json_number_value(v), text));
    else
        scalar(cell, v);
    if (!*cell)
        strcpy(cell, "-");
}

/* Does an optional column have something to say here? */
static bool
says(json_t *row, const struct cli_column *col)
{
    json_t *v = value_at(row, col);
    return json_is_true(v) || (json_is_string(v) && *json_string_value(v)) ||
           (json_is_number(v) && json_number_value(v) != 0) || json_array_size(v);
}

static int
cell_width(const char *cell)
{
    int n = 0;
    for (; *cell; cell++)
        n += (*cell & 0xc0) != 0x80;
    return n;
}

/* ---- the table ---- */

static const struct cli_column no_columns[] = {{0}};

static const struct cli_column *
columns_of(const struct out *o)
{
    return o->command->columns ? o->command->columns : no_columns;
}

static void
print_line(struct out *o, json_t *row)
{
    const struct cli_column *cols = columns_of(o);
    int owed = 0; /* blanks before the next cell: none at the end of a line */
    if (!row && o->bold)
        fputs("\033[1m", o->to);
    for (size_t i = 0; cols[i].key; i++) {
        char cell[CELL_MAX];
        int pad;
        if (!o->shown[i])
            continue;
        if (row)
            cell_of(row, &cols[i], cell);
        else
            snprintf(cell, sizeof(cell), "%s", cols[i].title);
        pad = o->width[i] - cell_width(cell);
        if (pad < 0)
            pad = 0;
        if (cols[i].format == CLI_NUMBER || cols[i].format == CLI_SECONDS) {
            owed += pad;
            pad = 0;
        }
        fprintf(o->to, "%*s%s", owed, "", cell);
        owed = pad + GAP;
    }
    if (!row && o->bold)
        fputs("\033[0m", o->to);
    fputc('\n', o->to);
}

/* By the command's keys; texts with numbers in them by the numbers (swp2 before swp10).
 */
static int
by_keys(const void *a, const void *b, void *keys)
{
    json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    for (const char *k = keys; k && *k;) {
        char key[32];
        size_t n = strcspn(k, " ");
        json_t *v, *w;
        int d = 0;
        snprintf(key, sizeof(key), "%.*s", (int)n, k);
        v = json_object_get(x, key);
        w = json_object_get(y, key);
        if (json_is_integer(v) && json_is_integer(w))
            d = (json_integer_value(v) > json_integer_value(w)) -
                (json_integer_value(v) < json_integer_value(w));
        else if (json_is_string(v) && json_is_string(w))
            d = strverscmp(json_string_value(v), json_string_value(w));
        if (d)
            return d;
        k += n + (k[n] == ' ');
    }
    return 0;
}

static bool
is_zero_counter(json_t *row)
{
    json_t *value = json_object_get(row, "value");
    return json_is_integer(value) && json_integer_value(value) == 0;
}

/* Zero counters go behind the others, or away. */
static void
counters_sort(struct out *o)
{
    json_t **sorted = calloc(o->n_sample + 1, sizeof(json_t *));
    size_t n = 0;
    if (!sorted)
        abort();
    for (int zero = 0; zero < 2; zero++)
        for (size_t i = 0; i < o->n_sample; i++) {
            if (is_zero_counter(o->sample[i]) != (zero == 1))
                continue;
            if (zero && !o->all) {
                o->count.hidden++;
                json_decref(o->sample[i]);
            } else {
                sorted[n++] = o->sample[i];
            }
        }
    free(o->sample);
    o->sample = sorted;
    o->n_sample = n;
}

static bool
is_counters(const struct out *o)
{
    return o->command->request && strcmp(o->command->request, "show counters") == 0;
}

/* Columns and widths by the sample; complete: no row is to follow. */
static void
layout(struct out *o, bool complete)
{
    const struct cli_column *cols = columns_of(o);
    char cell[CELL_MAX];
    for (size_t i = 0; cols[i].key && i < COLUMNS_MAX; i++) {
        bool there = false, said = false;
        o->width[i] = cell_width(cols[i].title);
        for (size_t r = 0; r < o->n_sample; r++) {
            int w;
            there = there || value_at(o->sample[r], &cols[i]);
            said = said || says(o->sample[r], &cols[i]);
            cell_of(o->sample[r], &cols[i], cell);
            w = cell_width(cell);
            if (w > o->width[i])
                o->width[i] = w;
        }
        o->shown[i] = there && (said || !cols[i].optional || !complete);
    }
}

static void
flush(struct out *o, bool complete)
{
    if (complete && o->command->sort && o->n_sample)
        qsort_r(o->sample, o->n_sample, sizeof(json_t *), by_keys,
            (void *)(uintptr_t)o->command->sort);
    if (is_counters(o))
        counters_sort(o);
    layout(o, complete);
    if (o->n_sample && o->command->columns)
        print_line(o, NULL);
    for (size_t r = 0; r < o->n_sample; r++) {
        if (o->command->columns)
            print_line(o, o->sample[r]);
        json_decref(o->sample[r]);
    }
    free(o->sample);
    o->sample = NULL;
    o->n_sample = 0;
}

static bool
text_row(struct out *o, const char *line, size_t size)
{
    json_t *row = json_loadb(line, size, 0, NULL);
    if (!json_is_object(row)) {
        json_decref(row);
        return false;
    }
    if (!o->streaming && o->n_sample == OUT_SAMPLE) {
        flush(o, false);
        o->streaming = true;
    }
    if (!o->streaming) {
        if (!o->sample)
            o->sample = calloc(OUT_SAMPLE, sizeof(json_t *));
        if (!o->sample)
            abort();
        o->sample[o->n_sample++] = row;
        return true;
    }
    if (is_counters(o) && !o->all && is_zero_counter(row))
        o->count.hidden++;
    else
        print_line(o, row);
    json_decref(row);
    return true;
}

static void
text_end(struct out *o)
{
    if (!o->streaming)
        flush(o, true);
}

static bool
json_row(struct out *o, const char *line, size_t size)
{
    fwrite(line, 1, size, o->to);
    fputc('\n', o->to);
    return true;
}

static void
json_end(struct out *o)
{
    (void)o;
}

/* ---- the interface ---- */

static const struct out_writer text_writer = {text_row, text_end};
static const struct out_writer json_writer = {json_row, json_end};

static struct out *
out_new(const struct out_writer *writer, FILE *to)
{
    struct out *o = calloc(1, sizeof(*o));
    if (!o)
        abort();
    o->writer = writer;
    o->to = to;
    return o;
}

struct out *
out_json(FILE *to)
{
    return out_new(&json_writer, to);
}

struct out *
out_text(FILE *to, const struct cli_command *command, bool all, bool bold)
{
    struct out *o = out_new(&text_writer, to);
    o->command = command;
    o->all = all;
    o->bold = bold;
    return o;
}

bool
out_row(struct out *o, const char *line, size_t size)
{
    o->count.rows++;
    return o->writer->row(o, line, size);
}

void
out_end(struct out *o, struct out_count *count)
{
    o->writer->end(o);
    *count = o->count;
    free(o);
}
