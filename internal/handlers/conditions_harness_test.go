package handlers_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A state is what a key can be before a write with a precondition.
type state int

const (
	// never is a key that was never written.
	never state = iota
	// value is a key with a value, which replaced an older one.
	value
	// deleted is a key with a delete marker.
	deleted
	// purged is a key with a purge marker.
	purged
)

// states are all states.
var states = [...]state{never, value, deleted, purged}

func (s state) String() string { return [...]string{"never", "value", "deleted", "purged"}[s] }

// enter brings a new key into the state, natively.
func (s state) enter(t testing.TB, kv jetstream.KeyValue, key string) {
	t.Helper()
	if s == never {
		return
	}
	put(t, kv, key, "older")
	put(t, kv, key, "old")
	switch s {
	case deleted:
		deleteKey(t, kv, key)
	case purged:
		purgeKey(t, kv, key)
	}
}

// A fixture is a bucket in which every case of a table has a key of its own.
type fixture struct {
	*gateway
	// kv is the bucket "shop".
	kv jetstream.KeyValue
	// epoch is the bucket's.
	epoch string
	// keys is the number of keys that keyIn has made.
	keys int
}

// newFixture starts a gateway with the bucket "shop".
func newFixture(t testing.TB, configure ...func(*setup)) *fixture {
	t.Helper()
	f := &fixture{gateway: start(t, configure...)}
	f.kv = f.shop(t)
	f.epoch = f.epochOf(t, "shop")
	return f
}

// epochOf returns the epoch of a bucket, made from the stream's creation time as the contract says.
func (g *gateway) epochOf(t testing.TB, bucket string) string {
	t.Helper()
	info, err := g.stream(t, bucket).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strconv.FormatInt(info.Created.UnixMicro(), 36)
}

// A testKey is a key in a state.
type testKey struct {
	key string
	// last is the revision of the key's last entry; 0 if there is none.
	last uint64
	// epoch is the epoch of the bucket.
	epoch string
}

// keyIn brings a new key into the state.
func (f *fixture) keyIn(t testing.TB, s state) testKey {
	t.Helper()
	f.keys++
	p := testKey{key: fmt.Sprintf("%s.%d", s, f.keys), epoch: f.epoch}
	s.enter(t, f.kv, p.key)
	p.last = f.lastRevision(t, "shop", p.key)
	return p
}

// path returns the path of the key's value.
func (p testKey) path() string { return "/buckets/shop/keys/" + p.key }

// tag returns the entity tag of the key's last entry.
func (p testKey) tag() string {
	if p.last == 0 {
		return `"0"`
	}
	return fmt.Sprintf("%q", fmt.Sprintf("%d-%s", p.last, p.epoch))
}

// fill replaces words in a header of a table: LAST by the key's last revision, OTHER by a revision
// that it does not have, TAG by the tag of its last entry without quotes, and FOREIGN by the tag of
// the same revision in another epoch.
func (p testKey) fill(header string) string {
	return strings.NewReplacer(
		"LAST", strconv.FormatUint(p.last, 10),
		"OTHER", strconv.FormatUint(p.last+1000, 10),
		"TAG", strings.Trim(p.tag(), `"`),
		"FOREIGN", fmt.Sprintf("%d-zzz9", p.last),
	).Replace(header)
}

// fillAll fills each of the headers.
func (p testKey) fillAll(headers []string) []string {
	filled := make([]string, 0, len(headers))
	for _, header := range headers {
		filled = append(filled, p.fill(header))
	}
	return filled
}
