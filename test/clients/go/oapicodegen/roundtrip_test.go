package oapicodegen_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oapi-codegen/nullable"

	"kvgateway/test/clients/go/oapicodegen/gen"
	"kvgateway/test/clients/go/scenario"
)

const (
	jsonType   = "application/json"
	binaryType = "application/octet-stream"
	linesType  = "application/x-ndjson"
)

// A session is a generated client and the bucket that it works on.
type session struct {
	*gen.ClientWithResponses
	*testing.T
	bucket string
}

// begin returns a session with the gateway at KVGW_URL.
func begin(t *testing.T, name string) *session {
	t.Helper()
	client, err := gen.NewClientWithResponses(scenario.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	return &session{client, t, fmt.Sprintf("%s-%d", name, time.Now().UnixNano())}
}

func TestRoundTrip(t *testing.T) {
	s := begin(t, "clients-go")
	s.createBucket()
	t.Cleanup(s.deleteBucket)

	first := s.createValue("orders.17", `{"qty":2}`)
	second := s.updateValue("orders.17", first)
	s.refuseStaleUpdate("orders.17", first, second)
	s.readEntry("orders.17", second)
	s.keepBytes("images//logo")
	s.readThroughQuery("images//logo")
	s.list("images//logo", "orders.17")
	s.listLines("{\"key\":\"images//logo\"}\n{\"key\":\"orders.17\"}\n" +
		"{\"end\":true,\"revision\":3,\"count\":2,\"hidden\":0}\n")
	s.listBucket()
	s.deleteValue("orders.17", second)
	s.patchBucket()
	s.purgeMarkers()
	s.readMany("images//logo")
	s.importExport(1)
	s.deleteMany(1)
}

// answered ends the test unless the call succeeded with that status.
func (s *session) answered(err error, response *http.Response, status int) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	if response.StatusCode != status {
		s.Fatalf("%s %s: %s, want %d",
			response.Request.Method, response.Request.URL, response.Status, status)
	}
}

func (s *session) equal(what string, got, want any) {
	s.Helper()
	if got != want {
		s.Fatalf("%s is %v, want %v", what, got, want)
	}
}

func (s *session) createBucket() {
	s.Helper()
	history, description := int32(5), "a generated client's"
	onlyNew := "*"
	config := gen.BucketConfig{History: &history, Description: &description}
	created, err := s.PutBucketWithResponse(s.Context(), s.bucket,
		&gen.PutBucketParams{IfNoneMatch: &onlyNew}, config)
	s.answered(err, created.HTTPResponse, http.StatusCreated)
	s.equal("history", created.JSON201.History, history)

	again, err := s.PutBucketWithResponse(s.Context(), s.bucket, nil, config)
	s.answered(err, again.HTTPResponse, http.StatusOK)
	s.equal("epoch", again.JSON200.Status.Epoch, created.JSON201.Status.Epoch)
}

func (s *session) deleteBucket() {
	// The test's own context has ended when this is called.
	deleted, err := s.DeleteBucketWithResponse(context.WithoutCancel(s.Context()), s.bucket)
	s.answered(err, deleted.HTTPResponse, http.StatusNoContent)
}

// unchecked returns an entity tag without its check, which the tag of a write does not have.
func unchecked(etag string) string {
	if position, _, checked := strings.Cut(etag, "."); checked {
		return position + `"`
	}
	return etag
}

func (s *session) createValue(key, value string) (etag string) {
	s.Helper()
	onlyNew := "*"
	written, err := s.PutValueWithBodyWithResponse(s.Context(), s.bucket, key,
		&gen.PutValueParams{IfNoneMatch: &onlyNew}, jsonType, strings.NewReader(value))
	s.answered(err, written.HTTPResponse, http.StatusCreated)
	s.equal("key", written.JSON201.Key, key)

	read, err := s.GetValueWithResponse(s.Context(), s.bucket, key, nil)
	s.answered(err, read.HTTPResponse, http.StatusOK)
	s.equal("value", string(read.Body), value)
	s.equal("content type", read.HTTPResponse.Header.Get("Content-Type"), jsonType)
	s.equal("ETag", unchecked(read.Headers200.ETag), written.Headers201.ETag)
	s.equal("KV-Revision", read.Headers200.KVRevision, written.JSON201.Revision)
	s.equal("KV-Consistency", read.Headers200.KVConsistency, gen.ConsistencyLeader)
	return read.Headers200.ETag
}

func (s *session) updateValue(key, etag string) gen.WriteResult {
	s.Helper()
	written, err := s.PutValueWithBodyWithResponse(s.Context(), s.bucket, key,
		&gen.PutValueParams{IfMatch: &etag}, jsonType, strings.NewReader(`{"qty":3}`))
	s.answered(err, written.HTTPResponse, http.StatusOK)
	return *written.JSON200
}

