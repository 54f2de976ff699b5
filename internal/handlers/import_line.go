package handlers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kvgateway/internal/kvclient"
)

// importMembers are the members of an entry, and of the last line of an export.
var importMembers = []string{"bucket", "key", "revision", "epoch", "operation", "created", "expires", "size", "content_type",
	"content_encoding", "transaction", "value", "text", "base64", "end", "count", "next", "problem"}

// An importLine is what one line of an import says.
type importLine struct {
	entry     kvclient.ImportEntry
	end       bool // it is the last line of an export
	operation string
	seen      uint32 // members, by their index
}

// lineProblem says what is wrong with a line, and at which member.
func lineProblem(pointer, reason string) error {
	p := problemError{code: codeInvalidBody, detail: "At " + pointer + ": " + reason + ".", members: members{"pointer": pointer}}
	if pointer == "" {
		p.detail = "Not stored: " + reason + "."
	}
	return p
}

// parseImportLine reads an entry as the gateway writes it. Where it came from (bucket, revision, epoch, created, size, transaction) is
// not looked at. What it does not know it refuses: it could be a misspelt member, or another kind of line.
func parseImportLine(line []byte) (importLine, error) {
	var l importLine
	if !utf8.Valid(line) {
		return l, lineProblem("", "the line is not UTF-8")
	}
	if err := eachMember(line, l.member); err != nil {
		return l, err
	}
	switch values := l.count("value", "text", "base64"); {
	case l.has("problem"):
		return l, lineProblem("/problem", "the export ended here, because of this problem, and is not complete")
	case l.has("end"):
		l.end = true
	case !l.has("key"):
		return l, lineProblem("", `the member "key" is missing`)
	case l.has("operation") && l.operation != "put":
		return l, lineProblem("/operation", "only values are imported: delete the key instead")
	case values != 1:
		return l, lineProblem("", "an entry has its value in exactly one of value, text and base64")
	}
	return l, nil
}

func (l *importLine) has(name string) bool { return l.seen&(1<<slices.Index(importMembers, name)) != 0 }

func (l *importLine) count(names ...string) (n int) {
	for _, name := range names {
		if l.has(name) {
			n++
		}
	}
	return n
}

// member takes a member over. The value is part of the line, and is copied.
func (l *importLine) member(name string, value []byte) (err error) {
	i := slices.Index(importMembers, name)
	pointer := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	switch {
	case i < 0:
		return lineProblem(pointer, "an entry has no such member")
	case l.seen&(1<<i) != 0:
		return lineProblem(pointer, "the member is there twice")
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
		l.entry.Key, err = kvclient.ParseKey(string(text))
		return err
	case "operation":
		l.operation = string(text)
	case "expires":
		if l.entry.Expires, err = time.Parse(time.RFC3339Nano, string(text)); err != nil {
			return lineProblem(pointer, "it is no time such as 2026-11-22T18:03:11.482915023Z")
		}
	case "content_type":
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

// storedText is a header that is stored with a value: as it was, whatever its writer made of it.
func storedText(pointer string, text []byte) (string, error) {
	value := string(text)
	if len(value) > maxStoredHeaderBytes || !isPrintable(value) || strings.TrimSpace(value) != value {
		return "", lineProblem(pointer, "it is not printable ASCII of at most 1,024 bytes")
	}
	return value, nil
}

// jsonText is a copy of what a JSON string stands for.
func jsonText(value []byte) ([]byte, error) {
	switch {
	case len(value) < 2 || value[0] != '"' || !json.Valid(value):
		return nil, errors.New("it is not a string")
	case bytes.IndexByte(value, '\\') < 0:
		return bytes.Clone(value[1 : len(value)-1]), nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, errors.New("it is not a string")
	}
	return []byte(text), wholeCharacters(value, text)
}
