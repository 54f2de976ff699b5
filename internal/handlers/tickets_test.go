package handlers_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// clerkFile is an auth file in which ann may read orders, and bob may not watch at all.
const clerkFile = `
roles:
  clerk:
    - { bucket: shop, keys: ["orders.>"], can: [read, write] }
  getter:
    - { bucket: shop, can: [get] }
tokens:
  - { name: ann, sha256: %s, roles: [clerk] }
  - { name: bob, sha256: %s, roles: [getter] }
`

// bearer is the header with the token of a name.
func bearer(name string) string { return "Authorization: Bearer " + tokenOf(name) }

// ticketFor makes a ticket with the token of a name.
func (g *gateway) ticketFor(t testing.TB, name string, watches ...string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"watch": watches})
	if err != nil {
		t.Fatal(err)
	}
	ticket, _ := g.do(t, "POST", "/tickets", string(body), jsonType, bearer(name)).is(t, 200).
		object(t)["ticket"].(string)
	if ticket == "" {
		t.Fatal("the answer has no ticket")
	}
	return ticket
}

func TestStreamTakesATicketForItsWatches(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, clerkFile, "ann", "bob"))
	put(t, g.shop(t), "orders.1", "v")
	ticket := g.ticketFor(t, "ann", "shop:orders.*")
	for _, target := range []string{
		"/buckets/shop/watch?filter=orders.*&ticket=", "/watch?watch=shop:orders.1&ticket=",
	} {
		s := g.watch(t, target+ticket)
		if b := s.next(); b.event != "put" || b.object(t)["key"] != "orders.1" {
			t.Errorf("%s: the stream begins with %+v", target, b)
		}
	}
	for target, because := range map[string]string{
		"/buckets/shop/watch?ticket=":                        "all keys",
		"/buckets/shop/watch?filter=orders.>&ticket=":        "a wider filter",
		"/watch?watch=shop:orders.1&watch=shop:stock&ticket": "one more filter",
		"/watch?watch=shop:orders.1&watch=other&ticket":      "one more bucket",
		"/buckets/other/watch?filter=orders.1&ticket=":       "another bucket",
	} {
		target = strings.TrimSuffix(target, "=") + "=" + ticket
		if g.get(t, target).status != 403 {
			t.Errorf("a ticket was taken for %s", because)
		}
	}
}

// A ticket is no credential anywhere but at streams, neither in the query nor as a bearer.
func TestTicketIsGoodForStreamsAlone(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, clerkFile, "ann", "bob"))
	put(t, g.shop(t), "orders.1", "v")
	ticket := g.ticketFor(t, "ann", "shop:orders.>")
	for _, operation := range operations(t) {
		method, path, _ := strings.Cut(operation, " ")
		if strings.HasSuffix(path, "/watch") || !strings.HasPrefix(path, "/buckets") {
			continue
		}
		target := strings.NewReplacer("{bucket}", "shop", "{key}", "orders.1").Replace(path)
		g.do(t, method, target+"?ticket="+ticket, nil).is(t, 401)
		g.do(t, method, target, nil, "Authorization: Bearer "+ticket).is(t, 401)
		g.do(t, method, target, nil, "Cookie: __Host-kvgw-ticket="+ticket).is(t, 401)
	}
	g.do(t, "POST", "/tickets?ticket="+ticket, `{"watch":["shop:orders.>"]}`, jsonType).
		problem(t, 401, "unauthenticated")
}

func TestTicketNeedsTheRightToWatch(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, clerkFile, "ann", "bob"))
	ask := func(name, body string) *answer {
		return g.do(t, "POST", "/tickets", body, jsonType, bearer(name))
	}
	ask("bob", `{"watch":["shop:orders.1"]}`).problem(t, 403, "forbidden")
	ask("ann", `{"watch":["shop:stock"]}`).problem(t, 403, "forbidden")
	ask("ann", `{"watch":["shop:orders.1","nowhere"]}`).problem(t, 403, "forbidden")
	ask("ann", `{"watch":["shop:orders.1"]}`).is(t, 200)
	g.do(t, "POST", "/tickets", `{"watch":["shop:orders.1"]}`, jsonType).
		problem(t, 401, "unauthenticated")
}

func TestTicketRequestHasTheBoundsOfAStream(t *testing.T) {
	t.Parallel()
	g := start(t)
	for body, code := range map[string]string{
		``:                                "invalid-body",
		`[]`:                              "invalid-body",
		`{}`:                              "invalid-body",
		`{"watch":[]}`:                    "invalid-body",
		`{"watch":["shop"],"x":1}`:        "invalid-body",
		`{"watch":["a.b:>"]}`:             "invalid-bucket-name",
		`{"watch":["shop:a.>.b"]}`:        "invalid-filter",
		`{"watch":["shop:` + long + `"]}`: "invalid-body",
		`{"watch":[` + buckets(65) + `]}`: "invalid-body",
		`{"watch":[` + buckets(17) + `]}`: "invalid-body",
	} {
		g.do(t, "POST", "/tickets", body, jsonType).problem(t, 400, code)
	}
	g.do(t, "POST", "/tickets", `{"watch":[`+buckets(16)+`]}`, jsonType).is(t, 200)
	large := `{"watch":["` + strings.Repeat("a", 300<<10) + `"]}`
	g.do(t, "POST", "/tickets", large, jsonType).problem(t, 413, "body-too-large")
}

