/* SPDX-License-Identifier: Apache-2.0 */
/* Hot migration of one VM among NVES edges, with one remote edge R, the authority, and a
 * manager that drives hypervisors in every order that requirements 4.1 allows. It is the
 * proof behind E1 to E7, D1 to D5 and P1 to P4; test/model/run checks one row per rule, and
 * a row without it. doc/model.md says what is left out.
 *
 * Messages between edges, authority and R are bits in sets: once sent, one may be heard
 * at any time, again and again, after any other, or so late that it no longer matters.
 * That is loss, delay, duplication and reordering without a channel's cost. An option is
 * enabled only by a message that would change something, so a state where nothing can
 * move is one where everything has arrived: there, and only there, the places must agree.
 *
 * A held frame (K12) is one that arrives late: the packet below may wait before any hop. */

/* ---- what a variant chooses (-D); the defaults are Berth's rules ---- */

/* EPOCH: who numbers a claim */
#define EP_LAST 0     /* nobody: the last arrival wins */
#define EP_MAX 1      /* the edge, on arrival: 1 above what it knows */
#define EP_SKIP 2     /* the same, 2 above on roll back */
#define EP_ARRIVAL 3  /* the authority, when the command arrives */
#define EP_CARRIED 4  /* one counter, at the start of the migration; commands carry it (E1) */
#define EP_RESERVED 5 /* K4: Immigrate(pre) reserves at the authority; others are granted */
#ifndef EPOCH
#define EPOCH EP_RESERVED
#endif

/* RELAY: where an edge that is not active sends what R sent to it */
#define RE_KNOWLEDGE 0 /* to whom it takes for the owner */
#define RE_PUBLISHED 1 /* D1, D2: a tombstone, and to a newer published owner */
#define RE_NAMED 2     /* also to the target that Emigrate names */
#define RE_MARKED 3    /* the same, and no packet twice */
#define RE_RESERVED 4  /* D3: also to a target that has reserved above our own epoch */
#ifndef RELAY
#define RELAY RE_RESERVED
#endif

/* WITHDRAW: what a Terminate takes back at the authority (E4) */
#define WD_NONE 0    /* nothing */
#define WD_KEY 1     /* whatever stands under the key */
#define WD_OWNER 2   /* what this owner has, in any order with its registrations */
#define WD_EXACT 3   /* only (owner, epoch) */
#define WD_SESSION 4 /* what this owner has, in the order of its session (K5) */
#ifndef WITHDRAW
#define WITHDRAW WD_SESSION
#endif

/* FAIL: migrations may fail before the start. */
#define FAIL_NEVER 0
#define FAIL_TOLD 1    /* Resume only where the old edge had been told */
#define FAIL_ALWAYS 2  /* E2: Resume whenever a target had been told */
#define FAIL_UNAWARE 3 /* the source never hears of the attempt: neither Emigrate nor Resume */
#ifndef FAIL
#define FAIL FAIL_NEVER
#endif
/* CANCEL_EARLY: it fails only before the target was activated.
 * START_GATED:  the VM starts only when the target has answered (A13).
 * TOLD_GATED:   the old edge is told only when the target has answered.
 * SETTLED:      the next migration waits until all commands were answered.
 * RECLAIM:      where a VM runs, a hypervisor told "moved" claims it anew (S3-90).
 * KEEPALIVE:    1 a late keep-alive of an old station, 2 and it claims (against K3).
 * CRASH:        one crash: 1 of an edge without the VM, 2 of any, 3 of the authority.
 * NO_DURABLE:   the authority's counter does not survive it (K4).
 * NO_REPEAT:    nobody repeats the last command to a restarted edge (E6).
 * NO_D4, LATE_D4: Immigrate(pre) cancels no tombstone; only after it has reserved.
 * NO_D4_CLAIM:  nor does a claim that waits for its number; targets count on its guess.
 * EAGER:        the old edge is told, and the VM paused, before the target has reserved.
 * NO_D3:        a reservation counts though it is older than our own epoch, in every state.
 * NO_IMPLICIT:  an edge stays active though it knows a newer owner (P4).
 * NO_E7:        a claim is published before it is installed.
 * NO_REFUSAL:   the authority says nothing to who registers an old number.
 * DROP_CLAIM:   a newer owner ends a claim that waits for its number.
 * PACKET:       with a packet.  LIVE: many, for the claim `arrives`.
 * HOPS_ONLY:    a falling epoch is no error yet, the loop it makes is.
 * REDIRECT, EXPIRE: with LIVE, see remote() and tombs(). */
