package roles

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"kvgateway/bench/load"
)

// fill waits until a gateway is ready, makes the buckets of the cells and writes every worker's
// keys.
func (s *Starter) fill(ctx context.Context, address string) error {
	if err := waitUntilReady(ctx, address); err != nil {
		return err
	}
	for _, c := range s.buckets() {
		if err := createBucket(ctx, address, c.Bucket()); err != nil {
			return err
		}
		if c.Operation != load.OpPut {
			continue // Its own puts write the keys.
		}
		// When workers for compare-and-set are opened they write their keys.
		c.Operation = load.OpCAS
		d, err := load.OpenHTTP(address, c)
		if err != nil {
			return err
		}
		d.Close()
	}
	return nil
}

func waitUntilReady(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := Call(ctx, http.MethodGet, "http://"+address+"/readyz", "")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-tick.C:
		}
	}
}

// createBucket makes a bucket with the defaults, which are those of a native client: file storage
// and one revision of each key.
func createBucket(ctx context.Context, address, bucket string) error {
	config := "{}"
	if strings.HasSuffix(bucket, load.TTLSuffix) {
		config = `{"limit_marker_ttl":"1h"}`
	}
	return Call(ctx, http.MethodPut, "http://"+address+"/buckets/"+bucket, config)
}

// Call does a request that is not measured. A body is sent as JSON. An answer that is no success is
// an error.
func Call(ctx context.Context, method, url, body string) error {
	answer, err := Send(ctx, method, url, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, url, answer.Status, text)
	}
	return err
}

// Send does the same and returns the answer, whatever it is.
func Send(ctx context.Context, method, url, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return http.DefaultClient.Do(req)
}
