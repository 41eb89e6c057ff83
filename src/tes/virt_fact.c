/* SPDX-License-Identifier: Apache-2.0 */
/* Facts come from a hook program and from libvirt by way of host/virt_xml; what does
 * not fit is refused, not cut, but for a domain's name, which is only shown. */
#include "tes/virt.h"
#include <jansson.h>
#include <stdarg.h>
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

static const char *wrong(struct virt_fact *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static const char *
wrong(struct virt_fact *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->why, sizeof(f->why), fmt, ap);
    va_end(ap);
    return f->why;
}

/* As it was written, if it was text. */
static const char *
shown(const json_t *o, const char *key)
{
    const char *s = text_of(o, key);
    return s ? s : "(no text)";
}

static const char *
read_ips(
    struct virt_fact *f, struct virt_nic_fact *nic, const json_t *o, const char *who)
{
    const json_t *list = json_object_get(o, "ips");
    size_t n = json_array_size(list);
    if (n > TNS_IPS_MAX)
        return wrong(f, "%s: more than 8 <ip>", who);
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || !ip_parse(s, &nic->ips[i]))
            return wrong(
                f, "%s: <ip> '%.64s' is no IP address", who, s ? s : "(no text)");
    }
    nic->n_ips = (uint8_t)n;
    return NULL;
}

static const char *
read_vn(
    struct virt_fact *f, struct virt_nic_fact *nic, const json_t *o, const char *who)
{
    uint64_t n;
    if (!name_of(o, "vn", nic->vn, sizeof(nic->vn)))
        return wrong(f, "%s: vn '%.64s' is longer than 63 octets", who, shown(o, "vn"));
    if (!number_of(o, "vni", VNI_MAX, &n) || (!n && json_object_get(o, "vni")))
        return wrong(
            f, "%s: vni '%.32s' is no number from 1 to 16777215", who, shown(o, "vni"));
    nic->vni = (uint32_t)n;
    return NULL;
}

/* Our element may leave the name to the libvirt network, where there is one. */
static const char *
read_meant(
    struct virt_fact *f, struct virt_nic_fact *nic, const json_t *o, const char *who)
{
    bool unnamed = json_is_true(json_object_get(o, "unnamed"));
    bool named = nic->vn[0] || nic->vni;
    nic->is_meant = unnamed || named;
    nic->none = !unnamed && json_is_null(json_object_get(o, "vn"));
    if (unnamed && !named && !json_object_get(o, "network"))
        return wrong(f, "%s: <vn> says neither name nor vni", who);
    return NULL;
}

static const char *
read_mac(struct virt_fact *f, struct virt_nic_fact *nic, const json_t *o)
{
    const char *s = text_of(o, "mac");
    return s && mac_parse(s, &nic->mac) && !mac_is_group(&nic->mac) &&
                   !mac_is_none(&nic->mac)
               ? NULL
               : wrong(f, "an interface has no MAC address");
}

static const char *
read_nic(struct virt_fact *f, struct virt_nic_fact *nic, const json_t *o)
{
    char who[32 + MAC_STR], mac[MAC_STR];
    const char *why, *s;
    memset(nic, 0, sizeof(*nic));
    why = read_mac(f, nic, o);
    if (why)
        return why;
    snprintf(who, sizeof(who), "<interface mac='%s'>", mac_str(&nic->mac, mac));
    why = read_vn(f, nic, o, who);
    if (!why)
        why = read_meant(f, nic, o, who);
    if (!why)
        why = read_ips(f, nic, o, who);
    if (why)
        return why;
    if (!name_of(o, "if", nic->ifname, sizeof(nic->ifname)))
        return wrong(f, "%s: its tap '%.32s' has a name of more than 15 octets", who,
            shown(o, "if"));
    if (!name_of(o, "uplink", nic->uplink, sizeof(nic->uplink)))
        return wrong(
            f, "%s: uplink '%.32s' is longer than 15 octets", who, shown(o, "uplink"));
    s = text_of(o, "vsi");
    if (s && !vsiid_parse(s, &nic->vsi))
        return wrong(f, "%s: vsi '%.64s' is no UUID", who, s);
    /* a residence that is not understood is none: the edge grants a new epoch */
    if (!number_of(o, "epoch", UINT64_MAX, &nic->epoch) ||
        !number_of(o, "migration", UINT64_MAX, &nic->migration))
        nic->epoch = nic->migration = 0;
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
    if (uuid && vsiid_parse(uuid, &f->uuid) && f->uuid.format == VSIID_UUID)
        return true;
    f->uuid.format = 0;
    return false;
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
        why = read_nic(f, &f->nics[f->n_nics++], json_array_get(list, i));
    }
    if (!port || why)
        return why;
    memset(&f->nics[0], 0, sizeof(f->nics[0]));
    f->n_nics = 1;
    why = read_mac(f, &f->nics[0], port);
    return why ? why
               : read_vn(f, &f->nics[0], json_object_get(o, "network"), "<network>");
}
