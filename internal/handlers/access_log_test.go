package handlers_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// accessLine is a line of the access log.
type accessLine struct {
	ID, Client, Method, Route string
	Bucket, Key               string
	Status                    int
	Bytes                     int64
	Duration                  *float64 `json:"duration_ms"`
	Message                   string
}

// accessLog returns the lines of the access log so far.
func (g *gateway) accessLog(t *testing.T) (found []accessLine) {
	t.Helper()
	for line := range strings.Lines(g.log.String()) {
		var l accessLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if l.Message == "request" {
			found = append(found, l)
		}
	}
	return found
}

func TestAccessLogShowsRoutesNotKeys(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.CheckHost = true })
	kv := g.shop(t)
	put(t, kv, "secretkey", "secretvalue")
	for _, tc := range []struct {
		method, target string
		body           any
		header         []string
		route          string
		status         int
	}{
		{"GET", "/buckets/shop/keys/secretkey", nil, nil, "/buckets/{bucket}/keys/{key}", 200},
		{"HEAD", "/buckets/shop/keys/secretkey", nil, nil, "/buckets/{bucket}/keys/{key}", 200},
		{"HEAD", "/buckets/shop/keys/secretkey2", nil, nil, "/buckets/{bucket}/keys/{key}", 404},
		{"GET", "/buckets/shop/keys/~?key=secretkey", nil, nil, "/buckets/{bucket}/keys/{key}",
			200},
		{"PUT", "/buckets/shop/keys/secretkey", "secretvalue",
			[]string{"Content-Type: text/secrettype", "Authorization: Bearer secrettoken"},
			"/buckets/{bucket}/keys/{key}", 200},
		{"GET", "/buckets/shop/keys/secretkey", nil, []string{"If-None-Match: *"},
			"/buckets/{bucket}/keys/{key}", 304},
		{"GET", "/buckets/shop/keys/secretkey", nil, []string{"Range: bytes=0-1"},
			"/buckets/{bucket}/keys/{key}", 206},
		{"GET", "/buckets/shop/keys?prefix=secretprefix", nil, nil, "/buckets/{bucket}/keys", 200},
		{"GET", "/buckets/shop/keys", nil, []string{"Accept: text/plain"}, "/buckets/{bucket}/keys",
			200},
		{"GET", "/buckets/shop/keys?secretparameter=1", nil, nil, "/buckets/{bucket}/keys", 400},
		{"GET", "/buckets/shop/entries/secretkey", nil, nil, "/buckets/{bucket}/entries/{key}",
			200},
		{"GET", "/buckets/shop/history/secretkey", nil, nil, "/buckets/{bucket}/history/{key}",
			200},
		{"GET", "/buckets/shop/keys/secretkey*", nil, nil, "/buckets/{bucket}/keys/{key}", 400},
		{"GET", "/buckets/secretbucket", nil, nil, "/buckets/{bucket}", 404},
		{"GET", "/secretpath", nil, nil, "", 404},
		{"POST", "/buckets/shop", nil, nil, "", 405},
		{"PUT", "/buckets/shop/keys/secretkey", "secretvalue",
			[]string{"Origin: https://secretorigin.example"}, "", 403},
		{"GET", "/healthz", nil, []string{"Host: secrethost.example"}, "", 421},
		{"secretmethod", "/healthz", nil, nil, "", 405},
		{"GET", "/healthz", nil,
			[]string{"Referer: https://secretreferer", "User-Agent: secretagent"}, "/healthz", 200},
	} {
		before := len(g.accessLog(t))
		a := g.do(t, tc.method, tc.target, tc.body, tc.header...).is(t, tc.status)
		eventually(t, "the request is logged", func() bool { return len(g.accessLog(t)) > before })
		lines := g.accessLog(t)
		line := lines[len(lines)-1]
		method := tc.method
		if method == "secretmethod" {
			method = "other"
		}
		if len(lines) != before+1 || line.Method != method || line.Route != tc.route ||
			line.Status != tc.status || line.Duration == nil ||
			line.ID != a.header.Get("X-Request-Id") || line.Client != "127.0.0.1" {
			t.Errorf("%s: logged as %+v (%d lines)", a.request, line, len(lines)-before)
		}
		if line.Bytes != int64(len(a.body)) {
			t.Errorf("%s: logged %d bytes, sent %d", a.request, line.Bytes, len(a.body))
		}
		if tc.status >= 400 && tc.method != "HEAD" {
			if instance := a.object(t)["instance"]; instance != line.ID {
				t.Errorf("%s: instance %v, logged under %s", a.request, instance, line.ID)
			}
		}
	}
	if log := g.log.String(); strings.Contains(log, "secret") {
		i := strings.Index(log, "secret")
		t.Errorf("the log shows %.60q", log[i:])
	}
	seen := make(map[string]bool)
	for _, line := range g.accessLog(t) {
		if seen[line.ID] {
			t.Errorf("id %s twice", line.ID)
		}
		seen[line.ID] = true
	}
}

// The cause of a failure is in the log, under the id that the problem has as its instance, and not
// in the answer.
func TestCausesAreLogged(t *testing.T) {
	t.Parallel()
	g, _ := warm(t)
	g.stopNATS(t)
	a := g.get(t, "/buckets/shop/keys/a").is(t, 503)
	id := a.object(t)["instance"].(string)
	cause := ""
	for line := range strings.Lines(g.log.String()) {
		var l struct{ ID, Problem, Error string }
		if json.Unmarshal([]byte(line), &l) == nil && l.ID == id && l.Error != "" {
			cause = l.Error
		}
	}
	if cause == "" {
		t.Errorf("nothing is logged of the cause under %s:\n%s", id, g.log.String())
	}
}
