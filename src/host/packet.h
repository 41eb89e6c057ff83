/* SPDX-License-Identifier: Apache-2.0 */
/* Signalling frames of one interface (ECP 0x8940, LLDP 0x88cc) by AF_PACKET, one socket
 * per ethertype: bound so, the sockets cost data frames nothing. A frame whose tag the
 * kernel took off is reported as tagged (K22); own outgoing frames are never seen;
 * untagged ones for another station (promiscuous port, K9) are counted and dropped.
 * When the interface goes away and comes back under its name, the sockets are made
 * anew. Needs CAP_NET_RAW. */
#ifndef BERTH_HOST_PACKET_H
#define BERTH_HOST_PACKET_H
#include "host/error.h"
#include "wire/addr.h"
#include <net/if.h>

#define PACKET_TYPES_MAX  4
#define PACKET_GROUPS_MAX 8
#define PACKET_SIZE_MAX   9216 /* longer frames arrive cut, .truncated set */
#define PACKET_BATCH      32   /* frames per callback, and per turn and ethertype */

struct loop;
struct packet;
struct packet_conf {
    char ifname[IF_NAMESIZE];
    uint16_t types[PACKET_TYPES_MAX];
    uint8_t n_types;
    struct mac groups[PACKET_GROUPS_MAX]; /* beside 01-80-C2-00-00-00, -03 and -0E */
    uint8_t n_groups;
    bool promisc;  /* K9: held as long as the object lives */
    bool may_wait; /* no such interface yet: wait for it, no error */
    /* See priority tags (VID 0) and the TCI too; costs every data frame of the port a
     * filter run. Leave it off where the tc program drops tagged signalling (K22). */
    bool exact_tags;
};
struct packet_frame {
    const uint8_t *data;      /* from the destination MAC; valid in the callback */
    uint32_t size, wire_size; /* octets here, octets on the wire */
    uint16_t type;            /* ethertype of the socket, host order */
    uint16_t tci, tpid;       /* of the tag taken off; 0: tag known, not its value */
    bool tagged, truncated;
};
struct packet_stats {
    uint64_t rx, rx_tagged, rx_truncated, rx_foreign,
        rx_lost; /* lost: socket buffer full */
    uint64_t tx, tx_nobufs, tx_errors, reopened;
};
struct packet_calls {
    void (*on_frames)(
        void *ctx, struct packet *p, const struct packet_frame *f, uint32_t n);
    void (*on_state)(void *ctx, struct packet *p, bool open); /* may be NULL */
};

int packet_open(struct packet **out, struct loop *l, const struct packet_conf *conf,
    const struct packet_calls *calls, void *ctx, struct host_err *err);
/* A whole frame, untagged. -ENOBUFS: device queue full (counted; the protocol's timer
 * sends again); -ENETDOWN: no interface now; other -errno. */
int packet_send(struct packet *p, const void *frame, size_t size);
/* Look again now whether the interface is there and the same (call on a link event; the
 * socket's own error and a slow timer find out too). */
void packet_check(struct packet *p);
int packet_ifindex(const struct packet *p);    /* 0 when not there */
struct mac packet_mac(const struct packet *p); /* as of the last (re)open */
void packet_stats_get(struct packet *p, struct packet_stats *s);
void packet_close(struct packet *p); /* NULL is fine; allowed in callbacks */
#endif
