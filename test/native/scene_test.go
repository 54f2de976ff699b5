package native

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// A scenario is one thing that a native client and HTTP do together. It is the same for every
// client.
type scenario struct {
	name string
	// what describes the scenario in the README.
	what string
	// run does it, in a bucket of its own.
	run func(s *scene)
	// overHTTP does the same over HTTP alone. It runs for clients that cannot do it.
	overHTTP func(s *scene)
}

// check runs a scenario and compares whether the client could do it with what is known of it.
func (sc scenario) check(t *testing.T, c *client, g *gateway, a *adapter) {
	s := &scene{t, g, a, c.name + "_" + sc.name}
	refused := s.attempt(sc.run)
	switch known, declared := c.cannot[sc.name]; {
	case t.Failed():
	case refused == "" && declared:
		t.Errorf("%s can do this now: take it off its list in clients_test.go", c.library)
	case refused != known:
		t.Errorf("%s cannot do this: %q; known of it: %q", c.library, refused, known)
	case refused != "":
		t.Logf("cannot: %s", refused)
		s.bucket += "_http"
		sc.overHTTP(s)
	}
}

// A scene has what a scenario needs.
type scene struct {
	t       *testing.T
	gateway *gateway
	adapter *adapter
	bucket  string
}

// A refusal is what a scene panics with when the client cannot go on.
type refusal string

// attempt runs a scenario and returns why the client could not go on, or "".
func (s *scene) attempt(run func(*scene)) (reason string) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case refusal:
			reason = string(cause)
		default:
			panic(cause)
		}
	}()
	run(s)
	return ""
}

// cannot ends the scenario, since the client cannot do it.
func (s *scene) cannot(reason string) { panic(refusal(reason)) }

// native has the client do something. If it has no method for it the scenario ends.
func (s *scene) native(command ...string) reply {
	s.t.Helper()
	got, err := s.adapter.ask(command...)
	if err != nil {
		s.t.Fatal(err)
	}
	if got.kind == "cannot" {
		s.cannot(got.fields[0])
	}
	return got
}

// want has the client do something, and fails the test unless it comes to that kind of answer. It
// returns the fields.
func (s *scene) want(kind string, command ...string) []string {
	s.t.Helper()
	got := s.native(command...)
	if got.kind != kind {
		text := reply{command[0], command[1:]}
		s.t.Fatalf("native %v: %v; want %s", text, got, kind)
	}
	return got.fields
}

// wantOrCannot has the client do something that some clients cannot do, and returns the fields of
// the answer. It ends the scenario if the answer is the error that says so, and fails the test if
// it is any other.
func (s *scene) wantOrCannot(text, reason string, command ...string) []string {
	s.t.Helper()
	got := s.native(command...)
	if got.kind == "error" && strings.Contains(got.fields[0], text) {
		s.cannot(reason)
	}
	if got.kind != "ok" {
		s.t.Fatalf("native %s: %v; want ok, or an error with %q", command[0], got, text)
	}
	return got.fields
}

// revision returns the revision with which a native write was answered.
func (s *scene) revision(command ...string) string {
	s.t.Helper()
	fields := s.want("ok", command...)
	if len(fields) != 1 {
		s.t.Fatalf("native %s: %q instead of a revision", command[0], fields)
	}
	return fields[0]
}

// wantEntry fails the test unless the client reads that value with that revision.
func (s *scene) wantEntry(key, revision, value string) {
	s.t.Helper()
	got := s.want("ok", "get", key)
	if text := string(fromHex(s.t, got[1])); got[0] != revision || text != value {
		s.t.Fatalf("native get of %.40q: revision %s, %.40q; want %s, %.40q",
			key, got[0], text, revision, value)
	}
}

// http sends a request about the bucket: path comes behind its name.
func (s *scene) http(status int, method, path, body string, headers ...string) answer {
	s.t.Helper()
	got, err := s.gateway.do(method, "/buckets/"+s.bucket+path, []byte(body), headers)
	if err != nil {
		s.t.Fatal(err)
	}
	if got.status != status {
		s.t.Fatalf("%s %.80s %v: %d %.400s; want %d",
			method, path, headers, got.status, got.body, status)
	}
	return got
}

// put writes a value over HTTP and returns its revision.
func (s *scene) put(path, value string, headers ...string) string {
	s.t.Helper()
	got, err := s.gateway.do("PUT", "/buckets/"+s.bucket+"/keys/"+path, []byte(value), headers)
	if err != nil {
		s.t.Fatal(err)
	}
	if got.status != 200 && got.status != 201 {
		s.t.Fatalf("PUT %.80s: %d %.400s", path, got.status, got.body)
	}
	return s.written(got)
}

// written returns the revision with which a write over HTTP was answered.
func (s *scene) written(a answer) string {
	s.t.Helper()
	var written struct{ Revision uint64 }
	s.decode(a, &written)
	return strconv.FormatUint(written.Revision, 10)
}

// wantValue fails the test unless a GET has that value with that revision.
func (s *scene) wantValue(key, revision, value string) {
	s.t.Helper()
	got := s.http(200, "GET", "/keys/"+key, "")
	if r := got.header.Get("KV-Revision"); r != revision || string(got.body) != value {
		s.t.Fatalf("GET %.40q: revision %s, %.40q; want %s, %.40q",
			key, r, got.body, revision, value)
	}
}

// wantGone fails the test unless a GET says that the key has no value, by this operation ("" for a
// key of which nothing is left).
func (s *scene) wantGone(key, operation string) {
	s.t.Helper()
	got := s.http(404, "GET", "/keys/"+key, "")
	if op := got.header.Get("KV-Operation"); op != operation {
		s.t.Fatalf("GET %s: KV-Operation %q; want %q: %s", key, op, operation, got.body)
	}
}

// decode reads the JSON of an answer.
func (s *scene) decode(a answer, into any) {
	s.t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		s.t.Fatalf("%v in %.200s", err, a.body)
	}
}

// create creates the scenario's bucket over HTTP and has the client bind it.
func (s *scene) create(config string) {
	s.t.Helper()
	s.http(201, "PUT", "", config)
	s.want("ok", "bind", s.bucket)
}

// text returns a value as commands have it.
func text(value string) string { return toHex([]byte(value)) }
