package e2e

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// nativeBucket opens a bucket as any NATS client does.
func nativeBucket(t *testing.T, url, bucket string, options ...nats.Option) jetstream.KeyValue {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatalf("open bucket %s: %v", bucket, err)
	}
	return kv
}

func TestNativeClientSharesTheEmbeddedServer(t *testing.T) {
	g := start(t, "--data-dir="+t.TempDir(), "--embedded-listen=127.0.0.1:0")
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PUT", "/buckets/shop/keys/from/http", "written over HTTP")

	kv := nativeBucket(t, g.listen.NATSURL, "shop")
	entry, err := kv.Get(t.Context(), "from/http")
	if err != nil || string(entry.Value()) != "written over HTTP" {
		t.Fatalf("native get: %v, %v", entry, err)
	}
	if _, err := kv.PutString(t.Context(), "from.nats", "written natively"); err != nil {
		t.Fatal(err)
	}
	g.wantValue("/buckets/shop/keys/from.nats", "written natively")
}

func TestNATSListensOnlyIfAsked(t *testing.T) {
	if g := start(t, "--data-dir="+t.TempDir()); g.listen.NATSURL != "" {
		t.Errorf("NATS listens on %s", g.listen.NATSURL)
	}
}
