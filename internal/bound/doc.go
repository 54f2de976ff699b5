// Package bound makes the limits on what requests can hold: bytes, places and time.
//
// Every such limit is a [Bound]. It is made by [Set.New] from a [Spec], which gives the name of the
// limit and what the gateway does when it is reached. A [Set] can therefore list all limits: as
// metrics for operators, and as the table in docs/bounds.md, which a test generates from the
// program. The architecture test forbids limits that are made in any other way. Wherever one client
// could take all places or fill a queue, the bound has a share for each owner: this includes the
// messages of one import that are under way, and the writers of one key that try again. Every queue
// has a length, or is bounded by the places of another bound. The package knows nothing of HTTP or
// NATS.
//
// # Words
//
//   - A claim asks for room in a bound: [Bound.TakeFor], or what it is made of, [Bound.Take];
//     [Bound.Try], [Bound.Insist], [Bound.Displace], [Bound.Supplant], [Hold.Extend].
//   - A hold is what a granted claim has, until it is released.
//   - An owner is the client for which something is claimed, usually its address, or what the spec
//     says (Spec.OwnerIs). It may hold a share of the bound only. A part of an owner, such as one
//     client's work for one bucket, waits in a line of its own and counts towards the owner's share
//     ([Part]). It may have a share of its own within that.
//   - A line has the claims of one owner that wait. The lines are served one claim at a time, in
//     turn, so a client that asks for much delays itself and not the others.
//   - The reserve is room that is kept for small holds. They are charged to it first, and what they
//     have beyond it is taken from the room of the larger ones. A claim is small if its hold is
//     small once it is granted.
//   - To evict a hold is to ask whoever has it to release it, because it makes no progress and
//     somebody else waits.
//   - Room is saved for a claim if the holds that were evicted for it have given it back, and other
//     claims may not have it.
//   - A lease bounds how long a hold counts. After that others are served as if it were released.
//     Leases and stalls are measured by the monotonic clock.
//   - A bound drains if what is held in it is given back bit by bit, the oldest first, whoever has
//     it. It limits a rate, and allows bursts ([Spec].Drains).
//   - A [Turn] is the place of a request among those at work, in a bound with a lease.
//
// # A claim
//
//	event                        Take                    Try                Insist
//	---------------------------  ----------------------  -----------------  ----------------------
//	there is room, nobody waits  granted                 granted            granted
//	there is room, others wait   waits; granted if the   refused; granted   granted
//	                             reserve has room        if the reserve
//	                                                     has room
//	no room                      waits; as the first of  refused            others are evicted, or
//	                             all it holds up the                        refused if its owner
//	                             others for 50 ms                           would have most
//	owner's share is used up     waits; evicts holds of  refused            not checked
//	                             that owner
//	share of its part is used    waits; evicts holds of  refused            not checked
//	  up                         that part, unless it
//	                             keeps them
//	the queue is full            refused                 -                  -
//	room becomes free            granted, if it is next  -                  -
//	holds have stalled           as many as it needs     -                  the largest is
//	                             are evicted, the                           evicted, as often as
//	                             largest first                              needed
//	these hold less than it      evicted all the same;   -                  the owner that insists
//	  needs                      nothing is saved                           on most loses its
//	                                                                        largest
//	an evicted hold gives back   saved for this claim    -                  -
//	an evicted hold is released  granted, if there is    -                  -
//	                             room, before its turn;
//	                             its line is the last
//	                             then
//	a lease ends                 granted, if it is next  -                  -
//	Spec.Wait is over            refused; its line is    -                  -
//	                             the last then
//	the context ends             its error               -                  -
//
// [Bound.Displace] is a claim that does not wait either, and evicts the largest of the holds that
// are larger than the one that it is for. [Bound.Supplant] is another, which evicts the holds that
// nobody has used for longest.
//
// A claim that is refused or given up leaves what was saved for it to all. Of equal holds the one
// that has stalled for longest is evicted first. Small holds within the reserve are not evicted for
// a larger claim, since it cannot use their room.
//
// # A hold
//
//	event            free       held                          leaving
//	---------------  ---------  ----------------------------  ------------------------------------
//	claim granted    held       must not be                   must not be
//	Progress, Idle   -          notes when it last moved      has no effect
//	Shrink           -          gives back                    gives back, to the claim for which
//	                                                          it was evicted
//	Grow             -          takes more, if there is room  the same
//	                            and nobody waits, or if the
//	                            reserve has room
//	Extend           -          takes more, may wait          the same
//	evicted          -          leaving; evict is called      -
//	lease ends       -          free                          - (no evictions with a lease)
//	Release          -          free                          free; gives back as Shrink does
//
// A hold that is leaving still counts, until it is released: its bytes are in memory. Claims that
// wait for them do not evict others meanwhile. A hold that grows from small to larger, or shrinks,
// is charged anew as a whole. A hold that was granted by Insist is never charged to the reserve,
// which would fill little by little with holds that have stalled.
//
// # Files
//
//	set.go    makes bounds, and lists them; table.go formats the list for docs/bounds.md
//	bound.go  the spec and the state of a bound; TakeFor, Take and Try
//	queue.go  claims, how they wait, and how they are granted
//	line.go   the queues of claims that wait, with a line for each owner
//	room.go   whether a hold fits into the bound, the share of its owner and the reserve
//	hold.go   what somebody holds: Extend, Grow, Shrink, HandTo, Release
//	evict.go  which holds make room for a claim; Insist, Displace, Supplant
//	lease.go  the end of holds whose lease is over
//	owner.go  for whom something is claimed, and its parts
//	turn.go   the places of requests at work
//	clock.go  the monotonic clock of leases and stalls
package bound
