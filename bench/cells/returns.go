package cells

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kvgateway/bench/load"
	"kvgateway/bench/meter"
	"kvgateway/bench/roles"
)

// A returnSettings is what the command line of `bench returns` says.
type returnSettings struct {
	common
	clients, keys int
	rounds        int
}

// Returns measures what it takes until all clients of a bucket have its state again after their
// gateway has started anew: with the bucket in memory, and with --memory=0, where each set of
// filters is read from NATS. The two take turns, each with new processes.
func Returns(ctx context.Context, args []string, stdout, _ io.Writer) error {
	var s returnSettings
	flags := flag.NewFlagSet("bench returns", flag.ContinueOnError)
	s.define(flags)
	flags.IntVar(&s.clients, "clients", 10000, "how many clients come back")
	flags.IntVar(&s.keys, "keys", 1000, "how many keys the bucket has")
	flags.IntVar(&s.rounds, "rounds", 3, "measurements of each way")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.clients < 1 || s.clients > maxSubscribers || s.keys < 1 || s.rounds < 1 {
		return fmt.Errorf("-clients must be 1 to %d, -keys and -rounds at least 1", maxSubscribers)
	}
	dir, err := os.MkdirTemp(s.tempDir, "kvgw-bench-returns-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var rows []returnRow
	for _, own := range []bool{false, true} {
		memory := returnRow{own: own, clients: s.clients, memory: "in memory"}
		if own { // each has a snapshot of its own then, which takes a while to encode
			memory.clients = max(1, s.clients/ownPart)
		}
		none := memory
		none.memory, none.args = "`--memory=0`", []string{"--memory=0"}
		for round := range s.rounds {
			for i, row := range []*returnRow{&memory, &none} {
				run := filepath.Join(dir, fmt.Sprintf("%t-%d-%d", own, round, i))
				if err := s.measure(ctx, run, row); err != nil {
					return fmt.Errorf("own filters %t, %s: %w", own, row.memory, err)
				}
			}
		}
		rows = append(rows, memory, none)
	}
	return writeReturns(stdout, rows)
}

// ownPart is to which part of the clients each has filters of its own, where that is measured.
const ownPart = 10

// A returnRow has the figures of one way, one for each round.
type returnRow struct {
	// own: each of the clients has filters of its own, so that it shares no snapshot.
	own     bool
	clients int
	// memory says where the bucket is, and args are the gateway's.
	memory string
	args   []string
	// took is the time until all had everything, in milliseconds.
	took []float64
	// gateway and nats are their CPU times, in milliseconds.
	gateway, nats []float64
	// sent is how many KiB the nats-server has written, to its files and connections.
	sent []float64
}

const returnBucket = "/buckets/bench"

// measure adds a round to a row.
func (s *returnSettings) measure(ctx context.Context, dir string, row *returnRow) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	starter := s.starter(dir)
	defer starter.Stop()
	natsServer, err := starter.StartServer(ctx, "nats-server", "store")
	if err != nil {
		return err
	}
	args := append([]string{"--nats-url", "nats://" + natsServer.Address, "--rate", "0"},
		row.args...)
	last, err := s.prepare(ctx, starter, args)
	if err != nil {
		return err
	}
	again, err := starter.StartGateway(ctx, "gateway-again", args...)
	if err != nil {
		return err
	}
	serving := []*roles.Process{again.Serving[0], natsServer}
	return s.comeBack(serving, last, row)
}

