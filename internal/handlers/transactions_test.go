package handlers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// ledger creates the bucket "ledger", which allows transactions, with a history of 10 unless the
// configuration is changed.
func (g *gateway) ledger(t testing.TB,
	config ...func(*jetstream.KeyValueConfig)) jetstream.KeyValue {
	t.Helper()
	c := jetstream.KeyValueConfig{Bucket: "ledger", History: 10}
	for _, change := range config {
		change(&c)
	}
	kv := g.bucket(t, c)
	g.do(t, "PATCH", "/buckets/ledger", `{"allow_atomic":true}`, jsonType).is(t, 200)
	return kv
}

// transact sends operations to the ledger. They are given as JSON without the brackets.
func (g *gateway) transact(t testing.TB, operations string, header ...string) *answer {
	t.Helper()
	return g.do(t, "POST", "/buckets/ledger/transactions", `{"operations":[`+operations+`]}`,
		append(header, jsonType)...)
}

// A transacted is the answer to a transaction that was carried out.
type transacted struct {
	ID       string
	Revision uint64
	Epoch    string
	Results  []struct {
		Key      string
		Revision uint64
	}
}

// transacted reads the answer to a transaction that must have been carried out.
func (a *answer) transacted(t testing.TB) (done transacted) {
	t.Helper()
	a.is(t, 200).decode(t, &done)
	return done
}

// revisionsOf returns the revisions of the operations, in their order.
func revisionsOf(done transacted) (revisions []uint64) {
	for _, result := range done.Results {
		revisions = append(revisions, result.Revision)
	}
	return revisions
}

// wantFailed checks that a transaction failed for these operations, each given as "index key
// revision".
func (a *answer) wantFailed(t testing.TB, want ...string) {
	t.Helper()
	a.problem(t, 412, "transaction-failed")
	var p struct {
		Failed []struct {
			Index           int
			Key             string
			CurrentRevision uint64 `json:"current_revision"`
		}
		Retry bool
	}
	a.decode(t, &p)
	got := []string{}
	for _, f := range p.Failed {
		got = append(got, fmt.Sprint(f.Index, " ", f.Key, " ", f.CurrentRevision))
	}
	diff := cmp.Diff(append([]string{}, want...), got)
	if diff != "" || p.Retry != (len(want) == 0) {
		t.Errorf("%s: retry %v, failed operations:\n%s", a.request, p.Retry, diff)
	}
}

func TestTransactionWritesAll(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	old := put(t, kv, "old", "v")
	seen := put(t, kv, "seen", "v")
	put(t, kv, "gone", "v")
	done := g.transact(t, fmt.Sprintf(`{"op":"put","key":"a","value":{"b":1.50},"if_absent":true},
		{"op":"check","key":"seen","if_revision":%d},
		{"op":"put","key":"b/c","text":"hé","content_type":"text/plain"},
		{"op":"put","key":"d","base64":"AP8="},
		{"op":"delete","key":"old","if_revision":%d},
		{"op":"purge","key":"gone"},
		{"op":"put","key":"untyped","value":[1],"content_type":""}`, seen, old)).transacted(t)
	diff := cmp.Diff([]uint64{4, 2, 5, 6, 7, 8, 9}, revisionsOf(done))
	if diff != "" || done.Revision != 9 || done.ID == "" {
		t.Errorf("%+v\n%s", done, diff)
	}
	wantNative(t, kv, "a", `{"b":1.50}`)
	wantNative(t, kv, "b/c", "hé")
	wantNative(t, kv, "d", "\x00\xff")
	g.get(t, "/buckets/ledger/keys/a").is(t, 200).has(t, "Content-Type", "application/json").
		has(t, "ETag", `"4-`+done.Epoch+`"`)
	g.get(t, "/buckets/ledger/keys/b%2Fc").is(t, 200).has(t, "Content-Type", "text/plain")
	g.get(t, "/buckets/ledger/keys/untyped").is(t, 200).
		has(t, "Content-Type", "application/octet-stream")
	g.get(t, "/buckets/ledger/keys/old").problem(t, 404, "key-deleted")
	g.get(t, "/buckets/ledger/keys/gone").problem(t, 404, "key-deleted")
	left := [2]uint64{g.retained(t, "ledger", "old"), g.retained(t, "ledger", "gone")}
	if left != [2]uint64{2, 1} {
		t.Errorf("%v messages of the deleted and the purged key, want 2 and 1", left)
	}
}

// Entries name the transaction that stored them, also in their history.
func TestTransactionIsNamedInItsEntries(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	put(t, kv, "x", "v")
	put(t, kv, "y", "v")
	done := g.transact(t,
		`{"op":"put","key":"a","value":1},{"op":"check","key":"y","if_revision":2},`+
			`{"op":"put","key":"b","value":2},{"op":"delete","key":"x"}`).
		transacted(t)
	put(t, kv, "alone", "v")
	want := map[string]string{
		"a": fmt.Sprintf(`{"id":"%s","index":0,"last":false}`, done.ID),
		"b": fmt.Sprintf(`{"id":"%s","index":1,"last":false}`, done.ID),
		"x": fmt.Sprintf(`{"id":"%s","index":2,"last":true}`, done.ID),
	}
	for _, key := range []string{"a", "b"} {
		got := transactionOf(t, g.get(t, "/buckets/ledger/entries/"+key).is(t, 200).body)
		if got != want[key] {
			t.Errorf("entry %s: %s", key, got)
		}
	}
	var history struct{ Entries []json.RawMessage }
	g.get(t, "/buckets/ledger/history/x").is(t, 200).decode(t, &history)
	if got := []string{
		transactionOf(t, history.Entries[0]), transactionOf(t, history.Entries[1]),
	}; got[0] != "" || got[1] != want["x"] {
		t.Errorf("history: %q", got)
	}
	alone := g.get(t, "/buckets/ledger/entries/alone").is(t, 200)
	if got := transactionOf(t, alone.body); got != "" {
		t.Errorf("an entry that was written alone names a transaction: %s", got)
	}
}

