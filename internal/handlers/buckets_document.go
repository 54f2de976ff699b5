package handlers

import (
	"time"

	"kvgateway/internal/kv"
)

// bucketDocument is a bucket's configuration and status as JSON. api/openapi.yaml describes its
// members, and those of its parts.
type bucketDocument struct {
	Bucket string `json:"bucket"`
	kv.BucketConfig
	Status statusDocument `json:"status"`
}

// statusDocument is the part of a bucket's document that clients cannot set.
type statusDocument struct {
	Epoch         kv.Epoch          `json:"epoch"`
	Created       time.Time         `json:"created"`
	Values        uint64            `json:"values"`
	Subjects      uint64            `json:"subjects"`
	Bytes         uint64            `json:"bytes"`
	FirstRevision kv.Revision       `json:"first_revision"`
	LastRevision  kv.Revision       `json:"last_revision"`
	BackingStore  string            `json:"backing_store"`
	Compressed    bool              `json:"compressed"`
	Replicas      *replicasDocument `json:"replicas,omitempty"`
	MaxValueBytes int               `json:"max_value_bytes"`
	ExpiryEvents  bool              `json:"expiry_events"`
	Hints         []string          `json:"hints"`
}

// replicasDocument says how the replicas of a bucket in a cluster are.
type replicasDocument struct {
	Leader string         `json:"leader"`
	Peers  []peerDocument `json:"peers"`
}

// peerDocument is one replica that is not the leader.
type peerDocument struct {
	Name    string      `json:"name"`
	Current bool        `json:"current"`
	Offline bool        `json:"offline"`
	Active  kv.Duration `json:"active"`
	Lag     uint64      `json:"lag"`
}

// documentOf returns the document of a bucket.
func documentOf(status kv.BucketStatus) bucketDocument {
	document := bucketDocument{
		Bucket:       status.Name.String(),
		BucketConfig: status.Config,
		Status: statusDocument{
			Epoch:         status.Epoch,
			Created:       status.Created,
			Values:        status.Values,
			Subjects:      status.Subjects,
			Bytes:         status.Bytes,
			FirstRevision: status.FirstRevision,
			LastRevision:  status.LastRevision,
			BackingStore:  "JetStream",
			Compressed:    status.Config.Compression,
			MaxValueBytes: status.MaxValueBytes,
			ExpiryEvents:  status.ExpiryEvents(),
			Hints:         hints(status),
		},
	}
	if document.Metadata == nil {
		document.Metadata = map[string]string{}
	}
	if status.Leader != "" {
		replicas := &replicasDocument{Leader: status.Leader, Peers: []peerDocument{}}
		for _, p := range status.Peers {
			replicas.Peers = append(replicas.Peers, peerDocument{
				Name:    p.Name,
				Current: p.Current,
				Offline: p.Offline,
				Active:  kv.Duration(p.Active),
				Lag:     p.Lag,
			})
		}
		document.Status.Replicas = replicas
	}
	return document
}

// smallValueSize is the max_value_size below which the headers of a purge with a precondition may
// not fit.
const smallValueSize = 128

// hints returns advice about settings whose effect may surprise.
func hints(status kv.BucketStatus) []string {
	found := []string{}
	if status.Config.TTL > 0 && !status.ExpiryEvents() {
		found = append(found, "ttl is set without limit_marker_ttl: entries vanish without an "+
			"event that watchers could see.")
	}
	if status.Config.MaxValueSize > 0 && int(status.Config.MaxValueSize) > status.MaxValueBytes {
		found = append(found, "max_value_size is above the NATS "+
			"server's max_payload, which is the limit in force.")
	}
	if status.Config.MaxValueSize > 0 && status.Config.MaxValueSize < smallValueSize {
		found = append(found, "max_value_size counts headers: a "+
			"compare-and-set or a delete needs up to 105 bytes of it.")
	}
	if status.Config.Mirror != nil {
		found = append(found, "this bucket mirrors another: "+
			"writes go to the origin and come back a moment later.")
	}
	return found
}
