package main

import (
	"testing"
	"time"
)

// toldDigest returns the violations of a stream that tells a digest when it has a@1, b@2, and c@3
// which expires.
func toldDigest(digest string, exact bool) []Violation {
	s := newScript("e1")
	s.put(1, "a")
	s.put(2, "b")
	c := s.store(s.life(), 3, "c", "put")
	c.Expires = s.life().Records[3].At.Add(time.Minute)
	s.life().Records[3].TTL, s.life().Records[3].Kept = time.Minute, false
	s.tell(c)
	sync := s.point("sync", 3, exact)
	sync.Digest = digest
	s.tell(sync, s.point("bookmark", 3, true))
	return Validate(s.trace, s.settled(), plain)
}

func TestDigestIsComparedWithTheTruth(t *testing.T) {
	const right = "2-e5afda3217116436" // of a@1 and b@2, as in api/digest-vectors.json
	if found := toldDigest(right, true); found != nil {
		t.Errorf("of the right digest: %v", found)
	}
	caught(t, toldDigest("3"+right[1:], true), "digest")
	caught(t, toldDigest(right[:len(right)-1]+"f", true), "digest")
	caught(t, toldDigest(right, false), "digest")
}
