/* SPDX-License-Identifier: Apache-2.0 */
/* What vm.c (table, tags, journal, again) and vm_command.c (commands and answers) call
 * of each other. Handles are those of tes.vms. */
#ifndef BERTH_TES_VM_H
#define BERTH_TES_VM_H
#include "tes/virt.h"

const char *vm_str(const struct vm *v, char *text); /* VSIID_STR */
void vm_set_tag(struct tes *t, uint32_t h, enum vm_action action);
void vm_tag_again(struct tes *t, uint32_t h); /* as its state is */
void vm_journal(struct tes *t, uint32_t h, bool live);
void vm_retry(struct tes *t, uint32_t h); /* associate again after a delay */
void vm_lost(struct tes *t, uint32_t h, bool moved, uint8_t reason);

struct vdp_key vm_vdp_key(const struct tes *t, const struct vm *v);
/* Sends v->op; again: with the epoch that it has. false: the station takes no more. */
bool vm_send(struct tes *t, uint32_t h, bool again);
/* The command in flight goes on if nothing holds it any more. */
void vm_progress(struct tes *t, uint32_t h);
/* Ends the client's command, if one waits. */
void vm_fail(struct tes *t, uint32_t h, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#endif
