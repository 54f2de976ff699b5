package kvclient_test

import (
	"errors"
	"sync"
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A retriedWrite writes the key "k" with an idempotency key.
type retriedWrite func(
	t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency,
) (kvclient.Written, error)

// retriedWrites are writes that read nothing, that expect a revision, and that read first. The key
// "k" must be at revision 1.
var retriedWrites = map[string]retriedWrite{
	"put":    putAgain,
	"update": updateAgain,
	"patch":  patchAgain,
	"delete": deleteAgain,
}

func putAgain(
	t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency,
) (kvclient.Written, error) {
	return b.Put(t.Context(), kvclient.Write{
		Key: key(t, "k"), Value: []byte(`{"n":2}`), Idempotency: id,
	})
}

func updateAgain(
	t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency,
) (kvclient.Written, error) {
	return b.Put(t.Context(), kvclient.Write{
		Key: key(t, "k"), Value: []byte(`{"n":2}`), Precondition: ifRevision(1), Idempotency: id,
	})
}

func patchAgain(
	t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency,
) (kvclient.Written, error) {
	return b.Patch(t.Context(), kvclient.Patch{
		Key:         key(t, "k"),
		Format:      kvclient.MergePatch,
		Body:        []byte(`{"n":2}`),
		Idempotency: id,
	})
}

func deleteAgain(
	t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency,
) (kvclient.Written, error) {
	return b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k"), Idempotency: id})
}

// The connection is cut after the write was sent, before its acknowledgement arrives. The retry is
// answered as the write would have been, and stores nothing.
func TestRetryAfterACutStoresOnce(t *testing.T) {
	for name, write := range retriedWrites {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t, natstest.Options{})
			p := natstest.StartProxy(t, s.Addr())
			c := connect(t, kvclient.Options{URL: p.URL()})
			b := shop(t, c, history(5))
			put(t, b, "k", `{"n":1}`)
			native := native(t, s.JetStream(t), "shop")
			id := kvclient.Idempotency{Key: "id"}
			cut := p.CutAnswerTo("PUB $KV.shop.k ")
			_, err := write(t, b, id)
			wantError(t, err, kv.ErrOutcomeUnknown)
			<-cut
			awaitReady(t, c)
			written, err := write(t, bind(t, c, "shop"), id)
			if err != nil || written.Revision != 2 {
				t.Errorf("%+v, %v; want revision 2", written, err)
			}
			if h, err := native.History(t.Context(), "k"); err != nil || len(h) != 2 {
				t.Errorf("%d revisions, %v; want 2", len(h), err)
			}
		})
	}
}

// The same text from another caller is another idempotency key.
func TestIdempotencyBelongsToACaller(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(5))
	put(t, b, "k", `{"n":1}`)
	write := retriedWrites["put"]
	for i, caller := range []string{"", "alice", "bob", "alice"} {
		w, err := write(t, b, kvclient.Idempotency{Caller: caller, Key: "id"})
		if want := kv.Revision([]int{2, 3, 4, 3}[i]); err != nil || w.Revision != want {
			t.Errorf("%s: %+v, %v; want revision %d", caller, w, err, want)
		}
	}
	update(t, c, `{"allow_atomic":true}`)
	for i, caller := range []string{"", "alice", "bob", "alice"} {
		_, err := b.Transact(t.Context(), kvclient.Transaction{
			Steps:       []kvclient.Step{putStep(t, "k", "v")},
			Idempotency: kvclient.Idempotency{Caller: caller, Key: "id"},
		})
		_, applied := errors.AsType[*kv.AlreadyAppliedError](err)
		if applied != (i == 3) || err != nil && !applied {
			t.Errorf("transaction of %q: %v", caller, err)
		}
	}
}

// On a replicated stream a duplicate is found before it is stored, and the first write can still
// be under way then.
func TestClusterRetriesStoreOnce(t *testing.T) {
	_, c, b, js := cluster(t)
	for name, write := range retriedWrites {
		if name == "update" {
			continue // It needs revision 1.
		}
		put(t, b, "k", `{"n":1}`)
		id := kvclient.Idempotency{Key: name}
		var workers sync.WaitGroup
		revisions := make([]kv.Revision, 6)
		for i := range revisions {
			workers.Go(func() {
				w, err := write(t, b, id)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				revisions[i] = w.Revision
			})
		}
		workers.Wait()
		resign(t, js)
		natstest.Eventually(t, soon, "a retry with the next leader", func() bool {
			b, err := c.Bucket(t.Context(), b.Name())
			if err != nil {
				return false // The bucket has no leader for a moment.
			}
			w, err := write(t, b, id)
			if err != nil && !errors.Is(err, kv.ErrUnavailable) &&
				!errors.Is(err, kv.ErrOutcomeUnknown) {
				t.Errorf("%s: %v", name, err)
			}
			revisions = append(revisions, w.Revision)
			return err == nil
		})
		for _, rev := range revisions {
			if rev != revisions[0] && rev != 0 {
				t.Errorf("%s: revisions %v, want one", name, revisions)
				break
			}
		}
	}
}
