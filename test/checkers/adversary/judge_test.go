package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kvgateway/test/checkers/adversary/innocent"
)

// calm is an outcome with nothing wrong: a thousand requests of a millisecond each.
func calm() Outcome {
	o := Outcome{
		Name:  "calm",
		Peak:  100 << 20,
		Cores: 0.5,
		Late:  func(_, _ time.Time) time.Duration { return 0 },
	}
	for range 1000 {
		o.Samples = append(o.Samples,
			innocent.Sample{Op: "get", At: time.Unix(1000, 0), Took: time.Millisecond})
	}
	return o
}

// slow returns a function that makes n requests of an outcome take that long.
func slow(n int, took time.Duration) func(*Outcome) {
	return func(o *Outcome) {
		for i := range n {
			o.Samples[i].Took = took
		}
	}
}

// failing returns a function that makes one request of an outcome fail.
func failing(text string) func(*Outcome) {
	return func(o *Outcome) { o.Samples[7].Err = text }
}

var harmless = Curve{{0.1, 10 * time.Millisecond}, {1, 40 * time.Millisecond}}

func TestClaimsAreJudged(t *testing.T) {
	cases := map[string]struct {
		spoil func(*Outcome)
		want  string // A part of the first failure, "" for none.
		timed bool
	}{
		"nothing wrong": {func(*Outcome) {}, "", false},
		"a request refused": {
			failing("GET /keys: 503 instead of 200"), "1 of 1000 requests", false},
		"a connection lost":       {failing("EOF"), "1 of 1000 requests", false},
		"two in a hundred slow":   {slow(20, 120*time.Millisecond), "more than 100ms", true},
		"one in two hundred slow": {slow(5, time.Second), "", false},
		"slower than a harmless load": {
			slow(20, 60*time.Millisecond), "beside a harmless load", true},
		"twice a harmless load": {slow(20, 45*time.Millisecond), "", false},
		"slower, and not noticeable": {func(o *Outcome) {
			o.Cores = 0.1
			slow(20, 38*time.Millisecond)(o)
		}, "", false},
		"too much memory":              {func(o *Outcome) { o.Peak = 513 << 20 }, "513 MiB", false},
		"as much memory as is allowed": {func(o *Outcome) { o.Peak = 512 << 20 }, "", false},
		"no answer afterwards": {
			func(o *Outcome) { o.Answers = errors.New("timeout") }, "does not answer", false},
		"no end": {
			func(o *Outcome) { o.EndErr = errors.New("it had not ended") }, "SIGTERM", false},
		"a stream that was reset": {
			func(o *Outcome) { o.Streams = []string{"reset"} }, "reset", false},
		"late because of the machine": {func(o *Outcome) {
			slow(20, 120*time.Millisecond)(o)
			o.Late = func(_, _ time.Time) time.Duration { return 110 * time.Millisecond }
		}, "", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			o := calm()
			test.spoil(&o)
			failures := Judge(o, harmless, Limits{Slack: 1})
			if test.want == "" {
				if failures != nil {
					t.Fatal(failures)
				}
				return
			}
			if len(failures) == 0 || !strings.Contains(failures[0].Text, test.want) ||
				failures[0].Timed != test.timed {
				t.Fatalf("%+v", failures)
			}
		})
	}
}

// A client that has the attacker's address is judged by weaker claims.
func TestWeakerClaimsAreJudgedForASharedAddress(t *testing.T) {
	cases := map[string]struct {
		spoil func(*Outcome)
		fails bool
	}{
		"slow":              {slow(1000, time.Second), false},
		"told to come back": {failing("GET /keys: 429 instead of 200"), false},
		"told to wait":      {failing("GET /keys: 503 instead of 200"), false},
		"timed out":         {failing("GET /keys: 504 instead of 200"), true},
		"cut off":           {failing("EOF"), true},
		"wrong":             {failing("the value is another"), true},
		"too much memory":   {func(o *Outcome) { o.Peak = 600 << 20 }, true},
		"a stream that is wrong": {
			func(o *Outcome) { o.Streams = []string{"revision 3 after 4"} }, true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			o := calm()
			o.SameAddress = true
			test.spoil(&o)
			failures := Judge(o, harmless, Limits{Slack: 1})
			if (len(failures) > 0) != test.fails {
				t.Fatal(failures)
			}
		})
	}
}

// What is slow without any load is not the attack's doing.
func TestBusyMachineHasLongerBounds(t *testing.T) {
	o := calm()
	slow(20, 120*time.Millisecond)(&o)
	busy := Curve{{0.1, 60 * time.Millisecond}, {1, 80 * time.Millisecond}}
	limits := Limits{Slack: 1, Idle: 60 * time.Millisecond}
	if failures := Judge(o, busy, limits); failures != nil {
		t.Fatal(failures)
	}
	slow(20, 300*time.Millisecond)(&o)
	if failures := Judge(o, busy, limits); len(failures) != 2 {
		t.Fatal(failures)
	}
}

func TestCurveIsReadBetweenItsPoints(t *testing.T) {
	c := Curve{
		{0.2, 10 * time.Millisecond},
		{1, 50 * time.Millisecond},
		{1.5, 30 * time.Millisecond},
	}
	for cores, want := range map[float64]time.Duration{
		0.1: 10 * time.Millisecond,
		0.6: 30 * time.Millisecond,
		1:   50 * time.Millisecond,
		1.5: 50 * time.Millisecond, // More load is not faster.
		2:   50 * time.Millisecond,
	} {
		if got := c.At(cores); got.Round(time.Microsecond) != want {
			t.Errorf("beside %v cores %v, not %v", cores, got, want)
		}
	}
}
