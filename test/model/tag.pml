/* SPDX-License-Identifier: Apache-2.0 */
/* The local tags of one edge and one server port (requirements 1.6, F16). Two VMs of two
 * virtual networks come and go; tags are few, so one that is free is used again. Frames
 * are in flight on the link in both directions when a VM leaves. P5: a frame is
 * delivered in the network it was sent in.
 *
 * T_hold is modelled by what it is chosen for: it outlasts every frame that was on its
 * way when the last VM left.
 * NO_DRAIN: a tag is free at once. NO_FLUSH: T_hold counts only frames from the server. */
#define VNS 2
#define FRAMES 3
#define TURNS 3 /* attachments of one VM */

#define FREE 0
#define USED 1
#define DRAIN 2
#define TAGS 2
byte state[TAGS];                          /* at the edge */
byte vn_of[TAGS] = VNS;                    /* at the edge: VNS = nobody's */
byte tag_of[VNS] = TAGS;                   /* at the server: its VM's tag, TAGS = none */
chan up = [FRAMES] of { byte, byte };      /* server to edge: network it came from, tag */
chan down = [FRAMES] of { byte, byte };    /* edge to server */

#define IN_FLIGHT(t) (up??[0, t] || up??[1, t] || (down??[0, t] || down??[1, t]))
#ifdef NO_FLUSH
#define OUTLASTED(t) (!up??[0, t] && !up??[1, t])
#else
#define OUTLASTED(t) (!IN_FLIGHT(t))
#endif

/* The edge takes the lowest free tag, the server is told, as by an answer. */
proctype server(byte vn) {
    byte turn, t;
    do
    :: turn == TURNS -> break
    :: turn < TURNS ->
       atomic {
           if
           :: state[0] == FREE -> t = 0
           :: state[0] != FREE && state[1] == FREE -> t = 1
           fi;
           state[t] = USED; vn_of[t] = vn; tag_of[vn] = t
       };
       do
       :: atomic { nfull(up) -> up!vn, t }
       :: break
       od;
       /* Terminate, or the VM has moved on */
       atomic {
           tag_of[vn] = TAGS; vn_of[t] = VNS;
#ifdef NO_DRAIN
           state[t] = FREE;
#else
           state[t] = DRAIN;
#endif
           turn++; t = 0
       }
    od
}

proctype edge() {
    byte vn, frame_vn, t;
end:
    do
    /* A frame from the server is in the network of its tag. */
    :: atomic { up?frame_vn, t ->
          if
          :: vn_of[t] != VNS -> assert(frame_vn == vn_of[t])
          :: else /* dropped */
          fi;
          frame_vn = 0; t = 0 }
    /* A frame of the overlay for a VM that is here leaves with its tag. */
    :: atomic { nfull(down) && tag_of[0] < TAGS -> down!0, tag_of[0] }
    :: atomic { nfull(down) && tag_of[1] < TAGS -> down!1, tag_of[1] }
    :: atomic { state[0] == DRAIN && OUTLASTED(0) -> state[0] = FREE }
    :: atomic { state[1] == DRAIN && OUTLASTED(1) -> state[1] = FREE }
    od
}

/* The server hands a frame to whoever has its tag now. */
proctype link() {
    byte frame_vn, t;
end:
    do
    :: atomic { down?frame_vn, t ->
          if
          :: tag_of[0] == t -> assert(frame_vn == 0)
          :: tag_of[1] == t -> assert(frame_vn == 1)
          :: else
          fi;
          frame_vn = 0; t = 0 }
    od
}

init {
    atomic { run server(0); run server(1); run edge(); run link() }
}
