package kvclient

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// MaxHistory is the most revisions that a bucket keeps of a key (ADR-8).
const MaxHistory = 64

// A BucketConfig is what can be set of a bucket. Names, meaning and defaults are those of NATS' KeyValueConfig, so that a
// native client's idempotent create of the same bucket matches.
type BucketConfig struct {
	Description    string            `json:"description"`
	MaxValueSize   int32             `json:"max_value_size"`     // bytes, with stored headers; -1 for no limit but the server's
	History        int64             `json:"history"`            // revisions kept of each key, 1 to 64
	TTL            Duration          `json:"ttl"`                // age at which entries vanish; 0 for never
	MaxBytes       int64             `json:"max_bytes"`          // of the whole bucket; -1 for no limit
	Storage        Storage           `json:"storage"`            //
	Replicas       int               `json:"num_replicas"`       // 1 to 5
	Compression    bool              `json:"compression"`        //
	LimitMarkerTTL Duration          `json:"limit_marker_ttl"`   // how long markers of expired entries stay; at least 1s, 0 for none
	AllowAtomic    bool              `json:"allow_atomic"`       // transactions
	Metadata       map[string]string `json:"metadata"`           // without the server's own
	Placement      *Placement        `json:"placement,omitzero"` //
	Republish      *Republish        `json:"republish,omitzero"` //
	Mirror         *Source           `json:"mirror,omitzero"`    //
	Sources        []*Source         `json:"sources,omitempty"`  //
}

// Storage is where a bucket's entries are kept.
type Storage string

// The kinds of storage.
const (
	FileStorage   Storage = "file"
	MemoryStorage Storage = "memory"
)

// Placement says on which servers of a cluster a bucket may be.
type Placement struct {
	Cluster string   `json:"cluster,omitempty"`
	Tags    []string `json:"tags,omitempty"`
}

// Republish makes the server publish every stored entry once more, under another subject.
type Republish struct {
	Source      string `json:"src,omitempty"`
	Destination string `json:"dest"`
	HeadersOnly bool   `json:"headers_only,omitempty"`
}

// A Source is a bucket whose entries come into this one. Its name is a bucket's ("KV_" in front is accepted), or a stream's
// where subject transforms are given.
type Source struct {
	Name              string             `json:"name"`
	OptStartSeq       uint64             `json:"opt_start_seq,omitempty"`
	OptStartTime      *time.Time         `json:"opt_start_time,omitempty"`
	FilterSubject     string             `json:"filter_subject,omitempty"`
	SubjectTransforms []SubjectTransform `json:"subject_transforms,omitempty"`
	External          *External          `json:"external,omitempty"`
}

// A SubjectTransform maps the subjects of a source.
type SubjectTransform struct {
	Source      string `json:"src"`
	Destination string `json:"dest"`
}

// External names the JetStream of another account or domain.
type External struct {
	API     string `json:"api"`
	Deliver string `json:"deliver,omitempty"`
}

// DefaultBucketConfig is the configuration of a bucket of which nothing else is said.
func DefaultBucketConfig() BucketConfig {
	return BucketConfig{MaxValueSize: -1, History: 1, MaxBytes: -1, Storage: FileStorage, Replicas: 1}
}

