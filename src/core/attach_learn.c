/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind a wildcard VSI (K2): MACs learned from its frames, each admitted
 * and published like a signalled one, at most max_learned of them. The data plane
 * reports a MAC once; to see whether it still speaks, its admission is taken back after
 * t_learn_age (the wildcard VAP goes on passing its frames and reports it again), and
 * after a second, short time it is gone. Signalled addresses always win: those of this
 * NVE are known here, those of others to the authority, which refuses to register what
 * was learned over them; it is not asked again for a while. */
#include <string.h>

#include "base/log.h"
#include "core/arp.h"
#include "core/attach_int.h"

#define PROBE_US 1000000

#define QUIET_SHARE 8 /* the second time is an eighth of the first */

bool
learn_room(const struct edge *e, const struct att *a)
{
    return a->n_learned < edge_set(e, SET_MAX_LEARNED);
}

/* The VAPs of the attachment open and close with its room. */
static void
reopen(struct edge *e, uint32_t att)
{
    const struct att *a = att_at(e, att);
    bool active = a->state == ATT_ASSOC;
    for (uint32_t h = a->entries; h; h = entry_at(e, h)->next)
        if (!(entry_at(e, h)->flags & ENTRY_MAC) && entry_at(e, h)->flags & ENTRY_VAP)
            entry_install(e, h, active, 0);
}

static void
arm(struct edge *e, uint32_t h, bool quiet)
{
    uint64_t age_us = edge_set(e, SET_LEARN_AGE_US);
    timers_set(&e->timers, &entry_at(e, h)->timer,
        e->now_us + (quiet ? age_us / QUIET_SHARE : age_us), TIMER_ENTRY, h);
}

static void
unlink_learned(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, entry_at(e, h)->att);
    uint32_t *link = &a->learned;
    while (*link != h)
        link = &entry_at(e, *link)->next;
    *link = entry_at(e, h)->next;
    if (!(entry_at(e, h)->flags & ENTRY_QUIET))
        a->n_learned--;
}

void
learn_drop(struct edge *e, uint32_t h)
{
    uint32_t att = entry_at(e, h)->att;
    unlink_learned(e, h);
    entry_end(e, h, false, 0);
    entry_free(e, h);
    reopen(e, att);
    if (att_at(e, att)->txn == 0)
        att_journal(e, att, 0);
}

void
learn_timer(struct edge *e, uint32_t h)
{
    struct entry *n = entry_at(e, h);
    struct att *a = att_at(e, n->att);
    if (n->flags & ENTRY_QUIET) {
        edge_count(e, EDGEC_AGED);
        learn_drop(e, h);
        return;
    }
    struct dp_op *op = edge_dp(e, DP_VSI_DEL, TICKET_DP, 0);
    op->u.vsi.port = a->port;
    op->u.vsi.vni = n->vni;
    op->u.vsi.vsi = n->att;
    op->u.vsi.vid = n->vid;
    op->u.vsi.mac = n->mac;
    n->flags |= ENTRY_QUIET;
    a->n_learned--;
    reopen(e, n->att);
    arm(e, h, true);
}

void
learn_active(struct edge *e, uint32_t att, bool active, uint32_t txn)
{
    for (uint32_t h = att_at(e, att)->learned; h; h = entry_at(e, h)->next)
        if (!(entry_at(e, h)->flags & ENTRY_QUIET))
            entry_install(e, h, active, txn);
}

/* What was learned goes with the wildcard entry that taught it. */
void
learn_check(struct edge *e, uint32_t att)
{
    for (uint32_t h = att_at(e, att)->learned, next; h; h = next) {
        const struct entry *l = entry_at(e, h);
        bool stands = false;
        next = l->next;
        for (uint32_t t = att_at(e, att)->entries; t; t = entry_at(e, t)->next)
            stands |= !(entry_at(e, t)->flags & ENTRY_MAC) &&
                      entry_at(e, t)->vni == l->vni && entry_at(e, t)->vid == l->vid;
        if (!stands)
            learn_drop(e, h);
    }
}

/* A wildcard entry that stands open behind the VAP. Where one of several has closed,
 * the others are looked for; that is rare. */
