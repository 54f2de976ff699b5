package ogen_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/ogen-go/ogen/ogenerrors"

	"kvgateway/test/clients/go/ogen/gen"
	"kvgateway/test/clients/go/scenario"
)

// client fills the scenario's interface with the client of ogen.
type client struct {
	context.Context
	*gen.Client
}

func TestScenario(t *testing.T) {
	generated, err := gen.NewClient(scenario.URL(t), nobody{},
		gen.WithClient(octetStreams{http.Client{Transport: scenario.MediaTypes{}}}))
	if err != nil {
		t.Fatal(err)
	}
	scenario.Run(t, "ogen", client{t.Context(), generated})
}

// nobody sends requests without a credential.
type nobody struct{}

func (nobody) Basic(context.Context, gen.OperationName) (gen.Basic, error) {
	return gen.Basic{}, ogenerrors.ErrSkipClientSecurity
}

func (nobody) Bearer(context.Context, gen.OperationName) (gen.Bearer, error) {
	return gen.Bearer{}, ogenerrors.ErrSkipClientSecurity
}

func (nobody) Cookie(context.Context, gen.OperationName) (gen.Cookie, error) {
	return gen.Cookie{}, ogenerrors.ErrSkipClientSecurity
}

func (nobody) Ticket(context.Context, gen.OperationName) (gen.Ticket, error) {
	return gen.Ticket{}, ogenerrors.ErrSkipClientSecurity
}

// octetStreams gives every value that is read the media type application/octet-stream. The client
// of ogen refuses an answer of a type that is not in the contract, as stored values have.
type octetStreams struct{ http.Client }

func (o octetStreams) Do(r *http.Request) (*http.Response, error) {
	response, err := o.Client.Do(r)
	value := err == nil && response.Header.Get("KV-Created") != ""
	if value && response.StatusCode < http.StatusBadRequest {
		response.Header.Set("Content-Type", "application/octet-stream")
	}
	return response, err
}

// refusal returns the problem that err is, if it is one.
func refusal(err error) error {
	var problem *gen.ProblemStatusCodeWithHeaders
	if !errors.As(err, &problem) {
		return err
	}
	return &scenario.Refusal{
		Status:          problem.StatusCode,
		ProblemStatus:   int(problem.Response.Status),
		Type:            problem.Response.Type,
		CurrentRevision: problem.Response.CurrentRevision.Value,
	}
}

func (c client) CreateBucket(bucket string) (int, error) {
	config := gen.NewOptBucketConfig(gen.BucketConfig{History: gen.NewOptInt32(5)})
	answer, err := c.PutBucket(c, config, gen.PutBucketParams{Bucket: gen.BucketName(bucket)})
	if err != nil {
		return 0, refusal(err)
	}
	created, is := answer.(*gen.BucketCreatedHeaders)
	if !is {
		return 0, fmt.Errorf("the answer is a %T", answer)
	}
	return int(created.Response.History), nil
}

func (c client) Put(bucket, key, mediaType, ifMatch string, value []byte) (string, error) {
	params := gen.PutValueParams{Bucket: gen.BucketName(bucket), Key: key}
	if ifMatch != "" {
		params.IfMatch = gen.NewOptETagList(gen.ETagList(ifMatch))
	}
	ctx := scenario.WithMediaType(c, mediaType)
	answer, err := c.PutValue(ctx, gen.PutValueReq{Data: bytes.NewReader(value)}, params)
	if err != nil {
		return "", refusal(err)
	}
	written, is := answer.(*gen.WrittenHeaders)
	if !is {
		return "", fmt.Errorf("the answer is a %T", answer)
	}
	return string(written.ETag), nil
}

func (c client) Get(bucket, key string) ([]byte, error) {
	answer, err := c.GetValue(c, gen.GetValueParams{Bucket: gen.BucketName(bucket), Key: key})
	if err != nil {
		return nil, refusal(err)
	}
	read, is := answer.(*gen.ValueHeaders)
	if !is {
		return nil, fmt.Errorf("the answer is a %T", answer)
	}
	return io.ReadAll(read.Response)
}

func (c client) Keys(bucket string) ([]string, error) {
	answer, err := c.ListKeys(c, gen.ListKeysParams{Bucket: gen.BucketName(bucket)})
	if err != nil {
		return nil, refusal(err)
	}
	list, is := answer.(*gen.KeyListHeaders)
	if !is {
		return nil, fmt.Errorf("the answer is a %T", answer)
	}
	var keys []string
	for _, key := range list.Response.Keys {
		keys = append(keys, string(key))
	}
	return keys, nil
}

func (c client) Buckets() (map[string]int, error) {
	list, err := c.ListBuckets(c, gen.ListBucketsParams{})
	if err != nil {
		return nil, refusal(err)
	}
	histories := map[string]int{}
	for _, bucket := range list.Response.Buckets {
		histories[string(bucket.Bucket)] = int(bucket.History)
	}
	return histories, nil
}

func (c client) BucketNames() ([]string, error) {
	list, err := c.ListBuckets(c, gen.ListBucketsParams{Names: gen.NewOptBool(true)})
	if err != nil {
		return nil, refusal(err)
	}
	var names []string
	for _, name := range list.Response.Names {
		names = append(names, string(name))
	}
	return names, nil
}

func (c client) Delete(bucket, key string) error {
	_, err := c.DeleteValue(c, gen.DeleteValueParams{Bucket: gen.BucketName(bucket), Key: key})
	return refusal(err)
}

func (c client) DeleteBucket(bucket string) error {
	_, err := c.Client.DeleteBucket(c, gen.DeleteBucketParams{Bucket: gen.BucketName(bucket)})
	return refusal(err)
}
