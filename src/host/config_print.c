/* SPDX-License-Identifier: Apache-2.0 */
/* The two texts that are made from the rows: the commented example and the values in
 * effect. Both load again; what a key may be is said by the numbers that check it. */
#include "host/config.h"
#include "host/config_row.h"
#include <string.h>

#define WIDTH 88

static uint64_t
uint_fetch(const void *src, size_t size)
{
    switch (size) {
    case 1:
        return *(const uint8_t *)src;
    case 2:
        return *(const uint16_t *)src;
    case 4:
        return *(const uint32_t *)src;
    }
    return *(const uint64_t *)src;
}

/* In the quotes that libconfuse takes literally where needed: "${X}" would be expanded.
 */
static void
print_string(const char *s, FILE *out)
{
    char quote = strchr(s, '$') ? '\'' : '"';
    fputc(quote, out);
    for (; *s; s++) {
        if (*s == quote || *s == '\\')
            fputc('\\', out);
        fputc(*s, out);
    }
    fputc(quote, out);
}

static void
print_vnis(const struct config_vnis *v, FILE *out)
{
    fputc('"', out);
    for (uint32_t i = 0; i < v->n; i++) {
        const struct config_range *r = &v->ranges[i];
        fprintf(out, "%s%u", i ? ", " : "", r->first);
        if (r->last != r->first)
            fprintf(out, "-%u", r->last);
    }
    fputc('"', out);
}

static void
print_number(uint64_t v, bool is_time, FILE *out)
{
    char text[CONFIG_DURATION_STR];
    if (is_time)
        fputs(config_duration_str(v, text), out);
    else
        fprintf(out, "%llu", (unsigned long long)v);
}

/* False: there is nothing to print (unset). */
static bool
has_value(const struct config_row *r, const void *at)
{
    switch (r->type) {
    case CONFIG_STRING:
        return *(char *const *)at != NULL;
    case CONFIG_MAC:
        return !mac_is_none(at);
    case CONFIG_IP:
        return !ip_is_none(at);
    case CONFIG_VNIS:
        return ((const struct config_vnis *)at)->n > 0;
    case CONFIG_BOOL:
    case CONFIG_INT:
    case CONFIG_DURATION:
    case CONFIG_ENUM:
    case CONFIG_GROUP:
    case CONFIG_LIST:
    case CONFIG_SETTINGS:
        break;
    }
    return true;
}

static void
print_value(const struct config_row *r, const void *at, FILE *out)
{
    char text[IP_STR];

    switch (r->type) {
    case CONFIG_STRING:
        print_string(r->secret ? "(hidden)" : *(char *const *)at, out);
        break;
    case CONFIG_BOOL:
        fputs(*(const bool *)at ? "true" : "false", out);
        break;
    case CONFIG_INT:
    case CONFIG_DURATION:
        print_number(uint_fetch(at, r->size), r->type == CONFIG_DURATION, out);
        break;
    case CONFIG_MAC:
        fputs(mac_str(at, text), out);
        break;
    case CONFIG_IP:
        fputs(ip_str(at, text), out);
        break;
    case CONFIG_VNIS:
        print_vnis(at, out);
        break;
    case CONFIG_ENUM:
        fputs(r->words[uint_fetch(at, r->size)], out);
        break;
    case CONFIG_GROUP:
    case CONFIG_LIST:
    case CONFIG_SETTINGS:
        break;
    }
}

static void
print_rows(const struct config_row *rows, const uint8_t *base, int indent, FILE *out)
{
    for (const struct config_row *r = rows; r->name; r++) {
        const uint8_t *at = base + r->offset;
        const struct config_list *list = (const struct config_list *)at;
        if (r->type == CONFIG_GROUP) {
            fprintf(out, "%*s%s {\n", indent, "", r->name);
            print_rows(r->rows, base, indent + 4, out);
            fprintf(out, "%*s}\n", indent, "");
        } else if (r->type == CONFIG_SETTINGS) {
            fprintf(out, "%*s%s {\n", indent, "", r->name);
            for (size_t i = 0; i < r->n_settings; i++) {
                fprintf(out, "%*s%s = ", indent + 4, "", r->settings[i].name);
                print_number(((const uint64_t *)at)[i],
                    config_setting_is_time(&r->settings[i]), out);
                fputc('\n', out);
            }
            fprintf(out, "%*s}\n", indent, "");
        } else if (r->type == CONFIG_LIST) {
            for (uint32_t i = 0; i < list->n; i++) {
                const uint8_t *item = (const uint8_t *)list->items + i * r->item_size;
                fprintf(out, "%*s%s ", indent, "", r->name);
                print_string(*(char *const *)item, out);
                fputs(" {\n", out);
                print_rows(r->rows, item, indent + 4, out);
                fprintf(out, "%*s}\n", indent, "");
            }
        } else if (has_value(r, at)) {
            fprintf(out, "%*s%s = ", indent, "", r->name);
            print_value(r, at, out);
            fputc('\n', out);
        }
    }
}

void
config_print(const struct config_row *rows, const void *conf, FILE *out)
{
    print_rows(rows, conf, 0, out);
}

