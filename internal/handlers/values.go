package handlers

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// These are headers of every value. A stored file must not be run, framed or guessed at in the
// gateway's origin, and no cache may answer without asking. They are shared like those in
// answer.go.
var (
	headerCache       = []string{"private, no-cache, no-transform"}
	headerCSP         = []string{"sandbox; default-src 'none'"}
	headerCORP        = []string{"same-origin"}
	headerBytes       = []string{"bytes"}
	headerOctetStream = []string{defaultContentType}
	headerConsistency = [...][]string{kvclient.Leader: {"leader"}, kvclient.Any: {"any"}}
)

// getValue answers GET and HEAD of a value with the bytes as they were stored.
func (s *Server) getValue(x *exchange) error {
	if err := checkDestination(x.request); err != nil {
		return err
	}
	h := x.Header()
	e, have, err := s.readEntryAndHold(x, 0)
	if err != nil {
		return err
	}
	part, partial, err := requestedRange(x.request, &e)
	if err != nil && !have {
		return err
	}
	setEntryHeaders(h, &e)
	h["Content-Security-Policy"] = headerCSP
	h["Cross-Origin-Resource-Policy"] = headerCORP
	h["Accept-Ranges"] = headerBytes
	if have {
		x.WriteHeader(http.StatusNotModified)
		return nil
	}
	setStoredHeaders(h, &e)
	sendValue(x, &e, part, partial)
	return nil
}

// readEntryAndHold parses which entry the request asks for, reads it with [Server.fetchUnlessHad],
// and holds what the answer takes: the entry, and so many bytes beside it.
func (s *Server) readEntryAndHold(x *exchange, beside int64) (e kv.Entry, have bool, err error) {
	p, err := preconditions(x.request.Header)
	if err != nil {
		return e, false, err
	}
	wanted, err := s.parseWanted(x)
	if err != nil {
		return e, false, err
	}
	var likely int64
	// With one of these the answer may have no value.
	if !x.isHead && !p.IfNoneMatch.Present() && !p.IfMatch.Present() {
		if likely = wanted.knownBytes(); likely > 0 {
			likely += beside
		}
	}
	e, err = readAndHold(x, likely, func() (e kv.Entry, size int64, err error) {
		e, have, err = s.fetchUnlessHad(x, p, wanted)
		if err != nil || have || x.isHead || len(e.Value) <= freeAnswer {
			return e, 0, err
		}
		return e, e.Bytes() + beside, nil
	})
	if lost := x.mayBeShown(); lost != nil {
		return kv.Entry{}, false, lost // Errors tell of the key as well.
	}
	return e, have, err
}

// fetchUnlessHad reads the entry and evaluates the preconditions of the request in the order of RFC
// 9110 §13.2.2. The result have reports whether the client has the entry already. Preconditions
// with dates are ignored, since two revisions can be of the same second.
func (s *Server) fetchUnlessHad(
	x *exchange,
	p kv.Precondition,
	wanted wantedEntry,
) (e kv.Entry, have bool, err error) {
	wait, polls := wanted.mayWait(x, p)
	if r := wanted.remembered; r != nil && polls && unchanged(p.IfNoneMatch, &r.entry, r.err) {
		if err := wanted.bind(x); err != nil { // it waits for a change
			return e, false, err
		}
	}
	switch {
	case wanted.remembered != nil:
		e, err = wanted.remembered.answer(x)
	case polls:
		e, err = s.longPoll(x, wanted, p.IfNoneMatch, wait)
	default:
		e, err = s.fetch(x, wanted)
	}
	if err != nil {
		return e, false, err
	}
	if p.IfMatch.Present() && !p.IfMatch.Matches(&e, e.Epoch) {
		return e, false, &kv.RevisionMismatchError{Current: e.Position}
	}
	return e, p.IfNoneMatch.Present() && p.IfNoneMatch.Matches(&e, e.Epoch), nil
}

