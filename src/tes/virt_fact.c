/* SPDX-License-Identifier: Apache-2.0 */
/* Facts come from a hook program and from libvirt by way of host/virt_xml; what does
 * not fit is refused, not cut, but for a domain's name, which is only shown. */
#include "tes/virt.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *
text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* false: there, and no such number. */
static bool
number_of(const json_t *o, const char *key, uint64_t max, uint64_t *n)
{
    json_t *v = json_object_get(o, key);
    const char *s = json_string_value(v);
    char digits[24];
    *n = 0;
    if (!v)
        return true;
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *n = (uint64_t)json_integer_value(v);
        return *n <= max;
    }
    if (!s || !*s || *s == '0' || strlen(s) > 20 ||
        strspn(s, "0123456789") != strlen(s))
        return s && strcmp(s, "0") == 0;
    *n = strtoull(s, NULL, 10);
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)*n);
    return *n <= max && strcmp(digits, s) == 0;
}

static bool
name_of(const json_t *o, const char *key, char *text, size_t size)
{
    const char *s = text_of(o, key);
    size_t n = s ? strlen(s) : 0;
    memset(text, 0, size);
    if (n >= size)
        return false;
    if (n)
        memcpy(text, s, n);
    return true;
}

static const char *
read_ips(struct virt_nic_fact *f, const json_t *list)
{
    size_t n = json_array_size(list);
    if (n > TNS_IPS_MAX)
        return "an interface has more than 8 addresses";
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || !ip_parse(s, &f->ips[i]))
            return "an interface has an ip that is no IP address";
    }
    f->n_ips = (uint8_t)n;
    return NULL;
}

static const char *
read_vn(struct virt_nic_fact *f, const json_t *o)
{
    uint64_t n;
    if (!name_of(o, "vn", f->vn, sizeof(f->vn)))
        return "the name of a virtual network is longer than 63 octets";
    if (!number_of(o, "vni", VNI_MAX, &n) || (!n && json_object_get(o, "vni")))
        return "a vni is no number from 1 to 16777215";
    f->vni = (uint32_t)n;
    return NULL;
}

static const char *
read_mac(struct virt_nic_fact *f, const json_t *o)
{
    const char *s = text_of(o, "mac");
    return s && mac_parse(s, &f->mac) && !mac_is_group(&f->mac) && !mac_is_none(&f->mac)
               ? NULL
               : "an interface has no MAC address";
}

static const char *
read_nic(struct virt_nic_fact *f, const json_t *o)
{
    const char *why, *s;
    memset(f, 0, sizeof(*f));
    why = read_mac(f, o);
    if (!why)
        why = read_vn(f, o);
    if (!why)
        why = read_ips(f, json_object_get(o, "ips"));
    if (why)
        return why;
    if (!name_of(o, "if", f->ifname, sizeof(f->ifname)) ||
        !name_of(o, "uplink", f->uplink, sizeof(f->uplink)))
        return "the name of an interface is longer than 15 octets";
    s = text_of(o, "vsi");
    if (s && !vsiid_parse(s, &f->vsi))
        return "a vsi is no UUID";
    /* a residence that is not understood is none: the edge grants a new epoch */
    if (!number_of(o, "epoch", UINT64_MAX, &f->epoch) ||
        !number_of(o, "migration", UINT64_MAX, &f->migration))
        f->epoch = f->migration = 0;
    return NULL;
}

static bool
read_who(struct virt_fact *f, const json_t *o)
{
    const char *uuid = text_of(o, "uuid"), *name = text_of(o, "name");
    size_t n = name ? strnlen(name, sizeof(f->name) - 1) : 0;
    memset(f->name, 0, sizeof(f->name));
    if (n)
        memcpy(f->name, name, n);
    return uuid && vsiid_parse(uuid, &f->uuid) && f->uuid.format == VSIID_UUID;
}

const char *
virt_fact_read(struct virt_fact *f, const json_t *o)
{
    const json_t *domain = json_object_get(o, "domain");
    const json_t *port = json_object_get(o, "port"), *list;
    const char *why = NULL;
    f->n_nics = 0;
    f->has_domain = domain != NULL;
    if (!read_who(f, domain ? domain : port ? port : o))
        return "the domain has no uuid";
    list = json_object_get(domain, "interfaces");
    for (size_t i = 0; i < json_array_size(list) && !why; i++) {
        if (f->n_nics == VIRT_NICS_MAX)
            return "the domain has more than 32 interfaces";
        why = read_nic(&f->nics[f->n_nics++], json_array_get(list, i));
    }
    if (!port || why)
        return why;
    memset(&f->nics[0], 0, sizeof(f->nics[0]));
    f->n_nics = 1;
    why = read_mac(&f->nics[0], port);
    return why ? why : read_vn(&f->nics[0], json_object_get(o, "network"));
}
