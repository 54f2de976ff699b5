package handlers_test

import (
	"strings"
	"testing"

	"kvgateway/internal/console"
)

// The console is at /console and /console/, and nothing redirects. Its files hold no data, so they
// may be read without a credential, and a policy keeps what the page may load.
func TestConsoleIsThereForEverybody(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/kv"} {
		g := start(t, withAuth(t, "nats: { enabled: true }"),
			func(s *setup) { s.handlers.BasePath, s.handlers.Console = base, console.Read })
		page := g.get(t, "/console").is(t, 200).has(t, "Content-Type", "text/html; charset=utf-8")
		g.get(t, "/console/").is(t, 200).hasBody(t, string(page.body))
		g.do(t, "HEAD", "/console", nil).is(t, 200).hasBody(t, "")
		policy := page.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") ||
			strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("policy %s", policy)
		}
		for _, part := range []string{
			`data-base="` + base + `"`, `data-mode="read"`,
			`src="` + base + `/console/console.js"`,
		} {
			if !strings.Contains(string(page.body), part) {
				t.Errorf("below %q the page lacks %s", base, part)
			}
		}
		for name, mediaType := range map[string]string{
			"console.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
			"console.css": "text/css; charset=utf-8", "editor.js": "text/javascript; charset=utf-8",
			"kvgateway.js": "text/javascript; charset=utf-8",
		} {
			g.get(t, "/console/"+name).is(t, 200).has(t, "Content-Type", mediaType)
			g.get(t, "/console/"+name, "Accept-Encoding: gzip").is(t, 200).
				has(t, "Content-Encoding", "gzip")
		}
		if links := g.get(t, "/").object(t)["links"].(map[string]any); links["console"] !=
			base+"/console/" {
			t.Errorf("the index leads to the console at %v", links["console"])
		}
	}
}

// Without a console nothing is at its addresses, and nothing leads there.
func TestConsoleCanBeOff(t *testing.T) {
	t.Parallel()
	for _, mode := range []console.Mode{console.Off, ""} {
		g := start(t, func(s *setup) { s.handlers.Console = mode })
		for _, path := range []string{"/console", "/console/", "/console/console.js"} {
			g.get(t, path).problem(t, 404, "not-found")
		}
		for _, accept := range []string{"application/json", "text/html"} {
			if index := g.get(t, "/", "Accept: "+accept); strings.Contains(string(index.body),
				"console") {
				t.Errorf("the index as %s names the console", accept)
			}
		}
	}
}
