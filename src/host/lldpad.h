/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the VSIs of an lldpad on this host from its control socket (abstract, so that
 * of the caller's network namespace; uid 0 only): its events at once, its list now and
 * then. The list of lldpad comes out empty when it exceeds 4096 octets (some 20 VSIs),
 * so VSIs that are known are then asked for one by one. While lldpad is away nothing is
 * told. */
#ifndef BERTH_HOST_LLDPAD_H
#define BERTH_HOST_LLDPAD_H
#include "host/error.h"
#include "wire/addr.h"
#include <net/if.h>

struct loop;
struct lldpad;
struct lldpad_vsi {
    char ifname[IF_NAMESIZE]; /* the uplink */
    struct vsiid id;
    struct mac mac; /* none: the filter has none */
    uint16_t tci;   /* PS, PCP, VID, as the bridge gave it */
    uint32_t group; /* GroupID; 0: none */
    bool gone;      /* not associated (any more) */
    bool fresh;     /* not known before */
};
struct lldpad_conf {
    const char *const *ifnames; /* copied */
    uint32_t n_ifnames;
    uint64_t poll_us;
};
struct lldpad_calls {
    void (*on_vsi)(void *ctx, const struct lldpad_vsi *v);
    /* A whole reading is through. */
    void (*on_listed)(void *ctx);
};
/* What an earlier run knew: asked for at the first reading. Call before the loop runs.
 */
void lldpad_know(struct lldpad *p, const struct lldpad_vsi *v);
/* lldpad may come later: it is looked for each poll_us. */
int lldpad_open(struct lldpad **out, struct loop *l, const struct lldpad_conf *conf,
    const struct lldpad_calls *calls, void *ctx, struct host_err *err);
/* What is known, one by one; *it starts at 0. */
bool lldpad_next(const struct lldpad *p, uint32_t *it, struct lldpad_vsi *v);
void lldpad_close(struct lldpad *p); /* NULL is fine */
#endif
