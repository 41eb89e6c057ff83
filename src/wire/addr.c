/* SPDX-License-Identifier: Apache-2.0 */
/* Text forms are canonical: what *_str writes, *_parse reads back to the same octets.
 */
#include "wire/addr.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */

struct ip
ip_v4(uint32_t host_order)
{
    struct ip ip;
    memcpy(ip.b, v4_prefix, sizeof v4_prefix);
    for (int i = 0; i < 4; i++)
        ip.b[12 + i] = host_order >> (24 - 8 * i) & 0xff;
    return ip;
}

bool
ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->b, v4_prefix, sizeof v4_prefix) == 0;
}

uint32_t
ip_to_v4(const struct ip *ip)
{
    const uint8_t *b = ip->b + 12;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool
all_zero(const uint8_t *b, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= b[i];
    return any == 0;
}

bool
ip_is_none(const struct ip *ip)
{
    return all_zero(ip->b, sizeof ip->b);
}

bool
mac_is_none(const struct mac *m)
{
    return all_zero(m->b, sizeof m->b);
}

bool
mac_is_group(const struct mac *m)
{
    return m->b[0] & 1;
}

bool
vsiid_equal(const struct vsiid *a, const struct vsiid *b)
{
    return a->format == b->format && memcmp(a->b, b->b, sizeof a->b) == 0;
}

uint64_t
vsiid_print(const struct vsiid *v)
{
    static const unsigned char key[] = "berth VSI print"; /* with its NUL: 16 octets */
    _Static_assert(sizeof key == crypto_shorthash_KEYBYTES, "SipHash-2-4");
    unsigned char in[1 + sizeof v->b], out[crypto_shorthash_BYTES];
    uint64_t print = 0;
    in[0] = v->format;
    memcpy(in + 1, v->b, sizeof v->b);
    crypto_shorthash(out, in, sizeof in, key);
    for (unsigned i = 0; i < sizeof out; i++)
        print = print << 8 | out[i];
    return print ? print : 1;
}

const char *
mac_str(const struct mac *m, char *text)
{
    const uint8_t *b = m->b;
    snprintf(text, MAC_STR, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3],
        b[4], b[5]);
    return text;
}

const char *
ip_str(const struct ip *ip, char *text)
{
    if (ip_is_v4(ip))
        inet_ntop(AF_INET, ip->b + 12, text, IP_STR);
    else
        inet_ntop(AF_INET6, ip->b, text, IP_STR);
    return text;
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* n octets, two digits each; gives the text behind them or NULL. */
static const char *
hex_octets(const char *text, uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++, text += 2) {
        int high = hex_digit(text[0]);
        int low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return NULL;
        b[i] = high << 4 | low;
    }
    return text;
}

bool
mac_parse(const char *text, struct mac *m)
{
    struct mac made;
    char separator = strlen(text) == MAC_STR - 1 ? text[2] : 0;
    if (separator != ':' && separator != '-')
        return false;
    for (int i = 0; i < 6; i++) {
        text = hex_octets(text, &made.b[i], 1);
        if (!text || *text != (i < 5 ? separator : 0))
            return false;
        text++;
    }
    *m = made;
    return true;
}

bool
ip_parse(const char *text, struct ip *ip)
{
    struct ip made;
    if (inet_pton(AF_INET, text, made.b + 12) == 1)
        memcpy(made.b, v4_prefix, sizeof v4_prefix);
    else if (inet_pton(AF_INET6, text, made.b) != 1)
        return false;
    *ip = made;
    return true;
}

/* Words for the form format:hex. */
static const struct {
    uint8_t format;
    const char *word;
} vsiid_words[] = {
    {VSIID_IPV4,  "ipv4" },
    {VSIID_IPV6,  "ipv6" },
    {VSIID_MAC,   "mac"  },
    {VSIID_LOCAL, "local"},
    {VSIID_UUID,  "uuid" },
};
#define N_VSIID_WORDS (sizeof vsiid_words / sizeof *vsiid_words)

