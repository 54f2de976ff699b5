package attack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Clients that take a little of much, or ask a little of NATS often: none of them stalls, and none
// is large.

var trickledStreams = Attack{
	Name:  "trickled-streams",
	About: "70 streams that take 110 KB a second of a value of 0.8 MB each",
	Setup: store("slow.", 70, 800_000),
	Run: func(ctx context.Context, t *Target) {
		eachAgain(ctx, 70, func(i int) {
			path := fmt.Sprintf("/buckets/%s/watch?filter=slow.%d", Bucket, i)
			t.sip(ctx, get(path), 22_000)
		})
	},
}

// sip sends a request, takes so many bytes of the answer five times a second, and returns when the
// connection has ended.
func (t *Target) sip(ctx context.Context, request string, bytes int) {
	conn := t.raw(ctx, 16<<10, request)
	if conn == nil {
		pause(ctx, 200*time.Millisecond)
		return
	}
	defer conn.Close()
	buffer := make([]byte, bytes)
	for pause(ctx, 200*time.Millisecond) {
		if err := take(conn, buffer); err != nil && !isTimeout(err) {
			return
		}
	}
}

// take reads what has arrived, up to the size of the buffer.
func take(conn net.Conn, buffer []byte) error {
	for len(buffer) > 0 {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := conn.Read(buffer)
		if err != nil {
			return err
		}
		buffer = buffer[n:]
	}
	return nil
}

var revisionWaits = Attack{
	Name:  "revision-waits",
	About: "3,000 GETs that wait for a revision which does not come",
	Run: func(ctx context.Context, t *Target) {
		request := get("/buckets/"+Bucket+"/keys/nothing?min_revision=9007199254740991",
			"Prefer: wait=60")
		eachAgain(ctx, 3000, func(int) { t.sit(ctx, request) })
	},
}

var bucketLists = Attack{
	Name:  "bucket-lists",
	About: "30 callers of a list of 300 buckets, as often as it is answered",
	Setup: func(ctx context.Context, t *Target) error {
		for i := range 300 {
			path := fmt.Sprintf("/buckets/listed-%d", i)
			if _, err := t.must(ctx, http.MethodPut, path, "application/json",
				[]byte(`{"storage":"memory"}`)); err != nil {
				return err
			}
		}
		return nil
	},
	Run: func(ctx context.Context, t *Target) {
		eachAgain(ctx, 30, func(int) {
			t.Do(ctx, http.MethodGet, "/buckets?limit=1000", "", nil)
		})
	},
}

var bucketPatches = Attack{
	Name:  "bucket-patches",
	About: "12 patches of a bucket with 35,000 members of metadata at a time",
	Run: func(ctx context.Context, t *Target) {
		var members []string
		for i := range 35_000 {
			members = append(members, fmt.Sprintf(`"m%d":""`, i))
		}
		patch := []byte(`{"metadata":{` + strings.Join(members, ",") + `}}`)
		eachAgain(ctx, 12, func(int) {
			t.Do(ctx, http.MethodPatch, "/buckets/"+Bucket, "application/merge-patch+json", patch)
		})
	},
}
