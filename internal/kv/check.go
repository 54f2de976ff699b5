package kv

import "time"

// A Check tells apart two messages that were given the same revision. A stream that lost its end,
// by a power cut or a restored backup, gives its revisions out again in the same epoch, and a
// stream that is deleted and created again begins anew; up to nats-server 2.14 the epoch of the
// same stream can also move when the server starts again. When a message was stored is the same for
// every replica and every gateway, so a hash of that time is in each tag and each id.
//
// A Check is four base-36 characters of a hash of the time, in Unix nanoseconds, at which the
// message was stored. The zero Check stands for "not known"; a position without a check, as earlier
// versions gave them, is judged by its epoch.
type Check [checkBytes]byte

// The size of a Check.
const (
	checkBytes = 4
	// checkValues is 36 to the power of checkBytes.
	checkValues = 36 * 36 * 36 * 36
)

// CheckOf returns the check of a message that was stored at this time, and the zero Check for the
// zero time. Clients keep checks for as long as they like, so the hash must never change.
func CheckOf(stored time.Time) Check {
	if stored.IsZero() {
		return Check{}
	}
	return Check(Base36(mix(uint64(stored.UnixNano()))))
}

// mix is the finalizer of SplitMix64: neighbouring times have unrelated checks.
func mix(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// Base36 shortens a hash to four base-36 characters.
func Base36(hash uint64) (short [4]byte) {
	n := uint32(hash % checkValues)
	for i := len(short) - 1; i >= 0; i-- {
		short[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[n%36]
		n /= 36
	}
	return short
}

// Known reports whether the check is known.
func (c Check) Known() bool { return c != Check{} }

// parse reads the four characters, and reports whether they are a check.
func (c *Check) parse(s string) bool {
	return len(s) == checkBytes && isBase36(s) && copy(c[:], s) == checkBytes
}
