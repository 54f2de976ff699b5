// Package kvclient is the domain of the gateway, and the only room that talks to NATS: buckets,
// keys, entries, revisions, epochs and preconditions, on top of JetStream's wire API.
//
// It speaks the wire API rather than jetstream.KeyValue where that interface hides what HTTP needs:
// the headers stored with a value, the revision behind a conflict, the settings of a stream that
// the KV API does not know. It stays compatible with native clients: the same streams, subjects and
// headers (ADR-8), so both can use a bucket at once.
//
// Types are parsed at the border ([ParseKey], [ParseBucketName], [ParseFilter], [ParsePosition])
// and not checked again inside: a [Key] can always be put into a NATS subject.
//
// Errors are the package's own words. Sentinels are matched with errors.Is; those that carry data
// are types matched with errors.As. NATS errors are wrapped once, here, and never need to be known
// elsewhere.
package kvclient
