package main

import (
	"slices"
	"testing"
	"time"
)

// A script writes a trace and what was stored. Everything happens one second after the other, so
// that it is known how long each revision was there.
type script struct {
	trace  []Item
	bucket *Bucket
	now    time.Time
}

func newScript(epochs ...string) *script {
	s := &script{bucket: &Bucket{Name: "b"}, now: time.Unix(1000, 0)}
	for _, epoch := range epochs {
		s.bucket.Lives = append(s.bucket.Lives, &Life{
			Epoch:     epoch,
			Limits:    []Limit{{N: 1}},
			Records:   map[uint64]*Record{},
			Unknown:   map[uint64]bool{},
			Rewritten: map[uint64]bool{},
		})
	}
	return s
}

func (s *script) life() *Life { return s.bucket.last() }

func (s *script) tick() time.Time { s.now = s.now.Add(time.Second); return s.now }

// crash kills the server, which serves again some time before that is noted.
func (s *script) crash() {
	killed := s.tick()
	s.life().Crashes = append(s.life().Crashes, Window{killed, killed.Add(time.Minute)})
}

// store stores a revision in a life. What the key had before is no longer kept.
func (s *script) store(l *Life, revision uint64, key, op string) Item {
	c := Change{Revision: revision, Key: key, Op: op, Value: "v"}
	previous := uint64(0)
	for n, r := range l.Records {
		if r.Key == key {
			r.Kept, previous = false, max(previous, n)
		}
	}
	l.Records[revision] = &Record{
		Change: c, At: s.tick(), Previous: previous, Told: true, Kept: l == s.life()}
	l.End = max(l.End, revision)
	return Item{Kind: "change", Change: c, Epoch: l.Epoch, HasID: true}
}

func (s *script) put(revision uint64, key string) {
	s.tell(s.store(s.life(), revision, key, "put"))
}

func (s *script) tell(items ...Item) {
	for _, item := range items {
		item.At = s.tick()
		s.trace = append(s.trace, item)
	}
}

func (s *script) point(kind string, revision uint64, exact bool) Item {
	return Item{Kind: kind, Revision: revision, Exact: exact, Epoch: s.life().Epoch, HasID: true}
}

func (s *script) settled() *Bucket {
	for _, l := range s.bucket.Lives {
		l.settle()
	}
	return s.bucket
}

// correct is a snapshot of three keys, a sync, some changes, a resume, and more changes.
func correct() *script {
	s := newScript("e1")
	s.tell(Item{Kind: "connect"})
	s.put(1, "a")
	s.put(2, "b")
	s.put(3, "c")
	s.tell(s.point("sync", 3, true))
	s.put(4, "a")
	s.put(5, "d")
	s.put(6, "b")
	s.tell(s.point("bookmark", 6, false), Item{Kind: "connect", Resumed: true})
	s.put(7, "c")
	s.put(8, "e")
	s.tell(s.point("sync", 8, false))
	s.put(9, "f")
	s.tell(s.point("bookmark", 9, true))
	return s
}

var plain = View{Matches: anyKey}

func TestCorrectTraceIsAccepted(t *testing.T) {
	s := correct()
	if found := Validate(s.trace, s.settled(), plain); found != nil {
		t.Fatal(found)
	}
}

// tell adds an item to the end of a script.
func tell(item Item) func(*script) { return func(s *script) { s.tell(item) } }

// drop removes the i-th item of a script.
func drop(i int) func(*script) {
	return func(s *script) { s.trace = slices.Delete(s.trace, i, i+1) }
}

