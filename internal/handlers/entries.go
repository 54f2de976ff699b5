package handlers

import (
	"net/http"
	"net/url"

	"kvgateway/internal/kvclient"
)

// getEntry answers one entry as JSON: value and metadata.
func (s *Server) getEntry(w http.ResponseWriter, r *http.Request) error {
	query := queryOf(w)
	e, have, err := s.readAffordably(w.(*recorder), query, 4*streamBuffer)
	if err != nil {
		return err
	}
	name, err := bucketName(r)
	if err != nil {
		return err
	}
	setEntryHeaders(w.Header(), &e)
	if have {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	out := newListWriter(w, "")
	return out.end(out.encode(&e, name, valueForm(query)), "\n")
}

// getHistory answers the retained revisions of a key, oldest first, markers included.
func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) error {
	query := queryOf(w)
	b, k, err := s.target(r, query)
	if err != nil {
		return err
	}
	form := valueForm(query)
	out := newListWriter(w, `{"entries":[`)
	err = b.History(r.Context(), k, func(e kvclient.Entry) error {
		return out.entry(&e, b.Name(), form)
	})
	return out.end(err, "]}\n")
}

// valueForm reads in which form the client wants values in JSON.
func valueForm(query url.Values) kvclient.ValueForm {
	switch query.Get("values") {
	case "json":
		return kvclient.ValueJSON
	case "base64":
		return kvclient.ValueBase64
	case "none":
		return kvclient.ValueNone
	}
	return kvclient.ValueByType
}
