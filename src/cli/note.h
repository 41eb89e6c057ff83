/* SPDX-License-Identifier: Apache-2.0 */
/* A person at a terminal is told that we wait: on standard error, once the daemon has
 * been silent for two seconds. One note at a time. */
#ifndef BERTH_CLI_NOTE_H
#define BERTH_CLI_NOTE_H

void note_set(const char *program, const char *path);
void note_clear(void);
#endif