#ifndef MIGS
#define MIGS 2
#endif
#ifndef NVES
#define NVES 2
#endif
/* The counter is of all keys, so there are gaps in the numbers of one. */
#ifndef GAP
#define GAP (EPOCH == EP_RESERVED)
#endif
#ifndef CRASH
#define CRASH 0
#endif
#ifndef KEEPALIVE
#define KEEPALIVE 0
#endif
#ifndef REDIRECT
#define REDIRECT 0
#endif
#ifdef RECLAIM
#define HOPS 8 /* as many as claims can follow each other */
#else
#define HOPS 4
#endif
#if NVES == 2 && defined(RECLAIM)
#define NE 15 /* epochs are 1 .. NE-1; a set holds NVES * NE <= 30 bits */
#else
#define NE 10
#endif
#define R NVES
#define NONE 7
#define PAUSED 8

#define BIT(o, e) (1 << ((o) * NE + (e)))
#define OF(o) (((1 << NE) - 1) << ((o) * NE))
#define HAS(set, o, e) ((set) & BIT(o, e))
#define MSG(o, e) ((o) * NE + (e))

/* EPOCH_PRE: Immigrate comes in two phases, EMIG and ASSO both say so. */
mtype = { PRE, ASSO, EMIG, RESUME, TERM, KEEP };

/* The VM and its hypervisors */
byte vm = 0;                 /* runs behind this edge, or PAUSED */
chan cmd[NVES] = [6] of { mtype, byte, byte }; /* command, target, epoch; in order per edge */
mtype lastc[NVES];           /* the last command and its epoch, for E6 */
byte laste[NVES];
bool moved[NVES];            /* the edge said that another one has the VM */
bool finished, crashed;

/* Edges; the last of kown and kep is R's */
bool act[NVES];              /* delivers to its port */
byte own[NVES];              /* its own last epoch = licence to relay (D1); 0: none */
byte kown[NVES + 1], kep[NVES + 1]; /* the newest owner it knows */
bool emig[NVES];             /* Emigrate(commit) was the last word */
byte prov[NVES], provep[NVES]; /* provisional target; its epoch */

/* Between an edge and the authority */
#define IDLE 0
#define ASK_PRE 1
#define ASK_CLAIM 2
byte ask[NVES], granted[NVES]; /* a question, and its answer */
byte answered[NVES];           /* Immigrate(pre) was answered with this epoch */
bool ending[NVES];             /* withdrawal under way (WD_SESSION) */
int registered, withdrawn;              /* from edges */
int announced, gone, reserved, refused; /* from the authority */
byte aown = 0, aep = 1, counter = 1;

#ifdef NO_E7
byte later[NVES];
#endif
byte saw[NVES];              /* ghost: the newest epoch of another owner (P4) */
bool smr;                    /* R was told that it sends to the wrong edge */
mtype = { LOST, GOT };
mtype fate = LOST;           /* of the last packet (LIVE) */

#if EPOCH == EP_LAST
#define NEWER(o, e, ko, ke) ((o) != (ko))
#elif EPOCH < EP_CARRIED
#define NEWER(o, e, ko, ke) ((e) > (ke) || ((e) == (ke) && (o) < (ko)))
#else
#define NEWER(o, e, ko, ke) ((e) > (ke)) /* E3; equal ones are a conflict, no tie (K4) */
#endif
#define MAX(a, b) ((a) > (b) -> (a) : (b))

/* ---- an edge ---- */

inline quiet(n) {
    emig[n] = false; prov[n] = NONE; provep[n] = 0; moved[n] = false
}

/* Installed, then published (E7). */
inline become(n, e) {
    assert(e < NE);
    own[n] = e; act[n] = true; kown[n] = n; kep[n] = e;
    quiet(n);
    registered = registered | BIT(n, e)
}

