/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that wait for a VM to start (K12, D6, F21). Frames 1, 2, ... of one sender come
 * in order. Until the VM is activated they go into a queue of bounded length, the oldest
 * dropped; what is written back from the queue takes a path of its own to the VM, so it
 * is on its way for a while. A frame goes direct only when none is queued or on its way.
 * The VM may see gaps, and never an older frame after a newer one.
 * DIRECT: frames go direct as soon as the VM has started. NO_BOUND: nothing is dropped. */
#define FRAMES 7
#define BOUND 3

bool started;
chan queue = [FRAMES] of { byte };  /* at the edge */
chan back = [FRAMES] of { byte };   /* written back, not there yet */
byte waiting;                       /* queued or on their way */
byte seen;                          /* the newest that the VM has got */

inline deliver(f) {
    assert(f > seen);
    seen = f
}

proctype sender() {
    byte f = 1, oldest;
    do
    :: f > FRAMES -> break
    :: f <= FRAMES ->
       atomic {
           if
#ifdef DIRECT
           :: started -> deliver(f)
           :: !started ->
#else
           :: started && waiting == 0 -> deliver(f)
           :: !(started && waiting == 0) ->
#endif
#ifndef NO_BOUND
              if
              :: len(queue) == BOUND -> queue?oldest; waiting--; oldest = 0
              :: else
              fi;
#endif
              queue!f; waiting++;
              assert(len(queue) <= BOUND)
           fi;
           f++
       }
    od
}

proctype drain() {
    byte f;
end:
    do
    :: atomic { started && nempty(queue) && nfull(back) -> queue?f; back!f; f = 0 }
    :: atomic { nempty(back) -> back?f; waiting--; deliver(f); f = 0 }
    od
}

init {
    atomic { run sender(); run drain() };
    started = true /* Immigrate(asso), at any time */
}
