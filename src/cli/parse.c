/* SPDX-License-Identifier: Apache-2.0 */
/* One walk over the words: options of berth anywhere; the first plain words are noun
 * and verb; from then on each word is an argument of that command: --name VALUE,
 * --name=VALUE, name=VALUE, or a value in its place. Values are brought to the form
 * that the daemons print, because their filters compare texts. */
#include "cli/parse.h"
#include "wire/addr.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX_  48 /* of what nearest compares */
#define CANDIDATES 128
#define ARGS_MAX   32 /* of one command */

struct parse {
    struct cli_call *call;
    const char *noun;
    json_t *values[ARGS_MAX]; /* by the row of the argument; references owned */
    char *why;
    size_t size;
};

/* ---- names ---- */

/* Typing errors between two words: letters missing, added, wrong, or two swapped. */
static size_t
distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b), d[WORD_MAX_ + 1][WORD_MAX_ + 1];
    if (la > WORD_MAX_ || lb > WORD_MAX_)
        return WORD_MAX_;
    for (size_t i = 0; i <= la; i++)
        for (size_t j = 0; j <= lb; j++) {
            size_t best;
            if (!i || !j) {
                d[i][j] = i + j;
                continue;
            }
            best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[la][lb];
}

const char *
cli_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *found = NULL;
    size_t len = strlen(word), best = len / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, candidates[i]);
        /* what was begun and not ended is near, too */
        if (len >= 2 && strncmp(word, candidates[i], len) == 0)
            d = 1;
        if (d < best && d < strlen(candidates[i])) {
            best = d;
            found = candidates[i];
        }
    }
    return found;
}

const struct cli_command *
cli_noun(const char *noun)
{
    for (const struct cli_command *c = cli_commands; c->noun; c++)
        if (strcmp(c->noun, noun) == 0)
            return c;
    return NULL;
}

const struct cli_command *
cli_find(const char *noun, const char *verb)
{
    for (const struct cli_command *c = cli_commands; c->noun; c++)
        if (strcmp(c->noun, noun) == 0 &&
            (!c->verb || (verb && strcmp(c->verb, verb) == 0)))
            return c;
    return NULL;
}

/* ---- sentences ---- */

__attribute__((format(printf, 2, 3))) static bool
fail(struct parse *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->why, p->size, fmt, ap);
    va_end(ap);
    return false;
}

static void
append(char *text, size_t size, const char *a, const char *b)
{
    size_t n = strlen(text);
    if (n < size)
        snprintf(text + n, size - n, "%s%s", a, b);
}

/* `"wrod" is not a WHAT[; did you mean "word"]; NEXT` */
static bool
fail_word(struct parse *p, const char *what, const char *word,
    const char *const *candidates, size_t n, const char *next)
{
    const char *near = cli_nearest(word, candidates, n);
    fail(p, "\"%.64s\" is not %s", word, what);
    if (near) {
        append(p->why, p->size, "; did you mean \"", near);
        append(p->why, p->size, "\"?", "");
    } else {
        append(p->why, p->size, "; ", next);
    }
    return false;
}

static const char *
command_name(const struct cli_command *c, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
    return text;
}

static bool
fail_noun(struct parse *p, const char *word)
{
    const char *nouns[CANDIDATES];
    size_t n = 0;
    for (const struct cli_command *c = cli_commands; c->noun; c++)
        if (!n || strcmp(nouns[n - 1], c->noun) != 0)
            nouns[n++] = c->noun;
    /* `berth attachments` wants the noun before it */
    for (const struct cli_command *c = cli_commands; c->noun; c++)
        if (c->verb && strcmp(c->verb, word) == 0)
            return fail(p, "\"%s\" is not a command; did you mean \"%s %s\"?", word,
                c->noun, c->verb);
    return fail_word(p, "a command", word, nouns, n, "`berth help` lists the commands");
}

static bool
fail_verb(struct parse *p, const char *noun, const char *word)
{
    const char *verbs[CANDIDATES];
    char what[64], next[512] = "it is one of";
    size_t n = 0;
    for (const struct cli_command *c = cli_commands; c->noun; c++)
        if (strcmp(c->noun, noun) == 0) {
            append(next, sizeof(next), n ? ", " : " ", c->verb);
            verbs[n++] = c->verb;
        }
    if (!word)
        return fail(p, "%s: a word is missing; %s", noun, next);
    snprintf(what, sizeof(what), "something to %s", noun);
    if (strcmp(noun, "show") != 0)
        snprintf(what, sizeof(what), "a command of %s", noun);
    return fail_word(p, what, word, verbs, n, next);
}

