package natsd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/s2"
	"github.com/minio/highwayhash"
)

// A block of nats-server 2.15.2 (server/filestore.go) is a sequence of messages. Each has a head of
// 22 bytes (length, sequence, time, length of the subject), the subject, headers, the data, and a
// checksum of 8 bytes. Messages that were erased and tombstones have the same form. A block may be
// compressed as a whole, except for its last checksum.
const (
	messageHead     = 22
	messageChecksum = 8
	messageLimit    = 32 << 20
	headersBit      = 1 << 31         // in the length: the message has headers
	sequenceFlags   = 1<<63 | 1<<62   // in the sequence: erased, or the tombstone of another
	plausibleLast   = 1 << 48         // far above any sequence
	blockSuffix     = ".blk"          // of the name of a block
	stateName       = "index.db"      // the state file of a stream, beside its blocks
	stateMagic      = 11              // the first byte of the state file
	stateVersion    = 4               // the latest version of the state file that is known here
	purgeLeftover   = "__new_msgs__"  // a directory that an interrupted purge leaves behind
	compressedHead  = "cmp\x01"       // how a compressed block begins; 1 stands for S2
	messagesDir     = "msgs"          // the directory of the blocks, below that of the stream
	earliestTime    = 1_400_000_000e9 // 2014, before the first nats-server that had streams
	latestTime      = 4_102_444_800e9 // 2100
)

// searchLimit is of how many bytes the search behind a damage takes checksums, which is some tenths
// of a second for each damaged block.
const searchLimit = 1 << 30

// A blockScan says what a server finds that reads a block from its beginning.
type blockScan struct {
	// last is the highest sequence before the first damage.
	last uint64
	// badAt is the offset of the first message that cannot be read, -1 if there is none.
	badAt int
	// messagesAfter is how many whole messages follow the damage, as far as it was searched. The
	// server does not look for them.
	messagesAfter int
	// gaveUp says that the search for them has ended at searchLimit.
	gaveUp bool
	// lastAfter is the highest sequence among these.
	lastAfter uint64
	// whole says that the message that cannot be read ends within the file.
	whole bool
}

// scanBlock reads a block as nats-server does when it rebuilds the state of a stream. The server
// cuts the file at the first message that it cannot read. It fails if the context ends.
func scanBlock(ctx context.Context, path, stream string, index uint32) (blockScan, error) {
	if ctx.Err() != nil {
		return blockScan{}, context.Cause(ctx)
	}
	// #nosec G304 -- the file is one of the data directory
	content, err := os.ReadFile(path)
	if err != nil {
		return blockScan{}, err
	}
	if content, err = decompress(content); err != nil {
		return blockScan{badAt: 0, whole: true}, nil
	}
	digest, err := blockDigest(stream, index)
	if err != nil {
		return blockScan{}, err
	}
	scan := blockScan{badAt: -1}
	for at := 0; at < len(content); {
		length, sequence, ok := readMessage(content[at:], digest)
		if !ok {
			scan.badAt, scan.whole = at, length > 0 && at+length <= len(content)
			err = scan.search(ctx, content[at+1:], digest)
			break
		}
		scan.last = max(scan.last, sequence)
		at += length
	}
	return scan, err
}

