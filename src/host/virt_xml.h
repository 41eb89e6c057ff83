/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent needs of libvirt's XML, as JSON for its control socket: used by the
 * hook program and by host/libvirt. Bounded: VIRT_XML_MAX octets, VIRT_NICS interfaces;
 * no entity is fetched or expanded.
 *
 * A description of a domain becomes
 *   {"domain": {"uuid", "name", "interfaces": [{"mac", "if", "network", "vn", "vni",
 *     "unnamed", "ips", "uplink", "vsi", "epoch", "migration"}]}}
 * and that of a network, or what libvirt gives to its network hook,
 *   {"network": {"name", "vn", "vni"}, "port": {"uuid", "name", "mac"}}
 * where uuid and name are the domain's. Keys of which nothing is said are left out.
 * "unnamed": our element is about it and names no network, so its libvirt network must.
 * What is read of <metadata> stands in berth-tes(8). */
#ifndef BERTH_HOST_VIRT_XML_H
#define BERTH_HOST_VIRT_XML_H
#include "host/error.h"
#include <stdbool.h>
#include <stddef.h>

#define VIRT_NS           "urn:berth:1"
#define VIRT_NS_RESIDENCE "urn:berth:residence:1"
#define VIRT_XML_MAX      (4u << 20)
#define VIRT_NICS         32

struct json_t;
/* A new reference, or NULL and a sentence. */
struct json_t *virt_xml_facts(const char *xml, size_t size, struct host_err *err);
/* Does it name a virtual network of ours? */
bool virt_xml_ours(const struct json_t *facts);
/* Before threads use it, and at the end. */
void virt_xml_init(void);
void virt_xml_done(void);
#endif
