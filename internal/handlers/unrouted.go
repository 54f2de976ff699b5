package handlers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"kvgateway/internal/handlers/problem"
)

// methods are those that routes have, in the order in which they are offered.
var methods = []string{"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"}

// allowed returns the methods that a path takes; none if there is nothing at the path.
func (s *Server) allowed(path string) (found []string) {
	for _, method := range methods {
		if s.router.Match(chi.NewRouteContext(), method, path) {
			found = append(found, method)
		}
	}
	return found
}

// answerOptions answers OPTIONS *, which asks about the gateway as a whole and not about a resource
// (RFC 9110 §9.3.7): with the methods that one resource or another takes.
func (x *exchange) answerOptions() {
	x.Header()["Allow"] = []string{strings.Join(methods, ", ") + ", OPTIONS"}
	x.WriteHeader(http.StatusNoContent)
}

// notFound refuses a path that no route has, and says which one was probably meant.
func (s *Server) notFound(x *exchange) error {
	p, hint := problem.New(problem.NotFound), ""
	near := s.nearPath(x)
	switch path := chi.RouteContext(x.context()).RoutePath; {
	case near != "":
		hint = " (did you mean " + near + "?)"
		p.Members = problem.Members{"suggestion": near}
	case path == "/metrics", path == "/bounds", strings.HasPrefix(path, "/debug/pprof"):
		hint = "; metrics and profiles are on the listener that --admin-listen sets"
	}
	p.Detail = fmt.Sprintf("There is nothing at this path%s. %s/ leads to what there is, and the "+
		"contract at %[2]s/openapi.yaml lists all paths.", hint, s.options.BasePath)
	return p
}

// nearPath returns the path that was probably meant, below the base path; "" if none is near.
func (s *Server) nearPath(x *exchange) string {
	finder := pathFinder{exists: func(path string) bool { return len(s.allowed(path)) > 0 }}
	for _, route := range s.routes() {
		if !slices.Contains(finder.templates, route.path) {
			finder.templates = append(finder.templates, route.path)
		}
	}
	path := chi.RouteContext(x.context()).RoutePath
	if path == outsidePath {
		path = x.request.URL.EscapedPath()
		if len(path) > 1 && finder.leads(path) {
			return s.options.BasePath + path
		}
	}
	if near := finder.near(path); near != "" {
		return s.options.BasePath + near
	}
	return ""
}

// methodNotAllowed refuses a method that a path does not take. It names those that it takes, in
// Allow (RFC 9110 §15.5.6) and for people, and the one that was probably meant.
func (s *Server) methodNotAllowed(x *exchange) error {
	path, method := chi.RouteContext(x.context()).RoutePath, x.request.Method
	allowed := s.allowed(path)
	if len(allowed) == 0 {
		// The method is unknown to chi, and the path does not exist.
		return s.notFound(x)
	}
	x.Header()["Allow"] = []string{strings.Join(allowed, ", ")}
	p := problem.Error{
		Code: problem.MethodNotAllowed,
		Detail: fmt.Sprintf("This path takes %s, not %.20s. Nothing was done.",
			listed(allowed, "and"), method),
		Members: problem.Members{"methods": allowed},
	}
	if likely := s.likelyMethod(method, path, allowed); likely != "" {
		p.Detail += " Use " + likely + "."
		p.Members["suggestion"] = likely
	}
	return p
}

// likelyMethod returns the method that was probably meant, with the path if it is that of another
// resource; "" if nothing is likely.
func (s *Server) likelyMethod(method, path string, allowed []string) string {
	upper := strings.ToUpper(method)
	if slices.Contains(allowed, upper) {
		return upper // Methods are case-sensitive (RFC 9110 §9.1).
	}
	switch upper {
	case http.MethodHead:
		if slices.Contains(allowed, http.MethodGet) {
			return http.MethodGet
		}
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		for _, other := range []string{"PUT", "POST", "PATCH"} {
			if slices.Contains(allowed, other) {
				return other
			}
		}
		if member := s.likelyMember(path); member != "" {
			return member
		}
		return s.likelyWrite(upper, path)
	case http.MethodDelete:
		return s.likelyWrite(upper, path)
	}
	return ""
}

// likelyWrite returns how a key, or all keys of a filter, are changed, given the path at which
// their entries or their history can be read; "" if the path is none of these. Keys are written at
// one path only.
func (s *Server) likelyWrite(method, path string) string {
	parts := strings.SplitN(path, "/", 5)
	if len(parts) < 4 || parts[1] != "buckets" || parts[3] != "entries" && parts[3] != "history" {
		return ""
	}
	parts[3] = "keys"
	written := strings.Join(parts, "/")
	switch {
	case !hasNames(written):
		return ""
	case len(parts) == 4 && method == http.MethodDelete:
		written += "?filter={filter}"
	case len(parts) == 4:
		return ""
	case method == http.MethodPost:
		method = http.MethodPut
	}
	return method + " " + s.options.BasePath + written
}

// likelyMember returns how one of the things at a path is stored; "" if that is not possible.
func (s *Server) likelyMember(path string) string {
	if !s.router.Match(chi.NewRouteContext(), http.MethodPut, path+"/x") {
		return ""
	}
	member := "/{bucket}"
	if strings.Count(path, "/") > 1 {
		member = "/" + keyPattern
	}
	return http.MethodPut + " " + s.options.BasePath + path + member
}