/* ---- values ---- */

static bool
number(const char *text, int base, uint64_t *value)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *value = strtoull(text, &end, base);
    return !*end && !errno;
}

static bool
word_is(const struct cli_arg *arg, const char *text)
{
    for (const char *const *w = arg->words; *w; w++)
        if (strcmp(*w, text) == 0)
            return true;
    return false;
}

/* The value as the request has it, or NULL. */
static json_t *
value_of(const struct cli_arg *arg, const char *text)
{
    char form[VSIID_STR > IP_STR ? VSIID_STR : IP_STR];
    uint64_t n;
    struct mac mac;
    struct ip ip;
    struct vsiid vsi;
    switch (arg->type) {
    case CLI_STRING:
        return *text ? json_string(text) : NULL;
    case CLI_UINT:
        return number(text, 10, &n) && n >= arg->min && n <= arg->max
                   ? json_integer((json_int_t)n)
                   : NULL;
    case CLI_U64:
        if (!number(text, strncmp(text, "0x", 2) == 0 ? 16 : 10, &n))
            return NULL;
        snprintf(form, sizeof(form), "%llu", (unsigned long long)n);
        return json_string(form);
    case CLI_MAC:
        return mac_parse(text, &mac) ? json_string(mac_str(&mac, form)) : NULL;
    case CLI_IP:
        return ip_parse(text, &ip) ? json_string(ip_str(&ip, form)) : NULL;
    case CLI_VSI:
        return vsiid_parse(text, &vsi) ? json_string(vsiid_str(&vsi, form)) : NULL;
    case CLI_WORD:
        return word_is(arg, text) ? json_string(text) : NULL;
    case CLI_FLAG:
        return json_true();
    }
    return NULL;
}

static bool
fail_value(struct parse *p, const struct cli_arg *arg, const char *text)
{
    char what[96] = "", next[256] = "it is one of";
    size_t n = 0;
    switch (arg->type) {
    case CLI_STRING:
        return fail(p, "--%s: the value is empty; give a %s", arg->name, arg->value);
    case CLI_UINT:
        return fail(p, "--%s: \"%.64s\" is not a number from %llu to %llu", arg->name,
            text, (unsigned long long)arg->min, (unsigned long long)arg->max);
    case CLI_U64:
        return fail(p,
            "--%s: \"%.64s\" is not a number of at most 64 bits, decimal or 0x...",
            arg->name, text);
    case CLI_MAC:
        return fail(p, "--%s: \"%.64s\" is not a MAC; it is like 02:00:00:00:00:01",
            arg->name, text);
    case CLI_IP:
        return fail(p, "--%s: \"%.64s\" is not an IP; it is like 10.0.0.1 or fd00::1",
            arg->name, text);
    case CLI_VSI:
        return fail(p,
            "\"%.64s\" is not a station interface; it is a UUID, an IP, a MAC or "
            "local:HEX",
            text);
    case CLI_WORD:
        for (const char *const *w = arg->words; *w; w++, n++)
            append(next, sizeof(next), n ? ", " : " ", *w);
        snprintf(what, sizeof(what), "a value of --%s", arg->name);
        return fail_word(p, what, text, arg->words, n, next);
    case CLI_FLAG:
        return fail(p, "--%s takes no value", arg->name);
    }
    return false;
}

static size_t
n_args(const struct cli_command *c)
{
    size_t n = 0;
    while (c->args && c->args[n].name)
        n++;
    return n;
}

static bool
set(struct parse *p, const struct cli_arg *arg, const char *text)
{
    json_t **to = &p->values[arg - p->call->command->args], *value;
    value = value_of(arg, text);
    if (!value)
        return fail_value(p, arg, text);
    if (arg->flags & CLI_MANY) {
        if (!*to)
            *to = json_array();
        json_array_append_new(*to, value);
        return true;
    }
    if (*to) {
        json_decref(value);
        return fail(p, "--%s is given twice; give it once", arg->name);
    }
    *to = value;
    return true;
}

