package kvclient

import (
	"encoding/json"
	"mime"
	"strconv"
	"strings"
	"time"
)

// A ValueForm says in which form an entry's JSON carries the value.
type ValueForm uint8

const (
	ValueByType ValueForm = iota // JSON as "value" where the content type says so, else "text" or "base64"
	ValueJSON                    // JSON as "value" wherever it parses
	ValueBase64                  // always "base64": the exact bytes
	ValueNone                    // no value
)

// AppendJSON appends the entry as one line of JSON, the same wherever an entry is shown. The value is one of "value" (the
// stored JSON, its numbers untouched), "text" (valid UTF-8) or "base64"; markers have none.
func (e *Entry) AppendJSON(dst []byte, bucket BucketName, form ValueForm) []byte {
	dst, _ = e.EncodeJSON(dst, bucket, form, nil) // only a sink can fail
	return dst
}

// A Sink takes a part of what is encoded and returns a buffer to go on with.
type Sink func(part []byte) (next []byte, err error)

// EncodeJSON is [Entry.AppendJSON] in parts: whenever dst has some tens of kilobytes, sink is given
// them. What is left is returned. So the JSON of a large value, which can have six bytes for each of
// its own, is never in memory as a whole. EncodeJSON returns the sink's error.
func (e *Entry) EncodeJSON(dst []byte, bucket BucketName, form ValueForm, sink Sink) ([]byte, error) {
	dst = e.appendMembers(dst, bucket)
	if !e.IsMarker() && form != ValueNone {
		var err error
		if dst, err = e.encodeValue(dst, form, sink); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// appendMembers appends what comes before the value.
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
	return e.Mark.appendMember(dst)
}

func appendStringMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	return appendString(dst, value)
}

// appendString appends a JSON string. Marshalling a string cannot fail; invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s)
	return append(dst, quoted...)
}

// isJSONType tells whether a content type is JSON's, or ends in "+json" (RFC 6839 §3.1).
func isJSONType(contentType string) bool {
	if contentType == "" {
		return false
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}
