package kvclient

import (
	"strconv"

	"github.com/nats-io/nats.go"
)

// Headers of an atomic batch (ADR-50). The server stores them with each message of it.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// A Mark says of which transaction an entry is a part. Members have consecutive revisions, so that the first is at the entry's
// revision less the index. Which revision is the last only the last tells.
type Mark struct {
	ID    string // of the transaction, up to 64 bytes of printable ASCII
	Index uint64 // among the transaction's writes, from 0
	Last  bool
}

// markOf reads the mark out of the stored headers; nil if the entry was written by itself. The server refuses these headers on what
// is no member of a batch, so nobody can make them up.
func markOf(h nats.Header) *Mark {
	id := printable(first(h, headerBatchID))
	if id == "" {
		return nil
	}
	sequence, err := strconv.ParseUint(first(h, headerBatchSequence), 10, 64)
	if err != nil || sequence == 0 {
		return nil
	}
	return &Mark{ID: id, Index: sequence - 1, Last: first(h, headerBatchCommit) != ""}
}

func (m *Mark) appendMember(dst []byte) []byte {
	if m == nil {
		return dst
	}
	dst = appendString(append(dst, `,"transaction":{"id":`...), m.ID)
	dst = strconv.AppendUint(append(dst, `,"index":`...), m.Index, 10)
	dst = strconv.AppendBool(append(dst, `,"last":`...), m.Last)
	return append(dst, '}')
}
