package handlers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// importMembers are the members that an entry can have, and the last line of an export.
var importMembers = []string{
	"bucket", "key", "revision", "epoch", "operation", "created", "expires", "size", "content_type",
	"content_encoding", "transaction", "value", "text", "base64", "end", "count", "hidden", "next",
	"snapshot", "problem",
}

// An importLine is what one line of an import says.
type importLine struct {
	// entry is the entry to store.
	entry kvclient.ImportEntry
	// end reports whether the line is the last of an export, which has no entry.
	end bool
	// operation is the operation that made the entry; "" if the line does not say.
	operation string
	// seen has a bit for each member that was there, by its index in importMembers.
	seen uint32
}

// lineProblem says what is wrong with a line. pointer is the JSON pointer to the member, and "" for
// the line as a whole.
func lineProblem(pointer, reason string) error {
	p := problem.Error{Code: problem.InvalidBody, Members: problem.Members{"pointer": pointer},
		Detail: "At " + pointer + ": " + reason + "."}
	if pointer == "" {
		p.Detail = "Not stored: " + reason + "."
	}
	return p
}

// refuseLine is lineProblem for what a jsonReader refuses.
func refuseLine(pointer, reason string) error {
	if pointer == "" {
		reason = "the line is not a JSON object: " + reason
	}
	return lineProblem(pointer, reason)
}

// parseImportLine reads an entry in the form in which the gateway writes entries. It ignores the
// members that say where the entry came from (bucket, revision, epoch, created, size, transaction).
// It refuses members that it does not know: one could be misspelt, or belong to another kind of
// line.
func parseImportLine(line []byte) (importLine, error) {
	var l importLine
	if fault := kv.EncodingFault(line); fault != "" {
		return l, lineProblem("", "the line is not JSON: "+fault)
	}
	in := &jsonReader{text: line, refuse: refuseLine}
	err := in.object("", func(name, pointer string) error {
		value, err := in.value("")
		if err != nil {
			return err
		}
		return l.member(name, pointer, value)
	})
	if err == nil {
		err = in.end()
	}
	if err != nil {
		return l, err
	}
	switch values := l.count("value", "text", "base64"); {
	case l.has("problem"):
		return l, lineProblem("/problem",
			"because of this problem the export ended here, and is not complete")
	case l.has("end"):
		l.end = true
	case !l.has("key"):
		return l, lineProblem("", `the member "key" is missing`)
	case l.has("operation") && l.operation != "put":
		return l, lineProblem("/operation", "only values can be imported; delete the key instead")
	case values != 1:
		return l, lineProblem("",
			"an entry must have its value in exactly one of value, text and base64")
	}
	return l, nil
}

// has reports whether the line has a member of importMembers.
func (l *importLine) has(name string) bool {
	return l.seen&(1<<slices.Index(importMembers, name)) != 0
}

// count returns how many of the members the line has.
func (l *importLine) count(names ...string) (n int) {
	for _, name := range names {
		if l.has(name) {
			n++
		}
	}
	return n
}

// member reads one member. pointer is that to its value, which is a part of the line, so member
// copies what it keeps.
func (l *importLine) member(name, pointer string, value []byte) (err error) {
	i := slices.Index(importMembers, name)
	if i < 0 {
		return lineProblem(pointer, "an entry does not have such a member"+
			didYouMean(name, importMembers))
	}
	l.seen |= 1 << i
	var text []byte
	switch name {
	case "key", "operation", "expires", "content_type", "content_encoding", "text", "base64":
		if text, err = jsonText(value); err != nil {
			return lineProblem(pointer, err.Error())
		}
	default:
		if !json.Valid(value) {
			return lineProblem(pointer, "it is not JSON")
		}
	}
	switch name {
	case "key":
		l.entry.Key, err = kv.ParseKey(string(text))
		return err
	case "operation":
		l.operation = string(text)
	case "expires":
		if l.entry.Expires, err = time.Parse(time.RFC3339Nano, string(text)); err != nil {
			return lineProblem(pointer,
				"it is not a time such as 2026-11-22T18:03:11.482915023Z")
		}
	case "content_type":
		if isMediaRange(string(text)) {
			return lineProblem(pointer,
				"it is a media range, and must be one media type, such as image/png")
		}
		if isMultipart(string(text)) {
			return lineProblem(pointer, reasonMultipart)
		}
		l.entry.ContentType, err = storedText(pointer, text)
		return err
	case "content_encoding":
		l.entry.ContentEncoding, err = storedText(pointer, text)
		return err
	case "value":
		l.entry.Value = bytes.Clone(value)
	case "text":
		l.entry.Value = text
	case "base64":
		l.entry.Value = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Strict().Decode(l.entry.Value, text)
		if err != nil {
			return lineProblem(pointer, "it is not Base64 (RFC 4648 §4, with padding)")
		}
		l.entry.Value = l.entry.Value[:n]
	}
	return nil
}

// storedText reads a header that is stored with a value. It is stored as it is, whether or not it
// is well-formed.
func storedText(pointer string, text []byte) (string, error) {
	value := string(text)
	if len(value) > maxStoredHeaderBytes || !isPrintable(value) ||
		strings.TrimSpace(value) != value {
		return "", lineProblem(pointer, "it is not printable ASCII of at most 1,024 bytes")
	}
	return value, nil
}
