package main

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"kvgateway/test/checkers/adversary/innocent"
)

// What is claimed of an innocent client beside an attack. README.md says why.
const (
	// longestP99 is the longest time that 99 of 100 requests may take, whatever the attack.
	longestP99 = 100 * time.Millisecond
	// harmlessTimes is how many times longer the p99 may be than beside a harmless load that takes
	// the same CPU time.
	harmlessTimes = 2
	// noticeable is the p99 up to which it is not compared with that beside a harmless load. Of so
	// few requests the ninety-ninth is mostly one that the disk or the machine held up.
	noticeable = 40 * time.Millisecond
	// mostMemory is the memory that the gateway's process may take, in bytes.
	mostMemory = 512 << 20
	// endsWithin is the gateway's default --shutdown-timeout, and two seconds for what follows it.
	endsWithin = 12 * time.Second
)

// An Outcome is what was seen beside an attack, or beside a harmless load.
type Outcome struct {
	// Name is that of the attack.
	Name string
	// Samples are the requests of the innocent client.
	Samples []innocent.Sample
	// Late returns how late the machine ran the checker between two moments. That is subtracted
	// from the time of a request.
	Late func(from, to time.Time) time.Duration
	// Streams are what the client's streams did wrong.
	Streams []string
	// Peak is the largest memory that the gateway's process had, in bytes.
	Peak int64
	// Cores is the CPU time of the gateway and its attacker, divided by the time of the attack.
	Cores float64
	// Gateway is the part of Cores that the gateway took.
	Gateway float64
	// Answers is nil if the gateway answered after the attack.
	Answers error
	// Ended is how long the gateway took to end after SIGTERM.
	Ended time.Duration
	// EndErr says what was wrong with its end, or is nil.
	EndErr error
	// SameAddress says that the attacker had the innocent client's own address.
	SameAddress bool
	// FewDescriptors says that the attack uses up the descriptors. A connection that the gateway
	// cannot keep for the time of an answer is reset.
	FewDescriptors bool
}

// Limits adapt the claims to the machine.
type Limits struct {
	// Slack is a factor for the bounds of time.
	Slack float64
	// Idle is the p99 beside no load at all. If it is longer than quietIdle, the bounds are longer
	// in proportion.
	Idle time.Duration
}

// quietIdle is the p99 beside no load on two cores that have nothing else to do. It is due to the
// syncs of a transaction and to the exports.
const quietIdle = 25 * time.Millisecond

// scale returns a bound of time for this machine.
func (l Limits) scale(d time.Duration) time.Duration {
	return time.Duration(float64(d) * l.Slack * max(1, l.Idle.Seconds()/quietIdle.Seconds()))
}

// A Failure is a claim that did not hold.
type Failure struct {
	// Text says what was seen.
	Text string
	// Timed says that it is only about time, so that other work of the machine may be the reason.
	// It counts if it is seen again.
	Timed bool
}

// A Point is a measurement beside a harmless load.
type Point struct {
	// Cores is what Outcome.Cores is.
	Cores float64
	// P99 is the time that 99 of 100 requests took at most.
	P99 time.Duration
}

// A Curve says how long requests take beside harmless loads. Its points rise in cores.
type Curve []Point

// At returns the p99 beside a harmless load that takes so many cores, interpolated between the two
// nearest points. More load never makes requests faster, so a point is a minimum for all beyond it.
func (c Curve) At(cores float64) time.Duration {
	var before Point
	for i, p := range c {
		p.P99 = max(p.P99, before.P99)
		if p.Cores >= cores {
			if i == 0 || p.Cores == before.Cores {
				return p.P99
			}
			part := (cores - before.Cores) / (p.Cores - before.Cores)
			return before.P99 + time.Duration(part*float64(p.P99-before.P99))
		}
		before = p
	}
	return before.P99
}

// Judge returns the claims that did not hold.
func Judge(o Outcome, harmless Curve, limits Limits) (failures []Failure) {
	strict := func(format string, args ...any) {
		failures = append(failures, Failure{Text: fmt.Sprintf(format, args...)})
	}
	if o.Peak > mostMemory {
		strict("the gateway took %d MiB, more than %d", o.Peak>>20, mostMemory>>20)
	}
	if o.Answers != nil {
		strict("it does not answer after the attack: %v", o.Answers)
	}
	if o.EndErr != nil {
		strict("SIGTERM: %v", o.EndErr)
	}
	if o.SameAddress {
		return append(failures, judgeShared(o)...)
	}
	if wrong := o.wrong(); len(wrong) > 0 {
		strict("%d of %d requests were refused or failed: %s",
			len(wrong), len(o.Samples), kinds(wrong))
	}
	failures = append(failures, judgeTimes(o, harmless, limits)...)
	for _, text := range o.Streams {
		strict("%s", text)
	}
	return failures
}

