package kvclient_test

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/natstest"
)

// configured are the options of a server that is configured like this.
func configured(configure func(*server.Options)) natstest.Options {
	return natstest.Options{Configure: configure}
}

// nativeStream creates a stream with nats.go.
func nativeStream(
	t testing.TB, js jetstream.JetStream, config jetstream.StreamConfig,
) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatalf("native create of stream %s: %v", config.Name, err)
	}
	return stream
}

// native binds a bucket with nats.go.
func native(t testing.TB, js jetstream.JetStream, bucket string) jetstream.KeyValue {
	t.Helper()
	native, err := js.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatalf("native bind of bucket %s: %v", bucket, err)
	}
	return native
}

// wantNative checks that nats.go reads this value at this revision.
func wantNative(t testing.TB, native jetstream.KeyValue, k, want string, rev uint64) {
	t.Helper()
	e, err := native.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("native get %s: %v", k, err)
	}
	if string(e.Value()) != want || e.Revision() != rev {
		t.Errorf("native %s is %.40q at %d, want %.40q at %d",
			k, e.Value(), e.Revision(), want, rev)
	}
}
