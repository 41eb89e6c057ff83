/* SPDX-License-Identifier: Apache-2.0 */
/* Two stations that speak plain VDP, a loop behind wildcard VSIs, or somebody who
 * claims another's VM, can move one key for ever (E5, RFC 7432 clause 15.1). Who moves
 * a key once is believed: a VM that starts elsewhere looks the same. After damp_moves
 * moves within damp_us that name no migration nobody is, but whoever had the key before
 * the turns began: it goes home, or stays there, and is frozen for damp_us from the
 * first claim that was refused. So to claim by turns wins nothing, and to try again
 * prolongs nothing. What was reserved is somebody's intent, and ends the count; a
 * signalled VSI over a MAC that was only learned is K18's business and moves at once.
 */
#include "core/registry_int.h"

#include "base/log.h"

static uint32_t
seconds(const struct registry *r)
{
    return (uint32_t)(r->now_us / 1000000);
}

static uint32_t
left(const struct registry *r, const struct reg_ent *en)
{
    uint32_t gone = seconds(r) - en->moved_s,
             all = (uint32_t)(r->conf.damp_us / 1000000);
    return gone < all ? all - gone : 0;
}

static void
freeze(struct registry *r, const struct reg_ent *en, uint32_t nve)
{
    char mac[MAC_STR], at[IP_STR], by[IP_STR], home[IP_STR];
    log_err("registry",
        "vni=%u mac=%s is claimed in turns: frozen for %u s at nve=%s, of home=%s, "
        "refused to nve=%s after moves=%u; find the second station or the loop, then "
        "`berth mapping clear`",
        en->key.vni, mac_str(&en->key.mac, mac), left(r, en),
        ip_str(&reg_nve(r, en->nve)->vtep, at),
        ip_str(&reg_nve(r, en->home)->vtep, home), ip_str(&reg_nve(r, nve)->vtep, by),
        en->moves);
}

bool
reg_damp(struct registry *r, uint32_t nve, const struct mapping_rec *rec)
{
    uint32_t h = keytab_find(&r->keys, rec->vni, &rec->mac);
    struct reg_ent *en = h ? reg_ent(r, h) : NULL;
    if (!en || !(en->flags & ENT_LIVE) || en->nve == nve ||
        r->conf.damp_moves >= REG_DAMP_NEVER)
        return false;
    bool over_learned = rec->vsi && !en->vsi;
    if (over_learned || en->moves == 0 || !left(r, en)) {
        reg_damp_clear(en);
        en->moved_s = seconds(r);
        en->home = en->nve;
    }
    if (en->moves < r->conf.damp_moves || en->home == nve)
        return false;
    en->rival = nve;
    if (!(en->flags & ENT_FROZEN)) {
        en->flags |= ENT_FROZEN;
        en->moved_s = seconds(r);
        freeze(r, en, nve);
    }
    r->counters[REGC_DAMPED]++;
    return true;
}

void
reg_damp_moved(struct registry *r, uint32_t old, const struct mapping_rec *rec)
{
    uint32_t h = keytab_find(&r->keys, rec->vni, &rec->mac);
    struct reg_ent *en = h ? reg_ent(r, h) : NULL;
    if (en && old && old != en->nve && en->moves < REG_DAMP_NEVER)
        en->moves++;
}

void
reg_damp_clear(struct reg_ent *en)
{
    en->moves = 0;
    en->home = en->rival = 0;
    en->flags &= (uint8_t)~ENT_FROZEN;
}

/* Who took it in a turn does not end the turns by letting it go. */
void
reg_damp_killed(struct reg_ent *en)
{
    if (en->nve == en->home)
        reg_damp_clear(en);
}

uint32_t
reg_damp_frozen(const struct registry *r, uint32_t ent, struct ip *rival)
{
    const struct reg_ent *en = reg_ent(r, ent);
    if (!(en->flags & ENT_FROZEN) || !left(r, en))
        return 0;
    *rival = reg_nve(r, en->nve == en->home ? en->rival : en->home)->vtep;
    return left(r, en);
}

bool
registry_thaw(struct registry *r, uint32_t vni, const struct mac *mac, uint64_t now_us)
{
    r->now_us = now_us;
    uint32_t h = keytab_find(&r->keys, vni, mac);
    struct reg_ent *en = h ? reg_ent(r, h) : NULL;
    if (!en || !(en->flags & ENT_LIVE) || !(en->flags & ENT_FROZEN) || !left(r, en))
        return false;
    reg_damp_clear(en);
    return true;
}
