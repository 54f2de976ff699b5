package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stored returns the message at a revision, with all its headers.
func (g *gateway) stored(t testing.TB, bucket string, revision uint64) storedMessage {
	t.Helper()
	var response struct {
		Message *storedMessage `json:"message"`
	}
	reply, err := g.js.Conn().Request("$JS.API.STREAM.MSG.GET.KV_"+bucket,
		fmt.Appendf(nil, `{"seq":%d}`, revision), patience)
	if err == nil {
		err = json.Unmarshal(reply.Data, &response)
	}
	if err != nil || response.Message == nil {
		t.Fatalf("stored message %d of %s: %v", revision, bucket, err)
	}
	if raw := response.Message.Raw; len(raw) > 0 {
		if response.Message.Header, err = nats.DecodeHeadersMsg(raw); err != nil {
			t.Fatal(err)
		}
	}
	return *response.Message
}

// publish stores a message with any headers, under a key of any bytes, as no KV client would, and
// returns its revision.
func (g *gateway) publish(t testing.TB, bucket, key, value string, header nats.Header) uint64 {
	t.Helper()
	msg := &nats.Msg{Subject: "$KV." + bucket + "." + key, Data: []byte(value), Header: header}
	ack, err := g.js.PublishMsg(t.Context(), msg)
	if err != nil {
		t.Fatalf("publish %s: %v", msg.Subject, err)
	}
	return ack.Sequence
}

// put stores a value natively and returns its revision.
func put(t testing.TB, kv jetstream.KeyValue, key, value string) uint64 {
	t.Helper()
	revision, err := kv.PutString(t.Context(), key, value)
	if err != nil {
		t.Fatalf("native put %s: %v", key, err)
	}
	return revision
}

// deleteKey deletes a key natively, which leaves a delete marker.
func deleteKey(t testing.TB, kv jetstream.KeyValue, key string) {
	t.Helper()
	if err := kv.Delete(t.Context(), key); err != nil {
		t.Fatalf("native delete %s: %v", key, err)
	}
}

// purgeKey purges a key natively, which leaves a purge marker and removes the key's history.
func purgeKey(t testing.TB, kv jetstream.KeyValue, key string) {
	t.Helper()
	if err := kv.Purge(t.Context(), key); err != nil {
		t.Fatalf("native purge %s: %v", key, err)
	}
}

// deleteBucket deletes a bucket natively.
func (g *gateway) deleteBucket(t testing.TB, bucket string) {
	t.Helper()
	if err := g.js.DeleteKeyValue(t.Context(), bucket); err != nil {
		t.Fatalf("native delete of bucket %s: %v", bucket, err)
	}
}

// wantNative checks the last value of a key as a native client sees it.
func wantNative(t testing.TB, kv jetstream.KeyValue, key, want string) {
	t.Helper()
	entry, err := kv.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("native get %s: %v", key, err)
	}
	if got := string(entry.Value()); got != want {
		t.Errorf("native value of %s is %q, want %q", key, got, want)
	}
}

// lastRevision returns the revision of the last entry of a key, markers included, or 0 if there is
// none.
func (g *gateway) lastRevision(t testing.TB, bucket, key string) uint64 {
	t.Helper()
	msg, err := g.stream(t, bucket).GetLastMsgForSubject(t.Context(), "$KV."+bucket+"."+key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0
	}
	if err != nil {
		t.Fatalf("last revision of %s: %v", key, err)
	}
	return msg.Sequence
}

// messages returns the number of messages in a bucket's stream, and the sequence of the last. If
// both are the same later, nothing was stored.
func (g *gateway) messages(t testing.TB, bucket string) [2]uint64 {
	t.Helper()
	info, err := g.stream(t, bucket).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return [2]uint64{info.State.Msgs, info.State.LastSeq}
}

// wantUnchanged checks that nothing was stored in a bucket or removed from it since messages
// returned before. of is put before the message, to say which request did it.
func (g *gateway) wantUnchanged(t testing.TB, bucket string, before [2]uint64, of ...any) {
	t.Helper()
	cause := ""
	if len(of) > 0 {
		cause = fmt.Sprint(of...) + ": "
	}
	if after := g.messages(t, bucket); after != before {
		t.Errorf("%sthe stream of %s went from %v to %v", cause, bucket, before, after)
	}
}

// retained returns the number of messages that a bucket's stream holds of a key, markers included.
func (g *gateway) retained(t testing.TB, bucket, key string) uint64 {
	t.Helper()
	subject := "$KV." + bucket + "." + key
	info, err := g.stream(t, bucket).Info(t.Context(), jetstream.WithSubjectFilter(subject))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Subjects[subject]
}
