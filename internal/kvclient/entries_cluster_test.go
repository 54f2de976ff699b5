package kvclient_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// readMany reads a selection, and returns its page, and its entries by key.
func readMany(
	t testing.TB, b *kvclient.Bucket, s kvclient.Selection, options kvclient.ReadOptions,
) (*kvclient.EntryPage, map[string]kv.Entry) {
	t.Helper()
	found := make(map[string]kv.Entry)
	page, err := b.Entries(t.Context(), s, kvclient.PageOf{Limit: 10_000}, options)
	if err == nil {
		err = page.Each(t.Context(), func(e *kv.Entry) error {
			found[e.Key] = *e
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return page, found
}

// Whichever replica answers a read of many keys, the answer contains the writes that were
// acknowledged before, and no keys that do not exist.
func TestClusterEntriesSeeOwnWrites(t *testing.T) {
	nodes, c, b, js := cluster(t)
	snapshots, stale := 0, 0
	look := func(k string, rev kv.Revision) {
		t.Helper()
		selection := kvclient.Selection{Keys: []kv.Key{key(t, k), key(t, "none")}}
		page, found := readMany(t, b, selection, kvclient.ReadOptions{})
		if len(found) != 1 || found[k].Revision != rev || page.Revision < rev ||
			page.Served != kvclient.Leader {
			t.Fatalf("%s at revision %d: %+v as of %d by %v",
				k, rev, found, page.Revision, page.Served)
		}
		if page.Snapshot {
			snapshots++
		}
		missing := kvclient.Selection{Keys: []kv.Key{key(t, "none")}}
		if _, found := readMany(t, b, missing, kvclient.ReadOptions{}); len(found) != 0 {
			t.Fatalf("found %v", found)
		}
		if _, found := readMany(t, b, selection, anyReplica); found[k].Revision != rev {
			stale++
		}
	}
	for i := range 200 {
		k := "k" + strconv.Itoa(i%30)
		look(k, put(t, b, k, "v"))
	}
	away := (nodes.StreamLeader(js, "KV_shop") + 1) % 3
	nodes.StopNode(away)
	value := string(make([]byte, 100<<10))
	for i := range 200 {
		natstest.Eventually(t, soon, "a put with two nodes", func() bool {
			return write(t, b, "big"+strconv.Itoa(i), value) == nil
		})
	}
	nodes.StartNode(away)
	for i := range 100 {
		k := "k" + strconv.Itoa(i%30)
		var rev kv.Revision
		natstest.Eventually(t, soon, "a put", func() bool {
			w, err := b.Put(t.Context(), kvclient.Write{Key: key(t, k)})
			rev = w.Revision
			return err == nil
		})
		look(k, rev)
	}
	t.Logf("%d of 300 reads were of one instant; %d of any replica were stale", snapshots, stale)
	if snapshots < 200 {
		t.Errorf("%d of 300 reads were of one instant", snapshots)
	}
	seen := 0
	count := func(*kv.Entry) error { seen++; return nil }
	_, err := bind(t, c, "shop").Export(t.Context(), kvclient.Export{}, count)
	if err != nil || seen != 230 {
		t.Errorf("exported %d entries, %v; want 230", seen, err)
	}
}

// When the leader changes, the requests under way are lost and nobody is told. An import notices
// after one timeout, not after one for each entry, and the entries that it reports as stored are.
func TestClusterImportIsTrueThroughResignations(t *testing.T) {
	nodes, _, _, js := cluster(t)
	const rounds, patience = 4, time.Second
	c := connect(t, kvclient.Options{URL: nodes.URL(), RequestTimeout: patience})
	b := bind(t, c, "shop")
	stored := make(map[string]kv.Revision)
	for round := range rounds {
		var in *kvclient.Import
		natstest.Eventually(t, soon, "an import", func() (begun bool) {
			var err error
			in, err = b.Import(t.Context(), kvclient.ImportOptions{})
			return err == nil
		})
		halted := false
		for i := range 3000 {
			if i == 1000 {
				resign(t, js)
			}
			k := fmt.Sprintf("r%d.%d", round, i)
			entry := kvclient.ImportEntry{Write: kvclient.Write{Key: key(t, k), Value: []byte(k)}}
			err := in.Put(entry, func(done kvclient.Imported, err error) error {
				switch {
				case err == nil && halted:
				case err == nil:
					stored[k] = done.Revision
				case kvclient.EndsImport(err):
					halted = true
				case !errors.Is(err, kv.ErrOverloaded):
					t.Errorf("%s: %v", k, err)
				}
				return nil
			})
			if err != nil {
				break
			}
		}
		closing := time.Now()
		err := in.Close()
		if took := time.Since(closing); took > 3*patience {
			t.Errorf("closing took %s", took)
		}
		t.Logf("round %d: %v", round, err)
	}
	natstest.Eventually(t, soon, "a bucket", func() bool {
		_, err := c.Bucket(t.Context(), b.Name())
		return err == nil
	})
	found := make(map[string]kv.Revision)
	collect := func(e *kv.Entry) error { found[e.Key] = e.Revision; return nil }
	if _, err := bind(t, c, "shop").Export(t.Context(), kvclient.Export{}, collect); err != nil {
		t.Fatal(err)
	}
	for k, rev := range stored {
		if found[k] < rev {
			t.Fatalf("%s was stored at %d, and is at %d", k, rev, found[k])
		}
	}
	t.Logf("%d entries were stored in %d imports of 3000", len(stored), rounds)
	if len(stored) < rounds*400 {
		t.Errorf("%d entries were stored", len(stored))
	}
}
