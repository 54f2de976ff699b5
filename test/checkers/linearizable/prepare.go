package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go/jetstream"
)

// prepare waits for both gateways, and creates the buckets: that of the registers natively, with a
// mirror that answers direct gets as well, and that of the banks over HTTP.
func (r *run) prepare(ctx context.Context) error {
	kv := jetstream.KeyValueConfig{
		Bucket: registerBucket, History: 8, Storage: jetstream.FileStorage}
	if _, err := r.js.CreateKeyValue(ctx, kv); err != nil {
		return fmt.Errorf("create %s: %w", registerBucket, err)
	}
	mirror := jetstream.KeyValueConfig{Bucket: registerBucket + "-mirror", History: 8,
		Mirror: &jetstream.StreamSource{Name: registerBucket}}
	if _, err := r.js.CreateKeyValue(ctx, mirror); err != nil {
		return fmt.Errorf("create the mirror: %w", err)
	}
	ready := request{method: http.MethodGet, path: "/readyz"}
	for _, g := range r.gateways {
		if _, err := g.insist(ctx, ready, http.StatusOK); err != nil {
			return err
		}
	}
	r.registers = newRegisters("r", activeRegisters, callsOfRegister)
	r.epochs = map[string]string{}
	r.banks = newRegisters("b", activeBanks, callsOfBank)
	create := request{method: http.MethodPut, path: "/buckets/" + bankBucket,
		body:   []byte(`{"history":8,"allow_atomic":true}`),
		header: map[string]string{"Content-Type": "application/json"}}
	if _, err := r.gateways[0].insist(ctx, create, http.StatusCreated); err != nil {
		return err
	}
	return r.learnEpochs(ctx)
}

func (r *run) learnEpochs(ctx context.Context) error {
	for _, bucket := range []string{registerBucket, bankBucket} {
		about := request{method: http.MethodGet, path: "/buckets/" + bucket}
		a, err := r.gateways[0].insist(ctx, about, http.StatusOK)
		if err != nil {
			return err
		}
		var body struct{ Status struct{ Epoch string } }
		if err := json.Unmarshal(a.body, &body); err != nil || body.Status.Epoch == "" {
			return fmt.Errorf("epoch of %s: %s: %w", bucket, a.body, err)
		}
		r.epochs[bucket] = body.Status.Epoch
	}
	return nil
}

// insist sends a request until it is answered with the status.
func (c *gatewayClient) insist(ctx context.Context, req request,
	status int) (a *answer, err error) {
	err = insist(ctx, func(ctx context.Context) (err error) {
		if a, err = c.do(ctx, req); err == nil && a.status != status {
			err = fmt.Errorf("%s %s: %v", req.method, req.path, a)
		}
		return err
	})
	return a, err
}
