package handlers

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
)

// stores reports whether an operation may find that there is no room, by the answers that the
// contract has for it.
func stores(operation *openapi3.Operation) bool {
	return operation.Responses.Value(strconv.Itoa(http.StatusInsufficientStorage)) != nil
}

// failure returns why the embedded NATS takes no writes, nil if it does or is not ours.
func (s *Server) failure() error {
	if s.options.Failing == nil {
		return nil
	}
	return s.options.Failing()
}

// checkRoom refuses what would be stored while it is known that nothing can be. nats-server leaves
// such a write unanswered, and its client would wait until the request's time is over.
func (s *Server) checkRoom(checks *operationChecks) error {
	if checks == nil || !checks.stores {
		return nil
	}
	if err := s.failure(); err != nil {
		return problemError{code: codeStorageExhausted, detail: refusesWrites(err) +
			" Nothing was done. Once there is room on the disk the gateway goes on by itself; " +
			"deleting a bucket makes some."}
	}
	return nil
}

func refusesWrites(why error) string {
	return fmt.Sprintf("The embedded NATS takes no writes: %v.", why)
}

// checkReady returns why the gateway should get no requests although NATS answers.
func (s *Server) checkReady() error {
	if s.options.Draining != nil && s.options.Draining() {
		return errShuttingDown
	}
	if err := s.failure(); err != nil {
		return problemError{code: codeNATSUnavailable, detail: refusesWrites(err)}
	}
	return nil
}
