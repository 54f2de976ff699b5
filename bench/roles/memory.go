package roles

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// startInMemory starts a gateway, and has each bucket of the cells watched, so that the gateway
// keeps a copy of it in memory.
func (s *Starter) startInMemory(
	ctx context.Context, name string, args ...string,
) (*System, error) {
	sys, err := s.StartGateway(ctx, name, args...)
	if err != nil {
		return nil, err
	}
	address := sys.Serving[0].Address
	for _, c := range s.buckets() {
		if err := s.watch(ctx, address, c.Bucket()); err != nil {
			return nil, err
		}
		if err := untilInMemory(ctx, address, c.Bucket()); err != nil {
			return nil, err
		}
	}
	return sys, nil
}

// watch opens a stream of a bucket, without its state, until the systems are stopped.
func (s *Starter) watch(ctx context.Context, address, bucket string) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	url := "http://" + address + "/buckets/" + bucket + "/watch?updates_only=true"
	answer, err := Send(ctx, http.MethodGet, url, "")
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("watch %s: %s", bucket, answer.Status)
	}
	if err != nil {
		cancel()
		return err
	}
	go io.Copy(io.Discard, answer.Body) // #nosec G104 -- it ends with an error, when it is stopped
	s.stops = append(s.stops, cancel)
	return nil
}

// untilInMemory waits until the gateway answers a read from memory.
func untilInMemory(ctx context.Context, address, bucket string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	url := "http://" + address + "/buckets/" + bucket + "/keys/none?consistency=cached"
	for {
		answer, err := Send(ctx, http.MethodGet, url, "")
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.Header.Get("KV-Consistency") == "cached" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("bucket %s is not in memory: %w", bucket, ctx.Err())
		case <-tick.C:
		}
	}
}
