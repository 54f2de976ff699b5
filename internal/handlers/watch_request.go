package handlers

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/sse"
)

const (
	// maxWatches bounds the buckets of one stream.
	maxWatches = 16
	// These are the time between two heartbeats of a stream unless the request says otherwise, and
	// the bounds of what a request can ask for.
	defaultHeartbeat = 15 * time.Second
	minHeartbeat     = time.Second
	maxHeartbeat     = 5 * time.Minute
)

// lastIDNames are the names that the last id can have in the query. Polyfills of EventSource append
// theirs to the query of the page, so those take precedence over the gateway's own name, which
// comes last.
var lastIDNames = []string{"lastEventId", "last_event_id", "Last-Event-ID", "after"}

// howToWatch is the answer to a browser that opens the address of a stream in a tab, where it would
// show nothing or text without an end.
const howToWatch = "This is a stream of events, which a tab of a browser does not show. " +
	"In a page, open it with new EventSource(url), and listen with addEventListener(\"put\", …) " +
	"and so on: the events are named, so that onmessage stays silent unless the query has " +
	"events=message. In a terminal, use curl -N. " +
	"Other clients send Accept: text/event-stream or application/x-ndjson."

// A watchRequest is what a request for a stream asks for.
type watchRequest struct {
	// format is how events are written.
	format sse.Format
	// form is the form of values.
	form kv.ValueForm
	// heartbeat is the time between two heartbeats.
	heartbeat time.Duration
	// bareBookmarks reports whether bookmarks are ids alone, and not events.
	bareBookmarks bool
	// eventSource reports whether the client is an EventSource, to which transient problems are
	// sent in a stream.
	eventSource bool
	// lastID is the id that the client came with, until the targets have what is in it; "" for
	// none.
	lastID string
	// start has the options of the subscriptions, without filters and position.
	start feed.SubscribeOptions
	// one reports whether the path names the bucket. The ids are then points of that bucket, and
	// otherwise lists of points.
	one bool
	// targets are the buckets to watch.
	targets []watchTarget
}

// A watchTarget is one bucket of a stream.
type watchTarget struct {
	// bucket is the bucket.
	bucket kv.BucketName
	// options are those of the subscription. Its filters are narrowed to what the caller may watch.
	options feed.SubscribeOptions
	// digest is the [sse.ContentDigest] of the target.
	digest string
	// cameWith is the id that the client came with, as it was given out; empty if there was none.
	// It counts until the stream has come further or is reset.
	cameWith []byte
}

// resume makes the subscription go on where the stream was that gave the id out.
func (t *watchTarget) resume(id sse.ID) {
	t.cameWith = id.Append(nil)
	t.options.Resume = &id.Point
	content := id.Digest[:min(len(id.Digest), len(t.digest))]
	t.options.Stamp = id.Digest[len(content):]
	t.options.OtherContent = content != "" && content != t.digest
}

// parseWatch reads what streams of one bucket and of several have in common.
func parseWatch(x *exchange) (*watchRequest, error) {
	offers := []string{"text/event-stream", "application/x-ndjson"}
	if prefersPage(x.request.Header, offers...) {
		return nil, problem.Error{Code: problem.NotAcceptable,
			Members: problem.Members{"offers": offers}, Detail: howToWatch}
	}
	mediaType, err := negotiate(x.request.Header, offers...)
	if err != nil {
		return nil, err
	}
	w := &watchRequest{form: valueForm(x.query)}
	switch {
	case mediaType == "application/x-ndjson":
		w.format = sse.Lines
	case x.query.Get("events") == "message":
		w.format = sse.Messages
	}
	accept := strings.ToLower(strings.Join(x.request.Header["Accept"], ","))
	w.bareBookmarks = w.format != sse.Lines && x.query.Get("bookmarks") == "id"
	w.eventSource = w.format != sse.Lines && x.query.Get("errors") != "status" &&
		strings.Contains(accept, "text/event-stream")
	if w.heartbeat, err = heartbeatOf(x.query); err != nil {
		return nil, err
	}
	if x.query.Get("meta_only") == "true" {
		w.form = kv.ValueNone
	}
	w.start = feed.SubscribeOptions{
		IncludeHistory: x.query.Get("include_history") == "true",
		UpdatesOnly:    x.query.Get("updates_only") == "true",
		IgnoreDeletes:  x.query.Get("ignore_deletes") == "true",
		Removals:       x.query.Get("removals") == "event",
		NoValues:       w.form == kv.ValueNone,
		Digest:         x.query.Get("digest") == "true",
	}
	if w.start.IncludeHistory && w.start.UpdatesOnly {
		return nil, problem.OfParameter("updates_only",
			"include_history and updates_only exclude each other. Leave one out.")
	}
	// A browser that reconnects sends the header, beside the query that its page made once and for
	// all.
	w.lastID = x.request.Header.Get("Last-Event-Id")
	for _, name := range lastIDNames {
		if w.lastID == "" {
			w.lastID = lastGiven(x.query[name])
		}
	}
	if x.query.Has("resume_from_revision") {
		from, err := kv.ParseRevision(x.query.Get("resume_from_revision"))
		if err != nil || from == 0 {
			return nil, problem.OfParameter("resume_from_revision",
				"resume_from_revision must be an integer from 1 to 2^53-1.")
		}
		w.start.From = from
	}
	return w, nil
}

