package kvclient

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxRevision is the greatest revision that the gateway accepts from a client: 2^53-1, the greatest integer that every
// JSON reader keeps exactly (RFC 8259 §6).
const MaxRevision Revision = 1<<53 - 1

// A Revision is the sequence number of a message in the bucket's stream. It rises with every write to the bucket; 0 stands
// for "never written".
type Revision uint64

// ParseRevision reads a decimal revision up to [MaxRevision]. It returns a *[SyntaxError].
func ParseRevision(s string) (Revision, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || s[0] == '+' || Revision(n) > MaxRevision {
		return 0, &SyntaxError{What: "revision", Reason: fmt.Sprintf("%.32q is not an integer from 0 to 2^53-1", s)}
	}
	return Revision(n), nil
}

// String returns the revision in decimal.
func (r Revision) String() string { return strconv.FormatUint(uint64(r), 10) }

// An Epoch tells one life of a bucket from another: a bucket deleted and created again is a different bucket whose
// revisions start anew. It is the stream's creation time in Unix microseconds, in lower-case base 36.
type Epoch string

func epochOf(created time.Time) Epoch { return Epoch(strconv.FormatInt(created.UnixMicro(), 36)) }

// A Position is a point in the life of a bucket: a revision and the epoch in which it counts. An empty Epoch stands for
// "whichever is current", as in a bare revision that a client typed.
type Position struct {
	Epoch    Epoch
	Revision Revision
}

// ParsePosition reads "1742-k3f9x" or a bare "1742". It returns a *[SyntaxError].
func ParsePosition(s string) (Position, error) {
	number, epoch, full := strings.Cut(s, "-")
	rev, err := ParseRevision(number)
	if err != nil || full && !isEpoch(epoch) {
		return Position{}, &SyntaxError{What: "position", Reason: fmt.Sprintf("%.64q is not REVISION or REVISION-EPOCH", s)}
	}
	return Position{Revision: rev, Epoch: Epoch(epoch)}, nil
}

// maxEpochBytes is the length of the greatest int64 in base 36.
const maxEpochBytes = 13

func isEpoch(s string) bool {
	if s == "" || len(s) > maxEpochBytes {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// String returns "revision-epoch", or the bare revision where there is no epoch.
func (p Position) String() string {
	if p.Epoch == "" {
		return p.Revision.String()
	}
	return p.Revision.String() + "-" + string(p.Epoch)
}
