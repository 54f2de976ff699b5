package handlers

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// defaultEntriesLimit is how many entries a page of JSON has unless the request says otherwise: as
// many as NATS reads at one instant.
const defaultEntriesLimit = kvclient.MaxInstantKeys

// An entryListing is what a request for many entries asks for.
type entryListing struct {
	// bucket is the bucket to read.
	bucket kv.BucketName
	// selection says which keys are wanted, of those that the caller may see.
	selection kvclient.Selection
	// page is the part of the selection that is wanted, in the order of names.
	page page
	// digest identifies the listing in cursors.
	digest uint64
	// form is the form of values in JSON.
	form kv.ValueForm
	// options say how fresh the answer must be.
	options kvclient.ReadOptions
	// whole reports whether the whole selection is wanted, in any order.
	whole bool
}

// An entriesEnd is what the end of an answer says about its entries.
type entriesEnd struct {
	// revision is what every entry is at least as new as.
	revision kv.Revision
	// snapshot says that they are the bucket's state at the revision, and, if the request has a
	// cursor that names one, at that.
	snapshot bool
	// isOther says that there is a cursor which names another state.
	isOther bool
	// hidden counts the selected keys that are left out.
	hidden int
	// next is the cursor of the next page; "" for none.
	next string
}

// listEntries answers many entries: a page as JSON or as lines, or all of them as lines.
func (s *Server) listEntries(x *exchange) error {
	mediaType, err := negotiate(x.request.Header, "application/json", "application/x-ndjson")
	if err != nil {
		return err
	}
	l, err := s.entryListing(x)
	if err != nil {
		return err
	}
	x.endWithRights()
	form := formJSON
	l.whole = l.whole && mediaType == "application/x-ndjson"
	if mediaType == "application/x-ndjson" {
		form = formLines
	}
	sent, lags, err := s.sendEntriesFromMemory(x, &l, form)
	switch {
	case sent || err != nil:
		return err
	case l.whole:
		return s.exportEntries(x, l, lags)
	}
	return s.sendEntryPage(x, l, form, lags)
}

// newEntryList returns a writer of a list of entries.
func newEntryList(x *exchange, form listForm) *listWriter {
	if form.lines {
		return newList(x, form, "")
	}
	return newList(x, form, `{"entries":[`)
}

// sendEntryPage answers a page from the server. lags says that memory lags behind it.
func (s *Server) sendEntryPage(x *exchange, l entryListing, form listForm, lags bool) error {
	page, err := s.readEntryPage(x, l, lags)
	if err != nil {
		return err
	}
	x.Header()["Kv-Consistency"] = headerConsistency[page.Served]
	end := entriesEnd{revision: page.Revision, snapshot: page.Snapshot, hidden: page.Hidden}
	if l.page.pin != (pin{}) {
		end.snapshot, end.isOther = false, true
	}
	if page.Last != "" {
		end.next = cursor{listing: l.digest, after: page.Last}.String()
	}
	x.linkNext(end.next)
	out := newEntryList(x, form)
	err = page.Each(x.context(), func(e *kv.Entry) error {
		defer x.took(e, page)
		return out.entry(e, l.bucket, l.form)
	})
	return out.end(err, end.tail(out))
}

// tail returns what ends a page: the last line, or the members after the list of entries.
func (end *entriesEnd) tail(out *listWriter) string {
	var tail []byte
	if out.form.lines {
		tail = appendEnd(nil, end.revision, out.count, end.hidden)
		tail = appendOther(tail, end.isOther)
	} else {
		tail = append([]byte(`],"revision":`), end.revision.String()...)
		tail = strconv.AppendBool(append(tail, `,"snapshot":`...), end.snapshot)
		tail = strconv.AppendInt(append(tail, `,"hidden":`...), int64(end.hidden), 10)
	}
	return string(append(appendNext(tail, end.next), "}\n"...))
}

// readEntryPage reads the page from the server, and holds what it takes.
func (s *Server) readEntryPage(
	x *exchange, l entryListing, lags bool,
) (*kvclient.EntryPage, error) {
	b, err := x.store.client.Bucket(x.context(), l.bucket)
	if err != nil {
		return nil, err
	}
	of := kvclient.PageOf{After: l.page.after, Limit: l.page.limit}
	read := func(ctx context.Context) (*kvclient.EntryPage, error) {
		return b.Entries(ctx, l.selection, of, l.options)
	}
	return readAndHold(x, 0, func() (page *kvclient.EntryPage, size int64, err error) {
		if lags {
			page, err = shareList(x, s.listFallbacks, l.bucket, l.name(), read)
		} else {
			page, err = read(x.context())
		}
		if err != nil {
			return nil, 0, err
		}
		if lags {
			page = page.Share()
		}
		return page, page.Bytes() + 4*partBuffer, nil
	})
}

// name returns a text that is the same for pages of the same entries.
func (l *entryListing) name() string {
	parts := []string{strconv.Itoa(l.page.limit), l.page.after, strconv.Itoa(len(l.selection.Keys))}
	for _, k := range l.selection.Keys {
		parts = append(parts, k.String())
	}
	parts = append(parts, patternsOf(l.selection.Filters)...)
	return listName("entries", l.options, append(parts, l.selection.Prefix)...)
}

