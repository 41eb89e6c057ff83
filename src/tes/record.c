/* SPDX-License-Identifier: Apache-2.0 */
/* A VM in the journal: what it takes to tag its frames and to repeat its last command
 * with its epoch (E6). The uplink stands by name, because numbers follow the
 * configuration. Layout 2 (1 ends
 * before `virt`); a new field needs a new TES_RECORD_VERSION. */
#include "tes/node_int.h"
#include "base/buf.h"
#include "base/log.h"
#include <string.h>

#define TES_RECORD_VERSION 2

void
vm_key_write(const struct vsiid *id, uint8_t key[VM_KEY_SIZE])
{
    key[0] = id->format;
    memcpy(key + 1, id->b, sizeof(id->b));
}

static void
put_text(struct wr *w, const char *text)
{
    size_t n = strlen(text);
    wr_u8(w, (uint8_t)n);
    wr_bytes(w, text, n);
}

static bool
get_text(struct rd *r, char *text, size_t size)
{
    uint8_t n = rd_u8(r);
    if (n >= size)
        return false;
    rd_bytes(r, text, n);
    text[n] = '\0';
    return !memchr(text, '\0', n);
}

uint32_t
vm_record_write(const struct tes *t, const struct vm *v, uint8_t *p, size_t size)
{
    const struct vm_params *a = &v->par;
    struct wr w = wr_of(p, size);
    wr_u8(&w, TES_RECORD_VERSION);
    wr_u8(&w, v->id.format);
    wr_bytes(&w, v->id.b, sizeof(v->id.b));
    wr_u8(&w, v->state);
    wr_u8(&w, v->prev);
    wr_u8(&w, v->wanted);
    wr_u8(&w, v->follow);
    wr_u16(&w, v->vid);
    wr_u8(&w, v->pcp);
    wr_u16(&w, v->mtu);
    wr_u64(&w, v->epoch);
    put_text(&w, t->up[a->uplink].name);
    put_text(&w, a->ifname);
    put_text(&w, a->vn);
    wr_bytes(&w, a->mac.b, sizeof(a->mac.b));
    wr_u8(&w, a->format);
    wr_u8(&w, a->has_vni);
    wr_u32(&w, a->vni);
    wr_u16(&w, a->vid);
    wr_u8(&w, a->ps);
    wr_u8(&w, a->pcp);
    wr_u32(&w, a->type_id);
    wr_u8(&w, a->type_version);
    wr_u64(&w, a->migration);
    wr_bytes(&w, a->target.b, sizeof(a->target.b));
    wr_bytes(&w, a->source.b, sizeof(a->source.b));
    wr_u8(&w, a->ips_complete);
    wr_u8(&w, a->n_ips);
    for (uint8_t i = 0; i < a->n_ips; i++)
        wr_bytes(&w, a->ips[i].b, sizeof(a->ips[i].b));
    wr_u8(&w, v->virt);
    return w.err ? 0 : (uint32_t)w.pos;
}

static bool
good(const struct vm *v)
{
    return v->id.format >= VSIID_IPV4 && v->id.format <= VSIID_UUID &&
           v->state < VM_N_STATES && v->prev < VM_N_STATES && v->vid <= VID_MAX &&
           v->par.vid <= VID_MAX && v->par.vni <= VNI_MAX &&
           v->par.type_id <= 0xffffff && v->pcp < 8 && v->par.pcp < 8 &&
           (v->follow || vdp_entry_size(v->par.format));
}

bool
vm_record_read(struct tes *t, const uint8_t *p, size_t size)
{
    struct rd r = rd_of(p, size);
    struct vm n = {0}, *v;
    struct vm_params *a = &n.par;
    char uplink[16];
    uint32_t h;
    uint8_t version = rd_u8(&r);
    if (version < 1 || version > TES_RECORD_VERSION)
        return false;
    n.id.format = rd_u8(&r);
    rd_bytes(&r, n.id.b, sizeof(n.id.b));
    n.state = rd_u8(&r);
    n.prev = rd_u8(&r);
    n.wanted = rd_u8(&r) != 0;
    n.follow = rd_u8(&r) != 0;
    n.vid = rd_u16(&r);
    n.pcp = rd_u8(&r);
    n.mtu = rd_u16(&r);
    n.epoch = rd_u64(&r);
    if (!get_text(&r, uplink, sizeof(uplink)) ||
        !get_text(&r, a->ifname, sizeof(a->ifname)) ||
        !get_text(&r, a->vn, sizeof(a->vn)))
        return false;
    rd_bytes(&r, a->mac.b, sizeof(a->mac.b));
    a->format = rd_u8(&r);
    a->has_vni = rd_u8(&r) != 0;
    a->vni = rd_u32(&r);
    a->vid = rd_u16(&r);
    a->ps = rd_u8(&r) != 0;
    a->pcp = rd_u8(&r);
    a->type_id = rd_u32(&r);
    a->type_version = rd_u8(&r);
    a->migration = rd_u64(&r);
    rd_bytes(&r, a->target.b, sizeof(a->target.b));
    rd_bytes(&r, a->source.b, sizeof(a->source.b));
    a->ips_complete = rd_u8(&r) != 0;
    a->n_ips = rd_u8(&r);
    if (a->n_ips > TNS_IPS_MAX)
        return false;
    for (uint8_t i = 0; i < a->n_ips; i++)
        rd_bytes(&r, a->ips[i].b, sizeof(a->ips[i].b));
    n.virt = version > 1 && rd_u8(&r) != 0;
    if (r.err || rd_left(&r) || !good(&n))
        return false;
    a->uplink = tes_uplink_find(t, uplink);
    if (n.follow != !!t->conf.follow) {
        log_warn("vm", "a VM was signalled by another station before: it is forgotten");
        return true;
    }
    if (a->uplink == t->n_up) {
        log_warn("vm", "uplink %s is no longer configured: a VM behind it is forgotten",
            uplink);
        return true;
    }
    h = vm_find(t, &n.id);
    if (!h)
        h = vm_add(t, &n.id);
    if (!h) {
        log_warn("vm", "the journal has more VMs than max_vms: the rest is forgotten");
        return true;
    }
    v = vm_at(t, h);
    v->par = *a;
    v->state = n.state;
    v->prev = n.prev;
    v->wanted = n.wanted;
    v->follow = n.follow;
    v->virt = n.virt;
    v->retrying = n.follow && n.state == VM_ASSOC;
    v->vid = n.vid;
    v->pcp = n.pcp;
    v->mtu = n.mtu;
    v->epoch = n.epoch;
    return true;
}