// transactionOf returns what an entry says of the transaction that stored it; "" for nothing.
func transactionOf(t testing.TB, entry []byte) string {
	t.Helper()
	var e struct{ Transaction json.RawMessage }
	if err := json.Unmarshal(entry, &e); err != nil {
		t.Fatal(err)
	}
	return string(e.Transaction)
}

func TestTransactionConditionsAreAllChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	a, b := put(t, kv, "a", "v"), put(t, kv, "b", "v")
	deleteKey(t, kv, "b")
	before := g.messages(t, "ledger")
	write := `{"op":"put","key":"w","value":1},`
	for operations, failed := range map[string][]string{
		`{"op":"put","key":"a","value":1,"if_revision":9}`: {
			"0 a 1",
		},
		`{"op":"put","key":"a","value":1,"if_revision":0}`: {
			"0 a 1",
		},
		`{"op":"put","key":"a","value":1,"if_absent":true}`: {
			"0 a 1",
		},
		`{"op":"put","key":"never","value":1,"if_revision":1}`: {
			"0 never 0",
		},
		`{"op":"put","key":"b","value":1,"if_revision":0}`: {
			"0 b 3",
		},
		write +
			`{"op":"check","key":"a","if_revision":2}`: {"1 a 1"},
		write +
			`{"op":"check","key":"a","if_absent":true}`: {"1 a 1"},
		write + `{"op":"delete","key":"a","if_revision":7},` +
			`{"op":"purge","key":"b","if_revision":2}`: {"1 a 1", "2 b 3"},
		`{"op":"put","key":"c","value":1,"if_absent":true},` + write +
			`{"op":"put","key":"a","value":1,"if_revision":5}`: {"2 a 1"},
	} {
		g.transact(t, operations).wantFailed(t, failed...)
	}
	g.wantUnchanged(t, "ledger", before)
	for _, operations := range []string{
		fmt.Sprintf(`{"op":"put","key":"a","value":1,"if_revision":%d}`, a),
		// This is the revision of the marker.
		fmt.Sprintf(`{"op":"put","key":"b","value":1,"if_revision":%d}`, b+1),
		`{"op":"put","key":"c","value":1,"if_revision":0}`,
		`{"op":"put","key":"d","value":1,"if_absent":true}`,
		`{"op":"put","key":"w","value":1},{"op":"check","key":"never","if_absent":true}`,
		`{"op":"put","key":"w","value":1},{"op":"check","key":"never","if_revision":0}`,
		`{"op":"delete","key":"a"}`,
		// These need no value to be there.
		`{"op":"delete","key":"a"},{"op":"purge","key":"never-was"}`,
		`{"op":"put","key":"w","value":1},{"op":"check","key":"a","if_absent":true}`,
		// This is stored over the marker.
		`{"op":"put","key":"a","value":1,"if_absent":true}`,
		`{"op":"put","key":"never-was","value":1,"if_absent":true},` +
			`{"op":"put","key":"w","value":1}`,
	} {
		g.transact(t, operations).is(t, 200)
	}
}

// A transaction takes one request to NATS for each message, two to look up the bucket and the
// account, and reads only for keys that must be absent.
func TestTransactionsReadOnlyWhatTheyMust(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	put(t, kv, "a1", "v")
	put(t, kv, "a2", "v")
	// After this request the gateway knows the bucket. It looks once more when it hears of its
	// creation, which may come later. So the least of two counts.
	g.get(t, "/buckets/ledger/keys/a1").is(t, 200)
	for operations, want := range map[string]int{
		`{"op":"put","key":"b%[1]d","value":1,"if_revision":0},{"op":"delete","key":"a%[1]d"}`: 4,
		// A miss is repeated through the leader.
		`{"op":"put","key":"c%d","value":1,"if_absent":true}`: 5,
	} {
		requests := func(i int) int {
			return g.wire.requests(func() {
				g.transact(t, fmt.Sprintf(operations, i)).is(t, 200)
			})
		}
		if got := min(requests(1), requests(2)); got != want {
			t.Errorf("%s: %d requests, want %d", operations, got, want)
		}
	}
}

func TestTransactionsNotEnabledNamesThePatch(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.ledger(t)
	operations := `{"op":"put","key":"a","value":1},{"op":"put","key":"b","value":1}`
	g.transact(t, operations).is(t, 200)
	// A native client that does not know allow_atomic updates the bucket.
	if _, err := g.js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{
		Bucket: "ledger", History: 9,
	}); err != nil {
		t.Fatal(err)
	}
	a := g.transact(t, operations)
	detail, _ := a.problem(t, 409, "transactions-not-enabled")["detail"].(string)
	if !strings.Contains(detail, `{"allow_atomic":true}`) {
		t.Errorf("the detail does not say how to fix it: %s", detail)
	}
	g.do(t, "PATCH", "/buckets/ledger", `{"allow_atomic":true}`, jsonType).is(t, 200)
	g.transact(t, operations).is(t, 200)
	info, err := g.stream(t, "ledger").Info(t.Context())
	if err != nil || info.Config.MaxMsgsPerSubject != 9 {
		t.Errorf("the native change is gone: %v %v", info, err)
	}
}
