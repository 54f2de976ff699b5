//go:build linux

package stream

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/bound"
)

// limitsOf returns limits under which streams may hold so many bytes, and their bound. The bound is
// twice as large, since streams have at most half of it.
func limitsOf(bytes int64) (*Limits, *bound.Bound) {
	b := bound.NewSet().New(bound.Spec{Name: "test", Of: "what waits", Unit: bound.Bytes,
		Limit: 2 * bytes, Patience: time.Second, AtLimit: "streams end"})
	return newLimits(b, writePatience, 0), b
}

func TestSharedFrameIsCountedOnce(t *testing.T) {
	limits, b := limitsOf(100)
	frame := bytes.Repeat([]byte("x"), 60)
	var holds [3]unsentHold
	for i := range holds {
		holds[i] = unsentHold{limits: limits, evict: func() {}}
		if !holds[i].keep(frame, true) || b.Used() != 60 {
			t.Fatalf("%d streams wait with a frame of 60 bytes: %d counted", i+1, b.Used())
		}
	}
	own := unsentHold{limits: limits, evict: func() {}}
	if !own.keep(frame[:20:20], false) || b.Used() != 80 {
		t.Fatalf("%d counted with a copy", b.Used())
	}
	for i := range holds {
		holds[i].drop()
	}
	if own.drop(); b.Used() != 0 || len(limits.frames) != 0 {
		t.Fatalf("%d counted of nothing", b.Used())
	}
}

// A frame counts for a client whose streams wait with it, also when those of others have taken it.
func TestSharedFrameCountsForThoseWhoWait(t *testing.T) {
	limits, b := limitsOf(100)
	evicted := ""
	hold := func(owner string, bytes int, shared []byte) *unsentHold {
		u := &unsentHold{limits: limits, owner: owner}
		done := make(chan struct{})
		u.evict = func() { evicted += owner; u.drop(); close(done) }
		data := shared
		if data == nil {
			data = make([]byte, bytes)
		}
		if !u.keep(data, shared != nil) {
			t.Fatalf("no room for %d bytes of %q", len(data), owner)
		}
		return u
	}
	frame := make([]byte, 40)
	quick := hold("quick", 0, frame)
	hold("stuck", 0, frame)
	hold("stuck", 30, nil)
	quick.drop()
	hold("quick", 50, nil) // more than is free: the frame or the rest of the one who is stuck goes
	eventually(t, "the one who is stuck makes room", func() bool { return b.Used() <= 100 })
	if evicted != "stuck" {
		t.Errorf("evicted %q", evicted)
	}
}

// openUnread starts a stream with one word of that size, which its client does not read.
func (a *loopServer) openUnread(bytes int) *loopClient {
	s := a.open(&singleFrameSource{word: []byte(strings.Repeat("x", bytes) + "\n")}, unhurried)
	s.expect(a.t, "head\nbegin\n")
	return s
}

// A singleFrameSource is a source with one word, which is not copied.
type singleFrameSource struct {
	scriptedSource
	word []byte
}

func (a *singleFrameSource) Next([]byte) ([]byte, When) {
	word := a.word
	a.word = nil
	return word[:len(word):len(word)], WhenWoken
}

func TestStreamThatHoldsMostMakesRoom(t *testing.T) {
	t.Parallel()
	const mega = 1 << 20
	limits, b := limitsOf(20 * mega)
	a := startLoopsWithin(t, limits)
	first, largest := a.openUnread(8*mega), a.openUnread(11*mega)
	eventually(t, "both wait", func() bool { return b.Used() == 19*mega+2 })
	later := a.openUnread(7 * mega)
	if err := largest.outcome(t); !errors.Is(err, errHeldTooMuch) {
		t.Fatalf("ended with %v", err)
	}
	eventually(t, "the others wait", func() bool { return b.Used() == 15*mega+2 })
	if limits.Slow() != 1 || b.Used() > b.Limit() {
		t.Fatalf("%d streams ended, %d bytes held", limits.Slow(), b.Used())
	}
	// What the socket took arrives, and then the stream ends, within a block.
	if rest, err := io.ReadAll(largest); err != nil || len(rest) == 0 || len(rest) > 11*mega {
		t.Fatalf("the client read %d bytes, then %v", len(rest), err)
	}
	for _, s := range []*loopClient{first, later} {
		s.expect(t, "xxxx")
	}
}

func TestSlowStreamIsToldBetweenBlocksOnly(t *testing.T) {
	for told, begun := range map[string]bool{"goaway slow\n": false, "": true} {
		l, stream, client := idleLoop(t, &scriptedSource{}, unhurried)
		stream.rest, stream.blockBegun = []byte("word\n"), begun
		stream.evicted.Store(true)
		l.visit(stream, time.Time{})
		if got, err := io.ReadAll(client); err != nil || string(got) != told {
			t.Errorf("within a block: %v: read %q, then %v", begun, got, err)
		}
		if l.limits.Slow() != 1 {
			t.Error("not counted")
		}
	}
}
