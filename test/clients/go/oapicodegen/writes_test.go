package oapicodegen_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"kvgateway/test/clients/go/oapicodegen/gen"
)

// The bucket allows patches, times to live, idempotency keys and transactions.
func TestWritesOfEveryForm(t *testing.T) {
	s := begin(t, "clients-go-writes")
	history, markers, atomic := int32(5), "1s", true
	created, err := s.PutBucketWithResponse(s.Context(), s.bucket, nil,
		gen.BucketConfig{History: &history, LimitMarkerTtl: &markers, AllowAtomic: &atomic})
	s.answered(err, created.HTTPResponse, http.StatusCreated)
	t.Cleanup(s.deleteBucket)

	s.createValue("orders.17", `{"qty":2,"note":"fragile"}`)
	s.mergePatch("orders.17")
	s.jsonPatch("orders.17")
	s.expire("sessions.9")
	s.retry("orders.18")
	s.transact("accounts.a", "accounts.b")
}

func (s *session) mergePatch(key string) {
	s.Helper()
	patched, err := s.PatchValueWithApplicationMergePatchPlusJSONBodyWithResponse(
		s.Context(), s.bucket, key, nil, map[string]any{"qty": 3, "note": nil})
	s.answered(err, patched.HTTPResponse, http.StatusOK)
	s.holds(key, `{"qty":3}`)
}

func (s *session) jsonPatch(key string) {
	s.Helper()
	operations := gen.JSONPatch{
		{Op: gen.Test, Path: "/qty", Value: 3},
		{Op: gen.Add, Path: "/paid", Value: true},
	}
	patched, err := s.PatchValueWithApplicationJSONPatchPlusJSONBodyWithResponse(
		s.Context(), s.bucket, key, nil, operations)
	s.answered(err, patched.HTTPResponse, http.StatusOK)
	s.holds(key, `{"qty":3,"paid":true}`)

	operations[0].Value = 4
	refused, err := s.PatchValueWithApplicationJSONPatchPlusJSONBodyWithResponse(
		s.Context(), s.bucket, key, nil, operations)
	s.answered(err, refused.HTTPResponse, http.StatusConflict)
	s.equal("problem", refused.ApplicationproblemJSONDefault.Type, "/problems/patch-test-failed")
}

// holds reads a key, which must have the value. It must be an object: see client.Get.
func (s *session) holds(key, value string) *gen.GetValueResponse {
	s.Helper()
	read, err := s.GetValueWithResponse(s.Context(), s.bucket, key, nil)
	s.answered(err, read.HTTPResponse, http.StatusOK)
	s.equal("value", string(read.Body), value)
	return read
}

// expire stores a value with a time to live, and reads when it ends.
func (s *session) expire(key string) {
	s.Helper()
	ttl := "90s"
	written, err := s.PutValueWithBodyWithResponse(s.Context(), s.bucket, key,
		&gen.PutValueParams{Ttl: &ttl}, "text/plain", strings.NewReader("user 4"))
	s.answered(err, written.HTTPResponse, http.StatusOK)
	read := s.holds(key, "user 4")
	s.equal("KV-Expires", *read.Headers200.KVExpires, read.Headers200.KVCreated.Add(90*time.Second))
	left, err := time.ParseDuration(*read.Headers200.KVTTL)
	if err != nil || left <= 0 || left > 90*time.Second {
		s.Fatalf("KV-TTL is %s, %v", *read.Headers200.KVTTL, err)
	}
	entry, err := s.GetEntryWithResponse(s.Context(), s.bucket, key, nil)
	s.answered(err, entry.HTTPResponse, http.StatusOK)
	s.equal("expires", *entry.JSON200.Expires, *read.Headers200.KVExpires)

	short := "999ms"
	refused, err := s.PutValueWithBodyWithResponse(s.Context(), s.bucket, key,
		&gen.PutValueParams{Ttl: &short}, "text/plain", strings.NewReader("user 4"))
	s.answered(err, refused.HTTPResponse, http.StatusBadRequest)
}

// retry sends the same request twice, and another request with the same idempotency key.
func (s *session) retry(key string) {
	s.Helper()
	once := `"8e03978e-40d5-43dd-bc93-6894a57f9324"`
	put := func(value string) *gen.PutValueResponse {
		written, err := s.PutValueWithBodyWithResponse(s.Context(), s.bucket, key,
			&gen.PutValueParams{IdempotencyKey: &once}, jsonType, strings.NewReader(value))
		if err != nil {
			s.Fatal(err)
		}
		return written
	}
	first, again, other := put(`{"n":1}`), put(`{"n":1}`), put(`{"n":2}`)
	s.answered(nil, first.HTTPResponse, http.StatusOK)
	s.answered(nil, again.HTTPResponse, http.StatusOK)
	s.equal("the retry's revision", again.JSON200.Revision, first.JSON200.Revision)
	s.answered(nil, other.HTTPResponse, http.StatusUnprocessableEntity)
	s.equal("problem", other.ApplicationproblemJSONDefault.Type, "/problems/idempotency-key-reused")
	s.holds(key, `{"n":1}`)
}

// transact writes two keys at once with an idempotency key, and not a second time.
func (s *session) transact(a, b string) {
	s.Helper()
	absent, text, once := true, "open", "transfer-1"
	balance := map[string]int{"balance": 5}
	transfer := gen.Transaction{Operations: []gen.TransactionOperation{
		{Op: gen.TransactionOperationOpPut, Key: a, Value: balance, IfAbsent: &absent},
		{Op: gen.TransactionOperationOpPut, Key: b, Text: &text},
	}}
	params := &gen.TransactParams{IdempotencyKey: &once}
	done, err := s.TransactWithResponse(s.Context(), s.bucket, params, transfer)
	s.answered(err, done.HTTPResponse, http.StatusOK)
	s.equal("last revision", done.JSON200.Results[1].Revision, done.JSON200.Revision)
	s.holds(a, `{"balance":5}`)
	s.holds(b, text)

	again, err := s.TransactWithResponse(s.Context(), s.bucket, params, transfer)
	s.answered(err, again.HTTPResponse, http.StatusConflict)
	s.equal("the first request's revision", *again.ApplicationproblemJSONDefault.Revision,
		done.JSON200.Revision)

	failed, err := s.TransactWithResponse(s.Context(), s.bucket, nil, transfer)
	s.answered(err, failed.HTTPResponse, http.StatusPreconditionFailed)
	s.equal("the key in the way", (*failed.ApplicationproblemJSONDefault.Failed)[0].Key, a)
}
