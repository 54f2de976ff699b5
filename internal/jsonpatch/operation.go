package jsonpatch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An operation is an operation of a JSON Patch.
type operation struct {
	// op is its name.
	op string
	// path and from are the tokens of the pointers of the same name. Only move and copy have a
	// from.
	path, from []string
	// value is the value of add, replace and test, else nil.
	value *node
}

// readOperations reads a patch (RFC 6902 §3, §4). Members that an operation does not know are
// ignored.
func readOperations(list *node) ([]operation, error) {
	if list.kind != '[' {
		return nil, &FormatError{Reason: "a JSON Patch is an array of operations"}
	}
	if len(list.items) > MaxOperations {
		reason := fmt.Sprintf("it has more than %d operations", MaxOperations)
		return nil, &FormatError{Reason: reason}
	}
	operations := make([]operation, 0, len(list.items))
	for i, item := range list.items {
		op, member, reason := readOperation(item)
		if reason != "" {
			e := &FormatError{Pointer: fmt.Sprintf("/%d%s", i, member), Reason: reason}
			e.compare(item, strings.TrimPrefix(member, "/"))
			return nil, e
		}
		operations = append(operations, op)
	}
	return operations, nil
}

// These are the names that operations and their members have.
var (
	operationNames = []string{"add", "remove", "replace", "move", "copy", "test"}
	memberNames    = []string{"op", "path", "from", "value"}
)

// compare sets what is given and known where the error is about a member of an operation: the
// unknown members, if that one is missing, and otherwise the name of the operation.
func (e *FormatError) compare(operation *node, member string) {
	if operation.kind != '{' || member == "" {
		return
	}
	if at := operation.find(member); at >= 0 {
		if value := operation.members[at].value; member == "op" && value.kind == 's' {
			e.Given, e.Known = []string{unquote(value.raw)}, operationNames
		}
		return
	}
	for _, m := range operation.members {
		if !slices.Contains(memberNames, m.name) {
			e.Given = append(e.Given, m.name)
		}
	}
	e.Known = []string{member}
}

// readOperation reads an operation. If it is malformed, reason says why, and member is a pointer to
// the member that is wrong.
func readOperation(n *node) (op operation, member, reason string) {
	if n.kind != '{' {
		return op, "", "an operation is an object"
	}
	if op.op, reason = n.stringMember("op"); reason != "" {
		return op, "/op", reason
	}
	if op.path, reason = n.pointerMember("path"); reason != "" {
		return op, "/path", reason
	}
	switch op.op {
	case "add", "replace", "test":
		at := n.find("value")
		if at < 0 {
			return op, "/value", "the operation needs a value"
		}
		op.value = n.members[at].value
	case "move", "copy":
		if op.from, reason = n.pointerMember("from"); reason != "" {
			return op, "/from", reason
		}
	case "remove":
	default:
		return op, "/op", "it must be one of " + strings.Join(operationNames, ", ")
	}
	return op, "", ""
}

// stringMember returns a member of an operation that must be a string.
func (n *node) stringMember(name string) (value, reason string) {
	at := n.find(name)
	if at < 0 || n.members[at].value.kind != 's' {
		return "", "the operation needs " + name + ", as a string"
	}
	return unquote(n.members[at].value.raw), ""
}

// pointerMember returns the tokens of a member of an operation that must be a JSON pointer.
func (n *node) pointerMember(name string) (tokens []string, reason string) {
	s, reason := n.stringMember(name)
	if reason != "" {
		return nil, reason
	}
	tokens, ok := readPointer(s)
	if !ok {
		return nil, "it is not a JSON pointer, which is empty or begins with /, and has ~ only " +
			"in ~0 and ~1"
	}
	return tokens, ""
}

// The reasons why an operation cannot be applied, beside those of a path.
var (
	errWholeRemoved = errors.New("the whole document cannot be removed")
	errIntoItself   = errors.New("a value cannot be moved into itself")
)

// apply applies the operation to a document. It returns the document, or the reason why the
// operation cannot be applied.
func (o *operation) apply(doc *node) (*node, error) {
	switch o.op {
	case "add":
		return doc.add(o.path, o.value)
	case "remove":
		return doc.remove(o.path)
	case "replace":
		return doc.replace(o.path, o.value)
	case "test":
		value, err := doc.get(o.path)
		if err != nil || !equal(value, o.value) {
			return nil, ErrTestFailed
		}
		return doc, nil
	}
	value, err := doc.get(o.from)
	if err != nil {
		return nil, err
	}
	if o.op == "copy" {
		value.share()
		return doc.add(o.path, value)
	}
	if slices.Equal(o.from, o.path) {
		return doc, nil
	}
	if len(o.from) < len(o.path) && slices.Equal(o.from, o.path[:len(o.from)]) {
		return nil, errIntoItself
	}
	if doc, err = doc.remove(o.from); err != nil {
		return nil, err
	}
	return doc.add(o.path, value)
}

// add puts a value at a path: as a member, in place of one of that name, or into an array before
// the element of that index.
func (n *node) add(path []string, value *node) (*node, error) {
	if len(path) == 0 {
		return value, nil
	}
	return n.edit(path, func(parent *node, token string) error {
		if parent.kind == '{' {
			if at := parent.find(token); at >= 0 {
				parent.exchange(at, parent.members[at].value, value)
				return nil
			}
			added := member{name: token, rawName: quote(token), value: value}
			parent.count(len(parent.members), value, len(added.rawName)+1)
			parent.members = append(parent.members, added)
			return nil
		}
		at := len(parent.items)
		if token != "-" {
			var err error
			if at, err = index(token, at); err != nil {
				return err
			}
		}
		parent.count(len(parent.items), value, 0)
		parent.items = slices.Insert(parent.items, at, value)
		return nil
	})
}

// remove removes the value at a path.
func (n *node) remove(path []string) (*node, error) {
	if len(path) == 0 {
		return nil, errWholeRemoved
	}
	return n.edit(path, func(parent *node, token string) error {
		at, value, err := parent.child(token)
		if err != nil {
			return err
		}
		parent.size -= value.size
		if parent.kind == '{' {
			parent.size -= len(parent.members[at].rawName) + 1
			parent.members = slices.Delete(parent.members, at, at+1)
		} else {
			parent.items = slices.Delete(parent.items, at, at+1)
		}
		if len(parent.members)+len(parent.items) > 0 {
			parent.size-- // one comma less
		}
		return nil
	})
}

// replace puts a value in place of the value at a path.
func (n *node) replace(path []string, value *node) (*node, error) {
	if len(path) == 0 {
		return value, nil
	}
	return n.edit(path, func(parent *node, token string) error {
		at, old, err := parent.child(token)
		if err == nil {
			parent.exchange(at, old, value)
		}
		return err
	})
}

// exchange puts a value in place of the old one, which is child number at.
func (n *node) exchange(at int, old, value *node) {
	n.put(at, value)
	n.replaced(old.size, value)
}
