package natsd_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// childVariable is the environment variable that makes this test binary a server on the data
// directory that it names, for tests that kill the server.
const childVariable = "KVGW_TEST_NATSD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		serveUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// serveUntilKilled runs a server that writes its record all the time, and prints its address, or
// the reason why it does not start.
func serveUntilKilled(dir string) {
	s, err := natsd.Start(context.Background(), natsd.Options{DataDir: dir, SyncAlways: true,
		RecordEvery: 3 * time.Millisecond, Listen: "127.0.0.1:0", Logger: zerolog.New(os.Stderr)})
	if err != nil {
		fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
		os.Exit(1)
	}
	fmt.Println(s.ClientURL())
	select {}
}

// A kill at any moment is not taken for a loss. Every kind of change is under way while the record
// is written.
func TestKillIsNeverTakenForALoss(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 12 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childVariable+"="+dir)
		var log syncBuffer
		child.Stderr = &log
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if !strings.HasPrefix(line, "nats://") {
			t.Fatalf("round %d: no start after a kill: %s\n%s", round, line, &log)
		}
		if strings.Contains(log.String(), "lost data") {
			t.Errorf("round %d: %s", round, &log)
		}
		changeEverything(t, strings.TrimSpace(line), func() { _ = child.Process.Kill() })
		_ = child.Wait()
	}
}

// changeEverything writes, deletes, purges, and creates buckets again, until it calls kill after a
// random time.
func changeEverything(t *testing.T, url string, kill func()) {
	t.Helper()
	nc, err := nats.Connect(url, nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var changes sync.WaitGroup
	for _, change := range []func(js jetstream.JetStream, i int) error{
		func(js jetstream.JetStream, i int) error { return rewrite(ctx, js, "kept", i, 0) },
		func(js jetstream.JetStream, i int) error { return rewrite(ctx, js, "kept", i, 1) },
		func(js jetstream.JetStream, i int) error { return rewrite(ctx, js, "brief", i, 0) },
		func(js jetstream.JetStream, i int) error {
			if i%40 == 39 {
				return js.DeleteKeyValue(ctx, "brief")
			}
			return purge(ctx, js, i)
		},
	} {
		changes.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_ = change(js, i) // it may fail if another change has deleted the bucket
			}
		})
	}
	time.AfterFunc(time.Duration(20+rand.IntN(300))*time.Millisecond, func() { kill(); cancel() })
	changes.Wait()
}

// rewrite puts, deletes and purges a few keys.
func rewrite(ctx context.Context, js jetstream.JetStream, bucket string, i, which int) error {
	config := jetstream.KeyValueConfig{Bucket: bucket, History: 3, MaxBytes: 120_000}
	kv, err := js.CreateOrUpdateKeyValue(ctx, config)
	if err != nil {
		return err
	}
	for n := range 20 {
		key := fmt.Sprintf("k%d.%d", which, (i+n)%15)
		switch n % 7 {
		case 5:
			err = kv.Delete(ctx, key)
		case 6:
			err = kv.Purge(ctx, key)
		default:
			_, err = kv.Put(ctx, key, make([]byte, rand.IntN(2000)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// purge removes the messages of a key, or of all keys.
func purge(ctx context.Context, js jetstream.JetStream, i int) error {
	stream, err := js.Stream(ctx, "KV_kept")
	if err != nil {
		return err
	}
	if i%5 == 0 {
		return stream.Purge(ctx)
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(fmt.Sprintf("$KV.kept.k0.%d", i%15)))
}
