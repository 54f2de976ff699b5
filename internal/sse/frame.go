package sse

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
)

// A Format is one of the forms that a stream can have on the wire.
type Format uint8

// The formats.
const (
	// EventStream has events with a name, in the field "event".
	EventStream Format = iota
	// Messages has events without a name, for clients that listen to "message" only. The name is a
	// member of the data.
	Messages
	// Lines has a JSON object in each line (NDJSON), with the id and the name as members.
	Lines
)

// SetHeaders sets the headers of the answer that is a stream.
func SetHeaders(h http.Header, format Format) {
	h["Content-Type"] = []string{"text/event-stream"}
	if format == Lines {
		h["Content-Type"] = []string{"application/x-ndjson"}
	}
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"} // nginx would collect a page before it sends any of it
	h["X-Content-Type-Options"] = []string{"nosniff"}
}

// An Encoder encodes what a stream says about one bucket.
type Encoder struct {
	// Format is the form of the blocks.
	Format Format
	// Bucket is the bucket, which most events name.
	Bucket kv.BucketName
	// Form is how values are written into events.
	Form kv.ValueForm
	// Digest is the digest that the ids of this stream carry, empty for none.
	Digest string
}

// valueForms is the number of values of [kv.ValueForm]: a change has a slot for its frame in
// each format and form.
const valueForms = 4

// Change returns the frame of a change. It is encoded once for all streams with this format and
// form, and must not be modified. It begins with its id, which has the digest of the stream that
// needed the frame first; own reports whether this stream has the same digest. If not,
// [Encoder.Cut] exchanges it.
func (e *Encoder) Change(c *feed.Change) (frame []byte, own bool) {
	frame = c.Frame(int(e.Format)*valueForms+int(e.Form), e.encode)
	_, digest, _ := e.parts(frame)
	return frame, string(digest) == e.Digest
}

// Cut cuts a frame behind its id. It appends the first part to dst, with the digest of this stream,
// and returns the rest, which is still shared.
func (e *Encoder) Cut(dst, frame []byte) (_, rest []byte) {
	head, _, rest := e.parts(frame)
	dst = append(dst, head...)
	if e.Digest != "" {
		dst = append(append(dst, '~'), e.Digest...)
	}
	return dst, rest
}

// parts divides a frame into the bytes before the digest of its id, the digest, and what follows.
func (e *Encoder) parts(frame []byte) (head, digest, rest []byte) {
	from, end := len("id: "), byte('\n')
	if e.Format == Lines {
		from, end = len(`{"id":"`), '"'
	}
	idEnd := from + bytes.IndexByte(frame[from:], end)
	if i := bytes.IndexByte(frame[from:idEnd], '~'); i >= 0 {
		return frame[:from+i], frame[from+i+1 : idEnd], frame[idEnd:]
	}
	return frame[:idEnd], nil, frame[idEnd:]
}

// largeValue is the size in bytes from which on the frame of a value is put together from parts. A
// buffer that grows with the JSON would be copied a dozen times: a value of 1 MB can have 6 MB of
// JSON, for which 30 MB were allocated.
const largeValue = 32 << 10

// encode makes the frame of a change.
func (e *Encoder) encode(c *feed.Change) []byte {
	var sink kv.Sink
	var parts [][]byte
	size := 256 + len(c.Key) + 2*len(c.Value)
	if len(c.Value) >= largeValue {
		size = 2 * largeValue
		sink = func(part []byte) ([]byte, error) {
			parts = append(parts, part)
			return make([]byte, 0, cap(part)), nil
		}
	}
	// The sink cannot fail, and without an error of it EncodeJSON returns none.
	last, _ := c.EncodeJSON(make([]byte, 0, size), e.Bucket, e.Form, sink)
	var id [64]byte
	own := e.AppendID(id[:0], PointOf(c))
	return e.appendEvent(nil, own, c.Operation.String(), append(parts, last))
}

// AppendID appends the id that this stream has at a point.
func (e *Encoder) AppendID(dst []byte, p feed.Point) []byte { return ID{p, e.Digest}.Append(dst) }

// PointOf returns the point that a stream has reached when it has sent a change.
func PointOf(c *feed.Change) feed.Point {
	if c.Snapshot > 0 {
		to := kv.Position{Epoch: c.Epoch, Revision: c.Snapshot, Check: c.SnapshotCheck}
		return feed.Point{Position: to, InSnapshot: true, Sent: c.Revision}
	}
	return feed.Point{Position: c.Position}
}

// AppendEvent appends the block of an event. The id may be empty; data is a JSON object without
// line breaks.
func (e *Encoder) AppendEvent(dst, id []byte, name string, data []byte) []byte {
	return e.appendEvent(dst, id, name, [][]byte{data})
}

