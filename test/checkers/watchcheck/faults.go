package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"kvgateway/test/checkers/harness"
)

// faults are those of section 7 of the contract that can be made with one server.
func (r *run) faults() []fault {
	gateway := func() *harness.Process { return r.gateway }
	nats := func() *harness.Process { return r.nats }
	all := []fault{
		{"gateway-kill", ofGateway, r.restart(gateway, syscall.SIGKILL)},
		{"gateway-term", ofGateway, r.restart(gateway, syscall.SIGTERM)},
		{"nats-kill", ofSource, r.killNATS},
		{"nats-restart", ofSource, r.restart(nats, syscall.SIGTERM)},
		{"nats-pause", ofSource, r.pauseNATS},
		{"cut-1s", ofSource, func(context.Context, *rand.Rand) error {
			r.proxy.Cut(time.Second, nil)
			return nil
		}},
		{"cut-30s", ofSource, r.unheard("cut-30s", func(meanwhile func()) {
			r.proxy.Cut(30*time.Second, meanwhile)
		})},
		{"dead-4s", ofSource, r.unheard("dead-4s", func(meanwhile func()) {
			r.proxy.Kill("(feeds)", 4*time.Second, meanwhile)
		})},
		{"partition-4s", ofSource, func(context.Context, *rand.Rand) error {
			r.proxy.Partition(4*time.Second, nil)
			return nil
		}},
		{"restore", ofSource, r.restore(false)},
		{"restore-both", ofSource, r.restore(true)},
		{"lose-tail", ofSource, r.loseTail},
	}
	all = append(all, r.bucketFaults()...)
	if r.Only == "" {
		return all
	}
	named := strings.Split(r.Only, ",")
	return slices.DeleteFunc(all, func(f fault) bool { return !slices.Contains(named, f.name) })
}

// restart stops a process with a signal and starts it again.
func (r *run) restart(process func() *harness.Process,
	signal os.Signal) func(context.Context, *rand.Rand) error {
	return func(_ context.Context, random *rand.Rand) error {
		p := process()
		err := p.Stop(signal)
		time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
		return errors.Join(err, p.Start())
	}
}

func (r *run) killNATS(ctx context.Context, random *rand.Rand) error {
	killed := time.Now()
	err := r.restart(func() *harness.Process { return r.nats }, syscall.SIGKILL)(ctx, random)
	for _, recorder := range r.recorders {
		recorder.crashed(killed)
	}
	return err
}

func (r *run) pauseNATS(_ context.Context, random *rand.Rand) error {
	err := r.nats.Signal(syscall.SIGSTOP)
	time.Sleep(time.Duration(1000+random.IntN(3000)) * time.Millisecond)
	return errors.Join(err, r.nats.Signal(syscall.SIGCONT))
}

// unheard takes connections between the gateway and NATS away: all of them, or the one over which
// the gateway learns of changes. The first time, and mostly after that, something happens to a
// bucket meanwhile that no advisory reports to the gateway.
func (r *run) unheard(name string,
	away func(meanwhile func())) func(context.Context, *rand.Rand) error {
	return func(ctx context.Context, random *rand.Rand) (err error) {
		var removal *Removal
		away(func() { removal, err = r.unseen(ctx, name, random) })
		if removal != nil {
			r.recorders[removal.bucket].known(removal, time.Now().Add(2500*time.Millisecond))
		}
		return err
	}
}

// unseen does something to a bucket. It returns the removal, if that was one.
func (r *run) unseen(ctx context.Context, fault string,
	random *rand.Rand) (*Removal, error) {
	bucket, what := changing(random), random.IntN(5)
	if !slices.ContainsFunc(r.incidents, func(i Incident) bool { return i.Name == fault }) {
		what %= 2
	}
	switch what {
	case 0:
		return r.purgeNative(ctx, bucket, "cold.>")
	case 1:
		return r.purgeNative(ctx, bucket, "")
	case 2:
		return r.purgeMarkersNative(ctx, bucket)
	case 3:
		return nil, r.recreateNative(ctx, bucket, time.Second)
	}
	return nil, nil
}

// changing returns one of the buckets that faults happen to.
func changing(random *rand.Rand) string { return bucketNames[random.IntN(2)] }

// abandon opens streams that are never read and never closed, as the clients of a machine that is
// gone do. The gateway must not suffer from them. Half of them have ended their half of the
// connection, which is no reason for the gateway to end a stream.
func (r *run) abandon(ctx context.Context, n int) {
	for i := range n {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			continue // The gateway is starting, or away.
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		_, _ = fmt.Fprintf(conn, "GET /buckets/%s/watch HTTP/1.1\r\nHost: %s\r\n"+
			"Accept: text/event-stream\r\n\r\n", bucketNames[i%3], r.addr)
		if i%2 == 0 {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}
}

// drain reads and closes the body of an answer of which only the status matters.
func drain(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, body)
	_ = body.Close()
}
