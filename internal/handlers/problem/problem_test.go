package problem_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// A code without a row could not be answered.
func TestEveryCodeHasItsRow(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]int)
	for _, kind := range problem.Kinds() {
		rows[string(kind.Code)]++
	}
	codes := 0
	ast.Inspect(file, func(n ast.Node) bool {
		value, ok := n.(*ast.BasicLit)
		if !ok {
			return true
		}
		code, err := strconv.Unquote(value.Value)
		if codes++; err != nil || rows[code] != 1 {
			t.Errorf("%s has %d rows", value.Value, rows[code])
		}
		return true
	})
	if codes != len(rows) {
		t.Errorf("%d codes and %d rows", codes, len(rows))
	}
}

// What an error says is all that its client learns of it.
func TestErrorsHaveADetail(t *testing.T) {
	for _, kind := range problem.Kinds() {
		if kind.Err == nil {
			continue
		}
		if p := problem.Of(kind.Err); p.Code != kind.Code || p.Detail == "" {
			t.Errorf("%v: %s: %q", kind.Err, p.Code, p.Detail)
		}
	}
}

// If a write may have been carried out, that is what its client is told, whatever the cause is.
func TestOutcomeUnknownComesBeforeItsCause(t *testing.T) {
	for _, cause := range []error{kv.ErrUnavailable, kv.ErrTimeout, kv.ErrUnexpectedAnswer} {
		for _, err := range []error{
			fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, cause),
			fmt.Errorf("%w: %w", cause, kv.ErrOutcomeUnknown),
		} {
			if p := problem.Of(err); p.Code != problem.OutcomeUnknown || p.IsTransient() {
				t.Errorf("%v: %s, transient: %v", err, p.Code, p.IsTransient())
			}
		}
	}
}

// The JavaScript client gives a stream up after a refusal with 4xx, except for those that the table
// says may pass, and 425, which only a proxy answers (RFC 8470).
func TestClientTriesAgainWhatTheTableSays(t *testing.T) {
	want := map[int]bool{http.StatusTooEarly: true}
	for _, kind := range problem.Kinds() {
		if kind.Status < 500 && kind.Retry != problem.Never {
			want[kind.Status] = true
		}
	}
	client, err := os.ReadFile("../../../clients/js/src/problem.ts")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`const PASSING = \[(.*)\];`).FindSubmatch(client)
	if list == nil {
		t.Fatal("problem.ts has no PASSING")
	}
	got := make(map[int]bool)
	for _, status := range regexp.MustCompile(`\d+`).FindAllString(string(list[1]), -1) {
		n, _ := strconv.Atoi(status)
		got[n] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("the client tries again after %v, and the table says %v",
			slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// What stops a request half-way, or comes within an answer that has begun, must not say that
// nothing was done, nor speak of the header Retry-After.
func TestProblemsUnderwayClaimNothing(t *testing.T) {
	errs := []error{
		&kv.BucketNotFoundError{}, &kv.BucketNotFoundError{Origin: "o"}, &kv.EpochChangedError{},
		&kv.ValueTooLargeError{}, &kv.ValueTooLargeError{Limit: 9},
		&kv.ValueTooLargeError{Marker: 9},
		&kv.RevisionMismatchError{}, &kv.RevisionMismatchError{KeyExists: true},
		&kv.RevisionMismatchError{Current: kv.Position{Revision: 7}}, kv.ErrTooManyMessages,
		&kv.OutsideMirrorError{}, &kv.OutsideMirrorError{Holds: []string{"a"}},
		&kv.OutsideMirrorError{Through: "m"}, &bound.FullError{OfOwner: true},
		&bound.FullError{}, problem.New(problem.ShuttingDown),
		problem.New(problem.TooManyStreams), &kv.APIError{}, errors.New("unknown"),
	}
	for _, kind := range problem.Kinds() {
		// An Idempotency-Key is that of a single write.
		if kind.Err != nil && kind.Code != problem.IdempotencyReuse {
			errs = append(errs, kind.Err)
		}
	}
	claims := regexp.MustCompile(`(?i)nothing was|Retry-After`)
	for _, err := range errs {
		p := problem.Of(err).Underway(" Again!")
		again := p.IsTransient() && problem.Of(err).Midway != ""
		if claims.MatchString(p.Detail) || p.Detail == "" ||
			strings.HasSuffix(p.Detail, " Again!") != again {
			t.Errorf("%T %v: %s", err, err, p.Detail)
		}
		if twice := p.Underway(" Again!"); twice.Detail != p.Detail {
			t.Errorf("%v, told twice: %s", err, twice.Detail)
		}
	}
}
