/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of host: a function returns 0 or -errno, and fills this text for the operator:
 * what failed, on what (path, interface, address), and what to do next. One line, no
 * full stop. NULL is allowed wherever a struct host_err * is taken. */
#ifndef BERTH_HOST_ERROR_H
#define BERTH_HOST_ERROR_H

struct host_err {
    char text[256];
};
/* Formats the text, returns `code` (a negative errno): `return host_fail(err, -errno,
 * ...)`. A "%m" in fmt stands for the text of that errno. */
int host_fail(struct host_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#endif
