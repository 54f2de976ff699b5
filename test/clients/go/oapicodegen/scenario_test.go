package oapicodegen_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"kvgateway/test/clients/go/oapicodegen/gen"
	"kvgateway/test/clients/go/scenario"
)

// client fills the scenario's interface with the client of oapi-codegen.
type client struct {
	context.Context
	*gen.ClientWithResponses
}

func TestScenario(t *testing.T) {
	generated, err := gen.NewClientWithResponses(scenario.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	scenario.Run(t, "oapi-codegen", client{t.Context(), generated})
}

// refusal returns the problem of an answer, if it is one.
func refusal(err error, response *http.Response, problem *gen.Problem) error {
	if err != nil || problem == nil {
		return err
	}
	refused := &scenario.Refusal{
		Status: response.StatusCode, ProblemStatus: int(problem.Status), Type: problem.Type,
	}
	if problem.CurrentRevision != nil {
		refused.CurrentRevision = *problem.CurrentRevision
	}
	return refused
}

func (c client) CreateBucket(bucket string) (int, error) {
	history := int32(5)
	answer, err := c.PutBucketWithResponse(c, bucket, nil, gen.BucketConfig{History: &history})
	if err := refusal(err, answer.HTTPResponse, answer.ApplicationproblemJSONDefault); err != nil {
		return 0, err
	}
	return int(answer.JSON201.History), nil
}

func (c client) Put(bucket, key, contentType, ifMatch string, value []byte) (string, error) {
	params := &gen.PutValueParams{}
	if ifMatch != "" {
		params.IfMatch = &ifMatch
	}
	answer, err := c.PutValueWithBodyWithResponse(
		c, bucket, key, params, contentType, bytes.NewReader(value))
	if err := refusal(err, answer.HTTPResponse, answer.ApplicationproblemJSONDefault); err != nil {
		return "", err
	}
	return answer.Headers200.ETag, nil
}

// Get reads a value with the plain client. GetValueWithResponse takes every answer of a JSON type,
// whatever its status, for the default response, and so fails for values such as [1].
func (c client) Get(bucket, key string) ([]byte, error) {
	response, err := c.GetValue(c, bucket, key, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		defer response.Body.Close()
		return io.ReadAll(response.Body)
	}
	answer, err := gen.ParseGetValueResponse(response)
	return nil, refusal(err, answer.HTTPResponse, answer.ApplicationproblemJSONDefault)
}

func (c client) Keys(bucket string) ([]string, error) {
	answer, err := c.ListKeysWithResponse(c, bucket, nil)
	if err := refusal(err, answer.HTTPResponse, answer.ApplicationproblemJSONDefault); err != nil {
		return nil, err
	}
	return answer.JSON200.Keys, nil
}

func (c client) list(names bool) (gen.BucketList, error) {
	answer, err := c.ListBucketsWithResponse(c, &gen.ListBucketsParams{Names: &names})
	if err := refusal(err, answer.HTTPResponse, answer.ApplicationproblemJSONDefault); err != nil {
		return gen.BucketList{}, err
	}
	return *answer.JSON200, nil
}

func (c client) Buckets() (map[string]int, error) {
	list, err := c.list(false)
	if err != nil {
		return nil, err
	}
	histories := map[string]int{}
	for _, bucket := range *list.Buckets {
		histories[bucket.Bucket] = int(bucket.History)
	}
	return histories, nil
}

func (c client) BucketNames() ([]string, error) {
	list, err := c.list(true)
	if err != nil {
		return nil, err
	}
	return *list.Names, nil
}

func (c client) Delete(bucket, key string) error {
	answer, err := c.DeleteValueWithResponse(c, bucket, key, nil)
	return refusal(err, answer.HTTPResponse, answer.ApplicationproblemJSONDefault)
}

func (c client) DeleteBucket(bucket string) error {
	answer, err := c.DeleteBucketWithResponse(c, bucket)
	return refusal(err, answer.HTTPResponse, answer.ApplicationproblemJSONDefault)
}
