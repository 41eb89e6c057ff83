/* SPDX-License-Identifier: Apache-2.0 */
/* Elements are found by their local names, metadata by its namespace: libvirt and users
 * choose prefixes as they like. */
#include "host/virt_xml.h"
#include <errno.h>
#include <jansson.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>
#include <strings.h>

#define IPS_MAX  9 /* one more than an interface may have: who reads it says so */
#define TEXT_MAX 128

static bool
is(const xmlNode *n, const char *name)
{
    return n->type == XML_ELEMENT_NODE && strcmp((const char *)n->name, name) == 0;
}

static const xmlNode *
child(const xmlNode *n, const char *name)
{
    for (n = n ? n->children : NULL; n; n = n->next)
        if (is(n, name))
            return n;
    return NULL;
}

static const xmlNode *
metadata(const xmlNode *of, const char *uri)
{
    const xmlNode *n = child(of, "metadata");
    for (n = n ? n->children : NULL; n; n = n->next)
        if (n->type == XML_ELEMENT_NODE && n->ns && n->ns->href &&
            strcmp((const char *)n->ns->href, uri) == 0)
            return n;
    return NULL;
}

/* Without the blanks around it; cut where it is too long for anybody. false: nothing.
 */
static bool
trim(const char *from, char *text, size_t size)
{
    size_t n;
    from += strspn(from, " \t\r\n");
    n = strlen(from);
    while (n && strchr(" \t\r\n", from[n - 1]))
        n--;
    if (!n)
        return false;
    n = n < size ? n : size - 1;
    memcpy(text, from, n);
    text[n] = '\0';
    return true;
}

static bool
attr(const xmlNode *n, const char *name, char *text, size_t size)
{
    xmlChar *value = n ? xmlGetNoNsProp(n, (const xmlChar *)name) : NULL;
    bool good = value && trim((const char *)value, text, size);
    xmlFree(value);
    return good;
}

static bool
content(const xmlNode *n, char *text, size_t size)
{
    xmlChar *value = n ? xmlNodeGetContent(n) : NULL;
    bool good = value && trim((const char *)value, text, size);
    xmlFree(value);
    return good;
}

static void
set_text(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, json_string(text));
}

static void
set_attr(json_t *o, const char *key, const xmlNode *n, const char *name)
{
    char text[TEXT_MAX];
    if (attr(n, name, text, sizeof(text)))
        set_text(o, key, text);
}

static void
set_vn(json_t *o, const xmlNode *n, const char *name)
{
    set_attr(o, "vn", n, name);
    set_attr(o, "vni", n, "vni");
}

static bool
has_vn(const json_t *o)
{
    return json_object_get(o, "vn") || json_object_get(o, "vni");
}

static const xmlNode *
with_mac(const xmlNode *list, const char *name, const char *mac)
{
    char text[TEXT_MAX];
    const xmlNode *n = list ? list->children : NULL;
    for (; n; n = n->next)
        if (is(n, name) && attr(n, "mac", text, sizeof(text)) &&
            strcasecmp(text, mac) == 0)
            return n;
    return NULL;
}

/* What <metadata> says of one interface. Where it lists interfaces, the network beside
 * them is for those that it lists. */
static void
set_metadata(json_t *o, const xmlNode *vn, const xmlNode *residences, const char *mac)
{
    const xmlNode *own = with_mac(vn, "interface", mac), *n;
    const xmlNode *stay = with_mac(residences, "residence", mac);
    json_t *ips = json_array();
    char text[TEXT_MAX];
    if (own) {
        set_vn(o, own, "vn");
        set_attr(o, "uplink", own, "uplink");
        for (n = own->children; n; n = n->next)
            if (is(n, "ip") && content(n, text, sizeof(text)) &&
                json_array_size(ips) < IPS_MAX)
                json_array_append_new(ips, json_string(text));
    }
    if (vn && (own || !child(vn, "interface"))) {
        if (!has_vn(o))
            set_vn(o, vn, "name");
        if (!has_vn(o))
            json_object_set_new(o, "unnamed", json_true());
    }
    if (json_array_size(ips))
        json_object_set(o, "ips", ips);
    json_decref(ips);
    set_attr(o, "vsi", stay, "vsi");
    set_attr(o, "epoch", stay, "epoch");
    set_attr(o, "migration", stay, "migration");
    set_attr(o, "vsi", own, "vsi");
}

