/* SPDX-License-Identifier: Apache-2.0 */
/* Local tags (requirements 1.6, S1-5): per access domain which VID separates which VN on
 * the links to the servers. A VID is FREE, HELD (only inactive attachments stand on it),
 * USED (an active one too) or DRAIN (nobody, for T_hold, so that late frames with the old
 * tag cannot enter another VN: F16). Free VIDs are taken least recently used first.
 *
 * tag_get counts one reference per entry of an attachment; tag_put gives it back. The VN
 * of a VID, and DRAIN, are journaled, so a restart gives the same VIDs. Everything is O(1)
 * but the walk. The table hangs at e->tag, the time is e->now_us. */
#ifndef BERTH_CORE_TAG_H
#define BERTH_CORE_TAG_H
#include "core/edge.h"

enum tag_state { TAG_FREE, TAG_HELD, TAG_USED, TAG_DRAIN };
enum tag_verdict {
    TAG_OK,
    TAG_CONFLICT,                        /* the VID asked for belongs to another VN, or drains */
    TAG_RESERVED,                        /* 0, 1, 4095 or configured */
    TAG_EXHAUSTED
};
void tag_open(struct edge *e);
void tag_close(struct edge *e);
void tag_timer(struct edge *e);                          /* DRAIN ends */

/* The handle of the access domain with this number of the configuration; made when new. */
uint32_t tag_domain(struct edge *e, uint32_t number);
/* VIDs first..last are never handed out in the domain. What uses one already stays. */
void tag_reserve(struct edge *e, uint32_t domain, uint16_t first, uint16_t last);

/* One reference to a tag of `vni`. asked 0: the VN's VID, or else a free one; otherwise
 * exactly that VID or a refusal (K18). */
enum tag_verdict tag_get(struct edge *e, uint32_t domain, uint32_t vni, uint16_t asked,
    uint16_t *vid);
void tag_put(struct edge *e, uint32_t domain, uint16_t vid);
/* Takes a tag_get back that nobody was told of: a tag made by it is free at once. */
void tag_cancel(struct edge *e, uint32_t domain, uint16_t vid);
void tag_activate(struct edge *e, uint32_t domain, uint16_t vid, bool on); /* HELD, USED */
uint32_t tag_vni(const struct edge *e, uint32_t domain, uint16_t vid);     /* 0: nobody's */

/* From the journal: this VN has the VID here (HELD), or it drains, anew. false: the VID is
 * another VN's already, or no VID. */
bool tag_restore(struct edge *e, uint32_t domain_number, uint16_t vid, uint32_t vni,
    uint8_t state);
/* A reference from an attachment of the journal; makes the tag when its record is lost. */
bool tag_restore_ref(struct edge *e, uint32_t domain, uint16_t vid, uint32_t vni);
void tag_restored(struct edge *e);                       /* tags without reference drain */
uint32_t tag_domain_number(const struct edge *e, uint32_t domain);  /* as configured */
bool tag_each(const struct edge *e, uint32_t *it, struct edge_tag_view *v);
uint32_t tag_count(const struct edge *e);                /* in use or draining */
#endif
