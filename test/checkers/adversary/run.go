package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kvgateway/test/checkers/adversary/attack"
	"kvgateway/test/checkers/adversary/innocent"
	"kvgateway/test/checkers/harness"
)

// The gateway distinguishes the clients by these addresses. All of 127.0.0.0/8 is the loopback.
const (
	innocentAddress = "127.0.0.1"
	attackerAddress = "127.0.0.2"
)

// A run is one run of the checker.
type run struct {
	duration, each time.Duration
	seed           uint64
	binary, output string
	only, same     string
	rate           int
	limits         Limits

	noise    harness.Noise
	harmless Curve
	outcomes []Outcome
}

// harmlessRates are the numbers of requests a second of the harmless loads. The last one stands for
// as many as are answered.
var harmlessRates = []int{0, 1000, 4000, 1_000_000}

// overhead is about how long the start, setup, settling and end take for each attack.
const overhead = 2500 * time.Millisecond

// all measures the harmless loads and makes all attacks.
func (r *run) all(ctx context.Context) error {
	fmt.Printf("seed %d\n", r.seed)
	go r.noise.Listen()
	attacks, shared, err := r.chosen()
	if err != nil {
		return err
	}
	if r.each == 0 {
		rounds := len(attacks) + len(shared) + len(harmlessRates)
		r.each = max(time.Second, r.duration/time.Duration(rounds)-overhead)
	}
	if err := r.measureHarmless(ctx, harmlessRates); err != nil {
		return err
	}
	printHead()
	failed := r.attackAll(ctx, attacks, attackerAddress)
	failed = append(failed, r.attackAll(ctx, shared, innocentAddress)...)
	fmt.Printf("the machine let the checker wait up to %v\n", round(r.noise.Worst()))
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case len(failed) > 0:
		return fmt.Errorf("an innocent client was harmed by %d attacks: %s", len(failed),
			strings.Join(failed, ", "))
	}
	return nil
}

// chosen returns the attacks from another address and those from the innocent client's own.
func (r *run) chosen() (attacks, shared []attack.Attack, err error) {
	pick := func(names string) (picked []attack.Attack) {
		for name := range strings.SplitSeq(names, ",") {
			if name == "" {
				continue
			}
			a, err2 := attack.Find(name)
			err = errors.Join(err, err2)
			picked = append(picked, a)
		}
		return picked
	}
	attacks = attack.Closed()
	if r.only != "" {
		attacks = pick(r.only)
	}
	shared = attack.Closed()
	if r.same != "all" {
		shared = pick(r.same)
	}
	if r.only == "none" {
		return nil, shared, nil
	}
	return attacks, shared, err
}

// measureHarmless measures the innocent client beside harmless loads of some rates, and adds points
// to the curve.
func (r *run) measureHarmless(ctx context.Context, rates []int) error {
	for _, rate := range rates {
		o, err := r.beside(ctx, attack.Attack{Name: fmt.Sprintf("harmless-%d", rate)},
			attackerAddress, "honest", fmt.Sprint(rate))
		if err != nil {
			return err
		}
		if wrong := o.wrong(); len(wrong) > 0 {
			return fmt.Errorf("beside a harmless load %s", kinds(wrong))
		}
		if len(o.Streams) > 0 {
			return fmt.Errorf("beside a harmless load %s", strings.Join(o.Streams, "; "))
		}
		r.harmless = append(r.harmless, Point{o.Cores, o.Quantile(0.99)})
		if rate == 0 {
			r.limits.Idle = max(r.limits.Idle, o.Quantile(0.99))
		}
		fmt.Printf(
			"beside %7d honest requests a second: %.2f cores, p50 %v, p99 %v, longest %v; %s\n",
			rate, o.Cores, round(o.Quantile(0.5)), round(o.Quantile(0.99)), round(o.Quantile(1)),
			o.slowest())
	}
	slices.SortFunc(r.harmless, func(a, b Point) int { return int((a.Cores - b.Cores) * 1000) })
	return nil
}

// attackAll makes the attacks and returns the names of those that harmed the innocent client. The
// reasons are printed below their rows in the table.
func (r *run) attackAll(ctx context.Context, attacks []attack.Attack,
	from string) (failed []string) {
	for _, a := range attacks {
		if ctx.Err() != nil {
			return failed
		}
		failures, err := r.attack(ctx, a, from)
		if err != nil {
			fmt.Printf("%-24s could not be made: %v\n", a.Name, err)
		}
		if err != nil || len(failures) > 0 {
			failed = append(failed, a.Name)
		}
	}
	return failed
}

// attack makes an attack. If only times were too long, the machine may be the reason: then it
// measures the harmless loads again and repeats the attack, at most twice.
func (r *run) attack(ctx context.Context, a attack.Attack,
	from string) (failures []Failure, err error) {
	for try := range 3 {
		if try > 0 {
			if err := r.measureHarmless(ctx, []int{0, 4000}); err != nil {
				return nil, err
			}
		}
		o, err := r.beside(ctx, a, from, "attack", a.Name)
		if err != nil {
			return nil, err
		}
		failures = Judge(o, r.harmless, r.limits)
		printRow(o, r.harmless, failures)
		if len(failures) == 0 ||
			slices.ContainsFunc(failures, func(f Failure) bool { return !f.Timed }) {
			break
		}
	}
	return failures, nil
}

// beside runs the innocent client beside a child with a role, on a gateway of its own.
func (r *run) beside(ctx context.Context, a attack.Attack, from string,
	role ...string) (o Outcome, err error) {
	o = Outcome{Name: a.Name, Late: r.noise.Between, SameAddress: from == innocentAddress,
		FewDescriptors: a.Files > 0}
	if o.SameAddress {
		o.Name += " (same address)"
	}
	g, err := startGateway(ctx, r.binary, filepath.Join(r.output, o.Name+".log"), a.Files)
	if err != nil {
		return o, err
	}
	defer g.remove()
	random := rand.New(rand.NewPCG(r.seed, 1))
	client := innocent.New(g.addr, innocentAddress, o.SameAddress)
	if err := client.Prepare(ctx, random); err != nil {
		return o, err
	}
	c, err := startChild(append(role, g.addr, from)...)
	if err != nil {
		return o, err
	}
	killed := false
	defer func() {
		if !killed {
			c.kill()
		}
	}()
	if err := client.Follow(ctx); err != nil {
		return o, err
	}
	began, cpu := time.Now(), g.cpu()
	if err := c.start(); err != nil {
		return o, err
	}
	client.Work(ctx, random, r.rate, r.each)
	elapsed := time.Since(began).Seconds()
	o.Gateway = (g.cpu() - cpu).Seconds() / elapsed
	o.Cores = o.Gateway + c.kill().Seconds()/elapsed // The setup counts, in the attacker's favour.
	killed = true
	o.Streams = client.Finish()
	o.Samples = client.Samples()
	o.Answers = g.answers(ctx, 2*time.Second)
	o.Peak = g.peak()
	o.Ended, o.EndErr = g.stop(endsWithin)
	return o, nil
}
