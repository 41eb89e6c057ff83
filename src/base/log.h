/* SPDX-License-Identifier: Apache-2.0 */
/* Logging: formats one line of key=value words and hands it to the sink that main (or a
 * test) installed. No sink: nothing happens. The level is per module, changed at run time. */
#ifndef BERTH_BASE_LOG_H
#define BERTH_BASE_LOG_H
#include <stdbool.h>

enum log_level { LOG_ERR_, LOG_WARN, LOG_NOTE, LOG_INF, LOG_DBG };   /* rising detail */
typedef void (*log_sink_fn)(void *ctx, enum log_level level, const char *module,
    const char *line);
void log_set_sink(log_sink_fn fn, void *ctx);
bool log_set_level(const char *module, enum log_level level);  /* "*" = all; false: table full */
bool log_on(enum log_level level, const char *module);
bool log_level_parse(const char *word, enum log_level *level); /* error warning notice info debug */
const char *log_level_name(enum log_level level);
void log_line(enum log_level level, const char *module, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define log_err(m, ...) log_line(LOG_ERR_, m, __VA_ARGS__)
#define log_warn(m, ...) log_line(LOG_WARN, m, __VA_ARGS__)
#define log_note(m, ...) log_line(LOG_NOTE, m, __VA_ARGS__)
#define log_inf(m, ...) log_line(LOG_INF, m, __VA_ARGS__)
#define log_dbg(m, ...) \
    do { if (log_on(LOG_DBG, m)) log_line(LOG_DBG, m, __VA_ARGS__); } while (0)
#endif
