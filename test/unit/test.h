/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka with what it asks its users to include first. */
#ifndef BERTH_TEST_H
#define BERTH_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#endif
