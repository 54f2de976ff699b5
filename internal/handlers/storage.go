package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/api"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// stores reports whether an operation may find that there is no room in the store. It does if the
// contract has that among its problems.
func stores(contract *openapi3.T, operation *openapi3.Operation) bool {
	codes := api.OperationProblemCodes(contract, operation)
	return slices.Contains(codes, string(problem.StorageExhausted))
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

// explained returns the problem of an error with what only the request tells about it. If there is
// no bucket, it says how to create one, unless the request is a DELETE. If a delete found no room,
// it says why a delete needs any. If the buckets in the memory of the embedded NATS are full, it
// says how to make room. NATS' own answer does not say that.
func (x *exchange) explained(p problem.Error, err error) problem.Error {
	most, deletes := x.memoryForBuckets, x.request.Method == http.MethodDelete
	if e, ok := errors.AsType[*kv.BucketNotFoundError](err); ok && !deletes && e.Origin == "" &&
		p.Code == problem.BucketNotFound {
		p.Detail += " PUT " + problem.Base + "/buckets/" + e.Bucket.String() + " creates it."
	}
	if deletes && errors.Is(err, kv.ErrBucketFull) && !errors.Is(err, kv.ErrTooManyMessages) {
		const reason = "The bucket has reached its max_bytes. A delete or a purge first stores a " +
			"marker, and there is no room for one"
		const advice = "To make room, DELETE the bucket's markers (markers?older_than=0s) if " +
			"keys were deleted before, or PATCH it with a larger max_bytes, a smaller history " +
			"or a shorter ttl."
		p.Detail, p.Midway = reason+"; nothing was done. "+advice, reason+". "+advice
	}
	if most > 0 && p.Code == problem.StorageExhausted && errors.Is(err, kv.ErrMemoryExhausted) {
		reason := fmt.Sprintf("The buckets whose storage is memory may hold %d bytes in all, "+
			"which are used up, or reserved by the max_bytes of buckets.", most)
		const advice = "DELETE a bucket whose storage is memory, or PATCH one with a smaller " +
			"max_bytes or history or a shorter ttl; deleting keys is refused as well. Or start " +
			"the gateway with a larger --memory-for-buckets."
		p.Detail, p.Midway = reason+" Nothing was stored. "+advice, reason+" "+advice
	}
	return p
}