/* A claim that carries its number (E1). Its own epoch again is no news (E6). */
inline claim_at(n, e) {
    if
    :: e > kep[n] || (e == kep[n] && kown[n] == n) ->
#ifdef NO_E7
       registered = registered | BIT(n, e); later[n] = e
#else
       become(n, e)
#endif
    :: else ->
       act[n] = false; quiet(n);
       moved[n] = true /* FAIL MOVED */
    fi
}

/* A claim without one. Where the authority numbers it, it holds here at once at the
 * least number it can get, and everywhere else when the authority has answered. */
inline claim(n, back) {
#if EPOCH == EP_RESERVED
    kep[n] = MAX(kep[n], own[n]) + 1;
    assert(kep[n] < NE);
#ifdef NO_D4_CLAIM
    own[n] = kep[n];
#else
    own[n] = 0; /* others may know it as the newest owner before it does: no relay */
#endif
    act[n] = true; kown[n] = n;
    quiet(n);
    ask[n] = ASK_CLAIM; granted[n] = 0
#elif EPOCH == EP_ARRIVAL
    counter++; become(n, counter)
#elif EPOCH == EP_LAST
    become(n, 1)
#else
    own[n] = MAX(kep[n], own[n]) + 1;
    if
    :: EPOCH == EP_SKIP && back -> own[n]++
    :: else
    fi;
    become(n, own[n])
#endif
}

inline learn(n, o, e) {
    kown[n] = o; kep[n] = e;
    saw[n] = MAX(saw[n], e);
    prov[n] = NONE; provep[n] = 0; emig[n] = false;
    if
    :: act[n] -> moved[n] = true
    :: else
    fi;
#ifndef NO_IMPLICIT
    act[n] = false; /* implicit emigration (E3) */
#endif
#ifdef DROP_CLAIM
    ask[n] = IDLE; granted[n] = 0;
#endif
    skip
}

/* The owner withdrew. Where there is a tombstone its number is remembered, elsewhere
 * nothing is. */
inline unlearn(n) {
    kown[n] = NONE;
    if
    :: own[n] == 0 -> kep[n] = 0; saw[n] = 0
    :: else
    fi
}

inline terminate(n) {
#if WITHDRAW == WD_SESSION
    if
    :: kown[n] == n || ask[n] == ASK_CLAIM ->
       ending[n] = true; registered = registered & ~OF(n)
    :: else
    fi;
#elif WITHDRAW != WD_NONE
    if
    :: kown[n] == n -> withdrawn = withdrawn | BIT(n, kep[n])
    :: else
    fi;
#endif
    if
    :: WITHDRAW != WD_NONE && kown[n] == n -> kown[n] = NONE
    :: else
    fi;
    act[n] = false; ask[n] = IDLE; granted[n] = 0; answered[n] = 0; moved[n] = false;
#if RELAY != RE_RESERVED
    prov[n] = NONE; /* F20: there the tombstone keeps the target that has reserved */
#endif
    skip
}

#define EMIGRATING(n) (emig[n] && !act[n] && (kown[n] == n || kown[n] == NONE))
#if defined(NO_D3)
#define RESERVED_FOR(n, o, e) (o != n && o != prov[n] && kown[n] == n)
#else
#define RESERVED_FOR(n, o, e) (o != n && e > provep[n] && kown[n] == n && e > kep[n])
#endif

/* One guard for each message that says something new to edge n. */
#define HEAR(n, o, x)                                                                   \
    :: HAS(announced, o, x) && o != n && NEWER(o, x, kown[n], kep[n]) -> m = MSG(o, x)
#define HEAR_GONE(n, o, x)                                                              \
    :: HAS(gone, o, x) && kown[n] == o && kep[n] == x && o != n
#define HEAR_RESERVED(n, o, x)                                                          \
    :: HAS(reserved, o, x) && RESERVED_FOR(n, o, x) -> m = MSG(o, x)
#if NE == 15
#define MORE(M, n, o) M(n, o, 10) M(n, o, 11) M(n, o, 12) M(n, o, 13) M(n, o, 14)
#else
#define MORE(M, n, o)
#endif
#define EPOCHS(M, n, o)                                                                 \
    M(n, o, 1) M(n, o, 2) M(n, o, 3) M(n, o, 4) M(n, o, 5) M(n, o, 6) M(n, o, 7)         \
    M(n, o, 8) M(n, o, 9) MORE(M, n, o)
