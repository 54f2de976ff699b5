package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/nats-io/nats.go/jetstream"
)

// Revisions are those of one JetStream stream, so they order what happens to different keys too.
func TestRevisionsRiseAcrossKeys(t *testing.T) {
	for name, tc := range map[string]struct {
		stored []storing
		wrong  int
	}{
		"rising":                    {[]storing{{"r/a", 1, 1, 2}, {"r/b", 2, 3, 4}}, 0},
		"the other order, together": {[]storing{{"r/a", 2, 1, 4}, {"r/b", 1, 2, 3}}, 0},
		"falling":                   {[]storing{{"r/a", 2, 1, 2}, {"r/b", 1, 3, 4}}, 1},
		"given twice":               {[]storing{{"r/a", 1, 1, 4}, {"r/b", 1, 2, 3}}, 1},
		"of two buckets":            {[]storing{{"r/a", 1, 1, 2}, {"s/a", 1, 3, 4}}, 0},
	} {
		if found := checkRevisions(tc.stored); len(found) != tc.wrong {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// A read that may lag reports what was true at some time. It may find nothing where there is
// something, but it finds nothing older than the revision that it asked for.
func TestWeakReadsAreChecked(t *testing.T) {
	order := []porcupine.Operation{
		call(10, 20, puts(1, condition{}), stored(5)),
		call(30, 40, puts(2, condition{}), stored(7)),
		call(50, 60, input{Op: remove}, stored(9))}
	first, second := doc{By: 1, Put: 1}, doc{By: 2, Put: 2}
	for name, tc := range map[string]struct {
		read  weakRead
		wrong bool
	}{
		"lagging": {weakRead{Return: 70, Kind: value, At: 5, Doc: first}, false},
		"at the least revision": {weakRead{Return: 70, Kind: value, At: 5, Doc: first, Min: 6},
			false},
		"before min_revision": {weakRead{Return: 70, Kind: value, At: 5, Doc: first, Min: 7},
			true},
		"marker":                  {weakRead{Return: 70, Kind: marker, At: 9, Min: 9}, false},
		"nothing yet":             {weakRead{Return: 70}, false},
		"nothing any more":        {weakRead{Return: 70, Min: 9}, true},
		"of the future":           {weakRead{Return: 25, Kind: value, At: 7, Doc: second}, true},
		"another value":           {weakRead{Return: 70, Kind: value, At: 5, Doc: second}, true},
		"an unknown revision":     {weakRead{Return: 70, Kind: value, At: 6, Doc: first}, true},
		"a deleted value is back": {weakRead{Return: 70, Kind: value, At: 9, Doc: first}, true},
	} {
		if reason := tc.read.wrong(versions(order)); (reason != "") != tc.wrong {
			t.Errorf("%s: %q", name, reason)
		}
	}
}

// A read that sees the effect of a write with unknown outcome shows its revision, and that it took
// effect before the read was answered.
func TestUnknownOutcomesAreResolvedByReads(t *testing.T) {
	calls := []porcupine.Operation{
		call(1, 0, puts(1, condition{}), lost),
		call(5, 9, get, shows(7, 1, 1, 0)),
		call(6, 8, get, shows(7, 1, 1, 0)),
		call(1, 0, puts(2, condition{}), lost)}
	resolved := resolve(calls, []weakRead{{Return: 7, Kind: value, At: 7, Doc: doc{By: 1, Put: 1}}})
	if r := resolved[0]; r.Return != 7 || r.Output.(output).Revision != 7 {
		t.Errorf("%+v", r)
	}
	if r := resolved[3]; r.Return != forever || r.Output.(output).Revision != 0 {
		t.Errorf("%+v", r)
	}
	if calls[0].Return != forever {
		t.Error("the history itself was changed")
	}
}

// Here two orders explain what the leader answered, and the read that may lag decides between them.
func TestWeakReadsDecideTheOrder(t *testing.T) {
	calls := []porcupine.Operation{
		call(1, 2, puts(1, condition{}), stored(5)),
		call(3, 0, puts(2, condition{}), lost),
		call(4, 5, input{Op: merge, ID: 3}, stored(7)),
		call(6, 7, puts(4, condition{}), stored(8))}
	for _, base := range []int{1, 2, 9} {
		reads := []weakRead{{Return: 9, Kind: value, At: 7, Doc: doc{By: 3, Put: base}}}
		result, info := porcupine.CheckOperationsVerbose(registerModel, resolve(calls, reads), 0)
		if want := base != 9; (result == porcupine.Ok) != want {
			t.Errorf("base %d: %v", base, result)
		} else if found := checkWeak("r/a", longest(info), reads); want && found != nil {
			t.Errorf("base %d: %v", base, found)
		}
	}
}

// A history that no order explains is drawn, and the list says where every order stops.
func TestUnexplainedHistoriesAreDrawn(t *testing.T) {
	h, dir := newHistory(), t.TempDir()
	h.calls["registers/r0"] = []porcupine.Operation{
		call(1, 2, puts(1, condition{}), stored(5)), call(3, 4, get, nothingAt)}
	h.calls["registers/r1"] = []porcupine.Operation{
		call(1, 2, puts(2, condition{}), stored(6)), call(3, 4, get, shows(6, 2, 2, 0))}
	v, err := h.judge(dir)
	if err != nil || v.keys != 2 || v.undecided != 0 || len(v.found) != 1 ||
		!strings.Contains(v.found[0].Text, "registers/r0") {
		t.Fatalf("%+v %v", v, err)
	}
	list, err := os.ReadFile(filepath.Join(dir, "registers_r0.txt"))
	if err != nil || !strings.Contains(string(list), "explains 1 of 2 operations") {
		t.Errorf("%s %v", list, err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "registers_r0.html"))
	if err != nil || len(page) == 0 {
		t.Error(err)
	}
}

func TestAnswersAreParsed(t *testing.T) {
	const aDoc = `{"by":1,"put":2,"n":3}`
	for name, tc := range map[string]struct {
		op     op
		status int
		tag    string
		code   string
		body   string
		want   output
		fails  bool
	}{
		"stored": {put, 200, `"7-e"`, "", `{"revision":7}`, stored(7), false},
		"created": {put, 201, `"7-e"`, "", `{"revision":7}`,
			output{Revision: 7, Created: true}, false},
		"disagrees": {put, 200, `"7-e"`, "", `{"revision":8}`, output{}, true},
		"no tag":    {put, 200, ``, "", `{"revision":7}`, output{}, true},
		"mismatch": {merge, 412, `"7-e"`, "revision-mismatch", `{"current_revision":7}`,
			inTheWay(7), false},
		"deleted":       {read, 404, `"7-e"`, "key-deleted", `{}`, gone(7), false},
		"never written": {remove, 404, `"0"`, "key-not-found", `{}`, nothingAt, false},
		"404 of a put":  {put, 404, `"0"`, "key-not-found", `{}`, output{}, true},
		"created patch": {merge, 201, `"7-e"`, "", `{"revision":7}`, output{}, true},
		"value":         {read, 200, `"7-e"`, "", aDoc, shows(7, 1, 2, 3), false},
		"entry": {read, 200, `"7-e"`, "", `{"bucket":"b","value":` + aDoc + `}`,
			shows(7, 1, 2, 3), false},
		"another's value": {read, 200, `"7-e"`, "", `{"by":1,"put":2,"n":3,"x":4}`, output{},
			true},
		"test failed": {increment, 409, ``, "patch-test-failed", `{}`,
			output{Outcome: testFailed}, false},
	} {
		a := &answer{status: tc.status, code: tc.code, body: []byte(tc.body),
			header: http.Header{"Etag": {tc.tag}}}
		got, err := parseAnswer(a, tc.op)
		if (err != nil) != tc.fails || err == nil && got != tc.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestFatesOfAnswers(t *testing.T) {
	for code, want := range map[string]fate{"": answered, "key-exists": answered,
		"outcome-unknown": open, "timeout": nothing, "nats-unavailable": nothing, "busy": nothing,
		"bucket-not-found": wrong, "internal": wrong} {
		if got := fateOf(&answer{code: code}, nil); got != want {
			t.Errorf("%q: %v", code, got)
		}
	}
	if fateOf(nil, errNotSent) != nothing || fateOf(nil, errors.New("reset")) != open {
		t.Error("a request that was cut is open, and one that was not sent did nothing")
	}
}

func TestCurrentRevisionOfARefusal(t *testing.T) {
	refusal := &jetstream.APIError{
		Code: 400, ErrorCode: 10071, Description: "wrong last sequence: 12"}
	if revision, refused := currentRevision(refusal); revision != 12 || !refused {
		t.Error(revision, refused)
	}
	for _, err := range []error{nil, errors.New("wrong last sequence: 12"),
		&jetstream.APIError{Code: 503, Description: "no"}} {
		if _, refused := currentRevision(err); refused {
			t.Error(err)
		}
	}
}