// appendEvent is AppendEvent with the data in parts, the first of which begins the object.
func (e *Encoder) appendEvent(dst, id []byte, name string, data [][]byte) []byte {
	size := len(id) + len(name) + len("id: \nevent: \ndata: \n\n") + len(`{"id":"","event":"",`)
	for _, part := range data {
		size += len(part)
	}
	dst = slices.Grow(dst, size)
	dst, opened := e.appendHead(dst, id, name)
	if opened {
		if len(data) > 1 || len(data[0]) > len("{}") {
			dst = append(dst, ',')
		}
		dst, data = append(dst, data[0][1:]...), data[1:]
	}
	for _, part := range data {
		dst = append(dst, part...)
	}
	if e.Format == Lines {
		return append(dst, '\n')
	}
	return append(dst, "\n\n"...)
}

// appendHead appends what comes before the data of an event. It reports whether this has opened the
// object of the data, with members of its own.
func (e *Encoder) appendHead(dst, id []byte, name string) (_ []byte, opened bool) {
	if len(id) > 0 && e.Format != Lines {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	switch e.Format {
	case EventStream:
		return append(append(append(dst, "event: "...), name...), "\ndata: "...), false
	case Messages:
		dst = append(dst, "data: {"...)
	case Lines:
		dst = append(dst, '{')
		if len(id) > 0 {
			dst = append(append(append(dst, `"id":"`...), id...), `",`...)
		}
	}
	return append(append(append(dst, `"event":"`...), name...), '"'), true
}

// AppendWithID appends a frame with another id in place of its own.
func (e *Encoder) AppendWithID(dst, id, frame []byte) []byte {
	if e.Format == Lines {
		rest := frame[bytes.Index(frame, []byte(`"event":"`)):]
		return append(append(append(append(dst, `{"id":"`...), id...), `",`...), rest...)
	}
	rest := frame[bytes.IndexByte(frame, '\n'):]
	return append(append(append(dst, "id: "...), id...), rest...)
}

// members is the data of the events that are not changes. Which of them an event has is in
// api/openapi.yaml.
type members struct {
	// Bucket is the bucket that the event is about.
	Bucket string `json:"bucket,omitempty"`
	// Revision is the revision of a sync.
	Revision *kv.Revision `json:"revision,omitempty"`
	// Keys is how many keys the snapshot before a sync had, if that is known.
	Keys *int `json:"keys,omitempty"`
	// Exact says whether the entries sent so far are the state of the bucket at Revision.
	Exact *bool `json:"exact,omitempty"`
	// Digest is the digest of that state, if it is wanted and known.
	Digest string `json:"digest,omitempty"`
	// Reason is why a stream was reset or ends.
	Reason string `json:"reason,omitempty"`
	// Removed has the keys that are gone without a marker.
	Removed []removed `json:"removed,omitempty"`
}

// A removed is a key that is gone. Who holds an entry of it up to the revision drops it.
type removed struct {
	Key      string      `json:"key"`
	Revision kv.Revision `json:"revision"`
}

// AppendNotice appends the block of an event that is not a change. The id may be empty.
func (e *Encoder) AppendNotice(dst, id []byte, event feed.Event) []byte {
	m := members{Bucket: e.Bucket.String(), Reason: event.Reason}
	name := ""
	switch event.Kind {
	case feed.Synced:
		name, m.Revision, m.Exact = "sync", &event.Point.Revision, &event.Exact
		m.Digest = event.Digest
		if event.Keys >= 0 {
			m.Keys = &event.Keys
		}
	case feed.Removed:
		name = "removed"
		for _, r := range event.Removed {
			m.Removed = append(m.Removed, removed(r))
		}
	case feed.Reset:
		name = "reset"
	case feed.Stale:
		name = "stale"
	case feed.Live:
		name = "live"
	case feed.BucketDeleted:
		name = "bucket-deleted"
	case feed.GoAway:
		name, m.Bucket = "goaway", ""
	}
	return e.AppendEvent(dst, id, name, marshal(m))
}

// AppendBookmark appends the bookmark event of a bucket at a point. Within a snapshot its revision
// is the one that was sent last, since what follows is above it. Digest is that of the state there;
// "" for none.
func (e *Encoder) AppendBookmark(
	dst, id []byte, p feed.Point, exact bool, digest string,
) []byte {
	revision := p.Revision
	if p.InSnapshot {
		revision = p.Sent
	}
	// Every stream has one with each heartbeat, so it is not left to encoding/json.
	data := append(make([]byte, 0, 128), `{"bucket":"`...)
	data = append(data, e.Bucket.String()...) // names need no escaping
	data = strconv.AppendUint(append(data, `","revision":`...), uint64(revision), 10)
	data = strconv.AppendBool(append(data, `,"exact":`...), exact)
	if digest != "" {
		data = append(append(append(data, `,"digest":"`...), digest...), '"')
	}
	data = append(data, '}')
	return e.AppendEvent(dst, id, "bookmark", data)
}

// marshal encodes members. It cannot fail, since they are text, numbers and booleans only.
func marshal(m members) []byte {
	data, _ := kv.EncodeJSON(m)
	return data
}
