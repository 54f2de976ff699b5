package feed

import (
	"bytes"
	"fmt"
	"testing"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// The frames of a change count against the bounds of its log, however many representations are
// asked for, and for as long as the change is in the log.
func TestFramesCountInTheLog(t *testing.T) {
	t.Parallel()
	const most, frame = 64 << 10, 4 << 10
	name, err := kv.ParseBucketName("b")
	if err != nil {
		t.Fatal(err)
	}
	f := newFeed(newHub(Options{LogBytes: most}.withDefaults()), name)
	src := f.source
	src.startAt(nil, kvclient.StreamState{Epoch: "a"})
	var entries []kv.Entry
	for i := range 30 {
		entries = append(entries, kv.Entry{
			Key: fmt.Sprint("k", i), Value: make([]byte, 1<<10),
			Position: kv.Position{Revision: kv.Revision(i + 1), Epoch: "a"},
		})
	}
	src.deliver(entries)
	log := &f.journal.log
	changes := log.after(0)
	if len(changes) != len(entries) || log.bytes < len(entries)<<10 {
		t.Fatalf("%d changes in %d bytes", len(changes), log.bytes)
	}
	encode := func(*Change) []byte { return make([]byte, frame) }
	for _, c := range changes {
		for representation := range MaxRepresentations {
			first := c.Frame(representation, encode)
			if again := c.Frame(representation, encode); &first[0] != &again[0] {
				t.Fatal("encoded twice")
			}
			if log.bytes > max(most, MaxRepresentations*frame+2<<10) {
				t.Fatalf("the log has %d bytes, its bound is %d", log.bytes, most)
			}
		}
	}
	held := 0
	for _, c := range log.after(log.horizon) {
		for i := range c.frames {
			if frame := c.frames[i].Load(); frame != nil {
				held += len(*frame)
			}
		}
		held += len(c.Key) + len(c.Value)
	}
	if log.bytes < held || log.horizon == 0 {
		t.Errorf("the log counts %d bytes and holds %d, above %d", log.bytes, held, log.horizon)
	}
	last := changes[len(changes)-1]
	log.restart(f.journal.Revision, last.Check)
	last.Frame(0, func(*Change) []byte { return bytes.Repeat([]byte("x"), frame) })
	if log.bytes != 0 {
		t.Errorf("a change that is not in the log any more counts %d bytes", log.bytes)
	}
	last.frames[1].Store(nil)
	if last.Frame(1, encode); log.bytes != 0 {
		t.Errorf("a frame of a change that is not in the log any more counts %d bytes", log.bytes)
	}
}

// The changes above any revision are those that a linear search finds, near the end of the log and
// far from it.
func TestLogReturnsTheChangesAboveARevision(t *testing.T) {
	t.Parallel()
	for size := range 3 * nearEnd {
		for step := range kv.Revision(3) { // revisions without a change lie between
			l := changeLog{maxBytes: 1 << 20, maxCount: 1 << 10}
			for i := range size {
				l.add(&Change{Entry: entry("k", 5+kv.Revision(i)*(step+1), kv.Put)})
			}
			for revision := range kv.Revision(5 + 4*3*nearEnd) {
				want := l.changes
				for len(want) > 0 && want[0].Revision <= revision {
					want = want[1:]
				}
				got := l.after(revision)
				if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
					t.Fatalf("%d changes, every %d: %d after %d, want %d",
						size, step+1, len(got), revision, len(want))
				}
			}
		}
	}
}

// The logs of all feeds share a bound of bytes. When it is reached they keep fewer changes, and
// each keeps some.
func TestLogsShareTheirMemory(t *testing.T) {
	t.Parallel()
	h := newHub(Options{AllLogs: 4 << 20}.withDefaults())
	logOf := func(owner string) *changeLog {
		l := &changeLog{maxBytes: 16 << 20, maxCount: 1 << 16, memory: new(bound.Hold)}
		if err := h.logMemory.Take(t.Context(), l.memory, owner, 0, nil); err != nil {
			t.Fatal(err)
		}
		return l
	}
	fill := func(l *changeLog) int {
		for i := range 3000 {
			l.add(&Change{Entry: kv.Entry{
				Key: "k", Value: make([]byte, 4<<10),
				Position: kv.Position{Revision: kv.Revision(i + 1)},
			}})
		}
		return l.bytes
	}
	first, second, other := logOf("a"), logOf("a"), logOf("b")
	if bytes := fill(first); bytes > 2<<20 || bytes < 2<<20-logGrowStep-8<<10 {
		t.Errorf("the first has %d bytes", bytes)
	}
	if bytes := fill(second); bytes > minLogBytes || bytes < minLogBytes/2 || second.horizon == 0 {
		t.Errorf("another of the same client has %d bytes, above %d", bytes, second.horizon)
	}
	if bytes := fill(other); bytes < 1<<20 {
		t.Errorf("another client's has %d bytes", bytes)
	}
	first.restart(3000, kv.Check{})
	if bytes := fill(second); bytes < 1<<20 {
		t.Errorf("it has %d bytes after the first has given its own back", bytes)
	}
}
