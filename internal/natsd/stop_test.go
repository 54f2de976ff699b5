package natsd_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// keepBusy makes the server hold the lock of a stream for seconds, in which it matches many filters
// of many wildcards with many long subjects.
func keepBusy(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	const tokens, keys = 500, 400
	config := jetstream.StreamConfig{Name: "busy", Subjects: []string{"busy.>"}}
	stream, err := js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		subject := fmt.Sprintf("busy.%d%s", i, strings.Repeat(".a", tokens-1))
		if _, err := js.PublishAsync(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	var filters []string
	for i := range 64 {
		filters = append(filters, fmt.Sprintf("busy.*%s.%d", strings.Repeat(".*", tokens-2), i))
	}
	go func() {
		_, _ = stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{FilterSubjects: filters})
	}()
}

// A server that does not stop does not keep the process from ending. It unlocks the directory when
// it is down, and then a later start succeeds.
func TestShutdownOfABusyServerIsBounded(t *testing.T) {
	t.Parallel()
	opts := natsd.Options{DataDir: t.TempDir(), Logger: zerolog.Nop()}
	opts.StopTimeout = 200 * time.Millisecond
	s, err := natsd.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	js := connect(t, s)
	keepBusy(t, js)
	eventually(t, "a write waits for the lock", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := js.Publish(ctx, "busy.write", nil)
		return err != nil
	})
	began := time.Now()
	err = s.Shutdown()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("down after %v", took)
	}
	if err == nil || !strings.Contains(err.Error(), "not down after 200ms") {
		t.Errorf("error %v, want one that says that it is not down", err)
	}
	eventually(t, "a later start", func() bool {
		opts.StopTimeout = time.Minute
		again, err := natsd.Start(t.Context(), opts)
		if err != nil {
			return false
		}
		return again.Shutdown() == nil
	})
}
