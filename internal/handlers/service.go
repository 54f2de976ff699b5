package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"time"

	"github.com/go-chi/chi/v5"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// readinessTimeout bounds the wait for JetStream to answer a readiness check.
const readinessTimeout = 2 * time.Second

// getLiveness answers that the process serves requests. It asks nothing else, so that a liveness
// probe does not restart the gateway because NATS is away.
func getLiveness(x *exchange) error {
	return x.respondJSON(http.StatusOK, map[string]string{"status": "ok"})
}

// getReadiness answers whether JetStream is reachable and can store, and the gateway is not about
// to stop.
func (s *Server) getReadiness(x *exchange) error {
	if err := s.checkReady(); err != nil {
		return err
	}
	// The probe asks for the gateway itself, whatever else its client has asked for.
	own := bound.WithOwner(x.context(), "")
	ctx, cancel := context.WithTimeout(own, readinessTimeout)
	defer cancel()
	if err := s.client.Ready(ctx); err != nil {
		return kv.ErrUnavailable
	}
	return x.respondJSON(http.StatusOK, map[string]string{"status": "ready"})
}

// getVersion answers which build is running, and the version of the NATS server behind it.
func (s *Server) getVersion(x *exchange) error {
	return x.respondJSON(http.StatusOK, struct {
		BuildInfo
		Go         string `json:"go"`
		NATSServer string `json:"nats_server"`
	}{s.options.Build, runtime.Version(), s.client.ServerVersion()})
}

// getOpenAPIYAML answers the contract as YAML.
func (s *Server) getOpenAPIYAML(x *exchange) error {
	x.respond(http.StatusOK, []string{"application/yaml"}, s.yaml)
	return nil
}

// getOpenAPIJSON answers the contract as JSON.
func (s *Server) getOpenAPIJSON(x *exchange) error {
	x.respond(http.StatusOK, headerJSON, s.json)
	return nil
}

// getProblem answers what the code of a problem means and how to fix it, as a page or as JSON.
func (s *Server) getProblem(x *exchange) error {
	code, err := url.PathUnescape(chi.URLParam(x.request, "code"))
	kind := problem.KindOf(code)
	if err != nil || kind == nil {
		return s.notFound(x)
	}
	mediaType, err := negotiate(x.request.Header, "application/json", "text/html")
	if err != nil {
		return err
	}
	explanation := kind.Below(x.basePath)
	if mediaType == "application/json" {
		return x.respondJSON(http.StatusOK, explanation)
	}
	page, err := explanation.Page(x.basePath)
	if err != nil {
		return fmt.Errorf("problem page: %w", err)
	}
	x.respondPage(page)
	return nil
}

// checkReady returns why the gateway should get no requests although NATS answers; nil if it should
// get them.
func (s *Server) checkReady() error {
	if s.options.Draining() {
		return problem.New(problem.ShuttingDown)
	}
	if err := s.failure(); err != nil {
		return problem.Error{Code: problem.NATSUnavailable, Detail: refusesWrites(err)}
	}
	return nil
}