/* ---- the example ---- */

/* `text` as comment lines of at most WIDTH columns. */
static void
print_comment(const char *text, const char *off, int indent, FILE *out)
{
    while (*text) {
        size_t room = (size_t)(WIDTH - indent) - strlen(off) - 2, n = strlen(text);
        if (n > room)
            for (n = room; n > 0 && text[n] != ' '; n--)
                ;
        if (n == 0) /* one word longer than the line */
            n = strcspn(text, " ");
        fprintf(out, "%s%*s# %.*s\n", off, indent, "", (int)n, text);
        text += n;
        text += strspn(text, " ");
    }
}

static void
print_range(const char *head, uint64_t min, uint64_t max, bool is_time, const char *off,
    int indent, FILE *out)
{
    char a[CONFIG_DURATION_STR], b[CONFIG_DURATION_STR], text[128];
    if (is_time && max == UINT64_MAX)
        snprintf(
            text, sizeof(text), "%s, at least %s", head, config_duration_str(min, a));
    else if (is_time)
        snprintf(text, sizeof(text), "%s from %s to %s", head,
            config_duration_str(min, a), config_duration_str(max, b));
    else
        snprintf(text, sizeof(text), "%s from %llu to %llu", head,
            (unsigned long long)min, (unsigned long long)max);
    print_comment(text, off, indent, out);
}

static void
print_kind(const struct config_row *r, const char *off, int indent, FILE *out)
{
    char text[256];
    int n;

    switch (r->type) {
    case CONFIG_INT:
        print_range("Number", r->min, config_row_max(r), false, off, indent, out);
        break;
    case CONFIG_DURATION:
        print_range("Time", r->min, config_row_max(r), true, off, indent, out);
        break;
    case CONFIG_ENUM:
        n = snprintf(text, sizeof(text), "One of");
        for (int i = 0; r->words[i] && (size_t)n < sizeof(text); i++)
            n += snprintf(
                text + n, sizeof(text) - (size_t)n, "%s %s", i ? "," : "", r->words[i]);
        print_comment(text, off, indent, out);
        break;
    case CONFIG_VNIS:
        print_comment("VNIs and ranges of them: \"5000, 6000-6999\"", off, indent, out);
        break;
    case CONFIG_STRING:
    case CONFIG_BOOL:
    case CONFIG_MAC:
    case CONFIG_IP:
    case CONFIG_GROUP:
    case CONFIG_LIST:
    case CONFIG_SETTINGS:
        break;
    }
}

static void
example_value(const struct config_row *r, FILE *out)
{
    const char *text = r->example ? r->example : r->def ? r->def : "";
    if (r->type == CONFIG_STRING || r->type == CONFIG_VNIS || !*text)
        print_string(text, out);
    else
        fputs(text, out);
}

static void
example_settings(const struct config_row *r, const char *off, int indent, FILE *out)
{
    for (size_t i = 0; i < r->n_settings; i++) {
        const struct setting *s = &r->settings[i];
        char help[256];
        bool is_time = config_setting_is_time(s);
        snprintf(help, sizeof(help), "%s%s%s%s", s->help ? s->help : "",
            s->clause ? " (" : "", s->clause ? s->clause : "", s->clause ? ")" : "");
        print_comment(help, off, indent, out);
        print_range(
            is_time ? "Time" : "Number", s->min, s->max, is_time, off, indent, out);
        fprintf(out, "%s%*s#%s = ", off, indent, "", s->name);
        print_number(s->def, is_time, out);
        fputc('\n', out);
    }
}

/* `off` is put before every line: "#" inside a section that is itself commented out. */
static void
example_rows(const struct config_row *rows, const char *off, int indent, FILE *out)
{
    for (const struct config_row *r = rows; r->name; r++) {
        bool section = r->rows || r->type == CONFIG_SETTINGS;
        const char *sub = r->type == CONFIG_LIST && !r->required && !r->shown ? "#" : off;
        if (r != rows || indent == 0)
            fprintf(out, "%s\n", off);
        if (r->help)
            print_comment(r->help, off, indent, out);
        print_kind(r, off, indent, out);
        if (section) {
            fprintf(out, "%s%*s%s", sub, indent, "", r->name);
            if (r->type == CONFIG_LIST)
                fprintf(out, " \"%s\"", r->example ? r->example : "name");
            fputs(" {\n", out);
            if (r->type == CONFIG_SETTINGS)
                example_settings(r, sub, indent + 4, out);
            else
                example_rows(r->rows, sub, indent + 4, out);
            fprintf(out, "%s%*s}\n", sub, indent, "");
            continue;
        }
        fprintf(out, "%s%*s%s%s = ", off, indent, "", r->required ? "" : "#", r->name);
        example_value(r, out);
        fputc('\n', out);
    }
}

void
config_print_example(const struct config_row *rows, const char *program, FILE *out)
{
    fprintf(out,
        "# Configuration of %s. A key that is commented out shows its default.\n",
        program);
    example_rows(rows, "", 0, out);
}