// A wantedEntry is the entry that a request asks for: the last of its key, or that of a revision.
type wantedEntry struct {
	// name and key name the entry, and bucket is where it is read; nil if it is in memory.
	name   kv.BucketName
	bucket *kvclient.Bucket
	key    kv.Key
	// remembered is what is in memory of the entry, if that answers the request without asking
	// anybody how fresh it is (consistency=cached); otherwise nil.
	remembered *remembered
	// options say how fresh the answer must be.
	options kvclient.ReadOptions
	// isReported says that the minimal revision of the options is one that a feed has reported.
	isReported bool
	// revision is the wanted revision; 0 for the last entry.
	revision kv.Revision
}

// parseWanted returns the entry that a request asks for.
func (s *Server) parseWanted(x *exchange) (wanted wantedEntry, err error) {
	cached := x.query.Get("consistency") == "cached"
	if cached {
		wanted.name, wanted.key, err = x.readTarget()
	} else {
		wanted.bucket, wanted.key, err = s.target(x)
	}
	if err != nil {
		return wanted, err
	}
	if wanted.options, err = readOptions(x); err != nil {
		return wanted, err
	}
	if err := wanted.parseRevision(x); err != nil || !cached {
		return wanted, err
	}
	wanted.remembered, err = x.remember(&wanted)
	if err != nil || wanted.remembered != nil {
		return wanted, err
	}
	return wanted, wanted.bind(x)
}

// bind finds the bucket, so that NATS answers and not the memory.
func (w *wantedEntry) bind(x *exchange) (err error) {
	w.remembered = nil
	w.bucket, err = x.store.client.Bucket(x.context(), w.name)
	return err
}

// parseRevision reads which revision a request asks for, if it asks for one.
func (w *wantedEntry) parseRevision(x *exchange) (err error) {
	if !x.query.Has("revision") {
		return nil
	}
	if w.options.MinRevision != (kv.Position{}) {
		return problem.OfParameter("min_revision",
			"A revision never changes, so revision and "+
				"min_revision do not go together. Leave one out.")
	}
	w.revision, err = kv.ParseRevision(x.query.Get("revision"))
	if err != nil {
		return problem.OfParameter("revision",
			"revision must be an integer from 1 to 2^53-1.")
	}
	return nil
}

// knownBytes returns about what the entry takes if it is known to be large, and otherwise 0.
func (w *wantedEntry) knownBytes() int64 {
	if w.revision > 0 || w.remembered != nil {
		return 0
	}
	return w.bucket.KnownLargeBytes(w.key)
}

// fetch reads the entry from memory beside many others, and otherwise with
// [wantedEntry.fetchAlone], except that the requests of one client share their reads of a value
// that is known to be large. Such a read goes on if a client sends no more, since that client still
// waits for its answer. A read that waits for a minimal revision ends with the rights of its
// caller.
func (s *Server) fetch(x *exchange, wanted wantedEntry) (kv.Entry, error) {
	if wanted.options.MinRevision != (kv.Position{}) {
		x.endWithRights()
	}
	return wanted.fetchFromMemory(x, func() (kv.Entry, error) {
		if wanted.knownBytes() > 0 && wanted.options.MinRevision == (kv.Position{}) {
			return s.sharedReads.fetch(x.waitContext(), x.Header(), wanted, x.owner())
		}
		return wanted.fetchAlone(x.context(), x.Header())
	})
}

// fetchAlone reads the entry. It also sets KV-Consistency in the header of the answer, which says
// whether the leader of the bucket gave the answer or any replica, also if the answer is that there
// is no entry.
func (w *wantedEntry) fetchAlone(ctx context.Context, h http.Header) (kv.Entry, error) {
	if w.revision > 0 {
		h["Kv-Consistency"] = headerConsistency[w.bucket.LeaderConsistency()]
		return w.bucket.GetRevision(ctx, w.key, w.revision)
	}
	e, served, err := w.bucket.Get(ctx, w.key, w.options)
	h["Kv-Consistency"] = headerConsistency[served]
	return e, err
}

// readOptions reads how fresh the answer must be, and how long it may wait for that.
func readOptions(x *exchange) (options kvclient.ReadOptions, err error) {
	switch x.query.Get("consistency") {
	case "any":
		options.Consistency = kvclient.Any
	case "", "cached": // what is not in memory is read as without this
		options.Consistency = x.store.defaultConsistency()
	}
	options.MinRevision, err = minRevision(x.request.Header["Kv-Min-Revision"], x.query)
	if err != nil || options.MinRevision == (kv.Position{}) {
		return options, err
	}
	if wait, ok := x.preferredWait(); ok {
		options.Wait = wait
		if wait == 0 {
			options.Wait = kvclient.NoWait
		}
	}
	return options, nil
}