// long is more than fits into a ticket.
var long = strings.Repeat("a", 1000) + `","shop:` + strings.Repeat("b", 1000) + `","shop:` +
	strings.Repeat("c", 1000)

// buckets returns so many different watches, as JSON.
func buckets(n int) string {
	var watches []string
	for i := range n {
		watches = append(watches, fmt.Sprintf(`"b%d"`, i))
	}
	return strings.Join(watches, ",")
}

// A browser sends these bodies for a page of any site without asking first.
func TestSimpleRequestsMakeNothing(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for _, body := range []string{`{"watch":["shop"]}`, ""} {
		for _, header := range []string{
			"Content-Type: text/plain", "Content-Type: text/plain; a=application/json",
			"Content-Type: application/x-www-form-urlencoded",
			"Content-Type: multipart/form-data; boundary=application/json", "X-None: none",
			"Content-Type: application/json, text/plain", "Content-Type: application/jsonp",
		} {
			g.do(t, "POST", "/tickets", body, header).problem(t, 415, "unsupported-media-type")
		}
	}
	put(t, kv, "a", "v")
	for path, body := range map[string]string{
		"/buckets/shop/transactions": `{"operations":[{"op":"put","key":"a","text":"w"}]}`,
		"/buckets/shop/entries":      `{"key":"a","text":"w"}`,
	} {
		for _, header := range []string{
			"Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded",
			"Content-Type: multipart/form-data; boundary=x", "X-None: none",
		} {
			g.do(t, "POST", path, body, header).problem(t, 415, "unsupported-media-type")
		}
	}
	wantNative(t, kv, "a", "v")
}

// Nothing that the gateway logs or answers has the ticket or the token, whatever becomes of the
// request.
func TestTicketIsNeverLogged(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, clerkFile, "ann", "bob"), func(s *setup) {
		s.handlers.LogKeys = true
	})
	put(t, g.shop(t), "orders.1", "v")
	ticket := g.ticketFor(t, "ann", "shop:orders.>")
	g.watch(t, "/buckets/shop/watch?filter=orders.*&ticket="+ticket).close()
	bad := ticket[:len(ticket)-8] + "AAAAAAAA"
	var answers []*answer
	for _, target := range []string{
		"/buckets/shop/watch?ticket=" + bad, "/watch?watch=shop:orders.1&ticket=" + bad,
		"/buckets/shop/watch?ticket=" + ticket, "/buckets/shop/watch?x=1;&ticket=" + ticket,
		"/buckets/shop/watch?ticket=" + ticket + "%zz",
		"/buckets/shop/watches?ticket=" + ticket, "/buckets/shop/keys/a?ticket=" + ticket,
		"/watch/?ticket=" + ticket, "/version?ticket=" + ticket,
		"/buckets/shop/watch?filter=orders.1&heartbeat=0s&ticket=" + ticket,
	} {
		answers = append(answers, g.get(t, target))
	}
	answers = append(answers, g.do(t, "DELETE", "/watch?ticket="+ticket, nil))
	for _, a := range answers {
		if a.status < 400 {
			t.Errorf("%s: status %d", a.request, a.status)
		}
		for name, lines := range a.header {
			if strings.Contains(strings.Join(lines, ""), ticket[10:60]) {
				t.Errorf("%.40s: the header %s has the ticket", a.request, name)
			}
		}
		if strings.Contains(string(a.body), ticket[10:60]) {
			t.Errorf("%.40s: the answer has the ticket: %s", a.request, a.body)
		}
	}
	eventually(t, "all is logged", func() bool {
		return strings.Count(g.log.String(), `"message":"request"`) >= len(answers)+2
	})
	if log := g.log.String(); strings.Contains(log, ticket[10:60]) ||
		strings.Contains(log, tokenOf("ann")) {
		t.Errorf("the log has the ticket or the token: %s", log)
	}
}

// Without an auth file everybody may do everything, and a page that uses tickets works all the
// same; a ticket is still good for nothing else.
func TestTicketsWorkWithoutAnAuthFile(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	ticket := g.ticketFor(t, "", "shop:a")
	if b := g.watch(t, "/buckets/shop/watch?filter=a&ticket="+ticket).next(); b.event != "put" {
		t.Errorf("the stream begins with %+v", b)
	}
	g.get(t, "/buckets/shop/watch?ticket="+ticket).problem(t, 403, "forbidden")
	g.get(t, "/buckets/shop/watch?ticket=kvgt_x.y").problem(t, 401, "unauthenticated")
}

