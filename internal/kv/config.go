package kv

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// EnoughForMarkers is a max_value_size with which the headers of every marker fit: those of a purge
// with a precondition take up to 105 bytes.
const EnoughForMarkers = 128

// MaxHistory is the most revisions that a bucket keeps of a key (ADR-8).
const MaxHistory = 64

// A BucketConfig is what can be set of a bucket. The names, the meaning and the defaults are those
// of NATS' KeyValueConfig, so that a native client's idempotent create of the same bucket matches.
type BucketConfig struct {
	// Description is a text for people.
	Description string `json:"description"`
	// MaxValueSize is how many bytes a value and its stored headers may have; -1 for no limit but
	// the server's.
	MaxValueSize int32 `json:"max_value_size"`
	// History is how many revisions are kept of each key, 1 to 64.
	History int64 `json:"history"`
	// TTL is the age at which entries vanish; 0 for never.
	TTL Duration `json:"ttl"`
	// MaxBytes is how many bytes the whole bucket may have; -1 for no limit.
	MaxBytes int64 `json:"max_bytes"`
	// Storage is where the entries are kept.
	Storage Storage `json:"storage"`
	// Replicas is how many servers keep the bucket, 1 to 5.
	Replicas int `json:"num_replicas"`
	// Compression says that the server compresses what it keeps in files.
	Compression bool `json:"compression"`
	// LimitMarkerTTL is how long the markers of expired entries stay, at least 1s; 0 for no markers
	// and no times to live of entries.
	LimitMarkerTTL Duration `json:"limit_marker_ttl"`
	// AllowAtomic says that the bucket takes transactions.
	AllowAtomic bool `json:"allow_atomic"`
	// Metadata is the stream's metadata without the server's own.
	Metadata map[string]string `json:"metadata"`
	// Placement says where in a cluster the bucket may be; nil for anywhere.
	Placement *Placement `json:"placement,omitzero"`
	// Republish makes the server publish what is stored once more; nil for not.
	Republish *Republish `json:"republish,omitzero"`
	// Mirror is the origin of which the bucket is a copy; nil for none.
	Mirror *Source `json:"mirror,omitzero"`
	// Sources are the buckets whose entries come into this one.
	Sources []*Source `json:"sources,omitempty"`
}

// Storage is where a bucket's entries are kept.
type Storage string

// The kinds of storage.
const (
	// FileStorage keeps entries in files.
	FileStorage Storage = "file"
	// MemoryStorage keeps entries in memory.
	MemoryStorage Storage = "memory"
)

// Placement says on which servers of a cluster a bucket may be.
type Placement struct {
	// Cluster is the cluster's name.
	Cluster string `json:"cluster,omitempty"`
	// Tags are those that each of the servers must have.
	Tags []string `json:"tags,omitempty"`
}

// Republish makes the server publish every stored entry once more, under another subject.
type Republish struct {
	// Source is the filter of the subjects that are published again; ">" if empty.
	Source string `json:"src,omitempty"`
	// Destination is the pattern of the subjects under which they are.
	Destination string `json:"dest"`
	// HeadersOnly leaves the values out.
	HeadersOnly bool `json:"headers_only,omitempty"`
}

// A Source is a bucket whose entries come into this one.
type Source struct {
	// Name is a bucket's name ("KV_" in front is accepted), or a stream's name if subject
	// transforms are given.
	Name string `json:"name"`
	// OptStartSeq is the revision from which entries come; 0 for the first.
	OptStartSeq uint64 `json:"opt_start_seq,omitempty"`
	// OptStartTime is the time from which entries come; nil for any.
	OptStartTime *time.Time `json:"opt_start_time,omitempty"`
	// FilterSubject selects which subjects come; "" for all.
	FilterSubject string `json:"filter_subject,omitempty"`
	// SubjectTransforms map the subjects that come; empty for the usual ones.
	SubjectTransforms []SubjectTransform `json:"subject_transforms,omitempty"`
	// External says whose JetStream has the source; nil for the bucket's own.
	External *External `json:"external,omitempty"`
}

// A SubjectTransform maps the subjects of a source.
type SubjectTransform struct {
	// Source is the pattern of the source's subjects.
	Source string `json:"src"`
	// Destination is what they become.
	Destination string `json:"dest"`
}

// External names the JetStream of another account or domain.
type External struct {
	// API is the subject prefix of its API.
	API string `json:"api"`
	// Deliver is the subject prefix for what it delivers.
	Deliver string `json:"deliver,omitempty"`
}

// DefaultBucketConfig returns the configuration of a bucket of which nothing else is said.
func DefaultBucketConfig() BucketConfig {
	return BucketConfig{
		MaxValueSize: -1, History: 1, MaxBytes: -1, Storage: FileStorage, Replicas: 1,
	}
}

