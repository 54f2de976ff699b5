package kvclient

import (
	"context"
	"slices"
	"strings"

	"kvgateway/internal/kv"
)

// maxCountedSubjects is how many subjects a bucket may have for its hidden keys to be counted
// without a listing. To count them, NATS names all subjects, which takes some milliseconds for so
// many, and seconds for a million.
const maxCountedSubjects = 5000

// CountHidden returns how many of a bucket's subjects stand for no key, since their names are
// outside the grammar, or a mirror has them under other names than its origin; markers count, as in
// [kv.BucketStatus.Subjects]. It asks the server for the names of all subjects, and so counts only
// where there are few: otherwise, and if the names cannot be had, known is false. Listings count in
// any case.
func (c *Client) CountHidden(ctx context.Context, status kv.BucketStatus) (n int, known bool) {
	switch {
	case status.Subjects == 0:
		return 0, true
	case status.Subjects > maxCountedSubjects:
		return 0, false
	}
	b, err := c.Bucket(ctx, status.Name)
	if err != nil {
		return 0, false
	}
	all := subjectCursor{filter: kv.AllKeys.String()}
	likely := nameTally{keys: int64(status.Subjects), bytes: nameBytes * int64(status.Subjects)}
	page, total, err := b.overBulk().page(ctx, &all, likely)
	if err != nil || total > len(page) {
		return 0, false
	}
	for subject := range page {
		name, below := strings.CutPrefix(subject, b.readPrefix)
		if _, err := kv.ParseKey(name); err != nil || !below {
			n++
		}
	}
	return n, true
}

// HiddenBelow returns how many keys with a value the listing leaves out whose names begin with the
// prefix, since they are outside the grammar. A key that was overwritten during the listing may be
// missing among them.
func (l *KeyListing) HiddenBelow(prefix string) (n int) {
	for _, name := range l.hidden {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}

// withoutHidden takes the hidden ones out of what a scan found, and returns how many they were.
func withoutHidden[E any](found []E, hidden func(*E) bool) (shown []E, count int) {
	shown = slices.DeleteFunc(found, func(e E) bool { return hidden(&e) })
	return shown, len(found) - len(shown)
}

// takeHidden takes the keys that are outside the grammar out of a listing, and returns their names
// in memory of their own.
func takeHidden(found []ListedKey) (shown []ListedKey, hidden []string) {
	shown = found[:0]
	for _, k := range found {
		if k.hidden {
			hidden = append(hidden, strings.Clone(k.Key))
		} else {
			shown = append(shown, k)
		}
	}
	clear(found[len(shown):])
	return shown, hidden
}
