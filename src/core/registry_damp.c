/* SPDX-License-Identifier: Apache-2.0 */
/* Two stations that speak plain VDP, or a loop behind wildcard VSIs, can claim one MAC
 * in turns for ever (E5). Who moves a key too often by claims that name no migration
 * is stopped: the key stays where it is until nobody has tried for t_damp (RFC 7432
 * clause 15.1). What was reserved before is somebody's intent, and ends the count. */
#include "core/registry_int.h"

#include "base/log.h"

static uint32_t
seconds(const struct registry *r)
{
    return (uint32_t)(r->now_us / 1000000);
}

static bool
passed(const struct registry *r, const struct reg_ent *en)
{
    return seconds(r) - en->moved_s >= r->conf.damp_us / 1000000;
}

static bool
is_move(const struct reg_ent *en, uint32_t nve)
{
    return en->flags & ENT_LIVE && en->nve != nve;
}

bool
reg_damp(struct registry *r, uint32_t nve, const struct mapping_rec *rec)
{
    uint32_t h = keytab_find(&r->keys, rec->vni, &rec->mac);
    struct reg_ent *en = h ? reg_ent(r, h) : NULL;
    if (!en || !is_move(en, nve) || r->conf.damp_moves >= REG_DAMP_NEVER)
        return false;
    if (en->moves == 0 || passed(r, en)) {
        reg_damp_clear(en);
        en->moved_s = seconds(r);
    }
    if (!(en->flags & ENT_FROZEN)) {
        if (en->moves < r->conf.damp_moves)
            return false;
        char mac[MAC_STR], at[IP_STR], by[IP_STR];
        en->flags |= ENT_FROZEN;
        log_err("registry",
            "vni=%u mac=%s is claimed in turns: frozen at nve=%s, refused to nve=%s "
            "after moves=%u; find the second station or the loop",
            rec->vni, mac_str(&rec->mac, mac), ip_str(&reg_nve(r, en->nve)->vtep, at),
            ip_str(&reg_nve(r, nve)->vtep, by), en->moves);
    }
    en->moved_s = seconds(r); /* of the latest attempt from now on */
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
    en->flags &= (uint8_t)~ENT_FROZEN;
}

bool
reg_damp_frozen(const struct registry *r, uint32_t ent)
{
    const struct reg_ent *en = reg_ent(r, ent);
    return en->flags & ENT_FROZEN && !passed(r, en);
}
