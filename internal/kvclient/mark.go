package kvclient

import (
	"strconv"

	"github.com/nats-io/nats.go"
)

// The headers of an atomic batch (ADR-50). The server stores them with each message of the batch.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// A Mark says of which transaction an entry is a part. The entries of a transaction have
// consecutive revisions, so the first one is at an entry's revision less its index. Which revision
// is the last, only the last entry says.
type Mark struct {
	ID    string // The transaction's id, up to 64 bytes of printable ASCII.
	Index uint64 // The entry's place among the transaction's writes, from 0.
	Last  bool   // The entry is the transaction's last.
}

// markOf reads the mark from the stored headers; nil if the entry was written by itself. The server
// refuses these headers on a message that is no part of a batch, so nobody can make them up.
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

// appendMember appends the member of an entry's JSON that shows the mark; a nil mark appends
// nothing.
func (m *Mark) appendMember(dst []byte) []byte {
	if m == nil {
		return dst
	}
	dst = appendString(append(dst, `,"transaction":{"id":`...), m.ID)
	dst = strconv.AppendUint(append(dst, `,"index":`...), m.Index, 10)
	dst = strconv.AppendBool(append(dst, `,"last":`...), m.Last)
	return append(dst, '}')
}