#if NVES == 2
#define ALL(M, n) EPOCHS(M, n, 0) EPOCHS(M, n, 1)
#else
#define ALL(M, n) EPOCHS(M, n, 0) EPOCHS(M, n, 1) EPOCHS(M, n, 2)
#endif

proctype nve(byte n) {
    byte to, e, m;
end:
    do
#if EPOCH == EP_RESERVED
    :: atomic { cmd[n]?PRE, to, e ->
          to = 0; e = 0;
          if
          :: act[n] -> answered[n] = kep[n] /* here already */
          :: else ->
#if !defined(NO_D4) && !defined(LATE_D4)
             own[n] = 0; /* D4: it holds from now on, and relays nothing */
#endif
             quiet(n);
             ask[n] = ASK_PRE; granted[n] = 0
          fi }
    :: atomic { granted[n] && ask[n] == ASK_PRE ->
#ifdef LATE_D4
          own[n] = 0;
#endif
          answered[n] = granted[n]; granted[n] = 0; ask[n] = IDLE }
    :: atomic { granted[n] && ask[n] == ASK_CLAIM ->
          if
          :: granted[n] > kep[n] || kown[n] == n ->
             become(n, granted[n]);
#if CRASH
             if /* the agent keeps the number with the VM */
             :: lastc[n] == RESUME -> lastc[n] = ASSO; laste[n] = granted[n]
             :: else
             fi
#endif
          :: else -> moved[n] = true /* overtaken on its way here */
          fi;
          granted[n] = 0; ask[n] = IDLE }
#endif
    :: atomic { cmd[n]?ASSO, to, e ->
#if EPOCH >= EP_CARRIED
          claim_at(n, e);
#else
          claim(n, 0);
#endif
          to = 0; e = 0 }
    :: atomic { cmd[n]?EMIG, to, e ->
          act[n] = false; emig[n] = true; moved[n] = false;
#if RELAY == RE_NAMED || RELAY == RE_MARKED
          if
          :: kown[n] == n -> prov[n] = to
          :: else
          fi;
#endif
          to = 0; e = 0 }
    :: atomic { cmd[n]?RESUME, to, e ->
#if EPOCH == EP_CARRIED
          claim_at(n, e);
#else
          claim(n, 1);
#endif
          to = 0; e = 0 }
    :: atomic { cmd[n]?TERM, to, e -> terminate(n); to = 0; e = 0 }
    :: atomic { cmd[n]?KEEP, to, e ->
#if KEEPALIVE == 2
          claim(n, 0);
#endif
          to = 0; e = 0 }
#ifdef NO_E7
    :: atomic { later[n] ->
          if
          :: later[n] > kep[n] -> become(n, later[n])
          :: else
          fi;
          later[n] = 0 }
#endif
    :: atomic {
          if
          ALL(HEAR, n)
          fi;
          learn(n, m / NE, m % NE);
          m = 0 }
#if WITHDRAW != WD_NONE
    :: atomic {
          if
          ALL(HEAR_GONE, n)
          fi;
          unlearn(n) }
#endif
#if EPOCH == EP_RESERVED
    :: atomic { HAS(refused, n, kep[n]) && kown[n] == n ->
          act[n] = false; kown[n] = NONE; quiet(n);
          moved[n] = true }
#endif
#if RELAY == RE_RESERVED
    :: atomic {
          if
          ALL(HEAR_RESERVED, n)
          fi;
          prov[n] = m / NE; provep[n] = m % NE;
          m = 0 }
#endif
    od
}

/* ---- the authority ---- */
#if WITHDRAW == WD_KEY
#define WITHDRAWS(o, e) true
#elif WITHDRAW == WD_OWNER || WITHDRAW == WD_SESSION
#define WITHDRAWS(o, e) (aown == o)
#else
#define WITHDRAWS(o, e) (aown == o && aep == e)
#endif
#define REGISTER(n, o, x)                                                               \
    :: HAS(registered, o, x) && NEWER(o, x, aown, aep) && !ending[o] -> m = MSG(o, x)
