package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// deletedKeys is the answer to a deletion by filter. api/openapi.yaml describes its members.
type deletedKeys struct {
	Deleted int      `json:"deleted"`
	Skipped []string `json:"skipped"`
	Hidden  int      `json:"hidden"`
	DryRun  bool     `json:"dry_run,omitempty"`
}

// deleteKeys replaces each value that the filters select by a marker. It is a listing and a number
// of deletions, and its answer counts keys, so the caller must have the right to delete and to list
// all that the filters select. That a key was skipped shows that it was written meanwhile, so only
// those are named that the caller may get.
func (s *Server) deleteKeys(x *exchange) error {
	if err := refuseConditions(x.request.Header); err != nil {
		return err
	}
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	filters, err := filtersOf(x.query)
	if err != nil {
		return err
	}
	deletion := kvclient.MassDeletion{
		Filters: filters,
		Purge:   x.query.Get("purge") == "true",
		DryRun:  x.query.Get("dry_run") == "true",
	}
	if limit := x.query.Get("limit"); limit != "" {
		if deletion.Limit, err = strconv.Atoi(limit); err != nil {
			return problem.OfParameter("limit", "limit must be an integer.")
		}
	}
	const actions = auth.Delete | auth.List
	if len(filters) > 0 {
		err = x.needAll(actions, name, filters)
	} else {
		err = x.needSome(actions, name)
	}
	if err != nil {
		return err
	}
	b, err := x.store.client.BucketToWrite(x.context(), name)
	if err != nil {
		return err
	}
	if len(filters) == 0 {
		return problem.OfParameter("filter",
			"Say which keys to delete: filter=orders.> for some, filter=> for all.")
	}
	if err := x.needAllInOrigin(auth.Delete, b, filters); err != nil {
		return err
	}
	// The deletion's room counts the names that were skipped, and their JSON, until they are sent.
	var done kvclient.DeletedKeys
	defer func() { done.Release() }()
	err = s.deleteAtLength(x, deletion.DryRun, func(ctx context.Context) (err error) {
		done, err = b.DeleteKeys(ctx, deletion)
		return err
	})
	x.count("deleted", done.Deleted)
	x.count("skipped", len(done.Skipped))
	done.Skipped = x.gettable(b, done.Skipped)
	if err != nil {
		return x.partlyDeleted(&done, err)
	}
	return x.respondJSON(http.StatusOK, deletedKeys{
		done.Deleted, done.Skipped, done.Hidden, deletion.DryRun,
	})
}

// gettable returns those of some keys of a bucket that is written to which the caller may get, by
// the rights that it has now.
func (x *exchange) gettable(b *kvclient.Bucket, keys []string) []string {
	kept := keys[:0]
	known := x.recheck() == nil
	for _, key := range keys {
		if known && mayWrite(x.caller.Rights, auth.Get, b, kv.KnownKey(key)) {
			kept = append(kept, key)
		}
	}
	if kept == nil {
		kept = []string{} // a list in JSON
	}
	return kept
}

// answerTime is how long a client may take for the answer to a deletion.
const answerTime = time.Minute

// deleteAtLength carries out a deletion by filter, or a purge of markers, within its time. Unless
// it is a dry run, it has one of the places of imports.
func (s *Server) deleteAtLength(
	x *exchange,
	dryRun bool,
	deletion func(context.Context) error,
) error {
	x.endWithRights()
	if !dryRun {
		var place bound.Hold
		if err := s.bodies.imports.TakeFor(x.context(), &place, 1); err != nil {
			return err
		}
		defer place.Release()
	}
	if err := x.beginChange(); err != nil {
		return err
	}
	// A deletion may take long. Over HTTP/2 a write deadline that passes would end the request
	// itself.
	controller := http.NewResponseController(x.ResponseWriter)
	_ = controller.SetWriteDeadline(time.Time{})
	defer func() { _ = controller.SetWriteDeadline(time.Now().Add(answerTime)) }()
	end := time.Now().Add(s.bodies.deletionAge.Duration())
	ctx, cancel := context.WithDeadline(x.context(), end)
	defer cancel()
	err := deletion(ctx)
	// A request to NATS has a timer of its own, which may end it just before the context ends.
	if err != nil && !time.Now().Before(end) && x.context().Err() == nil {
		s.bodies.deletionAge.Refuse()
		// This error makes the answer say how many keys were deleted.
		err = fmt.Errorf("%w: too old: %v", kv.ErrOutcomeUnknown, err)
	}
	return err
}

// partlyDeleted returns the error of a deletion that failed, with what was done before. If nothing
// was done, the error stays as it is. The names that were skipped are left out if there is no room
// to hold them until the problem is sent.
func (x *exchange) partlyDeleted(done *kvclient.DeletedKeys, err error) error {
	if done.Deleted == 0 && done.Unknown == 0 && !errors.Is(err, kv.ErrOutcomeUnknown) {
		return err
	}
	x.count("unknown", done.Unknown)
	members := problem.Members{"deleted": done.Deleted, "unknown": done.Unknown}
	if size := done.Bytes(); size <= freeAnswer || x.delivery().try(size) {
		members["skipped"] = done.Skipped
	}
	if done.Unknown > 0 {
		err = fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, err)
	}
	return x.afterPart(err, members, "Not all keys were deleted. `deleted` says how many were, "+
		"and `unknown` for how many it is not known.")
}

// afterPart returns the error of a request that has done a part of its work, which done and the
// members say. If the outcome of some of it is unknown, so is that of the request; no refusal that
// came as well may hide that. Otherwise the problem is that of the refusal, without its words that
// nothing was done: what is not counted was not done.
func (x *exchange) afterPart(err error, members problem.Members, done string) error {
	p := x.explained(problemOf(x.whyEnded(err)), err).Underway(againSoon)
	if errors.Is(err, kv.ErrOutcomeUnknown) {
		p = problem.Error{Code: problem.OutcomeUnknown, Detail: done + " Send the request again."}
	} else {
		p.Detail = done + " The rest was not done: " + p.Detail
	}
	p.Members = maps.Clone(p.Members)
	if p.Members == nil {
		p.Members = make(problem.Members)
	}
	maps.Copy(p.Members, members)
	return partialError{p, err}
}

// A partialError is a problem together with the error that caused it, which the log gets.
type partialError struct {
	// problem is what the client is told.
	problem problem.Error
	// cause is what the log says.
	cause error
}

// Error returns the text of the cause.
func (e partialError) Error() string { return e.cause.Error() }

// Unwrap returns the problem.
func (e partialError) Unwrap() error { return e.problem }
