package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// has tells whether the gateway is expected to have a feature.
func (r *run) has(feature string) bool {
	return !slices.Contains(strings.Split(r.without, ","), feature)
}

// prepare waits for both gateways, and makes the buckets: the registers' natively, with a mirror that answers direct gets as well, and
// the banks' over HTTP.
func (r *run) prepare(ctx context.Context) error {
	kv := jetstream.KeyValueConfig{Bucket: registerBucket, History: 8, Storage: jetstream.FileStorage}
	if _, err := r.js.CreateKeyValue(ctx, kv); err != nil {
		return fmt.Errorf("create %s: %w", registerBucket, err)
	}
	mirror := jetstream.KeyValueConfig{Bucket: registerBucket + "-mirror", History: 8, Mirror: &jetstream.StreamSource{Name: registerBucket}}
	if _, err := r.js.CreateKeyValue(ctx, mirror); err != nil {
		return fmt.Errorf("create the mirror: %w", err)
	}
	for _, g := range r.gateways {
		if _, err := g.insist(ctx, request{method: http.MethodGet, path: "/readyz"}, http.StatusOK); err != nil {
			return err
		}
	}
	if err := r.checkFeatures(ctx); err != nil {
		return err
	}
	r.registers, r.epochs = newRegisters("r", activeRegisters, callsOfRegister), map[string]string{}
	buckets := []string{registerBucket}
	if r.has("transactions") {
		r.banks = newRegisters("b", activeBanks, callsOfBank)
		buckets = append(buckets, bankBucket)
		create := request{method: http.MethodPut, path: "/buckets/" + bankBucket, body: []byte(`{"history":8,"allow_atomic":true}`),
			header: map[string]string{"Content-Type": "application/json"}}
		if _, err := r.gateways[0].insist(ctx, create, http.StatusCreated); err != nil {
			return err
		}
	}
	return r.learnEpochs(ctx, buckets)
}

func (r *run) learnEpochs(ctx context.Context, buckets []string) error {
	for _, bucket := range buckets {
		a, err := r.gateways[0].insist(ctx, request{method: http.MethodGet, path: "/buckets/" + bucket}, http.StatusOK)
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

// insist sends a request until it gets the status.
func (c *gatewayClient) insist(ctx context.Context, req request, status int) (a *answer, err error) {
	err = insist(ctx, func(ctx context.Context) (err error) {
		if a, err = c.do(ctx, req); err == nil && a.status != status {
			err = fmt.Errorf("%s %s: %v", req.method, req.path, a)
		}
		return err
	})
	return a, err
}

// checkFeatures compares what the gateway's own contract has with what it is said not to have, so that nothing stays unchecked in
// silence.
func (r *run) checkFeatures(ctx context.Context) error {
	a, err := r.gateways[0].insist(ctx, request{method: http.MethodGet, path: "/openapi.json"}, http.StatusOK)
	if err != nil {
		return err
	}
	var contract struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(a.body, &contract); err != nil {
		return err
	}
	value := contract.Paths["/buckets/{bucket}/keys/{key}"]
	_, patch := value["patch"]
	_, transactions := contract.Paths["/buckets/{bucket}/transactions"]
	text, _ := json.Marshal(value["put"])
	found := map[string]bool{"patch": patch, "transactions": transactions, "idempotency": strings.Contains(strings.ToLower(string(text)), "idempotency")}
	for _, feature := range []string{"patch", "idempotency", "transactions"} {
		switch {
		case found[feature] && !r.has(feature):
			return errors.New("the gateway has " + feature + ": take it out of -without")
		case !found[feature] && r.has(feature):
			return errors.New("the gateway's contract has no " + feature + ", so it cannot be checked: add it to -without")
		case !found[feature]:
			fmt.Printf("not checked: %s, which this gateway has not\n", feature)
		}
	}
	r.patch, r.idempotent = r.has("patch"), r.has("idempotency")
	return nil
}
