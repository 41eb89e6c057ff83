/* SPDX-License-Identifier: Apache-2.0 */
/* A VM interface stands in three maps: vms (what its own frames get), macs (how frames
 * find it) and groups (the VLAN's list). To open, the ways to the VM come first and vms
 * last; to close, vms goes first. The table here mirrors vms by name, so that a change
 * costs only the system calls that change something; at start it is read back from the
 * pinned map. */
#include "host/tes_bpf_int.h"
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t
tes_bpf_tag_find(const struct tes_bpf_plane *p, const char *name)
{
    return map_find(&p->by_name, map_hash(&p->by_name, name, strlen(name)), name);
}

struct tag_entry *
tes_bpf_tag_add(struct tes_bpf_plane *p, const char *name)
{
    uint32_t h = pool_get(&p->tags);
    struct tag_entry *e;
    if (!h)
        return NULL;
    e = pool_at(&p->tags, h);
    snprintf(e->v.name, sizeof(e->v.name), "%s", name);
    map_add(&p->by_name, map_hash(&p->by_name, name, strlen(name)), h);
    return e;
}

void
tes_bpf_tag_drop(struct tes_bpf_plane *p, uint32_t h)
{
    struct tag_entry *e = pool_at(&p->tags, h);
    map_del(&p->by_name, map_hash(&p->by_name, e->v.name, strlen(e->v.name)), h);
    pool_put(&p->tags, h);
}

static struct tes_mac_key
mac_key(const struct tes_vm *v)
{
    struct tes_mac_key k = {.uplink = v->uplink, .vid = v->vid};
    memcpy(k.mac, v->mac, sizeof(k.mac));
    return k;
}

/* --- the list of a VLAN --- */

static bool
group_get(struct tes_bpf_plane *p, struct tes_group_key *k, uint32_t chunk,
    struct tes_group *g)
{
    k->chunk = chunk;
    return bpf_map_lookup_elem(p->groups, k, g) == 0;
}

static int
group_put(struct tes_bpf_plane *p, struct tes_group_key *k, uint32_t chunk,
    const struct tes_group *g)
{
    k->chunk = chunk;
    return bpf_map_update_elem(p->groups, k, g, BPF_ANY) ? -errno : 0;
}

static int
group_add(struct tes_bpf_plane *p, const struct tes_vm *v, uint32_t ifindex)
{
    struct tes_group_key k = {.uplink = v->uplink, .vid = v->vid};
    struct tes_group g = {0}, fresh = {.n = 1, .ifindex = {ifindex}};
    uint32_t last = 0;
    int rc;
    for (uint32_t c = 0; c < TES_CHUNKS && group_get(p, &k, c, &g); c++) {
        for (uint32_t i = 0; i < g.n; i++)
            if (g.ifindex[i] == ifindex)
                return 0;
        last = c + 1;
        if (!g.more)
            break;
    }
    if (last && g.n < TES_MEMBERS) {
        g.ifindex[g.n++] = ifindex;
        return group_put(p, &k, last - 1, &g);
    }
    if (last == TES_CHUNKS)
        return -ENOSPC;
    rc = group_put(p, &k, last, &fresh); /* the new chunk first, then the way to it */
    if (rc || !last)
        return rc;
    g.more = 1;
    return group_put(p, &k, last - 1, &g);
}

/* The last member takes the place; for a moment it stands twice, rather than not at
 * all. */
static void
group_del(struct tes_bpf_plane *p, const struct tes_vm *v, uint32_t ifindex)
{
    struct tes_group_key k = {.uplink = v->uplink, .vid = v->vid};
    struct tes_group g, last = {0}, before = {0};
    uint32_t at = UINT32_MAX, place = 0, end = 0;
    struct tes_group holder = {0};
    for (uint32_t c = 0; c < TES_CHUNKS && group_get(p, &k, c, &g); c++) {
        for (uint32_t i = 0; i < g.n; i++) {
            if (g.ifindex[i] == ifindex) {
                at = c;
                place = i;
                holder = g;
            }
        }
        before = last;
        last = g;
        end = c;
        if (!g.more)
            break;
    }
    if (at == UINT32_MAX)
        return;
    if (at != end) {
        holder.ifindex[place] = last.ifindex[last.n - 1];
        group_put(p, &k, at, &holder);
        if (at + 1 == end)
            before = holder;
    } else {
        last.ifindex[place] = last.ifindex[last.n - 1];
    }
    last.n--;
    if (last.n) {
        group_put(p, &k, end, &last);
        return;
    }
    if (end) {
        before.more = 0;
        group_put(p, &k, end - 1, &before);
    }
    k.chunk = end;
    bpf_map_delete_elem(p->groups, &k);
}

