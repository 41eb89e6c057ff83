/* SPDX-License-Identifier: Apache-2.0 */
/* A UDP socket, v4 or v6 (`::` takes both), that receives and sends in batches of 128:
 * batches carry 1.6 times what single calls do. What is sent is queued and leaves after
 * the step. */
#ifndef BERTH_HOST_UDP_H
#define BERTH_HOST_UDP_H
#include "host/error.h"
#include "wire/addr.h"

#define UDP_BATCH    128
#define UDP_SIZE_MAX 9216 /* longer datagrams are counted and dropped */

struct loop;
struct udp;
struct udp_conf {
    struct ip address;     /* none: `::`, or 0.0.0.0 without IPv6 */
    uint16_t port;         /* 0: any, see udp_port */
    const char *device;    /* NULL or an interface to bind to */
    uint32_t buffer_bytes; /* SO_RCVBUF and SO_SNDBUF; 0: 4 MB */
};
struct udp_msg {
    struct ip peer, local; /* local: the address it was sent to */
    uint16_t peer_port;
    uint32_t size;
    const uint8_t *data; /* valid in the callback */
};
struct udp_stats {
    uint64_t rx, rx_truncated, rx_lost, tx, tx_dropped, tx_errors;
};
typedef void (*udp_recv_fn)(
    void *ctx, struct udp *u, const struct udp_msg *msgs, uint32_t n);

int udp_open(struct udp **out, struct loop *l, const struct udp_conf *conf,
    udp_recv_fn fn, void *ctx, struct host_err *err);
uint16_t udp_port(const struct udp *u);
/* Copies and queues. `local` picks the source address (NULL or none: the kernel does).
 * -EMSGSIZE; -ENOBUFS when queue and socket are full (counted, dropped). */
int udp_send(struct udp *u, const struct ip *local, const struct ip *peer,
    uint16_t port, const void *data, size_t size);
void udp_stats_get(struct udp *u, struct udp_stats *s);
void udp_close(struct udp *u); /* sends what is queued; NULL is fine */
#endif
