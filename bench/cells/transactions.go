package cells

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"kvgateway/bench/load"
	"kvgateway/bench/meter"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

// What the cells of transactions differ in.
var (
	transactionSyncs    = []string{"always", roles.SyncInterval.String()}
	transactionStorages = []string{"file", "memory"}
	transactionKeys     = []int{1, 2, 100, 1000}          // one key is a single PUT
	transactionRates    = []int{0, 10, 20, 50, 100, 1000} // a second
	transactionCells    = len(transactionStorages)*len(transactionKeys) + len(transactionRates)
)

const (
	transactionWriters    = 16  // the clients that PUT beside transactions
	transactionValueBytes = 128 // of each value
)

// A transactionLab measures one gateway.
type transactionLab struct {
	address  string
	sync     string        // its --sync
	time     time.Duration // length of one measurement
	client   *http.Client
	progress *progress
	cell     int // how many cells have begun
	rows     []report.Row
}

// Transactions measures what transactions cost, and what they cost the bucket's other writers,
// with two settings of --sync.
func Transactions(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var s common
	flags := flag.NewFlagSet("bench transactions", flag.ContinueOnError)
	flags.SetOutput(stderr)
	s.define(flags)
	length := flags.Duration("time", 3*time.Second, "length of one measurement")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.tempDir, "kvgw-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	started := time.Now()
	r := report.Results{Run: report.Run{
		Benchmark: report.Transactions, Rounds: 1, RoundTime: length.String()}}
	cells := len(transactionSyncs) * transactionCells
	l := &transactionLab{
		time: *length, progress: newProgress(stderr, cells, cells),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
	}
	defer l.progress.close()
	for _, l.sync = range transactionSyncs {
		args := append([]string{"serve", "--listen=127.0.0.1:0", "--log-format=json",
			"--data-dir=" + dir + "/" + l.sync, "--sync=" + l.sync, "--transaction-rate=0"},
			s.gatewayArgs...)
		gateway, err := roles.StartProcess(ctx, "gateway-"+l.sync, dir, "", s.gateway, args...)
		if err != nil {
			return err
		}
		l.address = gateway.Address
		err = l.measure(ctx)
		gateway.Stop()
		if err != nil {
			return err
		}
	}
	r.Rows = l.rows
	return s.finish(r, started, stdout)
}

// measure measures all cells on one gateway.
func (l *transactionLab) measure(ctx context.Context) error {
	for _, storage := range transactionStorages {
		config := `{"allow_atomic":true,"storage":"` + storage + `"}`
		if err := l.send("PUT", "/buckets/"+storage, "application/json", config); err != nil {
			return err
		}
		for _, keys := range transactionKeys {
			if err := l.alone(ctx, storage, keys); err != nil {
				return err
			}
		}
	}
	for _, rate := range transactionRates {
		if err := l.beside(ctx, rate); err != nil {
			return err
		}
	}
	return nil
}

// begin begins a cell.
func (l *transactionLab) begin(ctx context.Context, cell string) (report.Row, error) {
	l.progress.step(l.cell, "--sync "+l.sync+", "+cell, 0, 1)
	l.cell++
	return report.Row{Cell: cell, System: l.sync}, ctx.Err()
}

// alone measures single PUTs, with one key, or transactions of more.
func (l *transactionLab) alone(ctx context.Context, storage string, keys int) error {
	name, send := "PUT", func() error {
		value := string(load.Payload(transactionValueBytes))
		return l.send("PUT", "/buckets/"+storage+"/keys/single", "text/plain", value)
	}
	if keys > 1 {
		body := transactionOf(keys)
		name, send = fmt.Sprintf("transaction of %d", keys), func() error {
			path := "/buckets/" + storage + "/transactions"
			return l.send("POST", path, "application/json", body)
		}
	}
	row, err := l.begin(ctx, storage+"/"+name)
	if err != nil {
		return err
	}
	out, err := load.ClosedLoop([]load.Step{send}, l.time)
	if err != nil {
		return err
	}
	l.finish(row, out, "keys_per_second", float64(keys))
	return nil
}

// finish adds a row with the latency of operations, and with how many of something there were a
// second, of which each operation has so many.
func (l *transactionLab) finish(row report.Row, out load.Outcome, name string, each float64) {
	row.SetNumber("p50_ms", meter.Microseconds(out.P50)/1000)
	row.SetNumber("p99_ms", meter.Microseconds(out.P99)/1000)
	row.SetNumber(name, each*float64(out.Operations)/out.Elapsed.Seconds())
	l.rows = append(l.rows, row)
}

// beside measures PUTs while another client sends so many transactions a second, or as many as it
// can if that is less.
func (l *transactionLab) beside(ctx context.Context, rate int) error {
	row, err := l.begin(ctx, report.TransactionsBeside(rate))
	if err != nil {
		return err
	}
	var writers []load.Step
	value := string(load.Payload(transactionValueBytes))
	for i := range transactionWriters {
		path := fmt.Sprintf("/buckets/file/keys/other.%d", i)
		writers = append(writers, func() error { return l.send("PUT", path, "text/plain", value) })
	}
	done := make(chan struct{})
	var (
		sent     int
		failed   error
		sideline sync.WaitGroup
	)
	sideline.Go(func() { sent, failed = l.transactions(rate, done) })
	out, err := load.ClosedLoop(writers, l.time)
	close(done)
	sideline.Wait()
	if err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	row.SetNumber("transactions_per_second", float64(sent)/out.Elapsed.Seconds())
	l.finish(row, out, "puts_per_second", 1)
	return nil
}

// transactions sends transactions of two keys until done is closed.
func (l *transactionLab) transactions(rate int, done <-chan struct{}) (sent int, err error) {
	if rate == 0 {
		return 0, nil
	}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	body := transactionOf(2)
	for {
		select {
		case <-done:
			return sent, nil
		case <-tick.C:
			path := "/buckets/file/transactions"
			if err := l.send("POST", path, "application/json", body); err != nil {
				return sent, err
			}
			sent++
		}
	}
}

// transactionOf returns the body of a transaction of that many keys.
func transactionOf(keys int) string {
	operations := make([]string, keys)
	for i := range operations {
		operations[i] = fmt.Sprintf(`{"op":"put","key":"t%d","text":"%s"}`,
			i, load.Payload(transactionValueBytes))
	}
	return `{"operations":[` + strings.Join(operations, ",") + `]}`
}

func (l *transactionLab) send(method, path, contentType, body string) error {
	r, err := http.NewRequest(method, "http://"+l.address+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := l.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, answer.StatusCode, text)
	}
	return err
}
