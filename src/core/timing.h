/* SPDX-License-Identifier: Apache-2.0 */
/* Timers and limits of an NVE in one documented table, edge_settings[] of core/edge.h
 * (K19). The sources give no values; the table says what each is derived from. */
#ifndef BERTH_CORE_TIMING_H
#define BERTH_CORE_TIMING_H
#include "core/edge.h"

/* Fills defaults where conf says 0 and pulls the rest into [min, max]. */
void timing_fill(uint64_t settings[]);
/* NULL, or why this value may not be configured. */
const char *timing_fault(unsigned setting, uint64_t value);
int timing_find(const char *name);                       /* -1: no such setting */
/* How long an attachment may stay in a state without a sign of life; idle_us is what its
 * binding negotiated (0: nothing). TIMER_NEVER: for ever. */
uint64_t timing_idle(const uint64_t settings[], uint8_t state, uint64_t idle_us);
#endif
