package handlers

import (
	"errors"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// getHistory answers the retained revisions of a key, markers included, the oldest first.
func (s *Server) getHistory(x *exchange) error {
	b, k, err := s.target(x)
	if err != nil {
		return err
	}
	x.endWithRights()
	form := valueForm(x.query)
	out := newList(x, formJSON, `{"entries":[`)
	err = b.History(x.context(), k, func(e kv.Entry) error {
		if len(e.Value) >= kvclient.LargeValue && form != kv.ValueNone {
			gone, err := x.holdEntry(b, k, &e)
			if err != nil || gone {
				return err
			}
			defer x.delivery().release()
		}
		return out.entry(&e, b.Name(), form)
	})
	return out.end(err, "]}\n")
}

// holdEntry holds what an entry that was read takes. If there is no room for it, holdEntry drops
// the value, waits for room, and reads it again. The result gone reports whether the revision was
// removed meanwhile.
func (x *exchange) holdEntry(
	b *kvclient.Bucket,
	k kv.Key,
	e *kv.Entry,
) (gone bool, err error) {
	d, size, revision := x.delivery(), e.Bytes()+4*partBuffer, e.Revision
	if d.try(size) {
		return false, nil
	}
	*e = kv.Entry{}
	if err := d.wait(x.context(), size); err != nil {
		return false, err
	}
	if *e, err = b.GetRevision(x.context(), k, revision); err != nil {
		d.release()
	}
	if errors.Is(err, kv.ErrRevisionNotFound) {
		return true, nil // The answer is as if the revision had been removed before it was read.
	}
	return false, err
}
