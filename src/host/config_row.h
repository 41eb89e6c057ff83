/* SPDX-License-Identifier: Apache-2.0 */
/* What the reading (config.c) and the printing (config_print.c) of a row must agree on.
 */
#ifndef BERTH_HOST_CONFIG_ROW_H
#define BERTH_HOST_CONFIG_ROW_H
#include "host/config.h"
#include "base/timers.h"
#include <string.h>

static inline bool
config_setting_is_time(const struct setting *s)
{
    size_t n = strlen(s->name);
    return strncmp(s->name, "t_", 2) == 0 ||
           (n > 3 && strcmp(s->name + n - 3, "_us") == 0);
}

/* The greatest value, or the longest string. */
static inline uint64_t
config_row_max(const struct config_row *row)
{
    if (row->max)
        return row->max;
    if (row->type == CONFIG_STRING)
        return 255;
    return row->size >= 8 || row->type == CONFIG_DURATION ? UINT64_MAX
                                                          : (1ull << 8 * row->size) - 1;
}
#endif
