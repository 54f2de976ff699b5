package cells

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/bench/load"
	"kvgateway/bench/roles"
)

// A manyLab is a nats-server process, a gateway in front of it, and a native client of it.
type manyLab struct {
	entries int    // of an import and an export
	base    string // the beginning of the URLs of the gateway's bucket
	nc      *nats.Conn
	kv      jetstream.KeyValue
	body    []byte // of an import
}

const (
	manyBucket     = "many" // It holds the entries of an export.
	manyValueBytes = 128
)

func newManyLab(ctx context.Context, s *roles.Starter, entries int) (*manyLab, error) {
	natsServer, err := s.StartServer(ctx, "nats-server", "nats")
	if err != nil {
		return nil, err
	}
	url := "nats://" + natsServer.Address
	sys, err := s.StartGateway(ctx, "gateway", "--nats-url", url)
	if err != nil {
		return nil, err
	}
	base := "http://" + sys.Serving[0].Address + "/buckets/" + manyBucket
	l := &manyLab{entries: entries, base: base}
	if err := roles.Call(ctx, http.MethodPut, l.base, "{}"); err != nil {
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
	value := load.Payload(manyValueBytes)
	for i := range entries {
		fmt.Fprintf(&body, `{"key":"%s","text":"%s"}`+"\n", manyKey(i), value)
	}
	l.body = body.Bytes()
	return l, nil
}

func (l *manyLab) close() { l.nc.Close() }

func manyKey(i int) string { return fmt.Sprintf("entry.%06d", i) }

// pairs returns the table of what is compared. What is read was imported by the pairs before.
func (l *manyLab) pairs() []manyPair {
	imports := manyWay{"POST entries", l.importEntries}
	multiGet := fmt.Sprintf("multi-get of %d keys", manyKeys)
	return []manyPair{
		{"import/one by one", imports,
			manyWay{"native puts, one after the other", l.nativePuts}},
		{"import/asynchronous", imports,
			manyWay{"native puts, asynchronous", l.nativeAsync}},
		{"export/watch", manyWay{"GET entries, NDJSON", l.exportEntries},
			manyWay{"native watch until it is up to date", l.nativeWatch}},
		{multiGet + "/one by one", manyWay{"GET entries", l.multiGet},
			manyWay{"GETs, one after the other", l.gets}},
	}
}

// timed returns how many entries a second something deals with that has so many.
func timed(entries int, do func() error) (float64, error) {
	begun := time.Now()
	err := do()
	return float64(entries) / time.Since(begun).Seconds(), err
}

func (l *manyLab) importEntries(ctx context.Context) (float64, error) {
	return timed(l.entries, func() error {
		answer, err := l.request(ctx, http.MethodPost, "/entries", bytes.NewReader(l.body))
		stored := fmt.Sprintf(`"stored":%d,`, l.entries)
		if err == nil && !strings.Contains(string(answer), stored) {
			err = fmt.Errorf("the import ended with %.300q", answer[max(0, len(answer)-300):])
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
			path := "/keys/" + manyKey(i%manyKeys*l.entries/manyKeys)
			if _, err := l.request(ctx, http.MethodGet, path, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *manyLab) send(ctx context.Context, method, path string, body io.Reader) (
	*http.Response, error) {
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

func (l *manyLab) request(ctx context.Context, method, path string, body io.Reader) (
	[]byte, error) {
	response, err := l.send(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}