#define REFUSE(n, o, x)                                                                 \
    :: HAS(registered, o, x) && (x < aep || (x == aep && aown != o)) && !ending[o] ->   \
          m = MSG(o, x)
#if WITHDRAW == WD_SESSION
#define END(n, o, x) :: ending[o] && x == 1 -> m = MSG(o, 0)
#else
#define END(n, o, x) :: HAS(withdrawn, o, x) -> m = MSG(o, x)
#endif
#define ASKED(n, o, x) :: ask[o] && !granted[o] && x == 1 -> to = o

proctype authority() {
    byte to, m;
end:
    do
    :: atomic {
          if
          ALL(REGISTER, 0)
          fi;
          aown = m / NE; aep = m % NE; announced = announced | (1 << m);
          counter = MAX(counter, aep);
          m = 0 }
#if WITHDRAW != WD_NONE
    :: atomic {
          if
          ALL(END, 0)
          fi;
          ending[m / NE] = false;
          withdrawn = withdrawn & ~(1 << m);
          registered = registered & ~(1 << m);
          if
          :: aown != NONE && WITHDRAWS(m / NE, m % NE) ->
             /* aep stays: the number of a withdrawn key is not forgotten (K4) */
             announced = announced & ~BIT(aown, aep);
             gone = gone | BIT(aown, aep);
             aown = NONE
          :: else
          fi;
          m = 0 }
#endif
#if EPOCH == EP_RESERVED
#ifndef NO_REFUSAL
    :: atomic {
          if
          ALL(REFUSE, 0)
          fi;
          registered = registered & ~(1 << m);
          refused = refused | (1 << m);
          m = 0 }
#endif
    :: atomic {
          if
          ALL(ASKED, 0)
          fi;
          counter = MAX(counter, aep) + 1;
          assert(counter < NE);
          granted[to] = counter;
          if
          :: ask[to] == ASK_PRE -> reserved = reserved | BIT(to, counter)
          :: else -> /* a claim is registered as it is granted */
             aown = to; aep = counter; announced = announced | BIT(to, counter)
          fi;
          to = 0 }
#endif
    od
}

/* ---- the remote edge ---- */

#if REDIRECT
/* It subscribes to nothing: it asks when an edge has told it to (D5). */
proctype remote() {
end:
    do
    :: atomic { smr -> smr = false; kown[R] = aown; kep[R] = aep }
    od
}
#else
proctype remote() {
    byte m;
end:
    do
    :: atomic {
          if
          ALL(HEAR, R)
          fi;
          kown[R] = m / NE; kep[R] = m % NE;
          m = 0 }
#if WITHDRAW != WD_NONE
    :: atomic {
          if
          ALL(HEAR_GONE, R)
          fi;
          kown[R] = NONE; kep[R] = 0 }
#endif
    od
}
#endif

/* ---- hypervisors ---- */

#if CRASH
#define SAY(n, c, to, e) cmd[n]!c, to, e; lastc[n] = c; laste[n] = e
#else
#define SAY(n, c, to, e) cmd[n]!c, to, e
#endif
#ifdef START_GATED
#define MAY_START (lp && len(cmd[j]) == 0)
#else
#define MAY_START true
#endif
#ifdef TOLD_GATED
#define MAY_TELL (lp && len(cmd[j]) == 0)
#else
#define MAY_TELL true
#endif
#ifdef SETTLED
#define MAY_BEGIN                                                                       \
    (empty(cmd[0]) && empty(cmd[1]) && ask[0] == IDLE && ask[1] == IDLE)
#else
#define MAY_BEGIN true
#endif
#ifdef CANCEL_EARLY
#define MAY_FAIL (!lp)
#else
#define MAY_FAIL (p || FAIL == FAIL_UNAWARE)
#endif

/* Each migration: pause, start (or fail), tell the old edge, tell the new one, in any
 * order but pause before start (4.1). i is the old place, j the new one. */
