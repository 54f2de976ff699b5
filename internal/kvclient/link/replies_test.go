package link_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
	"kvgateway/internal/natstest"
)

// soon bounds the wait for what happens at once, on a busy machine.
const soon = 10 * time.Second

// open opens a link whose requests have this timeout, and waits until it is connected. It is closed
// with the test.
func open(t *testing.T, url string, timeout time.Duration) *link.Link {
	t.Helper()
	spec := link.AnswersSpec("answers", "answers", link.AnswerBytes, timeout)
	l := link.New(link.Options{
		Name: "test", URL: url, Timeout: timeout, Answers: bound.NewSet().New(spec),
		Logger: zerolog.Nop(),
	})
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		l.Close(ctx)
	})
	natstest.Eventually(t, soon, "the link is connected", func() bool {
		return l.Conn().IsConnected()
	})
	return l
}

// echo answers each request below "echo." with the last token of its subject, so many times.
func echo(t *testing.T, s *natstest.Server, times int) {
	t.Helper()
	nc := s.Conn(t)
	for range times {
		if _, err := nc.Subscribe("echo.*", func(m *nats.Msg) {
			_ = m.Respond([]byte(m.Subject[len("echo."):])) // what is not answered fails the test
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request that is to be answered with token. It returns an error for any other answer.
func ask(t *testing.T, l *link.Link, token string, answerBytes int64) error {
	reply, err := l.Request(t.Context(), &nats.Msg{Subject: "echo." + token}, answerBytes)
	if err == nil && string(reply.Data) != token {
		err = fmt.Errorf("%s was answered with %q", token, reply.Data)
	}
	return err
}

// Each request of this test is answered twice. More requests are under way than there are
// subscriptions for answers. The second answer to a request must not be taken for the answer to
// another.
func TestEachRequestHasItsOwnAnswer(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	echo(t, s, 2)
	l := open(t, s.URL(), soon)
	// A box has room for 64 answers that nobody waits for. With 64 boxes these are 38 second
	// answers for each, should all of them come at once.
	const requests, rounds = 200, 12
	failed := make(chan error, requests)
	for i := range requests {
		answerBytes := int64(link.LeastAnswer)
		if i%2 == 1 {
			answerBytes = link.AcknowledgementBytes
		}
		go func() {
			var err error
			for range rounds {
				err = errors.Join(err, ask(t, l, fmt.Sprint("k", i), answerBytes))
			}
			failed <- err
		}()
	}
	for range requests {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// An answer that arrives after its request was given up must not be taken for the answer to the
// next request.
func TestLateAnswerIsIgnored(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	echo(t, s, 1)
	p := natstest.StartProxy(t, s.Addr())
	l := open(t, p.URL(), 300*time.Millisecond)
	for range 3 {
		p.Pause()
		if err := ask(t, l, "late", link.LeastAnswer); !errors.Is(err, kv.ErrTimeout) {
			t.Fatalf("a request while nothing comes through: %v", err)
		}
		p.Resume()
		natstest.Eventually(t, soon, "an answer", func() bool {
			err := ask(t, l, "early", link.LeastAnswer)
			if err != nil && !errors.Is(err, kv.ErrTimeout) && !errors.Is(err, kv.ErrUnavailable) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
}
