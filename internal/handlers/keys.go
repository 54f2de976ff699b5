package handlers

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
	// digest identifies the listing in cursors.
	digest uint64
	// options say how fresh the list must be.
	options kvclient.ReadOptions
}

// A keyPage is a page of names, or all of them.
type keyPage struct {
	// names has keys and prefixes in their common order.
	names []listedName
	// more says that others follow.
	more bool
	// Revision is what every name is at least as new as.
	Revision kv.Revision
	// Hidden counts the keys that are left out, on all pages.
	Hidden int
	// Next is the cursor of the next page; "" for none.
	Next string
	// isOther says that the page is not of the state that its cursor names.
	isOther bool
	// fromMemory says that it is from memory.
	fromMemory bool
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
	listing, err := keyListingOf(x, defaultLimit)
	if err != nil {
		return err
	}
	x.endWithRights()
	page, found, err := s.readNames(x, &listing)
	if err != nil {
		return err
	}
	names := slices.Values(page.names)
	if found != nil {
		names = listing.names(found.each)
	}
	x.linkNext(page.Next)
	if mediaType == "application/json" {
		return x.respondHeld(http.StatusOK, page.appendJSON(nil))
	}
	return sendNames(x, mediaType, names, page)
}

// readNames reads the names from memory or from the server, and holds what they take. Of all names
// of a list without a limit, those from the server are in found.
func (s *Server) readNames(
	x *exchange, l *keyListing,
) (page keyPage, found *foundKeys, err error) {
	lags := false
	page, err = readAndHold(x, 0, func() (page keyPage, size int64, err error) {
		r := stateRequest{bucket: l.bucket, options: l.options, pin: l.page.pin}
		var state *bucketState
		state, lags, err = x.fromMemory(r, func(state *bucketState) error {
			page = l.pageOf(l.names(l.keysIn(state)))
			return nil
		})
		if state == nil || err != nil {
			return keyPage{}, 0, err
		}
		page.Revision, page.isOther = state.Revision(), !state.snapshot && l.page.pin != pin{}
		l.endPage(&page, state.pin())
		state.setHeaders(x.Header())
		page.fromMemory = true
		return page, page.bytes(l.page.limit > 0), nil
	})
	if err != nil || page.fromMemory {
		return page, nil, err
	}
	return s.readNamesFromServer(x, l, lags)
}

// foundKeys are the keys that a scan of the server found.
type foundKeys struct{ kvclient.KeyListing }

// each calls yield with the names of the keys.
func (f *foundKeys) each(yield func(string) bool) {
	for i := range f.Entries {
		if !yield(f.Entries[i].Key) {
			return
		}
	}
}

// readNamesFromServer is readNames from the server. lags says that memory lags behind it.
func (s *Server) readNamesFromServer(
	x *exchange, l *keyListing, lags bool,
) (page keyPage, _ *foundKeys, err error) {
	b, err := x.store.client.Bucket(x.context(), l.bucket)
	if err != nil {
		return page, nil, err
	}
	filters := l.scanFilters()
	scan := func(ctx context.Context) (*foundKeys, error) {
		found, err := b.Keys(ctx, filters)
		found.Release() // as the answer takes room of its own, at once
		return &foundKeys{found}, err
	}
	found, err := readAndHold(x, 0, func() (found *foundKeys, size int64, err error) {
		if lags {
			name := listName("keys", l.options, patternsOf(filters)...)
			found, err = shareList(x, s.listFallbacks, l.bucket, name, scan)
		} else {
			found, err = scan(x.context())
		}
		if err != nil {
			return nil, 0, err
		}
		return found, found.Bytes() + partBuffer, nil
	})
	if err != nil {
		return page, nil, err
	}
	x.Header()["Kv-Consistency"] = headerConsistency[b.LeaderConsistency()]
	if l.page.limit > 0 {
		page = l.pageOf(cloned(l.names(found.each)))
		l.endPage(&page, pin{})
	}
	page.Revision, page.isOther = found.Revision, l.page.pin != pin{}
	page.Hidden = found.HiddenBelow(l.prefix)
	if l.page.limit == 0 {
		return page, found, nil
	}
	x.delivery().shrink(page.bytes(true))
	return page, nil, nil
}

// bytes returns about how many bytes the names take, and, if they are sent as a whole, their JSON.
func (p *keyPage) bytes(whole bool) (n int64) {
	if !whole {
		return partBuffer + int64(cap(p.names))*listedNameBytes
	}
	n = partBuffer
	for i := range p.names {
		n += 64 + 4*int64(len(p.names[i].name))
	}
	return n
}

// listedNameBytes is the size of a listedName.
const listedNameBytes = 24