proctype manager() {
    byte k, i, j, at_e, back;
    bool p, s, l, lp;
    do
    :: k == MIGS -> break
    :: k < MIGS ->
       atomic {
           MAY_BEGIN -> i = vm; p = false; s = false; l = false; lp = false;
#if NVES == 2
           j = 1 - i
#else
           if
           :: j = (i + 1) % 3
           :: j = (i + 2) % 3
           fi
#endif
       };
#if EPOCH == EP_CARRIED
       d_step { counter++; at_e = counter };
#elif EPOCH == EP_RESERVED
       /* the hook on the destination waits for the answer, hence so do the steps below */
       atomic { answered[j] = 0; SAY(j, PRE, 0, 0) };
#ifndef EAGER
       answered[j];
#endif
#endif
       do
       :: !p -> atomic { p = true; vm = PAUSED }
       :: p && !s && MAY_START -> atomic { s = true; vm = j }
#if FAIL != FAIL_UNAWARE
       :: !l && MAY_TELL -> atomic { l = true; SAY(i, EMIG, j, 0) }
#endif
#if EPOCH == EP_RESERVED
       :: atomic { !lp && answered[j] -> lp = true; SAY(j, ASSO, 0, answered[j]) }
#else
       :: !lp -> atomic { lp = true; SAY(j, ASSO, 0, at_e) }
#endif
#if FAIL != FAIL_NEVER
       :: !s && MAY_FAIL ->
          atomic { vm = i };
#if EPOCH == EP_CARRIED
          d_step { counter++; back = counter };
#endif
          if
          :: FAIL != FAIL_UNAWARE && (l || (lp && FAIL == FAIL_ALWAYS)) ->
             atomic { SAY(i, RESUME, 0, back) }
          :: else
          fi;
          if
          :: lp || EPOCH == EP_RESERVED -> atomic { SAY(j, TERM, 0, 0) }
          :: else
          fi;
          break
#endif
       :: s && lp && (l || FAIL == FAIL_UNAWARE) ->
          if
          :: WITHDRAW != WD_NONE && FAIL != FAIL_UNAWARE ->
             atomic { SAY(i, TERM, 0, 0) }
          :: else
          fi;
          break
       od;
       k++
    od;
    finished = true
}

#ifdef RECLAIM
/* Whoever runs the VM is the last to claim it: a source that was not told of an attempt,
 * a target that was refused. */
proctype agents() {
end:
    do
    :: atomic { vm < NVES && moved[vm] && nfull(cmd[vm]) ->
          moved[vm] = false; SAY(vm, RESUME, 0, 0) }
    od
}
#endif

#if KEEPALIVE
/* Its VM has gone, and nobody told it. */
proctype station() {
    byte n;
    atomic {
        if
        :: n = 0
        :: n = 1
        fi;
        if
        :: vm != n && nfull(cmd[n]) -> cmd[n]!KEEP, 0, 0
        :: else
        fi
    }
}
#endif

#if CRASH
inline wipe(n) {
    act[n] = false; own[n] = 0; kown[n] = NONE; kep[n] = 0; saw[n] = 0;
    quiet(n);
    ask[n] = IDLE; granted[n] = 0
}
proctype crasher() {
    byte n;
    atomic {
#if CRASH == 3
        if
        :: true ->
           /* Mappings are soft state (K7): edges register again, in any order (F13). What
            * is remembered of a withdrawn key is on the disk. */
           aown = NONE;
#ifdef NO_DURABLE
           counter = 0;
#endif
           aep = 0
        :: true
        fi
#else
        if
        :: n = 0
        :: n = 1
        fi;
        if
        :: nfull(cmd[n]) && (CRASH == 2 || (vm != n && vm != PAUSED)) ->
           wipe(n);
#ifndef NO_REPEAT
           if
           :: lastc[n] != 0 -> cmd[n]!lastc[n], 0, laste[n]
           :: else
           fi
#endif
        :: else
        fi
#endif
    }
}
#endif

/* ---- packets from R ---- */