// secure serves a gateway over TLS until the test ends.
func (g *gateway) secure(t testing.TB) (base string, client *http.Client) {
	t.Helper()
	server := httptest.NewTLSServer(g.handler)
	t.Cleanup(server.Close)
	return server.URL, server.Client()
}

// ask sends a request to a gateway over TLS and returns the answer without reading a stream.
func ask(
	t testing.TB, client *http.Client, method, target, body string, headers ...string,
) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestTicketCookieIsForThisHostAndTLSAlone(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, clerkFile, "ann", "bob"))
	body := `{"watch":["shop:orders.>"]}`
	g.do(t, "POST", "/tickets?cookie=true", body, jsonType, bearer("ann")).
		problem(t, 400, "invalid-parameter")

	base, client := g.secure(t)
	response := ask(t, client, "POST", base+"/tickets?cookie=true", body, jsonType, bearer("ann"))
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || strings.Contains(string(answer), "kvgt_") {
		t.Fatalf("%d %s: %v", response.StatusCode, answer, err)
	}
	cookies := response.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("the answer sets %d cookies", len(cookies))
	}
	c := cookies[0]
	if c.Name != "__Host-kvgw-ticket" || !c.Secure || !c.HttpOnly || c.Path != "/" ||
		c.Domain != "" || c.SameSite != http.SameSiteStrictMode ||
		c.MaxAge < int(time.Hour/time.Second)-60 || c.MaxAge > int(time.Hour/time.Second) {
		t.Errorf("the cookie is %s", c.Raw)
	}
	if len(c.Name)+len(c.Value) > 4096 {
		t.Errorf("the cookie has %d bytes", len(c.Name)+len(c.Value))
	}
}

// Browsers add the cookie to requests that pages of other hosts of the same site send. Those must
// not get a stream.
func TestTicketCookieCountsForTheGatewaysOwnPages(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, clerkFile, "ann", "bob"), func(s *setup) {
		s.handlers.AllowOrigins = []string{"https://app.example.com"}
	})
	put(t, g.shop(t), "orders.1", "v")
	base, client := g.secure(t)
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	cookie := "Cookie: a=b; __Host-kvgw-ticket=" + g.ticketFor(t, "ann", "shop:orders.>")
	stream := base + "/buckets/shop/watch?filter=orders.*"
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{[]string{"Sec-Fetch-Site: same-origin"}, 200},
		{[]string{"Sec-Fetch-Site: none"}, 200},
		{nil, 200},
		{[]string{"Origin: https://" + u.Host}, 200},
		{[]string{"Sec-Fetch-Site: same-site", "Origin: https://app.example.com"}, 200},
		{[]string{"Sec-Fetch-Site: same-site"}, 403},
		{[]string{"Sec-Fetch-Site: cross-site"}, 403},
		{[]string{"Sec-Fetch-Site: same-site", "Origin: https://evil.example.com"}, 403},
		{[]string{"Origin: http://" + u.Host}, 403},
		{[]string{"Origin: null"}, 403},
		{[]string{"Origin: https://APP.example.com"}, 403},
		// A credential that is presented on purpose counts, and not the cookie.
		{[]string{"Sec-Fetch-Site: cross-site", bearer("ann")}, 200},
		{[]string{"Authorization: Bearer kvgw_nobody"}, 401},
	} {
		headers := append([]string{"Accept: text/event-stream", cookie}, c.headers...)
		if r := ask(t, client, "GET", stream, "", headers...); r.StatusCode != c.status {
			t.Errorf("%q: status %d, not %d", c.headers, r.StatusCode, c.status)
		}
	}
}

func TestTicketBesideAnotherCredentialIsRefused(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, clerkFile, "ann", "bob"))
	put(t, g.shop(t), "orders.1", "v")
	target := "/buckets/shop/watch?filter=orders.1&ticket=" +
		g.ticketFor(t, "ann", "shop:orders.>")
	g.get(t, target, bearer("ann")).problem(t, 400, "invalid-parameter")
	g.get(t, target, "Authorization: Basic YTpi").problem(t, 400, "invalid-parameter")
	// The ticket of the query comes before that of the cookie.
	s := g.watch(t, target, "Cookie: __Host-kvgw-ticket=kvgt_x.y")
	if s.status != 200 {
		t.Errorf("status %d", s.status)
	}
}

// A stream with a ticket is told before the ticket ends, and ends with the rights of the credential
// that the ticket stands for.
func TestStreamOfATicketEndsWithItsCredential(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		end := time.Now().Add(32 * time.Second).UTC().Format(time.RFC3339)
		g := startGuarded(t, []string{"soon > watch " + end, "ann > watch"}, form)
		g.shop(t)
		watch := func(name string) *eventStream {
			t.Helper()
			return g.watch(t, "/buckets/shop/watch?ticket="+g.ticketFor(t, name, "shop"))
		}
		soon, ann := watch("soon"), watch("ann")
		soon.awaitGoAway("auth-expiring")
		began := time.Now()
		g.change(t, "soon > watch")
		ann.awaitGoAway("permissions")
		within(t, began)
	})
}
