/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/note.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define NOTE_AFTER_S 2

static char note[256]; /* read by the signal handler; set before the timer is */

static void
note_print(int signum)
{
    int was = errno;
    (void)signum;
    if (write(2, note, strlen(note)) < 0) {
        /* a note that nobody can read is no error */
    }
    errno = was;
}

void
note_set(const char *program, const char *path)
{
    struct sigaction sa = {.sa_handler = note_print, .sa_flags = SA_RESTART};
    struct itimerval t = {.it_value = {.tv_sec = NOTE_AFTER_S}};
    if (!isatty(2))
        return;
    snprintf(note, sizeof(note),
        "berth: waiting for %s at %s (Ctrl-C gives up; the daemon goes on)\n", program,
        path);
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &t, NULL);
}

void
note_clear(void)
{
    struct itimerval t = {0};
    setitimer(ITIMER_REAL, &t, NULL);
}
