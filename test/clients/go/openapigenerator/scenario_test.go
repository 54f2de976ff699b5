package openapigenerator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"kvgateway/test/clients/go/openapigenerator/gen"
	"kvgateway/test/clients/go/scenario"
)

// client fills the scenario's interface with the client of openapi-generator.
type client struct {
	context.Context
	*gen.APIClient
	// dir is where the bodies are, which this client takes as files.
	dir string
}

func TestScenario(t *testing.T) {
	settings := gen.NewConfiguration()
	settings.Servers = gen.ServerConfigurations{{URL: scenario.URL(t)}}
	settings.HTTPClient = &http.Client{Transport: scenario.MediaTypes{}}
	scenario.Run(t, "openapi-generator-go",
		client{t.Context(), gen.NewAPIClient(settings), t.TempDir()})
}

// refusal returns the problem that err has, if it has one.
func refusal(err error, response *http.Response) error {
	var failed *gen.GenericOpenAPIError
	if !errors.As(err, &failed) {
		return err
	}
	problem, is := failed.Model().(gen.Problem)
	if !is {
		return err
	}
	return &scenario.Refusal{
		Status:          response.StatusCode,
		ProblemStatus:   int(problem.Status),
		Type:            problem.Type,
		CurrentRevision: problem.GetCurrentRevision(),
	}
}

func (c client) CreateBucket(bucket string) (int, error) {
	config := gen.BucketConfig{}
	config.SetHistory(5)
	created, response, err := c.BucketsAPI.PutBucket(c, bucket).BucketConfig(config).Execute()
	if err != nil {
		return 0, refusal(err, response)
	}
	return int(created.History), nil
}

func (c client) Put(bucket, key, mediaType, ifMatch string, value []byte) (string, error) {
	path := filepath.Join(c.dir, "value")
	if err := os.WriteFile(path, value, 0o600); err != nil {
		return "", err
	}
	body, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer body.Close()
	put := c.ValuesAPI.PutValue(scenario.WithMediaType(c, mediaType), bucket, key).Body(body)
	if ifMatch != "" {
		put = put.IfMatch(ifMatch)
	}
	_, response, err := put.Execute()
	if err != nil {
		return "", refusal(err, response)
	}
	return response.Header.Get("ETag"), nil
}

func (c client) Get(bucket, key string) ([]byte, error) {
	file, response, err := c.ValuesAPI.GetValue(c, bucket, key).Execute()
	if err != nil {
		return nil, refusal(err, response)
	}
	value, err := io.ReadAll(file)
	return value, errors.Join(err, file.Close(), os.Remove(file.Name()))
}

func (c client) Keys(bucket string) ([]string, error) {
	list, response, err := c.KeysAPI.ListKeys(c, bucket).Execute()
	if err != nil {
		return nil, refusal(err, response)
	}
	return list.Keys, nil
}

func (c client) Buckets() (map[string]int, error) {
	list, response, err := c.BucketsAPI.ListBuckets(c).Execute()
	if err != nil {
		return nil, refusal(err, response)
	}
	histories := map[string]int{}
	for _, bucket := range list.Buckets {
		histories[bucket.Bucket] = int(bucket.History)
	}
	return histories, nil
}

func (c client) BucketNames() ([]string, error) {
	list, response, err := c.BucketsAPI.ListBuckets(c).Names(true).Execute()
	if err != nil {
		return nil, refusal(err, response)
	}
	return list.Names, nil
}

func (c client) Delete(bucket, key string) error {
	_, response, err := c.ValuesAPI.DeleteValue(c, bucket, key).Execute()
	return refusal(err, response)
}

func (c client) DeleteBucket(bucket string) error {
	response, err := c.BucketsAPI.DeleteBucket(c, bucket).Execute()
	return refusal(err, response)
}
