package handlers

import (
	"encoding/json"
	"errors"
	"net/http"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// defaultBucketsLimit is how many buckets a page has unless the request says otherwise.
const defaultBucketsLimit = 100

// listBuckets answers a page of the buckets, sorted by name.
func (s *Server) listBuckets(x *exchange) error {
	if err := x.needSameRules(); err != nil {
		return err
	}
	// Which buckets there are in a list depends on the rules, as with filters.
	parts := []string{"buckets"}
	for _, rule := range x.caller.Rights.Rules() {
		parts = append(parts, rule.Bucket.String())
	}
	digest := x.listingDigest(nil, parts...)
	page, err := pageOf(x.query, defaultBucketsLimit, digest)
	if err != nil {
		return err
	}
	lister := bucketLister{client: x.store.client, x: x, page: page, digest: digest}
	lister.namesOnly = x.query.Get("names") == "true"
	list, err := readAndHold(x, 0, func() (list bucketList, size int64, err error) {
		err = s.inBucketPlace(x, func() error {
			list, err = lister.list()
			return err
		})
		return list, int64(cap(list.json)), err
	})
	if err != nil {
		return err
	}
	x.linkNext(list.next)
	return x.respondHeld(http.StatusOK, list.json)
}

// inBucketPlace does something with one of the places of newBucketPlaces. The place is given back
// before the answer is sent, or waits for room: four clients that did not read their lists kept
// all others waiting for as long as an answer may take (TestUnreadAnswersHoldNoPlacesOrBodies).
func (s *Server) inBucketPlace(x *exchange, do func() error) error {
	var place bound.Hold
	if err := s.bucketPlaces.TakeFor(x.context(), &place, 1); err != nil {
		return err
	}
	defer place.Release()
	if err := x.recheck(); err != nil { // The wait may have taken long.
		return err
	}
	return do()
}

// newBucketPlaces returns the bound of the requests that list, create, change or delete buckets. A
// list asks NATS for every bucket that it shows: 30 clients that asked for 400 buckets made the p99
// of another one 0.3 s. Settings can have thousands of members of metadata: twelve changes at a
// time made the median of another client 0.2 s, since each keeps a processor for longer than a
// request may be at work.
func newBucketPlaces(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name: "bucket-requests",
		Of: "lists of buckets that are read, of up to 2 MiB each, and buckets that are created, " +
			"changed or deleted",
		Unit:     bound.Places,
		Limit:    4,
		PerOwner: 2,
		Wait:     answerWait,
		Queue:    1024,
		AtLimit: "requests wait, clients taking turns; what has waited for 5 s is refused with " +
			"503, or 429 where the client's own share is used up",
	})
}

// getBucket answers a bucket's configuration and status, or what of them the caller may see.
func (s *Server) getBucket(x *exchange) error {
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	seen, err := x.needSight(name)
	if err != nil {
		return err
	}
	document, err := readAndHold(x, 0, func() ([]byte, int64, error) {
		status, err := x.store.client.Status(x.context(), name)
		if err != nil {
			return nil, 0, err
		}
		bucket := documentOf(status)
		if seen.counts {
			if n, known := x.store.client.CountHidden(x.context(), status); known {
				bucket.count(n)
			}
		}
		document, err := encodeJSON(seen.of(bucket))
		return document, int64(cap(document)), err
	})
	if err != nil {
		return err
	}
	return x.respondHeld(http.StatusOK, document)
}

// putBucket creates a bucket. If there is one with the same configuration, it answers that.
func (s *Server) putBucket(x *exchange) error {
	name, err := x.administered()
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
	body, err := s.bodies.readJSON(x, "application/json")
	if err != nil {
		return err
	}
	status, document := 0, []byte(nil)
	err = s.inBucketPlace(x, func() error {
		status, document, err = s.createBucket(x, name, body, p.IfNoneMatch.Any)
		return err
	})
	if err != nil {
		return err
	}
	if status == http.StatusCreated {
		x.Header()["Location"] = []string{x.basePath + "/buckets/" + name.String()}
	}
	return x.respondHeld(status, document)
}

