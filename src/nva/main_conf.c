/* SPDX-License-Identifier: Apache-2.0 */
#include "nva/main_conf.h"
#include "base/mem.h"
#include "wire/lisp.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In the order of `algorithms`; 0 stands for the first. */
static const char *const algorithms[] = {"hmac-sha256-128", "hmac-sha256-128-hkdf", NULL};
static const uint8_t algorithm_ids[] = {LISP_ALG_SHA256_128, LISP_ALG_SHA256_128_HKDF};

#define AT(member) CONFIG_AT(struct main_conf, member)
static const struct config_row key_rows[] = {
    {.name = "secret",
     .type = CONFIG_STRING,
     CONFIG_AT(struct main_key, secret),
     .min = 8,
     .max = LISP_KEY_MAX,
     .required = true,
     .secret = true,
     .example = "change-me-please",
     .help = "shared with that NVE, 8 to 64 octets"},
    {.name = NULL},
};
static const struct config_row xtr_rows[] = {
    {.name = "secret",
     .type = CONFIG_STRING,
     CONFIG_AT(struct main_xtr, secret),
     .min = 8,
     .max = LISP_KEY_MAX,
     .required = true,
     .secret = true,
     .example = "change-me-please",
     .help = "shared with the routers of that site, 8 to 64 octets"},
    {.name = "key_id",
     .type = CONFIG_INT,
     CONFIG_AT(struct main_xtr, key_id),
     .def = "1",
     .help = "key id in the Map-Register"},
    {.name = "algorithm",
     .type = CONFIG_ENUM,
     CONFIG_AT(struct main_xtr, algorithm),
     .def = "hmac-sha256-128",
     .words = algorithms,
     .help = "RFC 9301 clause 12.5"},
    {.name = NULL         },
};
const struct config_row main_rows[] = {
    {.name = "name",
     .type = CONFIG_STRING,
     AT(name),
     .def = "nva",
     .min = 1,
     .max = 63,
     .help = "name of this authority, in logs and in the handshake"},
    {.name = "address",
     .type = CONFIG_IP,
     AT(address),
     .example = "192.0.2.1",
     .help = "where NVEs and routers reach it; unset: every address of the host"},
    {.name = "port",
     .type = CONFIG_INT,
     AT(port),
     .def = "4341",
     .min = 1,
     .help = "TCP port of the NVEs' sessions"},
    {.name = "udp_port",
     .type = CONFIG_INT,
     AT(udp_port),
     .def = "4342",
     .min = 1,
     .help = "UDP port of LISP: Map-Requests, and foreign routers"},
    PROGRAM_ROWS(struct main_conf, program, "/run/berth/nva.sock"),
    {.name = "store",
     .type = CONFIG_STRING,
     AT(store),
     .def = "/var/lib/berth/nva.db",
     .help = "database of virtual networks and epochs; its directory must exist"},
    {.name = "oui",
     .type = CONFIG_INT,
     AT(oui),
     .def = "0x0abe27",
     .max = 0xffffff,
     .help = "OUI of the vendor LCAF; all NVEs need the same"},
    {.name = "settings",
     .type = CONFIG_SETTINGS,
     AT(settings),
     .settings = nva_settings,
     .n_settings = NVA_SET_N,
     .help = "timers and limits (K19)"},
    {.name = "key",
     .type = CONFIG_LIST,
     AT(keys),
     .rows = key_rows,
     .item_size = sizeof(struct main_key),
     .required = true,
     .example = "*",
     .help = "who may connect: an NVE by its name, or \"*\" for those not named"},
    {.name = "xtr",
     .type = CONFIG_LIST,
     AT(xtrs),
     .rows = xtr_rows,
     .item_size = sizeof(struct main_xtr),
     .example = "0",
     .help =
            "foreign LISP routers that may register, by site id; 0 also serves those "
            "that name none"},
    {.name = NULL                                                              },
};

static int
check(const struct main_conf *c, const char *path, struct host_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < c->xtrs.n; i++) {
        const struct main_xtr *x = (const struct main_xtr *)c->xtrs.items + i;
        char *end;
        errno = 0;
        strtoull(x->title, &end, 0);
        if (errno || *end || end == x->title || *x->title == '-')
            rc = host_fail(err, -EINVAL,
                "%s: xtr \"%s\": a site id is a number of 64 bits", path, x->title);
    }
    return rc;
}

int
main_conf_load(struct main_conf *c, const char *path, struct host_err *err)
{
    int rc = config_load(main_rows, c, sizeof *c, path, err);
    if (rc)
        return rc;
    rc = check(c, path, err);
    if (rc)
        config_free(main_rows, c);
    return rc;
}

void
main_conf_node(const struct main_conf *c, struct nva_conf *n)
{
    const struct main_key *k = c->keys.items;
    const struct main_xtr *x = c->xtrs.items;
    struct nva_key *keys = mem_alloc((c->keys.n + 1) * sizeof *keys);
    struct nva_xtr_key *xtrs = mem_alloc((c->xtrs.n + 1) * sizeof *xtrs);
    for (uint32_t i = 0; i < c->keys.n; i++)
        keys[i] = (struct nva_key){k[i].title, k[i].secret};
    for (uint32_t i = 0; i < c->xtrs.n; i++)
        xtrs[i] = (struct nva_xtr_key){.site_id = strtoull(x[i].title, NULL, 0),
            .key_id = x[i].key_id,
            .alg = algorithm_ids[x[i].algorithm],
            .secret = x[i].secret};
    memset(n, 0, sizeof *n);
    n->name = c->name;
    n->keys = keys;
    n->n_keys = c->keys.n;
    n->xtr_keys = xtrs;
    n->n_xtr_keys = c->xtrs.n;
    n->oui = c->oui;
    memcpy(n->settings, c->settings, sizeof n->settings);
}
