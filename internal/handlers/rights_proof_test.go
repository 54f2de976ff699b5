package handlers_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/internal/natstest"
)

// This is the proof that a caller without the right to a key learns nothing of it. Every operation
// of the contract is asked by callers whose rights end before the key, of buckets that differ in
// nothing but the state of that key: it has a value, it was deleted, or it was never written. All
// answers must be the same byte for byte, except for what differs between any two answers.

// provers is the auth file of the proof. Each caller is named by what it can do with secret.k,
// except for none, who has rights in other buckets alone, and other, who can do everything with
// another key of the same bucket.
const provers = `
roles:
  none: [{ bucket: elsewhere, can: [admin] }]
  other: [{ bucket: "p*", keys: ["other.>"], can: [read, write] }]
  put: [{ bucket: "p*", can: [put] }]
  delete: [{ bucket: "p*", can: [delete] }]
  list: [{ bucket: "p*", can: [list] }]
  watch: [{ bucket: "p*", can: [watch] }]
  get: [{ bucket: "p*", can: [get] }]
  op: [{ bucket: "*", can: [admin] }]
tokens:
  - { name: none, sha256: %s, roles: [none] }
  - { name: other, sha256: %s, roles: [other] }
  - { name: put, sha256: %s, roles: [put] }
  - { name: delete, sha256: %s, roles: [delete] }
  - { name: list, sha256: %s, roles: [list] }
  - { name: watch, sha256: %s, roles: [watch] }
  - { name: get, sha256: %s, roles: [get] }
  - { name: op, sha256: %s, roles: [op] }
`

// proverNames are the callers, beside op and one without a credential.
var proverNames = []string{"none", "other", "put", "delete", "list", "watch", "get"}

// A prover asks for the proof.
type prover struct {
	*gateway
	// sets counts the sets of buckets that were made.
	sets atomic.Int64
}

// The states of secret.k, by the last letter of the bucket's name. Each bucket has three messages,
// so that the numbers of the whole bucket are the same.
var proofStates = map[string][]string{
	"v": {"other.k", "secret.k", "filler"},
	"d": {"other.k", "secret.k", "-secret.k"},
	"n": {"other.k", "filler", "filler"},
}

// buckets makes a bucket for each state, and returns what their names have in common. With another
// letter, m, that is the name of a bucket that does not exist.
func (p *prover) buckets(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("p%03d", p.sets.Add(1))
	for state, writes := range proofStates {
		bucket := "/buckets/" + name + state
		p.do(t, "PUT", bucket, `{"history":10,"allow_atomic":true,"limit_marker_ttl":"1s"}`,
			jsonType, as("op")).is(t, 201)
		for _, key := range writes {
			if deleted, ok := strings.CutPrefix(key, "-"); ok {
				p.do(t, "DELETE", bucket+"/keys/"+deleted, nil, as("op")).is(t, 200)
				continue
			}
			p.do(t, "PUT", bucket+"/keys/"+key, "of "+key, as("op")).is(t, 200)
		}
	}
	return name
}

// ask sends a probe to the bucket of that name, and returns what counts of the answer.
func (p *prover) ask(t testing.TB, q *probe, caller, bucket string) string {
	t.Helper()
	named := func(text string) string {
		return strings.NewReplacer("/B", "/"+bucket, "=B", "="+bucket, `"B`, `"`+bucket).
			Replace(text)
	}
	header := append(slices.Clone(q.header), "X-Request-Id: proof")
	if caller != "nobody" {
		header = append(header, as(caller))
	}
	body := q.body
	if text, ok := body.(string); ok {
		body = named(text)
	}
	if strings.Contains(q.target, "watch") && q.method == "GET" {
		return p.askStream(t, named(q.target), header)
	}
	if q.twice {
		p.do(t, q.method, named(q.target), body, header...)
	}
	a := p.do(t, q.method, named(q.target), body, header...)
	return normalAnswer(a.status, a.header, a.body)
}

