package handlers

import (
	"reflect"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// administered reads the name of the bucket from the path, for a request about the bucket itself.
// It returns an error unless the caller may administer the bucket, whether or not there is one.
func (x *exchange) administered() (kv.BucketName, error) {
	name, err := x.bucketName()
	if err != nil {
		return name, err
	}
	return name, x.needThat(func(rights *auth.Rights) error {
		if !rights.Administer(name) {
			return forbidden(auth.Configure, name)
		}
		return nil
	})
}

// errNoBucket refuses the list of buckets to a caller who has no right in any.
var errNoBucket = problem.Error{
	Code:    problem.Forbidden,
	Members: problem.Members{"action": "any"},
	Detail: "This lists the buckets in which the caller has a right, and it has none. Use " +
		"another credential, or ask the gateway's operator for a right.",
}

// forbiddenBucket returns the problem of a caller who has no right at all in a bucket.
func forbiddenBucket(name kv.BucketName) problem.Error {
	return problem.Error{
		Code:    problem.Forbidden,
		Members: problem.Members{"action": "any", "bucket": name.String()},
		Detail: "This needs some right in the bucket " + name.String() + ", and the caller has " +
			"none there. Nothing was done. Use another credential, or ask the gateway's operator " +
			"for a right. GET " + problem.Base + "/access lists what the caller may do.",
	}
}

// A sight says what a caller may see of a bucket itself.
type sight struct {
	// config reports whether it may see the configuration: it may administer the bucket.
	config bool
	// counts reports whether it may see how much is in the bucket: it may list every key.
	counts bool
}

// sightOf returns what a caller with these rights may see of a bucket that it knows.
func sightOf(rights *auth.Rights, name kv.BucketName) sight {
	config := rights.Administer(name)
	return sight{config: config, counts: config || rights.Cover(auth.List, name, nil)}
}

// needSight returns what the caller may see of a bucket, or the problem of one who has no right in
// it. An answer that shows more than the caller may see by then is refused.
func (x *exchange) needSight(name kv.BucketName) (seen sight, err error) {
	seen = sightOf(x.caller.Rights, name)
	err = x.needThat(func(rights *auth.Rights) error {
		now := sightOf(rights, name)
		switch {
		case !rights.Know(name):
			return forbiddenBucket(name)
		case seen.config && !now.config || seen.counts && !now.counts:
			return errRightsReturned
		}
		return nil
	})
	return seen, err
}

// needSameRules returns an error if the caller may list no bucket. An answer that was made by other
// rules than those of then is refused.
func (x *exchange) needSameRules() error {
	rules := x.caller.Rights.Rules()
	return x.needThat(func(rights *auth.Rights) error {
		switch {
		case !rights.MayKnowSome():
			return errNoBucket
		case !reflect.DeepEqual(rights.Rules(), rules):
			return errRightsReturned
		}
		return nil
	})
}

// A limitsDocument is a bucket as JSON for callers who may not administer it: what they need for
// their requests, without the rest of its configuration.
type limitsDocument struct {
	Bucket         string               `json:"bucket"`
	MaxValueSize   int32                `json:"max_value_size"`
	History        int64                `json:"history"`
	TTL            kv.Duration          `json:"ttl"`
	MaxBytes       int64                `json:"max_bytes"`
	LimitMarkerTTL kv.Duration          `json:"limit_marker_ttl"`
	AllowAtomic    bool                 `json:"allow_atomic"`
	Status         limitsStatusDocument `json:"status"`
}

// limitsStatusDocument is the status in a limitsDocument.
type limitsStatusDocument struct {
	Epoch kv.Epoch `json:"epoch"`
	*countsDocument
	MaxValueBytes int      `json:"max_value_bytes"`
	ExpiryEvents  bool     `json:"expiry_events"`
	Hints         []string `json:"hints"`
}

// of returns what may be seen of the document of a bucket.
func (s sight) of(bucket bucketDocument) any {
	if s.config {
		return bucket
	}
	status := bucket.Status
	limits := limitsDocument{
		Bucket:         bucket.Bucket,
		MaxValueSize:   bucket.MaxValueSize,
		History:        bucket.History,
		TTL:            bucket.TTL,
		MaxBytes:       bucket.MaxBytes,
		LimitMarkerTTL: bucket.LimitMarkerTTL,
		AllowAtomic:    bucket.AllowAtomic,
		Status: limitsStatusDocument{
			Epoch:         status.Epoch,
			MaxValueBytes: status.MaxValueBytes,
			ExpiryEvents:  status.ExpiryEvents,
			Hints:         limitHints(bucket),
		},
	}
	if s.counts {
		limits.Status.countsDocument = &status.countsDocument
	}
	return limits
}

// limitHints returns the hints of a bucket without those that name its origin, or count.
func limitHints(bucket bucketDocument) []string {
	status := kv.BucketStatus{
		Config: bucket.BucketConfig, MaxValueBytes: bucket.Status.MaxValueBytes,
	}
	mirror := status.Config.Mirror
	status.Config.Mirror = nil
	found := hints(status)
	if mirror != nil {
		found = append(found, hintMirror)
	}
	return found
}

// needSettings returns an error unless the caller may give a bucket the settings of after in the
// place of those of before. A caller who may administer a bucket may set what concerns it. Three
// kinds of settings reach further:
//
//	setting            what it reaches                      the caller must administer
//	mirror, sources    what another bucket holds            that bucket; every bucket if it is in
//	                                                        another domain, or is no bucket
//	subject_transforms the subjects that entries get        the bucket whose subjects they are
//	republish          who subscribes to the subjects       the bucket whose subjects they are,
//	                                                        and otherwise every bucket
//	placement          the servers of the cluster           every bucket
//
// What stays as it was needs no such right, and neither does to take one of these away, except for
// placement.
func (x *exchange) needSettings(name kv.BucketName, before, after kv.BucketConfig) error {
	rights := x.caller.Rights
	if rights.AdministerAll() {
		return nil
	}
	before.Normalize()
	after.Normalize()
	if !reflect.DeepEqual(after.Placement, before.Placement) {
		return forbiddenSetting(name, "placement")
	}
	if r := after.Republish; r != nil && !reflect.DeepEqual(r, before.Republish) &&
		!administersSubjects(rights, r.Destination) {
		return forbiddenSetting(name, "republish")
	}
	if m := after.Mirror; m != nil && !reflect.DeepEqual(m, before.Mirror) &&
		!mayCopy(rights, m, true) {
		return forbiddenSetting(name, "mirror")
	}
	for _, source := range after.Sources {
		if !contains(before.Sources, source) && !mayCopy(rights, source, false) {
			return forbiddenSetting(name, "sources")
		}
	}
	return nil
}

// contains reports whether one of the sources is the same.
func contains(sources []*kv.Source, source *kv.Source) bool {
	for _, s := range sources {
		if reflect.DeepEqual(s, source) {
			return true
		}
	}
	return false
}

// mayCopy reports whether a caller may copy from a source, or mirror it. A source with
// subject_transforms names a stream, and otherwise a bucket; a mirror names a bucket in any case.
func mayCopy(rights *auth.Rights, source *kv.Source, isMirror bool) bool {
	bucket, prefixed := strings.CutPrefix(source.Name, kv.StreamPrefix)
	if source.External != nil || len(source.SubjectTransforms) > 0 && !isMirror && !prefixed {
		return false
	}
	name, err := kv.ParseBucketName(bucket)
	if err != nil || !rights.Administer(name) {
		return false
	}
	for _, transform := range source.SubjectTransforms {
		if !administersSubjects(rights, transform.Destination) {
			return false
		}
	}
	return true
}

// administersSubjects reports whether a pattern of subjects is of a bucket that the caller may
// administer.
func administersSubjects(rights *auth.Rights, subjects string) bool {
	below, ok := strings.CutPrefix(subjects, kv.SubjectPrefix)
	if !ok {
		return false
	}
	bucket, _, ok := strings.Cut(below, ".")
	name, err := kv.ParseBucketName(bucket)
	return ok && err == nil && rights.Administer(name)
}

// forbiddenSetting returns the problem of a setting that reaches what the caller may not
// administer.
func forbiddenSetting(name kv.BucketName, setting string) problem.Error {
	p := forbidden(auth.Configure, name)
	p.Members["pointer"], p.Midway = "/"+setting, ""
	p.Detail = "At /" + setting + ": this reaches what is outside of the buckets that the caller " +
		"may administer: another bucket, a stream that is no bucket, subjects outside of $KV, or " +
		"the servers of a cluster. Nothing was done. Leave it out, or ask the gateway's operator."
	return p
}
