package kvclient

import "time"

// A Check tells apart two messages that were given the same revision: by a stream that lost its end
// and grew again, and by a stream that was deleted and created again. It is four base-36 characters
// of a hash of the time, in Unix nanoseconds, at which the message was stored. The zero Check
// stands for "not known".
type Check [checkBytes]byte

const (
	checkBytes = 4
	// checkValues is 36 to the power of checkBytes.
	checkValues = 36 * 36 * 36 * 36
)

// CheckOf returns the check of a message that was stored at this time, and the zero Check for the
// zero time. Clients keep checks for as long as they like, so the hash never changes.
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

// Known reports whether there is a check.
func (c Check) Known() bool { return c != Check{} }

// parse reads the four characters, and reports whether it could.
func (c *Check) parse(s string) bool {
	return len(s) == checkBytes && isBase36(s) && copy(c[:], s) == checkBytes
}