/* uuid_groups: octets between the dashes (RFC 4122, 3). */
static const uint8_t uuid_groups[] = {4, 2, 2, 2, 6};

static void
hex(uint8_t octet, char *text)
{
    text[0] = "0123456789abcdef"[octet >> 4];
    text[1] = "0123456789abcdef"[octet & 15];
}

static void
uuid_str(const uint8_t *b, char *text)
{
    for (int g = 0; g < 5; g++) {
        if (g > 0)
            *text++ = '-';
        for (int i = 0; i < uuid_groups[g]; i++, text += 2)
            hex(*b++, text);
    }
    *text = '\0';
}

static bool
uuid_parse(const char *text, uint8_t *b)
{
    for (int g = 0; g < 5; g++) {
        text = hex_octets(text, b, uuid_groups[g]);
        if (!text || *text != (g < 4 ? '-' : 0))
            return false;
        text++;
        b += uuid_groups[g];
    }
    return true;
}

/* IPv4 and MAC have a short form only if the padding a peer sent is zero: two different
 * identifiers must not print alike. */
const char *
vsiid_str(const struct vsiid *v, char *text)
{
    if (v->format == VSIID_UUID) {
        uuid_str(v->b, text);
        return text;
    }
    if (v->format == VSIID_IPV4 && all_zero(v->b, 12))
        return inet_ntop(AF_INET, v->b + 12, text, VSIID_STR);
    if (v->format == VSIID_IPV6)
        return inet_ntop(AF_INET6, v->b, text, VSIID_STR);
    if (v->format == VSIID_MAC && all_zero(v->b, 10)) {
        struct mac m;
        memcpy(m.b, v->b + 10, sizeof m.b);
        return mac_str(&m, text);
    }
    char number[4];
    const char *word = NULL;
    for (size_t i = 0; i < N_VSIID_WORDS; i++)
        if (vsiid_words[i].format == v->format)
            word = vsiid_words[i].word;
    if (!word) {
        snprintf(number, sizeof number, "%u", v->format);
        word = number;
    }
    int n = snprintf(text, VSIID_STR, "%s:", word);
    for (int i = 0; i < 16; i++)
        n += snprintf(text + n, VSIID_STR - n, "%02x", v->b[i]);
    return text;
}

static bool
format_parse(const char *word, size_t size, uint8_t *format)
{
    unsigned number = 0;
    for (size_t i = 0; i < N_VSIID_WORDS; i++)
        if (strlen(vsiid_words[i].word) == size &&
            memcmp(vsiid_words[i].word, word, size) == 0) {
            *format = vsiid_words[i].format;
            return true;
        }
    for (size_t i = 0; i < size; i++) {
        if (word[i] < '0' || word[i] > '9' || i == 3)
            return false;
        number = number * 10 + (word[i] - '0');
    }
    *format = number;
    return size > 0 && number <= UINT8_MAX;
}

bool
vsiid_parse(const char *text, struct vsiid *v)
{
    struct vsiid made = {0};
    struct mac m;
    if (uuid_parse(text, made.b)) {
        made.format = VSIID_UUID;
    } else if (mac_parse(text, &m)) {
        made = (struct vsiid){.format = VSIID_MAC};
        memcpy(made.b + 10, m.b, sizeof m.b);
    } else if (inet_pton(AF_INET, text, made.b + 12) == 1) {
        made.format = VSIID_IPV4;
        memset(made.b, 0, 12);
    } else if (inet_pton(AF_INET6, text, made.b) == 1) {
        made.format = VSIID_IPV6;
    } else {
        /* format:hex; fewer than 32 digits are right aligned. */
        const char *hex = strchr(text, ':');
        made = (struct vsiid){0};
        if (!hex || !format_parse(text, hex - text, &made.format))
            return false;
        size_t n = strlen(++hex) / 2;
        if (n == 0 || n > sizeof made.b)
            return false;
        const char *end = hex_octets(hex, made.b + sizeof made.b - n, n);
        if (!end || *end)
            return false;
    }
    *v = made;
    return true;
}
