package jsonpatch

import (
	"errors"
	"fmt"
)

const (
	// MaxBytes bounds a document and a patch, since patching takes some thirty times their memory.
	MaxBytes = 4 << 20
	// MaxDepth bounds how deep arrays and objects may be nested in documents, patches and results.
	MaxDepth = 1000
	// MaxOperations bounds the operations of one JSON Patch, since each of them may look at all
	// members of a large object.
	MaxOperations = 1000
)

// These errors say why a patch was not applied. The types below say more, and match none of these.
var (
	// ErrTestFailed says that a test operation has found another value than it names, or none.
	ErrTestFailed = errors.New("a test of the patch failed")
	// ErrTooLarge says that the result, or the document after one of the operations, exceeds the
	// limit.
	ErrTooLarge = errors.New("the patched document is too large")
)

// A DocumentError says that the document is not JSON, or not JSON that all readers read alike.
type DocumentError struct {
	// Reason says what is wrong with it.
	Reason string
}

// Error returns the reason.
func (e *DocumentError) Error() string { return "the document: " + e.Reason }

// A FormatError says that a patch is not JSON, or has not the form of its media type.
type FormatError struct {
	// Pointer is a JSON pointer to the place in the patch, empty for the whole patch.
	Pointer string
	// Reason says what is wrong there.
	Reason string
	// Given are the names that stand there in the place of one of Known, to be compared with them;
	// nil if the error is another.
	Given, Known []string
}

// Error returns the place and the reason.
func (e *FormatError) Error() string {
	return fmt.Sprintf("the patch, at %q: %s", e.Pointer, e.Reason)
}

// An ApplyError says that an operation cannot be applied to the document.
type ApplyError struct {
	// Operation is the index of the operation in the patch, from 0.
	Operation int
	// Reason says why it cannot be applied.
	Reason string
}

// Error returns the operation and the reason.
func (e *ApplyError) Error() string {
	return fmt.Sprintf("operation %d: %s", e.Operation, e.Reason)
}

// Merge applies a merge patch, and returns the patched document. Its errors are a *[DocumentError],
// a *[FormatError], an *[ApplyError] if the result is nested too deep, and [ErrTooLarge] if the
// result has more bytes than the limit.
func Merge(document, patch []byte, limit int) ([]byte, error) {
	doc, change, err := parseBoth(document, patch)
	if err != nil {
		return nil, err
	}
	return result(merge(doc, change), limit)
}

// Apply applies a JSON Patch, and returns the patched document. Its errors are those of Merge, and
// [ErrTestFailed].
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

// parseBoth parses a document and a patch.
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

// result returns the text of a document, unless it exceeds a limit.
func result(n *node, limit int) ([]byte, error) {
	switch {
	case n.size > limit:
		return nil, ErrTooLarge
	case n.depth > MaxDepth:
		return nil, &ApplyError{Reason: tooDeep}
	}
	return n.append(make([]byte, 0, n.size)), nil
}
