package kvclient

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
)

// defaultDuplicateWindow is the time in which a stream recognises a repeated message id, unless the
// bucket's TTL is shorter.
const defaultDuplicateWindow = 2 * time.Minute

// streamConfig translates a bucket's configuration into that of its stream, setting by setting as
// nats.go does: the server compares them when a native client creates the same bucket.
func streamConfig(name kv.BucketName, c kv.BucketConfig) jetstream.StreamConfig {
	s := jetstream.StreamConfig{
		Name:                   name.Stream(),
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
	if c.Storage == kv.MemoryStorage {
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
		s.Mirror = streamSource(c.Mirror)
		s.Mirror.Name = withStreamPrefix(c.Mirror.Name)
		s.MirrorDirect = true
		return s
	}
	s.Subjects = []string{allSubjects(name.String())}
	for _, source := range c.Sources {
		s.Sources = append(s.Sources, sourceInto(name, source))
	}
	return s
}

// duplicateWindow returns the time in which the stream of a bucket with that TTL recognises a
// repeated message id.
func duplicateWindow(ttl kv.Duration) time.Duration {
	if ttl > 0 {
		return min(time.Duration(ttl), defaultDuplicateWindow)
	}
	return defaultDuplicateWindow
}

// allSubjects returns the filter of all subjects of a bucket.
func allSubjects(bucket string) string { return subjectPrefix + bucket + ".>" }

// withStreamPrefix returns the name of the stream of a bucket that is named with or without "KV_".
func withStreamPrefix(name string) string {
	if strings.HasPrefix(name, kv.StreamPrefix) {
		return name
	}
	return kv.StreamPrefix + name
}

// sourceInto returns the stream source that brings the entries of another bucket under the subjects
// of this one. If transforms are given they are used as they are, with a stream's name that need
// not be a bucket's.
func sourceInto(name kv.BucketName, s *kv.Source) *jetstream.StreamSource {
	source := streamSource(s)
	if len(s.SubjectTransforms) > 0 {
		return source
	}
	source.Name = withStreamPrefix(s.Name)
	origin := strings.TrimPrefix(source.Name, kv.StreamPrefix)
	if s.External == nil || origin != name.String() {
		source.SubjectTransforms = []jetstream.SubjectTransformConfig{
			{Source: allSubjects(origin), Destination: allSubjects(name.String())},
		}
	}
	return source
}

// streamSource translates a source into that of a stream, name for name.
func streamSource(s *kv.Source) *jetstream.StreamSource {
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

// sourceOf is the reverse of streamSource; nil stays nil.
func sourceOf(s *jetstream.StreamSource) *kv.Source {
	if s == nil {
		return nil
	}
	source := &kv.Source{
		Name:          s.Name,
		OptStartSeq:   s.OptStartSeq,
		OptStartTime:  s.OptStartTime,
		FilterSubject: s.FilterSubject,
	}
	for _, t := range s.SubjectTransforms {
		transform := kv.SubjectTransform{Source: t.Source, Destination: t.Destination}
		source.SubjectTransforms = append(source.SubjectTransforms, transform)
	}
	if e := s.External; e != nil {
		source.External = &kv.External{API: e.APIPrefix, Deliver: e.DeliverPrefix}
	}
	return source
}

// bucketConfig reads a bucket's configuration from that of its stream.
func bucketConfig(s jetstream.StreamConfig) kv.BucketConfig {
	c := kv.BucketConfig{
		Description:    s.Description,
		MaxValueSize:   s.MaxMsgSize,
		History:        s.MaxMsgsPerSubject,
		TTL:            kv.Duration(s.MaxAge),
		MaxBytes:       s.MaxBytes,
		Storage:        kv.FileStorage,
		Replicas:       s.Replicas,
		Compression:    s.Compression != jetstream.NoCompression,
		LimitMarkerTTL: kv.Duration(s.SubjectDeleteMarkerTTL),
		AllowAtomic:    s.AllowAtomicPublish,
		Metadata:       make(map[string]string),
		Mirror:         sourceOf(s.Mirror),
	}
	if s.Storage == jetstream.MemoryStorage {
		c.Storage = kv.MemoryStorage
	}
	for key, value := range s.Metadata {
		if !kv.IsServerMetadata(key) {
			c.Metadata[key] = value
		}
	}
	if p := s.Placement; p != nil {
		c.Placement = &kv.Placement{Cluster: p.Cluster, Tags: p.Tags}
	}
	if r := s.RePublish; r != nil {
		c.Republish = &kv.Republish{
			Source: r.Source, Destination: r.Destination, HeadersOnly: r.HeadersOnly,
		}
	}
	for _, source := range s.Sources {
		c.Sources = append(c.Sources, sourceOf(source))
	}
	c.Normalize()
	return c
}
