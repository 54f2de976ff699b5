package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// stores reports whether an operation may find that there is no room in the store. It does if the
// contract has the answer 507 for it.
func stores(operation *openapi3.Operation) bool {
	return operation.Responses.Value(strconv.Itoa(http.StatusInsufficientStorage)) != nil
}

// failure returns why the embedded NATS takes no writes. It returns nil if NATS takes them, or is
// not embedded.
func (s *Server) failure() error {
	if s.options.Failing == nil {
		return nil
	}
	return s.options.Failing()
}

// checkRoom refuses an operation that stores something while it is known that nothing can be
// stored. nats-server leaves such a write unanswered, so that its client would wait until the
// request's time is over.
func (s *Server) checkRoom(checks *contractChecks) error {
	if checks == nil || !checks.stores {
		return nil
	}
	if err := s.failure(); err != nil {
		return problem.Error{Code: problem.StorageExhausted,
			Detail: refusesWrites(err) + " Nothing was done."}
	}
	return nil
}

// refusesWrites says for a detail that the embedded NATS takes no writes.
func refusesWrites(why error) string {
	return fmt.Sprintf("The embedded NATS takes no writes: %v.", why)
}

// createFailure returns the problem of a bucket that could not be created. If there are too many,
// it says what makes room, which NATS does not know.
func (s *Server) createFailure(err error) error {
	tooMany := s.options.TooManyBuckets
	if !errors.Is(err, kv.ErrStorageExhausted) || tooMany == nil || !tooMany() {
		return err
	}
	return problem.Error{Code: problem.StorageExhausted,
		Detail: "The embedded NATS has as many buckets and other streams as the gateway's limit " +
			"of open files leaves room for. Nothing was done. Delete a bucket, or raise that " +
			"limit, as with ulimit -n, LimitNOFILE of systemd or --ulimit of a container, and " +
			"start the gateway again."}
}

// explained returns the problem of an error. If the buckets in the memory of the embedded NATS have
// used up what they may hold, it says what makes room, which NATS does not know.
func (x *exchange) explained(p problem.Error, err error) problem.Error {
	most := x.memoryForBuckets
	if most > 0 && p.Code == problem.StorageExhausted && errors.Is(err, kv.ErrMemoryExhausted) {
		p.Detail = fmt.Sprintf("The buckets whose storage is memory may hold %d bytes in all, "+
			"which are used up, or reserved by the max_bytes of buckets. Nothing was stored. "+
			"DELETE a bucket whose storage is memory, or PATCH one with a smaller max_bytes or "+
			"history or a shorter ttl; deleting keys is refused as well. Or start the gateway "+
			"with a larger --memory-for-buckets.", most)
	}
	return p
}
