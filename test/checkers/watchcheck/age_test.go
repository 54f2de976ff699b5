package main

import (
	"testing"
	"time"
)

// expiring is a stream that is told of a key whose time to live ends before the last position. The
// end is told as well, or not, and the bucket keeps the entry, or not.
func expiring(told, keeps bool) *script {
	s := newScript("e1")
	s.life().KeepsAll = keeps
	s.tell(Item{Kind: "connect"})
	s.put(1, "a")
	brief := s.store(s.life(), 2, "b", "put")
	s.life().Records[2].TTL, s.life().Records[2].Kept = 10*time.Second, keeps
	if told {
		brief.Expires = s.life().Records[2].At.Add(10 * time.Second)
	}
	s.tell(brief, s.point("sync", 2, true))
	s.now = s.now.Add(time.Minute)
	s.put(3, "a")
	s.tell(s.point("bookmark", 3, true))
	return s
}

func TestExpiringEntriesAreJudged(t *testing.T) {
	for _, test := range []struct {
		name        string
		told, keeps bool
		caught      bool
	}{
		{"told, and gone", true, false, false},
		{"gone, and not told", false, false, true},
		{"told, where nothing expires", true, true, true},
		{"kept, and not told", false, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := expiring(test.told, test.keeps)
			found := Validate(s.trace, s.settled(), plain)
			if test.caught {
				caught(t, found, "seamless")
			} else if found != nil {
				t.Fatal(found)
			}
		})
	}
}

// A copy that lagged may never have had an entry that its origin lost meanwhile, so its streams
// need not deliver it.
func TestEntryThatALaggingCopyMayLackIsNotMissed(t *testing.T) {
	for _, lagged := range []bool{true, false} {
		s := newScript("e1")
		s.life().KeepsAll = true
		s.tell(Item{Kind: "connect"})
		s.put(1, "a")
		s.tell(s.point("sync", 1, true))
		began := s.tick()
		s.store(s.life(), 2, "b", "put")
		missed := s.life().Records[2]
		missed.TTL, missed.Kept = 10*time.Second, false
		if lagged {
			s.life().Lags = []Window{{began, s.now.Add(time.Second)}}
		}
		s.put(3, "a")
		s.tell(s.point("bookmark", 3, true))
		found := Validate(s.trace, s.settled(), plain)
		if lagged && found != nil {
			t.Fatal(found)
		}
		if !lagged {
			caught(t, found, "reliable")
		}
	}
}

// aged is a stream of a bucket that is given a time to live. The stream is reset for it, or not.
func aged(reset bool) *script {
	s := newScript("e1")
	s.tell(Item{Kind: "connect"})
	s.put(1, "a")
	s.put(2, "b")
	s.tell(s.point("sync", 2, true))
	from := s.tick()
	s.life().Ages = append(s.life().Ages, Age{from, never, 2 * time.Second})
	s.life().Configs = append(s.life().Configs, Window{from, from.Add(removalKnown)})
	s.tell(s.point("bookmark", 2, true)) // Nobody needs to know of it yet.
	if reset {
		s.tell(Item{Kind: "reset", Reason: "config", HasID: true}, s.point("sync", 2, false))
	}
	s.life().Records[1].Kept, s.life().Records[2].Kept = false, false
	s.now = s.now.Add(time.Minute)
	last := s.store(s.life(), 3, "c", "put")
	last.Expires = s.now.Add(2 * time.Second)
	s.life().Records[3].Kept = false
	s.tell(last, s.point("bookmark", 3, true))
	return s
}

func TestTimeToLiveOfABucketIsAReset(t *testing.T) {
	s := aged(true)
	if found := Validate(s.trace, s.settled(), plain); found != nil {
		t.Fatal(found)
	}
	s = aged(false)
	caught(t, Validate(s.trace, s.settled(), plain), "seamless")
	s = aged(true)
	s.life().Configs = nil
	caught(t, Validate(s.trace, s.settled(), plain), "resumable")
}

// If the message of a key's last revision is deleted, an older one becomes its value again, if
// there is one.
func TestDeletedMessageIsAReset(t *testing.T) {
	for _, told := range []bool{true, false} {
		s := newScript("e1")
		s.life().Limits[0].N = 5
		s.tell(Item{Kind: "connect"})
		s.put(1, "a")
		s.put(2, "a")
		s.put(3, "b")
		s.tell(s.point("sync", 3, true))
		s.life().Records[1].Kept, s.life().Records[2].Kept = true, false
		removal := &Removal{Start: s.tick(), End: s.tick(), Known: s.tick(), Alone: true}
		removal.Hits = func(_ *Life, _ string, revisions []uint64, i int) (bool, bool) {
			return revisions[i] == 2, revisions[i] == 2
		}
		s.life().Removals = append(s.life().Removals, removal)
		first, third := s.life().Records[1], s.life().Records[3]
		if told {
			s.tell(Item{Kind: "reset", Reason: "purged", HasID: true},
				Item{Kind: "change", Epoch: "e1", Change: first.Change},
				Item{Kind: "change", Epoch: "e1", Change: third.Change}, s.point("sync", 3, true))
		}
		s.put(4, "c")
		s.tell(s.point("bookmark", 4, true))
		found := Validate(s.trace, s.settled(), plain)
		if told && found != nil {
			t.Fatal(found)
		}
		if !told {
			caught(t, found, "seamless")
		}
	}
}
