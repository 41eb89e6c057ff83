/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the BPF data plane's driver; only host/dp_bpf*.c and their test include
 * this. */
#ifndef BERTH_HOST_DP_BPF_INT_H
#define BERTH_HOST_DP_BPF_INT_H
#include <net/if.h>
#include <limits.h>
#include "base/mem.h"
#include "host/dp_bpf.h"
#include "host/loop.h"
#include "bpf/nve_maps.h"

/* Maps that outlive the daemon, by their names in the object. */
/* clang-format off */
#define NVE_MAPS(X)                                                                    \
    X(conf) X(ports) X(port_at) X(ifindexes) X(vsis) X(vaps) X(fdb) X(neigh) X(vns)    \
    X(locals) X(remotes) X(vteps) X(neg) X(asked) X(meters) X(counters)                \
    X(vsi_counters) X(events) X(holds) X(relays)
/* clang-format on */

struct dp_port { /* slot of a port number, in memory only */
    char name[IF_NAMESIZE];
    uint32_t ifindex;  /* 0: no device now */
    bool bound, known; /* known: PORT_SET was seen */
    uint8_t native;
};
struct dp_sync;
struct netlink;
struct dp_bpf {
    char dir[PATH_MAX / 2], maps_dir[PATH_MAX];
    char vxlan[IF_NAMESIZE];
    uint32_t vxlan_ifindex, max_ports, max_vsis, mtu_floor;
    struct ip local;
    uint16_t udp_port;
    bool zero_csum, no_tcx;
    bool waiting; /* old programs forward until SYNC_END (K15) */
    struct {
#define X(name) int name;
        NVE_MAPS(X)
#undef X
        int names;
    } fd;
    int prog_port, prog_overlay, prog_hold;
    char jumps[32];        /* name of the pin of our programs' jump table */
    struct dp_port *ports; /* max_ports slots */
    struct dp_sync *sync;
    struct netlink *nl;
    struct ring_buffer *ring;
    dp_bpf_event_fn fn; /* while polling */
    void *ctx;
    unsigned events, max_events;
    int packet_sock, udp4_sock, udp6_sock;
    /* dp_bpf_hold.c */
    struct loop *loop;
    struct loop_watch *hold_watch;
    struct loop_timer *hold_timer;
    struct loop_call hold_call;
    struct fifo held; /* of struct dp_event: holds that have ended, not told yet */
    dp_bpf_event_fn held_fn;
    void *held_ctx;
    struct hold *hold;      /* NULL: this host has no TAP */
    struct nve_hold *holds; /* the map */
    uint32_t hold_ifindex;
    char hold_dev[IF_NAMESIZE];
};

/* dp_bpf_attach.c */
int dp_link_check(struct dp_bpf *dp, uint32_t *ifindex, struct host_err *err);
int dp_attach(struct dp_bpf *dp, const char *name, uint32_t ifindex, int prog,
    struct host_err *err);
void dp_detach(struct dp_bpf *dp, const char *name, uint32_t ifindex);
bool dp_attached(struct dp_bpf *dp, const char *name, uint32_t ifindex);
int dp_attach_all(struct dp_bpf *dp); /* the overlay and every bound port */

/* dp_bpf_ops.c */
int dp_put(int fd, const void *key, const void *val, size_t size);
int dp_del(int fd, const void *key);
int dp_port_put(struct dp_bpf *dp, uint32_t ifindex, const struct nve_port *val);
int dp_port_drop(struct dp_bpf *dp, uint32_t ifindex);
int dp_port_write(struct dp_bpf *dp, uint32_t port);
int dp_floor_write(struct dp_bpf *dp, uint32_t floor);
int dp_remove_old(struct dp_bpf *dp); /* dp_bpf.c: pins of other layouts and programs */

/* dp_bpf_list.c: replication lists */
struct dp_list {
    int fd;
    uint32_t entry_size, key_size, cap;
};
struct dp_list dp_list_locals(const struct dp_bpf *dp);
struct dp_list dp_list_remotes(const struct dp_bpf *dp);
bool dp_list_has(const struct dp_list *l, uint32_t vni, const void *entry);
int dp_list_put(const struct dp_list *l, uint32_t vni, const void *entry); /* 1: new */
int dp_list_del(
    const struct dp_list *l, uint32_t vni, const void *entry); /* 1: was there */
/* Reads chunk `chunk` into val (nve_locals or nve_remotes); false: none. */
bool dp_list_chunk(const struct dp_list *l, uint32_t vni, uint32_t chunk, void *val);

/* dp_bpf_sync.c */
enum dp_table {
    DP_T_PORT,
    DP_T_VN,
    DP_T_VAP,
    DP_T_VSI,
    DP_T_FDB,
    DP_T_NEIGH,
    DP_T_MEMBER,
    DP_T_HOLD,
    DP_N_TABLES
};
struct dp_member_key {
    uint32_t vni;
    uint8_t ip[16];
};
int dp_sync_begin(struct dp_bpf *dp);
void dp_sync_note(struct dp_bpf *dp, enum dp_table t, const void *key, bool wanted);
int dp_sync_end(struct dp_bpf *dp);
bool dp_sync_noted(const struct dp_bpf *dp, enum dp_table t, const void *key);
void dp_sync_free(struct dp_bpf *dp);
int dp_vap_del(struct dp_bpf *dp, uint32_t port, uint16_t vid);
int dp_member_del(struct dp_bpf *dp, uint32_t vni, const struct ip *vtep);
/* All keys (and values, unless vals is NULL) of a hash; the caller frees both. */
int dp_dump(int fd, uint32_t key_size, uint32_t val_size, uint8_t **keys,
    uint8_t **vals, uint32_t *n);

/* dp_bpf_hold.c. An FDB entry keeps its hold whatever is put there or taken away. */
int dp_hold_start(
    struct dp_bpf *dp, const struct dp_bpf_conf *conf, struct host_err *err);
void dp_hold_stop(struct dp_bpf *dp);
int dp_hold_check(struct dp_bpf *dp, struct host_err *err); /* 1: repaired */
int dp_hold_set(struct dp_bpf *dp, const struct dp_op *op);
int dp_hold_del(struct dp_bpf *dp, const struct dp_op *op);
int dp_hold_prune(struct dp_bpf *dp, uint32_t *gone);
bool dp_hold_frame(
    struct dp_bpf *dp, const struct nve_fdb *to, const uint8_t *p, size_t size);
uint64_t dp_hold_dropped(const struct dp_bpf *dp);
int dp_fdb_put(
    struct dp_bpf *dp, const struct nve_fdb_key *key, const struct nve_fdb *val);
int dp_fdb_del(struct dp_bpf *dp, const struct nve_fdb_key *key);

/* dp_bpf_frame.c */
int dp_frame_send(struct dp_bpf *dp, const struct dp_op *op);
void dp_csum_complete(uint8_t *frame, size_t size);
int dp_ring_open(struct dp_bpf *dp);
#endif
