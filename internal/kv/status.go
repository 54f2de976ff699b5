package kv

import "time"

// A BucketStatus is a bucket's configuration and state, as the stream's leader has it.
type BucketStatus struct {
	// Name is the bucket's name.
	Name BucketName
	// Config is its configuration.
	Config BucketConfig
	// Epoch is its epoch.
	Epoch Epoch
	// Created is when its stream was created.
	Created time.Time
	// Values is how many messages there are, earlier revisions and markers included, as native
	// clients count.
	Values uint64
	// Subjects is how many keys there are, deleted keys whose marker is still there included.
	Subjects uint64
	// Bytes is how many bytes are stored, with subjects and headers.
	Bytes uint64
	// FirstRevision is the first revision that is still there.
	FirstRevision Revision
	// LastRevision is the last revision that was given out.
	LastRevision Revision
	// MaxValueBytes is how many bytes a value and its stored headers may have.
	MaxValueBytes int
	// Leader is the server that leads the stream; "" if the server is alone.
	Leader string
	// Peers are the other replicas.
	Peers []Peer
}

// A Peer is a replica that is not the leader.
type Peer struct {
	// Name is the server's name.
	Name string
	// Current says that it has everything that the leader has.
	Current bool
	// Offline says that the leader takes the server for lost.
	Offline bool
	// Active is how long ago it was last heard of.
	Active time.Duration
	// Lag is how many operations it is behind.
	Lag uint64
}

// ExpiryEvents reports whether the bucket leaves a marker when an entry's time to live runs out, so
// that watchers see it.
func (s BucketStatus) ExpiryEvents() bool { return s.Config.LimitMarkerTTL > 0 }
