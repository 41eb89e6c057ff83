/* SPDX-License-Identifier: Apache-2.0 */
/* The device through which held frames leave the programs and come back. */
#include "host/hold.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#define TAP_MTU 65521 /* the driver's largest */

static int
tap_set(int s, const char *name)
{
    struct ifreq r = {0};

    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    r.ifr_qlen =
        0; /* comes up with noqueue; the driver's own ring gets its length then */
    if (ioctl(s, SIOCSIFTXQLEN, &r))
        return -errno;
    r.ifr_mtu = TAP_MTU;
    if (ioctl(s, SIOCSIFMTU, &r))
        return -errno;
    r.ifr_flags = IFF_UP | IFF_NOARP; /* no multicast: nothing is to join */
    if (ioctl(s, SIOCSIFFLAGS, &r))
        return -errno;
    r.ifr_qlen = NVE_HOLD_QUEUE;
    return ioctl(s, SIOCSIFTXQLEN, &r) ? -errno : 0;
}

/* Best effort: what the kernel says there has no slot and is thrown away. */
static void
tap_silence(const char *name)
{
    char path[96];
    int fd;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "1", 1) != 1)
        errno = 0;
    close(fd);
}

int
hold_tap(const char *name, struct host_err *err)
{
    static const unsigned offloads[] = {
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6,
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
    };
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), s, rc = 0;
    int head = HOLD_HEAD;
    size_t i;

    if (fd < 0)
        return host_fail(err, -errno, "/dev/net/tun: %m; load the tun module");
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &r)) {
        rc = host_fail(err, -errno,
            "interface %s: cannot make the TAP of held frames: %m; the name must be "
            "free",
            name);
        close(fd);
        return rc;
    }
    if (ioctl(fd, TUNSETVNETHDRSZ, &head))
        rc = -errno;
    for (i = 0; !rc && i < sizeof(offloads) / sizeof(offloads[0]); i++)
        if (!ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads[i]))
            break;
    if (i == sizeof(offloads) / sizeof(offloads[0]))
        rc = -errno;
    tap_silence(name);
    s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (!rc)
        rc = s < 0 ? -errno : tap_set(s, name);
    if (s >= 0)
        close(s);
    if (!rc)
        return fd;
    close(fd);
    return host_fail(
        err, rc, "interface %s: cannot set the TAP of held frames up: %m", name);
}
