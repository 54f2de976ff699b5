package handlers_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// accessLine is a line of the access log.
type accessLine struct {
	ID, Method, Route string
	Status            int
	Bytes             int64
	Duration          *float64 `json:"duration_ms"`
	Message           string
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
			line.Status != tc.status || line.Duration == nil || line.ID == "" {
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

// Metrics have labels from the contract, and never what clients write.
func TestMetricsAreLabelledByTheContract(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.CheckHost = true })
	put(t, g.shop(t), "secretkey", "v")
	count := func(route, method, status string) float64 {
		return g.metric(t, "kvgw_http_requests_total", map[string]string{
			"route": route, "method": method, "status": status,
		})
	}
	for i := range 5 {
		g.get(t, fmt.Sprintf("/buckets/shop/keys/secretkey%d", i)).is(t, 404)
		g.get(t, fmt.Sprintf("/secretpath%d", i)).is(t, 404)
		g.do(t, fmt.Sprintf("SECRET%d", i), "/buckets/shop", nil).is(t, 405)
		g.get(t, fmt.Sprintf("/buckets/secret%d", i)).is(t, 404)
	}
	g.get(t, "/buckets/shop/keys/secretkey").is(t, 200)
	eventually(t, "all are counted", func() bool {
		return count("/buckets/{bucket}/keys/{key}", "GET", "404") == 5 &&
			count("/buckets/{bucket}/keys/{key}", "GET", "200") == 1 &&
			count("/buckets/{bucket}", "GET", "404") == 5
	})
	families, err := g.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, operation := range operations(t) {
		_, path, _ := strings.Cut(operation, " ")
		known = append(known, path)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if strings.Contains(strings.ToLower(label.GetValue()), "secret") {
					t.Errorf("%s{%s=%q}", family.GetName(), label.GetName(), label.GetValue())
				}
				if label.GetName() == "route" && label.GetValue() != "" &&
					!slices.Contains(known, label.GetValue()) {
					t.Errorf("%s has the route %q, which the contract has not",
						family.GetName(), label.GetValue())
				}
			}
		}
	}
	g.get(t, "/healthz", "Host: elsewhere.example").problem(t, 421, "unknown-host")
	g.do(t, "PUT", "/buckets/shop/keys/a", "v", "Origin: https://elsewhere.example").
		problem(t, 403, "cross-site")
	eventually(t, "what is refused before it has a route is counted too", func() bool {
		return count("", "GET", "421") == 1 && count("", "PUT", "403") == 1
	})
	connected := func(name string) float64 {
		return g.metric(t, "kvgw_nats_connected", map[string]string{"connection": name})
	}
	connections := []string{"reads", "writes", "bulk", "feeds"}
	for _, name := range connections {
		eventually(t, "a connection shows", func() bool { return connected(name) == 1 })
	}
	g.wire.stop()
	for _, name := range connections {
		eventually(t, "the lost connection shows", func() bool { return connected(name) == 0 })
	}
}
