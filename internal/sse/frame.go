package sse

import (
	"bytes"
	"encoding/json"
	"slices"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
)

// A Format is one of the wire's forms.
type Format uint8

const (
	EventStream Format = iota // named events
	Messages                  // events without a name, which is in their data
	Lines                     // NDJSON
)

// An Encoder encodes what a subscription tells of one bucket.
type Encoder struct {
	Format Format
	Bucket kvclient.BucketName
	Form   kvclient.ValueForm
	// Digest is what the ids of this stream carry; empty for none.
	Digest string
}

const valueForms = 4

// Change returns a change's frame, which is encoded once for all streams of this representation and
// must not be changed. It begins with its id, which has the digest of the stream that needed it
// first: own reports whether that is this stream's. If not, [Encoder.Cut] makes it so.
func (e *Encoder) Change(c *feed.Change) (frame []byte, own bool) {
	frame = c.Frame(int(e.Format)*valueForms+int(e.Form), e.encode)
	_, digest, _ := e.parts(frame)
	return frame, string(digest) == e.Digest
}

// Cut cuts a frame behind its id. It appends to dst the first part, with the digest of this stream,
// and returns the rest, which is still shared.
func (e *Encoder) Cut(dst, frame []byte) (_, rest []byte) {
	head, _, rest := e.parts(frame)
	dst = append(dst, head...)
	if e.Digest != "" {
		dst = append(append(dst, '~'), e.Digest...)
	}
	return dst, rest
}

// parts divides a frame into what comes before the digest of its id, the digest, and what follows.
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

// largeValue is the size in bytes from which on a value's frame is put together from parts. A buffer
// that grows with the JSON would be copied a dozen times: a value of 1 MB can have 6 MB of JSON, for
// which 30 MB were allocated.
const largeValue = 32 << 10

func (e *Encoder) encode(c *feed.Change) []byte {
	var sink kvclient.Sink
	var parts [][]byte
	size := 256 + len(c.Key) + 2*len(c.Value)
	if len(c.Value) >= largeValue {
		size = 2 * largeValue
		sink = func(part []byte) ([]byte, error) {
			parts = append(parts, part)
			return make([]byte, 0, cap(part)), nil
		}
	}
	last, _ := c.EncodeJSON(make([]byte, 0, size), e.Bucket, e.Form, sink) // this sink cannot fail
	var id [64]byte
	return e.appendEvent(nil, e.AppendID(id[:0], PointOf(c)), c.Operation.String(), append(parts, last))
}

// AppendID appends the id of this stream at a point.
func (e *Encoder) AppendID(dst []byte, p feed.Point) []byte { return ID{p, e.Digest}.Append(dst) }

// PointOf is the point that a stream has reached when it has sent a change.
func PointOf(c *feed.Change) feed.Point {
	if c.Snapshot > 0 {
		to := kvclient.Position{Epoch: c.Epoch, Revision: c.Snapshot, Check: c.SnapshotCheck}
		return feed.Point{Position: to, InSnapshot: true, Sent: c.Revision}
	}
	return feed.Point{Position: c.Position}
}

// AppendEvent appends a frame. The id may be empty; data is a JSON object in one line.
func (e *Encoder) AppendEvent(dst, id []byte, name string, data []byte) []byte {
	return e.appendEvent(dst, id, name, [][]byte{data})
}

// appendEvent is AppendEvent with the data in parts, the first of which has the object's beginning.
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

// appendHead appends what comes before an event's data. Opened reports whether the object of the data
// has begun with members of its own.
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

// AppendWithID appends a frame with another id in the place of its own.
func (e *Encoder) AppendWithID(dst, id, frame []byte) []byte {
	if e.Format == Lines {
		rest := frame[bytes.Index(frame, []byte(`"event":"`)):]
		return append(append(append(append(dst, `{"id":"`...), id...), `",`...), rest...)
	}
	rest := frame[bytes.IndexByte(frame, '\n'):]
	return append(append(append(dst, "id: "...), id...), rest...)
}

// members are the data of the events that are no changes.
type members struct {
	Bucket   string             `json:"bucket,omitempty"`
	Revision *kvclient.Revision `json:"revision,omitempty"`
	Keys     *int               `json:"keys,omitempty"`
	Exact    *bool              `json:"exact,omitempty"`
	Reason   string             `json:"reason,omitempty"`
}

// AppendTold appends the frame of an event that is no change. The id may be empty.
func (e *Encoder) AppendTold(dst, id []byte, told feed.Event) []byte {
	m := members{Bucket: e.Bucket.String(), Reason: told.Reason}
	name := ""
	switch told.Kind {
	case feed.Synced:
		name, m.Revision, m.Exact = "sync", &told.Point.Revision, &told.Exact
		if told.Keys >= 0 {
			m.Keys = &told.Keys
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

// AppendBookmark appends the bookmark event of a bucket.
func (e *Encoder) AppendBookmark(dst, id []byte, revision kvclient.Revision, exact bool) []byte {
	return e.AppendEvent(dst, id, "bookmark", marshal(members{Bucket: e.Bucket.String(), Revision: &revision, Exact: &exact}))
}

// AppendHeartbeat appends what shows that the stream is alive; an id, if there is one, moves a browser's last id without an event.
func (e *Encoder) AppendHeartbeat(dst, id []byte) []byte {
	if e.Format == Lines {
		return e.AppendEvent(dst, id, "heartbeat", []byte("{}"))
	}
	if len(id) > 0 {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	return append(dst, ": heartbeat\n\n"...)
}

// marshal cannot fail: the members are text and numbers.
func marshal(m members) []byte {
	data, _ := json.Marshal(m)
	return data
}
