package oapicodegen_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kvgateway/test/clients/go/oapicodegen/gen"
)

// TestStream follows a bucket as lines of JSON, and reads each line as the generated type Event.
// A stream is read with the plain client, since WatchBucketWithResponse waits for its end.
func TestStream(t *testing.T) {
	s := begin(t, "clients-go-stream")
	s.createBucket()
	s.createValue("orders.17", `{"qty":2}`)
	response, err := s.WatchBucket(s.Context(), s.bucket, nil, acceptLines)
	s.answered(err, response, http.StatusOK)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)

	s.told(lines, "put orders.17 map[qty:2] application/json")
	s.told(lines, "sync 1 1 true")
	s.createValue("orders.18", `{"qty":3}`)
	s.told(lines, "put orders.18 map[qty:3] application/json")
	deleted, err := s.DeleteValueWithResponse(s.Context(), s.bucket, "orders.17", nil)
	s.answered(err, deleted.HTTPResponse, http.StatusOK)
	s.told(lines, "delete orders.17")
	s.deleteBucket()
	s.told(lines, "deleted "+s.bucket)
}

// told reads lines up to the next event that cannot come at any time, which must be this one.
func (s *session) told(lines *bufio.Scanner, want string) {
	s.Helper()
	for lines.Scan() {
		var event gen.Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			s.Fatal(err)
		}
		value, err := event.ValueByDiscriminator()
		if err != nil {
			s.Fatalf("%v in %s", err, lines.Bytes())
		}
		if got := tell(value); got != "" {
			s.equal("event", got, want)
			return
		}
	}
	s.Fatalf("the stream ended before %s: %v", want, lines.Err())
}

// tell says what an event is, or nothing of one that can come at any time.
func tell(event any) string {
	switch e := event.(type) {
	case gen.ChangeEvent:
		if e.Value == nil {
			return fmt.Sprintf("%s %s", e.Event, e.Key)
		}
		return fmt.Sprintf("%s %s %v %s", e.Event, e.Key, e.Value, *e.ContentType)
	case gen.SyncEvent:
		return fmt.Sprintf("sync %d %d %t", e.Revision, *e.Keys, e.Exact)
	case gen.BucketDeletedEvent:
		return "deleted " + e.Bucket
	case gen.BookmarkEvent, gen.HeartbeatEvent, gen.SourceEvent:
		return ""
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", event), "gen.")
}
