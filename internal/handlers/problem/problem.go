// Package problem says how clients are told about failures: as problem documents (RFC 9457).
//
// It is one table (table.go), which has a row for each kind of problem: its code, its status, what
// it means and how to fix it, whether the same request may succeed later, and the error of package
// kv that it stands for. No other package knows the status of a failure. [Of] finds the problem of
// an error, and the pages below /problems/ are made of the rows.
package problem

import (
	"net/http"
	"strings"

	"kvgateway/internal/kv"
)

// Base stands in the texts of problems before each path of the gateway, where the path below which
// everything is mounted belongs. [Error.Document] and [Kind.Below] put it there. No client can send
// it: it is no part of a text of JSON, a URL or a header.
const Base = "\x00"

// tellOperator is what can be done about a failure whose cause only the log has.
const tellOperator = "Tell the gateway's operator the request id in `instance`: its log has the " +
	"cause under that id."

// below puts a base path, "" for none, into a text.
func below(basePath, text string) string { return strings.ReplaceAll(text, Base, basePath) }

// A Kind is what all problems of a code have in common. Its JSON is the page of the code.
type Kind struct {
	// Code names the kind.
	Code Code `json:"code"`
	// Status is the HTTP status of the answer.
	Status int `json:"status"`
	// Title names the problem in a few words.
	Title string `json:"title"`
	// Meaning says what happened, and what was or was not done.
	Meaning string `json:"meaning"`
	// Fix says what the client can do about it.
	Fix string `json:"fix"`

	// Detail is what a problem of this kind says if nothing more is known of the case.
	Detail string `json:"-"`
	// Retry says whether the same request may succeed later.
	Retry Retry `json:"-"`
	// Err is the error that the kind stands for; nil if there is none, or if it carries data.
	Err error `json:"-"`
	// Header has headers of each answer with a problem of this kind. It must not be changed.
	Header http.Header `json:"-"`
	// Waited reports whether such a problem can be the outcome of a wait for which the client asked
	// with Prefer: wait, so that its answer may have Preference-Applied.
	Waited bool `json:"-"`
}

// Retry says whether the same request may succeed later. It is the only list of what may be tried
// again: clients/js has the statuses below 500 of it (TestClientTriesAgainWhatTheTableSays).
type Retry uint8

const (
	// Never: the request will fail again, or might do twice what it does, unless the client finds
	// out more first.
	Never Retry = iota
	// Later: the request may succeed later, but nothing is known of when.
	Later
	// Soon: the request may succeed after the time in Retry-After.
	Soon
)

// retryAfter is the value of Retry-After, in seconds.
const retryAfter = "1"

// After returns the value of Retry-After, "" if the answer has none.
func (r Retry) After() string {
	if r == Soon {
		return retryAfter
	}
	return ""
}

// Below returns the kind with texts for a gateway that is mounted below a base path, "" for none.
func (k *Kind) Below(basePath string) Kind {
	told := *k
	told.Meaning, told.Fix = below(basePath, k.Meaning), below(basePath, k.Fix)
	told.Detail = below(basePath, k.Detail)
	return told
}

// KindOf returns the kind of a code, nil if there is none. It must not be changed.
func KindOf(code string) *Kind {
	for i := range table {
		if string(table[i].Code) == code {
			return &table[i]
		}
	}
	return nil
}

// Kinds returns all kinds. They must not be changed.
func Kinds() []Kind { return table }

// Members are what a problem document has beside the members of RFC 9457.
type Members map[string]any

// An Error is an error that is a problem.
type Error struct {
	// Code is the code of its kind.
	Code Code
	// Detail says what is wrong with this very request and how to fix it. The paths in it have
	// [Base] before them.
	Detail string
	// Midway is Detail for a request of which a part was done, and for an answer that has begun: it
	// must not say that nothing was done, and not speak of a header such as Retry-After, nor of
	// when to try again, which depends on what was done. "" if Detail does none of this.
	Midway string
	// Members are added to the problem document; nil for none.
	Members Members
	// Header is added to the headers of the response; nil for none. A header without values takes
	// one of the kind away.
	Header http.Header
}

// New returns a problem of which nothing more is known than its kind.
func New(code Code) Error {
	return Error{Code: code, Detail: KindOf(string(code)).Detail, Midway: midway[code]}
}

// Error returns the code and the detail.
func (e Error) Error() string { return string(e.Code) + ": " + below("", e.Detail) }

// Kind returns the kind of the problem. It must not be changed.
func (e Error) Kind() *Kind { return KindOf(string(e.Code)) }

// IsFailure reports whether the client did not cause the problem.
func (e Error) IsFailure() bool { return e.Kind().Status >= http.StatusInternalServerError }

// IsTransient reports whether the same request may succeed later.
func (e Error) IsTransient() bool { return e.Kind().Retry != Never }

// Document returns the problem as JSON, without a line feed at its end. It begins with what a
// person wants to know first: title, status and detail. Its type is a page below basePath, and
// instance is the id of the request; the other members follow in the order of their names. If a
// member cannot be encoded, Document returns the error and a document that says no more than that
// the gateway failed.
func (e Error) Document(basePath, instance string) ([]byte, error) {
	kind := e.Kind()
	document, err := kv.EncodeJSON(struct {
		Title    string `json:"title"`
		Status   int    `json:"status"`
		Detail   string `json:"detail"`
		Type     string `json:"type"`
		Instance string `json:"instance"`
	}{kind.Title, kind.Status, below(basePath, e.Detail),
		basePath + "/problems/" + string(kind.Code), instance})
	if err == nil && len(e.Members) > 0 {
		var members []byte
		members, err = kv.EncodeJSON(e.Members)
		document = append(document[:len(document)-1], ',')
		document = append(document, members[min(1, len(members)):]...)
	}
	if err != nil {
		return []byte(`{"title":"Internal error","status":500}`), err
	}
	return document, nil
}
