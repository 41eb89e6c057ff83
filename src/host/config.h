/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files, table driven over libconfuse: a program declares rows, one call
 * fills its struct or refuses with file:line and a hint. The same rows print the
 * commented example and the values in effect. Every value, defaults too, takes the one
 * parser here, because libconfuse accepts out-of-range numbers and duplicate keys
 * silently. Times are uint64_t microseconds in the struct, "200ms" in the file. */
#ifndef BERTH_HOST_CONFIG_H
#define BERTH_HOST_CONFIG_H
#include "host/error.h"
#include "wire/addr.h"
#include <stddef.h>
#include <stdio.h>

struct setting; /* base/timers.h (K19) */
enum config_type {
    CONFIG_STRING,   /* char *, NULL when unset; max: longest (0 = 255) */
    CONFIG_BOOL,     /* bool; true/false, yes/no, on/off */
    CONFIG_INT,      /* unsigned of 1, 2, 4 or 8 octets; min..max */
    CONFIG_DURATION, /* uint64_t us; min..max in us; us ms s min h */
    CONFIG_MAC,      /* struct mac */
    CONFIG_IP,       /* struct ip */
    CONFIG_VNIS,     /* struct config_vnis; "5000, 6000-6999" */
    CONFIG_ENUM,     /* unsigned: number of the word in .words */
    CONFIG_GROUP,    /* name { ... } once; .rows, offsets in the same struct */
    CONFIG_LIST,     /* name "title" { ... } n times; struct config_list */
    CONFIG_SETTINGS  /* name { ... } once; uint64_t[] by .settings */
};
struct config_row {
    const char *name; /* NULL ends the table */
    enum config_type type;
    size_t offset, size;           /* by CONFIG_AT */
    const char *def;               /* as text; NULL = zero */
    uint64_t min, max;             /* max 0: as large as the type; LIST: of sections */
    const char *const *words;      /* ENUM: NULL-terminated */
    const struct config_row *rows; /* GROUP, LIST */
    size_t item_size; /* LIST: of one item; its first member is char *title */
    const struct setting
        *settings;       /* SETTINGS: n_settings rows; names starting "t_" or */
    size_t n_settings;   /*  ending "_us" are durations, others counts */
    bool secret;         /* STRING: config_print hides it */
    bool required;       /* key, or at least one section, must be there */
    bool shown;          /* LIST: the example has a live section though none is required */
    const char *help;    /* one sentence; LIST: also what the title is */
    const char *example; /* printed in place of the default; LIST: a title */
};
#define CONFIG_AT(type_, member)                                                       \
    .offset = offsetof(type_, member), .size = sizeof(((type_ *)0)->member)

struct config_range {
    uint32_t first, last;
};
struct config_vnis {
    struct config_range *ranges; /* rising, disjoint */
    uint32_t n;
};
struct config_list {
    void *items; /* n items of item_size, in the order of the file */
    uint32_t n;
};
bool config_vnis_has(const struct config_vnis *v, uint32_t vni);

/* Zeroes `conf` (of conf_size), sets defaults, reads the file. On error nothing needs
 * freeing and err holds "path:line: what; what to do". -ENOENT, -EINVAL ... Free by
 * config_free with the same rows. path NULL: the defaults alone. */
int config_load(const struct config_row *rows, void *conf, size_t conf_size,
    const char *path, struct host_err *err);
int config_load_text(const struct config_row *rows, void *conf, size_t conf_size,
    const char *text, struct host_err *err); /* named "<text>" in errors */
void config_free(const struct config_row *rows, void *conf);

/* --print-example-config: every key with its help, range and default; a fresh reader
 * can uncomment. `program` stands in the first line. The text loads (required keys are
 * live). */
void config_print_example(
    const struct config_row *rows, const char *program, FILE *out);
/* The values in effect, in the syntax of the file; secrets are hidden. */
void config_print(const struct config_row *rows, const void *conf, FILE *out);

bool config_duration_parse(const char *text, uint64_t *us); /* "1.5s", "200ms", "0" */
#define CONFIG_DURATION_STR 32
const char *config_duration_str(uint64_t us, char *text); /* shortest exact form */
#endif
