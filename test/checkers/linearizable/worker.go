package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// registerBucket is the bucket of the registers. It has a mirror, whose direct gets mix with those
// of the bucket's own JetStream stream.
const registerBucket = "registers"

// A setting is what all clients share.
type setting struct {
	history   *history
	gateways  []*gatewayClient
	registers *registers
	banks     *registers
	ids       atomic.Int64      // The last id that was given to a write.
	lives     atomic.Int64      // Of nats-server; it grows before one ends.
	highest   atomic.Uint64     // The highest revision of an answer in the registers' bucket.
	epochs    map[string]string // By bucket.
}

// A worker is an HTTP client that sends each request to either gateway.
type worker struct {
	*setting
	id     int
	random *rand.Rand
	sent   []sent // Writes that may be sent again.
}

// A sent write has an Idempotency-Key, was done and was answered.
type sent struct {
	request request
	in      input
	out     output
	at      time.Time
	life    int64 // The life of nats-server in which it was sent.
}

// memory is how long after its answer a write is sent again. It is shorter than a bucket's
// duplicate window.
const memory = 90 * time.Second

// pace is the longest time between two operations of a client.
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
			if n > 80 { // At once, while a mirror may still lag.
				w.read(ctx, r, w.gateway())
			}
		}
		time.Sleep(rand.N(pace))
	}
}

func (w *worker) gateway() *gatewayClient { return w.gateways[w.random.IntN(len(w.gateways))] }

// choose makes up a write and its condition.
func (w *worker) choose(r *register) input {
	in := input{ID: int(w.ids.Add(1)), Op: w.weighted(
		map[op]int{put: 45, remove: 9, purge: 5, merge: 20, increment: 21})}
	switch in.Op {
	case put:
		in.N = w.random.IntN(3)
		kinds := []conditionKind{always, always, ifRevision, ifRevision, ifRevision, ifAbsent,
			ifAbsent, ifPresent, ifOther, ifOneOf}
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

// weighted picks one of the operations. It tries them in their order, so that a seed repeats it.
func (w *worker) weighted(weights map[op]int) op {
	n := w.random.IntN(100)
	for o := range opCount {
		if n -= weights[o]; n < 0 && weights[o] > 0 {
			return o
		}
	}
	return put
}

// write carries a write out and records it. With an Idempotency-Key the request is sent until there
// is an answer, and all of that is one operation.
func (w *worker) write(ctx context.Context, r *register, in input) {
	req := w.writeRequest(registerBucket, r.name, in)
	tries := w.retryOrCut(&req, in.ID, 3000)
	call, doubt, life := w.history.now(), false, w.lives.Load()
	for try := range tries {
		if try > 0 && !w.mayRetry(life) {
			break
		}
		a, err := w.gateway().do(ctx, req)
		out, fate := w.outputOf(a, err, in, registerBucket)
		doubt = doubt || fate == open || a != nil && a.again
		// If a first attempt may have been carried out and overwritten since, the refusal of a
		// retry says nothing about it.
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

// retryOrCut gives a third of the writes an Idempotency-Key made of their id, with which they may
// be sent again. For a few others the client ends the connection after at most about so many
// microseconds. It returns how often the request may be sent.
func (w *worker) retryOrCut(req *request, id, microseconds int) (tries int) {
	if w.random.IntN(3) == 0 {
		req.header["Idempotency-Key"] = fmt.Sprintf(`"lin-%d"`, id)
		return 20
	}
	if w.random.IntN(25) == 0 {
		req.cutAfter = time.Duration(100+w.random.IntN(microseconds)) * time.Microsecond
	}
	return 1
}

// mayRetry waits a little, and reports whether nats-server still knows every id that it knew. After
// a restart it knows only those that are still stored (openapi.yaml, Idempotency-Key), so a retry
// could store again what was overwritten since.
func (w *worker) mayRetry(life int64) bool {
	time.Sleep(time.Duration(50+w.random.IntN(100)) * time.Millisecond)
	return w.lives.Load() == life
}

// repeat sends a write again that was answered a moment or a minute ago. It must be answered as
// before, except that a condition no longer holds if another write came since, and that a delete or
// patch finds nothing if the key was deleted since.
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
		w.history.accuse("idempotency", fmt.Sprintf(
			"%s %s: answered with revision %d, repeated after %v: %v", s.request.path,
			describe(s.in, s.out), s.out.Revision,
			time.Since(s.at).Round(time.Millisecond), a))
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
