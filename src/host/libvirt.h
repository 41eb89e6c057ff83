/* SPDX-License-Identifier: Apache-2.0 */
/* Follows the domains of one libvirt. Two threads of its own make all calls, because
 * any of them may wait for another job of the domain: one turns libvirt's event loop,
 * the other connects (again and again, 1 s to 30 s apart), lists, describes and writes
 * metadata. What they find comes out as facts, lines of JSON for the agent
 * (doc/protocol/control.md, `hook`), one by one on the caller's loop, in the order in
 * which they came about. */
#ifndef BERTH_HOST_LIBVIRT_H
#define BERTH_HOST_LIBVIRT_H
#include "host/error.h"
#include <stdbool.h>
#include <stddef.h>

struct loop;
struct libvirt;
struct libvirt_conf {
    const char *uri; /* copied; such as qemu:///system */
};
struct libvirt_calls {
    void (*on_fact)(void *ctx, const char *line, size_t size);
};
/* -EOPNOTSUPP: built without libvirt. Nothing is connected yet: the threads start in
 * the first turn of the loop, when privileges have been given up. */
int libvirt_open(struct libvirt **out, struct loop *l, const struct libvirt_conf *conf,
    const struct libvirt_calls *calls, void *ctx, struct host_err *err);
/* The domain's description and state, or its absence, come as a fact. */
void libvirt_look(struct libvirt *v, const char *uuid);
/* Replaces what <metadata> says of residences, in the running domain. Not answered: the
 * log says when it failed. */
void libvirt_write(struct libvirt *v, const char *uuid, const char *xml);
void libvirt_close(struct libvirt *v); /* NULL is fine */
#endif
