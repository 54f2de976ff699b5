package handlers_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kvgateway/internal/handlers"
)

// operations returns "METHOD path" for every operation in the contract.
func operations(t testing.TB) []string {
	t.Helper()
	doc := contract(t)
	var found []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			found = append(found, method+" "+path)
		}
	}
	slices.Sort(found)
	return found
}

func TestRoutesAreTheContracts(t *testing.T) {
	t.Parallel()
	routes := handlers.Routes()
	slices.Sort(routes)
	if diff := cmp.Diff(operations(t), routes); diff != "" {
		t.Errorf("operations (-) and routes (+):\n%s", diff)
	}
}

// Every operation exists: a request for it reaches its endpoint.
func TestEveryOperationAnswers(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	for _, operation := range operations(t) {
		method, path, _ := strings.Cut(operation, " ")
		if path == metadata {
			continue // It is not there without an issuer of JWTs.
		}
		target := strings.NewReplacer("{bucket}", "shop", "{key}", "a", "{code}", "not-found",
			"{page}", "tour", "{file}", "console.js").
			Replace(path)
		if strings.HasSuffix(path, "/watch") {
			// The endpoint refuses this value. A stream would not end.
			target += "?heartbeat=0s"
		}
		a := g.do(t, method, target, nil)
		if a.status == http.StatusMethodNotAllowed || a.status == http.StatusNotFound &&
			method != http.MethodHead && codeOf(a.object(t)) == "not-found" {
			t.Errorf("%s: status %d: the operation has no route", operation, a.status)
		}
		if operation == "DELETE /buckets/{bucket}" ||
			operation == "DELETE /buckets/{bucket}/keys/{key}" {
			put(t, g.shop(t), "a", "v")
		}
	}
}

func TestMethodNotAllowedNamesTheAllowedOnes(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "v")
	doc := contract(t)
	for path, item := range doc.Paths.Map() {
		target := strings.NewReplacer("{bucket}", "shop", "{key}", "a", "{code}", "not-found",
			"{page}", "tour", "{file}", "console.js").
			Replace(path)
		for _, method := range []string{
			"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
			"MKCOL", "get", "QUERY",
		} {
			if item.GetOperation(strings.ToUpper(method)) != nil &&
				strings.ToUpper(method) == method {
				continue
			}
			// The header Allow is checked with the contract, as for every answer.
			a := g.do(t, method, target, nil).is(t, 405)
			if method != "HEAD" {
				a.problem(t, 405, "method-not-allowed")
			}
		}
	}
	wantNative(t, kv, "a", "v")
	// Headers that override the method in some frameworks have no effect.
	g.get(t, "/buckets/shop/keys/a", "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE").
		is(t, 200)
	wantNative(t, kv, "a", "v")
}
