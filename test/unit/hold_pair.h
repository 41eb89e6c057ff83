/* SPDX-License-Identifier: Apache-2.0 */
/* Two data planes on real devices whose holds have a loop of their own, and a third VM,
 * C. */
#ifndef TEST_HOLD_PAIR_H
#define TEST_HOLD_PAIR_H
#include "nve_pair.h"
#include "test_host.h"

static struct loop *loop;
static struct mac C;

static inline int
hold_setup(void **state)
{
    loop = make_loop();
    a.conf.loop = b.conf.loop = loop;
    C = mac_n(3);
    return setup(state);
}

static inline int
hold_teardown(void **state)
{
    int rc = teardown(state);

    loop_free(loop);
    return rc;
}

static inline struct dp_bpf_hold
view(struct nve *n, struct mac mac)
{
    struct dp_bpf_hold v;
    uint32_t it = 0;

    while (dp_bpf_holds(n->dp, &it, &v))
        if (mac_equal(&v.mac, &mac))
            return v;
    memset(&v, 0, sizeof(v));
    return v;
}
#endif
