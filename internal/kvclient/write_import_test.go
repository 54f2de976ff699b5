package kvclient_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

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
