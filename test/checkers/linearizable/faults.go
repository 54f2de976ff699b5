package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"kvgateway/test/checkers/harness"
)

// A fault is something that happens to a gateway, to NATS, or between the two.
type fault struct {
	name   string
	inject func(random *rand.Rand) error
}

func (r *run) faults() []fault {
	all := []fault{
		{"gateway-kill", func(random *rand.Rand) error {
			return restart(r.site(random).gateway, syscall.SIGKILL, random)
		}},
		{"gateway-term", func(random *rand.Rand) error {
			return restart(r.site(random).gateway, syscall.SIGTERM, random)
		}},
		{"gateway-pause", func(random *rand.Rand) error {
			return suspend(r.site(random).gateway, random)
		}},
		{"nats-kill", r.killNATS},
		{"nats-pause", func(random *rand.Rand) error { return suspend(r.nats, random) }},
		{"cut", func(random *rand.Rand) error {
			r.site(random).proxy.Cut(between(random, 50, 1000), nil)
			return nil
		}},
		{"partition", func(random *rand.Rand) error {
			r.site(random).proxy.Partition(between(random, 300, 2500), nil)
			return nil
		}},
	}
	if r.Only == "" {
		return all
	}
	named := strings.Split(r.Only, ",")
	return slices.DeleteFunc(all, func(f fault) bool { return !slices.Contains(named, f.name) })
}

// site returns one of the two sites.
func (r *run) site(random *rand.Rand) *site { return r.sites[random.IntN(len(r.sites))] }

// between returns a random duration between two numbers of milliseconds.
func between(random *rand.Rand, least, most int) time.Duration {
	return time.Duration(least+random.IntN(most-least)) * time.Millisecond
}

func restart(p *harness.Process, signal os.Signal, random *rand.Rand) error {
	err := p.Stop(signal)
	time.Sleep(between(random, 0, 500))
	return errors.Join(err, p.Start())
}

func (r *run) killNATS(random *rand.Rand) error {
	r.lives.Add(1)
	return restart(r.nats, syscall.SIGKILL, random)
}

// suspend stops a process for a time that some clients outwait and others do not.
func suspend(p *harness.Process, random *rand.Rand) error {
	err := p.Signal(syscall.SIGSTOP)
	time.Sleep(between(random, 300, 2500))
	return errors.Join(err, p.Signal(syscall.SIGCONT))
}

// disturb injects one fault after the other until the time is over. Each round has all of them, in
// an order that the seed determines.
func (r *run) disturb(ctx context.Context) {
	random := rand.New(rand.NewPCG(r.Seed, 1))
	all := r.faults()
	for len(all) > 0 {
		for _, i := range random.Perm(len(all)) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(between(random, 500, 2500)):
			}
			at := time.Duration(r.history.now())
			if err := all[i].inject(random); err != nil {
				r.fail(fmt.Errorf("%s: %w", all[i].name, err))
			}
			took := time.Duration(r.history.now()) - at
			fmt.Printf("%6.1fs %s, %v\n", at.Seconds(), all[i].name, took.Round(time.Millisecond))
		}
	}
}
