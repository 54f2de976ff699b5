package main

import (
	"context"
	"fmt"
	"net/http"
)

// finalReads reads every key from both gateways and from the leader of the JetStream stream after
// all faults. That shows which of the writes with unknown outcomes took effect. Everything must be
// up again.
func (r *run) finalReads(ctx context.Context) error {
	for i, g := range r.gateways {
		for _, key := range r.registers.names() {
			if err := r.finalRead(ctx, g, 100+i, registerBucket, key); err != nil {
				return err
			}
		}
		for _, bank := range r.banks.names() {
			for k := range bankKeys {
				if err := r.finalReadOfBank(ctx, g, 100+i, bank, k); err != nil {
					return err
				}
			}
		}
	}
	for _, key := range r.registers.names() {
		call := r.history.now()
		out, err := lastOf(ctx, r.conn, registerBucket, key)
		if err != nil {
			return err
		}
		r.history.add(registerBucket+"/"+key, 102, input{Op: read}, call, out)
	}
	return nil
}

func (r *run) finalRead(ctx context.Context, g *gatewayClient, client int,
	bucket, key string) error {
	call := r.history.now()
	out, err := r.insistRead(ctx, g, bucket, key)
	if err == nil {
		r.history.add(bucket+"/"+key, client, input{Op: read}, call, out)
	}
	return err
}

func (r *run) finalReadOfBank(ctx context.Context, g *gatewayClient, client int,
	bank string, key int) error {
	call := r.history.now()
	out, err := r.insistRead(ctx, g, bankBucket, keyOf(bank, key))
	if err == nil {
		seen := sight{Key: key, Kind: out.Kind, Revision: out.Revision, Doc: out.Doc}
		sights := bankOutput{Sights: []sight{seen}}
		r.history.add(bankBucket+"/"+bank, client, bankInput{}, call, sights)
	}
	return err
}

// insistRead reads a key until there is an answer.
func (r *run) insistRead(ctx context.Context, g *gatewayClient,
	bucket, key string) (out output, err error) {
	req := request{method: http.MethodGet, path: "/buckets/" + bucket + "/keys/" + key}
	err = insist(ctx, func(ctx context.Context) error {
		a, err := g.do(ctx, req)
		var f fate
		if out, f = r.outputOf(a, err, input{Op: read}, bucket); f != answered {
			return fmt.Errorf("%s of %s does not come back: %v %w", key, bucket, a, err)
		}
		return nil
	})
	return out, err
}
