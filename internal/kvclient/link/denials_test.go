package link_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
	"kvgateway/internal/natstest"
)

// unhurried is the timeout of requests that must not wait for it.
const unhurried = time.Minute

// withUser runs a server with a user "narrow" who has these permissions, and another who has all.
// It returns a link of the first, and a server that answers as echo does.
func withUser(t *testing.T, permissions *server.Permissions) *link.Link {
	t.Helper()
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "narrow", Password: "p", Permissions: permissions},
			{Username: "all", Password: "p"},
		}
		o.NoAuthUser = "all"
	}})
	echo(t, s, 1)
	if _, err := s.Conn(t).SubscribeSync("silent"); err != nil {
		t.Fatal(err)
	}
	return open(t, "nats://narrow:p@"+s.Addr(), unhurried)
}

// wantDenied checks that something was denied, at once.
func wantDenied(t *testing.T, began time.Time, err error, want kv.DeniedError) {
	t.Helper()
	denied, ok := errors.AsType[*kv.DeniedError](err)
	if !ok || *denied != want {
		t.Errorf("the error is %v", err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("it took %v", took)
	}
}

func TestDenialIsToldAtOnce(t *testing.T) {
	t.Parallel()
	l := withUser(t, &server.Permissions{Publish: &server.SubjectPermission{
		Allow: []string{"echo.ok"},
	}})
	for _, subject := range []string{"echo.no", `quoted."\.é`} {
		began := time.Now()
		msg := &nats.Msg{Subject: subject}
		_, err := l.Request(t.Context(), msg, link.AcknowledgementBytes)
		wantDenied(t, began, err, kv.DeniedError{Subject: subject})
	}
	answer, err := l.Request(t.Context(), &nats.Msg{Subject: "echo.ok"}, link.LeastAnswer)
	if err != nil || string(answer.Data) != "ok" {
		t.Errorf("what is allowed is not answered: %v", err)
	}
}

func TestDenialIsToldToEachRequest(t *testing.T) {
	t.Parallel()
	l := withUser(t, &server.Permissions{Publish: &server.SubjectPermission{
		Deny: []string{"echo.no"},
	}})
	var wait sync.WaitGroup
	for i := range 300 { // more than there are boxes for replies
		wait.Go(func() {
			began := time.Now()
			if i%3 == 0 {
				answer, err := l.Request(t.Context(), &nats.Msg{Subject: "echo.ok"},
					link.AcknowledgementBytes)
				if err != nil || string(answer.Data) != "ok" {
					t.Errorf("what is allowed is not answered: %v", err)
				}
				return
			}
			_, err := l.Request(t.Context(), &nats.Msg{Subject: "echo.no"},
				link.AcknowledgementBytes)
			wantDenied(t, began, err, kv.DeniedError{Subject: "echo.no"})
		})
	}
	wait.Wait()
}

func TestDenialOfAnInboxIsTold(t *testing.T) {
	t.Parallel()
	l := withUser(t, &server.Permissions{Subscribe: &server.SubjectPermission{
		Deny: []string{"_INBOX.>"},
	}})
	for range 2 {
		began := time.Now()
		_, err := l.Request(t.Context(), &nats.Msg{Subject: "echo.ok"}, link.LeastAnswer)
		denied, _ := errors.AsType[*kv.DeniedError](err)
		if denied == nil || !denied.Subscribe || time.Since(began) > soon {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	}
}

func TestDenialInABatchNamesItsMessage(t *testing.T) {
	t.Parallel()
	l := withUser(t, &server.Permissions{Publish: &server.SubjectPermission{
		Deny: []string{"echo.no"},
	}})
	began := time.Now()
	_, index, err := l.Batch(t.Context(), []*nats.Msg{{Subject: "silent"}, {Subject: "echo.no"}})
	wantDenied(t, began, err, kv.DeniedError{Subject: "echo.no"})
	if index != 1 {
		t.Errorf("the index is %d", index)
	}
}
