package kvclient

import (
	"context"
	"time"
)

// A BucketStatus is a bucket's configuration and state, as the stream's leader has it.
type BucketStatus struct {
	Name          BucketName
	Config        BucketConfig
	Epoch         Epoch
	Created       time.Time
	Values        uint64 // messages: earlier revisions and markers included, as native clients count
	Subjects      uint64 // keys, deleted ones whose marker is still there included
	Bytes         uint64 // stored, with subjects and headers
	FirstRevision Revision
	LastRevision  Revision
	MaxValueBytes int // of a value and the headers stored with it
	Leader        string
	Peers         []Peer // the other replicas
}

// A Peer is a replica that is not the leader.
type Peer struct {
	Name    string
	Current bool          // it has all that the leader has
	Offline bool          //
	Active  time.Duration // since it was last heard of
	Lag     uint64        // operations behind
}

// Status asks the server for a bucket's configuration and state. It returns [ErrBucketNotFound], [ErrBadBucket],
// [ErrUnavailable] or [ErrTimeout].
func (c *Client) Status(ctx context.Context, name BucketName) (BucketStatus, error) {
	_, info, err := c.lookUp(ctx, c.reads, name)
	if err != nil {
		return BucketStatus{}, err
	}
	return c.bucketStatus(name, info), nil
}

func (c *Client) bucketStatus(name BucketName, info *streamInfoResponse) BucketStatus {
	status := BucketStatus{
		Name:          name,
		Config:        bucketConfig(info.Config),
		Epoch:         epochOf(info.Created),
		Created:       info.Created,
		Values:        info.State.Msgs,
		Subjects:      info.State.NumSubjects,
		Bytes:         info.State.Bytes,
		FirstRevision: Revision(info.State.FirstSeq),
		LastRevision:  Revision(info.State.LastSeq),
		MaxValueBytes: c.maxMessage(info.Config.MaxMsgSize),
	}
	if info.Cluster != nil && info.Cluster.Name != "" { // a server alone names itself as leader
		status.Leader = info.Cluster.Leader
		for _, peer := range info.Cluster.Replicas {
			status.Peers = append(status.Peers,
				Peer{Name: peer.Name, Current: peer.Current, Offline: peer.Offline, Active: peer.Active, Lag: peer.Lag})
		}
	}
	return status
}

// ExpiryEvents tells whether the bucket leaves a marker where an entry's time to live runs out, so that watchers see it.
func (s BucketStatus) ExpiryEvents() bool { return s.Config.LimitMarkerTTL > 0 }