// took gives back what an entry of a page took, once its visitor has returned and the page drops
// it. It keeps the room that the last entries of the page need for their JSON.
func (x *exchange) took(e *kv.Entry, page *kvclient.EntryPage) {
	if d := x.sending; d != nil && d.holds() && page.IsInstant() {
		d.shrink(max(d.held.Size()-e.Bytes(), 4*partBuffer))
	}
}

// entryListing reads the request. It refuses names that NATS must not see, and callers who may not
// see what they ask for.
func (s *Server) entryListing(x *exchange) (l entryListing, err error) {
	if l.bucket, err = x.bucketName(); err != nil {
		return l, err
	}
	if l.selection, err = selectionOf(x, l.bucket); err != nil {
		return l, err
	}
	keys := x.query["key"]
	head := []string{"entries", l.bucket.String(), l.selection.Prefix, strconv.Itoa(len(keys))}
	l.digest = x.listingDigest(l.selection.Filters, slices.Concat(head, keys)...)
	if l.page, err = pageOf(x.query, defaultEntriesLimit, l.digest); err != nil {
		return l, err
	}
	l.form = valueForm(x.query)
	l.whole = len(l.selection.Keys) == 0 && !x.query.Has("limit") && !x.query.Has("cursor")
	l.options, err = readOptions(x)
	return l, err
}

// selectionOf reads which keys the request selects, and narrows its filters. The caller must have
// the right to get each key that the request names. What a filter selects is a list, so its keys
// are shown to those who may list and get them.
func selectionOf(
	x *exchange,
	bucket kv.BucketName,
) (selection kvclient.Selection, err error) {
	for _, name := range x.query["key"] {
		k, err := kv.ParseKey(name)
		if err != nil {
			return selection, err
		}
		selection.Keys = append(selection.Keys, k)
	}
	selection.Prefix = x.query.Get("prefix")
	filters, err := filtersOf(x.query)
	if err != nil {
		return selection, err
	}
	for _, k := range selection.Keys {
		if err := x.need(auth.Get, bucket, k); err != nil {
			return selection, err
		}
	}
	if len(selection.Keys) == 0 || len(filters) > 0 { // Keys without filters select only these.
		selection.Filters, err = x.narrow(auth.List|auth.Get, bucket, filters)
	}
	return selection, err
}

// exportEntries answers all selected entries as lines, in the order in which NATS has them. It
// holds no more than what is on its way. lags says that memory lags behind the server.
func (s *Server) exportEntries(x *exchange, l entryListing, lags bool) error {
	if lags {
		place, err := s.listFallbacks.takeExport(x, l.bucket)
		if err != nil {
			return err
		}
		defer place.Release()
	}
	b, err := x.store.client.Bucket(x.context(), l.bucket)
	if err != nil {
		return err
	}
	x.Header()["Kv-Consistency"] = headerConsistency[b.LeaderConsistency()]
	hidden := 0
	export := kvclient.Export{
		Filters:  l.selection.ScanFilters(),
		NoValues: l.form == kv.ValueNone,
		Options:  l.options,
		Hidden: func(key string) {
			if strings.HasPrefix(key, l.selection.Prefix) {
				hidden++
			}
		},
	}
	out := newList(x, formLines, "")
	revision, err := b.Export(x.context(), export, func(e *kv.Entry) error {
		if !strings.HasPrefix(e.Key, l.selection.Prefix) {
			return nil
		}
		return out.entry(e, l.bucket, l.form)
	})
	end := appendEnd(nil, revision, out.count, hidden)
	return out.end(err, string(append(end, "}\n"...)))
}

// appendEnd appends the last line of a complete answer, without its closing brace. A client that
// has it knows that nothing is missing but hidden keys, whose names are outside the grammar.
func appendEnd(dst []byte, revision kv.Revision, count, hidden int) []byte {
	dst = append(append(dst, `{"end":true,"revision":`...), revision.String()...)
	dst = strconv.AppendInt(append(dst, `,"count":`...), int64(count), 10)
	return strconv.AppendInt(append(dst, `,"hidden":`...), int64(hidden), 10)
}

// getEntry answers one entry as JSON, with its value and metadata.
func (s *Server) getEntry(x *exchange) error {
	e, have, err := s.readEntryAndHold(x, 4*partBuffer)
	if err != nil {
		return err
	}
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	setEntryHeaders(x.Header(), &e)
	if have {
		x.WriteHeader(http.StatusNotModified)
		return nil
	}
	out := newList(x, formJSON, "")
	return out.end(out.entry(&e, name, valueForm(x.query)), "\n")
}

// valueForm reads in which form the client wants values in JSON.
func valueForm(query url.Values) kv.ValueForm {
	switch query.Get("values") {
	case "json":
		return kv.ValueJSON
	case "base64":
		return kv.ValueBase64
	case "none":
		return kv.ValueNone
	}
	return kv.ValueByType
}
