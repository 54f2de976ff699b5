package main

import (
	"testing"
	"time"
)

// purged is a stream that had the key a when another tool purged it. The stream is reset for that,
// or not.
func purged(reset bool) *script {
	s := newScript("e1")
	s.tell(Item{Kind: "connect"})
	s.put(1, "a")
	s.put(2, "b")
	s.tell(s.point("sync", 2, true))
	removal := &Removal{Start: s.tick(), End: s.tick()}
	removal.Known = removal.End.Add(5 * time.Second)
	removal.everything(func(key string) bool { return key == "a" })
	s.life().Removals = append(s.life().Removals, removal)
	s.life().Records[1].Kept = false
	s.tell(s.point("bookmark", 2, true)) // The gateway may not know of it yet.
	s.now = s.now.Add(10 * time.Second)
	b := s.store(s.life(), 3, "b", "put")
	if reset {
		s.tell(Item{Kind: "reset", Reason: "purged"}, b, s.point("sync", 3, true))
	} else {
		s.tell(b)
	}
	s.tell(s.point("bookmark", 3, true))
	return s
}

func TestPurgeIsAReset(t *testing.T) {
	s := purged(true)
	if found := Validate(s.trace, s.settled(), plain); found != nil {
		t.Fatal(found)
	}
	s = purged(false)
	caught(t, Validate(s.trace, s.settled(), plain), "seamless")
}

// A crash brings back what a purge took, or the history limit before it. A client that is told of
// it is told the truth.
func TestPurgeTakenBackByACrashIsTheTruth(t *testing.T) {
	for _, crash := range []bool{true, false} {
		s := purged(true)
		if crash {
			s.crash()
		}
		back := s.life().Records[1]
		back.Kept = true // As the bucket is found at the end.
		change := func(r *Record) Item {
			return Item{Kind: "change", Epoch: "e1", Change: r.Change, Size: r.Size}
		}
		s.tell(Item{Kind: "reset", Reason: "horizon"}, change(back), change(s.life().Records[3]),
			s.point("sync", 3, true))
		found := Validate(s.trace, s.settled(), plain)
		if crash && found != nil {
			t.Fatal(found)
		}
		if !crash && found == nil {
			t.Fatal("a key that was away between two snapshots is believed")
		}
	}
}

// A crash brings back what a newer revision had displaced at once, so that nobody could read it. It
// is in the bucket at the end, beside the newer one, and yet nobody has missed it.
func TestDisplacedRevisionTakenBackByACrashIsNotMissed(t *testing.T) {
	for _, crash := range []bool{true, false} {
		s := lost()
		back := s.store(s.life(), 3, "c", "put")
		s.put(4, "c")
		s.tell(s.point("bookmark", 4, true))
		if crash {
			s.crash()
		}
		s.life().Records[back.Change.Revision].Kept = true
		found := Validate(s.trace, s.settled(), plain)
		if crash && found != nil {
			t.Fatal(found)
		}
		if !crash {
			caught(t, found, "reliable")
		}
	}
}

// The key is stored again before the end, so that only a position in between shows the loss.
func TestMissedResetIsSeenBetween(t *testing.T) {
	s := purged(false)
	s.put(4, "a")
	s.tell(s.point("bookmark", 4, true))
	caught(t, Validate(s.trace, s.settled(), plain), "seamless")
}

// recreated is a stream over two lives of a bucket.
func recreated() *script {
	s := newScript("e1", "e2")
	old, young := s.bucket.Lives[0], s.bucket.Lives[1]
	a, b := s.store(old, 1, "a", "put"), s.store(old, 2, "b", "put")
	s.tell(Item{Kind: "connect"}, a, b,
		Item{Kind: "sync", Revision: 2, Epoch: "e1", Exact: true, HasID: true})
	old.Deleted, young.Asked, young.Created = s.tick(), s.tick(), s.tick()
	c := s.store(young, 1, "c", "put")
	s.tell(Item{Kind: "bucket-deleted"}, Item{Kind: "reset", Reason: "epoch"}, c,
		s.point("sync", 1, true))
	s.put(2, "d")
	s.tell(s.point("bookmark", 2, true))
	return s
}

func TestNewEpochIsAReset(t *testing.T) {
	s := recreated()
	if found := Validate(s.trace, s.settled(), plain); found != nil {
		t.Fatal(found)
	}
	late := func(s *script) time.Time { return s.bucket.Lives[1].Created.Add(time.Minute) }
	cases := map[string]func(*script){
		"a change of the old epoch after the reset": func(s *script) {
			s.trace[8].Epoch = "e1"
		},
		"no reset":        func(s *script) { drop(5)(s) },
		"no event at all": func(s *script) { drop(5)(s); drop(4)(s) },
		"a stale epoch":   func(s *script) { s.trace = s.trace[:4] },
		"still the old on a new connection": func(s *script) {
			s.trace = append([]Item{{Kind: "connect", At: late(s)}}, s.trace[1:4]...)
		},
		"404 long after": func(s *script) {
			s.trace = append(s.trace, Item{Kind: "refused", Reason: "404", At: late(s)})
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			s := recreated()
			spoil(s)
			caught(t, Validate(s.trace, s.settled(), plain), "resumable")
		})
	}
}

// A client that was told of a reset, but of no id since, resumes with the old id and still has its
// state.
func TestResetWithoutAnIDIsResumedWithTheOldState(t *testing.T) {
	s := correct()
	s.tell(Item{Kind: "reset", Reason: "horizon"}, Item{Kind: "closed"},
		Item{Kind: "connect", Resumed: true}, s.point("id", 9, false))
	s.put(10, "g")
	s.tell(s.point("sync", 10, false), s.point("bookmark", 10, true))
	if found := Validate(s.trace, s.settled(), plain); found != nil {
		t.Fatal(found)
	}
}

// A client that was told of a reset with an id begins anew, wherever it was cut.
func TestResetWithAnIDBeginsAnew(t *testing.T) {
	s := correct()
	s.tell(Item{Kind: "reset", Reason: "horizon", HasID: true}, Item{Kind: "closed"},
		Item{Kind: "connect", Resumed: true})
	s.tell(s.point("sync", 9, false))
	caught(t, Validate(s.trace, s.settled(), plain), "reliable")
}

func TestUnknownRevisionsAreNotClaimed(t *testing.T) {
	cases := map[string]struct {
		unknown  []uint64
		previous uint64 // Of revision 9, 0 if it is not known.
		caught   bool
	}{
		"nothing unknown":                        {nil, 0, true},
		"an unknown one may explain it":          {[]uint64{5}, 0, false},
		"an unknown one after the point":         {[]uint64{7}, 0, true},
		"an unknown one that was another key's":  {[]uint64{5}, 4, true},
		"an unknown one that was this key's own": {[]uint64{5}, 5, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := newScript("e1")
			s.store(s.life(), 4, "a", "put")
			s.tell(Item{Kind: "connect"}, s.point("sync", 6, true))
			s.put(9, "a")
			s.tell(s.point("bookmark", 9, true))
			ninth := s.life().Records[9]
			ninth.Previous, ninth.Told = test.previous, test.previous > 0
			for _, revision := range test.unknown {
				s.life().Unknown[revision] = true
			}
			if found := Validate(s.trace, s.settled(), plain); (found != nil) != test.caught {
				t.Fatal(found)
			}
		})
	}
}
