package kvclient_test

import (
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
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
	lookWhileCatchingUp(t, nodes, b, js, 200, 200, look)
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
