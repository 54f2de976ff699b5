package kvclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// A StateAsker asks for the state of one bucket's stream up to a thousand times a second, as
// [Client.State] does, with the same errors. One goroutine at a time may use it.
//
// The answer is the description of the whole stream, of which most is the configuration, and the
// server writes what hardly ever changes first. So the asker keeps the bytes of an answer up to the
// state, and of an answer that begins with the same ones it parses only the rest. That takes 10
// allocations and 760 bytes instead of 34 and 3,048, and a fifth of the time (BenchmarkStateAsker).
// An answer that begins otherwise, or whose rest cannot be read, is parsed as a whole, and the
// binding of the bucket is made anew from it.
type StateAsker struct {
	// client asks.
	client *Client
	// name is the bucket's.
	name kv.BucketName
	// subject is that of the question.
	subject string
	// head is what the last answer that was parsed as a whole began with, up to its state; nil
	// before there is one.
	head []byte
	// before is what that answer said.
	before StreamState
}

// AskState returns an asker for the state of a bucket's stream.
func (c *Client) AskState(name kv.BucketName) *StateAsker {
	return &StateAsker{
		client:  c,
		name:    name,
		subject: c.apiPrefix + "STREAM.INFO." + name.Stream(),
	}
}

// Ask asks the stream's leader for the state of the stream. It returns the errors of
// [Client.State].
func (a *StateAsker) Ask(ctx context.Context) (StreamState, error) {
	asked := a.client.beginLookUp()
	msg := &nats.Msg{Subject: a.subject}
	reply, err := a.client.writes.Request(ctx, msg, descriptionBytes)
	if err == link.ErrNoResponders {
		return StreamState{}, errNoJetStream
	}
	if err != nil {
		return StreamState{}, err
	}
	if s, ok := a.readRest(reply.Data); ok {
		return s, nil
	}
	return a.readWhole(asked, reply.Data)
}

// stateMember is what stands before the state in the description of a stream. A quote within a JSON
// string is escaped, so that this can only be a member whose value is an object.
var stateMember = []byte(`,"state":{`)

// A changingState is what changes in the description of a stream.
type changingState struct {
	State struct {
		Messages uint64    `json:"messages"`
		Bytes    uint64    `json:"bytes"`
		First    uint64    `json:"first_seq"`
		Last     uint64    `json:"last_seq"`
		LastTime time.Time `json:"last_ts"`
		Subjects uint64    `json:"num_subjects"`
	} `json:"state"`
	Cluster *struct {
		Leader string `json:"leader"`
	} `json:"cluster"`
	At time.Time `json:"ts"`
}

// readRest reads an answer that begins as the one before; ok is false if it does not, or if it can
// be understood only as a whole. Without a named leader a replica has answered.
func (a *StateAsker) readRest(answer []byte) (s StreamState, ok bool) {
	if a.head == nil || !bytes.HasPrefix(answer, a.head) {
		return s, false
	}
	rest := answer[len(a.head):]
	if !bytes.HasPrefix(rest, stateMember) {
		return s, false
	}
	// The comma before the member has the place of the brace that opens an object.
	object := append(make([]byte, 0, len(rest)), rest...)
	object[0] = '{'
	var now changingState
	if json.Unmarshal(object, &now) != nil || now.Cluster != nil && now.Cluster.Leader == "" {
		return s, false
	}
	s = a.before
	s.At = now.At
	s.Messages, s.Subjects = now.State.Messages, now.State.Subjects
	s.Bytes = now.State.Bytes
	s.First, s.Last = kv.Revision(now.State.First), kv.Revision(now.State.Last)
	s.LastTime = now.State.LastTime
	return s, true
}

// readWhole reads all of an answer, and remembers how it begins.
func (a *StateAsker) readWhole(asked lookUp, answer []byte) (StreamState, error) {
	a.head = nil
	var info streamInfoResponse
	if err := json.Unmarshal(answer, &info); err != nil {
		return StreamState{}, fmt.Errorf("%w: %s: %w", kv.ErrUnexpectedAnswer, a.subject, err)
	}
	var err error
	if info.Error != nil {
		err = refusal(info.Error)
	}
	b, err := a.client.endLookUp(asked, a.client.writes, a.name, &info, err)
	if err != nil {
		return StreamState{}, err
	}
	s, err := b.stateOf(&info)
	if at := bytes.Index(answer, stateMember); err == nil && at > 0 {
		a.head, a.before = bytes.Clone(answer[:at]), s
	}
	return s, err
}