// lastGiven returns the last value that is not empty; "" if there is none. Some polyfills append
// their last id to the URL of the connection before, which has the older ones already.
func lastGiven(values []string) string {
	for _, value := range slices.Backward(values) {
		if value != "" {
			return value
		}
	}
	return ""
}

// heartbeatOf reads the time between two heartbeats.
func heartbeatOf(query url.Values) (time.Duration, error) {
	if !query.Has("heartbeat") {
		return defaultHeartbeat, nil
	}
	d, err := time.ParseDuration(query.Get("heartbeat"))
	if err != nil || d < minHeartbeat || d > maxHeartbeat {
		return 0, problem.OfParameter("heartbeat",
			"heartbeat must be a duration from 1s to 5m, such as 15s.")
	}
	return d, nil
}

// A narrowing narrows the filters of a request for a stream to what its caller may watch, as
// [exchange.narrowStream] does.
type narrowing func(kv.BucketName, kv.Filters) (kv.Filters, error)

// single makes the request one for the bucket that the path names. The filters are narrowed.
func (w *watchRequest) single(bucket kv.BucketName, filters kv.Filters) {
	w.one = true
	t := watchTarget{bucket: bucket, options: w.start}
	t.options.Filters = filters
	t.digest = sse.ContentDigest(t.options, w.form)
	if w.lastID != "" {
		if id, ok := sse.ParseID(w.lastID); ok {
			t.resume(id)
		} else {
			t.options.UnknownPoint = true
		}
	}
	w.targets = []watchTarget{t}
}

// errTooManyWatches refuses a request for more buckets or filters than a stream can have.
var errTooManyWatches = problem.OfParameter("watch",
	"A stream can have up to 16 buckets, with up to 64 filters in all. Use several streams.")

// several makes the request one for the buckets and filters of watch=BUCKET:FILTER. A bucket
// without a filter stands for all its keys.
func (w *watchRequest) several(watches []string, narrow narrowing) error {
	if len(watches) == 0 {
		return problem.OfParameter("watch",
			"Name what to watch: watch=BUCKET or watch=BUCKET:FILTER, up to 16 buckets.")
	}
	buckets, patterns := make([]string, len(watches)), make([]string, len(watches))
	for i, watch := range watches {
		filtered := false
		if buckets[i], patterns[i], filtered = strings.Cut(watch, ":"); !filtered {
			patterns[i] = kv.AllKeys.String()
		}
	}
	if len(watches) > kv.MaxFilters {
		return errTooManyWatches
	}
	filters, err := kv.ParseFilters(patterns)
	if err != nil {
		return err
	}
	for j, bucket := range buckets {
		name, err := kv.ParseBucketName(bucket)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(w.targets, func(t watchTarget) bool { return t.bucket == name })
		if i < 0 {
			i = len(w.targets)
			w.targets = append(w.targets, watchTarget{bucket: name, options: w.start})
		}
		w.targets[i].options.Filters = append(w.targets[i].options.Filters, filters[j])
	}
	if len(w.targets) > maxWatches {
		return errTooManyWatches
	}
	if err := w.narrow(narrow); err != nil {
		return err
	}
	w.resumeSeveral()
	return nil
}

// narrow narrows the filters of all targets. Together they are bounded as those of one request.
func (w *watchRequest) narrow(narrow narrowing) (err error) {
	var all kv.Filters
	for i := range w.targets {
		t := &w.targets[i]
		t.options.Filters, err = narrow(t.bucket, t.options.Filters)
		if err != nil {
			return err
		}
		all = append(all, t.options.Filters...)
	}
	return all.CheckNarrowed()
}

// resumeSeveral gives each bucket its point of the last id. A bucket that is not in that id had not
// come anywhere yet: it begins at the beginning, or, with updates_only, with a reset.
func (w *watchRequest) resumeSeveral() {
	ids, ok := sse.ParseIDs(w.lastID)
	for i := range w.targets {
		t := &w.targets[i]
		t.digest = sse.ContentDigest(t.options, w.form)
		switch id, known := ids[t.bucket.String()]; {
		case w.lastID == "":
		case known:
			t.resume(id)
		case !ok || t.options.UpdatesOnly:
			t.options.UnknownPoint = true
		}
	}
}
