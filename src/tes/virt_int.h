/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the follower: virt.c takes facts, virt_hook.c hooks, virt_dom.c holds domains
 * and their interfaces, virt_deed.c carries out what virt_table.c says. */
#ifndef BERTH_TES_VIRT_INT_H
#define BERTH_TES_VIRT_INT_H
#include "tes/virt.h"

#define VIRT_VSI_SAME 10 /* octets that the VSIs of a domain share with its UUID */

struct virt_nic {
    struct virt_nic_fact is;
    uint32_t dom, next;
    uint8_t means;  /* enum virt_means: what is to be repeated at the timer */
    uint8_t deed;   /* last done */
    uint8_t fresh;  /* its network told of it, the domain not yet */
    uint8_t claims; /* refused as moved: the next one is without an epoch */
    uint32_t wait;  /* hook */
    uint64_t delay_us;
    struct timer timer;
};
struct virt_dom {
    struct vsiid uuid;
    char name[VIRT_NAME_SIZE];
    uint32_t first_nic, prev, next;
    uint8_t incoming, known; /* known: described */
    uint32_t listing;        /* of which it was last a part */
    struct timer timer;
};
struct virt_wait { /* id 0: free */
    uint32_t id, n_left;
    struct vsiid uuid;
    uint64_t conn;
    char *req_id;
    char code[20], text[320]; /* of the first refusal */
};
struct virt_done { /* a command of ours has ended */
    struct vsiid id;
    uint8_t op, good;
    uint32_t wait;
    char code[20], text[320];
};
struct virt {
    struct pool doms, nics;
    struct map by_uuid, by_vsi; /* domains, interfaces */
    uint32_t first_dom, n_waits, listing;
    struct virt_wait waits[VIRT_WAITS];
    struct fifo done;
    struct virt_fact fact; /* being worked on */
    bool up;
};

/* virt_dom.c. 0: none, or no room */
struct virt_dom *virt_dom_at(const struct tes *t, uint32_t d);
struct virt_nic *virt_nic_at(const struct tes *t, uint32_t n);
uint32_t virt_dom_find(const struct tes *t, const struct vsiid *uuid);
uint32_t virt_dom_add(struct tes *t, const struct vsiid *uuid);
void virt_dom_remove(struct tes *t, uint32_t d);
uint32_t virt_nic_find(const struct tes *t, uint32_t d, const struct mac *mac);
uint32_t virt_nic_of_vsi(const struct tes *t, const struct vsiid *id);
uint32_t virt_nic_add(struct tes *t, uint32_t d, const struct virt_nic_fact *f);
void virt_nic_remove(struct tes *t, uint32_t n);
/* What a fact does not tell stays as it was. */
void virt_nic_update(struct virt_nic *nic, const struct virt_nic_fact *f);

/* virt.c */
uint32_t virt_dom_of(struct tes *t, const struct virt_fact *f);
void virt_take_nics(struct tes *t, uint32_t d, const struct virt_fact *f);
enum virt_means virt_in_context(struct virt_dom *dom, enum virt_means means);
/* The number of commands that are on their way for it. */
uint32_t virt_apply(struct tes *t, uint32_t d, enum virt_means means, uint32_t wait);
void virt_gone(struct tes *t, uint32_t d);

/* virt_deed.c */
void virt_look(struct tes *t, uint32_t d);
void virt_act(struct tes *t, uint32_t n, enum virt_deed deed, uint32_t wait);
/* Returns 1 when a command is on its way. */
uint32_t virt_nic_means(
    struct tes *t, uint32_t n, enum virt_means means, uint32_t wait);

/* virt_hook.c: one of its commands has ended. false: no hook waits for it. */
bool virt_hook_done(struct tes *t, const struct virt_done *d);
#endif
