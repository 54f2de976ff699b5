package handlers

import (
	"net/http"
	"strconv"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kvclient"
)

// maxTransactionBytes bounds the body of a transaction: 16 MiB. Values in Base64 take a third more
// than they have.
const maxTransactionBytes = 16 << 20

// transact carries out several writes, either all of them or none.
func (s *Server) transact(w http.ResponseWriter, r *http.Request) error {
	if err := refuseConditions(r.Header); err != nil {
		return err
	}
	b, err := s.bucketToWrite(r)
	if err != nil {
		return err
	}
	transaction := kvclient.Transaction{}
	if transaction.Idempotency, err = idempotency(r.Header); err != nil {
		return err
	}
	// A browser lets a page of another site send a form without asking the gateway first (a
	// preflight request), but not a body of this type.
	if !hasMediaType(r.Header, headerJSON[0]) {
		return problem.Error{Code: problem.UnsupportedMediaType,
			Detail: "Send a transaction with Content-Type: application/json."}
	}
	body, err := s.readTransaction(w, r)
	if err != nil {
		return err
	}
	if transaction.Steps, err = parseTransaction(body); err != nil {
		return err
	}
	transaction.Admit = func() error { return s.transactions.admit(b.Name(), ownerOf(r)) }
	done, err := b.Transact(r.Context(), transaction)
	if err != nil {
		return err
	}
	w.Header()["Kv-Revision"] = []string{done.Revision.String()}
	return respondHeld(w.(*recorder), appendTransacted(nil, &done, transaction.Steps))
}

// readTransaction reads the body of a transaction. The memory of large ones has a bound of its own,
// since one can take as much as sixteen values.
func (s *Server) readTransaction(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := refuseEncoding(w, r); err != nil {
		return nil, err
	}
	tooLarge := countTooLarge(s.bodies.transactionSize)
	if r.ContentLength > maxTransactionBytes {
		return nil, tooLarge(maxTransactionBytes)
	}
	body := s.openBody(w, r)
	body.large = s.bodies.transactions
	return body.readWhole(w, r, maxTransactionBytes, tooLarge)
}

// appendTransacted appends the JSON of what a transaction did. Ids, keys and epochs need no
// escaping.
func appendTransacted(dst []byte, done *kvclient.Transacted, steps []kvclient.Step) []byte {
	dst = append(append(dst, `{"id":"`...), done.ID...)
	dst = strconv.AppendUint(append(dst, `","revision":`...), uint64(done.Revision), 10)
	dst = append(append(append(dst, `,"epoch":"`...), done.Epoch...), `","results":[`...)
	for i, step := range steps {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, `{"key":"`...), step.Key.String()...)
		dst = strconv.AppendUint(append(dst, `","revision":`...), uint64(done.Revisions[i]), 10)
		dst = append(dst, '}')
	}
	return append(dst, "]}\n"...)
}
