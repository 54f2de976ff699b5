package handlers

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
)

// An endpoint answers a request. If it fails before it has written anything, it returns an error,
// which [Server.handle] answers as a problem document.
type endpoint func(x *exchange) error

// A route is an operation of the contract together with the endpoint that carries it out.
type route struct {
	// method is the HTTP method, and path the path as it is written in api/openapi.yaml.
	method, path string
	// endpoint answers the requests of this route.
	endpoint endpoint
}

// routes lists the whole HTTP surface. A path that ends in {key} takes everything that follows as
// the key, whether or not its slashes are encoded.
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
		{"POST", "/tickets", s.makeTicket},
		{"GET", "/access", s.getAccess},
		{"GET", "/status", s.getStatus},
		{"POST", "/buckets/{bucket}/transactions", s.transact},
		{"GET", "/buckets/{bucket}/markers", s.listMarkers},
		{"DELETE", "/buckets/{bucket}/markers", s.purgeMarkers},

		{"GET", "/", s.getIndex},
		{"HEAD", "/", s.getIndex},
		{"GET", "/livez", getLiveness},
		{"HEAD", "/livez", getLiveness},
		{"GET", "/healthz", getLiveness},
		{"HEAD", "/healthz", getLiveness},
		{"GET", "/readyz", s.getReadiness},
		{"HEAD", "/readyz", s.getReadiness},
		{"GET", "/version", s.getVersion},
		{"GET", "/openapi.yaml", s.getOpenAPIYAML},
		{"GET", "/openapi.json", s.getOpenAPIJSON},
		{"GET", "/problems/{code}", s.getProblem},
		{"GET", "/docs", s.getDocs},
		{"HEAD", "/docs", s.getDocs},
		{"GET", "/docs/{page}", s.getDocs},
		{"HEAD", "/docs/{page}", s.getDocs},
		{"GET", "/console", s.getConsole},
		{"HEAD", "/console", s.getConsole},
		{"GET", "/console/{file}", s.getConsole},
		{"HEAD", "/console/{file}", s.getConsole},
		{"GET", "/llms.txt", s.getOverview},
		{"HEAD", "/llms.txt", s.getOverview},
		{"GET", metadataPath, s.getResourceMetadata},
	}
}

// newRouter registers the routes, each with the checks of its operation in the contract.
func (s *Server) newRouter(contract *openapi3.T) (chi.Router, error) {
	router := chi.NewRouter()
	router.Use(s.routeByEscapedPath)
	router.NotFound(s.handle("", nil, s.notFound))
	router.MethodNotAllowed(s.handle("", nil, s.methodNotAllowed))
	for _, route := range s.routes() {
		item := contract.Paths.Value(route.path)
		if item == nil || item.GetOperation(route.method) == nil {
			return nil, fmt.Errorf("the contract lacks %s %s", route.method, route.path)
		}
		checks, err := newContractChecks(contract, route.path, item, route.method)
		if err != nil {
			return nil, fmt.Errorf("contract: %s %s: %w", route.method, route.path, err)
		}
		handler := s.handle(route.path, checks, route.endpoint)
		router.Method(route.method, chiPattern(route.path), handler)
	}
	return router, nil
}

// chiPattern returns a path of the contract as chi writes it. A key may hold slashes, which only a
// wildcard matches.
func chiPattern(path string) string { return strings.Replace(path, "{key}", "*", 1) }

// handle turns an endpoint into an http.HandlerFunc. Before it calls the endpoint, it takes a place
// among the requests over HTTP/2 that are being answered, and does what [Server.before] says. If
// one of these steps or the endpoint fails, the error becomes a problem document. The package
// comment has the whole life of a request.
func (s *Server) handle(path string, checks *contractChecks, e endpoint) http.HandlerFunc {
	observer := s.metrics.route(path)
	return func(w http.ResponseWriter, r *http.Request) {
		x := w.(*exchange) // ServeHTTP has made it, and the router passes it on.
		x.route, x.contract, x.request = observer, checks, r
		if r.ProtoMajor > 1 {
			if err := s.takeConnectionPlace(x); err != nil {
				s.refuseHTTP2(x, err)
				return
			}
			defer x.answeringPlace.Release()
		}
		defer func() { x.turn.End() }()
		err := s.before(x, needsCaller(path))
		if err == nil {
			err = e(x)
		}
		if err != nil {
			s.challenge(x, err)
			x.fail(err)
		}
		if r.ProtoMajor > 1 && x.bytes > 0 {
			x.delivery().flush()
		}
	}
}

// before does what comes before the endpoint: it looks for the caller, if the route needs one,
// checks the query against the contract, and refuses an operation that stores something while the
// store takes nothing. Requests about the gateway itself, such as /livez, need no caller and wait
// for no turn, since they must be answered under any load.
func (s *Server) before(x *exchange, needsCaller bool) (err error) {
	if needsCaller {
		if err := s.findCaller(x); err != nil {
			return err
		}
		if err := x.recheck(); err != nil { // The turn may have come late.
			return err
		}
	}
	if x.query, err = x.contract.query(x.request); err != nil {
		return err
	}
	return s.checkRoom(x.contract)
}

// findCaller waits for the request's turn at work, finds out who makes it, and counts it. The turn
// comes first: clients whose credentials are costly to refuse must take turns with the others, and
// the rights must not be those of before the wait.
func (s *Server) findCaller(x *exchange) error {
	if err := s.beginWork(x); err != nil {
		return err
	}
	err := s.identify(x)
	if full := s.countRequest(x); full != nil {
		return full
	}
	return err
}

// outsidePath stands for every path that is not below the base path. No route has it.
const outsidePath = "outside"

// routeByEscapedPath makes chi match the path as it was sent. An encoded slash stays part of its
// key, nothing is cleaned, redirected or decoded twice. A http.ServeMux would turn `DELETE
// /buckets/b/keys/..` into a redirect to the bucket. Only the documentation and the console,
// which have no names of others in their paths, are also there with a slash at the end.
func (s *Server) routeByEscapedPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, below := strings.CutPrefix(r.URL.EscapedPath(), s.options.BasePath)
		switch {
		case s.isMetadata(r.URL.EscapedPath()):
			path = metadataPath
		case below && path == "":
			path = "/"
		case !below || path[0] != '/':
			path = outsidePath
		case strings.HasPrefix(path, docsPath+"/"), path == consolePath+"/":
			path = strings.TrimSuffix(path, "/")
		}
		chi.RouteContext(r.Context()).RoutePath = path
		next.ServeHTTP(w, r)
	})
}