// createBucket creates a bucket with the settings of a body; without a body it has the defaults. It
// returns the status and the body of the answer. If mustBeNew is true, it is an error if there is a
// bucket of that name.
func (s *Server) createBucket(
	x *exchange,
	name kv.BucketName,
	body []byte,
	mustBeNew bool,
) (status int, document []byte, err error) {
	config := kv.DefaultBucketConfig()
	if body != nil {
		if body, err = x.checkSettings(name, body); err != nil {
			return 0, nil, err
		}
		if err := json.Unmarshal(body, &config); err != nil {
			return 0, nil, problem.OfBody("", kvclient.JSONReason(err))
		}
	}
	if err := x.needSettings(name, kv.DefaultBucketConfig(), config); err != nil {
		return 0, nil, err
	}
	if err := x.beginChange(); err != nil {
		return 0, nil, err
	}
	bucket, created, err := x.store.client.CreateBucket(x.context(), name, config)
	present := err == nil && !created
	if _, differs := errors.AsType[*kv.BucketExistsError](err); differs {
		present = true
	}
	switch {
	case present && mustBeNew:
		return 0, nil, problem.New(problem.BucketPresent)
	case err != nil:
		return 0, nil, s.createFailure(err)
	}
	if status = http.StatusOK; created {
		status = http.StatusCreated
	}
	document, err = encodeJSON(documentOf(bucket))
	return status, document, err
}

// checkSettings checks the body of a request about the bucket of that name. A document that was
// read can be sent back as it is: `status` says nothing, and `bucket` must be the name in the path.
// It returns the body as [contractChecks.body] does.
func (x *exchange) checkSettings(name kv.BucketName, body []byte) (settings []byte, err error) {
	if settings, err = x.contract.body(body); err != nil {
		return nil, err
	}
	var document struct {
		Bucket *string `json:"bucket"`
	}
	if json.Unmarshal(body, &document) == nil && document.Bucket != nil &&
		*document.Bucket != name.String() {
		return nil, problem.OfBody("/bucket", "the document is of another bucket than the path, "+
			"which names "+name.String()+"; make them agree, or leave bucket out")
	}
	return settings, nil
}

// patchBucket changes those fields of a bucket's configuration that a merge patch names.
func (s *Server) patchBucket(x *exchange) error {
	if err := refuseConditions(x.request.Header); err != nil {
		return err
	}
	name, err := x.administered()
	if err != nil {
		return err
	}
	body, err := s.bodies.readJSON(x, "application/merge-patch+json", "application/json")
	if p, is := errors.AsType[problem.Error](err); is && p.Code == problem.UnsupportedMediaType {
		x.Header()["Accept-Patch"] = []string{"application/merge-patch+json, application/json"}
	}
	if err != nil {
		return err
	}
	if body == nil {
		return problem.Error{Code: problem.InvalidBody,
			Detail: "The body is empty. Send a JSON object with the fields to change."}
	}
	var document []byte
	err = s.inBucketPlace(x, func() error {
		settings, err := x.checkSettings(name, body)
		if err != nil {
			return err
		}
		allow := func(before, after kv.BucketConfig) error {
			return x.needSettings(name, before, after)
		}
		if err := x.beginChange(); err != nil {
			return err
		}
		status, err := x.store.client.UpdateBucketIf(x.context(), name, settings, allow)
		if err != nil {
			return err
		}
		document, err = encodeJSON(documentOf(status))
		return err
	})
	if err != nil {
		return err
	}
	return x.respondHeld(http.StatusOK, document)
}

// deleteBucket deletes a bucket and all that it holds.
func (s *Server) deleteBucket(x *exchange) error {
	if err := refuseConditions(x.request.Header); err != nil {
		return err
	}
	name, err := x.administered()
	if err != nil {
		return err
	}
	err = s.inBucketPlace(x, func() error {
		if err := x.beginChange(); err != nil {
			return err
		}
		return x.store.client.DeleteBucket(x.context(), name)
	})
	if err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}