func (s *session) refuseStaleUpdate(key, etag string, current gen.WriteResult) {
	s.Helper()
	refused, err := s.PutValueWithBodyWithResponse(s.Context(), s.bucket, key,
		&gen.PutValueParams{IfMatch: &etag}, jsonType, strings.NewReader(`{"qty":4}`))
	s.answered(err, refused.HTTPResponse, http.StatusPreconditionFailed)
	problem := refused.ApplicationproblemJSONDefault
	s.equal("problem", problem.Type[strings.LastIndex(problem.Type, "/")+1:], "revision-mismatch")
	s.equal("current revision", *problem.CurrentRevision, current.Revision)
	tag := fmt.Sprintf("\"%d-%s\"", current.Revision, current.Epoch)
	s.equal("ETag", unchecked(*refused.HeadersDefault.ETag), tag)
}

func (s *session) readEntry(key string, current gen.WriteResult) {
	s.Helper()
	entry, err := s.GetEntryWithResponse(s.Context(), s.bucket, key, nil)
	s.answered(err, entry.HTTPResponse, http.StatusOK)
	s.equal("revision", entry.JSON200.Revision, current.Revision)
	s.equal("operation", entry.JSON200.Operation, gen.OperationPut)
	s.equal("qty", entry.JSON200.Value.(map[string]any)["qty"], 3.0)
}

// keepBytes stores every byte there is, under a key whose slashes must arrive encoded.
func (s *session) keepBytes(key string) {
	s.Helper()
	value := make([]byte, 0, 512)
	for i := range 512 {
		value = append(value, byte(i))
	}
	minimal := "return=minimal"
	written, err := s.PutValueWithBodyWithResponse(s.Context(), s.bucket, key,
		&gen.PutValueParams{Prefer: &minimal}, binaryType, bytes.NewReader(value))
	s.answered(err, written.HTTPResponse, http.StatusNoContent)
	path := written.HTTPResponse.Request.URL.EscapedPath()
	if !strings.HasSuffix(path, "/keys/images%2F%2Flogo") {
		s.Fatalf("the client sent %s", path)
	}
	read, err := s.GetValueWithResponse(s.Context(), s.bucket, key, nil)
	s.answered(err, read.HTTPResponse, http.StatusOK)
	s.equal("ETag", unchecked(read.Headers200.ETag), written.Headers204.ETag)
	s.equal("same bytes", bytes.Equal(read.Body, value), true)

	span := "bytes=255-256"
	part, err := s.GetValueWithResponse(s.Context(), s.bucket, key,
		&gen.GetValueParams{Range: &span})
	s.answered(err, part.HTTPResponse, http.StatusPartialContent)
	s.equal("Content-Range", part.Headers206.ContentRange, "bytes 255-256/512")
	s.equal("same part", bytes.Equal(part.Body, []byte{255, 0}), true)

	head, err := s.HeadValueWithResponse(s.Context(), s.bucket, key, nil)
	s.answered(err, head.HTTPResponse, http.StatusOK)
	s.equal("Content-Length", *head.Headers200.ContentLength, int64(len(value)))
}

// readThroughQuery sends the key in the query, as behind a proxy that rewrites paths. It is not
// among the parameters of the operation.
func (s *session) readThroughQuery(key string) {
	s.Helper()
	keyInQuery := func(_ context.Context, r *http.Request) error {
		r.URL.RawQuery += "&" + url.Values{"key": {key}}.Encode()
		return nil
	}
	base64 := gen.Base64
	entry, err := s.GetEntryWithResponse(s.Context(), s.bucket, "~",
		&gen.GetEntryParams{Values: &base64}, keyInQuery)
	s.answered(err, entry.HTTPResponse, http.StatusOK)
	s.equal("key", entry.JSON200.Key, key)
	s.equal("length", len(*entry.JSON200.Base64), 512)
}

func (s *session) list(want ...string) {
	s.Helper()
	listed, err := s.ListKeysWithResponse(s.Context(), s.bucket, nil)
	s.answered(err, listed.HTTPResponse, http.StatusOK)
	if !slices.Equal(listed.JSON200.Keys, want) {
		s.Fatalf("keys are %v, want %v", listed.JSON200.Keys, want)
	}
	filtered, err := s.ListKeysWithResponse(s.Context(), s.bucket,
		&gen.ListKeysParams{Filter: &[]string{"orders.*", "stock.>"}})
	s.answered(err, filtered.HTTPResponse, http.StatusOK)
	if !slices.Equal(filtered.JSON200.Keys, []string{"orders.17"}) {
		s.Fatalf("filtered keys are %v", filtered.JSON200.Keys)
	}
}

// acceptLines makes a request one for NDJSON. Its response must be read with the plain client: the
// generated one takes x-ndjson for one JSON document.
func acceptLines(_ context.Context, r *http.Request) error {
	r.Header.Set("Accept", linesType)
	return nil
}

func (s *session) listLines(want string) {
	s.Helper()
	response, err := s.ListKeys(s.Context(), s.bucket, nil, acceptLines)
	s.answered(err, response, http.StatusOK)
	lines, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		s.Fatal(err)
	}
	s.equal("lines", string(lines), want)
}

