package handlers

import (
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// defaultKeysLimit is how many names and prefixes a page of JSON has unless the request says
// otherwise.
const defaultKeysLimit = 1000

// A keyListing is what a request for the names of keys asks for.
type keyListing struct {
	// bucket is the bucket to list.
	bucket kv.BucketName
	// filters select keys that the caller may list; none select all.
	filters kv.Filters
	// prefix is what the names must begin with.
	prefix string
	// delimiter ends a prefix that stands for all keys below it; "" for no such prefixes.
	delimiter string
	// page is the part that is wanted; its limit is 0 for all names.
	page page
}

// keyPage is a page of names, and the JSON of the answer.
type keyPage struct {
	Keys     []string    `json:"keys"`
	Prefixes []string    `json:"prefixes,omitempty"`
	Revision kv.Revision `json:"revision"`
	Hidden   int         `json:"hidden"`
	Next     string      `json:"next,omitempty"`

	// names has keys and prefixes in their common order.
	names []listedName
}

// A listedName is a key, or, if isPrefix is true, a prefix that stands for all keys below it.
type listedName struct {
	name     string
	isPrefix bool
}

// listKeys answers the names of the keys that have a value, sorted.
func (s *Server) listKeys(x *exchange) error {
	mediaType, err := negotiate(x.request.Header,
		"application/json", "application/x-ndjson", "text/plain")
	if err != nil {
		return err
	}
	defaultLimit := 0 // Lines have all names unless the request has a limit.
	if mediaType == "application/json" {
		defaultLimit = defaultKeysLimit
	}
	listing, digest, err := keyListingOf(x, defaultLimit)
	if err != nil {
		return err
	}
	x.endWithRights()
	b, err := x.store.client.Bucket(x.context(), listing.bucket)
	if err != nil {
		return err
	}
	found, err := readAndHold(x, 0, func() (kvclient.KeyListing, int64, error) {
		found, err := b.Keys(x.context(), listing.scanFilters())
		found.Release() // as the answer takes room of its own, at once
		return found, found.Bytes() + partBuffer, err
	})
	if err != nil {
		return err
	}
	if listing.page.limit == 0 {
		end := keyPage{Revision: found.Revision, Hidden: found.HiddenBelow(listing.prefix)}
		return sendNames(x, mediaType, listing.names(found), end)
	}
	result := listing.pageOf(found, digest)
	x.delivery().shrink(result.bytes())
	x.linkNext(result.Next)
	if mediaType == "application/json" {
		return x.respondJSON(http.StatusOK, result)
	}
	return sendNames(x, mediaType, slices.Values(result.names), result)
}

// bytes returns about how many bytes the page and its JSON take.
func (p *keyPage) bytes() (n int64) {
	n = partBuffer
	for i := range p.names {
		n += 64 + 4*int64(len(p.names[i].name))
	}
	return n
}

// append appends the name in the form of the list. The characters that keys have need no escaping
// in JSON.
func (n listedName) append(dst []byte, form listForm) []byte {
	switch {
	case !form.problems:
		return append(dst, n.name...)
	case n.isPrefix:
		dst = append(dst, `{"prefix":"`...)
	default:
		dst = append(dst, `{"key":"`...)
	}
	return append(append(dst, n.name...), `"}`...)
}

// keyListingOf reads the request, and narrows its filters to what the caller may list. It also
// returns the digest that identifies the listing in cursors.
func keyListingOf(x *exchange, defaultLimit int) (l keyListing, digest uint64, err error) {
	if l.bucket, err = x.bucketName(); err != nil {
		return l, 0, err
	}
	filters, err := filtersOf(x.query)
	if err != nil {
		return l, 0, err
	}
	if l.filters, err = x.narrow(auth.List, l.bucket, filters); err != nil {
		return l, 0, err
	}
	l.prefix, l.delimiter = x.query.Get("prefix"), x.query.Get("delimiter")
	digest = x.listingDigest(l.filters, "keys", l.bucket.String(), l.prefix, l.delimiter)
	l.page, err = pageOf(x.query, defaultLimit, digest)
	return l, digest, err
}

// filtersOf reads the filters of a request.
func filtersOf(query url.Values) (kv.Filters, error) {
	return kv.ParseFilters(query["filter"])
}

// scanFilters returns filters that narrow what NATS has to send. If the request has none, the whole
// tokens of the prefix make one.
func (l keyListing) scanFilters() kv.Filters {
	if len(l.filters) > 0 {
		return l.filters
	}
	if f, ok := kv.PrefixFilter(l.prefix); ok {
		return kv.Filters{f}
	}
	return nil
}

// names returns the keys and prefixes that are listed, in their common order.
func (l keyListing) names(found kvclient.KeyListing) iter.Seq[listedName] {
	return func(yield func(listedName) bool) {
		var last listedName
		for i := range found.Entries {
			n, listed := l.fold(found.Entries[i].Key)
			if !listed || n == last {
				continue
			}
			last = n
			if !yield(n) {
				return
			}
		}
	}
}

// pageOf cuts the page out of what was found.
func (l keyListing) pageOf(found kvclient.KeyListing, digest uint64) keyPage {
	result := keyPage{
		Keys: []string{}, Revision: found.Revision, Hidden: found.HiddenBelow(l.prefix),
	}
	for n := range l.names(found) {
		// The text of a name is a part of a large block, which the page must not keep.
		n.name = strings.Clone(n.name)
		if len(result.names) == l.page.limit {
			result.Next = cursor{digest, result.names[len(result.names)-1].name}.String()
			break
		}
		result.names = append(result.names, n)
		if n.isPrefix {
			result.Prefixes = append(result.Prefixes, n.name)
		} else {
			result.Keys = append(result.Keys, n.name)
		}
	}
	return result
}

// fold returns how a key is listed: as itself, or as the prefix up to and including the first
// delimiter after the wanted prefix. It is not listed if the page before has shown its name, or
// ended with the prefix that it is below.
func (l keyListing) fold(key string) (n listedName, listed bool) {
	rest, below := strings.CutPrefix(key, l.prefix)
	if !below {
		return n, false
	}
	n.name = key
	if l.delimiter != "" {
		if i := strings.Index(rest, l.delimiter); i >= 0 {
			n = listedName{key[:len(l.prefix)+i+len(l.delimiter)], true}
		}
	}
	return n, n.name > l.page.after
}

// sendNames sends a line for each name, and behind lines of JSON the one that says that they are
// complete. Of the page it takes what that line says.
func sendNames(x *exchange, mediaType string, names iter.Seq[listedName], page keyPage) error {
	form := formLines
	if mediaType == "text/plain" {
		form = formText
	}
	list := newList(x, form, "")
	for n := range names {
		if err := list.name(n); err != nil {
			return list.end(err, "")
		}
	}
	if !form.problems {
		return list.end(nil, "")
	}
	end := appendEnd(nil, page.Revision, list.count, page.Hidden)
	return list.end(nil, string(append(appendNext(end, page.Next), "}\n"...)))
}
