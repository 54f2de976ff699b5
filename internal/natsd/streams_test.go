package natsd_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/natsd"
)

// createBucket creates a bucket with the number in its name.
func createBucket(t *testing.T, js jetstream.JetStream, number int) error {
	t.Helper()
	name := fmt.Sprintf("b%d", number)
	_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: name})
	return err
}

// streamsBound returns a bound of so many streams.
func streamsBound(limit int64) *bound.Bound {
	return bound.NewSet().New(bound.Spec{Name: "store-streams", Of: "streams", Unit: bound.Places,
		Limit: limit, AtLimit: "they are refused"})
}

// A server creates no more streams than it may have, whoever asks for them, and counts them.
// Deleting one makes room for another, and one that is there can be created again.
func TestStreamsAreBounded(t *testing.T) {
	opts := natsd.Options{DataDir: t.TempDir(), Streams: streamsBound(3), Listen: "127.0.0.1:0"}
	s := start(t, opts)
	nc, err := nats.Connect(s.ClientURL())
	js := over(t, nc, err)
	for i := range 3 {
		if err := createBucket(t, js, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := createBucket(t, js, 3); err == nil || !s.TooManyStreams() {
		t.Errorf("a fourth bucket: %v, too many: %v", err, s.TooManyStreams())
	}
	if err := createBucket(t, js, 2); err != nil {
		t.Errorf("a bucket that is there: %v", err)
	}
	eventually(t, "the streams are counted", func() bool { return opts.Streams.Used() == 3 })
	if err := js.DeleteKeyValue(t.Context(), "b0"); err != nil {
		t.Fatal(err)
	}
	if err := createBucket(t, js, 3); err != nil || natsd.CountStreams(opts.DataDir) != 3 {
		t.Errorf("after a deletion: %v, %d are stored", err, natsd.CountStreams(opts.DataDir))
	}
}

// Streams that are there when the server starts stay, however many it may have.
func TestStreamsBeyondTheBoundStay(t *testing.T) {
	opts := natsd.Options{DataDir: t.TempDir()}
	s := start(t, opts)
	js := connect(t, s)
	for i := range 5 {
		if err := createBucket(t, js, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	opts.Streams = streamsBound(3)
	s = start(t, opts)
	js = connect(t, s)
	for i := range 5 {
		kv, err := js.KeyValue(t.Context(), fmt.Sprintf("b%d", i))
		if err != nil {
			t.Fatal(err)
		}
		put(t, kv, "a", "1")
	}
	if err := createBucket(t, js, 5); err == nil || !s.TooManyStreams() {
		t.Errorf("a sixth bucket: %v", err)
	}
}

// A server has no more connections than it may have.
func TestClientsOfTheServerAreBounded(t *testing.T) {
	opts := natsd.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Clients: streamsBound(4)}
	s := start(t, opts)
	connected := 0
	for range 8 {
		nc, err := nats.Connect(s.ClientURL(), nats.NoReconnect())
		if err == nil {
			defer nc.Close()
			connected++
		}
	}
	if connected != 4 {
		t.Errorf("%d are connected, want 4", connected)
	}
	eventually(t, "they are counted", func() bool { return opts.Clients.Used() == 4 })
}