/* Those that have a tap. */
static bool
kind_is_ours(const xmlNode *interface)
{
    static const char *const kinds[] = {"network", "bridge", "ethernet"};
    char kind[TEXT_MAX];
    if (!attr(interface, "type", kind, sizeof(kind)))
        return false;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

static json_t *
domain_json(const xmlNode *domain, struct host_err *err)
{
    const xmlNode *vn = metadata(domain, VIRT_NS), *n;
    const xmlNode *residences = metadata(domain, VIRT_NS_RESIDENCE);
    json_t *all, *d, *list;
    char text[TEXT_MAX];
    if (!content(child(domain, "uuid"), text, sizeof(text))) {
        host_fail(err, -EBADMSG, "the domain's description has no uuid");
        return NULL;
    }
    d = json_object();
    list = json_array();
    set_text(d, "uuid", text);
    if (content(child(domain, "name"), text, sizeof(text)))
        set_text(d, "name", text);
    n = child(domain, "devices");
    for (n = n ? n->children : NULL; n; n = n->next) {
        json_t *o;
        if (!is(n, "interface") || !kind_is_ours(n) ||
            !attr(child(n, "mac"), "address", text, sizeof(text)) ||
            json_array_size(list) == VIRT_NICS)
            continue;
        o = json_object();
        set_text(o, "mac", text);
        set_attr(o, "if", child(n, "target"), "dev");
        set_attr(o, "network", child(n, "source"), "network");
        set_metadata(o, vn, residences, text);
        json_array_append_new(list, o);
    }
    json_object_set_new(d, "interfaces", list);
    all = json_object();
    json_object_set_new(all, "domain", d);
    return all;
}

static json_t *
network_json(const xmlNode *network, const xmlNode *port, struct host_err *err)
{
    const xmlNode *owner = child(port, "owner");
    json_t *all, *o;
    char text[TEXT_MAX];
    if (!content(child(network, "name"), text, sizeof(text))) {
        host_fail(err, -EBADMSG, "the network's description has no name");
        return NULL;
    }
    all = json_object();
    o = json_object();
    set_text(o, "name", text);
    set_vn(o, metadata(network, VIRT_NS), "name");
    json_object_set_new(all, "network", o);
    if (!port)
        return all;
    o = json_object();
    set_attr(o, "mac", child(port, "mac"), "address");
    if (content(child(owner, "uuid"), text, sizeof(text)))
        set_text(o, "uuid", text);
    if (content(child(owner, "name"), text, sizeof(text)))
        set_text(o, "name", text);
    json_object_set_new(all, "port", o);
    return all;
}

json_t *
virt_xml_facts(const char *xml, size_t size, struct host_err *err)
{
    const xmlNode *root;
    json_t *facts = NULL;
    xmlDoc *doc;
    if (size > VIRT_XML_MAX) {
        host_fail(err, -EFBIG, "the description is longer than %u octets",
            (unsigned)VIRT_XML_MAX);
        return NULL;
    }
    doc = xmlReadMemory(xml, (int)size, NULL, NULL,
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
    root = doc ? xmlDocGetRootElement(doc) : NULL;
    if (!root)
        host_fail(err, -EBADMSG, "the description is not well-formed XML");
    else if (doc->intSubset) /* of which texts would be made: libvirt writes none */
        host_fail(err, -EBADMSG, "the description has a document type");
    else if (is(root, "domain"))
        facts = domain_json(root, err);
    else if (is(root, "network"))
        facts = network_json(root, NULL, err);
    else if (is(root, "hookData") && child(root, "network"))
        facts = network_json(child(root, "network"), child(root, "networkport"), err);
    else
        host_fail(
            err, -EBADMSG, "the description is neither a domain's nor a network's");
    xmlFreeDoc(doc);
    return facts;
}

bool
virt_xml_ours(const json_t *facts)
{
    json_t *list = json_object_get(json_object_get(facts, "domain"), "interfaces");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (has_vn(json_array_get(list, i)) ||
            json_object_get(json_array_get(list, i), "unnamed"))
            return true;
    return has_vn(json_object_get(facts, "network"));
}

void
virt_xml_init(void)
{
    xmlInitParser();
}

void
virt_xml_done(void)
{
    xmlCleanupParser();
}
