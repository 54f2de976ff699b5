package handlers_test

import (
	"strconv"
	"testing"

	"kvgateway/internal/natstest"
)

// As many streams are open as may be, and no more. A browser is told so in a stream, since it would not come back otherwise.
func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.MaxStreams = 2 })
	g.shop(t)
	first := g.watch(t, "/buckets/shop/watch")
	first.until("sync")
	g.watch(t, "/watch?watch=shop").until("sync")
	refused := g.watch(t, "/buckets/shop/watch")
	wait, err := strconv.Atoi(refused.next().retry)
	if refused.status != 200 || err != nil || wait < 10_000 {
		t.Errorf("status %d, retry %d", refused.status, wait)
	}
	if p := refused.next(); p.event != "problem" || p.object(t)["type"] != "/problems/too-many-streams" {
		t.Errorf("told %+v", p)
	}
	if _, more := <-refused.blocks; more {
		t.Error("the refused stream goes on")
	}
	for _, target := range []string{"/buckets/shop/watch", "/watch?watch=shop"} {
		g.get(t, target, "Accept: application/x-ndjson").problem(t, 503, "too-many-streams")
		g.get(t, target+querySeparator(target)+"errors=status", "Accept: text/event-stream").has(t, "Retry-After", "1").problem(t, 503, "too-many-streams")
	}
	if open, refusals := g.metric(t, "kvgw_streams", nil), g.metric(t, "kvgw_streams_refused_total", nil); open != 2 || refusals != 5 {
		t.Errorf("%v streams are open and %v were refused", open, refusals)
	}
	first.close()
	natstest.Eventually(t, patience, "a place", func() bool { return g.metric(t, "kvgw_streams", nil) == 1 })
	g.watch(t, "/buckets/shop/watch").until("sync")
}

func querySeparator(target string) string {
	if target[:3] == "/wa" {
		return "&"
	}
	return "?"
}
