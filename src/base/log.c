/* SPDX-License-Identifier: Apache-2.0 */
/* The one pure file with state of its own (sink and levels): to pass a logger through
 * every call would buy nothing, as logging never feeds back into behaviour. */
#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LOG_LINE    512
#define LOG_MODULES 48

static const char *const level_names[] = {
    [LOG_ERR_] = "error",
    [LOG_WARN] = "warning",
    [LOG_NOTE] = "notice",
    [LOG_INF] = "info",
    [LOG_DBG] = "debug",
};
#define N_LEVELS (sizeof level_names / sizeof *level_names)

struct module_level {
    char name[24];
    enum log_level level;
};

static struct {
    log_sink_fn sink;
    void *ctx;
    enum log_level level; /* of modules that have no row */
    struct module_level modules[LOG_MODULES];
    int n_modules;
} logger = {.level = LOG_NOTE};

void
log_set_sink(log_sink_fn fn, void *ctx)
{
    logger.sink = fn;
    logger.ctx = ctx;
}

static struct module_level *
module_find(const char *module)
{
    for (int i = 0; i < logger.n_modules; i++)
        if (strcmp(logger.modules[i].name, module) == 0)
            return &logger.modules[i];
    return NULL;
}

bool
log_set_level(const char *module, enum log_level level)
{
    if (strcmp(module, "*") == 0) {
        logger.level = level;
        logger.n_modules = 0;
        return true;
    }
    struct module_level *row = module_find(module);
    if (!row) {
        if (logger.n_modules == LOG_MODULES || strlen(module) >= sizeof row->name)
            return false;
        row = &logger.modules[logger.n_modules++];
        memcpy(row->name, module, strlen(module) + 1);
    }
    row->level = level;
    return true;
}

bool
log_on(enum log_level level, const char *module)
{
    if (!logger.sink)
        return false;
    const struct module_level *row = module_find(module);
    return level <= (row ? row->level : logger.level);
}

bool
log_level_parse(const char *word, enum log_level *level)
{
    for (size_t i = 0; i < N_LEVELS; i++)
        if (strcmp(word, level_names[i]) == 0) {
            *level = i;
            return true;
        }
    return false;
}

const char *
log_level_name(enum log_level level)
{
    return level < N_LEVELS ? level_names[level] : "?";
}

void
log_line(enum log_level level, const char *module, const char *fmt, ...)
{
    if (!log_on(level, module))
        return;
    char line[LOG_LINE];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof line)
        memcpy(line + sizeof line - 4, "...", 4);
    /* Words of a peer may stand in the line: it must not forge a second one. */
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    logger.sink(logger.ctx, level, module, line);
}