// appendJSON appends the page as JSON, and a line feed. Neither names nor cursors have characters
// that need escaping.
func (p *keyPage) appendJSON(dst []byte) []byte {
	if dst == nil {
		dst = make([]byte, 0, p.bytes(true)/2)
	}
	dst = p.appendNames(append(dst, `{"keys":[`...), false)
	dst = append(dst, ']')
	if slices.ContainsFunc(p.names, func(n listedName) bool { return n.isPrefix }) {
		dst = append(p.appendNames(append(dst, `,"prefixes":[`...), true), ']')
	}
	dst = append(append(dst, `,"revision":`...), p.Revision.String()...)
	dst = strconv.AppendInt(append(dst, `,"hidden":`...), int64(p.Hidden), 10)
	return append(appendNext(appendOther(dst, p.isOther), p.Next), "}\n"...)
}

// appendNames appends the names, or the prefixes among them, as strings of JSON.
func (p *keyPage) appendNames(dst []byte, prefixes bool) []byte {
	first := true
	for _, n := range p.names {
		if n.isPrefix != prefixes {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), n.name...), '"')
	}
	return dst
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

// keyListingOf reads the request, and narrows its filters to what the caller may list.
func keyListingOf(x *exchange, defaultLimit int) (l keyListing, err error) {
	if l.bucket, err = x.bucketName(); err != nil {
		return l, err
	}
	filters, err := filtersOf(x.query)
	if err != nil {
		return l, err
	}
	if l.filters, err = x.narrow(auth.List, l.bucket, filters); err != nil {
		return l, err
	}
	l.prefix, l.delimiter = x.query.Get("prefix"), x.query.Get("delimiter")
	l.digest = x.listingDigest(l.filters, "keys", l.bucket.String(), l.prefix, l.delimiter)
	l.page, err = pageOf(x.query, defaultLimit, l.digest)
	// Passed-through callers read names from the leader too, as no replica lists them.
	l.options.Consistency = kvclient.Leader
	return l, err
}

// filtersOf reads the filters of a request.
func filtersOf(query url.Values) (kv.Filters, error) {
	return kv.ParseFilters(query["filter"])
}

// scanFilters returns filters that narrow what NATS has to send. If the request has none, the whole
// tokens of the prefix make one.
func (l *keyListing) scanFilters() kv.Filters {
	if len(l.filters) > 0 {
		return l.filters
	}
	if f, ok := kv.PrefixFilter(l.prefix); ok {
		return kv.Filters{f}
	}
	return nil
}

// names returns the keys and prefixes that are listed, in their common order. The keys are sorted.
func (l *keyListing) names(keys iter.Seq[string]) iter.Seq[listedName] {
	return func(yield func(listedName) bool) {
		var last listedName
		for key := range keys {
			n, listed := l.fold(key)
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

// keysIn returns the keys that have a value in a state of the bucket, that the filters select, and
// that begin with the prefix.
func (l *keyListing) keysIn(state *bucketState) iter.Seq[string] {
	return func(yield func(string) bool) {
		state.AscendFrom(l.filters, max(l.prefix, l.page.after), func(e *kv.Entry) bool {
			if !strings.HasPrefix(e.Key, l.prefix) {
				return e.Key < l.prefix
			}
			return e.IsMarker() || yield(e.Key)
		})
	}
}

// cloned returns the names with texts of their own. The text of a name that a scan found is a part
// of a large block, which a page must not keep.
func cloned(names iter.Seq[listedName]) iter.Seq[listedName] {
	return func(yield func(listedName) bool) {
		for n := range names {
			n.name = strings.Clone(n.name)
			if !yield(n) {
				return
			}
		}
	}
}

// pageOf cuts the page out of the names; with a limit of 0 it has all of them.
func (l *keyListing) pageOf(names iter.Seq[listedName]) (p keyPage) {
	for n := range names {
		if p.more = l.page.limit > 0 && len(p.names) == l.page.limit; p.more {
			break
		}
		p.names = append(p.names, n)
	}
	return p
}

// endPage gives the page the cursor of the next one, if there is one. at is the state that the page
// is of.
func (l *keyListing) endPage(p *keyPage, at pin) {
	if p.more {
		p.Next = cursor{l.digest, p.names[len(p.names)-1].name, at}.String()
	}
}

// fold returns how a key is listed: as itself, or as the prefix up to and including the first
// delimiter after the wanted prefix. It is not listed if the page before has shown its name, or
// ended with the prefix that it is below.
func (l *keyListing) fold(key string) (n listedName, listed bool) {
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
	end = appendNext(appendOther(end, page.isOther), page.Next)
	return list.end(nil, string(append(end, "}\n"...)))
}
