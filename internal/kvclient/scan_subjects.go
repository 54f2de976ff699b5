package kvclient

import (
	"context"
	"errors"
	"fmt"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// subjectBytes is about what STREAM.INFO says of a subject beside the key: the bucket's prefix, the
// count and punctuation.
const subjectBytes = 24

// subjectsPage is how many subjects the server names at once.
const subjectsPage = 100_000

// A nameTally counts keys and the bytes of their names.
type nameTally struct {
	// keys is how many keys there are.
	keys int64
	// bytes is how many bytes their names have together.
	bytes int64
}

// add counts a key.
func (m *nameTally) add(key string) {
	m.keys++
	m.bytes += int64(len(key))
}

// subjectsAnswer returns how large a page of subjects can be on the connection. nats-server 2.15.2
// bounds a page by their number only, 100,000, which may be more than a connection takes. So the
// size is guessed from the names that were seen a moment ago, with a quarter more for those that
// were not.
func (b *Bucket) subjectsAnswer(seen nameTally) int64 {
	bytes := seen.bytes + seen.keys*int64(subjectBytes+len(b.readPrefix))
	if seen.keys > subjectsPage {
		bytes = bytes / seen.keys * subjectsPage
	}
	return descriptionBytes + bytes*5/4
}

// eachSubject calls visit for each subject of the stream that the filter selects, in no order. Seen
// counts those that the caller has seen already. It returns [kv.ErrOverloaded] if the names are
// more than a connection takes at once.
func (b *Bucket) eachSubject(ctx context.Context, filter string, seen nameTally,
	visit func(subject string) error) error {
	answer := b.subjectsAnswer(seen)
	if answer > link.BulkAnswerBytes {
		return fmt.Errorf("%w: the names of the keys have some %d bytes, too many to be compared "+
			"while keys are written", kv.ErrOverloaded, seen.bytes)
	}
	for offset := 0; ; {
		request := struct {
			Filter string `json:"subjects_filter"`
			Offset int    `json:"offset"`
		}{filter, offset}
		var page struct {
			apiResponse
			Total int `json:"total"`
			State struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
		}
		subject := b.client.apiPrefix + "STREAM.INFO." + b.stream
		if err := b.client.ask(ctx, b.client.bulk, subject, request, answer, &page); err != nil {
			return bucketError(b.name, err)
		}
		for subject := range page.State.Subjects {
			if err := visit(subject); err != nil {
				return err
			}
		}
		offset += len(page.State.Subjects)
		if len(page.State.Subjects) == 0 || offset >= page.Total {
			return nil
		}
	}
}

// A search is for the keys that a consumer did not deliver.
type search struct {
	// subjects are those among which the keys are looked for.
	subjects []string
	// matcher matches the keys that are looked for.
	matcher kv.Matcher
	// seen counts the keys that were delivered.
	seen nameTally
	// delivered reports whether a key was.
	delivered func(key string) bool
	// visit is called for the last entry of each key that was not; an error that it returns
	// ends the search.
	visit func(kv.Entry) error
}

// eachMissing carries out a search: it compares the names of all keys with those that were
// delivered, and reads the missing ones one by one. Besides the errors of eachSubject and of visit
// it returns those of a read.
func (b *Bucket) eachMissing(ctx context.Context, s search) error {
	for _, filter := range s.subjects {
		err := b.eachSubject(ctx, filter, s.seen, func(subject string) error {
			key, ok := b.keyOf(subject)
			if !ok || !s.matcher.Matches(key.String()) || s.delivered(key.String()) {
				return nil
			}
			e, err := b.fetchEntry(ctx, b.leaderGet, getRequest{LastBySubject: subject})
			if errors.Is(err, kv.ErrKeyNotFound) {
				return nil // it was purged meanwhile
			}
			if err != nil {
				return err
			}
			return s.visit(e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
