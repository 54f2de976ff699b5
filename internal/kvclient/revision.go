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

// An Epoch tells one life of a bucket from another: a bucket that is deleted and created again is a
// different bucket, whose revisions start anew. It is the stream's creation time in Unix
// microseconds, in lower-case base 36. It is not proof by itself: a stream that lost its end keeps
// its epoch, and up to nats-server 2.14 a restart can change the epoch of the same stream.
type Epoch string

func epochOf(created time.Time) Epoch { return Epoch(strconv.FormatInt(created.UnixMicro(), 36)) }

// A Position is a point in the life of a bucket: a revision, the epoch in which it counts, and a
// check of the message that has the revision. An empty Epoch stands for "whichever is current", as
// in a bare revision that a client typed; the zero Check stands for "not known".
type Position struct {
	Epoch    Epoch
	Revision Revision
	Check    Check
}

// ParsePosition reads "1742-k3f9x.7c0q", "1742-k3f9x" or a bare "1742". It returns a
// *[SyntaxError].
func ParsePosition(s string) (Position, error) {
	number, rest, full := strings.Cut(s, "-")
	epoch, check, checked := strings.Cut(rest, ".")
	rev, err := ParseRevision(number)
	p := Position{Revision: rev, Epoch: Epoch(epoch)}
	wrongCheck := checked && (rev == 0 || !p.Check.parse(check)) // no message has revision 0
	if err != nil || full && !isEpoch(epoch) || wrongCheck {
		reason := fmt.Sprintf("%.64q is not REVISION, REVISION-EPOCH or REVISION-EPOCH.CHECK", s)
		return Position{}, &SyntaxError{What: "position", Reason: reason}
	}
	return p, nil
}

// maxEpochBytes is the length of the greatest int64 in base 36.
const maxEpochBytes = 13

func isEpoch(s string) bool { return s != "" && len(s) <= maxEpochBytes && isBase36(s) }

func isBase36(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// String returns "revision-epoch.check", without the check where it is not known, or the bare
// revision where there is no epoch.
func (p Position) String() string { return string(p.Append(nil)) }

// Append appends what String returns.
func (p Position) Append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(p.Revision), 10)
	if p.Epoch == "" {
		return dst
	}
	dst = append(append(dst, '-'), p.Epoch...)
	if p.Check.Known() {
		dst = append(append(dst, '.'), p.Check[:]...)
	}
	return dst
}

// Unchecked returns the position without its check, as a point in the present history.
func (p Position) Unchecked() Position { return Position{Epoch: p.Epoch, Revision: p.Revision} }

// names reports whether the position is that of the message which has this revision and check in
// this epoch. The check decides where the position has one, whatever the epoch says.
func (p Position) names(message Position, epoch Epoch) bool {
	switch {
	case p.Revision != message.Revision:
		return false
	case p.Check.Known():
		return p.Check == message.Check
	}
	return p.Epoch == "" || p.Epoch == epoch
}
