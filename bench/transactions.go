package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// transactionBench measures what transactions cost, and what they cost the bucket's other writers.
type transactionBench struct {
	gateway *process
	time    time.Duration
	client  *http.Client
	out     io.Writer
}

// runTransactions prints its tables to stdout: one client's transactions of several sizes beside single PUTs, and other clients' PUTs
// beside them, with two settings of --sync.
func runTransactions(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench transactions", flag.ContinueOnError)
	flags.SetOutput(stderr)
	gateway := flags.String("gateway", "bin/gateway", "the gateway's `binary`")
	length := flags.Duration("time", 3*time.Second, "length of one measurement")
	tempDir := flags.String("temp", "", "`directory` for data, removed at the end (default the system's)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*tempDir, "kvgw-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &transactionBench{time: *length, out: stdout, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	for _, sync := range []string{"always", syncInterval.String()} {
		b.gateway, err = startProcess(ctx, "gateway-"+sync, dir, "", *gateway, "serve", "--listen=127.0.0.1:0", "--log-format=json",
			"--data-dir="+dir+"/"+sync, "--sync="+sync, "--transaction-rate=0")
		if err != nil {
			return err
		}
		err = b.measure(sync)
		b.gateway.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// measure prints the tables of one gateway.
func (b *transactionBench) measure(sync string) error {
	fmt.Fprintf(b.out, "**`--sync %s`**, one client, values of 128 bytes\n\n| bucket | request | p50 | p99 | keys a second |\n|---|---|--:|--:|--:|\n", sync)
	for _, storage := range []string{"file", "memory"} {
		if err := b.bucket(storage); err != nil {
			return err
		}
		for _, keys := range []int{1, 2, 100, 1000} {
			if err := b.row(storage, keys); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(b.out, "\n**`--sync %s`**, PUTs of 16 clients to a bucket on file, beside one client's transactions of two keys\n\n"+
		"| transactions a second | PUTs a second | p50 | p99 |\n|---|--:|--:|--:|\n", sync)
	for _, rate := range []int{0, 10, 20, 50, 100, 1000} {
		if err := b.beside(rate); err != nil {
			return err
		}
	}
	fmt.Fprintln(b.out)
	return nil
}

func (b *transactionBench) bucket(storage string) error {
	return b.send("PUT", "/buckets/"+storage, "application/json", `{"allow_atomic":true,"storage":"`+storage+`"}`)
}

// row measures single PUTs, with one key, or transactions of more.
func (b *transactionBench) row(storage string, keys int) error {
	name, send := "PUT", func() error {
		return b.send("PUT", "/buckets/"+storage+"/keys/single", "text/plain", string(payload(128)))
	}
	if keys > 1 {
		body := transactionOf(keys)
		name, send = fmt.Sprintf("transaction of %d", keys), func() error {
			return b.send("POST", "/buckets/"+storage+"/transactions", "application/json", body)
		}
	}
	times, err := b.loop(send)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "| %s | %s | %s | %s | %.0f |\n", storage, name, at(times, 0.5), at(times, 0.99), float64(len(times)*keys)/b.time.Seconds())
	return nil
}

// beside measures PUTs while another client sends so many transactions a second, or as many as it can if that is less.
func (b *transactionBench) beside(rate int) error {
	done, failed := make(chan struct{}), make(chan error, 1)
	sent := 0
	go func() { failed <- b.transactions(rate, &sent, done) }()
	var (
		mu    sync.Mutex
		all   []time.Duration
		first error
		wait  sync.WaitGroup
	)
	for i := range 16 {
		wait.Go(func() {
			path := fmt.Sprintf("/buckets/file/keys/other.%d", i)
			times, err := b.loop(func() error { return b.send("PUT", path, "text/plain", string(payload(128))) })
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
			if first == nil {
				first = err
			}
		})
	}
	wait.Wait()
	close(done)
	if err := <-failed; err != nil {
		return err
	}
	if first != nil {
		return first
	}
	fmt.Fprintf(b.out, "| %.0f | %.0f | %s | %s |\n", float64(sent)/b.time.Seconds(), float64(len(all))/b.time.Seconds(), at(all, 0.5), at(all, 0.99))
	return nil
}

func (b *transactionBench) transactions(rate int, sent *int, done <-chan struct{}) error {
	if rate == 0 {
		return nil
	}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
			if err := b.send("POST", "/buckets/file/transactions", "application/json", transactionOf(2)); err != nil {
				return err
			}
			*sent++
		}
	}
}

func transactionOf(keys int) string {
	operations := make([]string, keys)
	for i := range operations {
		operations[i] = fmt.Sprintf(`{"op":"put","key":"t%d","text":"%s"}`, i, payload(128))
	}
	return `{"operations":[` + strings.Join(operations, ",") + `]}`
}

// loop sends one request after the other and returns how long each took, sorted.
func (b *transactionBench) loop(send func() error) (times []time.Duration, err error) {
	for end := time.Now().Add(b.time); time.Now().Before(end); {
		begin := time.Now()
		if err := send(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times, nil
}

// at is a quantile in a form to be read.
func at(times []time.Duration, quantile float64) string {
	slices.Sort(times)
	return times[int(float64(len(times)-1)*quantile)].Round(10 * time.Microsecond).String()
}

func (b *transactionBench) send(method, path, contentType, body string) error {
	r, err := http.NewRequest(method, "http://"+b.gateway.address+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := b.client.Do(r)
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
