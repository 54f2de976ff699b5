package handlers

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"runtime"
	"time"

	"github.com/go-chi/chi/v5"

	"kvgateway/internal/kvclient"
)

// readinessTimeout bounds the question to JetStream whether it is there.
const readinessTimeout = 2 * time.Second

// getHealth tells that the process answers requests.
func (s *Server) getHealth(w http.ResponseWriter, r *http.Request) error {
	return respondJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// getReadiness tells whether JetStream answers and can store, and that the gateway is not about to stop.
func (s *Server) getReadiness(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkReady(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readinessTimeout)
	defer cancel()
	if err := s.client.Ready(ctx); err != nil {
		return kvclient.ErrUnavailable
	}
	return respondJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// getVersion tells what is running.
func (s *Server) getVersion(w http.ResponseWriter, r *http.Request) error {
	return respondJSON(w, http.StatusOK, struct {
		BuildInfo
		Go         string `json:"go"`
		NATSServer string `json:"nats_server"`
	}{s.options.Build, runtime.Version(), s.client.ServerVersion()})
}

func (s *Server) getOpenAPIYAML(w http.ResponseWriter, r *http.Request) error {
	respond(w, http.StatusOK, []string{"application/yaml"}, s.yaml)
	return nil
}

func (s *Server) getOpenAPIJSON(w http.ResponseWriter, r *http.Request) error {
	respond(w, http.StatusOK, headerJSON, s.json)
	return nil
}

// getProblem answers what a problem's code means, as a page or as JSON.
func (s *Server) getProblem(w http.ResponseWriter, r *http.Request) error {
	code, err := url.PathUnescape(chi.URLParam(r, "code"))
	kind, known := s.pages[code]
	if err != nil || !known {
		return errNoRoute
	}
	mediaType, err := negotiate(r.Header, "application/json", "text/html")
	if err != nil {
		return err
	}
	if mediaType == "application/json" {
		return respondJSON(w, http.StatusOK, kind)
	}
	var page bytes.Buffer
	if err := problemPage.Execute(&page, kind); err != nil {
		return fmt.Errorf("problem page: %w", err)
	}
	w.Header()["Content-Security-Policy"] = []string{"default-src 'none'; style-src 'unsafe-inline'"}
	respond(w, http.StatusOK, []string{"text/html; charset=utf-8"}, page.Bytes())
	return nil
}

var problemPage = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Code}}: {{.Title}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}code{font-size:.95em}</style>
<h1>{{.Title}}</h1>
<p><code>{{.Code}}</code>, HTTP status {{.Status}}</p>
<h2>What it means</h2>
<p>{{.Meaning}}</p>
<h2>What to do</h2>
<p>{{.Mend}}</p>
</html>
`))
