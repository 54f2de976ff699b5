package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// fill waits until a gateway is ready, makes the buckets and writes every worker's keys.
func (s *starter) fill(ctx context.Context, address string) error {
	if err := waitUntilReady(ctx, address); err != nil {
		return err
	}
	for _, c := range s.buckets() {
		if err := createBucket(ctx, address, c.bucket()); err != nil {
			return err
		}
		if c.Operation != opPut {
			continue // its own puts write the keys
		}
		// Opening workers for compare-and-set writes their keys.
		d, err := openHTTP(address, cell{opCAS, c.Connections, c.ValueBytes})
		if err != nil {
			return err
		}
		d.close()
	}
	return nil
}

func waitUntilReady(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := call(ctx, http.MethodGet, "http://"+address+"/readyz", "")
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

// createBucket makes a bucket with the defaults, which are a native client's: file storage, one revision a key.
func createBucket(ctx context.Context, address, bucket string) error {
	config := "{}"
	if strings.HasSuffix(bucket, ttlSuffix) {
		config = `{"limit_marker_ttl":"1h"}`
	}
	return call(ctx, http.MethodPut, "http://"+address+"/buckets/"+bucket, config)
}

// call does a request of the preparation, where convenience is worth more than speed.
func call(ctx context.Context, method, url, body string) error {
	answer, err := send(ctx, method, url, body)
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

func send(ctx context.Context, method, url, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return http.DefaultClient.Do(req)
}