static uint32_t
wild_at(const struct edge *e, const struct edge_port *p, struct vap *v)
{
    if (v->opener || v->wild == 0)
        return v->opener;
    for (uint32_t a = p->atts; a; a = att_at(e, a)->list_next)
        for (uint32_t h = att_at(e, a)->entries; h; h = entry_at(e, h)->next) {
            const struct entry *n = entry_at(e, h);
            if (!(n->flags & ENTRY_MAC) && n->vid == v->vid && n->flags & ENTRY_QUIET)
                return v->opener = h;
        }
    return 0;
}

/* Heard of before at this very place: it is alive. */
static bool
again(struct edge *e, uint32_t h)
{
    struct entry *n = entry_at(e, h);
    struct att *a = att_at(e, n->att);
    if (n->flags & ENTRY_QUIET) {
        if (!learn_room(e, a))
            return false;
        n->flags &= (uint16_t)~ENTRY_QUIET;
        a->n_learned++;
        entry_install(e, h, a->state == ATT_ASSOC, 0);
        reopen(e, n->att);
    }
    arm(e, h, false);
    return true;
}

static struct refused *
refused_at(const struct edge *e, uint32_t vni, const struct mac *mac)
{
    uint8_t k[10];
    memcpy(k, &vni, 4);
    memcpy(k + 4, mac->b, 6);
    return &e->att->refused[map_hash(&e->att->by_key, k, sizeof k) % REFUSED_N];
}

static bool
is_refused(const struct edge *e, uint32_t vni, const struct mac *mac)
{
    const struct refused *f = refused_at(e, vni, mac);
    return f->vni == vni && mac_equal(&f->mac, mac) && e->now_us < f->until_us;
}

void
learn_refused(struct edge *e, uint32_t h, const struct ip *holder)
{
    struct entry *n = entry_at(e, h);
    char mac[MAC_STR], ip[IP_STR];
    log_warn("attach", "port=%u vni=%u mac=%s not learned: signalled at NVE %s",
        att_at(e, n->att)->port, n->vni, mac_str(&n->mac, mac), ip_str(holder, ip));
    edge_count(e, EDGEC_CONFLICTS);
    edge_count(e, EDGEC_LEARN_REFUSED);
    *refused_at(e, n->vni, &n->mac) = (struct refused){.vni = n->vni,
        .mac = n->mac,
        .until_us = e->now_us + edge_set(e, SET_LEARN_AGE_US) / QUIET_SHARE};
    learn_drop(e, h);
}

static struct probed *
probed_at(const struct edge *e, uint32_t vni, const struct mac *mac)
{
    uint8_t k[10];
    memcpy(k, &vni, 4);
    memcpy(k + 4, mac->b, 6);
    return &e->att->probed[map_hash(&e->att->by_key, k, sizeof k) % PROBED_N];
}

static bool
is_probed(const struct edge *e, const struct probed *p, uint32_t vni,
    const struct dp_event *ev, const struct mac *mac)
{
    return p->vni == vni && mac_equal(&p->mac, mac) && p->port == ev->port &&
           p->vid == ev->vid && e->now_us < p->until_us;
}

/* Another NVE has it: true while it is not certain that it is here. Where no address of
 * it is known nothing can be asked, and the authority stops those that claim in turns
 * (E5). */
static bool
in_doubt(struct edge *e, uint32_t vni, const struct dp_event *ev)
{
    struct mapping_rec rec;
    uint32_t holder = 0;
    if (!mapping_find(e, vni, &ev->src, NULL, &rec, &holder) || holder || !rec.n_ips)
        return false;
    struct probed *p = probed_at(e, vni, &ev->src);
    if (is_probed(e, p, vni, ev, &ev->src))
        return !p->answered;
    *p = (struct probed){.vni = vni,
        .port = ev->port,
        .vid = ev->vid,
        .mac = ev->src,
        .until_us = e->now_us + PROBE_US};
    struct mapping_place at = {.mac = ev->src, .port = ev->port, .vid = ev->vid};
    for (uint8_t i = 0; i < rec.n_ips; i++)
        arp_ask(e, &at, vni, &rec.ips[i]);
    return true;
}