// minRevisionForm tells clients what parseMinRevision accepts.
const minRevisionForm = "a revision from 0 to 9007199254740991, a position or an ETag, such as " +
	"1742, 1742-k3f9x.7c0q or \"1742-k3f9x.7c0q\"."

// minRevision reads the position that the answer must not be older than, from the query or from the
// lines of KV-Min-Revision.
func minRevision(lines []string, query url.Values) (p kv.Position, err error) {
	ok := false
	switch {
	case len(lines) == 0 && !query.Has("min_revision"):
		return p, nil
	case len(lines) == 0:
		if p, ok = parseMinRevision(query.Get("min_revision")); !ok {
			err = problem.OfParameter("min_revision", "min_revision must be "+minRevisionForm)
		}
	case len(lines) > 1 || query.Has("min_revision"):
		err = problem.OfHeader("KV-Min-Revision", "Give the minimal revision only once.")
	default:
		if p, ok = parseMinRevision(lines[0]); !ok {
			err = problem.OfHeader("KV-Min-Revision", "KV-Min-Revision must be "+minRevisionForm)
		}
	}
	return p, err
}

// parseMinRevision reads a position as it stands in the id of an event, or an ETag as it came: weak
// or not, with its quotes or without them, and with the content coding that a proxy appended.
func parseMinRevision(s string) (p kv.Position, ok bool) {
	tag := strings.TrimPrefix(s, "W/")
	if unquoted, opened := strings.CutPrefix(tag, `"`); opened {
		if tag, ok = strings.CutSuffix(unquoted, `"`); !ok {
			return p, false
		}
	}
	return parseTag(tag)
}

// setEntryHeaders sets the headers that every answer has about its entry. The four strings that
// differ each time are cut out of one string, and their slices out of one array: two allocations
// instead of nine.
func setEntryHeaders(h http.Header, e *kv.Entry) {
	var buffer [128]byte
	created := e.Created.UTC()
	b := e.Position.AppendETag(buffer[:0])
	tagEnd := len(b)
	b = created.AppendFormat(b, time.RFC3339Nano)
	createdEnd := len(b)
	all := string(created.AppendFormat(b, http.TimeFormat))
	tag := all[:tagEnd]
	revision := tag[1:strings.IndexByte(tag, '-')]
	values := [...]string{tag, revision, all[tagEnd:createdEnd], all[createdEnd:]}
	h["Etag"] = values[0:1:1]
	h["Kv-Revision"] = values[1:2:2]
	h["Kv-Created"] = values[2:3:3]
	h["Last-Modified"] = values[3:4:4]
	if !e.Expires.IsZero() {
		h["Kv-Expires"] = []string{e.Expires.UTC().Format(time.RFC3339Nano)}
		h["Kv-Ttl"] = []string{max(time.Until(e.Expires), 0).Round(time.Millisecond).String()}
	}
	h["Cache-Control"] = headerCache
	h["X-Content-Type-Options"] = headerNosniff
}

// setStoredHeaders sets the headers that were stored with the value.
func setStoredHeaders(h http.Header, e *kv.Entry) {
	switch e.ContentType {
	case "":
		h["Content-Type"] = headerOctetStream
	case headerJSON[0]:
		h["Content-Type"] = headerJSON
	default:
		h["Content-Type"] = []string{e.ContentType}
	}
	if e.ContentEncoding != "" {
		h["Content-Encoding"] = []string{e.ContentEncoding}
	}
}

// sendValue sends the value, or the one part of it that the request asks for.
func sendValue(x *exchange, e *kv.Entry, part byteRange, partial bool) {
	status, body := http.StatusOK, e.Value
	h := x.Header()
	if partial {
		status, body = http.StatusPartialContent, e.Value[part.start:part.end]
		h["Content-Range"] = []string{"bytes " + strconv.Itoa(part.start) + "-" +
			strconv.Itoa(part.end-1) + "/" + strconv.Itoa(e.Size)}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.WriteHeader(status)
	x.write(body)
}
