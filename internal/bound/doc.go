// Package bound makes the limits on what requests can hold: bytes, places and time.
//
// Every such limit is a [Bound]. It is made by [Set.New] from a [Spec], which names it and says
// what happens when it is reached. So all of them can be listed, as metrics for operators and as
// the table in docs/bounds.md, which a test generates from the program. The architecture test
// forbids limits that are made in any other way. Wherever one client could take all places or fill
// a queue, the bound has a share for each owner: this includes the messages of one import that are
// under way, and the writers of one key that try again. The package knows nothing of HTTP or NATS.
//
// # Words
//
//   - A claim asks for room in a bound: [Bound.Take], [Bound.Try], [Bound.Insist], [Hold.Extend].
//   - A hold is what a granted claim has, until it is released.
//   - An owner is the client for which something is claimed, usually its address. It may hold a
//     share of the bound only. A part of an owner, such as one client's work for one bucket, waits
//     in a line of its own and counts towards the owner's share ([Part]).
//   - A line has the claims of one owner that wait. The lines are served one claim at a time, in
//     turn, so a client that asks for much delays itself and not the others.
//   - The reserve is room that is kept for small claims.
//   - To evict a hold is to ask whoever has it to release it, because it makes no progress and
//     somebody else waits.
//   - A lease bounds how long a hold counts. After that others are served as if it were released.
//   - A [Turn] is the place of a request among those at work, in a bound with a lease.
//
// # A claim
//
//	event                        Take                    Try                Insist
//	---------------------------  ----------------------  -----------------  ------------------------
//	there is room, nobody waits  granted                 granted            granted
//	there is room, others wait   waits; a small claim    refused; a small   granted
//	                             is granted              claim is granted
//	no room                      waits                   refused            others are evicted, or
//	                                                                        refused if this claim is
//	                                                                        the largest
//	owner's share is used up     waits                   refused            not checked
//	the queue is full            refused                 -                  -
//	room becomes free            granted, if it is next  -                  -
//	a hold has stalled           the largest is evicted  -                  the largest is evicted
//	a lease ends                 granted, if it is next  -                  -
//	Spec.Wait is over            refused                 -                  -
//	the context ends             its error               -                  -
//
// # A hold
//
//	event            free       held                          leaving
//	---------------  ---------  ----------------------------  --------------------------------------
//	claim granted    held       must not be                   must not be
//	Progress, Idle   -          notes when it last moved      has no effect
//	Shrink, Grow     -          gives back, or takes more     the same
//	evicted          -          leaving; evict is called      -
//	lease ends       -          free                          - (no evictions with a lease)
//	Release          -          free                          free
//
// A hold that is leaving still counts, until it is released: its bytes are in memory. Claims that
// wait for them do not evict others meanwhile.
package bound
