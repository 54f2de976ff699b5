package handlers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// An index is what there is at the gateway, for those who come without knowing. Its JSON is what /
// answers, and a browser gets it as a page.
type index struct {
	// Name is the name of the program.
	Name string `json:"name"`
	// Version is the release that is running.
	Version string `json:"version"`
	// Links are the paths to begin with.
	Links indexLinks `json:"links"`
}

// indexLinks are the paths of an index, each below the base path.
type indexLinks struct {
	Docs         string `json:"docs"`
	Console      string `json:"console,omitempty"`
	Buckets      string `json:"buckets"`
	Watch        string `json:"watch"`
	Access       string `json:"access"`
	Contract     string `json:"contract"`
	ContractJSON string `json:"contract_json"`
	Live         string `json:"live"`
	Ready        string `json:"ready"`
	Version      string `json:"version"`
}

// newIndex returns the index of a gateway below a base path.
func newIndex(basePath, version string) index {
	return index{Name: "KV Gateway", Version: version, Links: indexLinks{
		Docs:         basePath + "/docs/",
		Buckets:      basePath + "/buckets",
		Watch:        basePath + "/watch",
		Access:       basePath + "/access",
		Contract:     basePath + "/openapi.yaml",
		ContractJSON: basePath + "/openapi.json",
		Live:         basePath + "/livez",
		Ready:        basePath + "/readyz",
		Version:      basePath + "/version",
	}}
}

// getIndex answers what there is at the gateway: a page for a browser, and otherwise JSON, one link
// on a line.
func (s *Server) getIndex(x *exchange) error {
	mediaType, err := negotiate(x.request.Header, "application/json", "text/html")
	if err != nil {
		return err
	}
	index := newIndex(s.options.BasePath, s.options.Build.Version)
	if s.console != nil {
		index.Links.Console = s.options.BasePath + consolePath + "/"
	}
	if mediaType == "text/html" {
		page, err := index.page(s.options.BasePath)
		if err != nil {
			return fmt.Errorf("index page: %w", err)
		}
		x.respondPage(page)
		return nil
	}
	line, err := kv.EncodeJSON(index)
	if err != nil {
		return err
	}
	var lines bytes.Buffer
	if err := json.Indent(&lines, line, "", "  "); err != nil {
		return err
	}
	lines.WriteByte('\n')
	x.respond(http.StatusOK, headerJSON, lines.Bytes())
	return nil
}

// headerPageCSP lets a page have its own style and nothing else.
var headerPageCSP = func() []string {
	hash := sha256.Sum256([]byte(problem.PageStyle))
	return []string{"default-src 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(hash[:]) + "'; base-uri 'none'; form-action 'none'; " +
		"frame-ancestors 'none'"}
}()

// respondPage sends a page for people.
func (x *exchange) respondPage(page []byte) {
	x.Header()["Content-Security-Policy"] = headerPageCSP
	x.respond(http.StatusOK, []string{"text/html; charset=utf-8"}, page)
}

// page returns the index as a page.
func (i *index) page(basePath string) ([]byte, error) {
	var page bytes.Buffer
	err := indexTemplate.Execute(&page, struct {
		*index
		BasePath string
		Kinds    []problem.Kind
	}{i, basePath, problem.Kinds()})
	return page.Bytes(), err
}

// indexTemplate is the page of the index.
var indexTemplate = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Name}}</title>
<style>` + problem.PageStyle + `</style>
<h1>{{.Name}}</h1>
<p>NATS Key/Value over HTTP, version {{.Version}}. This is an API: its resources answer JSON and the
bytes of values.</p>
<h2>What there is</h2>
<dl>
{{with .Links.Console}}<dt><a href="{{.}}">{{.}}</a></dt>
<dd>The console: look at buckets, keys and values in this browser, and change them.</dd>
{{end}}<dt><a href="{{.Links.Docs}}">{{.Links.Docs}}</a>,
<a href="{{.Links.Docs}}api/">{{.Links.Docs}}api/</a></dt>
<dd>The documentation: a tour, what everything means, and the API to read and to try.</dd>
<dt><a href="{{.Links.Buckets}}">{{.Links.Buckets}}</a></dt>
<dd>The buckets. The keys of one are at <code>{{.Links.Buckets}}/NAME/keys</code>, and a value is at
<code>{{.Links.Buckets}}/NAME/keys/KEY</code>.</dd>
<dt><code>{{.Links.Buckets}}/NAME/watch</code></dt>
<dd>The changes of a bucket, as Server-Sent Events. Several buckets are watched at
<code>{{.Links.Watch}}?watch=NAME</code>.</dd>
<dt><a href="{{.Links.Access}}">{{.Links.Access}}</a></dt>
<dd>Who you are to the gateway, and what you may do.</dd>
<dt><a href="{{.Links.Contract}}">{{.Links.Contract}}</a>,
<a href="{{.Links.ContractJSON}}">{{.Links.ContractJSON}}</a></dt>
<dd>The contract (OpenAPI 3.0): every operation, for people and for generators of clients.</dd>
<dt><a href="{{.Links.Live}}">{{.Links.Live}}</a>, <a href="{{.Links.Ready}}">{{.Links.Ready}}</a>,
<a href="{{.Links.Version}}">{{.Links.Version}}</a></dt>
<dd>Whether the process is alive, whether it can serve requests, and which build it is.</dd>
</dl>
<h2>Problems</h2>
<p>The <code>type</code> of an error leads to its explanation:</p>
<ul>
{{range .Kinds}}<li><a href="{{$.BasePath}}/problems/{{.Code}}">{{.Code}}</a> {{.Status}},
{{.Title}}</li>
{{end}}</ul>
</html>
`))
