package handlers

import (
	"fmt"
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
	Epoch   kv.Epoch  `json:"epoch"`
	Created time.Time `json:"created"`
	countsDocument
	BackingStore  string            `json:"backing_store"`
	Compressed    bool              `json:"compressed"`
	Replicas      *replicasDocument `json:"replicas,omitempty"`
	MaxValueBytes int               `json:"max_value_bytes"`
	ExpiryEvents  bool              `json:"expiry_events"`
	Hints         []string          `json:"hints"`
}

// countsDocument says how much is in a bucket.
type countsDocument struct {
	Values        uint64      `json:"values"`
	Subjects      uint64      `json:"subjects"`
	Hidden        *int        `json:"hidden,omitempty"`
	Bytes         uint64      `json:"bytes"`
	FirstRevision kv.Revision `json:"first_revision"`
	LastRevision  kv.Revision `json:"last_revision"`
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
			Epoch:   status.Epoch,
			Created: status.Created,
			countsDocument: countsDocument{
				Values:        status.Values,
				Subjects:      status.Subjects,
				Bytes:         status.Bytes,
				FirstRevision: status.FirstRevision,
				LastRevision:  status.LastRevision,
			},
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

// count adds how many keys are hidden, and advice if there are any.
func (d *bucketDocument) count(hidden int) {
	d.Status.Hidden = &hidden
	if hidden > 0 {
		d.Status.Hints = append(d.Status.Hints, fmt.Sprintf("%d of the subjects are no keys of "+
			"this gateway, since other tools gave them names that keys cannot have, or the "+
			"subject_transforms of a mirror did: no listing, export or stream shows them.", hidden))
	}
}

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
	if status.Config.MaxValueSize > 0 && status.Config.MaxValueSize < kv.EnoughForMarkers {
		found = append(found, "max_value_size counts headers: a "+
			"compare-and-set or a delete needs up to 105 bytes of it.")
	}
	if status.Config.Mirror != nil {
		found = append(found, hintMirror)
		found = append(found, mirrorHints(status.Config.Mirror)...)
	}
	return found
}

// hintMirror is the hint of every mirror.
const hintMirror = "this bucket mirrors another: writes go to the origin and come back a moment " +
	"later."

// mirrorHints returns advice about a mirror.
func mirrorHints(m *kv.Source) []string {
	found := []string{}
	switch extent := m.Extent(); {
	case !m.ShowsKeys():
		found = append(found, fmt.Sprintf("this mirror shows no keys: its filter_subject or its "+
			"subject_transforms leave no subject below $KV.%s., where the keys of a mirror are "+
			"looked for. Make a new mirror, or a bucket with the origin in sources, which "+
			"renames subjects as they must be.", m.Bucket()))
	case extent != nil:
		found = append(found, "this mirror holds a part of its origin: writes of keys outside of "+
			"that are refused.")
	}
	return found
}