/* --- one interface --- */

static void
ways_remove(struct tes_bpf_plane *p, const struct tes_vm *v, uint32_t ifindex)
{
    struct tes_mac_key k = mac_key(v);
    struct tes_mac m;
    if (!v->vid)
        return;
    if (bpf_map_lookup_elem(p->macs, &k, &m) == 0 && m.ifindex == ifindex)
        bpf_map_delete_elem(p->macs, &k);
    group_del(p, v, ifindex);
}

static int
ways_add(struct tes_bpf_plane *p, const struct tes_vm *v, uint32_t ifindex)
{
    struct tes_mac_key k = mac_key(v);
    struct tes_mac m = {.ifindex = ifindex, .peer = v->peer, .away = v->away}, was;
    char name[IF_NAMESIZE];
    if (!v->vid)
        return 0;
    if (bpf_map_lookup_elem(p->macs, &k, &was) == 0 && was.ifindex != ifindex &&
        if_indextoname(was.ifindex, name) && tes_bpf_tag_find(p, name))
        return -EEXIST;
    if (bpf_map_update_elem(p->macs, &k, &m, BPF_ANY))
        return -errno;
    if (!v->away || v->pass)
        return group_add(p, v, ifindex);
    group_del(p, v, ifindex);
    return 0;
}

/* At once by a filter, and by a pinned link as soon as the thread comes to it. */
static int
attach_vm(struct tes_bpf_plane *p, struct tag_entry *e, struct host_err *err)
{
    struct tc_job job = {.ifindex = e->ifindex, .prog_fd = p->prog_vm};
    int rc;
    tc_link_path(job.path, sizeof(job.path), p->dir, "vm-", e->v.name);
    tc_later_cancel(p->later, job.path);
    rc = p->no_tcx ? tc_link_attach(job.path, e->ifindex, p->prog_vm, true, err)
                   : tc_link_attach_fast(job.path, e->ifindex, p->prog_vm, err);
    e->attached = rc >= 0;
    if (rc <= 0 || p->no_tcx)
        return rc;
    memcpy(job.ifname, e->v.name, sizeof(job.ifname));
    tc_later_push(p->later, &job);
    return 1;
}

int
tes_bpf_fd(const struct tes_bpf_plane *p)
{
    return tc_later_fd(p->later);
}

void
tes_bpf_poll(struct tes_bpf_plane *p)
{
    struct tc_job job;
    while (tc_later_pop(p->later, &job))
        if (job.status == -EOPNOTSUPP)
            p->no_tcx = true;
}

void
tes_bpf_settle(struct tes_bpf_plane *p)
{
    tc_later_wait(p->later);
    tes_bpf_poll(p);
}

