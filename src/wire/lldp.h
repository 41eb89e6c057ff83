/* SPDX-License-Identifier: Apache-2.0 */
/* LLDPDU (802.1AB) as far as EVB needs it: chassis, port, TTL, the EVB TLV 00-80-C2/0D in
 * bridge and station form, and Berth's hello. Starts after the Ethernet header. */
#ifndef BERTH_WIRE_LLDP_H
#define BERTH_WIRE_LLDP_H
#include "wire/addr.h"
#include "wire/tlv.h"

enum lldp_type { LLDP_END, LLDP_CHASSIS, LLDP_PORT, LLDP_TTL, LLDP_ORG = TLV_ORG };
enum lldp_id_subtype { LLDP_CHASSIS_MAC = 4, LLDP_PORT_MAC = 3, LLDP_PORT_IFNAME = 5 };
#define LLDP_ID_MAX 63                   /* octets of an id that we keep */
struct lldp_id {
    uint8_t subtype, size, b[LLDP_ID_MAX];
};

/* EVB timers as on the wire: retries, and exponents of T = 10 us * 2^exp. */
struct evb_timers {
    uint8_t retries;                     /* 0..7 */
    uint8_t rte, rwd, rka;               /* 0..31 */
};
uint64_t evb_exp_us(uint8_t exp);
#define LLDP_EVB_BGID   0x04             /* bridge octet: GroupIDs understood */
#define LLDP_EVB_RRCAP  0x02             /* reflective relay possible */
#define LLDP_EVB_RRCTR  0x01             /* reflective relay on */
#define LLDP_EVB_SGID   0x08             /* station octet: GroupIDs understood */
#define LLDP_EVB_RRREQ  0x04
#define LLDP_EVB_RRSTAT 0x03             /* 0 off, 1 on, 3 not known */
enum lldp_evb_mode { LLDP_EVB_BRIDGE = 1, LLDP_EVB_STATION = 2 };
struct lldp_evb_tlv {
    uint8_t bridge, station;             /* status octets: own and last seen of the other */
    uint8_t mode;                        /* enum lldp_evb_mode; others decode too */
    bool rol_rwd, rol_rka;               /* value shown is the remote's */
    struct evb_timers timers;
};
struct lldp_hello {                      /* Berth's TLV: "a Berth speaker is here" (K20) */
    uint8_t version, role;               /* role: enum lldp_evb_mode */
    uint16_t flags;                      /* none defined; sent 0, ignored */
    uint32_t boot;                       /* changes at each start of the speaker */
};
struct lldp {
    struct lldp_id chassis, port;
    uint16_t ttl_s;                      /* 0: the sender says good-bye */
    bool has_evb, has_hello, end;
    struct lldp_evb_tlv evb;
    struct lldp_hello hello;
    uint16_t n_skipped, n_bad;           /* other TLVs; malformed optional TLVs */
};
enum lldp_reason {
    LLDP_GOOD,
    LLDP_BAD_ORDER,                      /* chassis, port, TTL are not the first three (9.2.7.7) */
    LLDP_BAD_LENGTH,                     /* of one of these three */
    LLDP_BAD_TRUNCATED,
    LLDP_BAD_TWO,                        /* a mandatory TLV again */
};
const char *lldp_reason_str(enum lldp_reason reason);
/* oui: that of Berth's hello (BERTH_OUI unless configured otherwise). */
enum lldp_reason lldp_decode(struct rd *r, uint32_t oui, struct lldp *lldp);
void lldp_encode(struct wr *w, uint32_t oui, const struct lldp *lldp);
int lldp_print(const struct lldp *lldp, char *text, size_t size);
#endif