/* ---- words ---- */

static const struct cli_arg *
arg_named(const struct cli_arg *args, const char *name, size_t len)
{
    for (; args && args->name; args++)
        if (strlen(args->name) == len && memcmp(args->name, name, len) == 0)
            return args;
    return NULL;
}

static bool
fail_option(struct parse *p, const char *word, size_t len)
{
    const struct cli_command *c = p->call->command;
    const char *names[CANDIDATES], *near;
    char name[WORD_MAX_ + 1], of[64] = "berth";
    size_t n = 0;
    for (const struct cli_arg *a = c ? c->args : NULL; a && a->name; a++)
        names[n++] = a->name;
    for (const struct cli_arg *a = cli_options; a->name; a++)
        names[n++] = a->name;
    if (c)
        command_name(c, of, sizeof(of));
    snprintf(
        name, sizeof(name), "%.*s", (int)(len < WORD_MAX_ ? len : WORD_MAX_), word);
    near = cli_nearest(name, names, n);
    if (near)
        return fail(p, "%s: \"%s\" is not an argument of it; did you mean \"--%s\"?",
            of, name, near);
    if (c)
        return fail(p, "%s: \"%s\" is not an argument of it; see `berth help %s`", of,
            name, of);
    return fail(p, "\"%s\" is not an option; see `berth help`", name);
}

static bool
set_option(struct parse *p, const struct cli_arg *opt, const char *text)
{
    json_t *value = value_of(opt, text);
    char form = CLI_SHORT(opt);
    if (opt->type == CLI_UINT) {
        /* its min holds the short form, not a limit */
        struct cli_arg plain = *opt;
        plain.min = 0;
        json_decref(value);
        value = value_of(&plain, text);
        if (!value)
            return fail_value(p, &plain, text);
    }
    if (!value)
        return fail_value(p, opt, text);
    if (form == 's')
        p->call->socket = text;
    else if (form == 'o')
        p->call->output = text;
    else if (form == 't')
        p->call->timeout_us = (uint64_t)json_integer_value(value) * 1000000;
    else if (form == 'j')
        p->call->json = true;
    else if (form == 'h')
        p->call->help = true;
    else
        p->call->version = true;
    json_decref(value);
    return true;
}

/* -j, -sSOCKET, -s SOCKET, -js SOCKET */
static bool
short_options(struct parse *p, const char *word, char **next, int *used)
{
    for (const char *s = word + 1; *s; s++) {
        const struct cli_arg *opt = cli_options;
        while (opt->name && CLI_SHORT(opt) != *s)
            opt++;
        if (!opt->name)
            return fail(p, "-%c is not an option; see `berth help`", *s);
        if (opt->type != CLI_FLAG) {
            if (!s[1] && !*next)
                return fail(p, "-%c: a %s is missing", *s, opt->value);
            *used = !s[1];
            return set_option(p, opt, s[1] ? s + 1 : *next);
        }
        if (!set_option(p, opt, ""))
            return false;
    }
    return true;
}

static bool
long_option(struct parse *p, const char *word, char **next, int *used)
{
    const char *name = word + 2, *eq = strchr(name, '='), *text;
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    const struct cli_arg *own = arg_named(cli_options, name, len), *arg = own;
    if (!arg && p->call->command)
        arg = arg_named(p->call->command->args, name, len);
    if (!arg)
        return fail_option(p, name, len);
    if (arg->type == CLI_FLAG && eq)
        return fail(p, "--%s takes no value", arg->name);
    text = eq ? eq + 1 : arg->type == CLI_FLAG ? "" : *next;
    if (!text)
        return fail(p, "--%s: a %s is missing", arg->name, arg->value);
    *used = !eq && arg->type != CLI_FLAG;
    return own ? set_option(p, arg, text) : set(p, arg, text);
}

/* A value in its place: that of the first argument still open that it can be. Where it
 * can be none, the first open one says why. */
static bool
place(struct parse *p, const char *word)
{
    const struct cli_command *c = p->call->command;
    const struct cli_arg *open = NULL;
    char name[64];
    for (size_t i = 0; i < n_args(c); i++) {
        json_t *value;
        if (!(c->args[i].flags & CLI_PLACE) || p->values[i])
            continue;
        value = value_of(&c->args[i], word);
        if (value) {
            p->values[i] = value;
            return true;
        }
        if (!open)
            open = &c->args[i];
    }
    if (open)
        return fail_value(p, open, word);
    command_name(c, name, sizeof(name));
    return fail(
        p, "%s: \"%.64s\" is one word too many; see `berth help %s`", name, word, name);
}

