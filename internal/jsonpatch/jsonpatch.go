// Package jsonpatch changes JSON documents by JSON merge patch (RFC 7396) and JSON Patch (RFC 6902), and leaves everything as it
// was written that a patch does not touch: numbers such as 1e400 and -0, escapes, the order of members, and white space.
//
// A patch comes from anybody, and so does the document. Work and memory are bounded by their sizes and the limits below, and what
// a copy of a copy of a copy would grow to is known before it exists.
package jsonpatch

import (
	"errors"
	"fmt"
)

const (
	// MaxBytes bounds a document and a patch: to patch takes some thirty times the memory of the text.
	MaxBytes = 4 << 20
	// MaxDepth bounds how deep arrays and objects are nested, in documents, patches and results.
	MaxDepth = 1000
	// MaxOperations bounds the operations of one JSON Patch: each may look at all members of a large object.
	MaxOperations = 1000
)

// Errors of applying a patch. The types below carry more and match none of these.
var (
	// ErrTestFailed: a test operation found another value than it names, or none.
	ErrTestFailed = errors.New("a test of the patch failed")
	// ErrTooLarge: the result, or what it was on the way, is larger than the limit.
	ErrTooLarge = errors.New("the patched document is too large")
)

// A DocumentError tells that the document to be patched is not JSON, or not JSON that two readers would read alike.
type DocumentError struct{ Reason string }

func (e *DocumentError) Error() string { return "the document: " + e.Reason }

// A FormatError tells that a patch is not JSON, or not of the form of its media type.
type FormatError struct {
	Pointer string // to the place in the patch, empty for the whole
	Reason  string
}

func (e *FormatError) Error() string { return fmt.Sprintf("the patch, at %q: %s", e.Pointer, e.Reason) }

// An ApplyError tells that an operation cannot be applied to the document.
type ApplyError struct {
	Operation int // its number in the patch, from 0
	Reason    string
}

func (e *ApplyError) Error() string { return fmt.Sprintf("operation %d: %s", e.Operation, e.Reason) }

// Merge applies a merge patch. It returns a *[DocumentError], a *[FormatError], an *[ApplyError] where the result is nested too
// deep, or [ErrTooLarge] if the result has more bytes than the limit.
func Merge(document, patch []byte, limit int) ([]byte, error) {
	doc, change, err := parseBoth(document, patch)
	if err != nil {
		return nil, err
	}
	return result(merge(doc, change), limit)
}

// Apply applies a JSON Patch. It returns what Merge does, and [ErrTestFailed].
func Apply(document, patch []byte, limit int) ([]byte, error) {
	doc, list, err := parseBoth(document, patch)
	if err != nil {
		return nil, err
	}
	operations, err := readOperations(list)
	if err != nil {
		return nil, err
	}
	for i, op := range operations {
		next, err := op.apply(doc)
		switch {
		case errors.Is(err, ErrTestFailed):
			return nil, fmt.Errorf("operation %d: %w", i, err)
		case err != nil:
			return nil, &ApplyError{Operation: i, Reason: err.Error()}
		case next.size > limit:
			return nil, ErrTooLarge
		case next.depth > MaxDepth && next.deepest() > MaxDepth:
			return nil, &ApplyError{Operation: i, Reason: tooDeep}
		}
		doc = next
	}
	return result(doc, limit)
}

func parseBoth(document, patch []byte) (doc, change *node, err error) {
	change, pointer, reason := parse(patch)
	if reason != "" {
		return nil, nil, &FormatError{Pointer: pointer, Reason: reason}
	}
	doc, _, reason = parse(document)
	if reason != "" {
		return nil, nil, &DocumentError{Reason: reason}
	}
	return doc, change, nil
}

func result(n *node, limit int) ([]byte, error) {
	switch {
	case n.size > limit:
		return nil, ErrTooLarge
	case n.depth > MaxDepth:
		return nil, &ApplyError{Reason: tooDeep}
	}
	return n.append(make([]byte, 0, n.size)), nil
}
