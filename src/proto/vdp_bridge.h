/* SPDX-License-Identifier: Apache-2.0 */
/* VDP, the bridge's side, for one server port (802.1Q-2014 clause 41). Takes ECP frames,
 * gives requests to the node as plain data, takes the node's answers, and packs them into
 * few PDUs, one manager id per PDU, always with an End TLV, under ECP pacing (K13).
 * Holds per VSI the last accepted request (K3) and the tags answered, no lifetime: the
 * core's timers call vdp_bridge_deassoc. Times in us. Pointers in outputs are valid until
 * the next call on the same bridge. */
#ifndef BERTH_PROTO_VDP_BRIDGE_H
#define BERTH_PROTO_VDP_BRIDGE_H
#include "proto/ecp_link.h"
#include "wire/berth_tlv.h"
#include "wire/lldp.h"
#include "wire/vdp.h"

struct vdp_bridge_conf {
    struct mac self, group, extra;       /* group none = eth_mac_ncb; extra: one more that is taken */
    struct evb_timers timers;            /* until vdp_bridge_set_peer */
    uint64_t gap_us;                     /* K13, towards stations not known as ours */
    uint32_t oui;                        /* Berth's; 0 = BERTH_OUI */
    uint32_t max_vsis;                   /* more: code 2 */
    uint32_t max_entries;                /* filter entries over all VSIs; more: code 2 */
    uint32_t max_pending;                /* requests without an answer; more: ECP is not acked */
    uint8_t max_peers;                   /* station MACs on the port; more: frames are dropped */
    uint8_t max_managers;                /* manager ids; more: the PDU is dropped */
    uint64_t seed;
};
struct vdp_bridge_conf vdp_bridge_defaults(const struct mac *self);

struct vdp_request {
    uint64_t handle;                     /* for vdp_bridge_answer; one answer each */
    struct vdp_key key;
    struct mac peer;                     /* the station */
    uint8_t type;                        /* VDP_PREASSOC .. VDP_DEASSOC */
    bool m, s;                           /* hints */
    bool keepalive;                      /* equals the last accepted one, or says so (K3) */
    bool known;                          /* the VSI has an accepted request here */
    uint8_t filter_format;
    uint16_t n_entries;
    const struct vdp_entry *entries;     /* as asked; a VID once filled in is filled in again */
    bool has_berth;
    struct berth_tlv berth;              /* .ips also hold those of Cisco's ORG TLV */
    struct vsiid vm;                     /* Cisco's: format 0 = none */
    char vm_name[64];                    /* "" = none; cut to fit */
};
struct vdp_answer {
    uint8_t code;                        /* enum vdp_code */
    bool keep, hard;                     /* with a code other than OK */
    uint16_t n_entries;                  /* 0: tags as asked; else as many as were asked */
    const struct vdp_entry *entries;     /* only vid, pcp and ps are looked at */
    bool has_berth;                      /* sent only to who sent Berth's TLV or said hello */
    struct berth_tlv berth;              /* the RESPONSE flag is set here */
};
struct vdp_bridge_counters {
    uint64_t rx_pdus, rx_vsis, rx_malformed, rx_nameless, rx_unknown_tlvs, rx_unknown_orgs;
    uint64_t rx_bad_orgs, rx_no_mgrid, rx_two_mgrids, rx_bad_mgrid;
    uint64_t requests, keepalives, repeated, superseded, answers, stale_answers, deassocs;
    uint64_t refused_limit, refused_peers, refused_busy, refused_frames;
    uint64_t tx_pdus, tx_vsis, tx_lost;
};
enum vdp_bridge_out_kind { VDP_BRIDGE_FRAME, VDP_BRIDGE_REQUEST };
struct vdp_bridge_out {
    enum vdp_bridge_out_kind kind;
    const uint8_t *frame;                /* FRAME: send on the port, untagged */
    size_t frame_size;
    const struct vdp_request *request;   /* REQUEST */
};
struct vdp_bridge;
struct vdp_bridge *vdp_bridge_new(const struct vdp_bridge_conf *conf, uint64_t now_us);
/* An untagged frame of Ethertype 0x8940 from the port; anything else is counted. */
void vdp_bridge_input(struct vdp_bridge *b, const uint8_t *frame, size_t size,
    uint64_t now_us);
/* false: the handle is no longer waited for (superseded or withdrawn): counted, harmless. */
bool vdp_bridge_answer(struct vdp_bridge *b, uint64_t handle, const struct vdp_answer *a,
    uint64_t now_us);
/* Unsolicited de-association (S3-90, aged out, withdrawn); berth may be NULL. false: no
 * such VSI. A request of it that waits for its answer is withdrawn. */
bool vdp_bridge_deassoc(struct vdp_bridge *b, const struct vsiid *id,
    const struct berth_tlv *berth, uint64_t now_us);
/* The same without telling the station. */
bool vdp_bridge_forget(struct vdp_bridge *b, const struct vsiid *id);
uint64_t vdp_bridge_deadline(const struct vdp_bridge *b);
bool vdp_bridge_output(struct vdp_bridge *b, uint64_t now_us, struct vdp_bridge_out *out);
/* What LLDP found out about a station (proto/lldp_evb.h): its negotiated timers, whether
 * it is ours (then no gap), whether it has just restarted. */
void vdp_bridge_set_peer(struct vdp_bridge *b, const struct mac *peer,
    const struct evb_timers *timers, bool berth, bool restarted, uint64_t now_us);
/* The accepted request of a VSI as octets for a journal, and back after a restart: without
 * it the first keep-alive after a restart would look like a claim (K3). */
#define VDP_BRIDGE_SAVE_MAX 1100
size_t vdp_bridge_save(const struct vdp_bridge *b, const struct vsiid *id,
    uint8_t bytes[VDP_BRIDGE_SAVE_MAX]);           /* 0: no such VSI */
bool vdp_bridge_restore(struct vdp_bridge *b, const uint8_t *bytes, size_t size);
bool vdp_bridge_saved_id(const uint8_t *bytes, size_t size, struct vsiid *id);
uint32_t vdp_bridge_n_vsis(const struct vdp_bridge *b);
size_t vdp_bridge_octets(const struct vdp_bridge *b);  /* of records and index, long filters aside */
const struct vdp_bridge_counters *vdp_bridge_counters(const struct vdp_bridge *b);
void vdp_bridge_free(struct vdp_bridge *b);
/* T_assoc (S3-80): VSI lifetime without a keep-alive, 1.5 * ((1 + 2R) T(RTE) + T(RKA)). */
uint64_t vdp_bridge_lifetime_us(const struct evb_timers *t);
#endif