static bool
plain_word(struct parse *p, const char *word)
{
    struct cli_call *call = p->call;
    const char *eq = strchr(word, '=');
    const struct cli_arg *arg;
    if (!p->noun) {
        if (!cli_noun(word))
            return fail_noun(p, word);
        p->noun = word;
        if (!cli_noun(word)->verb)
            call->command = cli_noun(word);
        return true;
    }
    if (!call->command) {
        call->command = cli_find(p->noun, word);
        return call->command || fail_verb(p, p->noun, word);
    }
    if (strcmp(call->command->noun, "help") == 0) {
        if (call->verb)
            return fail(p, "help: \"%.64s\" is one word too many", word);
        if (!call->noun && !cli_noun(word))
            return fail_noun(p, word);
        if (call->noun && !cli_find(call->noun, word))
            return fail_verb(p, call->noun, word);
        *(call->noun ? &call->verb : &call->noun) = word;
        return true;
    }
    if (!eq)
        return place(p, word);
    arg = arg_named(call->command->args, word, (size_t)(eq - word));
    if (arg && arg->type == CLI_FLAG)
        return fail(p, "%s takes no value; write --%s", arg->name, arg->name);
    return arg ? set(p, arg, eq + 1) : fail_option(p, word, (size_t)(eq - word));
}

static bool
complete(struct parse *p)
{
    const struct cli_command *c = p->call->command;
    bool asked = false, given = false;
    char name[64], either[128] = "";
    command_name(c, name, sizeof(name));
    for (size_t i = 0; i < n_args(c); i++) {
        const struct cli_arg *a = &c->args[i];
        if (a->flags & CLI_MUST && !p->values[i])
            return fail(p, "%s: %s is missing (%s); see `berth help %s`", name,
                a->value, a->help, name);
        if (a->flags & CLI_ONE_OF) {
            append(either, sizeof(either), asked ? " or " : "", a->value);
            asked = true;
            given = given || p->values[i];
        }
    }
    if (asked && !given)
        return fail(p, "%s: %s is missing; see `berth help %s`", name, either, name);
    return true;
}

static void
hand_over(struct parse *p)
{
    struct cli_call *call = p->call;
    const struct cli_command *c = call->command;
    for (size_t i = 0; c && i < n_args(c); i++) {
        const struct cli_arg *a = &c->args[i];
        if (!p->values[i])
            continue;
        json_object_set(a->flags & CLI_LOCAL ? call->local : call->request,
            a->key ? a->key : a->name, p->values[i]);
        call->filtered = call->filtered || !(a->flags & CLI_LOCAL);
        json_decref(p->values[i]);
    }
}

bool
cli_parse(int argc, char **argv, struct cli_call *call, char *why, size_t size)
{
    struct parse p = {.call = call, .why = why, .size = size};
    bool good = true, options = true;
    *call = (struct cli_call){
        .request = json_object(), .local = json_object(), .timeout_us = CLI_TIMEOUT_US};
    for (int i = 1; good && i < argc; i++) {
        const char *word = argv[i];
        int used = 0;
        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && word[0] == '-' && word[1] == '-')
            good = long_option(&p, word, &argv[i + 1], &used);
        else if (options && word[0] == '-' && word[1])
            good = short_options(&p, word, &argv[i + 1], &used);
        else
            good = plain_word(&p, word);
        i += used;
    }
    if (good && !call->help && !call->version) {
        if (!p.noun)
            good = fail(&p, "a command is missing; `berth help` lists the commands");
        else if (!call->command)
            good = fail_verb(&p, p.noun, NULL);
        else
            good = complete(&p);
    }
    if (call->help && !call->noun) {
        call->noun = p.noun;
        call->verb = call->command ? call->command->verb : NULL;
    }
    if (call->command && call->command->request)
        json_object_set_new(call->request, "cmd", json_string(call->command->request));
    hand_over(&p);
    return good;
}

void
cli_call_free(struct cli_call *call)
{
    json_decref(call->request);
    json_decref(call->local);
}
