package copies_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
)

var update = flag.Bool("update", false, "write api/digest-vectors.json")

// digestOf returns the digest of the last entries of keys, as the contract defines it.
func digestOf(entries []kv.Entry) string {
	keys, sum := 0, new(big.Int)
	for _, e := range entries {
		if e.Operation != kv.Put || !e.Expires.IsZero() {
			continue
		}
		keys++
		h := fnv.New64a()
		fmt.Fprintf(h, "%s\n%d", e.Key, e.Revision)
		sum.Add(sum, new(big.Int).SetUint64(h.Sum64()))
	}
	sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 64))
	return fmt.Sprintf("%d-%016x", keys, sum)
}

// A vector is a test vector of digests, for clients in all languages.
type vector struct {
	// Entries are the entries of a state.
	Entries []vectorEntry `json:"entries"`
	// Digest is that of the state.
	Digest string `json:"digest"`
}

// A vectorEntry is an entry of a state, with what its digest depends on.
type vectorEntry struct {
	Key      string      `json:"key"`
	Revision kv.Revision `json:"revision"`
	Expires  *time.Time  `json:"expires,omitempty"`
}

// vectors returns the test vectors.
func vectors(t *testing.T) (all []vector) {
	expires := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	many := make([]vectorEntry, 300)
	for i := range many {
		many[i] = vectorEntry{Key: fmt.Sprintf("k.%d", i), Revision: kv.Revision(i*i + 1)}
	}
	states := [][]vectorEntry{
		{},
		{{Key: "a", Revision: 1}},
		{{Key: "a", Revision: 1}, {Key: "b", Revision: 2}},
		{{Key: "b", Revision: 2}, {Key: "a", Revision: 1}},
		{{Key: "orders.17", Revision: 1731}, {Key: "Stock/a-b_c=.x", Revision: kv.MaxRevision}},
		{{Key: "a", Revision: 1}, {Key: "b", Revision: 2, Expires: &expires}},
		{{Key: strings.Repeat("long.", 200) + "x", Revision: 9007199254740990}},
		many,
	}
	for _, entries := range states {
		c := copies.New(copies.Options{}, position(kv.MaxRevision))
		for _, e := range entries {
			entry := kv.Entry{Key: e.Key, Position: position(e.Revision)}
			if e.Expires != nil {
				entry.Expires = *e.Expires
			}
			c.Load(entry)
		}
		if !c.Complete() {
			t.Fatal("the copy is not complete")
		}
		sum, _ := c.NewDigest(nil, []string{">"}, time.Time{}).At(kv.MaxRevision)
		all = append(all, vector{entries, sum.String()})
	}
	return all
}

// The digests of the test vectors are those of this implementation, and of another one. Clients
// test theirs with the same file.
func TestDigestsAreThoseOfTheVectors(t *testing.T) {
	t.Parallel()
	const file = "../../../api/digest-vectors.json"
	made, err := json.MarshalIndent(vectors(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	made = append(made, '\n')
	if *update {
		if err := os.WriteFile(file, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != string(made) {
		t.Errorf("%s is not what is made of it: run the test with -update", file)
	}
	var all []vector
	if err := json.Unmarshal(kept, &all); err != nil {
		t.Fatal(err)
	}
	for i, v := range all {
		var entries []kv.Entry
		for _, e := range v.Entries {
			entry := kv.Entry{Key: e.Key, Position: position(e.Revision)}
			if e.Expires != nil {
				entry.Expires = *e.Expires
			}
			entries = append(entries, entry)
		}
		if want := digestOf(entries); v.Digest != want {
			t.Errorf("vector %d is %s, want %s", i, v.Digest, want)
		}
	}
}

// A digest that begins while the copy changes counts what there was and what came since, each
// once.
func TestDigestBeginsWhileTheCopyChanges(t *testing.T) {
	t.Parallel()
	const keys, last = 500, 20_000
	c := complete(t, copies.Options{})
	state := make(map[string]kv.Entry)
	var writing sync.WaitGroup
	writing.Go(func() {
		for r := kv.Revision(11); r <= last; r++ {
			e := put(fmt.Sprint("a.", uint64(r*r)%keys), r)
			if r%7 == 0 {
				e.Operation = kv.Delete
			}
			state[e.Key] = e
			c.Apply(e, true)
		}
	})
	filter, err := kv.ParseFilter("a.>")
	if err != nil {
		t.Fatal(err)
	}
	var digests []*copies.Digest
	for range 50 {
		d := c.NewDigest(kv.Filters{filter}, []string{"a.>"}, time.Time{})
		digests = append(digests, d)
	}
	writing.Wait()
	entries := make([]kv.Entry, 0, keys)
	for _, e := range state {
		entries = append(entries, e)
	}
	want := digestOf(entries)
	for i, d := range digests {
		if got, ok := d.At(last); !ok || got.String() != want {
			t.Errorf("digest %d is %s (%v), want %s", i, got, ok, want)
		}
	}
}

// A digest remembers what it was up to some changes ago, and says nothing of what was before.
func TestDigestRemembersItsLastChanges(t *testing.T) {
	t.Parallel()
	c := complete(t, copies.Options{}, put("a", 1))
	d := c.NewDigest(nil, []string{">"}, time.Time{})
	if _, ok := d.At(9); ok {
		t.Error("a digest is known from before it began")
	}
	for r := kv.Revision(11); r <= 1000; r++ {
		c.Apply(put("b", r), true)
	}
	if _, ok := d.At(800); ok {
		t.Error("a digest is known of 200 changes ago")
	}
	for r := kv.Revision(950); r <= 1000; r++ {
		want := digestOf([]kv.Entry{put("a", 1), put("b", r)})
		if got, ok := d.At(r); !ok || got.String() != want {
			t.Errorf("at %d the digest is %s (%v), want %s", r, got, ok, want)
		}
	}
	if _, ok := d.At(1001); ok {
		t.Error("a digest is known of what has not come")
	}
}
