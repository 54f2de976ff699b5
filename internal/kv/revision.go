package kv

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxRevision is the greatest revision that the gateway accepts from a client: 2^53-1, the greatest
// integer that every reader of JSON keeps exactly (RFC 8259 §6).
const MaxRevision Revision = 1<<53 - 1

// A Revision is the sequence number of a message in the bucket's stream. It rises with every write
// to the bucket; 0 stands for "never written".
type Revision uint64

// ParseRevision reads a decimal revision up to [MaxRevision], in the one form in which the gateway
// writes it: without a sign and without leading zeros. It returns a *[SyntaxError].
func ParseRevision(s string) (Revision, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || s[0] == '+' || s[0] == '0' && len(s) > 1 || Revision(n) > MaxRevision {
		reason := fmt.Sprintf("%.32q is not an integer from 0 to 2^53-1 without leading zeros", s)
		return 0, &SyntaxError{What: "revision", Reason: reason}
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

// EpochOf returns the epoch of a stream that was created at this time.
func EpochOf(created time.Time) Epoch { return Epoch(strconv.FormatInt(created.UnixMicro(), 36)) }

// A Position is a place in the history of a bucket.
type Position struct {
	// Epoch is the epoch in which the revision counts. It is empty for whichever epoch is current,
	// as in a bare revision that a client typed.
	Epoch Epoch
	// Revision is the revision.
	Revision Revision
	// Check is the check of the message that has the revision; the zero Check if it is not known.
	Check Check
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

// isEpoch reports whether s can be an epoch.
func isEpoch(s string) bool { return s != "" && len(s) <= maxEpochBytes && isBase36(s) }

// isBase36 reports whether s is lower-case base 36.
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

// ETag returns the entity tag of an entry at the position: the position in double quotes (RFC 9110
// §8.8.3), and "0" for a key that was never written.
func (p Position) ETag() string {
	if p.Revision == 0 {
		return `"0"`
	}
	var buffer [48]byte
	return string(p.AppendETag(buffer[:0]))
}

// AppendETag appends the entity tag of an entry that was written.
func (p Position) AppendETag(dst []byte) []byte {
	return append(p.Append(append(dst, '"')), '"')
}

// Unchecked returns the position without its check.
func (p Position) Unchecked() Position { return Position{Epoch: p.Epoch, Revision: p.Revision} }

// names reports whether the position is that of the message which has this revision and check in
// this epoch. If the position has a check, the check decides, whatever the epoch is.
func (p Position) names(message Position, epoch Epoch) bool {
	switch {
	case p.Revision != message.Revision:
		return false
	case p.Check.Known():
		return p.Check == message.Check
	}
	return p.Epoch == "" || p.Epoch == epoch
}
