/* SPDX-License-Identifier: Apache-2.0 */
/* First and only process of the lab's guest: a Linux kernel, the virtio modules, this.
 * Words of the kernel's command line tell it what to be:
 *   berth.ip=A.B.C.D/LEN   berth.ip6=ADDRESS/LEN   berth.mtu=N
 *   berth.beat=A.B.C.D:PORT,MS    a datagram each MS milliseconds: it sends first
 * UDP port 7007 answers each datagram with what it got, how many it has answered, and
 * its own clock (microseconds, 64 bits each, big endian).
 * UDP port 7008 takes one word: "dirty N" writes to N MiB of memory each second, so
 * that a migration finds work; "off" switches the machine off; "crash" breaks it.
 * TCP port 7009 takes one stream at a time and throws it away.
 * Twice a second it says on the console that it lives. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NIC       "eth0"
#define PAGE      4096
#define DIRTY_MAX 48u /* MiB; the machine has some 90 */
#define ALIVE_MS  500

static char line[4096]; /* of the kernel */

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void
say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("guest: ");
    vprintf(fmt, ap);
    printf("\n");
    fflush(stdout);
    va_end(ap);
}

/* What stands after `word=` in the command line. */
static bool
option(const char *word, char *out, size_t size)
{
    size_t n = strlen(word);
    for (const char *p = line; (p = strstr(p, word)); p += n) {
        if ((p != line && p[-1] != ' ') || p[n] != '=')
            continue;
        p += n + 1;
        snprintf(out, size, "%.*s", (int)strcspn(p, " \n"), p);
        return true;
    }
    return false;
}

