package kvclient

import (
	"context"
	"kvgateway/internal/kv"
)

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