#if RELAY == RE_MARKED
#define FRESH (!marked)
#else
#define FRESH true
#endif
#if RELAY == RE_KNOWLEDGE
#define RELAYS(n) (kown[n] != n && kown[n] != NONE)
#else
/* D1: an owner of this incarnation, and a newer one is known. */
#define RELAYS(n) (own[n] > 0 && kown[n] != n && kown[n] != NONE && kep[n] > own[n] && FRESH)
#endif
#if RELAY == RE_NAMED || RELAY == RE_MARKED
#define RELAYS_TO_TARGET(n) (kown[n] == n && prov[n] != NONE && FRESH)
#elif RELAY == RE_RESERVED && defined(NO_D3)
#define RELAYS_TO_TARGET(n) (kown[n] == n && prov[n] != NONE)
#elif RELAY == RE_RESERVED && defined(NO_D4_CLAIM)
#define RELAYS_TO_TARGET(n) (EMIGRATING(n) && prov[n] != NONE && provep[n] > kep[n])
#elif RELAY == RE_RESERVED
/* While its claim waits for its number the edge does not know how high it is. */
#define RELAYS_TO_TARGET(n)                                                             \
    (ask[n] != ASK_CLAIM && EMIGRATING(n) && prov[n] != NONE && provep[n] > kep[n])
#else
#define RELAYS_TO_TARGET(n) false
#endif

/* Epochs grow along a path (D2), so it has no loop; P1 bounds it where that is not so. */
inline hop(key, to) {
    h++;
    assert(h <= HOPS);
#if (RELAY == RE_PUBLISHED || RELAY == RE_RESERVED) && !defined(HOPS_ONLY)
    assert(key > last);
    last = key;
#endif
    marked = true;
    at = to
}
inline travel() {
    do
    :: atomic { act[at] ->
#if EPOCH >= EP_CARRIED
          assert(kown[at] == at && kep[at] >= saw[at]); /* P4 */
#endif
          break }
    :: atomic { !act[at] ->
          if
          :: RELAYS(at) -> hop(kep[at], kown[at])
          :: RELAYS_TO_TARGET(at) -> hop(provep[at], prov[at])
          :: !RELAYS(at) && !RELAYS_TO_TARGET(at) -> break
          fi;
#if REDIRECT
          smr = true
#endif
       }
    od
}

proctype packet() {
    byte at, h, last;
    bool marked;
    atomic { kown[R] != NONE -> at = kown[R] };
    travel()
}

#ifdef LIVE
/* One after the other, for ever. */
proctype packets() {
    byte at, h, last;
    bool marked;
    do
    :: atomic { kown[R] == NONE -> fate = LOST; smr = (REDIRECT > 0) }
    :: atomic { kown[R] != NONE -> at = kown[R]; h = 0; last = 0; marked = false };
       travel();
       atomic {
           if
           :: act[at] && vm == at -> fate = GOT
           :: else -> fate = LOST
           fi;
#if REDIRECT == 2
           /* "no such TS here" (F1, F11): also who cannot relay tells the sender */
           if
           :: !act[at] -> smr = true
           :: else
           fi
#endif
       }
    od
}
#ifdef EXPIRE
/* T_tomb ends at any time, however late R is. */
proctype tombs() {
    atomic { finished && !act[0] -> own[0] = 0 }
}
#endif
/* After the last event every packet arrives, in every run that is fair. */
ltl arrives { <> [] (fate == GOT) }
#else

/* Nothing can move: everything sent has arrived. P2, P3 */
proctype rest() {
    timeout ->
    assert(finished);
#if EPOCH != EP_LAST
    assert(act[vm]);
    assert(!act[(vm + 1) % NVES] && (NVES == 2 || !act[(vm + 2) % NVES]));
    assert(aown == vm && kown[R] == vm)
#endif
}
#endif

init {
    atomic {
        act[0] = true; own[0] = 1; lastc[0] = ASSO; laste[0] = 1;
        kep[0] = 1; kep[1] = 1; kep[R] = 1;
        prov[0] = NONE; prov[1] = NONE;
#if NVES == 3
        kep[2] = 1; prov[2] = NONE;
#endif
        registered = BIT(0, 1); announced = BIT(0, 1);
        counter = 1 + GAP;
        run nve(0); run nve(1);
#if NVES == 3
        run nve(2);
#endif
        run remote(); run authority(); run manager();
#ifdef RECLAIM
        run agents();
#endif
#if KEEPALIVE
        run station();
#endif
#if CRASH
        run crasher();
#endif
#ifdef PACKET
        run packet();
#endif
#ifdef LIVE
        run packets();
#ifdef EXPIRE
        run tombs();
#endif
#else
        run rest()
#endif
    }
}
