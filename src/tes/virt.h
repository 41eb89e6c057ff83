/* SPDX-License-Identifier: Apache-2.0 */
/* Follows a hypervisor: facts about domains, as its hooks and events tell them, become
 * commands about VMs, one VM for each interface. virt_table.c says which fact asks for
 * what in which state, virt_fact.c reads facts; the rest is said in virt_int.h.
 * Facts may come twice, late and in any order of hook and event (reference: the traces
 * in test/data/libvirt). */
#ifndef BERTH_TES_VIRT_H
#define BERTH_TES_VIRT_H
#include "tes/node_int.h"

#define VIRT_NICS_MAX  32
#define VIRT_NAME_SIZE 64
#define VIRT_WAITS     64 /* hooks that wait for their answer */

enum virt_means { /* what a fact says of a domain */
    VIRT_NOTHING,
    VIRT_PREPARES, /* it is about to be made here */
    VIRT_COMES,    /* the same, from another server */
    VIRT_STARTS,   /* its interfaces are there, it does not run yet */
    VIRT_RUNS,
    VIRT_COMPLETE, /* all of its state has come, it runs here next: a hint */
    VIRT_BACK,     /* it did not get away, it runs here next: a hint */
    VIRT_ARRIVED,  /* runs here, after a migration */
    VIRT_PAUSED,
    VIRT_CAME_PAUSED, /* after a migration (A14) */
    VIRT_LEAVES,      /* paused because it runs elsewhere next */
    VIRT_GONE,
    VIRT_LOOK,       /* ask for its description */
    VIRT_IS_RUNNING, /* three answers to that */
    VIRT_IS_PAUSED,
    VIRT_IS_MOVING,
    VIRT_N_MEANS
};
enum virt_deed { /* what is done about one interface of it */
    VIRT_DO_NOTHING,
    VIRT_DO_PREASSOC,
    VIRT_DO_ASSOC,
    VIRT_DO_REPEAT, /* associate with the epoch that the domain carries (E6) */
    VIRT_DO_SUSPEND,
    VIRT_DO_RESUME,
    VIRT_DO_EMIGRATE,
    VIRT_DO_IMM_PRE,
    VIRT_DO_IMM_ASSO,
    VIRT_DO_IMM_PAUSED,
    VIRT_DO_TERMINATE,
    VIRT_N_DEEDS
};
const char *virt_deed_str(enum virt_deed deed);

/* virt_table.c */
enum virt_means virt_event_means(const char *event, const char *detail);
enum virt_means virt_hook_means(const char *op);
enum virt_means virt_state_means(const char *state);
enum virt_deed virt_deed_of(enum virt_means means, uint8_t vm_state);
bool virt_is_hint(enum virt_means means);

/* virt_fact.c */
struct virt_nic_fact {
    struct mac mac;
    struct vsiid vsi; /* format 0: not told */
    char ifname[16];  /* "": not told, or not there yet */
    char uplink[16];
    char vn[VN_NAME_SIZE];
    uint32_t vni;     /* 0: not told */
    uint8_t none;     /* told that it is in no network of ours */
    uint8_t is_meant; /* our metadata are about it */
    uint8_t n_ips;
    struct ip ips[TNS_IPS_MAX];
    uint64_t epoch, migration; /* of the residence that the domain carries */
};
struct virt_fact {
    struct vsiid uuid;
    char name[VIRT_NAME_SIZE];
    bool has_domain; /* nics are all that it has; else one that its network tells of */
    uint32_t n_nics;
    struct virt_nic_fact nics[VIRT_NICS_MAX];
    char why[256]; /* what is wrong */
};
struct json_t;
/* Reads "domain", or "network" with "port", or uuid and name alone. NULL, or what is
 * wrong, and where: then what was read before it stands, uuid.format 0: not even that.
 */
const char *virt_fact_read(struct virt_fact *f, const struct json_t *o);

void virt_init(struct tes *t);
void virt_free(struct tes *t);
void virt_input(struct tes *t, const uint8_t *line, uint32_t size); /* TES_IN_DOMAIN */
/* Of the hook program; *id is the request's and is taken. */
void virt_hook(struct tes *t, uint64_t conn, const struct json_t *o, char **id);
void virt_client_gone(struct tes *t, uint64_t conn);
void virt_timer(struct tes *t, uint32_t kind, uint32_t ref);
/* Of what was asked by us: noted, and worked on by virt_pump at the end of the step. */
void virt_ended(struct tes *t, const struct vsiid *id, uint8_t op, uint32_t wait,
    const char *code, const char *text);
bool virt_is_up(const struct tes *t);        /* the hypervisor is reached */
bool virt_pump(struct tes *t);               /* false: there was nothing */
void virt_stays(struct tes *t, uint32_t vm); /* its epoch may be new */
const char *virt_domain_of(const struct tes *t, const struct vm *v); /* NULL: none */
#endif
