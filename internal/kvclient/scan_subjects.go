package kvclient

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// A subjectCursor says how far the search for missing keys has come among the subjects that one
// filter selects.
type subjectCursor struct {
	// filter selects the subjects.
	filter string
	// offset is how many subjects were looked at in earlier pages.
	offset int
	// after is the last subject of this page that was looked at; empty if none was.
	after string
	// ended says that there are no more.
	ended bool
}

// page returns the page of subjects at the cursor, in no order, and how many there are in all. Seen
// counts those that the caller has seen already. It returns [kv.ErrOverloaded] if the names are
// more than a connection takes at once.
func (b *Bucket) page(
	ctx context.Context, c *subjectCursor, seen nameTally,
) (subjects map[string]uint64, total int, err error) {
	answer := b.subjectsAnswer(seen)
	if answer > link.BulkAnswerBytes {
		return nil, 0, fmt.Errorf("%w: the names of the keys have some %d bytes, too many to be "+
			"compared while keys are written", kv.ErrOverloaded, seen.bytes)
	}
	request := struct {
		Filter string `json:"subjects_filter"`
		Offset int    `json:"offset"`
	}{c.filter, c.offset}
	var page struct {
		apiResponse
		Total int `json:"total"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	subject := b.client.apiPrefix + "STREAM.INFO." + b.stream
	if err := b.client.ask(ctx, b.client.bulk, subject, request, answer, &page); err != nil {
		return nil, 0, bucketError(b.name, err)
	}
	return page.State.Subjects, page.Total, nil
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
// delivered, and reads the missing ones one by one. Besides the errors of page and of visit it
// returns those of a read.
func (b *Bucket) eachMissing(ctx context.Context, s search) error {
	for _, filter := range s.subjects {
		for c := (subjectCursor{filter: filter}); !c.ended; {
			missing, err := b.nextMissing(ctx, &c, &s)
			if err != nil {
				return err
			}
			for _, subject := range missing {
				if err := b.visitMissing(ctx, subject, s.visit); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// missingBytes is about how many bytes of missing subjects are kept at once, unless there is only
// one. The client of an export can take an hour for them, and a page has 100,000 subjects; so a
// page with more is asked for again.
const missingBytes = 256 << 10

// nextMissing returns the next subjects whose keys were not delivered, and moves the cursor behind
// them. None may be missing among those that it moves over.
func (b *Bucket) nextMissing(
	ctx context.Context, c *subjectCursor, s *search,
) (missing []string, err error) {
	page, total, err := b.page(ctx, c, s.seen)
	if err != nil {
		return nil, err
	}
	for subject := range page {
		key, ok := b.keyOf(subject)
		if ok && subject > c.after && s.matcher.Matches(key.String()) &&
			!s.delivered(key.String()) {
			missing = append(missing, subject)
		}
	}
	slices.Sort(missing)
	bytes := 0
	for i, subject := range missing {
		if bytes += len(subject) + 16; bytes > missingBytes && i > 0 {
			c.after = missing[i-1]
			return slices.Clone(missing[:i]), nil
		}
	}
	c.after = ""
	c.offset += len(page)
	c.ended = len(page) == 0 || c.offset >= total
	return missing, nil
}

// visitMissing reads the last entry of a subject, and visits it if it was not purged meanwhile.
func (b *Bucket) visitMissing(
	ctx context.Context, subject string, visit func(kv.Entry) error,
) error {
	e, err := b.fetchEntry(ctx, b.leaderGet, getRequest{LastBySubject: subject})
	if errors.Is(err, kv.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return visit(e)
}
