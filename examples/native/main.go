// Command native reads a key with a native NATS client, from a bucket that the gateway serves over
// HTTP.
//
//	go run ./examples/native nats://127.0.0.1:4222 shop orders.18
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: native NATS-URL BUCKET KEY")
		os.Exit(2)
	}
	if err := read(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "native:", err)
		os.Exit(1)
	}
}

// read prints the last value of a key.
func read(url, bucket, key string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return err
	}
	entry, err := kv.Get(ctx, key)
	if err != nil {
		return err
	}
	fmt.Printf("%s (revision %d): %s\n", entry.Key(), entry.Revision(), entry.Value())
	return nil
}
