package kvclient

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// defaultDuplicateWindow is the time in which a stream recognises a repeated message id, unless the
// bucket's TTL is shorter.
const defaultDuplicateWindow = 2 * time.Minute

// streamConfig translates a bucket's configuration into that of its stream, setting by setting as
// nats.go does: the server compares them when a native client creates the same bucket.
func streamConfig(name BucketName, c BucketConfig) jetstream.StreamConfig {
	s := jetstream.StreamConfig{
		Name:                   name.stream(),
		Description:            c.Description,
		MaxMsgsPerSubject:      c.History,
		MaxBytes:               c.MaxBytes,
		MaxAge:                 time.Duration(c.TTL),
		MaxMsgSize:             c.MaxValueSize,
		Storage:                jetstream.FileStorage,
		Replicas:               c.Replicas,
		AllowRollup:            true,
		DenyDelete:             true,
		Duplicates:             duplicateWindow(c.TTL),
		MaxMsgs:                -1,
		MaxConsumers:           -1,
		AllowDirect:            true,
		Discard:                jetstream.DiscardNew,
		AllowMsgTTL:            c.LimitMarkerTTL != 0,
		SubjectDeleteMarkerTTL: time.Duration(c.LimitMarkerTTL),
		Metadata:               c.Metadata,
		AllowAtomicPublish:     c.AllowAtomic,
	}
	if c.Storage == MemoryStorage {
		s.Storage = jetstream.MemoryStorage
	}
	if c.Compression {
		s.Compression = jetstream.S2Compression
	}
	if p := c.Placement; p != nil {
		s.Placement = &jetstream.Placement{Cluster: p.Cluster, Tags: p.Tags}
	}
	if r := c.Republish; r != nil {
		s.RePublish = &jetstream.RePublish{
			Source: r.Source, Destination: r.Destination, HeadersOnly: r.HeadersOnly,
		}
	}
	if c.Mirror != nil {
		s.Mirror = c.Mirror.stream()
		s.Mirror.Name = withStreamPrefix(c.Mirror.Name)
		s.MirrorDirect = true
		return s
	}
	s.Subjects = []string{allSubjects(name.name)}
	for _, source := range c.Sources {
		s.Sources = append(s.Sources, source.into(name))
	}
	return s
}

// duplicateWindow returns the time in which the stream of a bucket with that TTL recognises a
// repeated message id.
func duplicateWindow(ttl Duration) time.Duration {
	if ttl > 0 {
		return min(time.Duration(ttl), defaultDuplicateWindow)
	}
	return defaultDuplicateWindow
}

// allSubjects returns the filter of all subjects of a bucket.
func allSubjects(bucket string) string { return subjectPrefix + bucket + ".>" }

// withStreamPrefix returns the name of the stream of a bucket that is named with or without "KV_".
func withStreamPrefix(name string) string {
	if strings.HasPrefix(name, streamPrefix) {
		return name
	}
	return streamPrefix + name
}

// into returns the stream source that brings the entries of another bucket under the subjects of
// this one. If transforms are given they are used as they are, with a stream's name that need not
// be a bucket's.
func (s *Source) into(name BucketName) *jetstream.StreamSource {
	source := s.stream()
	if len(s.SubjectTransforms) > 0 {
		return source
	}
	source.Name = withStreamPrefix(s.Name)
	origin := strings.TrimPrefix(source.Name, streamPrefix)
	if s.External == nil || origin != name.name {
		source.SubjectTransforms = []jetstream.SubjectTransformConfig{
			{Source: allSubjects(origin), Destination: allSubjects(name.name)},
		}
	}
	return source
}

// stream translates a source into that of a stream, name for name.
func (s *Source) stream() *jetstream.StreamSource {
	source := &jetstream.StreamSource{
		Name:          s.Name,
		OptStartSeq:   s.OptStartSeq,
		OptStartTime:  s.OptStartTime,
		FilterSubject: s.FilterSubject,
	}
	for _, t := range s.SubjectTransforms {
		source.SubjectTransforms = append(source.SubjectTransforms,
			jetstream.SubjectTransformConfig{Source: t.Source, Destination: t.Destination})
	}
	if e := s.External; e != nil {
		source.External = &jetstream.ExternalStream{APIPrefix: e.API, DeliverPrefix: e.Deliver}
	}
	return source
}

// sourceOf is the reverse of Source.stream; nil stays nil.
func sourceOf(s *jetstream.StreamSource) *Source {
	if s == nil {
		return nil
	}
	source := &Source{
		Name:          s.Name,
		OptStartSeq:   s.OptStartSeq,
		OptStartTime:  s.OptStartTime,
		FilterSubject: s.FilterSubject,
	}
	for _, t := range s.SubjectTransforms {
		transform := SubjectTransform{Source: t.Source, Destination: t.Destination}
		source.SubjectTransforms = append(source.SubjectTransforms, transform)
	}
	if e := s.External; e != nil {
		source.External = &External{API: e.APIPrefix, Deliver: e.DeliverPrefix}
	}
	return source
}
