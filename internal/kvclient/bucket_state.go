package kvclient

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// A StreamState is what the leader of a bucket's stream says of it at one moment.
type StreamState struct {
	// Epoch is the stream's epoch.
	Epoch kv.Epoch
	// Created is when the stream was created, as the server says.
	Created time.Time
	// At is when the leader said this, by the server's clock.
	At time.Time
	// First is the first revision that is still there, and Last the last that was given out.
	First, Last kv.Revision
	// Messages is how many messages there are.
	Messages uint64
	// Bytes is how many bytes the messages have, with subjects and headers.
	Bytes uint64
	// Subjects is how many subjects they have.
	Subjects uint64
	// LastTime is when the last message was stored.
	LastTime time.Time
	// Lifetime is the shortest time that an entry or a marker may live; 0 if none vanishes by age.
	Lifetime time.Duration
	// History is how many messages are kept of each key.
	History int64
	// Terms are those on which the bucket keeps its entries.
	Terms kv.Terms
}

// NothingRemoved reports whether the stream still holds every message that it was ever given.
func (s StreamState) NothingRemoved() bool {
	return s.Last == 0 || s.First == 1 && s.Messages == uint64(s.Last)
}

// LiveBytes estimates how many bytes the last messages of all subjects have, as if they were as
// large as the others.
func (s StreamState) LiveBytes() int64 {
	if s.Messages == 0 {
		return 0
	}
	return int64(float64(s.Bytes) / float64(s.Messages) * float64(s.Subjects))
}

// State asks the server for a bucket and the state of its stream. It returns the errors of
// [Client.Status], and [kv.ErrUnavailable] while a replicated stream has no leader: then every
// replica answers, each with what it knows (measured, nats-server 2.15.2;
// TestClusterStateIsUnavailableWithoutALeader), and that is no answer. A leader that is cut off
// alone goes on for some 20 s before it finds out; nothing tells a client.
func (c *Client) State(ctx context.Context, name kv.BucketName) (*Bucket, StreamState, error) {
	return c.state(ctx, c.writes, name)
}

// state is State with a choice of the link.
func (c *Client) state(
	ctx context.Context, l *link.Link, name kv.BucketName,
) (*Bucket, StreamState, error) {
	b, info, err := c.lookUp(ctx, l, name)
	if err != nil {
		return nil, StreamState{}, err
	}
	s, err := b.stateOf(info)
	if err != nil {
		return nil, StreamState{}, err
	}
	return b, s, nil
}

// stateOf returns what the description of the bucket's stream says of its state, or
// [kv.ErrUnavailable] if no leader has given it.
func (b *Bucket) stateOf(info *streamInfoResponse) (StreamState, error) {
	if info.Cluster != nil && info.Cluster.Leader == "" && info.Config.Replicas > 1 {
		return StreamState{}, fmt.Errorf("%w: stream %s has no leader",
			kv.ErrUnavailable, b.stream)
	}
	return StreamState{
		Epoch:    b.epoch,
		Created:  info.Created,
		At:       info.TimeStamp,
		First:    kv.Revision(info.State.FirstSeq),
		Last:     kv.Revision(info.State.LastSeq),
		Messages: info.State.Msgs,
		Bytes:    info.State.Bytes,
		Subjects: info.State.NumSubjects,
		LastTime: info.State.LastTime,
		Lifetime: lifetime(info.Config),
		History:  info.Config.MaxMsgsPerSubject,
		Terms:    termsOf(b.readPrefix, &info.Config),
	}, nil
}

// lifetime returns the shortest time that a message may live: the stream's, or one of the message's
// own, which is at least a second.
func lifetime(config jetstream.StreamConfig) time.Duration {
	switch {
	case !config.AllowMsgTTL:
		return config.MaxAge
	case config.MaxAge == 0:
		return time.Second
	}
	return min(config.MaxAge, time.Second)
}

// termsOf reads the terms of a bucket, whose entries have these subjects, from its stream's
// configuration.
func termsOf(subjects string, config *jetstream.StreamConfig) kv.Terms {
	return kv.Terms{
		MaxAge:      config.MaxAge,
		MarkerTTL:   config.SubjectDeleteMarkerTTL,
		MessageTTLs: config.AllowMsgTTL,
		Discards:    discards(config),
		Subjects:    subjects,
	}
}

// discards returns [kv.Terms.Discards].
func discards(config *jetstream.StreamConfig) bool {
	bounded := config.MaxMsgs > 0 || config.MaxBytes > 0
	return config.Discard == jetstream.DiscardOld && bounded ||
		config.Retention != jetstream.LimitsPolicy || config.AllowMsgSchedules
}

// Status asks the server for a bucket's configuration and state. It returns [kv.ErrBucketNotFound],
// [kv.ErrBadBucket], [kv.ErrUnavailable] or [kv.ErrTimeout].
func (c *Client) Status(ctx context.Context, name kv.BucketName) (kv.BucketStatus, error) {
	_, info, err := c.lookUp(ctx, c.reads, name)
	if err != nil {
		return kv.BucketStatus{}, err
	}
	return c.bucketStatus(name, info), nil
}

// bucketStatus makes a status of what the server says of a bucket's stream.
func (c *Client) bucketStatus(name kv.BucketName, info *streamInfoResponse) kv.BucketStatus {
	status := kv.BucketStatus{
		Name:          name,
		Config:        bucketConfig(info.Config),
		Epoch:         kv.EpochOf(info.Created),
		Created:       info.Created,
		Values:        info.State.Msgs,
		Subjects:      info.State.NumSubjects,
		Bytes:         info.State.Bytes,
		FirstRevision: kv.Revision(info.State.FirstSeq),
		LastRevision:  kv.Revision(info.State.LastSeq),
		MaxValueBytes: c.maxMessage(info.Config.MaxMsgSize),
	}
	if info.Cluster != nil && info.Cluster.Name != "" { // a server alone names itself as leader
		status.Leader = info.Cluster.Leader
		for _, peer := range info.Cluster.Replicas {
			status.Peers = append(status.Peers, kv.Peer{
				Name:    peer.Name,
				Current: peer.Current,
				Offline: peer.Offline,
				Active:  peer.Active,
				Lag:     peer.Lag,
			})
		}
	}
	return status
}
