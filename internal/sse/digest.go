package sse

import (
	"hash/fnv"
	"slices"
	"strconv"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
)

// ContentDigest returns a digest of what decides which entries a stream has, and in which form. The
// ids of the stream's events carry it.
//
// An id knows the content of its stream: an id that was given out under another digest stands for
// another state, so a stream that gets one begins with `reset`, `filters`. Part of the digest are
// the filters that reach the feed, which are those of the request narrowed to what the caller may
// watch, in any order and however often each is given, and the options of the content. It is not
// part of the digest how a stream is written (format, heartbeat, bookmarks), and neither is
// include_history, which decides what a snapshot has beside that state. Whether there is a revision
// to start from is, since such a stream has nothing of what is before.
//
// In an id the digest follows a `~`, and the digest of the bucket's terms and the era of the feed
// follow the digest; see [feed.Subscription.Stamp]. A frame is still encoded once for each
// representation: it has the digest of the stream that needed it first, and the streams with the
// same content send it as it is. Others put their own id before the rest of the frame, which is not
// copied if it is large ([Encoder.Cut], TestEventsHaveTheDigestOfTheirStream).
//
// Clients keep ids for as long as they like, so the digest of a content must never change.
func ContentDigest(o feed.SubscribeOptions, form kv.ValueForm) string {
	h := fnv.New64a()
	write := func(parts ...string) {
		for _, part := range parts {
			h.Write([]byte(part))
			h.Write([]byte{0}) // No filter and no option contains this byte.
		}
	}
	write(distinct(o.Filters)...)
	write("", kv.AllKeys.String(), "", strconv.Itoa(int(form))) // in the ids of all versions
	write(strconv.FormatBool(o.UpdatesOnly), strconv.FormatBool(o.IgnoreDeletes))
	if o.From > 1 {
		write("from")
	}
	short := kv.Base36(h.Sum64())
	return string(short[:])
}

// distinct returns the patterns of filters, sorted and each once. No filter stands for all keys.
func distinct(filters kv.Filters) []string {
	if len(filters) == 0 {
		return []string{kv.AllKeys.String()}
	}
	patterns := make([]string, len(filters))
	for i, f := range filters {
		patterns[i] = f.String()
	}
	slices.Sort(patterns)
	return slices.Compact(patterns)
}
