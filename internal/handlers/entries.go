package handlers

import (
	"errors"
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
		if len(e.Value) >= kvclient.LargeValue && form != kvclient.ValueNone {
			gone, err := out.rec.affordEntry(b, k, &e)
			if err != nil || gone {
				return err
			}
			defer out.rec.delivery().release()
		}
		return out.entry(&e, b.Name(), form)
	})
	return out.end(err, "]}\n")
}

// affordEntry holds what an entry that was read takes. If there is no room for it, its value is dropped,
// and read again when there is; gone reports that it is not there any more.
func (rec *recorder) affordEntry(b *kvclient.Bucket, k kvclient.Key, e *kvclient.Entry) (gone bool, err error) {
	d, size, revision := rec.delivery(), e.Bytes()+4*streamBuffer, e.Revision
	if d.try(size) {
		return false, nil
	}
	*e = kvclient.Entry{}
	if err := d.wait(rec.request.Context(), size); err != nil {
		return false, err
	}
	if *e, err = b.GetRevision(rec.request.Context(), k, revision); err != nil {
		d.release()
	}
	if errors.Is(err, kvclient.ErrRevisionNotFound) {
		return true, nil // as if it had been removed before it was read
	}
	return false, err
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