// prepare fills the bucket through a gateway that is stopped afterwards. Each key is written twice,
// so that nobody can prove what was there before. It returns the last id of a stream.
func (s *returnSettings) prepare(
	ctx context.Context, starter *roles.Starter, args []string,
) (last string, err error) {
	gateway, err := starter.StartGateway(ctx, "gateway", args...)
	if err != nil {
		return "", err
	}
	defer gateway.Serving[0].Stop()
	address := gateway.Serving[0].Address
	err = roles.Call(ctx, http.MethodPut, "http://"+address+returnBucket, `{"history":1}`)
	if err != nil {
		return "", err
	}
	err = load.SendAll(address, 2*s.keys, func(i int) []byte {
		stamp := load.Stamp{Number: int64(i%s.keys + 1)}
		path := fmt.Sprintf("%s/keys/k.%d", returnBucket, i%s.keys)
		return load.PutRequest(address, path, "", load.StampedValue(stamp, load.EventBytes))
	})
	if err != nil {
		return "", err
	}
	return lastID(ctx, address)
}

// lastID returns the id that a stream of the whole bucket has once it has the state.
func lastID(ctx context.Context, address string) (id string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, err := roles.Send(ctx, http.MethodGet, "http://"+address+returnBucket+
		"/watch?filter=k.*&bookmarks=event", "")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for synced := false; lines.Scan(); {
		line := lines.Text()
		synced = synced || line == "event: sync"
		if id, found := strings.CutPrefix(line, "id: "); synced && found {
			return id, nil
		}
	}
	return "", errors.Join(lines.Err(), errors.New("the stream had no sync"))
}

// comeBack lets all clients come, half of them with their last id, and waits until each has every
// key.
func (s *returnSettings) comeBack(
	serving []*roles.Process, last string, row *returnRow,
) error {
	before, err := returnUsageOf(serving)
	if err != nil {
		return err
	}
	address := serving[0].Address
	requests := make([][]byte, row.clients)
	for i := range requests {
		path := returnBucket + "/watch?filter=k.*"
		if row.own {
			path += fmt.Sprintf("&filter=none.%d", i)
		}
		if i%2 == 0 {
			path += "&after=" + last
		}
		requests[i] = load.StreamRequest(address, path)
	}
	subs, err := load.Subscribe(address, requests, 1)
	if err != nil {
		return err
	}
	defer subs.Close()
	expected := make(chan int64, 1)
	expected <- int64(row.clients * s.keys)
	if err := subs.Collect(expected); err != nil {
		return err
	}
	after, err := returnUsageOf(serving)
	if err != nil {
		return err
	}
	used := after.cpu.Since(before.cpu).Serving
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	row.took = append(row.took, ms(after.at.Sub(before.at)))
	row.gateway, row.nats = append(row.gateway, ms(used[0])), append(row.nats, ms(used[1]))
	row.sent = append(row.sent, float64(after.written-before.written)/1024)
	return nil
}

// A returnUsage is what the gateway and the nats-server have used up to a moment.
type returnUsage struct {
	at  time.Time
	cpu meter.CPU
	// written is how many bytes the nats-server has written.
	written int64
}

// returnUsageOf reads what a gateway and its nats-server have used.
func returnUsageOf(serving []*roles.Process) (u returnUsage, err error) {
	if u.cpu, err = roles.ReadCPU(serving); err != nil {
		return u, err
	}
	u.written, err = serving[1].Written()
	u.at = time.Now()
	return u, err
}

// writeReturns writes a table of the medians, with the least and the greatest of the rounds.
func writeReturns(out io.Writer, rows []returnRow) error {
	text := "| clients | filters | the bucket | all had it, ms | gateway CPU ms " +
		"| NATS CPU ms | NATS wrote KiB |\n|---|---|---|---|---|---|---|\n"
	for _, r := range rows {
		filters := "the same"
		if r.own {
			filters = "their own"
		}
		text += fmt.Sprintf("| %d | %s | %s |", r.clients, filters, r.memory)
		for _, rounds := range [][]float64{r.took, r.gateway, r.nats, r.sent} {
			text += fmt.Sprintf(" %.0f (%.0f–%.0f) |", meter.SpreadOf(rounds).Median,
				slices.Min(rounds), slices.Max(rounds))
		}
		text += "\n"
	}
	_, err := io.WriteString(out, text)
	return err
}
