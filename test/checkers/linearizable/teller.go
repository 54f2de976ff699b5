package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// bankBucket is where the banks are.
const bankBucket = "banks"

// A teller moves money between the two accounts of a bank, each time in one transaction, and reads
// both at once.
type teller struct{ *worker }

func (t *teller) run(ctx context.Context) {
	for ctx.Err() == nil {
		bank := t.banks.pick(t.random).name
		seen, ok := t.look(ctx, bank)
		switch {
		case !ok, t.random.IntN(3) == 0:
		case t.random.IntN(8) == 0:
			t.moveFence(ctx, bank)
		default:
			t.transact(ctx, bank, t.choose(seen))
		}
		time.Sleep(rand.N(2 * pace))
	}
}

func keyOf(bank string, key int) string { return bank + "." + keyNames[key] }

// look reads a bank with one multi-get.
func (t *teller) look(ctx context.Context, bank string) (seen []sight, ok bool) {
	query := url.Values{"values": {"json"}}
	for k := range bankKeys {
		query.Add("key", keyOf(bank, k))
	}
	call := t.history.now()
	path := "/buckets/" + bankBucket + "/entries?" + query.Encode()
	a, err := t.gateway().do(ctx, request{method: http.MethodGet, path: path})
	if f := fateOf(a, err); f != answered {
		if f == wrong {
			t.history.accuse("answer", fmt.Sprintf("multi-get: %v", a))
		}
		t.history.without("bank read", "no answer")
		return nil, false
	}
	seen, err = t.parseSights(a, bank)
	if err != nil {
		t.history.accuse("answer", fmt.Sprintf("multi-get: %v: %v", a, err))
		return nil, false
	}
	t.history.add(bankBucket+"/"+bank, t.id, bankInput{}, call, bankOutput{Sights: seen})
	return seen, true
}

func (t *teller) parseSights(a *answer, bank string) ([]sight, error) {
	var body struct {
		Snapshot bool
		Entries  []struct {
			Key, Epoch, Operation string
			Revision              uint64
			Value                 json.RawMessage
		}
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return nil, err
	}
	if said := a.header.Get("KV-Consistency"); !body.Snapshot || said != "leader" {
		return nil, fmt.Errorf("three keys of one stream are one instant, but this is %q", said)
	}
	seen := make([]sight, bankKeys)
	for k := range seen {
		seen[k] = sight{Key: k, NoRevision: true}
	}
	for _, e := range body.Entries {
		k := slices.IndexFunc(keyNames[:], func(name string) bool {
			return e.Key == bank+"."+name
		})
		if k < 0 || e.Operation != "put" || e.Epoch != t.epochs[bankBucket] {
			return nil, fmt.Errorf("entry %s of epoch %s", e.Key, e.Epoch)
		}
		d, err := readDoc(e.Value)
		if err != nil {
			return nil, err
		}
		seen[k] = sight{Key: k, Kind: value, Revision: e.Revision, Doc: d}
	}
	return seen, nil
}

// choose makes up a transaction for what was seen: open both accounts, close both, or move some
// money, as long as the fence stays where it is. The check of the fence shares a transaction with a
// write that has no condition of its own, the journal.
func (t *teller) choose(seen []sight) bankInput {
	in := bankInput{ID: int(t.ids.Add(1))}
	a, b := seen[first], seen[second]
	switch {
	case a.Kind != value || b.Kind != value:
		start := t.random.IntN(capital + 1)
		absent := condition{Kind: ifAbsent}
		in.Parts = []part{{first, put, absent, start}, {second, put, absent, capital - start}}
	case t.random.IntN(12) == 0:
		in.Parts = []part{{first, remove, revisionIs(a.Revision), 0},
			{second, remove, revisionIs(b.Revision), 0}}
	default:
		amount := t.random.IntN(capital) - a.Doc.N
		in.Parts = []part{{first, put, revisionIs(a.Revision), a.Doc.N + amount},
			{second, put, revisionIs(b.Revision), b.Doc.N - amount}}
		if seen[fence].Kind == value {
			in.Parts = append(in.Parts, part{fence, check, revisionIs(seen[fence].Revision), 0})
		}
	}
	return in
}

