package handlers

import (
	"bytes"
	"encoding/json"
	"strconv"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// maxMemberName bounds the names that the problems of a transaction repeat.
const maxMemberName = 64

// parseTransaction reads the operations of a transaction. It does not use the schema of the
// contract: it reads a body of up to 16 MiB once, member by member, so that an error names its
// place, a member that is given twice is noticed, and reading ends at the 1,001st operation. Values
// that are JSON stay parts of the body.
func parseTransaction(body []byte) (steps []kvclient.Step, err error) {
	if fault := kv.EncodingFault(body); fault != "" {
		return nil, problem.OfBody("", fault)
	}
	in := &jsonReader{text: body, maxName: maxMemberName,
		refuse: func(pointer, reason string) error { return problem.OfBody(pointer, reason) }}
	err = in.object("", func(name, pointer string) error {
		if name != "operations" {
			return problem.OfBody(pointer, "a transaction has the member operations and no other")
		}
		return in.list(pointer, func(i int) error {
			step, err := parseOperation(in, i)
			if err != nil {
				return &kv.StepError{Index: i, Err: err}
			}
			steps = append(steps, step)
			return nil
		})
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

// parseOperation reads the operation with the index i.
func parseOperation(in *jsonReader, i int) (kvclient.Step, error) {
	o := operation{pointer: "/operations/" + strconv.Itoa(i)}
	if i == kvclient.MaxSteps {
		return kvclient.Step{}, problem.OfBody(o.pointer,
			"a transaction may have at most 1,000 operations")
	}
	err := in.object(o.pointer, func(name, pointer string) (err error) {
		field := o.field(name)
		if field == nil {
			return problem.OfBody(pointer, "an operation does not have such a member"+
				didYouMean(name, operationMembers))
		}
		if *field, err = in.value(pointer); err == nil && !json.Valid(*field) {
			err = problem.OfBody(o.wrongPart(pointer, *field), "it is not JSON")
		}
		return err
	})
	if err != nil {
		return kvclient.Step{}, err
	}
	return o.step()
}

// wrongPart returns the pointer to what is wrong if a value is not JSON: the value, or, if it
// begins with one that is complete, such as the 0 of 01, the operation in which something follows
// it.
func (o *operation) wrongPart(pointer string, value []byte) string {
	var first json.RawMessage
	if json.NewDecoder(bytes.NewReader(value)).Decode(&first) == nil {
		return o.pointer
	}
	return pointer
}
