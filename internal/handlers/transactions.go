package handlers

import (
	"cmp"
	"net/http"
	"strconv"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// maxTransactionBytes bounds the body of a transaction: 16 MiB. Values in Base64 take a third more
// than they have.
const maxTransactionBytes = 16 << 20

// transact carries out several writes, either all of them or none.
func (s *Server) transact(x *exchange) error {
	if err := refuseConditions(x.request.Header); err != nil {
		return err
	}
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	// A transaction writes something. What it writes is in the body, of which a caller who may
	// write nothing need not send 16 MiB.
	if x.needSome(auth.Put, name) != nil {
		if err := x.needSome(auth.Delete, name); err != nil {
			return err
		}
	}
	transaction := kvclient.Transaction{}
	if transaction.Idempotency, err = x.idempotency(); err != nil {
		return err
	}
	// A browser lets a page of another site send a form without asking the gateway first (a
	// preflight request), but not a body of this type.
	if !hasMediaType(x.request.Header, headerJSON[0]) {
		return problem.Error{Code: problem.UnsupportedMediaType,
			Detail: "Send a transaction with Content-Type: application/json."}
	}
	body, err := s.readTransaction(x)
	if err != nil {
		return err
	}
	steps, malformed := parseTransaction(body)
	if malformed == nil {
		if err := x.needSteps(name, steps); err != nil {
			return err
		}
	}
	// The rights come before the bucket, and the bucket comes before what is wrong with the body.
	b, err := x.store.client.BucketToWrite(x.context(), name)
	if err != nil {
		return err
	}
	if malformed != nil {
		return malformed
	}
	transaction.Steps = steps
	if err := x.needStepsInOrigin(b, transaction.Steps); err != nil {
		return err
	}
	transaction.Admit = func() error {
		err := s.transactions.admit(x.context(), x.store.account(), b.Name(), x.owner())
		if err != nil {
			return err
		}
		return x.beginChange()
	}
	transaction.Allowed = func() error {
		before := x.caller
		if err := x.recheck(); err != nil || x.caller == before {
			return err
		}
		return cmp.Or(x.needSteps(name, steps), x.needStepsInOrigin(b, steps))
	}
	done, err := b.Transact(x.context(), transaction)
	if err != nil {
		return x.withholdOfSteps(err, b, &transaction)
	}
	x.count("operations", len(transaction.Steps))
	x.Header()["Kv-Revision"] = []string{done.Revision.String()}
	return x.respondHeld(http.StatusOK, appendTransacted(nil, &done, transaction.Steps))
}

// readTransaction reads the body of a transaction. The memory of large ones has a bound of its own,
// since one can take as much as sixteen values.
func (s *Server) readTransaction(x *exchange) ([]byte, error) {
	if err := x.refuseEncoding(); err != nil {
		return nil, err
	}
	tooLarge := countTooLarge(s.bodies.transactionSize)
	if x.request.ContentLength > maxTransactionBytes {
		return nil, tooLarge(maxTransactionBytes)
	}
	body := s.bodies.openFor(x)
	body.large = s.bodies.transactions
	return body.readWhole(x, maxTransactionBytes, tooLarge)
}

// appendTransacted appends the JSON of what a transaction did. Ids, keys and epochs need no
// escaping.
func appendTransacted(dst []byte, done *kv.Transacted, steps []kvclient.Step) []byte {
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