static uint64_t
now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
load_modules(void)
{
    char path[32];
    for (int i = 0; i < 32; i++) {
        snprintf(path, sizeof(path), "/m/%02d", i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return;
        if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
            say("module %d: %s", i, strerror(errno));
        close(fd);
    }
}

/* The part before `mark` stays in text, the number after it is returned. */
static int
number_after(char *text, char mark, int missing)
{
    char *p = strrchr(text, mark);
    if (!p)
        return missing;
    *p = 0;
    return atoi(p + 1);
}

static bool
address4(int s, struct ifreq *r)
{
    char text[64];
    struct sockaddr_in a = {.sin_family = AF_INET};
    if (!option("berth.ip", text, sizeof(text)))
        return true;
    int len = number_after(text, '/', 24);
    if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
        return false;
    memcpy(&r->ifr_addr, &a, sizeof(a));
    if (ioctl(s, SIOCSIFADDR, r))
        return false;
    a.sin_addr.s_addr = htonl(len ? ~0u << (32 - len) : 0);
    memcpy(&r->ifr_netmask, &a, sizeof(a));
    return ioctl(s, SIOCSIFNETMASK, r) == 0;
}

static bool
address6(int ifindex)
{
    char text[64];
    struct in6_ifreq r = {.ifr6_ifindex = ifindex};
    if (!option("berth.ip6", text, sizeof(text)))
        return true;
    r.ifr6_prefixlen = (uint32_t)number_after(text, '/', 64);
    if (inet_pton(AF_INET6, text, &r.ifr6_addr) != 1)
        return false;
    int s = socket(AF_INET6, SOCK_DGRAM, 0);
    int rc = ioctl(s, SIOCSIFADDR, &r);
    close(s);
    return rc == 0;
}

static void
set(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        say("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static bool
nic_up(void)
{
    char text[32];
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    struct ifreq r = {.ifr_name = NIC};
    ioctl(s, SIOCSIFFLAGS, &lo);
    for (int i = 0; ioctl(s, SIOCGIFINDEX, &r); i++) {
        if (i == 1000)
            return false;
        usleep(10000); /* the kernel is still looking at the bus */
    }
    int ifindex = r.ifr_ifindex;
    /* nobody is there yet who could object to the address, or route */
    set("/proc/sys/net/ipv6/conf/" NIC "/accept_dad", "0");
    set("/proc/sys/net/ipv6/conf/" NIC "/router_solicitations", "0");
    if (option("berth.mtu", text, sizeof(text))) {
        r.ifr_mtu = atoi(text);
        ioctl(s, SIOCSIFMTU, &r);
    }
    if (!address4(s, &r))
        return false;
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    bool ok = ioctl(s, SIOCSIFFLAGS, &r) == 0 && address6(ifindex);
    close(s);
    return ok;
}

static int
server(int type, uint16_t port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int s = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s, (struct sockaddr *)&a, sizeof(a)) ||
        (type == SOCK_STREAM && listen(s, 1)))
        say("port %u: %s", port, strerror(errno));
    return s;
}

static void
echo(int s)
{
    static uint64_t count;
    uint8_t data[2048];
    struct sockaddr_storage from;
    socklen_t n = sizeof(from);
    ssize_t size;
    while ((size = recvfrom(
                s, data, sizeof(data) - 16, 0, (struct sockaddr *)&from, &n)) >= 0) {
        uint64_t own[2] = {htobe64(++count), htobe64(now_us())};
        memcpy(data + size, own, sizeof(own));
        sendto(s, data, (size_t)size + sizeof(own), 0, (struct sockaddr *)&from, n);
        n = sizeof(from);
    }
}

/* --- memory that changes --- */

static struct {
    volatile uint8_t *p;
    size_t at, size;
    uint64_t pages_s, last_us; /* 0: off */
} dirt;

static void
dirty_set(unsigned mib)
{
    if (mib > DIRTY_MAX)
        mib = DIRTY_MAX;
    dirt.size = (size_t)DIRTY_MAX << 20;
    if (!dirt.p) {
        void *p = mmap(NULL, dirt.size, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return;
        dirt.p = p;
    }
    dirt.pages_s = ((uint64_t)mib << 20) / PAGE;
    dirt.last_us = now_us();
}

static void
dirty_some(void)
{
    uint64_t now = now_us(), n = (now - dirt.last_us) * dirt.pages_s / 1000000;
    if (!n)
        return;
    dirt.last_us = now;
    for (; n; n--) {
        dirt.p[dirt.at]++;
        dirt.at = (dirt.at + PAGE) % dirt.size;
    }
}

static void
command(int s)
{
    char text[64];
    struct sockaddr_storage from;
    socklen_t n = sizeof(from);
    ssize_t size = recvfrom(s, text, sizeof(text) - 1, 0, (struct sockaddr *)&from, &n);
    unsigned mib;
    if (size < 0)
        return;
    text[size] = 0;
    if (sscanf(text, "dirty %u", &mib) == 1)
        dirty_set(mib);
    sendto(s, text, (size_t)size, 0, (struct sockaddr *)&from, n);
    if (!strcmp(text, "off"))
        reboot(RB_POWER_OFF);
    if (!strcmp(text, "crash"))
        set("/proc/sysrq-trigger", "c");
}

static void
swallow(int *stream)
{
    static uint8_t data[1 << 16];
    ssize_t n;
    while ((n = recv(*stream, data, sizeof(data), MSG_DONTWAIT)) > 0)
        continue;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    close(*stream);
    *stream = -1;
}

/* --- beats --- */

static struct {
    struct sockaddr_in to;
    uint64_t every_us, next_us, count; /* 0: none */
} beats;

static void
beats_init(void)
{
    char text[64];
    if (!option("berth.beat", text, sizeof(text)))
        return;
    beats.every_us = (uint64_t)number_after(text, ',', 10) * 1000;
    beats.to.sin_family = AF_INET;
    beats.to.sin_port = htons((uint16_t)number_after(text, ':', 7007));
    inet_pton(AF_INET, text, &beats.to.sin_addr);
    beats.next_us = now_us();
}

static void
beat(void)
{
    static int s = -1;
    uint64_t data[2] = {htobe64(beats.count++), htobe64(now_us())};
    if (s < 0)
        s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sendto(s, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&beats.to,
        sizeof(beats.to));
    beats.next_us += beats.every_us;
    if (beats.next_us < now_us())
        beats.next_us = now_us();
}

/* The network may be at fault, so this goes another way. */
static void
alive(void)
{
    static uint64_t next_us, count;
    uint64_t now = now_us();
    if (now < next_us)
        return;
    next_us = now + ALIVE_MS * 1000;
    say("alive %llu", (unsigned long long)++count);
}

static int
wait_ms(void)
{
    uint64_t now;
    if (dirt.pages_s)
        return 2;
    now = now_us();
    if (!beats.every_us || beats.next_us > now + ALIVE_MS * 1000)
        return ALIVE_MS;
    return beats.next_us > now ? (int)((beats.next_us - now + 999) / 1000) : 0;
}

static void
serve(void)
{
    int sink = server(SOCK_STREAM, 7009), stream = -1;
    struct pollfd p[3] = {
        {.fd = server(SOCK_DGRAM, 7007), .events = POLLIN},
        {.fd = server(SOCK_DGRAM, 7008), .events = POLLIN}
    };
    say("ready");
    for (;;) {
        p[2] = (struct pollfd){.fd = stream >= 0 ? stream : sink, .events = POLLIN};
        poll(p, 3, wait_ms());
        alive();
        if (p[0].revents)
            echo(p[0].fd);
        if (p[1].revents)
            command(p[1].fd);
        if (p[2].revents && stream >= 0)
            swallow(&stream);
        else if (p[2].revents)
            stream = accept4(sink, NULL, NULL, SOCK_CLOEXEC);
        if (dirt.pages_s)
            dirty_some();
        if (beats.every_us && now_us() >= beats.next_us)
            beat();
    }
}

int
main(void)
{
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, line, sizeof(line) - 1);
    close(fd);
    line[n > 0 ? n : 0] = 0;
    load_modules();
    if (nic_up()) {
        beats_init();
        serve();
    }
    say("no " NIC ": %s", strerror(errno));
    for (;;)
        pause();
}