// search looks for whole messages at every offset of what follows the damage. Where a message may
// begin, it needs a checksum of as many bytes as the message would have, so a value that is made to
// look like the beginnings of many long messages would take hours. It gives up at searchLimit. It
// fails if the context ends.
func (s *blockScan) search(ctx context.Context, content []byte, digest hash.Hash) error {
	budget := searchLimit
	for at := 0; at < len(content); {
		if !plausible(content[at:]) {
			at++
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		length, sequence, ok := readMessage(content[at:], digest)
		if length <= len(content)-at {
			budget -= length
		}
		switch {
		case ok:
			s.messagesAfter, s.lastAfter = s.messagesAfter+1, max(s.lastAfter, sequence)
			at += length
		case budget < 0:
			s.gaveUp = true
			return nil
		default:
			at++
		}
	}
	return nil
}

// plausible reports whether content may begin with a message: its time is after the first
// nats-server that had streams, and its sequence is one that can be reached. So not every offset
// needs a checksum.
func plausible(content []byte) bool {
	if len(content) < messageHead+messageChecksum {
		return false
	}
	sequence := binary.LittleEndian.Uint64(content[4:]) &^ sequenceFlags
	// #nosec G115 -- a time beyond 2^63 is that of a damaged file, as any other
	moment := int64(binary.LittleEndian.Uint64(content[12:]))
	return sequence < plausibleLast && moment > earliestTime && moment < latestTime
}

// readMessage returns the length and the sequence of the message with which content begins, and
// whether the message is whole and unchanged.
func readMessage(content []byte, digest hash.Hash) (length int, sequence uint64, ok bool) {
	if len(content) < messageHead+messageChecksum {
		return 0, 0, false
	}
	word := binary.LittleEndian.Uint32(content)
	length = int(word &^ headersBit)
	sequence = binary.LittleEndian.Uint64(content[4:]) &^ sequenceFlags
	subject := int(binary.LittleEndian.Uint16(content[20:]))
	prefix := subject // what precedes the headers and the message
	if word&headersBit != 0 {
		prefix += 4 // the length of the headers, which the checksum leaves out
	}
	if length < messageHead+prefix+messageChecksum || length > messageLimit {
		return 0, 0, false
	}
	if length > len(content) {
		return length, sequence, false
	}
	end := length - messageChecksum
	digest.Reset()
	digest.Write(content[4:20])
	digest.Write(content[messageHead : messageHead+subject])
	digest.Write(content[messageHead+prefix : end])
	return length, sequence, bytes.Equal(digest.Sum(nil), content[end:length])
}

// blockDigest returns the hash of the checksums in a block, which is keyed by the name of the
// stream and the number of the block.
func blockDigest(stream string, index uint32) (hash.Hash, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, index))
	return highwayhash.NewDigest64(key[:])
}

// decompress returns the messages of a block, which may be compressed.
func decompress(content []byte) ([]byte, error) {
	rest, compressed := bytes.CutPrefix(content, []byte(compressedHead))
	if !compressed {
		return content, nil
	}
	_, n := binary.Uvarint(rest)
	if n <= 0 || len(rest) < n+messageChecksum {
		return nil, errors.New("the head of a compressed block is damaged")
	}
	body, checksum := rest[n:len(rest)-messageChecksum], rest[len(rest)-messageChecksum:]
	messages, err := io.ReadAll(s2.NewReader(bytes.NewReader(body)))
	return append(messages, checksum...), err
}

// A storedState is the content of a stream's state file, which nats-server writes at a clean stop
// and about every two minutes.
type storedState struct {
	// Messages is the number of messages in the stream.
	Messages uint64
	// First and Last are the first and the last revision.
	First, Last uint64
	// Checksum is that of the file.
	Checksum string
}

// readState reads the state file of a stream. It returns false if the file is missing or damaged.
func readState(streamDir, stream string) (state storedState, ok bool) {
	// #nosec G304 -- the file is one of the data directory
	content, err := os.ReadFile(filepath.Join(streamDir, messagesDir, stateName))
	if err != nil || len(content) < 2+messageChecksum {
		return state, false
	}
	body := content[:len(content)-messageChecksum]
	sum := metaChecksum(stream, body)
	if sum != fmt.Sprintf("%x", content[len(body):]) {
		return state, false
	}
	if body[0] != stateMagic || body[1] == 0 || body[1] > stateVersion {
		return state, false
	}
	r := bytes.NewReader(body[2:])
	messages, _ := binary.ReadUvarint(r)
	_, _ = binary.ReadUvarint(r) // bytes
	first, _ := binary.ReadUvarint(r)
	_, _ = binary.ReadVarint(r) // time of the first
	last, err := binary.ReadUvarint(r)
	return storedState{Messages: messages, First: first, Last: last, Checksum: sum}, err == nil
}
