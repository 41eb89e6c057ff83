/* SPDX-License-Identifier: Apache-2.0 */
/* attachment: version, port 2, VSIID 17, state, prev, flags, op, cookie 4, epoch 8,
 * migration 8, idle 8, manager 16, type 3, type version 1, entries 2, then per entry:
 * VNI 3, MAC 6, VID 2, flags, PCP, low trust, IPs 1, epoch 8, migration 8, IPs 16 each;
 * of version 2, where a flag says so, then target 16, its epoch 8, its migration 8.
 * tag: version, domain 4, VID 2, VNI 3, state. VN: version, VNI 3, MTU 4, ARP policy,
 * centralised, pull, name length 1, name. What a reader cannot believe is a fault. */
#include "core/record.h"

#include <string.h>

#include "base/buf.h"
#include "core/tag.h"

#define RECORD_VERSION_TARGETS 2

static void
put_mac(struct wr *w, const struct mac *m)
{
    wr_bytes(w, m->b, sizeof m->b);
}

static void
put_vsiid(struct wr *w, const struct vsiid *id)
{
    wr_u8(w, id->format);
    wr_bytes(w, id->b, sizeof id->b);
}

static bool
fault(struct record_fault *f, const struct rd *r, const char *what)
{
    f->what = what;
    f->at = (uint16_t)r->pos;
    return false;
}

/* Common to all decoders: nothing missing, nothing left. */
static bool
finish(const struct rd *r, struct record_fault *f)
{
    if (r->err)
        return fault(f, r, "cut short");
    if (rd_left(r))
        return fault(f, r, "octets behind its end");
    return true;
}

static bool
start(struct rd *r, uint8_t max, uint8_t *version, struct record_fault *f)
{
    *version = rd_u8(r);
    if (r->err)
        return fault(f, r, "empty");
    return (*version >= RECORD_VERSION && *version <= max) ||
           fault(f, r, "version not known");
}

uint16_t
record_attachment_encode(const struct record_attachment *a, uint8_t *p, size_t cap)
{
    struct wr w = wr_of(p, cap < RECORD_SIZE_MAX ? cap : RECORD_SIZE_MAX);
    uint8_t version = RECORD_VERSION;
    for (uint16_t i = 0; i < a->n_entries; i++)
        if (a->entries[i].flags & RECORD_ENTRY_TARGET)
            version = RECORD_VERSION_TARGETS;
    wr_u8(&w, version);
    wr_u16(&w, (uint16_t)a->port);
    put_vsiid(&w, &a->id);
    wr_u8(&w, a->state);
    wr_u8(&w, a->prev);
    wr_u8(&w, a->flags);
    wr_u8(&w, a->op);
    wr_u32(&w, a->cookie);
    wr_u64(&w, a->epoch);
    wr_u64(&w, a->migration_id);
    wr_u64(&w, a->idle_us);
    wr_bytes(&w, a->profile.manager, sizeof a->profile.manager);
    wr_u24(&w, a->profile.type_id);
    wr_u8(&w, a->profile.version);
    wr_u16(&w, a->n_entries);
    for (uint16_t i = 0; i < a->n_entries; i++) {
        const struct record_entry *n = &a->entries[i];
        wr_u24(&w, n->vni);
        put_mac(&w, &n->mac);
        wr_u16(&w, n->vid);
        wr_u8(&w, n->flags);
        wr_u8(&w, n->pcp);
        wr_u8(&w, n->low_trust);
        wr_u8(&w, n->n_ips);
        wr_u64(&w, n->epoch);
        wr_u64(&w, n->migration_id);
        for (uint8_t k = 0; k < n->n_ips; k++)
            wr_bytes(&w, n->ips[k].b, sizeof n->ips[k].b);
        if (n->flags & RECORD_ENTRY_TARGET) {
            wr_bytes(&w, n->target.b, sizeof n->target.b);
            wr_u64(&w, n->target_epoch);
            wr_u64(&w, n->target_migration_id);
        }
    }
    return w.err ? 0 : (uint16_t)w.pos;
}

static bool
entry_decode(
    struct rd *r, uint8_t version, struct record_entry *n, struct record_fault *f)
{
    *n = (struct record_entry){.vni = rd_u24(r)};
    rd_bytes(r, n->mac.b, sizeof n->mac.b);
    n->vid = rd_u16(r);
    n->flags = rd_u8(r);
    n->pcp = rd_u8(r);
    n->low_trust = rd_u8(r);
    n->n_ips = rd_u8(r);
    n->epoch = rd_u64(r);
    n->migration_id = rd_u64(r);
    if (n->vid > VID_MAX)
        return fault(f, r, "VID above 4094");
    if (n->pcp > 7)
        return fault(f, r, "PCP above 7");
    if (mac_is_group(&n->mac))
        return fault(f, r, "group MAC");
    if (n->n_ips > TNS_IPS_MAX)
        return fault(f, r, "too many addresses");
    for (uint8_t k = 0; k < n->n_ips; k++)
        rd_bytes(r, n->ips[k].b, sizeof n->ips[k].b);
    if (version < RECORD_VERSION_TARGETS) /* there the flag means nothing */
        n->flags &= (uint8_t)~RECORD_ENTRY_TARGET;
    if (n->flags & RECORD_ENTRY_TARGET) {
        rd_bytes(r, n->target.b, sizeof n->target.b);
        n->target_epoch = rd_u64(r);
        n->target_migration_id = rd_u64(r);
    }
    return true;
}

