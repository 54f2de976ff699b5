package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// registerBucket is where the registers are. It has a mirror, whose direct gets mix with the stream's own.
const registerBucket = "registers"

// A setting is what all clients share.
type setting struct {
	history   *history
	gateways  []*gatewayClient
	registers *registers
	banks     *registers
	ids       atomic.Int64  // of writes
	lives     atomic.Int64  // of nats-server: it grows before one ends
	highest   atomic.Uint64 // revision that was told in the registers' bucket
	epochs    map[string]string
}

// A worker is a client of HTTP, which takes one gateway or the other.
type worker struct {
	*setting
	id     int
	random *rand.Rand
	sent   []sent // to be sent again
}

// A sent write has an Idempotency-Key and was answered.
type sent struct {
	request request
	in      input
	out     output
	at      time.Time
	life    int64 // of nats-server
}

// memory is for how long a client sends such a write again: less than a bucket's duplicate window.
const memory = 90 * time.Second

// pace is how long a client waits between two operations, at most.
const pace = 20 * time.Millisecond

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		r := w.registers.pick(w.random)
		switch n := w.random.IntN(100); {
		case n < 35:
			w.read(ctx, r, w.gateway())
		case n < 40 && len(w.sent) > 0:
			w.repeat(ctx)
		default:
			w.write(ctx, r, w.choose(r))
			if n > 80 { // at once, when whoever lags is still behind
				w.read(ctx, r, w.gateway())
			}
		}
		time.Sleep(rand.N(pace))
	}
}

func (w *worker) gateway() *gatewayClient { return w.gateways[w.random.IntN(len(w.gateways))] }

// choose makes up a write and its condition.
func (w *worker) choose(r *register) input {
	in := input{ID: int(w.ids.Add(1)), Op: w.weighted(map[op]int{put: 45, remove: 9, purge: 5, merge: 20, increment: 21})}
	switch in.Op {
	case put:
		in.N = w.random.IntN(3)
		kinds := []conditionKind{always, always, ifRevision, ifRevision, ifRevision, ifAbsent, ifAbsent, ifPresent, ifOther, ifOneOf}
		in.If.Kind = kinds[w.random.IntN(len(kinds))]
	case increment:
		in.N = r.expected()
		in.If.Kind = conditionKind(w.random.IntN(2))
	default:
		in.If.Kind = conditionKind(w.random.IntN(2))
	}
	switch in.If.Kind {
	case ifRevision, ifOther:
		in.If.Revisions[0] = r.guess(w.random)
	case ifOneOf:
		in.If.Revisions = [2]uint64{r.guess(w.random), r.guess(w.random)}
	}
	return in
}

// weighted picks one of the operations, in their order so that a seed repeats it.
func (w *worker) weighted(weights map[op]int) op {
	n := w.random.IntN(100)
	for o := range opCount {
		if n -= weights[o]; n < 0 && weights[o] > 0 {
			return o
		}
	}
	return put
}

// write carries one write out, and records it. With an Idempotency-Key it is sent again until there is an answer, and all of that is
// one operation.
func (w *worker) write(ctx context.Context, r *register, in input) {
	req := w.writeRequest(registerBucket, r.name, in)
	tries := 1
	if w.random.IntN(3) == 0 {
		req.header["Idempotency-Key"] = fmt.Sprintf(`"lin-%d"`, in.ID)
		tries = 20
	} else if w.random.IntN(25) == 0 {
		req.cutAfter = time.Duration(100+w.random.IntN(3000)) * time.Microsecond
	}
	call, doubt, life := w.history.now(), false, w.lives.Load()
	for try := range tries {
		if try > 0 && !w.mayRetry(life) {
			break
		}
		a, err := w.gateway().do(ctx, req)
		out, fate := w.outputOf(a, err, in, registerBucket)
		doubt = doubt || fate == open || a != nil && a.again
		// A retry that is refused says nothing of a first request that may have been carried out and overwritten since.
		if fate != answered || doubt && out.Outcome != done {
			continue
		}
		w.history.add(registerBucket+"/"+r.name, w.id, in, call, out)
		w.learn(r, in, out)
		if tries > 1 && out.Outcome == done {
			w.sent = append(w.sent, sent{req, in, out, time.Now(), life})
		}
		return
	}
	if doubt {
		w.history.add(registerBucket+"/"+r.name, w.id, in, call, output{Outcome: unknown})
		return
	}
	w.history.without(in.Op.String(), "not done")
}

// mayRetry waits a little, and tells whether nats-server still has the memory that it had. A new life knows of the ids of the old one only
// those that are still stored (openapi.yaml, Idempotency-Key), so a retry could store again what was overwritten since.
func (w *worker) mayRetry(life int64) bool {
	time.Sleep(time.Duration(50+w.random.IntN(100)) * time.Millisecond)
	return w.lives.Load() == life
}

// repeat sends a write again that was answered a moment or a minute ago: the answer must be the first one's. A condition does not hold
// any more once the write was overwritten, nor has a deletion anything to delete once the key was deleted by another.
func (w *worker) repeat(ctx context.Context) {
	i := w.random.IntN(len(w.sent))
	s := w.sent[i]
	w.sent = slices.Delete(w.sent, i, i+1)
	if time.Since(s.at) > memory || w.lives.Load() != s.life {
		return
	}
	a, err := w.gateway().do(ctx, s.request)
	out, fate := w.outputOf(a, err, s.in, registerBucket)
	same := out.Outcome == done && out.Revision == s.out.Revision
	refused := out.Outcome != done && (s.in.Op != put || s.in.If.Kind != always)
	switch {
	case fate != answered || w.lives.Load() != s.life:
	case same || refused:
		w.history.without(s.in.Op.String(), "repeated")
	default:
		w.history.accuse("idempotency", fmt.Sprintf("%s %s: answered with revision %d, repeated after %v: %v", s.request.path,
			describe(s.in, s.out), s.out.Revision, time.Since(s.at).Round(time.Millisecond), a))
	}
}

// learn remembers what conditions can be made of.
func (w *worker) learn(r *register, in input, out output) {
	r.learn(in, out)
	for highest := w.highest.Load(); out.Revision > highest; highest = w.highest.Load() {
		if w.highest.CompareAndSwap(highest, out.Revision) {
			return
		}
	}
}
