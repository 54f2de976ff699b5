//go:build linux

package sse

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/bound"
)

// limitsOf returns limits with a budget of which streams, which have half of it, have so many bytes.
func limitsOf(bytes int64) (*Limits, *bound.Bound) {
	b := bound.NewSet().New(bound.Spec{Name: "test", Of: "what waits", Unit: bound.Bytes,
		Limit: 2 * bytes, Patience: time.Second, AtLimit: "streams end"})
	return &Limits{patience: writePatience, bytes: b}, b
}

func TestSharedFrameIsCountedOnce(t *testing.T) {
	limits, b := limitsOf(100)
	frame := bytes.Repeat([]byte("x"), 60)
	var holds [3]unsent
	for i := range holds {
		holds[i] = unsent{limits: limits, evict: func() {}}
		if !holds[i].keep(frame, true) || b.Used() != 60 {
			t.Fatalf("%d streams wait with a frame of 60 bytes: %d counted", i+1, b.Used())
		}
	}
	own := unsent{limits: limits, evict: func() {}}
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

// joinUnread joins with a source that says one word of its own, which the client does not read.
func (a *audience) joinUnread(bytes int) *seat {
	s := a.join(&alone{word: []byte(strings.Repeat("x", bytes) + "\n")}, unhurried)
	s.expect(a.t, "head\nbegin\n")
	return s
}

// alone is a source with one word, which is not copied.
type alone struct {
	script
	word []byte
}

func (a *alone) Next([]byte) ([]byte, Next) {
	word := a.word
	a.word = nil
	return word[:len(word):len(word)], NextWhenWoken
}

func TestStreamThatHoldsMostMakesRoom(t *testing.T) {
	t.Parallel()
	const mega = 1 << 20
	limits, b := limitsOf(20 * mega)
	a := startAudienceWithin(t, limits)
	first, largest := a.joinUnread(8*mega), a.joinUnread(11*mega)
	eventually(t, "both wait", func() bool { return b.Used() == 19*mega+2 })
	later := a.joinUnread(7 * mega)
	if err := largest.outcome(t); !errors.Is(err, errHeldTooMuch) {
		t.Fatalf("ended with %v", err)
	}
	eventually(t, "the others wait", func() bool { return b.Used() == 15*mega+2 })
	if limits.Slow() != 1 || b.Used() > b.Limit() {
		t.Fatalf("%d streams ended, %d bytes held", limits.Slow(), b.Used())
	}
	// What the socket took arrives, and then the stream ends: a block that was cut ends with it.
	if rest, err := io.ReadAll(largest); err != nil || len(rest) == 0 || len(rest) > 11*mega {
		t.Fatalf("the client read %d bytes, then %v", len(rest), err)
	}
	for _, s := range []*seat{first, later} {
		s.expect(t, "xxxx")
	}
}

func TestSlowStreamSaysGoodbyeBetweenBlocks(t *testing.T) {
	for told, begun := range map[string]bool{"goaway slow\n": false, "": true} {
		l, stream, client := idleLoop(t, &script{}, unhurried)
		stream.rest, stream.begun = []byte("word\n"), begun
		stream.evicted.Store(true)
		l.give(stream, time.Time{})
		if got, err := io.ReadAll(client); err != nil || string(got) != told {
			t.Errorf("within a block: %v: read %q, then %v", begun, got, err)
		}
		if l.limits.Slow() != 1 {
			t.Error("not counted")
		}
	}
}
