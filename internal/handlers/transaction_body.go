package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kvclient"
)

// parseTransaction reads the operations of a transaction. It does not use the schema of the
// contract: it reads a body of up to 16 MiB once, member by member, so that an error names its
// place, a member that is given twice is noticed, and reading ends at the 1,001st operation.
func parseTransaction(body []byte) ([]kvclient.Step, error) {
	if !utf8.Valid(body) {
		return nil, problem.OfBody("", "it is not UTF-8")
	}
	in := &jsonReader{json.NewDecoder(bytes.NewReader(body))}
	var steps []kvclient.Step
	err := in.object("", func(name, pointer string) (err error) {
		if name != "operations" {
			return problem.OfBody(pointer, "a transaction has the member operations and no other")
		}
		steps, err = in.operations()
		return err
	})
	if err == nil {
		err = in.end()
	}
	switch {
	case err != nil:
		return nil, err
	case len(steps) == 0:
		return nil, problem.OfBody("/operations", "a transaction must have 1 to 1,000 operations")
	}
	return steps, nil
}

// A jsonReader reads JSON value by value, so that the decoded document is never in memory as a
// whole.
type jsonReader struct{ *json.Decoder }

// object reads an object. It calls member for each name, which must read the value. pointer is the
// JSON pointer to the object.
func (in *jsonReader) object(pointer string, member func(name, pointer string) error) error {
	if err := in.delim(pointer, '{', "it is not an object"); err != nil {
		return err
	}
	seen := make(map[string]bool, 6)
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return notJSON(pointer, err)
		}
		name := token.(string) // The decoder accepts nothing but a string here.
		memberPointer := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if len(name) > maxMemberName {
			return problem.OfBody(pointer,
				"the name of a member is longer than that of any known member")
		}
		if seen[name] {
			return problem.OfBody(memberPointer, "it is given twice")
		}
		seen[name] = true
		if err := member(name, memberPointer); err != nil {
			return err
		}
	}
	_, err := in.Token()
	return notJSON(pointer, err)
}

// maxMemberName bounds the names that error texts repeat.
const maxMemberName = 64

// operations reads the list of operations.
func (in *jsonReader) operations() (steps []kvclient.Step, err error) {
	if err := in.delim("/operations", '[', "it is not a list"); err != nil {
		return nil, err
	}
	for i := 0; in.More(); i++ {
		if i == kvclient.MaxSteps {
			return nil, stepProblem(i, "", "a transaction may have at most 1,000 operations")
		}
		step, err := in.operation(i)
		if err != nil {
			return nil, atStep(i, err)
		}
		steps = append(steps, step)
	}
	_, err = in.Token()
	return steps, notJSON("/operations", err)
}

// operation reads the operation with the index i.
func (in *jsonReader) operation(i int) (kvclient.Step, error) {
	o := operation{pointer: "/operations/" + strconv.Itoa(i)}
	err := in.object(o.pointer, func(name, pointer string) error {
		field := o.field(name)
		if field == nil {
			return problem.OfBody(pointer, "an operation does not have such a member")
		}
		if err := in.Decode(field); err != nil {
			return notJSON(pointer, err)
		}
		return nil
	})
	if err != nil {
		return kvclient.Step{}, err
	}
	return o.step()
}

// delim reads an opening bracket. otherwise says what is wrong if something else comes.
func (in *jsonReader) delim(pointer string, want json.Delim, otherwise string) error {
	token, err := in.Token()
	if err != nil {
		return notJSON(pointer, err)
	}
	if token != want {
		return problem.OfBody(pointer, otherwise)
	}
	return nil
}

// end makes sure that nothing follows the document.
func (in *jsonReader) end() error {
	if _, err := in.Token(); err != io.EOF {
		return problem.OfBody("", "it has more than one JSON document")
	}
	return nil
}

// notJSON returns the problem of JSON that cannot be read; nil if err is nil.
func notJSON(pointer string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the JSON ends early")
	}
	return problem.OfBody(pointer, err.Error())
}
