/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"
#include "cli/cmds.h"
#include <stdlib.h>
#include <string.h>

#define WIDTH 80

/* ---- help ---- */

/* A word of a usage line, on a new line where this one is full. */
static void
put_word(FILE *to, const char *word, int *at)
{
    int n = (int)strlen(word);
    if (*at + 1 + n > WIDTH) {
        fputs("\n       ", to);
        *at = 7;
    }
    fprintf(to, " %s", word);
    *at += 1 + n;
}

static void
put_usage(FILE *to, const struct cli_command *c)
{
    char word[96];
    int at = fprintf(
        to, "  berth %s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
    if (strcmp(c->noun, "help") == 0)
        put_word(to, "[COMMAND]", &at);
    for (const struct cli_arg *a = c->args; a && a->name; a++) {
        bool must = a->flags & CLI_MUST;
        if (a->flags & CLI_ONE_OF) {
            snprintf(word, sizeof(word), "%s%s", a == c->args ? "" : "| ", a->value);
        } else if (a->flags & CLI_PLACE) {
            snprintf(word, sizeof(word), must ? "%s" : "[%s]", a->value);
        } else if (a->value) {
            snprintf(word, sizeof(word), "[--%s %s]%s", a->name, a->value,
                a->flags & CLI_MANY ? "..." : "");
        } else {
            snprintf(word, sizeof(word), "[--%s]", a->name);
        }
        put_word(to, word, &at);
    }
    fputc('\n', to);
}

static void
put_arg(FILE *to, const struct cli_arg *a, char form)
{
    char left[64];
    int n = form ? snprintf(left, sizeof(left), "-%c, ", form) : 0;
    if (a->value)
        snprintf(left + n, sizeof(left) - (size_t)n, "--%s %s", a->name, a->value);
    else
        snprintf(left + n, sizeof(left) - (size_t)n, "--%s", a->name);
    fprintf(to, "      %-24s %s", left, a->help);
    for (const char *const *w = a->words; w && *w; w++)
        fprintf(to, "%s%s", w == a->words ? " (" : ", ", *w);
    fputs(a->words ? ")\n" : "\n", to);
}

static void
put_command(FILE *to, const struct cli_command *c)
{
    put_usage(to, c);
    fprintf(to, "    %s", c->help);
    if (c->request)
        fprintf(to, " (%s)", cli_daemons[c->daemon].program);
    fputc('\n', to);
    for (const struct cli_arg *a = c->args; a && a->name; a++)
        put_arg(to, a, 0);
}

static void
put_overview(FILE *to)
{
    const char *last = "";
    fputs("usage: berth [-s SOCKET] [-j] COMMAND [ARGUMENT]...\n", to);
    for (const struct cli_command *c = cli_commands; c->noun; c++) {
        char name[64];
        const char *group = c->verb ? c->noun : "";
        if (c == cli_commands || strcmp(last, group) != 0)
            fputc('\n', to);
        last = group;
        snprintf(name, sizeof(name), "%s%s%s", c->noun, c->verb ? " " : "",
            c->verb ? c->verb : "");
        fprintf(to, "  %-20s %s\n", name, c->help);
    }
    fputs("\nOptions, before or after the command:\n", to);
    for (const struct cli_arg *a = cli_options; a->name; a++)
        put_arg(to, a, CLI_SHORT(a));
    fputs("\nArguments are written --name VALUE, --name=VALUE or name=VALUE.\n"
          "`berth help COMMAND` says what each takes; see also berth(1).\n",
        to);
}

void
help_print(FILE *to, const char *noun, const char *verb)
{
    bool first = true;
    if (!noun) {
        put_overview(to);
        return;
    }
    for (const struct cli_command *c = cli_commands; c->noun; c++) {
        if (strcmp(c->noun, noun) != 0 || (verb && strcmp(c->verb, verb) != 0))
            continue;
        if (!first)
            fputc('\n', to);
        put_command(to, c);
        first = false;
    }
}

/* ---- completion ---- */

static void
put_words(FILE *to, const char *const *words)
{
    for (const char *const *w = words; *w; w++)
        fprintf(to, "%s%s", w == words ? "" : " ", *w);
}

static void
bash_nouns(FILE *to)
{
    const char *last = "";
    for (const struct cli_command *c = cli_commands; c->noun; c++)
        if (strcmp(last, c->noun) != 0) {
            fprintf(to, "%s%s", *last ? " " : "", c->noun);
            last = c->noun;
        }
}

static void
bash_verbs(FILE *to, const char *noun)
{
    bool first = true;
    for (const struct cli_command *c = cli_commands; c->noun; c++)
        if (strcmp(c->noun, noun) == 0) {
            fprintf(to, "%s%s", first ? "" : " ", c->verb);
            first = false;
        }
}

/* Pattern of "noun verb", where the noun alone is a command anything follows. */
static void
bash_pattern(FILE *to, const struct cli_command *c)
{
    if (c->verb)
        fprintf(to, "\"%s %s", c->noun, c->verb);
    else
        fprintf(to, "\"%s \"*\"", c->noun);
}

static void
bash_values(FILE *to)
{
    for (const struct cli_command *c = cli_commands; c->noun; c++)
        for (const struct cli_arg *a = c->args; a && a->name; a++) {
            if (!a->words)
                continue;
            fputs("    ", to);
            bash_pattern(to, c);
            fprintf(to, " --%s\") words='", a->name);
            put_words(to, a->words);
            fputs("' ;;\n", to);
        }
}

static void
bash_args(FILE *to)
{
    for (const struct cli_command *c = cli_commands; c->noun; c++) {
        bool first = true;
        if (!c->args)
            continue;
        fputs("        ", to);
        bash_pattern(to, c);
        fputs("\") words='", to);
        for (const struct cli_arg *a = c->args; a->name; a++) {
            fprintf(to, "%s--%s", first ? "" : " ", a->name);
            first = false;
        }
        for (const struct cli_arg *a = c->args; a->name; a++)
            if (a->words && a->flags & CLI_PLACE) {
                fputc(' ', to);
                put_words(to, a->words);
            }
        fputs("' ;;\n", to);
    }
}

void
help_bash(FILE *to)
{
    const char *last = "";
    fputs("# SPDX-License-Identifier: Apache-2.0\n"
          "# Completion of berth for bash; made by `berth completion bash`.\n"
          "_berth()\n"
          "{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local noun= verb= words= i\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in\n",
        to);
    fputs("        ", to);
    for (const struct cli_arg *a = cli_options; a->name; a++)
        if (a->value)
            fprintf(
                to, "%s-%c|--%s", a == cli_options ? "" : "|", CLI_SHORT(a), a->name);
    fputs(
        ") ((i++)) ;;\n"
        "        -*) ;;\n"
        "        help) [[ $noun ]] || continue ;;\n"
        "        *)\n"
        "            if [[ -z $noun ]]; then\n"
        "                noun=${COMP_WORDS[i]}\n"
        "            elif [[ -z $verb ]]; then\n"
        "                verb=${COMP_WORDS[i]}\n"
        "            fi ;;\n"
        "        esac\n"
        "    done\n"
        "    COMPREPLY=()\n"
        "    case $prev in\n"
        "    -s|--socket) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n"
        "    esac\n"
        "    case \"$noun $verb $prev\" in\n",
        to);
    bash_values(to);
    fputs("    esac\n"
          "    if [[ -z $words ]]; then\n"
          "        case \"$noun $verb\" in\n"
          "        ' ') words='",
        to);
    bash_nouns(to);
    fputs("' ;;\n", to);
    for (const struct cli_command *c = cli_commands; c->noun; c++)
        if (c->verb && strcmp(last, c->noun) != 0) {
            last = c->noun;
            fprintf(to, "        '%s ') words='", c->noun);
            bash_verbs(to, c->noun);
            fputs("' ;;\n", to);
        }
    bash_args(to);
    fputs("        esac\n"
          "        [[ $cur == -* ]] && words+='",
        to);
    for (const struct cli_arg *a = cli_options; a->name; a++)
        fprintf(to, " --%s", a->name);
    fputs("'\n"
          "    fi\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
          "}\n"
          "complete -F _berth berth\n",
        to);
}

/* ---- manual page ---- */

static void
mdoc_arg(FILE *to, const struct cli_arg *a)
{
    if (a->flags & CLI_ONE_OF)
        fprintf(to, ".Ar %s\n", a->value);
    else if (a->flags & CLI_PLACE)
        fprintf(to, a->flags & CLI_MUST ? ".Ar %s\n" : ".Op Ar %s\n", a->value);
    else if (a->value)
        fprintf(to, ".Op Fl -%s Ar %s%s\n", a->name, a->value,
            a->flags & CLI_MANY ? " ..." : "");
    else
        fprintf(to, ".Op Fl -%s\n", a->name);
}

static void
mdoc_words(FILE *to, const struct cli_arg *a)
{
    for (const char *const *w = a->words; w && *w; w++)
        fprintf(to, "%s\n.Cm %s", w == a->words ? ":" : " ,", *w);
    fputs(a->words ? " .\n" : ".\n", to);
}

static void
mdoc_sentence(FILE *to, const char *text)
{
    if (*text >= 'a' && *text <= 'z')
        fputc(*text++ - 'a' + 'A', to);
    fputs(text, to);
}

static void
mdoc_command(FILE *to, const struct cli_command *c)
{
    bool list = false;
    fprintf(to, ".It Xo\n.Cm %s%s%s\n", c->noun, c->verb ? " " : "",
        c->verb ? c->verb : "");
    if (strcmp(c->noun, "help") == 0)
        fputs(".Op Ar COMMAND\n", to);
    for (const struct cli_arg *a = c->args; a && a->name; a++) {
        if (a->flags & CLI_ONE_OF && a != c->args)
            fputs("|\n", to);
        mdoc_arg(to, a);
    }
    fputs(".Xc\n", to);
    mdoc_sentence(to, c->help);
    fputs(".\n", to);
    for (const struct cli_arg *a = c->args; a && a->name; a++) {
        if (!list)
            fputs(".Bl -tag -width Ds -compact\n", to);
        list = true;
        fprintf(to, ".It Fl -%s%s%s\n", a->name, a->value ? " Ar " : "",
            a->value ? a->value : "");
        mdoc_sentence(to, a->help);
        mdoc_words(to, a);
    }
    if (list)
        fputs(".El\n", to);
}

void
help_mdoc(FILE *to)
{
    const char *noun = "";
    fputs(".Bl -tag -width Ds\n", to);
    for (const struct cli_arg *a = cli_options; a->name; a++) {
        fprintf(to, ".It Fl %c%s%s , Fl -%s%s%s\n", CLI_SHORT(a),
            a->value ? " Ar " : "", a->value ? a->value : "", a->name,
            a->value ? " Ar " : "", a->value ? a->value : "");
        mdoc_sentence(to, a->help);
        mdoc_words(to, a);
    }
    fputs(".El\n.Sh COMMANDS\n", to);
    for (const struct cli_command *c = cli_commands; c->noun; c++) {
        const char *group = c->verb ? c->noun : "others";
        if (strcmp(noun, group) != 0) {
            if (*noun)
                fputs(".El\n", to);
            if (c->verb)
                fprintf(to, ".Ss berth %s\n.Bl -tag -width Ds\n", group);
            else
                fputs(".Ss Others\n.Bl -tag -width Ds\n", to);
            noun = group;
        }
        mdoc_command(to, c);
    }
    fputs(".El\n", to);
}
