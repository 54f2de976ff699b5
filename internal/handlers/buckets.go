package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// defaultBucketsLimit is how many buckets a page has unless the request says otherwise.
const defaultBucketsLimit = 100

// listBuckets answers a page of the buckets, sorted by name.
func (s *Server) listBuckets(x *exchange) error {
	digest := listingDigest("buckets")
	page, err := pageOf(x.query, defaultBucketsLimit, digest)
	if err != nil {
		return err
	}
	var place bound.Hold
	if err := s.bucketPlaces.TakeFor(x.context(), &place, 1); err != nil {
		return err
	}
	defer place.Release()
	names, err := s.client.BucketNames(x.context())
	if err != nil {
		return err
	}
	shown, last, next := []any{}, "", ""
	lister := bucketLister{client: s.client, x: x, namesOnly: x.query.Get("names") == "true"}
	for _, name := range names {
		if name.String() <= page.after {
			continue
		}
		item, err := lister.item(x.context(), name)
		if err != nil {
			return err
		}
		if item == nil {
			continue
		}
		if len(shown) == page.limit {
			next = cursor{digest, last}.String()
			break
		}
		last = name.String()
		shown = append(shown, item)
	}
	answer := map[string]any{"buckets": shown}
	if next != "" {
		answer["next"] = next
		x.linkNext(next)
	}
	return x.respondJSON(http.StatusOK, answer)
}

// newBucketPlaces returns the bound of the requests that list buckets or change their settings at a
// time. A list asks NATS for every bucket that it shows: 30 clients that asked for 400 buckets made
// the p99 of another one 0.3 s. Settings can have thousands of members of metadata: twelve changes
// at a time made the median of another client 0.2 s, since each keeps a processor for longer than a
// request may be at work.
func newBucketPlaces(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "bucket-requests",
		Of:       "lists of buckets and changes of their settings that are under way",
		Unit:     bound.Places,
		Limit:    4,
		PerOwner: 2,
		Wait:     answerWait,
		Queue:    1024,
		AtLimit: "requests wait, clients taking turns; what has waited for 5 s is refused with " +
			"503, or 429 where the client's own share is used up",
	})
}

// retryTime bounds the request for a bucket's status after one was out of reach, so that the list
// does not wait for each of them until its timeout.
const retryTime = 500 * time.Millisecond

// A bucketLister makes the items of a list of buckets, one after the other.
type bucketLister struct {
	// client reaches the buckets.
	client *kvclient.Client
	// x is the exchange of the request.
	x *exchange
	// namesOnly reports whether the items are names instead of documents.
	namesOnly bool
	// failed reports whether a bucket was out of reach.
	failed bool
}

// item returns the item of a stream that may be a bucket. It returns nil if the stream is not a
// bucket or was deleted meanwhile. A bucket that is out of reach, because its node is down or
// because the gateway's user may not look at it, does not hide the others: its item has the
// problem.
func (l *bucketLister) item(ctx context.Context, name kv.BucketName) (any, error) {
	if l.failed {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, retryTime)
		defer cancel()
	}
	status, err := l.client.Status(ctx, name)
	switch {
	case kv.IsNoBucket(err):
		return nil, nil
	case err != nil && !l.client.Connected():
		return nil, err
	case err != nil && !l.namesOnly:
		l.failed = true
		p := problemOf(err)
		l.x.logger.Warn().Str("id", l.x.id).Str("bucket", name.String()).Err(err).
			Msg("bucket cannot be reached")
		document := l.x.problemDocument(p)
		return map[string]any{"bucket": name.String(), "problem": json.RawMessage(document)}, nil
	case err != nil:
		l.failed = true
		return name.String(), nil
	case l.namesOnly:
		return name.String(), nil
	}
	return documentOf(status), nil
}

// getBucket answers a bucket's configuration and status.
func (s *Server) getBucket(x *exchange) error {
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	status, err := s.client.Status(x.context(), name)
	if err != nil {
		return err
	}
	return x.respondJSON(http.StatusOK, documentOf(status))
}

// putBucket creates a bucket. If there is one with the same configuration, it answers that.
func (s *Server) putBucket(x *exchange) error {
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	if err := refuseConditions(x.request.Header, "If-None-Match"); err != nil {
		return err
	}
	p, err := writePreconditions(x.request.Header)
	if err != nil {
		return err
	}
	if len(p.IfNoneMatch.Positions) > 0 {
		return problem.OfHeader("If-None-Match",
			"A bucket has no ETag. The only precondition that can be sent here is "+
				"If-None-Match: *.")
	}
	config := kv.DefaultBucketConfig()
	var place bound.Hold
	defer place.Release()
	if err := s.readConfig(x, &config, &place); err != nil {
		return err
	}
	status, created, err := s.client.CreateBucket(x.context(), name, config)
	present := err == nil && !created
	if _, differs := errors.AsType[*kv.BucketExistsError](err); differs {
		present = true
	}
	switch {
	case present && p.IfNoneMatch.Any:
		return problem.New(problem.BucketPresent)
	case err != nil:
		return s.createFailure(err)
	case !created:
		return x.respondJSON(http.StatusOK, documentOf(status))
	}
	x.Header()["Location"] = []string{x.basePath + "/buckets/" + name.String()}
	return x.respondJSON(http.StatusCreated, documentOf(status))
}

// readConfig reads a configuration from the body over the defaults. Without a body the defaults
// stay. With one it takes a place, which must be given back when the bucket was asked for.
func (s *Server) readConfig(x *exchange, config *kv.BucketConfig, place *bound.Hold) error {
	body, err := s.bodies.readJSON(x, "application/json")
	if err != nil || body == nil {
		return err
	}
	if err := s.bucketPlaces.TakeFor(x.context(), place, 1); err != nil {
		return err
	}
	if err := x.contract.body(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, config); err != nil {
		return problem.OfBody("", kvclient.JSONReason(err))
	}
	return nil
}

// patchBucket changes those fields of a bucket's configuration that a merge patch names.
func (s *Server) patchBucket(x *exchange) error {
	if err := refuseConditions(x.request.Header); err != nil {
		return err
	}
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	body, err := s.bodies.readJSON(x, "application/merge-patch+json", "application/json")
	if err != nil {
		x.Header()["Accept-Patch"] = []string{"application/merge-patch+json, application/json"}
		return err
	}
	if body == nil {
		return problem.Error{Code: problem.InvalidBody,
			Detail: "The body is empty. Send a JSON object with the fields to change."}
	}
	var place bound.Hold
	if err := s.bucketPlaces.TakeFor(x.context(), &place, 1); err != nil {
		return err
	}
	defer place.Release()
	if err := x.contract.body(body); err != nil {
		return err
	}
	status, err := s.client.UpdateBucket(x.context(), name, body)
	if err != nil {
		return err
	}
	return x.respondJSON(http.StatusOK, documentOf(status))
}

// deleteBucket deletes a bucket and all that it holds.
func (s *Server) deleteBucket(x *exchange) error {
	if err := refuseConditions(x.request.Header); err != nil {
		return err
	}
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	if err := s.client.DeleteBucket(x.context(), name); err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}