static bool
same_ways(const struct tes_vm *a, const struct tes_vm *b)
{
    return a->uplink == b->uplink && a->vid == b->vid && a->peer == b->peer &&
           memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

/* Brings the maps from *was (NULL: nothing is there) to e->v. */
static int
write_vm(struct tes_bpf_plane *p, struct tag_entry *e, const struct tes_vm *was,
    struct host_err *err)
{
    bool same = was && same_ways(was, &e->v);
    int rc;
    if (was && !same) {
        struct tes_vm closed = *was;
        closed.pass = 0;
        bpf_map_update_elem(p->vms, &e->ifindex, &closed, BPF_ANY);
        ways_remove(p, was, e->ifindex);
    }
    if (same)
        same = was->away == e->v.away && (!was->away || was->pass == e->v.pass);
    rc = same ? 0 : ways_add(p, &e->v, e->ifindex);
    if (rc == -EEXIST)
        return host_fail(err, rc,
            "interface %s: another VM has this address on tag %u already; terminate "
            "that one "
            "first",
            e->v.name, e->v.vid);
    if (!rc)
        rc = bpf_map_update_elem(p->vms, &e->ifindex, &e->v, BPF_ANY) ? -errno : 0;
    if (rc == -E2BIG)
        rc = -ENOSPC;
    if (rc)
        return host_fail(
            err, rc, "interface %s: cannot install tag %u: %m", e->v.name, e->v.vid);
    return 0;
}

/* Without its entries an interface is the host's again; the program goes when there is
 * time. */
void
tes_bpf_unbind_vm(struct tes_bpf_plane *p, struct tag_entry *e, bool gone)
{
    struct tc_job job = {.ifindex = gone ? 0 : e->ifindex, .detach = true};
    if (e->ifindex) {
        bpf_map_delete_elem(p->vms, &e->ifindex);
        ways_remove(p, &e->v, e->ifindex);
    }
    tc_link_path(job.path, sizeof(job.path), p->dir, "vm-", e->v.name);
    memcpy(job.ifname, e->v.name, sizeof(job.ifname));
    tc_later_cancel(p->later, job.path);
    tc_later_push(p->later, &job);
    e->attached = false;
    e->ifindex = 0;
}

int
tes_bpf_tag(
    struct tes_bpf_plane *p, const struct tes_bpf_tag *tag, struct host_err *err)
{
    struct tes_vm was = {0}, want = {0};
    uint32_t h = tes_bpf_tag_find(p, tag->ifname), ifindex;
    struct tag_entry *e;
    bool fresh = true;
    int rc;
    if (strlen(tag->ifname) >= IF_NAMESIZE || !tag->ifname[0])
        return host_fail(err, -EINVAL, "'%s' is no interface name", tag->ifname);
    if (tag->uplink >= TES_UPLINKS || tag->vid > VID_MAX)
        return host_fail(
            err, -EINVAL, "interface %s: no such uplink or tag", tag->ifname);
    e = h ? pool_at(&p->tags, h) : tes_bpf_tag_add(p, tag->ifname);
    if (!e)
        return host_fail(err, -ENOSPC,
            "interface %s: %u VMs are tagged already, no more fit", tag->ifname,
            TES_VMS_MAX);
    if (e->ifindex && !e->attached) { /* of an earlier run: is it still that device? */
        ifindex = if_nametoindex(tag->ifname);
        if (ifindex != e->ifindex)
            tes_bpf_unbind_vm(p, e, true);
    }
    if (e->ifindex) {
        was = e->v;
        fresh = false;
    }
    snprintf(want.name, sizeof(want.name), "%s", tag->ifname);
    want.uplink = (uint16_t)tag->uplink;
    want.vid = tag->vid;
    memcpy(want.mac, tag->mac.b, sizeof(want.mac));
    want.pcp = tag->pcp & 7;
    want.pass = tag->pass;
    want.reflect = tag->reflect;
    want.peer = tag->peer;
    want.away = tag->away;
    e->v = want;
    e->old = false;
    if (!e->ifindex)
        e->ifindex = if_nametoindex(tag->ifname);
    if (!e->ifindex)
        return host_fail(err, -ENODEV,
            "there is no interface %s on this server; make it, then signal again",
            tag->ifname);
    if (!fresh && e->attached && memcmp(&was, &want, sizeof(was)) == 0)
        return 0;
    if (!e->attached) {
        rc = attach_vm(p, e, err);
        if (rc < 0)
            return rc;
    }
    rc = write_vm(p, e, fresh ? NULL : &was, err);
    if (rc) { /* closed, and what it was is gone */
        uint32_t index = e->ifindex;
        bpf_map_delete_elem(p->vms, &index);
        e->v.vid = 0;
        e->v.pass = 0;
    }
    return rc;
}

void
tes_bpf_untag(struct tes_bpf_plane *p, const char *ifname)
{
    uint32_t h = tes_bpf_tag_find(p, ifname);
    if (!h)
        return;
    tes_bpf_unbind_vm(p, pool_at(&p->tags, h), false);
    tes_bpf_tag_drop(p, h);
}

/* --- uplinks --- */

static int
bind_uplink(
    struct tes_bpf_plane *p, uint32_t number, uint32_t ifindex, struct host_err *err)
{
    struct uplink_entry *u = &p->up[number];
    struct tes_uplink value = {.number = (uint16_t)number};
    char path[300];
    int rc;
    if (u->ifindex && u->ifindex != ifindex)
        bpf_map_delete_elem(p->uplinks, &u->ifindex);
    u->ifindex = ifindex;
    bpf_map_update_elem(p->ifindexes, &number, &ifindex, BPF_ANY);
    if (!ifindex)
        return 0;
    snprintf(value.name, sizeof(value.name), "%s", u->name);
    if (bpf_map_update_elem(p->uplinks, &ifindex, &value, BPF_ANY))
        return host_fail(err, -errno, "uplink %s: cannot write its entry: %m", u->name);
    tc_link_path(path, sizeof(path), p->dir, "up-", u->name);
    rc = tc_link_attach(path, ifindex, p->prog_uplink, p->no_tcx, err);
    return rc;
}

int
tes_bpf_uplink(
    struct tes_bpf_plane *p, const char *name, uint32_t *number, struct host_err *err)
{
    uint32_t n = TES_UPLINKS;
    int rc;
    if (!name[0] || strlen(name) >= IF_NAMESIZE)
        return host_fail(err, -EINVAL, "'%s' is no interface name", name);
    for (uint32_t i = TES_UPLINKS; i-- > 0;)
        if (strcmp(p->up[i].name, name) == 0)
            n = i;
    for (uint32_t i = TES_UPLINKS; n == TES_UPLINKS && i-- > 0;)
        if (!p->up[i].name[0])
            n = i;
    for (uint32_t i = 0; i < n && n < TES_UPLINKS; i++)
        if (!p->up[i].name[0] && strcmp(p->up[n].name, name) != 0)
            n = i;
    if (n == TES_UPLINKS)
        return host_fail(
            err, -ENOSPC, "uplink %s: no more than %u uplinks", name, TES_UPLINKS);
    snprintf(p->up[n].name, sizeof(p->up[n].name), "%s", name);
    p->up[n].old = false;
    p->up[n].taken = true;
    *number = n;
    rc = bind_uplink(p, n, if_nametoindex(name), err);
    return rc < 0 ? rc : 0;
}

void
tes_bpf_drop_uplink(struct tes_bpf_plane *p, uint32_t number)
{
    struct uplink_entry *u = &p->up[number];
    char path[300];
    uint32_t ifindex = u->ifindex;
    bind_uplink(p, number, 0, NULL);
    tc_link_path(path, sizeof(path), p->dir, "up-", u->name);
    tc_link_detach(path, ifindex);
    memset(u, 0, sizeof(*u));
}

/* --- events and watchdog --- */

int
tes_bpf_link(
    struct tes_bpf_plane *p, const char *name, uint32_t ifindex, struct host_err *err)
{
    uint32_t h = tes_bpf_tag_find(p, name);
    struct tag_entry *e = h ? pool_at(&p->tags, h) : NULL;
    int rc;
    for (uint32_t i = 0; i < TES_UPLINKS; i++) {
        if (strcmp(p->up[i].name, name) != 0 || p->up[i].ifindex == ifindex)
            continue;
        rc = bind_uplink(p, i, ifindex, err);
        return rc < 0 ? rc : 1;
    }
    if (!e || e->ifindex == ifindex)
        return 0;
    if (e->ifindex)
        tes_bpf_unbind_vm(p, e, true);
    if (!ifindex)
        return 0;
    e->ifindex = ifindex;
    rc = attach_vm(p, e, err);
    if (rc >= 0)
        rc = write_vm(p, e, NULL, err);
    return rc < 0 ? rc : 1;
}

static bool
there(const struct tes_bpf_plane *p, const char *prefix, const char *name,
    uint32_t ifindex)
{
    char path[300];
    tc_link_path(path, sizeof(path), p->dir, prefix, name);
    return tc_link_there(path, ifindex);
}

uint32_t
tes_bpf_check(struct tes_bpf_plane *p)
{
    struct host_err err;
    uint32_t it = 0, h, n = 0;
    for (uint32_t i = 0; i < TES_UPLINKS; i++)
        if (p->up[i].taken && p->up[i].ifindex &&
            !there(p, "up-", p->up[i].name, p->up[i].ifindex))
            n += bind_uplink(p, i, p->up[i].ifindex, &err) == 1;
    while ((h = map_each(&p->by_name, &it))) {
        struct tag_entry *e = pool_at(&p->tags, h);
        if (e->ifindex && !e->old && !there(p, "vm-", e->v.name, e->ifindex))
            n += attach_vm(p, e, &err) == 1;
    }
    return n;
}

uint32_t
tes_bpf_n_vms(const struct tes_bpf_plane *p)
{
    return p->tags.n;
}

int
tes_bpf_counters(struct tes_bpf_plane *p, uint64_t out[TESC_N])
{
    int n = libbpf_num_possible_cpus();
    struct tes_counters *c;
    uint32_t zero = 0;
    if (n <= 0)
        return -EINVAL;
    c = calloc((size_t)n, sizeof(*c));
    if (!c)
        abort();
    memset(out, 0, TESC_N * sizeof(out[0]));
    if (bpf_map_lookup_elem(p->counters, &zero, c)) {
        int rc = -errno;
        free(c);
        return rc;
    }
    for (int i = 0; i < n; i++)
        for (unsigned k = 0; k < TESC_N; k++)
            out[k] += c[i].c[k];
    free(c);
    return 0;
}

static const char *const counter_text[][2] = {
#define X(sym, name, help) {name, help},
    TES_COUNTERS(X)
#undef X
};

const char *
tes_bpf_counter_name(unsigned c)
{
    return c < TESC_N ? counter_text[c][0] : "?";
}

const char *
tes_bpf_counter_help(unsigned c)
{
    return c < TESC_N ? counter_text[c][1] : "";
}
