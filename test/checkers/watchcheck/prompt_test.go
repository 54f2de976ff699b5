package main

import (
	"testing"
	"time"

	"kvgateway/test/checkers/harness"
)

// restarted is a stream over a long loss of the source, after which NATS takes a write again and
// the stream tells of it.
func restarted(after time.Duration) (*script, []Incident) {
	s := newScript("e1")
	s.tell(Item{Kind: "connect"})
	s.put(1, "a")
	s.tell(s.point("sync", 1, true))
	cut := Incident{Name: "cut", On: ofSource, Start: s.tick(),
		Bucket: "b", Epoch: "e1", Revision: 2}
	s.tell(Item{Kind: "stale"})
	s.now = s.now.Add(20 * time.Second)
	change := s.store(s.life(), 2, "a", "put")
	cut.End, cut.Ready = s.now, s.now
	s.now = s.now.Add(after - 2*time.Second) // Two ticks follow.
	s.tell(Item{Kind: "live"}, change, s.point("bookmark", 2, true))
	return s, []Incident{cut}
}

func TestPromptnessIsJudged(t *testing.T) {
	const inTime = 2 * time.Second
	cases := map[string]struct {
		after   time.Duration
		spoil   func(*script)
		promise string
	}{
		"in time": {inTime, nil, ""},
		"late":    {4 * time.Second, nil, "timely"},
		"not told to be stale": {inTime, func(s *script) {
			drop(4)(s)
			drop(3)(s)
		}, "stale"},
		"told too late": {inTime, func(s *script) {
			s.trace[3].At = s.trace[3].At.Add(10 * time.Second)
		}, "stale"},
		"live without stale": {inTime, func(s *script) { s.tell(Item{Kind: "live"}) }, "stale"},
		"stale without a cause": {inTime, func(s *script) {
			s.now = s.now.Add(time.Minute)
			s.tell(Item{Kind: "stale"}, Item{Kind: "live"})
		}, "stale"},
		"left stale": {inTime, drop(4), "stale"},
		"exact while stale": {inTime, func(s *script) {
			s.trace[4].Kind, s.trace[4].Exact = "bookmark", true
		}, "stale"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s, incidents := restarted(test.after)
			if test.spoil != nil {
				test.spoil(s)
			}
			timing := Timing{First: map[string]time.Duration{}}
			found := CheckPrompt(s.trace, s.settled(), incidents, new(harness.Noise), &timing)
			if test.promise != "" {
				caught(t, found, test.promise)
			} else if found != nil || timing.First["cut"] != test.after {
				t.Fatal(found, timing)
			}
		})
	}
}

func TestIsolationIsJudged(t *testing.T) {
	s, always := correct(), func(time.Time) bool { return true }
	check := func(noise *harness.Noise) []Violation {
		return CheckIsolated(s.trace, s.settled(), always, noise, new(Timing))
	}
	if found := check(new(harness.Noise)); found != nil {
		t.Fatal(found)
	}
	s.life().Records[9].At = s.life().Records[9].At.Add(-2 * time.Second)
	caught(t, check(new(harness.Noise)), "isolated")
	busy := new(harness.Noise)
	busy.Late(s.trace[13].At, 2*time.Second)
	if found := check(busy); found != nil {
		t.Fatal(found)
	}
}

func TestShutdownNeedsAGoaway(t *testing.T) {
	s := correct()
	term := []Incident{{Name: "gateway-term", Start: s.now}}
	check := func() []Violation {
		timing := Timing{First: map[string]time.Duration{}}
		return CheckPrompt(s.trace, s.settled(), term, new(harness.Noise), &timing)
	}
	s.tell(Item{Kind: "goaway", Reason: "shutdown"}, Item{Kind: "closed"})
	if found := check(); found != nil {
		t.Fatal(found)
	}
	drop(15)(s)
	caught(t, check(), "resumable")
}
