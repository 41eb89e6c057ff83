/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of the data plane, one by one. Each looks before it writes: after a
 * restart the wanted state is replayed and only differences reach the maps (K15). */
#include "host/dp_bpf_int.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>

#define NS_PER_S 1000000000ull

int
dp_put(int fd, const void *key, const void *val, size_t size)
{
    uint8_t old[64];

    if (!bpf_map_lookup_elem(fd, key, old) && !memcmp(old, val, size))
        return 0;
    if (bpf_map_update_elem(fd, key, val, BPF_ANY))
        return errno == E2BIG ? -ENOSPC : -errno;
    return 0;
}

int
dp_del(int fd, const void *key)
{
    return bpf_map_delete_elem(fd, key) && errno != ENOENT ? -errno : 0;
}

static void
mac_put(uint16_t *words, const struct mac *mac)
{
    memcpy(words, mac->b, 6);
}

/* The hash is the truth, the array its fast copy. */
int
dp_port_put(struct dp_bpf *dp, uint32_t ifindex, const struct nve_port *val)
{
    int rc = dp_put(dp->fd.ports, &ifindex, val, sizeof(*val));

    if (!rc && ifindex < NVE_PORT_AT)
        rc = dp_put(dp->fd.port_at, &ifindex, val, sizeof(*val));
    return rc;
}

int
dp_port_drop(struct dp_bpf *dp, uint32_t ifindex)
{
    struct nve_port none = {0};
    int rc = 0;

    if (ifindex < NVE_PORT_AT)
        rc = dp_put(dp->fd.port_at, &ifindex, &none, sizeof(none));
    return rc ? rc : dp_del(dp->fd.ports, &ifindex);
}

/* The policy of a port lies under its ifindex, which the daemon may not know yet. */
int
dp_port_write(struct dp_bpf *dp, uint32_t port)
{
    const struct dp_port *p = &dp->ports[port];
    struct nve_port val = {.port = (uint16_t)port, .native = p->native};

    if (!p->known || !p->ifindex)
        return 0;
    return dp_port_put(dp, p->ifindex, &val);
}

static int
port_set(struct dp_bpf *dp, const struct dp_op *op)
{
    uint32_t port = op->u.port.port;

    dp_sync_note(dp, DP_T_PORT, &port, true);
    dp->ports[port].known = true;
    dp->ports[port].native = op->u.port.native;
    return dp_port_write(dp, port);
}

static int
port_del(struct dp_bpf *dp, const struct dp_op *op)
{
    uint32_t port = op->u.port.port;
    struct dp_port *p = &dp->ports[port];

    dp_sync_note(dp, DP_T_PORT, &port, false);
    p->known = false;
    return p->ifindex ? dp_port_drop(dp, p->ifindex) : 0;
}

int
dp_floor_write(struct dp_bpf *dp, uint32_t floor)
{
    struct nve_conf c = {0};
    uint32_t zero = 0;

    dp->mtu_floor = floor;
    c.vxlan_ifindex = dp->vxlan_ifindex;
    c.mtu_floor = floor;
    c.filled = !dp->waiting;
    c.hold_ifindex = dp->hold_ifindex;
    return dp_put(dp->fd.conf, &zero, &c, sizeof(c));
}

static int
vn_set(struct dp_bpf *dp, const struct dp_op *op)
{
    uint32_t vni = op->u.vn.vni, pps = op->u.vn.bum_pps, burst = op->u.vn.bum_burst;
    struct nve_vn val = {.mtu = op->u.vn.mtu, .arp = op->u.vn.arp};
    int rc;

    if (pps) {
        val.bum_cost_ns = pps < NS_PER_S ? NS_PER_S / pps : 1;
        val.bum_burst_ns = val.bum_cost_ns * (burst ? burst : pps);
    }
    dp_sync_note(dp, DP_T_VN, &vni, true);
    if (val.mtu && val.mtu < dp->mtu_floor) {
        rc = dp_floor_write(dp, val.mtu);
        if (rc)
            return rc;
    }
    return dp_put(dp->fd.vns, &vni, &val, sizeof(val));
}

