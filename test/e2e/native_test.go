package e2e

import (
	"net/http"
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
	t.Parallel()
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

func TestNativeClientSharesTheEmbeddedServerOverWebSocket(t *testing.T) {
	t.Parallel()
	const origin = "https://app.example.com"
	g := start(t, "--data-dir="+t.TempDir(), "--embedded-ws-listen=127.0.0.1:0",
		"--allow-origin="+origin)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PUT", "/buckets/shop/keys/a", "written over HTTP")

	page := func(origin string) nats.Option {
		return nats.WebSocketConnectionHeaders(http.Header{"Origin": {origin}})
	}
	kv := nativeBucket(t, g.listen.NATSWSURL, "shop", page(origin))
	entry, err := kv.Get(t.Context(), "a")
	if err != nil || string(entry.Value()) != "written over HTTP" {
		t.Fatalf("get over WebSocket: %v, %v", entry, err)
	}
	if _, err := kv.PutString(t.Context(), "b", "written over WebSocket"); err != nil {
		t.Fatal(err)
	}
	g.wantValue("/buckets/shop/keys/b", "written over WebSocket")

	nc, err := nats.Connect(g.listen.NATSWSURL, page("https://evil.example.com"))
	if err == nil {
		nc.Close()
		t.Error("a page of another origin may connect")
	}
}

func TestNATSListensOnlyIfAsked(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir())
	if g.listen.NATSURL != "" || g.listen.NATSWSURL != "" {
		t.Errorf("NATS listens on %s %s", g.listen.NATSURL, g.listen.NATSWSURL)
	}
}
