package handlers

import (
	"hash/fnv"
	"slices"
	"strconv"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
)

// contentDigest is short for what decides which entries a stream has, and in which form: the
// request's filters and the caller's, in any order and however often, and the options of the
// content. An id that a stream gave out under another digest stands for another state, so the stream
// that gets it begins with a reset. How a stream is written (format, heartbeat, bookmarks) is not
// part of it, and neither is include_history: it decides what a snapshot has besides that state. A
// revision to start from is, since a stream has nothing of what is before.
// Clients keep ids for as long as they like, so the digest of a content never changes. In ids the
// stamp of the subscription follows it: see [feed.Subscription.Stamp].
func contentDigest(o feed.SubscribeOptions, form kvclient.ValueForm, caller kvclient.Filters) string {
	h := fnv.New64a()
	write := func(parts ...string) {
		for _, part := range parts {
			h.Write([]byte(part))
			h.Write([]byte{0}) // no filter and no option has it
		}
	}
	write(distinct(o.Filters)...)
	write("")
	write(distinct(caller)...)
	write("", strconv.Itoa(int(form)), strconv.FormatBool(o.UpdatesOnly), strconv.FormatBool(o.IgnoreDeletes))
	if o.From > 1 {
		write("from")
	}
	short := kvclient.Base36(h.Sum64())
	return string(short[:])
}

// distinct are the patterns of filters, sorted and each once. No filter is one for all keys.
func distinct(filters kvclient.Filters) []string {
	if len(filters) == 0 {
		return []string{kvclient.AllKeys.String()}
	}
	patterns := make([]string, len(filters))
	for i, f := range filters {
		patterns[i] = f.String()
	}
	slices.Sort(patterns)
	return slices.Compact(patterns)
}
