// Package scenario is what every generated client of Go must be able to do with a gateway: one
// round trip, told through an interface that each generator's test fills with its client.
//
// The stored bytes are read a second time without a generated client, so that a client which
// changes them on both ways is found out.
package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"testing"
	"time"
)

// A Client carries out requests with a generated client. A refusal is returned as a [*Refusal].
type Client interface {
	// CreateBucket creates a bucket with a history of 5, and returns the history that it has.
	CreateBucket(bucket string) (history int, err error)
	// Put stores a value on the condition ifMatch, if that is not empty, and returns the ETag.
	Put(bucket, key, contentType, ifMatch string, value []byte) (etag string, err error)
	// Get returns a value's bytes.
	Get(bucket, key string) ([]byte, error)
	// Keys lists the keys of a bucket.
	Keys(bucket string) ([]string, error)
	// Buckets lists the buckets with their configuration, and returns the history of each.
	Buckets() (map[string]int, error)
	// BucketNames lists the buckets with names=true.
	BucketNames() ([]string, error)
	// Delete deletes a value.
	Delete(bucket, key string) error
	// DeleteBucket deletes a bucket.
	DeleteBucket(bucket string) error
}

// A Refusal is what the generated type of errors says of a problem.
type Refusal struct {
	// Status is the HTTP status of the answer, and ProblemStatus the one in the document.
	Status, ProblemStatus int
	// Type is the problem's type.
	Type string
	// CurrentRevision is the member current_revision, 0 for none.
	CurrentRevision int64
}

// Error returns the refusal's status and type.
func (r *Refusal) Error() string { return fmt.Sprintf("%d %s", r.Status, r.Type) }

// URL returns the gateway's base URL. The test fails without one: it is a part of the gate, where
// to be skipped would be to prove nothing.
func URL(t *testing.T) string {
	t.Helper()
	base := os.Getenv("KVGW_URL")
	if base == "" {
		t.Fatal("set KVGW_URL to the base URL of a gateway, or use test/clients/run")
	}
	return base
}

// Values returns one value of each kind: text, JSON whose white space must stay, and bytes that are
// not UTF-8. The slashes of its key must arrive as they are.
func Values() []Value {
	binary := make([]byte, 512)
	for i := range binary {
		binary[i] = byte(i)
	}
	return []Value{
		{"config/motd", "text/plain", []byte("größer\r\n")},
		{"orders.17", "application/json", []byte("[{\"qty\": 2},\n 9007199254740993]")},
		{"images//logo", "application/octet-stream", binary},
	}
}

// A Value is what is stored under a key.
type Value struct {
	Key, ContentType string
	Bytes            []byte
}

// Run carries out the round trip.
func Run(t *testing.T, name string, client Client) {
	bucket := fmt.Sprintf("clients-%s-%d", name, time.Now().UnixNano())
	history, err := client.CreateBucket(bucket)
	if err != nil || history != 5 {
		t.Fatalf("created with a history of %d, %v", history, err)
	}
	for _, value := range Values() {
		etag := put(t, client, bucket, value, "")
		stored(t, client, bucket, value)
		value.Bytes = append(value.Bytes, ' ')
		put(t, client, bucket, value, etag)
		conflict(t, client, bucket, value, etag)
		stored(t, client, bucket, value)
	}
	listed(t, client, bucket, []string{"config/motd", "images//logo", "orders.17"})
	buckets(t, client, bucket)
	deleted(t, client, bucket, "orders.17")
	listed(t, client, bucket, []string{"config/motd", "images//logo"})
	if err := client.DeleteBucket(bucket); err != nil {
		t.Fatal(err)
	}
	refused(t, client.DeleteBucket(bucket), http.StatusNotFound, "bucket-not-found")
}

// put stores a value.
func put(t *testing.T, client Client, bucket string, value Value, ifMatch string) string {
	t.Helper()
	etag, err := client.Put(bucket, value.Key, value.ContentType, ifMatch, value.Bytes)
	if err != nil || etag == "" {
		t.Fatalf("put %s: %q, %v", value.Key, etag, err)
	}
	return etag
}

// stored compares the bytes that are stored, as the client and as net/http read them.
func stored(t *testing.T, client Client, bucket string, want Value) {
	t.Helper()
	got, err := client.Get(bucket, want.Key)
	if err != nil || !bytes.Equal(got, want.Bytes) {
		t.Fatalf("get %s: %q, %v, want %q", want.Key, got, err, want.Bytes)
	}
	target := URL(t) + "/buckets/" + bucket + "/keys/" + url.PathEscape(want.Key)
	response, err := http.Get(target)
	if err != nil {
		t.Fatal(err)
	}
	got, err = io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	contentType := response.Header.Get("Content-Type")
	if !bytes.Equal(got, want.Bytes) || contentType != want.ContentType {
		t.Fatalf("%s has %q of type %q, want %q", want.Key, got, contentType, want.Bytes)
	}
}

// conflict writes with an ETag that is not the last, which the gateway must refuse.
func conflict(t *testing.T, client Client, bucket string, value Value, stale string) {
	t.Helper()
	_, err := client.Put(bucket, value.Key, value.ContentType, stale, []byte("lost"))
	refusal := refused(t, err, http.StatusPreconditionFailed, "revision-mismatch")
	if refusal.CurrentRevision == 0 {
		t.Fatal("the problem has no current_revision")
	}
}

// refused returns the refusal that err is, which must have that status and code.
func refused(t *testing.T, err error, status int, code string) *Refusal {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("want a refusal, not %v", err)
	}
	if refusal.Status != status || refusal.ProblemStatus != status ||
		refusal.Type != "/problems/"+code {
		t.Fatalf("refused with %+v, want %d %s", refusal, status, code)
	}
	return refusal
}

// listed compares the keys of a bucket.
func listed(t *testing.T, client Client, bucket string, want []string) {
	t.Helper()
	got, err := client.Keys(bucket)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("keys are %v, %v, want %v", got, err, want)
	}
}

// buckets lists the buckets in both forms.
func buckets(t *testing.T, client Client, bucket string) {
	t.Helper()
	full, err := client.Buckets()
	if err != nil || full[bucket] != 5 {
		t.Fatalf("buckets are %v, %v", full, err)
	}
	names, err := client.BucketNames()
	if err != nil || !slices.Contains(names, bucket) {
		t.Fatalf("the names of buckets are %v, %v", names, err)
	}
}

// deleted deletes a key, whose value is then gone.
func deleted(t *testing.T, client Client, bucket, key string) {
	t.Helper()
	if err := client.Delete(bucket, key); err != nil {
		t.Fatal(err)
	}
	_, err := client.Get(bucket, key)
	refused(t, err, http.StatusNotFound, "key-deleted")
}
