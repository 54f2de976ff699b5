package handlers

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
)

// An endpoint answers a request, or returns an error before it has written anything.
type endpoint func(w http.ResponseWriter, r *http.Request) error

// A route is an operation of the contract and the endpoint that carries it out.
type route struct {
	method, path string // the path as in api/openapi.yaml
	endpoint     endpoint
}

// routes is the whole surface. A path that ends in {key} takes all that follows as the key, encoded slashes or not.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/buckets", s.listBuckets},
		{"GET", "/buckets/{bucket}", s.getBucket},
		{"PUT", "/buckets/{bucket}", s.putBucket},
		{"PATCH", "/buckets/{bucket}", s.patchBucket},
		{"DELETE", "/buckets/{bucket}", s.deleteBucket},

		{"GET", "/buckets/{bucket}/keys", s.listKeys},
		{"DELETE", "/buckets/{bucket}/keys", s.deleteKeys},
		{"GET", "/buckets/{bucket}/keys/{key}", s.getValue},
		{"HEAD", "/buckets/{bucket}/keys/{key}", s.getValue},
		{"PUT", "/buckets/{bucket}/keys/{key}", s.putValue},
		{"PATCH", "/buckets/{bucket}/keys/{key}", s.patchValue},
		{"DELETE", "/buckets/{bucket}/keys/{key}", s.deleteValue},
		{"GET", "/buckets/{bucket}/entries", s.listEntries},
		{"POST", "/buckets/{bucket}/entries", s.importEntries},
		{"GET", "/buckets/{bucket}/entries/{key}", s.getEntry},
		{"GET", "/buckets/{bucket}/history/{key}", s.getHistory},
		{"GET", "/buckets/{bucket}/watch", s.watchBucket},
		{"GET", "/watch", s.watchBuckets},
		{"POST", "/buckets/{bucket}/transactions", s.transact},
		{"GET", "/buckets/{bucket}/markers", s.listMarkers},
		{"DELETE", "/buckets/{bucket}/markers", s.purgeMarkers},

		{"GET", "/healthz", s.getHealth},
		{"HEAD", "/healthz", s.getHealth},
		{"GET", "/readyz", s.getReadiness},
		{"HEAD", "/readyz", s.getReadiness},
		{"GET", "/version", s.getVersion},
		{"GET", "/openapi.yaml", s.getOpenAPIYAML},
		{"GET", "/openapi.json", s.getOpenAPIJSON},
		{"GET", "/problems/{code}", s.getProblem},
	}
}

// newRouter registers the routes, each with the checks that its operation in the contract asks for.
func (s *Server) newRouter(contract *openapi3.T) (chi.Router, error) {
	router := chi.NewRouter()
	router.Use(s.routeByEscapedPath)
	router.NotFound(s.handle("", nil, func(http.ResponseWriter, *http.Request) error { return errNoRoute }))
	router.MethodNotAllowed(s.handle("", nil, s.methodNotAllowed))
	for _, route := range s.routes() {
		item := contract.Paths.Value(route.path)
		if item == nil || item.GetOperation(route.method) == nil {
			return nil, fmt.Errorf("the contract lacks %s %s", route.method, route.path)
		}
		checks, err := newOperationChecks(contract, route.path, item, route.method)
		if err != nil {
			return nil, fmt.Errorf("contract: %s %s: %w", route.method, route.path, err)
		}
		router.Method(route.method, chiPattern(route.path), s.handle(route.path, checks, route.endpoint))
	}
	return router, nil
}

// chiPattern is a contract's path in chi's words: a key may hold slashes, which only a wildcard takes.
func chiPattern(path string) string { return strings.Replace(path, "{key}", "*", 1) }

// handle turns an endpoint into a handler: it checks the query and body against the contract and
// whether there is room to store, and writes the error.
func (s *Server) handle(path string, checks *operationChecks, e endpoint) http.HandlerFunc {
	observer := s.metrics.route(path)
	watches := strings.HasSuffix(path, "/watch")            // whose number is bounded by --max-streams
	works := watches || strings.HasPrefix(path, "/buckets") // and does not only say how the gateway is
	return func(w http.ResponseWriter, r *http.Request) {
		rec := w.(*recorder)
		rec.route, rec.checks, rec.request = observer, checks, r
		var err error
		if r.ProtoMajor > 1 {
			if err := s.place(r, &rec.place); err != nil {
				s.refuseHTTP2(rec, r, err)
				return
			}
			defer rec.place.Release()
		}
		if works {
			r, err = s.beginWork(rec, r)
			defer rec.turn.End()
		}
		if err == nil {
			rec.query, err = checks.query(r)
		}
		if err == nil {
			err = s.checkRoom(checks)
		}
		if err == nil {
			err = e(rec, r)
		}
		if err != nil {
			s.fail(rec, r, err)
		}
		if r.ProtoMajor > 1 && rec.bytes > 0 {
			rec.delivery().flush()
		}
	}
}

// routeByEscapedPath makes chi match the path as it came, so that an encoded slash stays part of a key, nothing is cleaned and
// nothing decoded twice.
func (s *Server) routeByEscapedPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, below := strings.CutPrefix(r.URL.EscapedPath(), s.options.BasePath)
		if !below || path == "" {
			path = "/"
		}
		chi.RouteContext(r.Context()).RoutePath = path
		next.ServeHTTP(w, r)
	})
}

// methodNotAllowed names the methods that the path does take (RFC 9110 §15.5.6).
func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) error {
	path := chi.RouteContext(r.Context()).RoutePath
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"} {
		if s.router.Match(chi.NewRouteContext(), method, path) {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return errNoRoute // a method that chi does not know, on a path that does not exist
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return errMethodNotAllowed
}
