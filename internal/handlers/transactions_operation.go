package handlers

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// An operation is a step of a transaction in the form in which it came.
type operation struct {
	// pointer is the JSON pointer to the operation.
	pointer string

	// Each of these is a member of the operation; nil if it was not given.
	op, key, value, text, base64, contentType, ifRevision, ifAbsent, ttl json.RawMessage
}

// operationMembers are the members that an operation can have.
var operationMembers = []string{
	"op", "key", "value", "text", "base64", "content_type", "if_revision", "if_absent", "ttl",
}

// field returns where the value of a member is kept; nil if an operation has no such member.
func (o *operation) field(name string) *json.RawMessage {
	switch name {
	case "op":
		return &o.op
	case "key":
		return &o.key
	case "value":
		return &o.value
	case "text":
		return &o.text
	case "base64":
		return &o.base64
	case "content_type":
		return &o.contentType
	case "if_revision":
		return &o.ifRevision
	case "if_absent":
		return &o.ifAbsent
	case "ttl":
		return &o.ttl
	}
	return nil
}

// stepKinds are the values of the member op.
var stepKinds = map[string]kvclient.StepKind{
	"put":    kvclient.PutStep,
	"delete": kvclient.DeleteStep,
	"purge":  kvclient.PurgeStep,
	"check":  kvclient.CheckStep,
}

// step checks the operation, and returns it as a step.
func (o *operation) step() (s kvclient.Step, err error) {
	op, err := o.string("op", o.op)
	if err != nil {
		return s, err
	}
	kind, ok := stepKinds[op]
	if !ok {
		return s, problem.OfBody(o.pointer+"/op", "it must be put, delete, purge or check"+
			didYouMean(op, []string{"put", "delete", "purge", "check"}))
	}
	s.Kind = kind
	name, err := o.string("key", o.key)
	if err != nil {
		return s, err
	}
	if s.Key, err = parseBodyKey(name); err != nil {
		return s, err
	}
	if s.Precondition, err = o.precondition(s.Kind); err != nil {
		return s, err
	}
	if s.TTL, err = o.timeToLive(s.Kind); err != nil {
		return s, err
	}
	return s, o.content(&s)
}

// parseBodyKey is [kv.ParseKey] for a key in a body. One that is too long is an ordinary
// syntax error there; 414 is for a key in the URI.
func parseBodyKey(name string) (kv.Key, error) {
	k, err := kv.ParseKey(name)
	if errors.Is(err, kv.ErrKeyTooLong) {
		err = &kv.SyntaxError{
			What: "key", Offset: kv.MaxKeyBytes, Reason: "a key has at most 1,024 bytes",
		}
	}
	return k, err
}

// precondition reads if_revision and if_absent.
func (o *operation) precondition(kind kvclient.StepKind) (p kv.Precondition, err error) {
	absent := false
	if o.ifAbsent != nil {
		absent, err = decode[bool](o, "if_absent", o.ifAbsent, "it must be true or false")
		if err != nil {
			return p, err
		}
	}
	switch {
	case absent && o.ifRevision != nil:
		return p, problem.OfBody(o.pointer+"/if_absent", "if_revision and if_absent exclude each "+
			"other; if_revision 0 is for a key that was never written")
	case absent && (kind == kvclient.DeleteStep || kind == kvclient.PurgeStep):
		return p, problem.OfBody(o.pointer+"/if_absent",
			"a key without a value has none to remove; use a check to require that it has none")
	case absent:
		p.IfNoneMatch.Any = true
	case o.ifRevision != nil:
		integer, _ := integerOf(string(o.ifRevision))
		revision, err := kv.ParseRevision(integer)
		if err != nil {
			return p, problem.OfBody(o.pointer+"/if_revision",
				"it must be an integer from 0 to 2^53-1")
		}
		p.IfMatch.Positions = []kv.Position{{Revision: revision}}
	case kind == kvclient.CheckStep:
		return p, problem.OfBody(o.pointer, "a check must have if_revision or if_absent")
	}
	return p, nil
}

// timeToLive reads ttl.
func (o *operation) timeToLive(kind kvclient.StepKind) (time.Duration, error) {
	switch {
	case o.ttl == nil:
		return 0, nil
	case kind != kvclient.PutStep && kind != kvclient.PurgeStep:
		return 0, problem.OfBody(o.pointer+"/ttl",
			"only the value of a put and the marker of a purge can have a time to live")
	}
	var text string
	quoted := json.Unmarshal(o.ttl, &text) == nil
	ttl, ok := parseTTL(text)
	if !ok {
		if !quoted {
			text = string(o.ttl)
		}
		return 0, problem.OfBody(o.pointer+"/ttl",
			misspeltDuration(ttlRange, text, quoted)+"it must be "+ttlForm)
	}
	return ttl, nil
}

// content reads the value of a put, which has one of three forms, and its content type.
func (o *operation) content(s *kvclient.Step) (err error) {
	given := 0
	for _, form := range []json.RawMessage{o.value, o.text, o.base64} {
		if form != nil {
			given++
		}
	}
	switch {
	case s.Kind != kvclient.PutStep && (given > 0 || o.contentType != nil):
		return problem.OfBody(o.pointer, "only a put can have a value and a content type")
	case s.Kind != kvclient.PutStep:
		return nil
	case given != 1:
		return problem.OfBody(o.pointer, "a put must have exactly one of value, text and base64")
	case o.value != nil:
		s.Value, s.ContentType = o.value, headerJSON[0]
	case o.text != nil:
		s.Value, err = o.textBytes()
	default:
		s.Value, err = o.base64Bytes()
	}
	if err != nil || o.contentType == nil {
		return err
	}
	contentType, err := o.string("content_type", o.contentType)
	if err != nil {
		return err
	}
	if isMultipart(contentType) {
		return problem.OfBody(o.pointer+"/content_type", reasonMultipart)
	}
	s.ContentType, err = storedType(contentType)
	if err != nil || len(contentType) > maxStoredHeaderBytes {
		return problem.OfBody(o.pointer+"/content_type",
			"it is not one media type, such as text/plain; charset=utf-8")
	}
	return nil
}

// textBytes returns the value of the form text.
func (o *operation) textBytes() ([]byte, error) {
	text, err := jsonText(o.text)
	if err != nil {
		return nil, problem.OfBody(o.pointer+"/text", err.Error())
	}
	return text, nil
}

// base64Bytes returns the value of the form base64.
func (o *operation) base64Bytes() ([]byte, error) {
	text, err := o.string("base64", o.base64)
	if err != nil {
		return nil, err
	}
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, problem.OfBody(o.pointer+"/base64",
			"it is not Base64 with padding (RFC 4648 §4)")
	}
	return value, nil
}

// string reads a member that must be there and be a string.
func (o *operation) string(name string, raw json.RawMessage) (string, error) {
	if raw == nil {
		return "", problem.OfBody(o.pointer, "an operation must have "+name)
	}
	return decode[string](o, name, raw, "it must be a string")
}

// decode reads a member of a simple type. JSON's null is refused, although json.Unmarshal accepts
// it for any type. otherwise says what the member must be.
func decode[T any](
	o *operation,
	name string,
	raw json.RawMessage,
	otherwise string,
) (value T, err error) {
	if string(raw) == "null" || json.Unmarshal(raw, &value) != nil {
		err = problem.OfBody(o.pointer+"/"+name, otherwise)
	}
	return value, err
}
