/* SPDX-License-Identifier: Apache-2.0 */
/* One column for each daemon, one line for each event, an arrow for each message
 * between two of them. Time is written at the left and is not to scale: a migration is
 * a few busy milliseconds among idle ones. */
#include "cli/trace.h"
#include <errno.h>
#include <string.h>

#define LEFT  90  /* pixels: the times */
#define LANE  210 /* a column */
#define TOP   64
#define ROW   22
#define WORDS 512
#define EVENT 32

static const struct {
    const char *event, *colour;
} colours[] = {
    {"hold",       "#b58900"},
    {"release",    "#b58900"},
    {"discard",    "#dc322f"},
    {"refused",    "#dc322f"},
    {"relay",      "#6c71c4"},
    {"relayed",    "#6c71c4"},
    {"redirect",   "#6c71c4"},
    {"local",      "#2a7d2e"},
    {"remote",     "#2a7d2e"},
    {"command",    "#cb4b16"},
    {"hypervisor", "#cb4b16"},
};

static const char *
colour_of(const char *event)
{
    for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
        if (strcmp(colours[i].event, event) == 0)
            return colours[i].colour;
    return "#268bd2";
}

/* Octets of the character at p, 0: what XML does not know, or a piece of one. */
static size_t
character(const unsigned char *p)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if (p[0] < ' ' || (n > 1 && p[0] < 0xc2) ||
        (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe)) /* U+FFFE, U+FFFF */
        return 0;
    return n;
}

/* What daemons say is text, never markup; at most `most` characters of it. */
static void
put_text(FILE *to, const char *text, size_t most)
{
    while (*text && most--) {
        size_t n = character((const unsigned char *)text);
        if (*text == '<')
            fputs("&lt;", to);
        else if (*text == '>')
            fputs("&gt;", to);
        else if (*text == '&')
            fputs("&amp;", to);
        else
            fwrite(text, 1, n, to);
        text += n ? n : 1;
    }
}

static int
lane_x(size_t lane)
{
    return LEFT + LANE / 2 + (int)lane * LANE;
}

static void
put_lanes(const struct trace_story *s, FILE *to, int height)
{
    for (size_t i = 0; i < s->n_lanes; i++) {
        fprintf(to,
            "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" "
            "font-weight=\"bold\">",
            lane_x(i), TOP - 16);
        put_text(to, s->lanes[i].label, WORDS);
        fprintf(to,
            "</text>\n<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" "
            "stroke=\"#ccc\"/>\n",
            lane_x(i), TOP - 8, lane_x(i), height - 10);
    }
}

static void
put_event(const struct trace_story *s, size_t row, FILE *to)
{
    const json_t *r = s->rows[row];
    const char *event = json_string_value(json_object_get(r, "event"));
    const char *colour = colour_of(event);
    size_t lane = s->lane[row], other;
    int y = TOP + ROW / 2 + (int)row * ROW, x = lane_x(lane);
    char words[WORDS];
    bool in = false;
    other = trace_other(s, row, &in);
    fprintf(to,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"#666\">%.3f "
        "ms</text>\n",
        LEFT - 6, y + 4, (trace_at(r) - trace_at(s->rows[0])) * 1e3);
    if (other < s->n_lanes && other != lane) {
        int from = in ? lane_x(other) : x, end = in ? x : lane_x(other);
        end += end > from ? -5 : 5;
        fprintf(to,
            "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" "
            "marker-end=\"url(#a)\"/>\n",
            from, y, end, y, colour);
    }
    fprintf(to,
        "<circle cx=\"%d\" cy=\"%d\" r=\"4\" fill=\"%s\"/>\n<text x=\"%d\" "
        "y=\"%d\" fill=\"%s\"><title>",
        x, y, colour, x + 7, y - 3, colour);
    trace_words(r, words, sizeof(words));
    put_text(to, event, EVENT);
    fputc(' ', to);
    put_text(to, words, WORDS);
    fputs("</title>", to);
    put_text(to, event, EVENT);
    fputc(' ', to);
    put_text(to, words + strspn(words, ", "), 44); /* the whole of it is in the title */
    fputs("</text>\n", to);
}

int
trace_svg(const struct trace_story *s, const char *title, FILE *to)
{
    int width = LEFT + (int)s->n_lanes * LANE + 160;
    int height = TOP + (int)s->n * ROW + 20;
    fprintf(to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
        "font-family=\"sans-serif\" font-size=\"11\">\n"
        "<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" "
        "markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 "
        "z\" fill=\"#555\"/></marker></defs>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
        "<text x=\"10\" y=\"20\" font-size=\"14\">",
        width, height);
    put_text(to, title, WORDS);
    fputs("</text>\n", to);
    put_lanes(s, to, height);
    for (size_t i = 0; i < s->n; i++)
        put_event(s, i, to);
    fputs("</svg>\n", to);
    return ferror(to) ? -EIO : 0;
}
