package handlers_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// The root tells a newcomer where to begin: a browser gets a page, and a program gets JSON. Nothing
// redirects, and every link leads somewhere.
func TestIndexLeadsToWhatThereIs(t *testing.T) {
	t.Parallel()
	for base, paths := range map[string][]string{"": {"/"}, "/kv": {"", "/"}} {
		g := start(t, func(s *setup) { s.handlers.BasePath, s.handlers.Build.Version = base, "v1" })
		for _, path := range paths {
			index := g.get(t, path).is(t, 200).has(t, "Content-Type", "application/json")
			if !strings.HasPrefix(string(index.body), "{\n  \"name\": \"KV Gateway\",\n  \"v") {
				t.Errorf("%s: %s", path, index.body)
			}
			for name, link := range index.object(t)["links"].(map[string]any) {
				if !strings.HasPrefix(fmt.Sprint(link), base+"/") {
					t.Errorf("%s is not below %s", link, base)
				}
				want := 200
				if name == "watch" {
					want = 400 // It wants to know what to watch.
				}
				g.get(t, strings.TrimPrefix(fmt.Sprint(link), base)).is(t, want)
			}
			page := g.get(t, path, "Accept: text/html,*/*;q=0.8").is(t, 200).
				has(t, "Content-Type", "text/html; charset=utf-8")
			wantStyleAllowed(t, page)
			href := regexp.MustCompile(`href="([^"]*)"`)
			links := href.FindAllStringSubmatch(string(page.body), -1)
			if len(links) < 50 {
				t.Errorf("%s: %d links", path, len(links))
			}
			for _, link := range links {
				g.get(t, strings.TrimPrefix(link[1], base)).is(t, 200)
			}
			for _, header := range []string{"Accept: */*", "Accept: text/html"} {
				g.do(t, "HEAD", path, nil, header).is(t, 200).hasBody(t, "")
			}
			g.get(t, path, "Accept: image/png").problem(t, 406, "not-acceptable")
			g.get(t, path+"?x=1").problem(t, 400, "unknown-parameter")
			g.do(t, "POST", path, nil).problem(t, 405, "method-not-allowed")
		}
	}
}

// wantStyleAllowed checks that the policy of a page allows its style, and nothing else.
func wantStyleAllowed(t *testing.T, page *answer) {
	t.Helper()
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindSubmatch(page.body)
	if style == nil {
		t.Fatalf("no style in %s", page.body)
	}
	hash := sha256.Sum256(style[1])
	want := "default-src 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(hash[:]) + "'"
	if policy := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, want) {
		t.Errorf("policy %s, want %s", policy, want)
	}
	if strings.Contains(string(page.body), "<script") {
		t.Errorf("a script in %s", page.body)
	}
}
