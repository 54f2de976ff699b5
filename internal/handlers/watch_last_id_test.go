package handlers_test

import (
	"net/url"
	"strings"
	"testing"
)

// Polyfills of EventSource put the last id into the query in many ways. Whatever it is, a stream
// comes: it goes on where the id says, or begins with a reset. A polyfill that is refused never
// comes back.
func TestLastIDInTheQueryIsNeverRefused(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.shop(t)
		put(t, kv, "a", "1")
		older := g.idAtSync(t, "/buckets/shop/watch")
		// The feed is there already, and may be told of this later than its writer.
		last := g.idAtOrAfter(t, "/buckets/shop/watch", put(t, kv, "b", "2"))
		const unknown, goesOn, begins = "reset unknown-id", "sync", "put"
		old, id := url.QueryEscape(older), url.QueryEscape(last)
		long := strings.Repeat("x", 9000)
		for _, row := range []struct{ query, header, want string }{
			{"after=" + id, "", goesOn},
			{"lastEventId=" + id, "", goesOn},
			{"last_event_id=" + id, "", goesOn},
			{"Last-Event-ID=" + id, "", goesOn},
			// The last one counts, since each reconnect appends another.
			{"lastEventId=" + old + "&lastEventId=" + id, "", goesOn},
			{"after=" + old + "&after=" + id, "", goesOn},
			{"lastEventId=x&lastEventId=y&lastEventId=" + id, "", goesOn},
			{"lastEventId=" + id + "&lastEventId=" + old, "", begins},
			{"lastEventId=" + id + "&lastEventId=", "", goesOn},
			// The names of polyfills take precedence over the gateway's own, the header over all.
			{"after=" + old + "&lastEventId=" + id, "", goesOn},
			{"lastEventId=" + id + "&after=" + old, "", goesOn},
			{"after=" + id + "&last_event_id=&Last-Event-ID=", "", goesOn},
			{"after=" + old + "&lastEventId=nonsense", last, goesOn},
			{"after=" + id, " ", goesOn}, // The header is there, and empty.
			// An empty one is none.
			{"after=", "", begins},
			{"lastEventId=&last_event_id&Last-Event-ID=&after=", "", begins},
			// Nobody knows these.
			{"after=" + long, "", unknown},
			{"lastEventId=" + long + "&lastEventId=" + long, "", unknown},
			{"after=100%", "", unknown},
			{"lastEventId=%zz&after=" + id, "", unknown},
			{"lastEventId=a;b", "", unknown},
			{"lastEventId=%ff%00%0a", "", unknown},
			{"Last-Event-ID=%E2%80%A8", "", unknown},
			{"after=undefined", "", unknown},
			{"after=[object%20Object]", "", unknown},
			{"after=0", "", unknown},
			{"filter=%3E&after=" + id + "-x", "", unknown},
			{"", long, unknown},
		} {
			headers := []string{}
			if row.header != "" {
				headers = append(headers, "Last-Event-ID: "+row.header)
			}
			w := g.watch(t, "/buckets/shop/watch?"+row.query, headers...)
			if w.status != 200 {
				t.Errorf("%.100s, header %.20q: status %d", row.query, row.header, w.status)
				continue
			}
			b := w.next()
			for b.event == "bookmark" {
				b = w.next()
			}
			got := b.event
			if got == "reset" {
				got += " " + b.object(t)["reason"].(string)
			}
			if got != row.want {
				t.Errorf("%.100s, header %.20q: begins with %s, want %s",
					row.query, row.header, got, row.want)
			}
			w.close()
			several := strings.ReplaceAll(row.query, "filter=", "watch=config:")
			several = "/watch?watch=shop&" + several
			if w := g.watch(t, several, headers...); w.status != 200 {
				t.Errorf("%.100s: status %d", several, w.status)
			} else {
				w.close()
			}
		}
		// Other parameters are still checked, and only those of streams are never refused.
		for _, target := range []string{
			"/buckets/shop/watch?after=100%&heartbeat=%zz", "/buckets/shop/keys?limit=%zz",
			"/buckets/shop/watch?after=x&heartbeat=1s&heartbeat=2s",
			"/buckets/shop/watch?after=x&lasteventid=x", "/buckets/shop/keys?after=x",
		} {
			g.get(t, target).is(t, 400)
		}
	})
}

// A browser's tab would show a stream as text without an end, or nothing at all.
func TestTabOfABrowserIsToldHowToWatch(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "1")
	for _, accept := range []string{
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "text/html",
	} {
		for _, target := range []string{"/buckets/shop/watch", "/watch?watch=shop"} {
			p := g.get(t, target, "Accept: "+accept).problem(t, 406, "not-acceptable")
			detail := p["detail"].(string)
			for _, want := range []string{"EventSource", "addEventListener", "events=message"} {
				if !strings.Contains(detail, want) {
					t.Errorf("the detail lacks %s: %s", want, detail)
				}
			}
		}
	}
	for _, accept := range []string{
		"*/*", "text/html, text/event-stream", "application/json, text/plain, */*",
		"text/html;q=0.5, application/x-ndjson", "text/html;q=0, */*",
	} {
		w := g.watch(t, "/buckets/shop/watch", "Accept: "+accept)
		if w.status != 200 {
			t.Errorf("Accept: %s: status %d", accept, w.status)
		}
		w.close()
	}
}
