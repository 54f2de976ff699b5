package kv

import (
	"fmt"
	"hash/fnv"
	"time"
)

// Terms are the settings of a bucket's stream that decide which messages are its entries, and when
// they vanish. An entry is reported with an end that follows from them; under other terms the same
// revision has another end, or is not there.
type Terms struct {
	// MaxAge is the age at which messages vanish that have no time to live of their own; 0 for
	// never.
	MaxAge time.Duration
	// MarkerTTL is how long the marker of an expired entry stays; 0 if none is left. The server
	// also raises shorter times to live to it.
	MarkerTTL time.Duration
	// MessageTTLs says that the server acts on the times to live of messages.
	MessageTTLs bool
	// Discards says that messages may vanish that nothing took the place of, and that nobody is
	// told which: the oldest ones for want of room, those that consumers have read, or schedules
	// that have run. Buckets of the first clients discard their oldest messages.
	Discards bool
	// Subjects is the prefix of the entries' subjects. It changes where a mirror becomes a stream
	// of its own.
	Subjects string
}

// Digest returns a digest of the terms, of four base-36 characters. Clients keep ids, which contain
// it, for as long as they like, so the digest of given terms must never change. Discards is not
// part of it, since it does not change what was reported.
func (t Terms) Digest() string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %t %s", t.MaxAge, t.MarkerTTL, t.MessageTTLs, t.Subjects)
	short := Base36(h.Sum64())
	return string(short[:])
}

// ExceptSubjects returns the terms that an [Advisory] can tell: those without Subjects.
func (t Terms) ExceptSubjects() Terms {
	t.Subjects = ""
	return t
}

// EndUntold reports whether an entry may vanish at an end of its own and leave no marker. A client
// that was not told of that end never learns of it.
func (t Terms) EndUntold() bool { return t.MessageTTLs && t.MarkerTTL == 0 }