void
attach_answered(struct edge *e, const struct dp_event *ev, const struct mac *mac,
    const struct ip *ip)
{
    struct probed *p = probed_at(e, ev->vni, mac);
    struct mapping_rec rec;
    if (!is_probed(e, p, ev->vni, ev, mac) || p->answered ||
        !mapping_find(e, ev->vni, NULL, ip, &rec, NULL) || !mac_equal(&rec.mac, mac))
        return;
    p->answered = 1;
    struct dp_event again = *ev;
    again.src = *mac;
    attach_learn(e, &again);
}

void
attach_learn(struct edge *e, const struct dp_event *ev)
{
    const struct edge_port *p = edge_port_at(e, ev->port);
    uint32_t vap = p ? vap_find(e, ev->port, ev->vid) : 0;
    bool usable = !mac_is_none(&ev->src) && !mac_is_group(&ev->src);
    uint32_t vni = vap ? ((struct vap *)pool_at(&e->att->vaps, vap))->vni : 0;
    uint32_t old = usable && vap ? entry_first(e, vni, &ev->src) : 0;
    for (uint32_t h = old, next; h; h = next) {
        const struct entry *n = entry_at(e, h);
        const struct att *a = att_at(e, n->att);
        next = entry_next(e, h);
        bool here = a->port == ev->port && n->vid == ev->vid;
        bool gone =
            a->state == ATT_TERM || (a->state == ATT_EMIG && a->flags & ATT_LOST);
        if (n->flags & ENTRY_LEARNED && here) {
            if (!again(e, h))
                edge_count(e, EDGEC_LEARN_REFUSED);
            return;
        }
        if (!gone && !(n->flags & ENTRY_LEARNED)) {
            edge_count(e, EDGEC_LEARN_REFUSED); /* a signalled VSI has this MAC */
            return;
        }
    }
    if (usable && vap && is_refused(e, vni, &ev->src))
        usable = false;
    uint32_t wild = usable && vap ? wild_at(e, p, pool_at(&e->att->vaps, vap)) : 0;
    if (wild && in_doubt(e, vni, ev))
        return;
    uint32_t h = wild ? entry_new(e, entry_at(e, wild)->att, vni, &ev->src) : 0;
    if (h == 0) {
        edge_count(e, EDGEC_LEARN_REFUSED);
        return;
    }
    struct entry *n = entry_at(e, h);
    const struct entry *w = entry_at(e, wild);
    struct att *a = att_at(e, n->att);
    n->vid = w->vid;
    n->pcp = w->pcp;
    n->flags |= ENTRY_LEARNED | (w->flags & ENTRY_UNTAGGED);
    if (w->flags & ENTRY_TAG) {
        tag_get(e, p->domain, vni, w->vid, &n->vid);
        n->flags |= ENTRY_TAG;
    }
    n->next = a->learned;
    a->learned = h;
    a->n_learned++;
    edge_count(e, EDGEC_LEARNED);
    entry_install(e, h, true, 0);
    reopen(e, n->att);
    uint64_t epoch = 0;
    if (e->conf.authority)
        n->flags |= ENTRY_WANT; /* E5: the authority counts on from what it knows */
    else
        epoch = mapping_epoch(e, vni, &n->mac) + 1;
    enum mapping_verdict v =
        entry_claim(e, h, epoch, e->conf.authority ? 0 : att_nonce(e), 0);
    n->flags &= (uint16_t) ~(ENTRY_FRESH | ENTRY_TOOK);
    if (v != MAPPING_ACCEPTED && v != MAPPING_SAME) {
        learn_drop(e, h);
        return;
    }
    arm(e, h, false);
    entry_publish(e, h, false);
    /* It was learned elsewhere on this NVE before: it has moved. */
    for (uint32_t t = entry_first(e, vni, &n->mac), next; t; t = next) {
        next = entry_next(e, t);
        if (t != h && entry_at(e, t)->flags & ENTRY_LEARNED)
            learn_drop(e, t);
    }
    if (a->txn == 0)
        att_journal(e, n->att, 0);
}