func TestFaultsAreCaught(t *testing.T) {
	cases := map[string]struct {
		spoil   func(*script)
		promise string
	}{
		"dropped":                 {drop(6), "reliable"},
		"dropped in the snapshot": {drop(2), "seamless"},
		"duplicated": {func(s *script) {
			s.trace = slices.Insert(s.trace, 6, s.trace[5])
		}, "unique"},
		"changed":         {func(s *script) { s.trace[5].Change.Value = "w" }, "reliable"},
		"of another size": {func(s *script) { s.trace[5].Size = 7 }, "reliable"},
		"swapped": {func(s *script) {
			s.trace[5], s.trace[6] = s.trace[6], s.trace[5]
		}, "ordered"},
		"first lost after sync":   {drop(5), "reliable"},
		"first lost after resume": {drop(10), "reliable"},
		"tail lost":               {drop(13), "reliable"},
		"after its position":      {func(s *script) { s.trace[8].Revision = 7 }, "bookmarkable"},
		"position that goes back": {func(s *script) { s.trace[12].Revision = 5 }, "bookmarkable"},
		"never exact again":       {drop(14), "seamless"},
		"exact while it is not": {func(s *script) {
			drop(6)(s)
			s.trace[7].Exact = true
		}, "seamless"},
		"exact before sync": {func(s *script) { s.trace[4].Kind = "bookmark" }, "seamless"},
		"never stored": {func(s *script) {
			delete(s.life().Records, 9)
			s.life().End = 8
		}, "reliable"},
		"refused by status":             {tell(Item{Kind: "refused", Reason: "503"}), "resumable"},
		"404 while the bucket is there": {tell(Item{Kind: "refused", Reason: "404"}), "resumable"},
		"unnamed reset":                 {tell(Item{Kind: "reset", Reason: "?"}), "resumable"},
		"reset for a purge of nothing":  {tell(Item{Kind: "reset", Reason: "purged"}), "resumable"},
		"deleted while it is there":     {tell(Item{Kind: "bucket-deleted"}), "resumable"},
		"unknown event":                 {tell(Item{Kind: "news"}), "resumable"},
		"epoch that never was": {func(s *script) {
			s.trace[13].Epoch = "e0"
		}, "resumable"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := correct()
			test.spoil(s)
			caught(t, Validate(s.trace, s.settled(), plain), test.promise)
		})
	}
}

func caught(t *testing.T, found []Violation, promise string) {
	t.Helper()
	if !slices.ContainsFunc(found, func(v Violation) bool { return v.Promise == promise }) {
		t.Fatalf("%s not among %v", promise, found)
	}
}

// A revision that was lost, and overwritten later, is missed if a position was told while the
// bucket held it.
func TestLossOfWhatWasOverwrittenLaterIsCaught(t *testing.T) {
	s := correct()
	s.put(10, "d") // Revision 5 goes, after the bookmark at 6.
	s.tell(s.point("bookmark", 10, true))
	drop(6)(s)
	caught(t, Validate(s.trace, s.settled(), plain), "reliable")
}

func TestOptionsChangeWhatIsPromised(t *testing.T) {
	unchanged := func(*script) {}
	marker := func(s *script) {
		s.tell(s.store(s.life(), 10, "a", "delete"), s.point("bookmark", 10, false))
	}
	withoutHistory := func(s *script) {
		s.life().Limits[0].N = 2
		keepBoth(s)
		drop(1)(s)
	}
	cases := map[string]struct {
		view    View
		change  func(*script)
		promise string // The broken promise, "" for none.
	}{
		"markers that were not wanted": {
			View{Matches: anyKey, IgnoreDeletes: true}, marker, "reliable"},
		"exact without markers": {
			View{Matches: anyKey, IgnoreDeletes: true}, unchanged, "seamless"},
		"exact without a snapshot": {View{Matches: anyKey, UpdatesOnly: true}, func(s *script) {
			s.trace[4].Kind = "id"
			s.trace[14].Kind = "bookmark"
		}, "seamless"},
		"a value that was not wanted": {
			View{Matches: anyKey, NoValues: true}, unchanged, "reliable"},
		"not selected": {
			View{Matches: func(key string) bool { return key != "d" }}, unchanged, "reliable"},
		"a true status for lines": {
			View{Matches: anyKey, Lines: true}, tell(Item{Kind: "refused", Reason: "503"}), ""},
		"history that the snapshot left out": {
			View{Matches: anyKey, History: true}, withoutHistory, "reliable"},
		"the same is no loss without history": {plain, func(s *script) {
			withoutHistory(s)
			s.trace[3].Exact = false
		}, ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := correct()
			test.change(s)
			found := Validate(s.trace, s.settled(), test.view)
			if test.promise != "" {
				caught(t, found, test.promise)
			} else if found != nil {
				t.Fatal(found)
			}
		})
	}
}

// keepBoth makes both revisions of the key a be there when the snapshot of correct is told, and at
// the end.
func keepBoth(s *script) {
	s.life().Records[1].Kept = true
	s.life().Records[4].At = s.life().Records[3].At
}
