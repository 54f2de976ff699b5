package handlers_test

import (
	"fmt"
	"strings"
	"testing"
)

// A path that is nearly right is answered with the right one, which there is.
func TestPathsThatAreNearlyRight(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/kv"} {
		g := start(t, func(s *setup) { s.handlers.BasePath = base })
		put(t, g.shop(t), "a", "v")
		for target, want := range map[string]string{
			"/bucket/shop":          "/buckets/shop",
			"/Buckets/shop":         "/buckets/shop",
			"/buckets/":             "/buckets",
			"/buckets/shop/":        "/buckets/shop",
			"/buckets/shop/key/a":   "/buckets/shop/keys/a",
			"/bucket/shop/key/a":    "/buckets/shop/keys/a",
			"/buckets/shop/a":       "/buckets/shop/keys/a",
			"/shop/keys/a":          "/buckets/shop/keys/a",
			"/buckets//shop/keys/a": "/buckets/shop/keys/a",
			"/openapi":              "/openapi.yaml",
			"/openapi.yml":          "/openapi.yaml",
			"/versions":             "/version",
			"/problem/not-found":    "/problems/not-found",

			"/problems/bucket-nt-found": "/problems/bucket-not-found",
			"/buckets/shop/entry/a":     "/buckets/shop/entries/a",
			"/buckets/shop/values/a":    "/buckets/shop/keys/a",
			"/buckets/shop/histori/a":   "/buckets/shop/history/a",
			"/api/buckets":              "/buckets",
			"/v1/buckets/shop/keys/a":   "/buckets/shop/keys/a",
			"/api/v1/buckets":           "/buckets",
			"/keys/shop/a":              "/buckets/shop/keys/a",
			"/keys/shop":                "/buckets/shop/keys",
		} {
			p := g.get(t, target).problem(t, 404, "not-found")
			if p["suggestion"] != base+want ||
				!strings.Contains(fmt.Sprint(p["detail"]), "did you mean "+base+want+"?") {
				t.Errorf("%s: %v, want %s", target, p, want)
			}
			g.get(t, want).is(t, 200)
		}
		for target, want := range map[string]string{
			"/buckets/shop/history": "/buckets/shop/history/{key}",
			"/buckets/shop/histori": "/buckets/shop/history/{key}",
			"/problems":             "/problems/{code}",
			"/watch/shop":           "/buckets/shop/watch",
			"/buckets/shop/wach":    "/buckets/shop/watch",
			"/buckets/shop/histry/": "/buckets/shop/history/{key}",
			"/buckets/shop/version": "/buckets/shop/keys/version",
		} {
			p := g.get(t, target).problem(t, 404, "not-found")
			if p["suggestion"] != base+want {
				t.Errorf("%s: %v, want %s", target, p, want)
			}
		}
		for _, target := range []string{
			"/buckets/shop/key/..", "/buckets/shop/%3Cscript%3E", "/buckets/shop/a*",
			"/buckets/a.b/key/a", "/shop/keys/..",
			"/nothing", "/problems/nothing", "/metrics", "/" + strings.Repeat("b", 5000),
			strings.Repeat("/b", 5000), "/buckets/" + strings.Repeat("/", 3000),
		} {
			p := g.get(t, target).problem(t, 404, "not-found")
			if p["suggestion"] != nil || strings.Contains(fmt.Sprint(p["detail"]), "did you mean") {
				t.Errorf("%.80s: %v", target, p)
			}
		}
		for _, target := range []string{"/buckets/shop/keys/", "/buckets/shop/entries/"} {
			p := g.get(t, target).problem(t, 400, "invalid-key")
			if !strings.Contains(fmt.Sprint(p["detail"]), "has no slash at its end") {
				t.Errorf("%s: %v", target, p)
			}
		}
		p := g.get(t, "/metrics").problem(t, 404, "not-found")
		if !strings.Contains(fmt.Sprint(p["detail"]), "--admin-listen") {
			t.Errorf("/metrics: %v", p["detail"])
		}
	}
}

// What lies outside the base path is found below it.
func TestPathWithoutTheBasePath(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.BasePath = "/kv" })
	s := g.session(t)
	defer s.conn.Close()
	s.do(t, "GET", "*", nil).problem(t, 404, "not-found")
	p := s.do(t, "GET", "/buckets/shop?limit=1", nil).problem(t, 404, "not-found")
	if p["suggestion"] != "/kv/buckets/shop" {
		t.Errorf("%v", p)
	}
}

// 405 says in its body which methods there are, and which one was probably meant.
func TestMethodThatWasMeantIsNamed(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	for request, want := range map[string]string{
		"POST /buckets/shop/keys/a":       "PUT",
		"put /buckets/shop/keys/a":        "PUT",
		"PUT /buckets/shop/transactions":  "POST",
		"PUT /buckets/shop/entries":       "POST",
		"POST /buckets":                   "PUT /buckets/{bucket}",
		"POST /buckets/shop/keys":         "PUT /buckets/shop/keys/{key}",
		"HEAD /buckets":                   "GET",
		"DELETE /buckets":                 "",
		"PROPFIND /buckets/shop/keys/a":   "",
		"POST /version":                   "",
		"POST /buckets/shop":              "PUT",
		"PUT /buckets/shop/entries/a":     "PUT /buckets/shop/keys/a",
		"PATCH /buckets/shop/entries/a":   "PATCH /buckets/shop/keys/a",
		"POST /buckets/shop/entries/a/b":  "PUT /buckets/shop/keys/a/b",
		"DELETE /buckets/shop/entries/a":  "DELETE /buckets/shop/keys/a",
		"DELETE /buckets/shop/history/a":  "DELETE /buckets/shop/keys/a",
		"DELETE /buckets/shop/history/..": "",
		"DELETE /buckets/shop/entries":    "DELETE /buckets/shop/keys?filter={filter}",
		"DELETE /buckets/shop/watch":      "",
		"OPTIONS /buckets/shop/entries/a": "",
	} {
		method, target, _ := strings.Cut(request, " ")
		a := g.do(t, method, target, nil).is(t, 405)
		if method == "HEAD" {
			continue
		}
		p := a.problem(t, 405, "method-not-allowed")
		suggestion, _ := p["suggestion"].(string)
		detail, allow := p["detail"].(string), a.header.Get("Allow")
		if suggestion != want || want != "" && !strings.Contains(detail, " Use "+want+".") {
			t.Errorf("%s: %v, want %s", request, p, want)
		}
		var methods []string
		for _, method := range p["methods"].([]any) {
			methods = append(methods, method.(string))
			if !strings.Contains(detail, method.(string)) {
				t.Errorf("%s: %s is not in %s", request, method, detail)
			}
		}
		if strings.Join(methods, ", ") != allow {
			t.Errorf("%s: methods %v, Allow %s", request, methods, allow)
		}
	}
}