func (s *session) listBucket() {
	s.Helper()
	names := true
	buckets, err := s.ListBucketsWithResponse(s.Context(), &gen.ListBucketsParams{Names: &names})
	s.answered(err, buckets.HTTPResponse, http.StatusOK)
	if !slices.Contains(*buckets.JSON200.Names, s.bucket) {
		s.Fatalf("%s is not listed", s.bucket)
	}
}

func (s *session) deleteValue(key string, current gen.WriteResult) {
	s.Helper()
	etag := fmt.Sprintf("%q", fmt.Sprint(current.Revision))
	deleted, err := s.DeleteValueWithResponse(s.Context(), s.bucket, key,
		&gen.DeleteValueParams{IfMatch: &etag})
	s.answered(err, deleted.HTTPResponse, http.StatusOK)

	gone, err := s.GetValueWithResponse(s.Context(), s.bucket, key, nil)
	s.answered(err, gone.HTTPResponse, http.StatusNotFound)
	s.equal("KV-Operation", string(*gone.HeadersDefault.KVOperation), "delete")
	s.equal("marker's revision", *gone.ApplicationproblemJSONDefault.Revision,
		deleted.JSON200.Revision)

	history, err := s.GetHistoryWithResponse(s.Context(), s.bucket, key, nil)
	s.answered(err, history.HTTPResponse, http.StatusOK)
	var operations []string
	for _, entry := range history.JSON200.Entries {
		operations = append(operations, string(entry.Operation))
	}
	s.equal("history", strings.Join(operations, " "), "put put delete")
}

// patchBucket distinguishes null from an absent member.
func (s *session) patchBucket() {
	s.Helper()
	patch := gen.BucketConfigPatch{
		Description: nullable.NewNullNullable[string](),
		History:     nullable.NewNullableWithValue[int32](7),
	}
	patched, err := s.PatchBucketWithApplicationMergePatchPlusJSONBodyWithResponse(
		s.Context(), s.bucket, patch)
	s.answered(err, patched.HTTPResponse, http.StatusOK)
	s.equal("history", patched.JSON200.History, int32(7))
	s.equal("description", *patched.JSON200.Description, "")
}

func (s *session) purgeMarkers() {
	s.Helper()
	markers, err := s.ListMarkersWithResponse(s.Context(), s.bucket, nil)
	s.answered(err, markers.HTTPResponse, http.StatusOK)
	s.equal("markers", len(markers.JSON200.Markers), 1)

	all := "0s"
	purged, err := s.PurgeMarkersWithResponse(s.Context(), s.bucket,
		&gen.PurgeMarkersParams{OlderThan: &all})
	s.answered(err, purged.HTTPResponse, http.StatusOK)
	s.equal("removed", purged.JSON200.Removed, int64(1))
}

func (s *session) readMany(key string) {
	s.Helper()
	read, err := s.ListEntriesWithResponse(s.Context(), s.bucket,
		&gen.ListEntriesParams{Key: &[]string{"none", key}})
	s.answered(err, read.HTTPResponse, http.StatusOK)
	s.equal("entries", len(read.JSON200.Entries), 1)
	s.equal("key", read.JSON200.Entries[0].Key, key)
	s.equal("snapshot", read.JSON200.Snapshot, true)
	s.equal("KV-Consistency", read.Headers200.KVConsistency, gen.ConsistencyLeader)
}

// importExport sends an export, as it comes, to the import of the same bucket.
func (s *session) importExport(entries int) {
	s.Helper()
	export, err := s.ListEntries(s.Context(), s.bucket, nil, acceptLines)
	s.answered(err, export, http.StatusOK)
	defer export.Body.Close()
	imported, err := s.ImportEntriesWithBody(s.Context(), s.bucket, nil, linesType, export.Body)
	s.answered(err, imported, http.StatusOK)
	defer imported.Body.Close()
	report, err := io.ReadAll(imported.Body)
	if err != nil {
		s.Fatal(err)
	}
	want := fmt.Sprintf(`{"done":true,"stored":%d,"failed":0,"expired":0,"prolonged":0}`, entries)
	s.equal("report", string(report), want+"\n")
}

func (s *session) deleteMany(keys int64) {
	s.Helper()
	all, dry := []string{">"}, true
	counted, err := s.DeleteKeysWithResponse(s.Context(), s.bucket,
		&gen.DeleteKeysParams{Filter: &all, DryRun: &dry})
	s.answered(err, counted.HTTPResponse, http.StatusOK)
	s.equal("counted", counted.JSON200.Deleted, keys)

	deleted, err := s.DeleteKeysWithResponse(s.Context(), s.bucket,
		&gen.DeleteKeysParams{Filter: &all})
	s.answered(err, deleted.HTTPResponse, http.StatusOK)
	s.equal("deleted", deleted.JSON200.Deleted, keys)
	s.equal("skipped", len(deleted.JSON200.Skipped), 0)
}
