package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"kvgateway/internal/kvclient"
)

// parseTransaction reads the operations of a transaction. The schema does not check them: a body of 16 MiB is read once, member by member,
// so that what is wrong is told with its place, a name given twice is seen, and the 1,001st operation ends it.
func parseTransaction(body []byte) ([]kvclient.Step, error) {
	if !utf8.Valid(body) {
		return nil, invalidBody("", "it is not UTF-8")
	}
	in := &jsonReader{json.NewDecoder(bytes.NewReader(body))}
	var steps []kvclient.Step
	err := in.object("", func(name, pointer string) (err error) {
		if name != "operations" {
			return invalidBody(pointer, "a transaction has operations and nothing else")
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
		return nil, invalidBody("/operations", "a transaction has 1 to 1,000 operations")
	}
	return steps, nil
}

// A jsonReader reads JSON of which not all is wanted in memory at once.
type jsonReader struct{ *json.Decoder }

// object reads an object; member reads the value of each name.
func (in *jsonReader) object(pointer string, member func(name, pointer string) error) error {
	if err := in.delim(pointer, '{', "it is no object"); err != nil {
		return err
	}
	seen := make(map[string]bool, 6)
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return notJSON(pointer, err)
		}
		name := token.(string) // the decoder takes nothing else there
		place := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if len(name) > maxMemberName {
			return invalidBody(pointer, "a member's name is longer than any that there is")
		}
		if seen[name] {
			return invalidBody(place, "it is given twice")
		}
		seen[name] = true
		if err := member(name, place); err != nil {
			return err
		}
	}
	_, err := in.Token()
	return notJSON(pointer, err)
}

// maxMemberName bounds what is repeated of a name.
const maxMemberName = 64

func (in *jsonReader) operations() (steps []kvclient.Step, err error) {
	if err := in.delim("/operations", '[', "it is no list"); err != nil {
		return nil, err
	}
	for i := 0; in.More(); i++ {
		if i == kvclient.MaxSteps {
			return nil, stepProblem(i, "", "a transaction has at most 1,000 operations")
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

func (in *jsonReader) operation(i int) (kvclient.Step, error) {
	o := operation{pointer: "/operations/" + strconv.Itoa(i)}
	err := in.object(o.pointer, func(name, pointer string) error {
		field := o.field(name)
		if field == nil {
			return invalidBody(pointer, "an operation has no such member")
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

func (in *jsonReader) delim(pointer string, want json.Delim, otherwise string) error {
	token, err := in.Token()
	if err != nil {
		return notJSON(pointer, err)
	}
	if token != want {
		return invalidBody(pointer, otherwise)
	}
	return nil
}

func (in *jsonReader) end() error {
	if _, err := in.Token(); err != io.EOF {
		return invalidBody("", "it has more than one JSON document")
	}
	return nil
}

// notJSON tells of JSON that cannot be read.
func notJSON(pointer string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the JSON ends early")
	}
	return invalidBody(pointer, err.Error())
}
