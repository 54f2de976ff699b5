package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A manyLab is a nats-server process, a gateway in front of it, and a native client of it.
type manyLab struct {
	entries int
	base    string // of the gateway's URLs
	nc      *nats.Conn
	kv      jetstream.KeyValue
	body    []byte // of an import
}

// manyBucket holds as many entries as an export has.
const manyBucket = "many"

func newManyLab(ctx context.Context, s *starter, entries int) (*manyLab, error) {
	natsServer, err := s.role(ctx, "nats-server", roleNATS, "-data-dir", filepath.Join(s.dir, "nats"))
	if err != nil {
		return nil, err
	}
	url := "nats://" + natsServer.address
	sys, err := s.startGateway(ctx, "gateway", "--nats-url", url)
	if err != nil {
		return nil, err
	}
	l := &manyLab{entries: entries, base: "http://" + sys.serving[0].address + "/buckets/" + manyBucket}
	if err := call(ctx, http.MethodPut, l.base, "{}"); err != nil {
		return nil, err
	}
	if l.nc, err = nats.Connect(url); err != nil {
		return nil, err
	}
	js, err := jetstream.New(l.nc)
	if err != nil {
		return nil, err
	}
	if l.kv, err = js.KeyValue(ctx, manyBucket); err != nil {
		return nil, err
	}
	var body bytes.Buffer
	for i := range entries {
		fmt.Fprintf(&body, `{"key":"%s","text":"%s"}`+"\n", manyKey(i), payload(valueBytes))
	}
	l.body = body.Bytes()
	return l, nil
}

func (l *manyLab) close() { l.nc.Close() }

func manyKey(i int) string { return fmt.Sprintf("entry.%06d", i) }

// pairs are in the order in which they need each other: what is read was imported.
func (l *manyLab) pairs() []manyPair {
	return []manyPair{
		{"import", manyWay{"POST entries", l.importEntries}, manyWay{"native puts, one after the other", l.nativePuts}},
		{"import", manyWay{"POST entries", l.importEntries}, manyWay{"native puts, asynchronous", l.nativeAsync}},
		{"export", manyWay{"GET entries, NDJSON", l.exportEntries}, manyWay{"native watch until it is up to date", l.nativeWatch}},
		{fmt.Sprintf("multi-get of %d keys", manyKeys), manyWay{"GET entries", l.multiGet}, manyWay{"GETs, one after the other", l.gets}},
	}
}

// timed is how many entries a second something takes that does so many.
func timed(entries int, do func() error) (float64, error) {
	begun := time.Now()
	err := do()
	return float64(entries) / time.Since(begun).Seconds(), err
}

func (l *manyLab) importEntries(ctx context.Context) (float64, error) {
	return timed(l.entries, func() error {
		report, err := l.request(ctx, http.MethodPost, "/entries", bytes.NewReader(l.body))
		if err == nil && !strings.Contains(string(report), fmt.Sprintf(`"stored":%d,`, l.entries)) {
			err = fmt.Errorf("the import ended with %.300q", report[max(0, len(report)-300):])
		}
		return err
	})
}

func (l *manyLab) exportEntries(ctx context.Context) (float64, error) {
	return timed(l.entries, func() error {
		response, err := l.send(ctx, http.MethodGet, "/entries", nil)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		lines, last := 0, ""
		for in := bufio.NewScanner(response.Body); in.Scan(); lines++ {
			if lines == l.entries {
				last = in.Text()
			}
		}
		if lines != l.entries+1 || !strings.HasPrefix(last, `{"end":true`) {
			return fmt.Errorf("the export has %d lines, the last %.300q", lines, last)
		}
		return nil
	})
}

func (l *manyLab) multiGet(ctx context.Context) (float64, error) {
	const times = 50
	query := "/entries?key=" + manyKey(0)
	for i := 1; i < manyKeys; i++ {
		query += "&key=" + manyKey(i*l.entries/manyKeys)
	}
	return timed(times*manyKeys, func() error {
		for range times {
			answer, err := l.request(ctx, http.MethodGet, query, nil)
			if err != nil {
				return err
			}
			if bytes.Count(answer, []byte(`"key"`)) != manyKeys {
				return fmt.Errorf("not all keys: %.300q", answer)
			}
		}
		return nil
	})
}

func (l *manyLab) gets(ctx context.Context) (float64, error) {
	return timed(10*manyKeys, func() error {
		for i := range 10 * manyKeys {
			if _, err := l.request(ctx, http.MethodGet, "/keys/"+manyKey(i%manyKeys*l.entries/manyKeys), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *manyLab) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, l.base+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	if !strings.Contains(path, "?") && strings.HasSuffix(path, "/entries") {
		r.Header.Set("Accept", "application/x-ndjson")
	}
	response, err := http.DefaultClient.Do(r)
	if err == nil && response.StatusCode != http.StatusOK {
		response.Body.Close()
		err = errors.New(method + " " + path + ": " + response.Status)
	}
	return response, err
}

func (l *manyLab) request(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	response, err := l.send(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}