// judgeTimes returns the claims about time that did not hold.
func judgeTimes(o Outcome, harmless Curve, limits Limits) (failures []Failure) {
	timed := func(format string, args ...any) {
		failures = append(failures,
			Failure{fmt.Sprintf(format, args...) + "; the slowest: " + o.slowest(), true})
	}
	p99, beside := o.Quantile(0.99), harmless.At(o.Cores)
	if bound := limits.scale(longestP99); p99 > bound {
		timed("99 %% of the requests took up to %v, more than %v", round(p99), round(bound))
	}
	relative := time.Duration(float64(harmlessTimes*beside) * limits.Slack)
	if p99 > max(relative, limits.scale(noticeable)) {
		timed("99 %% of the requests took up to %v, beside a harmless load of %.2f cores %v",
			round(p99), o.Cores, round(beside))
	}
	return failures
}

// refusals are parts of the errors of requests that were refused: by a status, or, as a stream
// whose first event is larger than what its socket and its share of memory take, by a cut.
var refusals = []string{": 429 ", ": 503 ", ": goaway slow", ": it was cut before"}

// resets are parts of the errors of requests whose connection was reset.
var resets = []string{"reset by peer", "broken pipe", "EOF", "readLoopPeekFailLocked"}

// judgeShared judges the weaker claims for a client that the gateway cannot distinguish from the
// attacker. It may be refused, with an answer that says so, and may wait, but nothing that it is
// told may be wrong.
func judgeShared(o Outcome) (failures []Failure) {
	var wrong []innocent.Sample
	for _, s := range o.wrong() {
		refused := func(how string) bool { return strings.Contains(s.Err, how) }
		if !slices.ContainsFunc(refusals, refused) &&
			!(o.FewDescriptors && slices.ContainsFunc(resets, refused)) {
			wrong = append(wrong, s)
		}
	}
	if len(wrong) > 0 {
		failures = append(failures, Failure{Text: fmt.Sprintf(
			"%d of %d requests failed otherwise than with 429 or 503: %s",
			len(wrong), len(o.Samples), kinds(wrong))})
	}
	for _, text := range o.Streams {
		failures = append(failures, Failure{Text: text})
	}
	return failures
}

// wrong returns the samples that were refused or failed.
func (o Outcome) wrong() (wrong []innocent.Sample) {
	for _, s := range o.Samples {
		if s.Err != "" {
			wrong = append(wrong, s)
		}
	}
	return wrong
}

// kinds counts failures by operation, and appends the first of them.
func kinds(wrong []innocent.Sample) string {
	counts := map[string]int{}
	for _, s := range wrong {
		counts[s.Op]++
	}
	var ops []string
	for op, n := range counts {
		ops = append(ops, fmt.Sprintf("%s %d", op, n))
	}
	sort.Strings(ops)
	return strings.Join(ops, ", ") + "; the first: " + wrong[0].Err
}

// Quantile returns the time within which a part of the requests was answered, without the time
// during which the machine did not run the checker. A failure counts with the time that it took.
func (o Outcome) Quantile(part float64) time.Duration {
	var took []time.Duration
	for _, s := range o.Samples {
		took = append(took, o.took(s))
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(part*float64(len(took))))]
}

// took returns how long a request took, without the time during which the machine did not run the
// checker.
func (o Outcome) took(s innocent.Sample) time.Duration {
	return max(0, s.Took-o.Late(s.At, s.At.Add(s.Took)))
}

// slowest names the operations of the slowest requests.
func (o Outcome) slowest() string {
	sorted := slices.Clone(o.Samples)
	slices.SortFunc(sorted, func(a, b innocent.Sample) int { return int(o.took(b) - o.took(a)) })
	var texts []string
	for _, s := range sorted[:min(6, len(sorted))] {
		texts = append(texts, fmt.Sprintf("%s %v", s.Op, round(o.took(s))))
	}
	return strings.Join(texts, ", ")
}

// round rounds a duration to a precision that is worth printing.
func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}
