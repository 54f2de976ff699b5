package handlers_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// The patch that the problem advises allows the time to live of the request, also where the server
// would raise that to limit_marker_ttl.
func TestTimesToLiveAreEnabledAsAdvised(t *testing.T) {
	t.Parallel()
	g := start(t)
	for i, tc := range []struct {
		history    uint8
		ttl, patch string
	}{
		{1, "5s", "1h"}, {2, "5s", "5s"}, {64, "1500ms", "1s"}, {2, "90s", "1m30s"},
		{2, "2h", "1h"},
	} {
		name := fmt.Sprint("b", i)
		g.bucket(t, jetstream.KeyValueConfig{Bucket: name, History: tc.history})
		target := "/buckets/" + name + "/keys/a?ttl=" + tc.ttl
		patch, err := json.Marshal(g.do(t, "PUT", target, "v").
			problem(t, 409, "ttl-not-enabled")["patch"])
		if err != nil || string(patch) != fmt.Sprintf(`{"limit_marker_ttl":"%s"}`, tc.patch) {
			t.Errorf("history %d, %s: %s (%v), want %s", tc.history, tc.ttl, patch, err, tc.patch)
		}
		g.do(t, "PATCH", "/buckets/"+name, string(patch), mergeType).is(t, 200)
		g.do(t, "PUT", target, "v").is(t, 200)
	}
}
