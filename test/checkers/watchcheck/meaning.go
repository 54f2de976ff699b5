package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// data is the object of an event. Event is its name where the wire has no field for that.
type data struct {
	Event                         string
	Bucket, Key, Operation, Epoch string
	Base64, Text, Reason, Type    string
	Value                         json.RawMessage
	Revision                      uint64
	Size                          int
	Exact                         bool
	Digest                        string
	Expires                       time.Time
	Removed                       []Removed
}

// meaning returns what a block means to the client. It is strict: what the contract does not know
// becomes an item that no promise allows. So does a block without an event or without data: a
// client calls back for each block, and most cannot make anything of such a one. Only a client that
// asks for bare ids gets blocks of an id alone. On a stream of several buckets, such a block means
// something for each bucket that its id names.
func (c *Client) meaning(b Block, now time.Time) []Item {
	if c.options.bare && b.HasID && b.Event == "" && b.Data == "" {
		return c.bareID(b, now)
	}
	var d data
	named := b.Event != ""
	if err := json.Unmarshal([]byte(b.Data), &d); err != nil || named == c.options.messages {
		return []Item{{At: now, Kind: "unreadable", Reason: b.Event + " with " + b.Data}}
	}
	if c.options.messages {
		b.Event = d.Event
	}
	if b.Event == "heartbeat" {
		if !c.options.lines || b.HasID {
			return []Item{{At: now, Kind: "unreadable", Reason: b.ID + " with " + b.Data}}
		}
		return []Item{{At: now, Kind: "bare"}}
	}
	item := Item{At: now, Kind: b.Event, Bucket: d.Bucket, Revision: d.Revision, Exact: d.Exact,
		Reason: d.Reason, Digest: d.Digest, Removed: d.Removed, HasID: b.HasID}
	switch b.Event {
	case "problem":
		item.Reason = d.Type
	case "sync", "bookmark":
		return []Item{c.pointed(item, b, d)}
	case "put", "delete", "purge", "expire":
		return []Item{c.changed(item, b, d)}
	}
	return []Item{item}
}

// pointed completes the item of a sync or a bookmark. A bookmark within a snapshot promises nothing
// about later changes.
func (c *Client) pointed(item Item, b Block, d data) Item {
	p, ok := c.positions(b.ID)[d.Bucket]
	told := p.revision
	if p.inSnapshot {
		told = p.sent
	}
	switch {
	case !ok || told != d.Revision || p.inSnapshot && (b.Event == "sync" || d.Exact):
		item.Kind, item.Reason = "unreadable", b.ID+" with "+b.Data
	case p.inSnapshot:
		item.Kind, item.Revision = "bare", 0
	case b.Event == "bookmark" && p.epoch == nowhere && !d.Exact:
		item.Kind, item.Epoch = "nowhere", p.epoch
	default:
		item.Epoch = p.epoch
	}
	return item
}

// changed completes the item of a change.
func (c *Client) changed(item Item, b Block, d data) Item {
	value, err := c.value(d)
	p, ok := c.positions(b.ID)[d.Bucket]
	sent := p.revision
	if p.inSnapshot {
		sent = p.sent
	}
	if err != nil || d.Operation != b.Event || !ok || sent != d.Revision || p.epoch != d.Epoch {
		return Item{At: item.At, Kind: "unreadable", Bucket: d.Bucket,
			Reason: b.ID + " with " + b.Data}
	}
	item.Kind, item.Epoch, item.Size, item.Expires = "change", d.Epoch, d.Size, d.Expires
	item.Change = Change{d.Revision, c.intern(d.Key), c.intern(d.Operation), c.digest(value)}
	return item
}

// value returns the stored value, byte for byte, or nil if the client did not ask for values.
func (c *Client) value(d data) ([]byte, error) {
	if c.options.noValues {
		if d.Base64 != "" || d.Text != "" || d.Value != nil {
			return nil, fmt.Errorf("a value came that was not asked for")
		}
		return nil, nil
	}
	return base64.StdEncoding.DecodeString(d.Base64)
}

func (c *Client) digest(value []byte) string {
	if c.options.noValues {
		return ""
	}
	return digest(value)
}

// nowhere is the epoch in an id that says that a bucket is deleted.
const nowhere = "0"

// bareID returns what a block with an id alone means: the positions of the id. A position within a
// snapshot promises nothing about later changes.
func (c *Client) bareID(b Block, now time.Time) []Item {
	items := []Item{{At: now, Kind: "bare", HasID: true}}
	for bucket, p := range c.positions(b.ID) {
		if !p.inSnapshot && p.epoch != nowhere {
			items = append(items, Item{At: now, Kind: "id", Bucket: bucket, Epoch: p.epoch,
				Revision: p.revision, HasID: true})
		}
	}
	return items
}

// A position is that of one bucket in an id.
type position struct {
	revision, sent uint64 // Within a snapshot, sent is how far that has come.
	epoch          string
	inSnapshot     bool
}

// positions parses an id, and returns the position of each bucket that it names. The id of a stream
// of one bucket is that bucket's.
func (c *Client) positions(id string) map[string]position {
	out := map[string]position{}
	for part := range strings.SplitSeq(id, ",") {
		bucket, text, several := strings.Cut(part, "=")
		if !several {
			bucket, text = c.options.bucket, part
		}
		if p, ok := parsePosition(text); ok {
			p.epoch = c.intern(p.epoch)
			out[bucket] = p
		}
	}
	return out
}

// parsePosition parses [<sent>.]<revision>-<epoch>[.<check>][~<digest>]. Check and digest are the
// gateway's own affair: their purpose is judged by what streams do.
func parsePosition(text string) (p position, ok bool) {
	text, _, _ = strings.Cut(text, "~")
	numbers, epoch, ok := strings.Cut(text, "-")
	if !ok {
		return p, false
	}
	p.epoch, _, _ = strings.Cut(epoch, ".")
	var err error
	if sent, rest, snapshot := strings.Cut(numbers, "."); snapshot {
		p.inSnapshot, numbers = true, rest
		if p.sent, err = strconv.ParseUint(sent, 10, 64); err != nil {
			return p, false
		}
	}
	p.revision, err = strconv.ParseUint(numbers, 10, 64)
	return p, err == nil && p.epoch != ""
}

// intern keeps one copy of a text that comes often.
func (c *Client) intern(s string) string {
	if known, ok := c.texts[s]; ok {
		return known
	}
	c.texts[s] = strings.Clone(s)
	return c.texts[s]
}
