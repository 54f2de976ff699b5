package native

import (
	"fmt"
	"strconv"
	"sync"
	"time"
)

// rounds is how many races are run.
const rounds = 60

// A lead is by how much HTTP begins before the client; below zero it is the client that does. After
// each round the one that lost begins earlier than before, so that both win, whichever is faster.
type lead struct {
	by   time.Duration
	step time.Duration // the size of the last change; it doubles while the same one wins
	last string        // the winner of the last round
}

// These bound how much a lead changes at a time.
const (
	minStep = 50 * time.Microsecond
	maxStep = 20 * time.Millisecond
)

func (l *lead) after(winner string) {
	if l.step *= 2; winner != l.last {
		l.step = minStep
	}
	l.last, l.step = winner, min(l.step, maxStep)
	if winner == "native" {
		l.by += l.step
	} else {
		l.by -= l.step
	}
}

// checkRace has the client and HTTP update one key from the same revision at the same time, round
// after round. One wins each round, and each of them wins some.
func checkRace(s *scene) {
	s.create(`{"history":64}`)
	revision := s.put("a", "0")
	wins := map[string]int{}
	history := []string{"put 0"}
	var ahead lead
	for round := range rounds {
		var winner string
		winner, revision = s.race(revision, fmt.Sprint(round), ahead.by)
		ahead.after(winner)
		wins[winner]++
		value := fmt.Sprint(winner, " ", round)
		history = append(history, "put "+value)
		s.wantValue("a", revision, value)
		s.wantEntry("a", revision, value)
	}
	s.wantHistory("a", history...)
	s.t.Logf("won: %v", wins)
	if wins["native"] == 0 || wins["http"] == 0 {
		s.t.Errorf("won: %v; want each of the two to win a round", wins)
	}
}

// race has the client and HTTP update the key a from a revision, and returns who won, "native" or
// "http", with the new revision. The value is the winner's name and the round.
func (s *scene) race(
	revision, round string, httpLead time.Duration,
) (winner, newRevision string) {
	s.t.Helper()
	var over answer
	var overErr error
	var both sync.WaitGroup
	both.Go(func() {
		time.Sleep(-httpLead)
		over, overErr = s.gateway.do("PUT", "/buckets/"+s.bucket+"/keys/a",
			[]byte("http "+round), header{"If-Match", revision})
	})
	time.Sleep(httpLead)
	own, err := s.adapter.ask("update", "a", text("native "+round), revision)
	both.Wait()
	if err != nil || overErr != nil {
		s.t.Fatal(err, overErr)
	}
	switch {
	case own.kind == "ok" && over.status == 412:
		return "native", own.fields[0]
	case own.kind == "conflict" && over.status == 200:
		return "http", s.written(over)
	}
	s.t.Fatalf("round %s: natively %v, over HTTP %d %s", round, own, over.status, over.body)
	return "", ""
}

// increments is how often each of the two counts.
const increments = 100

// checkCounter has the client and HTTP count in one key at the same time.
func checkCounter(s *scene) {
	s.create(`{}`)
	s.put("n", "0")
	lost := make(chan int, 1)
	go func() { lost <- s.incrementOverHTTP("n", increments) }()
	got := s.want("ok", "increment", "n", strconv.Itoa(increments))
	overHTTP := <-lost
	value := s.http(200, "GET", "/keys/n", "")
	if string(value.body) != strconv.Itoa(2*increments) {
		s.t.Errorf("counted %s of %d", value.body, 2*increments)
	}
	s.wantEntry("n", value.header.Get("KV-Revision"), strconv.Itoa(2*increments))
	s.t.Logf("races lost: natively %s, over HTTP %d", got[0], overHTTP)
}

// incrementOverHTTP adds one to a number as often as told and returns how often it lost a race, or
// -1 after a failure.
func (s *scene) incrementOverHTTP(key string, times int) (lost int) {
	path := "/buckets/" + s.bucket + "/keys/" + key
	for done := 0; done < times; {
		value, err := s.gateway.do("GET", path, nil, nil)
		n, notANumber := strconv.Atoi(string(value.body))
		if err != nil || notANumber != nil {
			s.t.Errorf("GET: %v, %d %s", err, value.status, value.body)
			return -1
		}
		written, err := s.gateway.do("PUT", path, []byte(strconv.Itoa(n+1)),
			header{"If-Match", value.header.Get("ETag")})
		switch {
		case err == nil && written.status == 200:
			done++
		case err == nil && written.status == 412:
			lost++
		default:
			s.t.Errorf("PUT: %v, %d %s", err, written.status, written.body)
			return -1
		}
	}
	return lost
}