// transact sends a transaction and records it with what the answer shows.
func (t *teller) transact(ctx context.Context, bank string, in bankInput) {
	req := request{method: http.MethodPost, path: "/buckets/" + bankBucket + "/transactions",
		body: t.body(bank, in), header: map[string]string{"Content-Type": "application/json"}}
	tries := t.retryOrCut(&req, in.ID, 9000)
	call, doubt, life, key := t.history.now(), false, t.lives.Load(), bankBucket+"/"+bank
	for try := range tries {
		if try > 0 && !t.mayRetry(life) {
			break
		}
		a, err := t.gateway().do(ctx, req)
		f := fateOf(a, err)
		var out bankOutput
		if f == answered {
			out, err = parseTransacted(a, in, bank)
		}
		if f == wrong || f == answered && err != nil {
			t.history.accuse("answer", fmt.Sprintf("transaction: %v: %v", a, err))
			f = open
		}
		doubt = doubt || f == open || a != nil && a.again
		if f != answered || doubt && out.Outcome != done {
			continue
		}
		t.history.add(key, t.id, in, call, out)
		// The gateway read what is in the way afterwards, one key after the other.
		for _, s := range out.Sights {
			t.history.add(key, t.id, bankInput{}, call, bankOutput{Sights: []sight{s}})
		}
		return
	}
	if doubt {
		t.history.add(key, t.id, in, call, bankOutput{Outcome: unknown})
		return
	}
	t.history.without("transaction", "not done")
}

// body returns the transaction as JSON, together with a journal that is written unconditionally.
func (t *teller) body(bank string, in bankInput) []byte {
	var operations []map[string]any
	for _, p := range in.Parts {
		o := map[string]any{"op": p.Op.wire(), "key": keyOf(bank, p.Key)}
		if p.Op == put {
			o["value"] = doc{By: in.ID, Put: in.ID, N: p.N}
		}
		switch p.If.Kind {
		case ifAbsent:
			o["if_absent"] = true
		case ifRevision:
			o["if_revision"] = p.If.Revisions[0]
		}
		operations = append(operations, o)
	}
	operations = append(operations,
		map[string]any{"op": "put", "key": bank + ".journal", "value": in.ID})
	text, err := json.Marshal(map[string]any{"operations": operations})
	if err != nil {
		panic(err) // Strings and numbers can be encoded.
	}
	return text
}

// wire returns what an operation is called in a transaction.
func (o op) wire() string {
	return map[op]string{put: "put", remove: "delete", purge: "purge", check: "check"}[o]
}

// parseTransacted reads the outcome of a transaction: it was done, now or before, or something was
// in the way.
func parseTransacted(a *answer, in bankInput, bank string) (out bankOutput, err error) {
	var body struct {
		Results []struct {
			Key      string
			Revision uint64
		}
		Failed []struct {
			Index           int
			Key             string
			CurrentRevision uint64 `json:"current_revision"`
		}
		Retry bool
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return out, err
	}
	out.Revisions = make([]uint64, len(in.Parts))
	switch {
	case a.status == http.StatusOK && len(body.Results) != len(in.Parts)+1:
		return out, fmt.Errorf("%d results", len(body.Results))
	case a.status == http.StatusOK, a.code == "already-applied":
		for i := range min(len(body.Results), len(in.Parts)) {
			out.Revisions[i] = body.Results[i].Revision
			if body.Results[i].Key != keyOf(bank, in.Parts[i].Key) {
				return out, fmt.Errorf("result %d is for %s", i, body.Results[i].Key)
			}
		}
		return out, nil
	case a.status == http.StatusPreconditionFailed:
		out.Outcome = mismatch
		for _, f := range body.Failed {
			if f.Index < 0 || f.Index >= len(in.Parts) ||
				f.Key != keyOf(bank, in.Parts[f.Index].Key) {
				return out, fmt.Errorf("operation %d failed for %s", f.Index, f.Key)
			}
			out.Sights = append(out.Sights,
				sight{Key: in.Parts[f.Index].Key, Revision: f.CurrentRevision, NoValue: true})
		}
		if len(body.Failed) == 0 && !body.Retry {
			err = fmt.Errorf("neither failed nor retry")
		}
		return out, err
	}
	return out, fmt.Errorf("not an answer to a transaction")
}

// moveFence makes the transfers fail that other tellers have begun.
func (t *teller) moveFence(ctx context.Context, bank string) {
	in := bankInput{ID: int(t.ids.Add(1)), Parts: []part{{Key: fence, Op: put}}}
	req := request{method: http.MethodPut,
		path:   "/buckets/" + bankBucket + "/keys/" + keyOf(bank, fence),
		body:   doc{By: in.ID, Put: in.ID}.json(),
		header: map[string]string{"Content-Type": "application/json"}}
	call := t.history.now()
	a, err := t.gateway().do(ctx, req)
	out, f := t.outputOf(a, err, input{Op: put}, bankBucket)
	switch f {
	case answered:
		stored := bankOutput{Revisions: []uint64{out.Revision}}
		t.history.add(bankBucket+"/"+bank, t.id, in, call, stored)
	case open:
		t.history.add(bankBucket+"/"+bank, t.id, in, call, bankOutput{Outcome: unknown})
	default:
		t.history.without("bank PUT", "not done")
	}
}
