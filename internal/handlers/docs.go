package handlers

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"kvgateway/internal/pages"
)

// docsPath is the path of the documentation, with or without a slash at its end.
const docsPath = "/docs"

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

// getOverview answers the list of all pages of the documentation, for programs that read them.
func (s *Server) getOverview(x *exchange) error {
	file, err := s.site.Overview()
	if err != nil {
		return err
	}
	x.respondFile(file)
	return nil
}

// respondFile sends a file of the documentation.
func (x *exchange) respondFile(file *pages.File) {
	if file.Policy != "" {
		x.Header()["Content-Security-Policy"] = []string{file.Policy}
	}
	x.respond(http.StatusOK, []string{file.ContentType}, file.Body)
}
