package kvclient_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A read that waits for a revision of one epoch must not be answered from the next epoch.
func TestWaitEndsWithTheEpoch(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	b := shop(t, c, nil)
	put(t, b, "k", "old")
	before := sentMessages(t, c, s)
	answer := make(chan error, 1)
	go func() {
		_, _, err := b.Get(t.Context(), key(t, "k"), kvclient.ReadOptions{
			MinRevision: kv.Position{Revision: 5, Epoch: b.Epoch()}, Wait: 20 * time.Second})
		answer <- err
	}()
	natstest.Eventually(t, 20*time.Second, "it has asked once, and waits", func() bool {
		return sentMessages(t, c, s) > before
	})
	recreate(t, js, "1", "2", "3", "4", "5", "6")
	err := <-answer
	_, ok := errors.AsType[*kv.EpochChangedError](err)
	if !ok && !errors.Is(err, kv.ErrBucketNotFound) {
		t.Errorf("error %v, want an EpochChangedError", err)
	}
}

// When the gateway ends, reads that wait for a revision are answered at once. They neither delay
// the end nor stay without an answer.
func TestWaitsEndWithTheGateway(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, nil)
	revision := put(t, b, "k", "v")
	wait := func(revision kv.Revision) error {
		options := reached(kv.Position{Revision: revision})
		options.Wait = time.Hour
		_, _, err := b.Get(t.Context(), key(t, "none"), options)
		return err
	}
	answer := make(chan error, 1)
	go func() { answer <- wait(revision + 1) }()
	c.StopWaiting()
	c.StopWaiting()
	if err := <-answer; !errors.Is(err, kv.ErrRevisionNotReached) {
		t.Errorf("error %v, want ErrRevisionNotReached", err)
	}
	if err := wait(revision); !errors.Is(err, kv.ErrKeyNotFound) {
		t.Errorf("error %v, want ErrKeyNotFound: the revision is there", err)
	}
}

// Anybody can subscribe to the subjects of writes and answer first. Only the acknowledgement of
// the bucket's stream counts.
func TestForeignAcknowledgementIsIgnored(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	if err := js.DeleteKeyValue(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	nc := s.Conn(t)
	for _, foreign := range []string{`{}`, `{"stream":"OTHER","seq":9}`, `{"stream":"KV_shop"}`} {
		answer := func(msg *nats.Msg) { _ = msg.Respond([]byte(foreign)) }
		sub, err := nc.Subscribe("$KV.shop.>", answer)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := write(t, b, "k", "lost"); !errors.Is(err, kv.ErrOutcomeUnknown) {
			t.Errorf("answered %s: %v, want ErrOutcomeUnknown", foreign, err)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}

// A mirror may be behind its origin, so a read from a mirror is not one from the leader.
func TestMirrorIsNotServedAsLeader(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	origin := shop(t, c, nil)
	mirror := newBucket(t, c, "copy", mirrorOf("shop"))
	awaitRevision(t, c, "copy", put(t, origin, "k", "v"))
	for _, k := range []string{"k", "none"} {
		_, served, _ := mirror.Get(t.Context(), key(t, k), kvclient.ReadOptions{})
		if served != kvclient.Any {
			t.Errorf("%s: served as %s", k, served)
		}
	}
}
