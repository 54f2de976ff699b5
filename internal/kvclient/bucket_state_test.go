package kvclient_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// Without a leader every replica answers with what it knows, which may be out of date. So the
// gateway believes none of them.
func TestClusterStateIsUnavailableWithoutALeader(t *testing.T) {
	nodes, c, b, _ := cluster(t)
	put(t, b, "a", "1")
	if _, _, err := c.State(t.Context(), b.Name()); err != nil {
		t.Fatal(err)
	}
	asker := c.AskState(b.Name())
	if s, err := asker.Ask(t.Context()); err != nil || s.Last != 1 {
		t.Fatalf("state %+v, %v", s, err)
	}
	nodes.StopNode(1)
	nodes.StopNode(2)
	// A leader that is left alone takes some 20 s to notice.
	natstest.Eventually(t, time.Minute, "State says that there is no leader", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, s, err := c.State(ctx, b.Name())
		return s.Last == 0 && errors.Is(err, kv.ErrUnavailable) &&
			strings.Contains(err.Error(), "leader")
	})
	s, err := asker.Ask(t.Context())
	if s.Last != 0 || !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("an asker says %+v, %v", s, err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	before := time.Now().Add(-time.Second)
	b := shop(t, c, history(2))
	put(t, b, "a", "1")
	put(t, b, "a", "2")
	put(t, b, "a", "3")
	put(t, b, "b", "1")
	remove(t, b, "b", true)
	status, err := c.Status(t.Context(), b.Name())
	if err != nil {
		t.Fatal(err)
	}
	nativeStatus, err := native(t, s.JetStream(t), "shop").Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Values != nativeStatus.Values() || status.Values != 3 || status.Subjects != 2 ||
		status.FirstRevision != 2 || status.LastRevision != 5 {
		t.Errorf("status %+v, native values %d", status, nativeStatus.Values())
	}
	if status.Bytes != nativeStatus.Bytes() || status.Epoch != b.Epoch() ||
		status.Created.Before(before) || status.Leader != "" || len(status.Peers) != 0 {
		t.Errorf("status %+v", status)
	}
	_, err = c.Status(t.Context(), bucketName(t, "missing"))
	wantError(t, err, kv.ErrBucketNotFound)
}
