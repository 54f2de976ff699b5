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

// The format of a message block of nats-server 2.15.2 (server/filestore.go): records one after the
// other, each with a head of 22 bytes (length, sequence, time, length of the subject), the
// subject, headers, the message, and a checksum of 8 bytes. A block may be compressed as a whole,
// but for its last checksum.
const (
	recordHead     = 22
	recordChecksum = 8
	recordLimit    = 32 << 20
	headersBit     = 1 << 31         // in the length: the message has headers
	sequenceMarks  = 1<<63 | 1<<62   // in the sequence: erased, or the tombstone of another
	plausibleLast  = 1 << 48         // far above any sequence
	blockSuffix    = ".blk"          // of a message block's file
	stateName      = "index.db"      // the file with a stream's state, beside its blocks
	stateMagic     = 11              // its first byte
	stateVersion   = 4               // the latest version of it that is known here
	purgeLeftover  = "__new_msgs__"  // a directory that an interrupted purge leaves behind
	compressedMark = "cmp\x01"       // how a compressed block begins; 1 stands for S2
	messagesDir    = "msgs"          // below a stream's directory
	earliestTime   = 1_400_000_000e9 // 2014, before the first nats-server that had streams
	latestTime     = 4_102_444_800e9 // 2100
)

// A blockScan is what a message block has to offer to a server that reads it from its beginning.
type blockScan struct {
	last   uint64 // the highest sequence before the first damage
	bad    int    // where the first record is that cannot be read, -1 if there is none
	behind int    // how many whole records are behind it, which the server does not look for
	lost   uint64 // the highest sequence among them
	whole  bool   // the record that cannot be read ends within the file
}

// scanBlock reads a message block as nats-server does when it rebuilds a stream's state. The server
// cuts the file where the first record begins that it cannot read.
func scanBlock(ctx context.Context, path, stream string, index uint32) (blockScan, error) {
	if ctx.Err() != nil {
		return blockScan{}, context.Cause(ctx)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return blockScan{}, err
	}
	if content, err = decompress(content); err != nil {
		return blockScan{bad: 0, whole: true}, nil
	}
	digest, err := blockDigest(stream, index)
	if err != nil {
		return blockScan{}, err
	}
	scan := blockScan{bad: -1}
	for at := 0; at < len(content); {
		length, sequence, ok := readRecord(content[at:], digest)
		if !ok {
			scan.bad, scan.whole = at, length > 0 && at+length <= len(content)
			scan.behind, scan.lost = recordsBehind(content[at+1:], digest)
			break
		}
		scan.last = max(scan.last, sequence)
		at += length
	}
	return scan, nil
}

// recordsBehind looks for whole records at every offset, and returns how many there are and their
// highest sequence.
func recordsBehind(content []byte, digest hash.Hash) (count int, last uint64) {
	for at := 0; at < len(content); {
		if !plausible(content[at:]) {
			at++
			continue
		}
		length, sequence, ok := readRecord(content[at:], digest)
		if !ok {
			at++
			continue
		}
		count, last = count+1, max(last, sequence)
		at += length
	}
	return count, last
}

// plausible reports whether a record may begin here, so that not every offset needs a checksum: a
// record has a time since there are streams, and a sequence that can be reached.
func plausible(content []byte) bool {
	if len(content) < recordHead+recordChecksum {
		return false
	}
	sequence := binary.LittleEndian.Uint64(content[4:]) &^ sequenceMarks
	moment := int64(binary.LittleEndian.Uint64(content[12:]))
	return sequence < plausibleLast && moment > earliestTime && moment < latestTime
}

// readRecord returns the length and the sequence of the record that content begins with, and
// whether it is whole and has not changed since it was written.
func readRecord(content []byte, digest hash.Hash) (length int, sequence uint64, ok bool) {
	if len(content) < recordHead+recordChecksum {
		return 0, 0, false
	}
	word := binary.LittleEndian.Uint32(content)
	length = int(word &^ headersBit)
	sequence = binary.LittleEndian.Uint64(content[4:]) &^ sequenceMarks
	subject := int(binary.LittleEndian.Uint16(content[20:]))
	prefix := subject // what precedes the headers and the message
	if word&headersBit != 0 {
		prefix += 4 // the length of the headers, which the checksum leaves out
	}
	if length < recordHead+prefix+recordChecksum || length > recordLimit {
		return 0, 0, false
	}
	if length > len(content) {
		return length, sequence, false
	}
	end := length - recordChecksum
	digest.Reset()
	digest.Write(content[4:20])
	digest.Write(content[recordHead : recordHead+subject])
	digest.Write(content[recordHead+prefix : end])
	return length, sequence, bytes.Equal(digest.Sum(nil), content[end:length])
}

// blockDigest makes the checksums of a block, which are keyed by the stream's name and its number.
func blockDigest(stream string, index uint32) (hash.Hash, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, index))
	return highwayhash.NewDigest64(key[:])
}

// decompress returns the records of a block that may be compressed.
func decompress(content []byte) ([]byte, error) {
	rest, compressed := bytes.CutPrefix(content, []byte(compressedMark))
	if !compressed {
		return content, nil
	}
	_, n := binary.Uvarint(rest)
	if n <= 0 || len(rest) < n+recordChecksum {
		return nil, errors.New("the head of a compressed block is damaged")
	}
	body, checksum := rest[n:len(rest)-recordChecksum], rest[len(rest)-recordChecksum:]
	records, err := io.ReadAll(s2.NewReader(bytes.NewReader(body)))
	return append(records, checksum...), err
}

// A storedState is what nats-server has noted of a stream in its state file, which it writes at a
// clean stop and every two minutes or so.
type storedState struct {
	Messages uint64
	First    uint64
	Last     uint64
	Checksum string // of the file
}

// readState returns what the state file says, false if it is missing or damaged.
func readState(streamDir, stream string) (state storedState, ok bool) {
	content, err := os.ReadFile(filepath.Join(streamDir, messagesDir, stateName))
	if err != nil || len(content) < 2+recordChecksum {
		return state, false
	}
	body := content[:len(content)-recordChecksum]
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
