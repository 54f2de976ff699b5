package handlers_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// The numbers of the status are those of the gateway, and name nothing of what is stored.
func TestStatusCountsStreamsFeedsMemoryAndResets(t *testing.T) {
	t.Parallel()
	g := start(t, withCopies)
	bucket := g.shopNamed(t, "secretbucket")
	g.watch(t, "/buckets/secretbucket/watch?after=999999-0123456789").until("sync")
	put(t, bucket, "secretkey", "secretvalue")
	status := func() map[string]any { return g.get(t, "/status").is(t, 200).object(t) }
	number := func(part, name string) any { return status()[part].(map[string]any)[name] }
	for _, want := range []struct {
		part, name string
		least      float64
	}{
		{"streams", "open", 1}, {"streams", "limit", 20_000}, {"feeds", "buckets", 1},
		{"feeds", "changes", 1}, {"memory", "buckets", 1}, {"memory", "entries", 1},
		{"memory", "bytes", 1}, {"memory", "process_bytes", 1 << 20}, {"resets", "epoch", 1},
	} {
		eventually(t, want.part+" "+want.name, func() bool {
			now, err := number(want.part, want.name).(json.Number).Float64()
			return err == nil && now >= want.least
		})
	}
	if text := string(g.get(t, "/status").body); strings.Contains(text, "secret") {
		t.Errorf("the status is %s", text)
	}
	g.stopNATS(t)
	if up := number("nats", "reads"); up != false {
		t.Errorf("without NATS its connection reads is up: %v", up)
	}
}

func TestStatusNeedsTheRightToAdministerEveryBucket(t *testing.T) {
	t.Parallel()
	g := startOwners(t)
	g.get(t, "/status", as("op")).is(t, 200)
	for _, caller := range []string{"adm", "lea", "rea", "idle"} {
		refused := g.get(t, "/status", as(caller)).problem(t, 403, "forbidden")
		if refused["action"] != "admin" || refused["bucket"] != "*" {
			t.Errorf("the problem of %s is %v", caller, refused)
		}
	}
	g.get(t, "/status").problem(t, 401, "unauthenticated")
}

// What a credential may do in NATS says nothing of the gateway.
func TestStatusIsRefusedToCredentialsOfNATS(t *testing.T) {
	t.Parallel()
	g, _ := startPassing(t, tenants)
	g.get(t, "/access", basicAs("ann")).is(t, 200)
	g.get(t, "/status", basicAs("ann")).problem(t, 403, "forbidden")
}
