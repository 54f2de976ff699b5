package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

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
