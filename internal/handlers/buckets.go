package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// defaultBucketsLimit is how many buckets a page has unless the request says otherwise.
const defaultBucketsLimit = 100

// bucketDocument is a bucket's configuration and status as JSON. api/openapi.yaml describes its
// members, and those of its parts.
type bucketDocument struct {
	Bucket string `json:"bucket"`
	kv.BucketConfig
	Status statusDocument `json:"status"`
}

// statusDocument is the part of a bucket's document that clients cannot set.
type statusDocument struct {
	Epoch         kv.Epoch          `json:"epoch"`
	Created       time.Time         `json:"created"`
	Values        uint64            `json:"values"`
	Subjects      uint64            `json:"subjects"`
	Bytes         uint64            `json:"bytes"`
	FirstRevision kv.Revision       `json:"first_revision"`
	LastRevision  kv.Revision       `json:"last_revision"`
	BackingStore  string            `json:"backing_store"`
	Compressed    bool              `json:"compressed"`
	Replicas      *replicasDocument `json:"replicas,omitempty"`
	MaxValueBytes int               `json:"max_value_bytes"`
	ExpiryEvents  bool              `json:"expiry_events"`
	Hints         []string          `json:"hints"`
}

// replicasDocument says how the replicas of a bucket in a cluster are.
type replicasDocument struct {
	Leader string         `json:"leader"`
	Peers  []peerDocument `json:"peers"`
}

// peerDocument is one replica that is not the leader.
type peerDocument struct {
	Name    string      `json:"name"`
	Current bool        `json:"current"`
	Offline bool        `json:"offline"`
	Active  kv.Duration `json:"active"`
	Lag     uint64      `json:"lag"`
}

// documentOf returns the document of a bucket.
func documentOf(status kv.BucketStatus) bucketDocument {
	document := bucketDocument{
		Bucket:       status.Name.String(),
		BucketConfig: status.Config,
		Status: statusDocument{
			Epoch:         status.Epoch,
			Created:       status.Created,
			Values:        status.Values,
			Subjects:      status.Subjects,
			Bytes:         status.Bytes,
			FirstRevision: status.FirstRevision,
			LastRevision:  status.LastRevision,
			BackingStore:  "JetStream",
			Compressed:    status.Config.Compression,
			MaxValueBytes: status.MaxValueBytes,
			ExpiryEvents:  status.ExpiryEvents(),
			Hints:         hints(status),
		},
	}
	if document.Metadata == nil {
		document.Metadata = map[string]string{}
	}
	if status.Leader != "" {
		replicas := &replicasDocument{Leader: status.Leader, Peers: []peerDocument{}}
		for _, p := range status.Peers {
			replicas.Peers = append(replicas.Peers, peerDocument{
				Name:    p.Name,
				Current: p.Current,
				Offline: p.Offline,
				Active:  kv.Duration(p.Active),
				Lag:     p.Lag,
			})
		}
		document.Status.Replicas = replicas
	}
	return document
}

// smallValueSize is the max_value_size below which the headers of a purge with a precondition may
// not fit.
const smallValueSize = 128

// hints returns advice about settings whose effect may surprise.
func hints(status kv.BucketStatus) []string {
	found := []string{}
	if status.Config.TTL > 0 && !status.ExpiryEvents() {
		found = append(found, "ttl is set without limit_marker_ttl: entries vanish without an "+
			"event that watchers could see.")
	}
	if status.Config.MaxValueSize > 0 && int(status.Config.MaxValueSize) > status.MaxValueBytes {
		found = append(found, "max_value_size is above the NATS "+
			"server's max_payload, which is the limit in force.")
	}
	if status.Config.MaxValueSize > 0 && status.Config.MaxValueSize < smallValueSize {
		found = append(found, "max_value_size counts headers: a "+
			"compare-and-set or a delete needs up to 105 bytes of it.")
	}
	if status.Config.Mirror != nil {
		found = append(found, "this bucket mirrors another: "+
			"writes go to the origin and come back a moment later.")
	}
	return found
}

// listBuckets answers a page of the buckets, sorted by name.
func (s *Server) listBuckets(x *exchange) error {
	digest := listingDigest("buckets")
	page, err := pageOf(x.query, defaultBucketsLimit, digest)
	if err != nil {
		return err
	}
	names, err := s.client.BucketNames(x.context())
	if err != nil {
		return err
	}
	shown, last, next := []any{}, "", ""
	lister := bucketLister{server: s, x: x, namesOnly: x.query.Get("names") == "true"}
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

// retryTime bounds the request for a bucket's status after one was out of reach, so that the list
// does not wait for each of them until its timeout.
const retryTime = 500 * time.Millisecond

// A bucketLister makes the items of a list of buckets, one after the other.
type bucketLister struct {
	// server reaches the buckets.
	server *Server
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
	s := l.server
	status, err := s.client.Status(ctx, name)
	switch {
	case errors.Is(err, kv.ErrBadBucket), errors.Is(err, kv.ErrBucketNotFound):
		return nil, nil
	case err != nil && !s.client.Connected():
		return nil, err
	case err != nil && !l.namesOnly:
		l.failed = true
		p := problemOf(err)
		s.logger.Warn().Str("id", l.x.id).Str("bucket", name.String()).Err(err).
			Msg("bucket cannot be reached")
		document := s.problemDocument(l.x, p)
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
	p, err := preconditions(x.request.Header, true)
	if err != nil {
		return err
	}
	if len(p.IfNoneMatch.Positions) > 0 {
		return problem.OfHeader("If-None-Match",
			"A bucket has no ETag. The only precondition that can be sent here is "+
				"If-None-Match: *.")
	}
	config := kv.DefaultBucketConfig()
	if err := s.readConfig(x, &config); err != nil {
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
		return err
	case !created:
		return x.respondJSON(http.StatusOK, documentOf(status))
	}
	x.Header()["Location"] = []string{s.options.BasePath + "/buckets/" + name.String()}
	return x.respondJSON(http.StatusCreated, documentOf(status))
}

// readConfig reads a configuration from the body over the defaults. Without a body the defaults
// stay.
func (s *Server) readConfig(x *exchange, config *kv.BucketConfig) error {
	body, err := s.jsonBody(x, "application/json")
	if err != nil || body == nil {
		return err
	}
	if err := x.checks.body(body); err != nil {
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
	body, err := s.jsonBody(x, "application/merge-patch+json", "application/json")
	if err != nil {
		x.Header()["Accept-Patch"] = []string{"application/merge-patch+json, application/json"}
		return err
	}
	if body == nil {
		return problem.Error{Code: problem.InvalidBody,
			Detail: "The body is empty. Send a JSON object with the fields to change."}
	}
	if err := x.checks.body(body); err != nil {
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
