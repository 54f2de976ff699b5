package native

import (
	"slices"
	"strconv"
	"time"
)

// marked are the settings of a bucket whose entries can have their own time to live.
const marked = `{"limit_marker_ttl":"1h"}`

func checkLimitMarkers(s *scene) {
	s.want("ok", "create", s.bucket, "1", "0", "3600000")
	var bucket struct {
		Markers string `json:"limit_marker_ttl"`
	}
	s.decode(s.http(200, "GET", "", ""), &bucket)
	if d, err := time.ParseDuration(bucket.Markers); err != nil || d != time.Hour {
		s.t.Errorf("limit_marker_ttl over HTTP: %q; want an hour", bucket.Markers)
	}
	s.http(200, "PUT", "/keys/a?ttl=1m", "1")
}

func limitMarkersOverHTTP(s *scene) {
	s.create(marked)
	s.http(200, "PUT", "/keys/a?ttl=1m", "1")
	s.want("ok", "get", "a")
}

func checkTTLBucket(s *scene) {
	s.want("ok", "create", s.bucket, "1", "1000", "0")
	s.revision("put", "a", text("1"), "0")
	s.put("b", "2")
	s.wantExpiring("a")
	s.wantExpiring("b")
	s.awaitGone("a")
	s.awaitGone("b")
	s.want("missing", "get", "a")
	s.want("missing", "get", "b")
}

func checkTTLCreate(s *scene) {
	s.create(marked)
	over := s.stream("?updates_only=true")
	s.revision("create-key", "a", text("1"), "1000")
	s.wantExpiring("a")
	over.want("put", "a", "1")
	over.want("expire", "a", "")
	s.wantGone("a", "expire")
}

func checkTTLCreateAgain(s *scene) {
	s.create(marked)
	s.put("a", "1")
	s.http(200, "DELETE", "/keys/a", "")
	s.revision("create-key", "a", text("2"), "1000")
	if s.http(200, "GET", "/keys/a", "").header.Get("KV-Expires") == "" {
		s.cannot(ttlDropped)
	}
	s.awaitGone("a")
}

func ttlCreateAgainOverHTTP(s *scene) {
	s.create(marked)
	s.put("a", "1")
	s.want("ok", "delete", "a", "0")
	s.http(201, "PUT", "/keys/a?ttl=1s", "2", "If-None-Match", "*")
	s.wantExpiring("a")
	s.awaitGone("a")
}

func checkTTLPut(s *scene) {
	s.create(marked)
	s.put("a", "1")
	s.revision("put", "a", text("2"), "1000")
	s.wantExpiring("a")
	s.awaitGone("a")
}

func ttlPutOverHTTP(s *scene) {
	s.create(marked)
	s.revision("put", "a", text("1"), "0")
	r := s.put("a?ttl=1s", "2")
	s.wantEntry("a", r, "2")
	s.wantExpiring("a")
	s.awaitGone("a")
}

func checkTTLPurge(s *scene) {
	s.create(marked)
	s.put("a", "1")
	s.want("ok", "purge", "a", "1000")
	s.wantGone("a", "purge")
	s.awaitNothing("a")
	s.want("missing", "get", "a")
}

func ttlPurgeOverHTTP(s *scene) {
	s.create(marked)
	s.revision("put", "a", text("1"), "0")
	s.http(200, "DELETE", "/keys/a?purge=true&ttl=1s", "")
	s.wantGone("a", "purge")
	s.awaitNothing("a")
	s.want("missing", "get", "a")
}

func checkExpiredGet(s *scene) {
	s.create(marked)
	s.put("a?ttl=1s", "1")
	s.awaitGone("a")
	if got := s.native("get", "a"); got.kind == "ok" && got.fields[1] == "" {
		s.cannot(markerRead)
	} else if got.kind != "missing" {
		s.t.Errorf("native get of what has expired: %v", got)
	}
}

func expiredGetOverHTTP(s *scene) {
	s.create(marked)
	s.put("a?ttl=1s", "1")
	s.awaitGone("a")
	s.wantGone("a", "expire")
}

func checkExpiredKeys(s *scene) {
	s.create(marked)
	s.put("a?ttl=1s", "1")
	s.put("b", "2")
	s.awaitGone("a")
	got := s.want("ok", "keys")
	if slices.Sort(got); slices.Equal(got, []string{"a", "b"}) {
		s.cannot(expiredListed)
	}
	s.wantKeys("b")
}

func expiredKeysOverHTTP(s *scene) {
	s.create(marked)
	s.put("a?ttl=1s", "1")
	s.put("b", "2")
	s.awaitGone("a")
	s.wantKeysOverHTTP("b")
}

func checkExpiredWatch(s *scene) {
	s.create(marked)
	s.put("b", "2")
	s.want("ok", "watch", ">", "0")
	s.wantUpdate("put", "b", "2")
	s.want("end", "next", milliseconds(patience))
	s.put("a?ttl=1s", "1")
	s.wantUpdate("put", "a", "1")
	got := s.want("ok", "next", milliseconds(patience))
	s.want("ok", "unwatch")
	if got[0] == "put" && got[2] == "a" && got[3] == "" {
		s.cannot(markerReported)
	}
	if got[0] != "purge" || got[2] != "a" {
		s.t.Errorf("native update: %v; want a purge of a", got)
	}
}

func expiredWatchOverHTTP(s *scene) {
	s.create(marked)
	over := s.stream("")
	over.want("sync", "", "")
	s.put("a?ttl=1s", "1")
	over.want("put", "a", "1")
	over.want("expire", "a", "")
}

// wantExpiring fails the test unless HTTP says that the value ends within a second. The value can
// have ended already where the machine is busy.
func (s *scene) wantExpiring(key string) {
	s.t.Helper()
	got, err := s.gateway.do("GET", "/buckets/"+s.bucket+"/keys/"+key, nil, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	ttl, parseErr := time.ParseDuration(got.header.Get("KV-TTL"))
	if got.status == 200 && (parseErr != nil || ttl > time.Second) {
		s.t.Errorf("KV-TTL of %s: %q; want at most 1s", key, got.header.Get("KV-TTL"))
	}
}

// awaitGone waits until HTTP has no value under a key.
func (s *scene) awaitGone(key string) {
	s.t.Helper()
	s.awaitOverHTTP(key, func(a answer) bool { return a.status == 404 })
}

// awaitNothing waits until HTTP knows nothing of a key, and no marker either.
func (s *scene) awaitNothing(key string) {
	s.t.Helper()
	s.awaitOverHTTP(key, func(a answer) bool {
		return a.status == 404 && a.header.Get("ETag") == `"0"`
	})
}

func (s *scene) awaitOverHTTP(key string, holds func(answer) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got, err := s.gateway.do("GET", "/buckets/"+s.bucket+"/keys/"+key, nil, nil)
		if err == nil && holds(got) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("GET %s: %v, %s", key, err, strconv.Itoa(got.status))
		}
	}
}
