/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual networks this NVE knows: records from the authority or a static file, the tables
 * that name a VN where the station does not (K2), and the look-ups under way. A VN that
 * somebody refers to is set in the data plane and subscribed; the last one to go undoes
 * that. Referenced VNs are journaled: a restart needs no authority to go on. The table
 * hangs at e->vn; `vn` is a handle, 0 = none. */
#ifndef BERTH_CORE_VN_H
#define BERTH_CORE_VN_H
#include "core/edge.h"

void vn_open(struct edge *e);
void vn_close(struct edge *e);
void vn_timer(struct edge *e, uint32_t ask);

enum vn_verdict {
    VN_FOUND,
    VN_ASKED,                            /* a look-up is under way: vn_wait */
    VN_UNKNOWN,                          /* nobody knows it, or nothing names one */
    VN_NO_AUTHORITY,                     /* the look-up was not answered in time */
    VN_FULL                              /* too many VNs or look-ups */
};
/* The VN that an entry names: by VNI, by name, by profile, by (port, VID), or the port's
 * native VN (K2). Starts a look-up when the authority has to be asked. */
enum vn_verdict vn_resolve(struct edge *e, uint32_t port, const struct tns_profile *profile,
    const struct tns_entry *entry, uint32_t *vn);
/* Puts a transaction in line for that look-up; attach_vn_answer is called once when it
 * ends. vn_forget takes it out again. */
void vn_wait(struct edge *e, uint32_t port, const struct tns_profile *profile,
    const struct tns_entry *entry, uint32_t txn);
void vn_forget(struct edge *e, uint32_t txn);

const struct vn_rec *vn_at(const struct edge *e, uint32_t vn);
uint32_t vn_find(const struct edge *e, uint32_t vni);                /* 0: not known */
void vn_ref(struct edge *e, uint32_t vn, uint8_t ticket_kind, uint32_t ticket_ref);
void vn_unref(struct edge *e, uint32_t vn);

/* Record or refusal from outside. What attach has to be told: */
enum vn_news { VN_NOTHING, VN_CHANGED, VN_DELETED };
enum vn_news vn_set(struct edge *e, const struct vn_rec *rec, int status);
void vn_session(struct edge *e, bool up);            /* up: subscribes and asks again */

/* Journal: a record; a VN that an attachment's record names (made when missing). */
bool vn_restore(struct edge *e, const struct vn_rec *rec);
uint32_t vn_need(struct edge *e, uint32_t vni);                      /* 0: table full */
void vn_restored(struct edge *e);                    /* asks for what no record described */
void vn_emit_all(struct edge *e);                    /* DP_VN_SET of every VN referred to */
bool vn_each(const struct edge *e, uint32_t *it, struct vn_rec *rec);
#endif
