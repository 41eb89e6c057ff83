/* SPDX-License-Identifier: Apache-2.0 */
/* Texts made from the command table. */
#ifndef BERTH_CLI_HELP_H
#define BERTH_CLI_HELP_H
#include <stdio.h>

/* noun NULL: the overview; verb NULL: every command of the noun. Both must exist. */
void help_print(FILE *to, const char *noun, const char *verb);
void help_bash(FILE *to); /* completion script */
void help_mdoc(FILE *to); /* options and commands, as berth(1) has them */
#endif
