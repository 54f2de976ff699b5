package handlers

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"kvgateway/internal/pages"
)

// docsPath is the path of the documentation, with or without a slash at its end.
const docsPath = "/docs"

// consolePath is the path of the web console, with or without a slash at its end.
const consolePath = "/console"

// getDocs answers a page of the documentation, or a file that the pages load. It looks the same to
// everybody, since it tells nothing of what is stored.
func (s *Server) getDocs(x *exchange) error {
	file, err := s.site.File(chi.URLParam(x.request, "page"))
	if err != nil {
		return err
	}
	if file == nil {
		return s.notFound(x)
	}
	x.respondFile(file)
	return nil
}

// getConsole answers the page of the web console, or a file that it loads, to everybody: they hold
// no data. What the console shows is what the API answers to its user.
func (s *Server) getConsole(x *exchange) error {
	file, err := s.console.File(chi.URLParam(x.request, "file"))
	if err != nil {
		return err
	}
	if file == nil {
		return s.notFound(x)
	}
	x.respondFile(file)
	return nil
}

// getOverview answers the list of all pages of the documentation, for programs that read them.
func (s *Server) getOverview(x *exchange) error {
	file, err := s.site.Overview()
	if err != nil {
		return err
	}
	x.respondFile(file)
	return nil
}

// respondFile sends a file of the documentation or the console, compressed if the client takes
// that.
func (x *exchange) respondFile(file *pages.File) {
	h := x.Header()
	if file.Policy != "" {
		h["Content-Security-Policy"] = []string{file.Policy}
	}
	h["Vary"] = append(slices.Clip(h["Vary"]), "Accept-Encoding")
	body := file.Body
	if takesGzip(x.request.Header) {
		h["Content-Encoding"] = []string{"gzip"}
		body = file.Compressed
	}
	x.respond(http.StatusOK, []string{file.ContentType}, body)
}

// takesGzip reports whether Accept-Encoding names gzip, and not with the weight 0 (RFC 9110
// §12.5.3). What stands for all codings, *, counts for none.
func takesGzip(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h["Accept-Encoding"], ","), ",") {
		coding, weight, _ := strings.Cut(strings.ReplaceAll(part, " ", ""), ";")
		if strings.EqualFold(coding, "gzip") {
			q, hasWeight := strings.CutPrefix(weight, "q=")
			return !hasWeight || strings.Trim(q, "0.") != ""
		}
	}
	return false
}
