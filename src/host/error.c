/* SPDX-License-Identifier: Apache-2.0 */
#include "host/error.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int
host_fail(struct host_err *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        errno = code < 0 ? -code : code; /* for %m */
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
    }
    return code;
}
