package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// lost is a stream that has a snapshot with revisions 1 and 2.
func lost() *script {
	s := newScript("e1")
	s.tell(Item{Kind: "connect"})
	s.put(1, "a")
	s.put(2, "b")
	s.tell(s.point("sync", 2, true))
	return s
}

// branch takes back what the last life had above revision 2.
func (s *script) branch() {
	old := s.life()
	old.Lost = s.tick()
	young := &Life{
		Epoch:     old.Epoch,
		Parent:    old,
		Asked:     s.tick(),
		Created:   s.now,
		Limits:    old.Limits,
		Records:   map[uint64]*Record{},
		Unknown:   map[uint64]bool{},
		Rewritten: map[uint64]bool{},
	}
	for revision, r := range maps.All(old.Records) {
		if revision <= 2 {
			same := *r
			same.Kept = true
			young.Records[revision], young.End = &same, max(young.End, revision)
		}
		r.Kept = false
	}
	s.bucket.Lives = append(s.bucket.Lives, young)
}

func TestLossOfTheEndIsToldByAResetUnlessHealed(t *testing.T) {
	cases := map[string]struct {
		told  func(*script)
		wrong string // "" for right
	}{
		"told of it": {func(s *script) {
			change := func(revision uint64) Item {
				return Item{Kind: "change", Epoch: "e1",
					Change: s.life().Records[revision].Change}
			}
			s.tell(Item{Kind: "reset", Reason: "purged", HasID: true}, change(1), change(2),
				s.point("sync", 2, false))
			s.put(3, "d")
			s.put(4, "e")
			s.put(5, "f")
			s.tell(s.point("bookmark", 5, true))
		}, ""},
		"resumed in another history": {func(s *script) {
			s.store(s.life(), 3, "d", "put")
			s.store(s.life(), 4, "e", "put")
			s.tell(Item{Kind: "connect", Resumed: true})
			s.put(5, "f")
			s.tell(s.point("bookmark", 5, true))
		}, "reliable"},
		"healed": {func(s *script) {
			s.life().Limits = []Limit{{N: 1}}
			s.store(s.life(), 3, "d", "put")
			s.tell(Item{Kind: "stale"}, Item{Kind: "live"})
			s.put(5, "a")
			s.put(6, "c")
			s.put(7, "d")
			s.tell(s.point("bookmark", 7, true))
		}, ""},
		"not healed": {func(s *script) {
			s.life().Limits = []Limit{{N: 1}}
			s.tell(Item{Kind: "stale"}, Item{Kind: "live"})
			s.put(5, "c")
			s.tell(s.point("bookmark", 5, true))
		}, "seamless"},
		"history left out": {func(s *script) {
			s.life().Limits = []Limit{{N: 2}}
			s.tell(Item{Kind: "stale"}, Item{Kind: "live"})
			s.put(5, "a")
			s.put(6, "c")
			s.tell(s.point("bookmark", 6, true))
		}, "reliable"},
		"left in the lost history": {func(s *script) {
			s.now = s.now.Add(time.Minute)
			s.store(s.life(), 3, "d", "put")
			s.tell(Item{Kind: "connect", Resumed: true}, s.point("bookmark", 4, true))
		}, "resumable"},
		"reset without a cause": {func(s *script) {
			s.life().Asked = s.now.Add(time.Hour)
			s.tell(Item{Kind: "reset", Reason: "purged", HasID: true})
		}, "resumable"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := lost()
			s.put(3, "c")
			s.put(4, "a")
			s.tell(s.point("bookmark", 4, true))
			s.branch()
			test.told(s)
			found := Validate(s.trace, s.settled(), plain)
			if test.wrong != "" {
				caught(t, found, test.wrong)
			} else if found != nil {
				t.Fatal(found)
			}
		})
	}
}

// A client that was told of nothing that the server lost need not learn of the loss.
func TestLossOfWhatNobodyWasToldIsNoReset(t *testing.T) {
	s := lost()
	s.store(s.life(), 3, "c", "put")
	s.branch()
	s.tell(Item{Kind: "connect", Resumed: true})
	s.put(3, "d")
	s.tell(s.point("bookmark", 3, true))
	if found := Validate(s.trace, s.settled(), plain); found != nil {
		t.Fatal(found)
	}
}

// The server can be killed between the delivery of a revision to the gateway and that of the
// message that republishes it. So nobody else saw the revision. Long before the loss it would be
// invented.
func TestLastOfALostHistoryMayBeUnseen(t *testing.T) {
	for _, early := range []time.Duration{10 * time.Millisecond, time.Minute} {
		s := lost()
		s.put(3, "c")
		told := s.now
		s.branch()
		old := s.bucket.Lives[0]
		delete(old.Records, 3)
		old.End, old.Lost = 2, told.Add(early)
		s.tell(Item{Kind: "reset", Reason: "purged", HasID: true})
		found := Validate(s.trace, s.settled(), plain)
		invented := slices.ContainsFunc(found, func(v Violation) bool {
			return strings.Contains(v.Detail, "which nobody stored")
		})
		if invented != (early == time.Minute) {
			t.Errorf("%v before the loss: invented is %t", early, invented)
		}
	}
}

// An acknowledged write that the server lost with the end of a history is counted, and is no
// violation.
func TestAcknowledgedWriteInALostHistoryIsNoViolation(t *testing.T) {
	s := lost()
	s.put(3, "c")
	s.branch()
	s.store(s.life(), 3, "d", "put")
	a := &Attempt{Bucket: "b", Key: "c", Op: "put", Value: "v", Outcome: acknowledged,
		Revision: 3, Epoch: "e1"}
	found, takenBack := CheckAttempts([]*Attempt{a}, map[string]*Bucket{"b": s.settled()})
	if found != nil || takenBack != 1 {
		t.Fatal(found, takenBack)
	}
}

func TestPositionsOfAllFormsAreParsed(t *testing.T) {
	cases := map[string]position{
		"1742-k3f9x":                {revision: 1742, epoch: "k3f9x"},
		"1742-k3f9x.9fz1":           {revision: 1742, epoch: "k3f9x"},
		"1742-k3f9x.9fz1~m41x":      {revision: 1742, epoch: "k3f9x"},
		"1742-k3f9x~m41x":           {revision: 1742, epoch: "k3f9x"},
		"1731.1742-k3f9x":           {1742, 1731, "k3f9x", true},
		"1731.1742-k3f9x.7c0q~m41x": {1742, 1731, "k3f9x", true},
		"0.0-0~m41x":                {epoch: "0", inSnapshot: true},
	}
	for text, want := range cases {
		if got, ok := parsePosition(text); !ok || got != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for _, text := range []string{"", "x", "12", "-k3f9x", "12-", "a.12-k3f9x", "12-~d"} {
		if got, ok := parsePosition(text); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