// Normalize puts NATS' defaults into fields that say "none" in another way, so that configurations
// can be compared.
func (c *BucketConfig) Normalize() {
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

// Validate returns a *[ConfigError] for what NATS would refuse without saying clearly why, or would
// take although it cannot work. What another tool has set already, which is in before, may stay.
func (c *BucketConfig) Validate(before BucketConfig) error {
	refuse := func(format string, args ...any) error {
		return &ConfigError{Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.History < 1 || c.History > max(MaxHistory, before.History):
		return refuse("history is %d; it must be from 1 to %d", c.History, MaxHistory)
	case c.Storage != FileStorage && c.Storage != MemoryStorage:
		return refuse("storage is %q; it must be \"file\" or \"memory\"", c.Storage)
	case c.Mirror != nil && len(c.Sources) > 0:
		return refuse("mirror and sources exclude each other")
	case c.Republish != nil && c.Republish.Destination == "":
		return refuse("republish needs a dest")
	case c.Republish != nil && isReserved(c.Republish.Destination) &&
		!reflect.DeepEqual(c.Republish, before.Republish):
		return refuse("republish: %q is a subject of NATS' own, where a stored entry would be a "+
			"request", c.Republish.Destination)
	case c.TTL != 0 && c.TTL < Duration(100*time.Millisecond):
		return refuse("ttl is %s; it must be at least 100ms", c.TTL)
	case c.LimitMarkerTTL != 0 && c.LimitMarkerTTL < Duration(time.Second):
		return refuse("limit_marker_ttl is %s; it must be at least 1s", c.LimitMarkerTTL)
	}
	for key := range c.Metadata {
		if IsServerMetadata(key) {
			return refuse("metadata %q: names that begin with _nats. are the server's", key)
		}
	}
	for _, source := range append(slices.Clone(c.Sources), c.Mirror) {
		switch {
		case source == nil:
		case !source.named():
			return refuse("%q is not a bucket to mirror or to take entries from", source.Name)
		case source != c.Mirror && source.FilterSubject != "" && source.External == nil &&
			len(source.SubjectTransforms) == 0 && !reflect.DeepEqual(c.Sources, before.Sources):
			return refuse("sources: filter_subject does not go together with the "+
				"subject_transforms that a bucket's sources need; leave it out and give "+
				"subject_transforms: src is a filter such as %q, and dest the same with this "+
				"bucket's name",
				SubjectPrefix+source.Bucket()+".orders.>")
		case source == c.Mirror && source.filterFault() != "" &&
			!reflect.DeepEqual(source, before.Mirror):
			return refuse("mirror: %s", source.filterFault())
		case source.External != nil && !IsSubjectPrefix(source.External.API):
			return refuse("external api %.40q is not a subject prefix of at most %d bytes",
				source.External.API, maxPrefixBytes)
		}
	}
	return nil
}

// isReserved reports whether a subject is one that NATS itself listens to or answers on.
func isReserved(subject string) bool {
	return strings.HasPrefix(subject, "$") || strings.HasPrefix(subject, "_INBOX.")
}

// named reports whether the source names a bucket or, with transforms, what can be a stream.
func (s *Source) named() bool {
	if len(s.SubjectTransforms) > 0 {
		return s.Name != "" && !strings.ContainsAny(s.Name, ". *>/\\\t\r\n")
	}
	_, err := ParseBucketName(strings.TrimPrefix(s.Name, StreamPrefix))
	return err == nil
}

// IsServerMetadata reports whether this metadata of a stream is the server's own.
func IsServerMetadata(key string) bool { return strings.HasPrefix(key, "_nats.") }

// maxPrefixBytes bounds the subject prefix of another account's or domain's JetStream. The prefix
// goes in front of keys, where it must not make a subject too long for the connection.
const maxPrefixBytes = 255

// IsSubjectPrefix reports whether s can stand in front of a subject: it is tokens of printable
// ASCII between dots, without wildcards and spaces. What comes from a stream's configuration is
// checked with it before it goes into a subject.
func IsSubjectPrefix(s string) bool {
	if s == "" || len(s) > maxPrefixBytes || strings.Contains(s, "..") ||
		s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '*' || r == '>'
	})
}

// A Difference is a field in which two configurations of a bucket differ.
type Difference struct {
	// Field is the field's name in JSON.
	Field string `json:"field"`
	// Have is its value in the existing configuration.
	Have json.RawMessage `json:"have"`
	// Want is its value in the wanted one.
	Want json.RawMessage `json:"want"`
}

// Differences lists the fields in which the two configurations differ, sorted by name.
func Differences(have, want BucketConfig) ([]Difference, error) {
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
			found = append(found, Difference{
				Field: name,
				Have:  orNull(haveFields[name]),
				Want:  orNull(wantFields[name]),
			})
		}
	}
	return found, nil
}

// fieldsOf returns a configuration's fields as JSON, by name. The encoding is canonical: fields in
// the order of the struct, maps sorted.
func fieldsOf(c BucketConfig) (map[string]json.RawMessage, error) {
	data, err := EncodeJSON(c)
	if err != nil {
		return nil, fmt.Errorf("encode bucket configuration: %w", err)
	}
	var fields map[string]json.RawMessage
	err = json.Unmarshal(data, &fields)
	return fields, err
}

// orNull returns the JSON of a field that may be left out.
func orNull(field json.RawMessage) json.RawMessage {
	if field == nil {
		return json.RawMessage("null")
	}
	return field
}