bool
record_attachment_decode(
    struct record_attachment *a, const uint8_t *p, size_t size, struct record_fault *f)
{
    struct rd r = rd_of(p, size);
    uint8_t version;
    if (!start(&r, RECORD_VERSION_TARGETS, &version, f))
        return false;
    a->port = rd_u16(&r);
    a->id.format = rd_u8(&r);
    rd_bytes(&r, a->id.b, sizeof a->id.b);
    a->state = rd_u8(&r);
    a->prev = rd_u8(&r);
    a->flags = rd_u8(&r);
    a->op = rd_u8(&r);
    a->cookie = rd_u32(&r);
    a->epoch = rd_u64(&r);
    a->migration_id = rd_u64(&r);
    a->idle_us = rd_u64(&r);
    rd_bytes(&r, a->profile.manager, sizeof a->profile.manager);
    a->profile.type_id = rd_u24(&r);
    a->profile.version = rd_u8(&r);
    a->n_entries = rd_u16(&r);
    if (r.err)
        return fault(f, &r, "cut short");
    if (a->port == 0 || a->port >= DP_PORT_MAX)
        return fault(f, &r, "port out of range");
    if (a->state == ATT_NULL || a->state >= ATT_N_STATES || a->prev >= ATT_N_STATES)
        return fault(f, &r, "state out of range");
    if (a->op >= TNS_N_OPS)
        return fault(f, &r, "operation out of range");
    if (a->n_entries > RECORD_ENTRIES_MAX)
        return fault(f, &r, "too many entries");
    for (uint16_t i = 0; i < a->n_entries; i++)
        if (!entry_decode(&r, version, &a->entries[i], f))
            return false;
    return finish(&r, f);
}

uint16_t
record_tag_encode(const struct record_tag *t, uint8_t *p, size_t cap)
{
    struct wr w = wr_of(p, cap);
    wr_u8(&w, RECORD_VERSION);
    wr_u32(&w, t->domain);
    wr_u16(&w, t->vid);
    wr_u24(&w, t->vni);
    wr_u8(&w, t->state);
    return w.err ? 0 : (uint16_t)w.pos;
}

bool
record_tag_decode(
    struct record_tag *t, const uint8_t *p, size_t size, struct record_fault *f)
{
    struct rd r = rd_of(p, size);
    uint8_t version;
    if (!start(&r, RECORD_VERSION, &version, f))
        return false;
    t->domain = rd_u32(&r);
    t->vid = rd_u16(&r);
    t->vni = rd_u24(&r);
    t->state = rd_u8(&r);
    if (!finish(&r, f))
        return false;
    if (t->vid == 0 || t->vid > VID_MAX)
        return fault(f, &r, "VID out of range");
    if (t->state != TAG_HELD && t->state != TAG_DRAIN)
        return fault(f, &r, "state out of range");
    return true;
}

uint16_t
record_vn_encode(const struct vn_rec *v, uint8_t *p, size_t cap)
{
    struct wr w = wr_of(p, cap);
    size_t n = strnlen(v->name, VN_NAME_SIZE - 1);
    wr_u8(&w, RECORD_VERSION);
    wr_u24(&w, v->vni);
    wr_u32(&w, v->mtu);
    wr_u8(&w, v->arp);
    wr_u8(&w, v->centralised);
    wr_u8(&w, v->pull);
    wr_u8(&w, (uint8_t)n);
    wr_bytes(&w, v->name, n);
    return w.err ? 0 : (uint16_t)w.pos;
}

bool
record_vn_decode(
    struct vn_rec *v, const uint8_t *p, size_t size, struct record_fault *f)
{
    struct rd r = rd_of(p, size);
    uint8_t version;
    if (!start(&r, RECORD_VERSION, &version, f))
        return false;
    *v = (struct vn_rec){.vni = rd_u24(&r)};
    v->mtu = rd_u32(&r);
    v->arp = rd_u8(&r);
    v->centralised = rd_u8(&r);
    v->pull = rd_u8(&r);
    uint8_t n = rd_u8(&r);
    if (r.err)
        return fault(f, &r, "cut short");
    if (n >= VN_NAME_SIZE)
        return fault(f, &r, "name too long");
    if (v->arp > ARP_TRANSLATE)
        return fault(f, &r, "ARP policy out of range");
    rd_bytes(&r, v->name, n);
    return finish(&r, f);
}

uint16_t
record_attachment_key(uint32_t port, const struct vsiid *id, uint8_t *key)
{
    struct wr w = wr_of(key, RECORD_KEY_MAX);
    wr_u8(&w, RECORD_ATTACHMENT);
    wr_u16(&w, (uint16_t)port);
    put_vsiid(&w, id);
    return (uint16_t)w.pos;
}

uint16_t
record_tag_key(uint32_t domain, uint16_t vid, uint8_t *key)
{
    struct wr w = wr_of(key, RECORD_KEY_MAX);
    wr_u8(&w, RECORD_TAG);
    wr_u32(&w, domain);
    wr_u16(&w, vid);
    return (uint16_t)w.pos;
}

uint16_t
record_vn_key(uint32_t vni, uint8_t *key)
{
    struct wr w = wr_of(key, RECORD_KEY_MAX);
    wr_u8(&w, RECORD_VN);
    wr_u24(&w, vni);
    return (uint16_t)w.pos;
}