static int
local_put(struct dp_bpf *dp, uint32_t port, uint16_t vid, const struct nve_vap *vap)
{
    struct nve_local e = {
        .port = (uint16_t)port, .vid = vid, .pcp = vap->pcp, .reflect = vap->reflect};
    struct dp_list l = dp_list_locals(dp);
    int rc = dp_list_put(&l, vap->vni, &e);

    return rc < 0 ? rc : 0;
}

static int
local_del(struct dp_bpf *dp, uint32_t port, uint16_t vid, uint32_t vni)
{
    struct nve_local e = {.port = (uint16_t)port, .vid = vid};
    struct dp_list l = dp_list_locals(dp);
    int rc = dp_list_del(&l, vni, &e);

    return rc < 0 ? rc : 0;
}

static int
vap_set(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_vap_key key = {(uint16_t)op->u.vap.port, op->u.vap.vid};
    struct nve_vap old, val = {.vni = op->u.vap.vni,
                            .wildcard = op->u.vap.wildcard,
                            .reflect = op->u.vap.reflect,
                            .flood = op->u.vap.flood,
                            .pcp = op->u.vap.pcp & 7};
    int rc = 0;

    dp_sync_note(dp, DP_T_VAP, &key, true);
    if (!bpf_map_lookup_elem(dp->fd.vaps, &key, &old) && old.flood &&
        (!val.flood || old.vni != val.vni))
        rc = local_del(dp, key.port, key.vid, old.vni);
    if (!rc)
        rc = dp_put(dp->fd.vaps, &key, &val, sizeof(val));
    if (!rc && val.flood)
        rc = local_put(dp, key.port, key.vid, &val);
    return rc;
}

int
dp_vap_del(struct dp_bpf *dp, uint32_t port, uint16_t vid)
{
    struct nve_vap_key key = {(uint16_t)port, vid};
    struct nve_vap old;
    int rc = 0;

    if (bpf_map_lookup_elem(dp->fd.vaps, &key, &old))
        return 0;
    if (old.flood)
        rc = local_del(dp, port, vid, old.vni);
    return rc ? rc : dp_del(dp->fd.vaps, &key);
}

static int
vap_del(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_vap_key key = {(uint16_t)op->u.vap.port, op->u.vap.vid};

    dp_sync_note(dp, DP_T_VAP, &key, false);
    return dp_vap_del(dp, key.port, key.vid);
}

/* A VSI's number stands in its FDB entry too, for the frames sent to it. */
static int
vsi_set(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_vsi_key key = {.port = (uint16_t)op->u.vsi.port, .vid = op->u.vsi.vid};
    struct nve_vsi val = {.vni = op->u.vsi.vni,
        .vsi = op->u.vsi.vsi,
        .active = op->u.vsi.active,
        .pcp = op->u.vsi.pcp & 7};
    struct nve_fdb_key place = {.vni = op->u.vsi.vni};
    struct nve_fdb fdb;
    int rc;

    mac_put(key.mac, &op->u.vsi.mac);
    mac_put(place.mac, &op->u.vsi.mac);
    dp_sync_note(dp, DP_T_VSI, &key, true);
    rc = dp_put(dp->fd.vsis, &key, &val, sizeof(val));
    if (rc || bpf_map_lookup_elem(dp->fd.fdb, &place, &fdb) ||
        (fdb.kind & ~NVE_HELD) != FDB_LOCAL || fdb.port != key.port ||
        fdb.vid != key.vid)
        return rc;
    fdb.vsi = val.vsi;
    return dp_put(dp->fd.fdb, &place, &fdb, sizeof(fdb));
}

