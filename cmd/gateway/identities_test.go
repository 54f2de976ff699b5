package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// An embedded NATS has no users to pass through to, which the gateway says before it serves.
func TestPassingThroughNeedsANATSServer(t *testing.T) {
	t.Parallel()
	_, err := runCommand(t, "--auth-file", newFile(t, "nats: { enabled: true }\n"),
		"--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "--nats-url") || exitCode(err) != 2 {
		t.Errorf("the error is %v", err)
	}
	out, err := runCommand(t, "auth", "check", newFile(t, "nats: { enabled: true }\n"))
	if err != nil || !strings.Contains(out, "--nats-url") {
		t.Errorf("auth check says %q, %v", out, err)
	}
}

// A file that passes credentials through to an embedded NATS is not taken while the gateway runs
// either, and the log says why.
func TestPassingThroughIsNotTakenWithoutANATSServer(t *testing.T) {
	t.Parallel()
	name := newFile(t, "anonymous: [r]\nroles: { r: [{ bucket: a, can: [get] }] }\n")
	log := new(lockedBuffer)
	gate, err := (&config{AuthFile: name}).startAuth(t.Context(), bound.NewSet(),
		prometheus.NewRegistry(), zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	replace(t, name, "nats: { enabled: true }\n")
	eventually(t, "the mistake is logged", func() bool {
		return strings.Contains(log.String(), "section nats: ") &&
			strings.Contains(log.String(), "--nats-url")
	})
	if gate.NATS().Enabled {
		t.Error("the file is in force")
	}
}

// What the section nats says of connections is in force once the file is read again.
func TestSectionNATSIsTakenWhenItChanges(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	client, err := kvclient.Connect(kvclient.Options{URL: s.URL(), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	bounds := bound.NewSet()
	feeds := feed.NewHub(client, feed.Options{Bounds: bounds})
	t.Cleanup(feeds.Close)
	name := newFile(t, "nats: { enabled: false }\n")
	c := &config{AuthFile: name, NatsURL: s.URL()}
	gate, err := c.startAuth(t.Context(), bounds, prometheus.NewRegistry(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	pool, err := newIdentities(gate, client, feeds, bounds, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIdentities(pool) })
	replace(t, name, "nats: { enabled: true, max_connections: 7, idle: 90s }\n")
	eventually(t, "the limit is that of the file", func() bool {
		return bounds.Find("nats-identities").Limit() == 7
	})
	if got := gate.NATS(); !got.Enabled || got.Idle != 90*time.Second {
		t.Errorf("in force is %+v", got)
	}
}
