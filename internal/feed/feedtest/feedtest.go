// Package feedtest starts hubs of feeds for tests.
package feedtest

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// patience is how long it may take until the client is ready.
const patience = 30 * time.Second

// Start starts a hub whose client is connected with those options, and waits until the client is
// ready. Both log nothing, and are closed when the test ends.
func Start(t *testing.T, at kvclient.Options, o feed.Options) (*kvclient.Client, *feed.Hub) {
	t.Helper()
	at.Name, at.Logger, o.Logger = "test", zerolog.Nop(), zerolog.Nop()
	client, err := kvclient.Connect(at)
	if err != nil {
		t.Fatal(err)
	}
	hub := feed.NewHub(client, o)
	t.Cleanup(func() {
		hub.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		client.Close(ctx)
	})
	natstest.Eventually(t, patience, "the client is ready", func() bool {
		return client.Ready(t.Context()) == nil
	})
	return client, hub
}