// normalize puts NATS' defaults where a field says "none" in another way, so that configurations can be compared.
func (c *BucketConfig) normalize() {
	if c.MaxValueSize <= 0 {
		c.MaxValueSize = -1
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = -1
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.History == 0 {
		c.History = 1
	}
	if c.Storage == "" {
		c.Storage = FileStorage
	}
	if len(c.Metadata) == 0 {
		c.Metadata = nil
	}
	if c.Republish != nil && c.Republish.Source == "" {
		c.Republish.Source = AllKeys.pattern
	}
	if c.Placement != nil && c.Placement.Cluster == "" && len(c.Placement.Tags) == 0 {
		c.Placement = nil
	}
}

// check returns a *[ConfigError] for what NATS would refuse without saying clearly why, or take although it cannot work. What
// another tool has set already, which is in before, may stay.
func (c *BucketConfig) validate(before BucketConfig) error {
	refuse := func(format string, args ...any) error { return &ConfigError{Reason: fmt.Sprintf(format, args...)} }
	switch {
	case c.History < 1 || c.History > max(MaxHistory, before.History):
		return refuse("history is %d; it must be from 1 to %d", c.History, MaxHistory)
	case c.Storage != FileStorage && c.Storage != MemoryStorage:
		return refuse("storage is %q; it must be \"file\" or \"memory\"", c.Storage)
	case c.Mirror != nil && len(c.Sources) > 0:
		return refuse("mirror and sources exclude each other")
	case c.Republish != nil && c.Republish.Destination == "":
		return refuse("republish needs a dest")
	case c.Republish != nil && isReserved(c.Republish.Destination) && !reflect.DeepEqual(c.Republish, before.Republish):
		return refuse("republish: %q is a subject of NATS' own, where a stored entry would be a request", c.Republish.Destination)
	case c.TTL != 0 && c.TTL < Duration(100*time.Millisecond):
		return refuse("ttl is %s; it must be at least 100ms", c.TTL)
	case c.LimitMarkerTTL != 0 && c.LimitMarkerTTL < Duration(time.Second):
		return refuse("limit_marker_ttl is %s; it must be at least 1s", c.LimitMarkerTTL)
	}
	for key := range c.Metadata {
		if isServerMetadata(key) {
			return refuse("metadata %q: names that begin with _nats. are the server's", key)
		}
	}
	for _, source := range append(slices.Clone(c.Sources), c.Mirror) {
		switch {
		case source == nil:
		case !source.named():
			return refuse("%q is no bucket to mirror or take from", source.Name)
		case source.External != nil && !isSubjectPrefix(source.External.API):
			return refuse("external api %.40q is no subject prefix of at most %d bytes", source.External.API, maxPrefixBytes)
		}
	}
	return nil
}

// isReserved tells whether a subject is one that NATS itself listens to or answers on.
func isReserved(subject string) bool {
	return strings.HasPrefix(subject, "$") || strings.HasPrefix(subject, "_INBOX.")
}

// named tells whether the source names a bucket or, with transforms, what can be a stream.
func (s *Source) named() bool {
	if len(s.SubjectTransforms) > 0 {
		return s.Name != "" && !strings.ContainsAny(s.Name, ". *>/\\\t\r\n")
	}
	_, err := ParseBucketName(strings.TrimPrefix(s.Name, streamPrefix))
	return err == nil
}

// isServerMetadata tells whether the server itself keeps this metadata of a stream.
func isServerMetadata(key string) bool { return strings.HasPrefix(key, "_nats.") }

// maxPrefixBytes bounds the subject prefix of another account's or domain's JetStream. It goes in front of keys, where it must not
// make a subject too long for the connection.
const maxPrefixBytes = 255

// isSubjectPrefix tells whether s can stand in front of a subject: tokens of printable ASCII, no wildcards, no spaces.
func isSubjectPrefix(s string) bool {
	if s == "" || len(s) > maxPrefixBytes || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' || r == '>' })
}

// A Difference is a field in which two configurations of a bucket differ.
type Difference struct {
	Field string          `json:"field"`
	Have  json.RawMessage `json:"have"`
	Want  json.RawMessage `json:"want"`
}

// differences lists the fields in which the two configurations differ, sorted by name.
func differences(have, want BucketConfig) ([]Difference, error) {
	haveFields, err := fieldsOf(have)
	if err != nil {
		return nil, err
	}
	wantFields, err := fieldsOf(want)
	if err != nil {
		return nil, err
	}
	names := maps.Clone(haveFields)
	maps.Copy(names, wantFields)
	var found []Difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !reflect.DeepEqual(haveFields[name], wantFields[name]) {
			found = append(found, Difference{Field: name, Have: orNull(haveFields[name]), Want: orNull(wantFields[name])})
		}
	}
	return found, nil
}

// fieldsOf returns a configuration's fields as JSON, by name. Encoding is canonical: struct order, sorted maps.
func fieldsOf(c BucketConfig) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode bucket configuration: %w", err)
	}
	var fields map[string]json.RawMessage
	err = json.Unmarshal(data, &fields)
	return fields, err
}

func orNull(field json.RawMessage) json.RawMessage {
	if field == nil {
		return json.RawMessage("null")
	}
	return field
}

// bucketConfig reads a bucket's configuration from its stream's.
func bucketConfig(s jetstream.StreamConfig) BucketConfig {
	c := BucketConfig{
		Description:    s.Description,
		MaxValueSize:   s.MaxMsgSize,
		History:        s.MaxMsgsPerSubject,
		TTL:            Duration(s.MaxAge),
		MaxBytes:       s.MaxBytes,
		Storage:        FileStorage,
		Replicas:       s.Replicas,
		Compression:    s.Compression != jetstream.NoCompression,
		LimitMarkerTTL: Duration(s.SubjectDeleteMarkerTTL),
		AllowAtomic:    s.AllowAtomicPublish,
		Metadata:       make(map[string]string),
		Mirror:         sourceOf(s.Mirror),
	}
	if s.Storage == jetstream.MemoryStorage {
		c.Storage = MemoryStorage
	}
	for key, value := range s.Metadata {
		if !isServerMetadata(key) {
			c.Metadata[key] = value
		}
	}
	if p := s.Placement; p != nil {
		c.Placement = &Placement{Cluster: p.Cluster, Tags: p.Tags}
	}
	if r := s.RePublish; r != nil {
		c.Republish = &Republish{Source: r.Source, Destination: r.Destination, HeadersOnly: r.HeadersOnly}
	}
	for _, source := range s.Sources {
		c.Sources = append(c.Sources, sourceOf(source))
	}
	c.normalize()
	return c
}
