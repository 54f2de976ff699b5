package handlers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// linesOf returns the lines of an answer in NDJSON, each as an object.
func linesOf(t testing.TB, a *answer) []map[string]any {
	t.Helper()
	a.is(t, 200).has(t, "Content-Type", "application/x-ndjson")
	return parseLines(t, a.body)
}

// claimsNothing finds what a problem must not say once something was done or an answer has begun:
// that nothing was done, and headers that the client does not get.
var claimsNothing = regexp.MustCompile(`(?i)nothing was|Retry-After`)

// checkMidway checks the words of a problem in an answer that has begun, or that says what was
// done.
func checkMidway(t testing.TB, problem map[string]any) {
	t.Helper()
	if detail := fmt.Sprint(problem["detail"]); claimsNothing.MatchString(detail) {
		t.Errorf("in the middle of an answer, or after something was done: %s", detail)
	}
}

// parseLines returns the objects of a body in NDJSON, whose last line must be complete.
func parseLines(t testing.TB, body []byte) []map[string]any {
	t.Helper()
	if len(body) > 0 && body[len(body)-1] != '\n' {
		t.Errorf("the last line has no end: %.300q", body[max(0, len(body)-300):])
	}
	var found []map[string]any
	for line := range bytes.Lines(body) {
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.UseNumber()
		var object map[string]any
		if err := decoder.Decode(&object); err != nil {
			t.Fatalf("line %.300q: %v", line, err)
		}
		if problem, ok := object["problem"].(map[string]any); ok {
			checkMidway(t, problem)
		}
		found = append(found, object)
	}
	return found
}

// An export is what the answer to an export in NDJSON says.
type export struct {
	// body is the answer, which can be imported.
	body []byte
	// entries has each entry by its key.
	entries map[string]map[string]any
	// end is the last line.
	end map[string]any
}

// export exports the target and checks that each key comes once.
func (g *gateway) export(t testing.TB, target string) export {
	t.Helper()
	a := g.get(t, target, asLines)
	found := linesOf(t, a)
	x := export{body: a.body, entries: make(map[string]map[string]any), end: found[len(found)-1]}
	for _, entry := range found[:len(found)-1] {
		key := entry["key"].(string)
		if x.entries[key] != nil {
			t.Errorf("%s: %s comes twice", target, key)
		}
		x.entries[key] = entry
	}
	if x.end["end"] != true || fmt.Sprint(x.end["count"]) != fmt.Sprint(len(found)-1) {
		t.Errorf("%s: %d entries, and at the end %v", target, len(found)-1, x.end)
	}
	return x
}

// An imported is what the answer to an import says.
type imported struct {
	// lines are all lines of the answer.
	lines []map[string]any
	// failed has the codes of the refused lines, by their numbers.
	failed map[int]string
	// progress has the numbers of lines that were acknowledged while the import went on.
	progress []int
	// last is the last line, which has the counts or a problem.
	last map[string]any
}

// wantDone checks that an import was completed, and its counts.
func (i imported) wantDone(t testing.TB, stored, failed int) {
	t.Helper()
	if i.last["done"] != true || fmt.Sprint(i.last["stored"]) != fmt.Sprint(stored) ||
		fmt.Sprint(i.last["failed"]) != fmt.Sprint(failed) {
		t.Errorf("import: %v, want %d stored and %d failed", i.last, stored, failed)
	}
}

// load imports a body of lines.
func (g *gateway) load(t testing.TB, target, body string) imported {
	t.Helper()
	s := g.session(t)
	// Some tests load 80 MB.
	if err := s.conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		t.Fatal(err)
	}
	return readImport(t, linesOf(t, s.do(t, "POST", target, body, lineType)))
}

// readImport reads the lines of an answer to an import.
func readImport(t testing.TB, lines []map[string]any) imported {
	t.Helper()
	i := imported{lines: lines, failed: make(map[int]string)}
	for _, line := range lines {
		number := func(name string) int {
			n, err := line[name].(json.Number).Int64()
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		problem, isProblem := line["problem"].(map[string]any)
		switch {
		case line["line"] != nil && isProblem:
			i.failed[number("line")] = codeOf(problem)
		case line["progress"] != nil:
			i.progress = append(i.progress, number("progress"))
		}
	}
	if len(lines) > 0 {
		i.last = lines[len(lines)-1]
	}
	return i
}

// wantFailed checks which lines were refused, and for which codes.
func (i imported) wantFailed(t testing.TB, want map[int]string) {
	t.Helper()
	if fmt.Sprint(i.failed) != fmt.Sprint(want) {
		t.Errorf("refused %v, want %v", i.failed, want)
	}
}

// manyLines returns a body with the lines of n keys, k.0 to k.n-1.
func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"key":"k.%d","text":"value of %d"}`+"\n", i, i)
	}
	return b.String()
}