// askStream opens a stream of lines, and returns what counts of it up to its sync.
func (p *prover) askStream(t testing.TB, target string, header []string) string {
	t.Helper()
	s := p.session(t)
	defer s.conn.Close()
	if _, err := s.conn.Write(encode(p.address, "GET", target, nil, header)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(s.in, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer // The body does not end; its connection is closed.
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		body.Write(append(lines.Bytes(), '\n'))
		if bytes.Contains(lines.Bytes(), []byte(`"event":"sync"`)) {
			break
		}
	}
	return normalAnswer(response.StatusCode, response.Header, body.Bytes())
}

// What differs between any two answers: times, ids, epochs with the digests of their buckets, the
// names of the buckets, and how long a client is to wait.
var differing = []struct{ pattern, is string }{
	{`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`, "TIME"},
	{`"(id|ticket)":"[A-Za-z0-9_.-]{20,}"`, `"$1":"ID"`},
	{`([0-9]+)-[0-9a-z]{10}(\.[0-9a-z]{4})?(~[0-9a-z]+)?`, "$1-EPOCH"},
	{`"epoch":"[0-9a-z]{10}"`, `"epoch":"EPOCH"`},
	{`\bp[0-9]{3}[vdnm]\b`, "BUCKET"},
	{`"retry":[0-9]+`, `"retry":MS`},
}

var differingPatterns = func() (compiled []*regexp.Regexp) {
	for _, d := range differing {
		compiled = append(compiled, regexp.MustCompile(d.pattern))
	}
	return compiled
}()

// normalAnswer returns an answer as text, without what differs between any two.
func normalAnswer(status int, header http.Header, body []byte) string {
	header = header.Clone()
	header.Del("Date")
	if len(body) > 0 {
		header.Del("Content-Length") // that of times differs, and the body is compared
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%d\n", status)
	_ = header.Write(&text) // Writing to a buffer does not fail.
	text.Write(body)
	normal := text.String()
	for i, d := range differing {
		normal = differingPatterns[i].ReplaceAllString(normal, d.is)
	}
	return normal
}

// needsOf returns the actions of an operation.
func needsOf(t testing.TB, operation *openapi3.Operation) (needs []string) {
	t.Helper()
	if err := json.Unmarshal(extension(t, operation, "x-needs"), &needs); err != nil {
		t.Fatalf("x-needs of %s: %v", operation.OperationID, err)
	}
	return needs
}

// extension returns an extension of an operation as JSON; an empty list if it has none.
func extension(t testing.TB, operation *openapi3.Operation, name string) []byte {
	t.Helper()
	value, ok := operation.Extensions[name]
	if !ok {
		return []byte("[]")
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestNothingShowsOfAKeyWithoutTheRight is the proof.
func TestNothingShowsOfAKeyWithoutTheRight(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it asks each operation in each form as each caller")
	}
	names := make([]any, 0, len(proverNames)+1)
	for _, name := range append(slices.Clone(proverNames), "op") {
		names = append(names, name)
	}
	p := &prover{gateway: start(t, withAuth(t, provers, names...))}
	shared := p.buckets(t)
	var refused sync.Map // the probes that are refused in every state
	t.Run("operations", func(t *testing.T) {
		for path, item := range contract(t).Paths.Map() {
			for method, operation := range item.Operations() {
				probes := probesOf[operation.OperationID]
				if len(probes) == 0 {
					t.Errorf("%s %s (%s) has no probe", method, path, operation.OperationID)
				}
				for i := range probes {
					q := &probes[i]
					if q.needs == nil {
						q.needs = needsOf(t, operation)
					}
					t.Run(fmt.Sprintf("%s_%d", operation.OperationID, i), func(t *testing.T) {
						t.Parallel()
						for _, caller := range proversOf(i + len(operation.OperationID)) {
							if p.prove(t, q, caller, shared) {
								refused.Store(fmt.Sprint(operation.OperationID, i, caller),
									func() { p.ask(t, q, caller, shared+"v") })
							}
						}
					})
				}
			}
		}
	})
	// The feeds of streams that were open ask the server about their buckets now and then. What a
	// refused request sends it sends each time.
	count, sent := 0, 1
	for try := 0; try < 5 && sent > 0; try++ {
		count = 0
		sent = p.wire.requests(func() {
			refused.Range(func(_, again any) bool {
				again.(func())()
				count++
				return true
			})
		})
	}
	if count < natstest.Sized(300, 100) || sent != 0 {
		t.Errorf("%d messages were sent to NATS for %d requests that are refused", sent, count)
	}
	for state := range proofStates {
		if last := p.stream(t, shared+state).CachedInfo().State.LastSeq; last != 3 {
			t.Errorf("a request that is refused has changed the bucket %s: %d", state, last)
		}
	}
}

// proversOf returns the callers that a probe is asked as: all, or if tests are to be short two, of
// which the probe's number chooses one.
func proversOf(probe int) []string {
	if testing.Short() {
		return []string{proverNames[probe%len(proverNames)], "nobody"}
	}
	return append(slices.Clone(proverNames), "nobody")
}

// prove asks a probe as a caller in each state, and checks that the answers tell nothing. It
// reports whether the request is refused in all of them.
func (p *prover) prove(t *testing.T, q *probe, caller, shared string) (refused bool) {
	t.Helper()
	allowed := !slices.ContainsFunc(q.needs, func(action string) bool {
		return action != caller && !(action == "any" && caller == "list")
	})
	writes := q.method != "GET" && q.method != "HEAD"
	set := shared
	if allowed && len(q.needs) > 0 && writes {
		set = p.buckets(t) // as the answer to one request changes the state
	}
	answers := make(map[string][]string)
	for _, state := range []string{"v", "d", "n"} {
		answer := p.ask(t, q, caller, set+state)
		answers[answer] = append(answers[answer], state)
	}
	refused = len(answers) == 1
	for answer := range answers {
		refused = refused && (strings.HasPrefix(answer, "403") || strings.HasPrefix(answer, "401"))
	}
	knows := caller != "none" && caller != "nobody"
	shows := slices.ContainsFunc(q.needs, func(action string) bool {
		return action == "get" || action == "list" || action == "watch" || action == "any"
	})
	showing := q.elsewhere && knows || allowed && shows
	distinct := 1
	if q.conditional && allowed {
		distinct = 2
	}
	switch {
	case !knows && !q.elsewhere && len(q.needs) > 0 && !refused:
		t.Errorf("%s %s is not refused to %s, who has no right there", q.method, q.target, caller)
	case showing && refused:
		t.Errorf("%s %s is refused to %s, who may do it", q.method, q.target, caller)
	case !showing && len(answers) > distinct:
		t.Errorf("%s %s %q: the answers to %s differ by the state of the key:", q.method, q.target,
			q.header, caller)
		for answer, states := range answers {
			t.Errorf("%s: %s", states, answer)
		}
	}
	if missing := p.ask(t, q, caller, set+"m"); refused && answers[missing] == nil {
		t.Errorf("%s %s: %s learns whether there is such a bucket: %s", q.method, q.target,
			caller, missing)
	}
	return refused
}
