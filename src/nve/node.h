/* SPDX-License-Identifier: Apache-2.0 */
/* One NVE as a pure machine: core/edge composed with the conversations of proto through
 * one adapter per binding or plane (tns_vdp.c, map_lisp.c, map_static.c, ctl.c). main.c joins it with
 * host; the simulator joins it with a seeded network. Inputs and outputs are plain data,
 * so a recording of inputs replays to the same outputs, octet by octet.
 *
 * Borrowed pointers: an input's for the call, an output's until the next call. Ports are
 * numbers 1..DP_PORT_MAX-1, stable by name. The authority is reached by one stream (K5)
 * and by UDP datagrams (pull, foreign routers). */
#ifndef BERTH_NVE_NODE_H
#define BERTH_NVE_NODE_H
#include "core/edge.h"

#define NVE_AUTHORITIES_MAX 4
#define NVE_PORTS_MAX       256

enum nve_mapping_mode { NVE_MAP_SESSION, NVE_MAP_PULL, NVE_MAP_STATIC };

struct nve_port_conf {
    struct edge_port_conf edge;
    struct mac extra_group;              /* further ECP destination taken (RFC 8394 Table 1); none = 0 */
};
struct nve_vid_vn {                      /* (port, vid) -> VNI where the station names no VN (K2) */
    uint32_t port, vni;
    uint16_t vid;
};
struct nve_profile_vn {                  /* VSI type id + version -> VNI (K2) */
    uint32_t type_id, vni;
    uint8_t version;
};
struct nve_conf {
    struct edge_conf edge;
    uint8_t mapping;                     /* enum nve_mapping_mode */
    const char *key;                     /* shared secret with the authority, text */
    struct ip authority_udp;             /* where pulls go */
    uint16_t authority_udp_port;
    uint16_t lisp_port;                  /* own UDP port: replies come to it */
    uint32_t oui;                        /* of Berth's TLVs (K20) */
    uint8_t evb_rte, evb_retries, evb_rwd, evb_rka;   /* exponents advertised in the EVB TLV */
    uint8_t reflective_relay;            /* offered (K10) */
    uint64_t pace_us;                    /* K13 */
    const struct nve_port_conf *ports;   /* ports[i] has number i+1; no name: a gap */
    uint32_t n_ports;
    const struct nve_vid_vn *vid_vns;
    uint32_t n_vid_vns;
    const struct nve_profile_vn *profile_vns;
    uint32_t n_profile_vns;
    const struct vn_rec *vns;            /* static VNs (mapping = static, or none from the authority) */
    uint32_t n_vns;
    const struct mapping_rec *maps;      /* static mappings of others (mapping = static) */
    uint32_t n_maps;
    uint32_t trace_events;               /* kept for `trace`; 0: the default */
    uint64_t wall_us;                    /* time of day minus the clock of now_us, for `trace` */
};

struct nve_hold {                        /* a queue of held frames (K12), as the data plane tells it */
    uint32_t vni, frames;                /* waiting */
    struct mac mac;
    uint8_t draining;
    uint64_t octets, oldest_us;          /* waiting; the age of the first */
    uint64_t kept, released, dropped;
};
struct nve_relay {                       /* how many late frames of a VM were relayed so far */
    uint32_t vni;
    struct mac mac;
    uint64_t frames;
};
enum nve_in_type {
    NVE_IN_TICK,                         /* the deadline has come */
    NVE_IN_FRAME,                        /* untagged ECP or LLDP frame from a server port */
    NVE_IN_PORT,                         /* link state of a port */
    NVE_IN_DP_DONE, NVE_IN_DP_EVENT,
    NVE_IN_JOURNAL_DONE,
    NVE_IN_RESTORE, NVE_IN_RESTORED,     /* the journal's live records, then the end of them */
    NVE_IN_STREAM_OPEN, NVE_IN_STREAM_DATA, NVE_IN_STREAM_CLOSED,
    NVE_IN_UDP,
    NVE_IN_CONTROL,                      /* one JSON request line of the control socket */
    NVE_IN_CONTROL_MORE,                 /* the reader of a long reply can take more */
    NVE_IN_CONTROL_GONE,
    NVE_IN_COUNTERS,                     /* DPC_N numbers and the holds, answer to NVE_OUT_COUNTERS */
    NVE_IN_STOP                          /* the last one: says goodbye to the authority */
};
struct nve_in {
    uint8_t type;                        /* enum nve_in_type */
    uint32_t port;                       /* FRAME, PORT */
    uint32_t id;                         /* DP_DONE, JOURNAL_DONE: of the output */
    uint64_t conn;                       /* CONTROL*: connection number */
    int status;                          /* DP_DONE, JOURNAL_DONE: 0 or -errno */
    uint8_t up;                          /* PORT: carrier */
    uint8_t kind;                        /* RESTORE */
    struct mac mac;                      /* PORT: address of the port */
    const struct dp_event *event;        /* DP_EVENT */
    const uint8_t *p;                    /* FRAME, RESTORE, STREAM_DATA, UDP, CONTROL; STREAM_OPEN:
                                          * at least 32 octets that nobody can guess (K5) */
    uint32_t size;
    struct ip from;                      /* UDP */
    uint16_t from_port;
    const uint64_t *counters;            /* COUNTERS */
    const struct nve_hold *holds;
    uint32_t n_holds;
    const struct nve_relay *relays;      /* COUNTERS: n_relays of them */
    uint32_t n_relays;
};
enum nve_out_type {
    NVE_OUT_FRAME,                       /* untagged frame out of a server port */
    NVE_OUT_DP,                          /* dp op with id; answered by DP_DONE when id != 0 */
    NVE_OUT_JOURNAL,                     /* append; answered by JOURNAL_DONE when id != 0 */
    NVE_OUT_STREAM_CONNECT,              /* to authority number `index` of the configuration */
    NVE_OUT_STREAM_DATA, NVE_OUT_STREAM_CLOSE,
    NVE_OUT_UDP,
    NVE_OUT_CONTROL,                     /* whole JSON lines of a reply; last says what follows */
    NVE_OUT_COUNTERS                     /* please read the data plane's counters and holds */
};
/* MORE: there are further rows, made on CONTROL_MORE (size = octets the reader can take).
 * ERROR: p is the sentence that says why, not a row. */
enum nve_control_end { CONTROL_MORE, CONTROL_OK, CONTROL_ERROR };
struct nve_out {
    uint8_t type;
    uint32_t port, id, index;
    uint64_t conn;
    uint8_t last;                        /* CONTROL: enum nve_control_end */
    uint8_t kind;                        /* JOURNAL */
    const uint8_t *key;
    uint16_t key_size;
    struct dp_op dp;
    const uint8_t *p;
    uint32_t size;
    struct ip to;
    uint16_t to_port;
};

struct nve;
struct nve *nve_new(const struct nve_conf *conf, uint64_t now_us);   /* conf is copied */
void nve_free(struct nve *n);
void nve_input(struct nve *n, const struct nve_in *in, uint64_t now_us);
uint64_t nve_deadline(const struct nve *n);
bool nve_output(struct nve *n, struct nve_out *out);
struct edge *nve_edge(struct nve *n);    /* for tests: the domain inside */
#endif
