package kv

import (
	"mime"
	"strconv"
	"strings"
	"time"
)

// A ValueForm says in which form an entry's JSON carries the value.
type ValueForm uint8

// The forms.
const (
	// ValueByType has JSON as "value" if the content type says that it is JSON, and else "text" or
	// "base64".
	ValueByType ValueForm = iota
	// ValueJSON has JSON as "value" wherever the value parses.
	ValueJSON
	// ValueBase64 always has "base64", the exact bytes.
	ValueBase64
	// ValueNone has no value.
	ValueNone
)

// AppendJSON appends the entry as one line of JSON, which is the same wherever an entry is shown.
// The value is in one of "value" (the stored JSON, with its numbers untouched), "text" (valid
// UTF-8) or "base64"; markers have none of them.
func (e *Entry) AppendJSON(dst []byte, bucket BucketName, form ValueForm) []byte {
	dst, _ = e.EncodeJSON(dst, bucket, form, nil) // only a sink can fail
	return dst
}

// A Sink takes a part of what is encoded and returns a buffer to go on with.
type Sink func(part []byte) (next []byte, err error)

// EncodeJSON is [Entry.AppendJSON] in parts: whenever dst has some tens of kilobytes, sink is given
// them. The rest is returned. So the JSON of a large value, which can have six bytes for each of
// the value's, is never in memory as a whole. EncodeJSON returns the sink's error.
func (e *Entry) EncodeJSON(
	dst []byte, bucket BucketName, form ValueForm, sink Sink,
) ([]byte, error) {
	dst = e.appendMembers(dst, bucket)
	if !e.IsMarker() && form != ValueNone {
		var err error
		if dst, err = e.encodeValue(dst, form, sink); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// appendMembers appends the members that come before the value.
func (e *Entry) appendMembers(dst []byte, bucket BucketName) []byte {
	dst = append(dst, `{"bucket":"`...)
	dst = append(dst, bucket.name...) // names, keys and epochs need no escaping
	dst = append(dst, `","key":"`...)
	dst = append(dst, e.Key...)
	dst = append(dst, `","revision":`...)
	dst = strconv.AppendUint(dst, uint64(e.Revision), 10)
	dst = append(dst, `,"epoch":"`...)
	dst = append(dst, e.Epoch...)
	dst = append(dst, `","operation":"`...)
	dst = append(dst, e.Operation.String()...)
	dst = append(dst, `","created":"`...)
	dst = e.Created.UTC().AppendFormat(dst, time.RFC3339Nano)
	if !e.Expires.IsZero() {
		dst = append(dst, `","expires":"`...)
		dst = e.Expires.UTC().AppendFormat(dst, time.RFC3339Nano)
	}
	dst = append(dst, `","size":`...)
	dst = strconv.AppendInt(dst, int64(e.Size), 10)
	dst = appendStringMember(dst, "content_type", e.ContentType)
	dst = appendStringMember(dst, "content_encoding", e.ContentEncoding)
	return e.Transaction.appendMember(dst)
}

// appendMember appends the member of an entry's JSON that shows the part; a nil part appends
// nothing.
func (p *TransactionPart) appendMember(dst []byte) []byte {
	if p == nil {
		return dst
	}
	dst = appendString(append(dst, `,"transaction":{"id":`...), p.ID)
	dst = strconv.AppendUint(append(dst, `,"index":`...), p.Index, 10)
	dst = strconv.AppendBool(append(dst, `,"last":`...), p.Last)
	return append(dst, '}')
}

// appendStringMember appends a member whose value is a string, unless that is empty.
func appendStringMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	return appendString(dst, value)
}

// appendString appends a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	return append(appendText(append(dst, '"'), strings.ToValidUTF8(s, "\uFFFD")), '"')
}

// isJSONType reports whether a content type is that of JSON, or ends in "+json" (RFC 6839 §3.1).
func isJSONType(contentType string) bool {
	if contentType == "" {
		return false
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}
