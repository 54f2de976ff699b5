package handlers

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// This file answers reads of one key from memory, for consistency=cached.
//
// What is in memory answers at once, whether or not NATS is there, and Age says how old the answer
// can be at most. Where a bucket is not in memory, where the copy does not know the key (see the
// package copies), where it is older than the request allows, or where it has not come to the
// revision that the request asks for at least, NATS is asked as without consistency=cached. The
// request itself loads nothing: what watches a bucket, and --memory-buckets, does.
//
//	Cache-Control        from memory
//	-------------------  --------------------------------------------------------------
//	none                 whatever its age
//	max-age=N            if it is at most N seconds old
//	no-cache             never
//	only-if-cached       as above, and if not, the answer is 504 and NATS is not asked

// headerCached is the KV-Consistency of an answer from memory.
var headerCached = []string{"cached"}

// cacheTerms are the terms on which a request takes what is in memory (RFC 9111 §5.2.1).
type cacheTerms struct {
	// maxAge is how old it may be; negative if it must not come from memory at all.
	maxAge time.Duration
	// only: NATS must not be asked.
	only bool
}

// parseCacheTerms reads the Cache-Control of a request. Directives that do not concern the gateway
// are ignored. More seconds than 31 bits hold are as many as they hold.
func parseCacheTerms(lines []string) (terms cacheTerms, err error) {
	terms.maxAge = math.MaxInt64
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "only-if-cached":
				terms.only = true
			case "no-cache":
				terms.maxAge = -1
			case "max-age":
				seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
				if err != nil && !errors.Is(err, strconv.ErrRange) { // RFC 9111 §1.2.2
					return terms, problem.OfHeader("Cache-Control",
						"max-age in Cache-Control must be a number of seconds, such as max-age=5.")
				}
				terms.maxAge = min(terms.maxAge, time.Duration(seconds)*time.Second)
			}
		}
	}
	return terms, nil
}

// A remembered is what is in memory of the key that a request asks for.
type remembered struct {
	// entry is the key's; meaningless with an error.
	entry kv.Entry
	// err says that the key has no value, as a read of NATS would say it.
	err error
	// age is how old that can be, at most.
	age time.Duration
}

// remember returns what is in memory of the entry that a request asks for, nil if that is nothing
// that may answer it. It returns an error if the request allows nothing else. The caller has the
// right to get the key.
func (x *exchange) remember(wanted *wantedEntry) (*remembered, error) {
	terms, err := parseCacheTerms(x.request.Header["Cache-Control"])
	if err != nil {
		return nil, err
	}
	found := x.inMemory(wanted, terms.maxAge)
	if found == nil && terms.only {
		return nil, problem.New(problem.NotInMemory)
	}
	return found, nil
}

// inMemory is remember for what is at most so old.
func (x *exchange) inMemory(wanted *wantedEntry, maxAge time.Duration) *remembered {
	memory, ok := x.store.feeds.Memory(wanted.name)
	if !ok {
		return nil
	}
	age, known := memory.Age() // before the copy is read, so that it is no younger
	if !known || age > maxAge {
		memory.Refresh()
		return nil
	}
	if !wanted.isSatisfied(memory) {
		return nil
	}
	found, _, ok := memory.Get(wanted.key)
	if !ok || found.Unsure {
		return nil
	}
	r := remembered{age: age}
	switch e := found.Entry; {
	case wanted.revision > 0 && (e == nil || e.Revision != wanted.revision):
		return nil // an earlier revision, or one that is gone
	case e == nil:
		r.err = kv.ErrKeyNotFound
	case e.IsMarker():
		r.err = &kv.KeyDeletedError{Marker: *e}
	default:
		r.entry = *e
	}
	return &r
}

// answer sets the headers that say that the answer is from memory, and returns the entry.
func (r *remembered) answer(x *exchange) (kv.Entry, error) {
	h := x.Header()
	h["Kv-Consistency"] = headerCached
	h["Age"] = []string{strconv.FormatInt(int64(r.age/time.Second), 10)}
	return r.entry, r.err
}