static int
vsi_del(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_vsi_key key = {.port = (uint16_t)op->u.vsi.port, .vid = op->u.vsi.vid};

    mac_put(key.mac, &op->u.vsi.mac);
    dp_sync_note(dp, DP_T_VSI, &key, false);
    return dp_del(dp->fd.vsis, &key);
}

static int
fdb_set(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_fdb_key key = {.vni = op->u.fdb.vni};
    struct nve_fdb val = {.kind = op->u.fdb.kind};

    mac_put(key.mac, &op->u.fdb.mac);
    if (val.kind == FDB_LOCAL) {
        struct nve_vsi_key admit = {
            .port = (uint16_t)op->u.fdb.port, .vid = op->u.fdb.vid};
        struct nve_vsi vsi;

        val.port = (uint16_t)op->u.fdb.port;
        val.vid = op->u.fdb.vid;
        val.pcp = op->u.fdb.pcp & 7;
        mac_put(admit.mac, &op->u.fdb.mac);
        if (!bpf_map_lookup_elem(dp->fd.vsis, &admit, &vsi) && vsi.vni == key.vni)
            val.vsi = vsi.vsi;
    } else {
        memcpy(val.vtep, op->u.fdb.vtep.b, 16);
    }
    dp_sync_note(dp, DP_T_FDB, &key, true);
    return dp_fdb_put(dp, &key, &val);
}

static int
fdb_del(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_fdb_key key = {.vni = op->u.fdb.vni};

    mac_put(key.mac, &op->u.fdb.mac);
    dp_sync_note(dp, DP_T_FDB, &key, false);
    return dp_fdb_del(dp, &key);
}

static int
neigh_op(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_neigh_key key = {.vni = op->u.neigh.vni};
    struct nve_neigh val = {.router = op->u.neigh.router};
    bool set = op->type == DP_NEIGH_SET;

    memcpy(key.ip, op->u.neigh.ip.b, 16);
    mac_put(val.mac, &op->u.neigh.mac);
    dp_sync_note(dp, DP_T_NEIGH, &key, set);
    return set ? dp_put(dp->fd.neigh, &key, &val, sizeof(val))
               : dp_del(dp->fd.neigh, &key);
}

static int
vtep_change(struct dp_bpf *dp, const struct ip *vtep, int refs, int known)
{
    struct nve_vtep v = {0, 0};

    if (bpf_map_lookup_elem(dp->fd.vteps, vtep, &v))
        memset(&v, 0, sizeof(v));
    if (refs > 0 || v.refs)
        v.refs += (uint32_t)refs;
    if (known >= 0)
        v.known = (uint32_t)known;
    if (!v.refs && !v.known)
        return dp_del(dp->fd.vteps, vtep);
    return dp_put(dp->fd.vteps, vtep, &v, sizeof(v));
}

/* The endpoint becomes known before anything is sent to it, and stays until after. */
static int
member_set(struct dp_bpf *dp, const struct dp_op *op)
{
    struct dp_list l = dp_list_remotes(dp);
    const struct ip *vtep = &op->u.member.vtep;
    struct dp_member_key key = {.vni = op->u.member.vni};
    int rc;

    memcpy(key.ip, vtep->b, 16);
    if (ip_equal(vtep, &dp->local)) /* a copy to ourselves would loop */
        return 0;
    dp_sync_note(dp, DP_T_MEMBER, &key, true);
    if (!key.vni)
        return vtep_change(dp, vtep, 0, 1);
    if (dp_list_has(&l, key.vni, vtep->b))
        return 0;
    rc = vtep_change(dp, vtep, 1, -1);
    if (rc)
        return rc;
    rc = dp_list_put(&l, key.vni, vtep->b);
    if (rc < 0)
        vtep_change(dp, vtep, -1, -1);
    return rc < 0 ? rc : 0;
}

int
dp_member_del(struct dp_bpf *dp, uint32_t vni, const struct ip *vtep)
{
    struct dp_list l = dp_list_remotes(dp);
    int rc;

    if (!vni)
        return vtep_change(dp, vtep, 0, 0);
    rc = dp_list_del(&l, vni, vtep->b);
    return rc <= 0 ? rc : vtep_change(dp, vtep, -1, -1);
}

static int
member_del(struct dp_bpf *dp, const struct dp_op *op)
{
    struct dp_member_key key = {.vni = op->u.member.vni};

    memcpy(key.ip, op->u.member.vtep.b, 16);
    dp_sync_note(dp, DP_T_MEMBER, &key, false);
    return dp_member_del(dp, key.vni, &op->u.member.vtep);
}

/* Deadline on the clock that bpf_ktime_get_ns reads. */
static int
neg_op(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_ask key = {.vni = op->u.neg.vni};
    struct timespec now;
    uint64_t until;

    if (ip_is_none(&op->u.neg.ip))
        mac_put(key.mac, &op->u.neg.mac);
    else
        memcpy(key.ip, op->u.neg.ip.b, 16);
    if (op->type == DP_NEG_DEL)
        return dp_del(dp->fd.neg, &key);
    clock_gettime(CLOCK_MONOTONIC, &now);
    until = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec +
            op->u.neg.hold_us * 1000;
    return bpf_map_update_elem(dp->fd.neg, &key, &until, BPF_ANY) ? -errno : 0;
}

static bool
port_ok(const struct dp_bpf *dp, uint32_t port)
{
    return port && port < dp->max_ports;
}

int
dp_bpf_apply(struct dp_bpf *dp, const struct dp_op *op)
{
    switch ((enum dp_op_type)op->type) {
    case DP_SYNC_BEGIN:
        return dp_sync_begin(dp);
    case DP_SYNC_END:
        return dp_sync_end(dp);
    case DP_PORT_SET:
        return port_ok(dp, op->u.port.port) ? port_set(dp, op) : -EINVAL;
    case DP_PORT_DEL:
        return port_ok(dp, op->u.port.port) ? port_del(dp, op) : -EINVAL;
    case DP_VN_SET:
        return op->u.vn.vni ? vn_set(dp, op) : -EINVAL;
    case DP_VN_DEL:
        dp_sync_note(dp, DP_T_VN, &op->u.vn.vni, false);
        return dp_del(dp->fd.vns, &op->u.vn.vni);
    case DP_VAP_SET:
        return port_ok(dp, op->u.vap.port) && op->u.vap.vid <= VID_MAX ? vap_set(dp, op)
                                                                       : -EINVAL;
    case DP_VAP_DEL:
        return vap_del(dp, op);
    case DP_VSI_SET:
        return port_ok(dp, op->u.vsi.port) && op->u.vsi.vid <= VID_MAX ? vsi_set(dp, op)
                                                                       : -EINVAL;
    case DP_VSI_DEL:
        return vsi_del(dp, op);
    case DP_FDB_SET:
        if (op->u.fdb.kind == FDB_LOCAL &&
            (!port_ok(dp, op->u.fdb.port) || op->u.fdb.vid > VID_MAX))
            return -EINVAL;
        return fdb_set(dp, op);
    case DP_FDB_DEL:
        return fdb_del(dp, op);
    case DP_NEIGH_SET:
    case DP_NEIGH_DEL:
        return neigh_op(dp, op);
    case DP_MEMBER_SET:
        return member_set(dp, op);
    case DP_MEMBER_DEL:
        return member_del(dp, op);
    case DP_NEG_SET:
    case DP_NEG_DEL:
        return neg_op(dp, op);
    case DP_HOLD_SET:
        return dp_hold_set(dp, op);
    case DP_HOLD_DEL:
        return dp_hold_del(dp, op);
    case DP_FRAME:
        return dp_frame_send(dp, op);
    case DP_N_OPS:
        break;
    }
    return -EINVAL;
}
