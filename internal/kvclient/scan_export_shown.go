package kvclient

import (
	"context"
	"hash/maphash"
	"slices"

	"kvgateway/internal/bound"
)

// shownKeys remembers the keys that an export has shown, by hashes of eight bytes. They stay for as
// long as the export's client takes, so beyond 64 KiB they are taken from `export-bytes`, of which
// an export may have 32 MiB, for some 4 million keys. It never waits for them: where there is no
// room, no further key is remembered.
//
// It is used by one goroutine.
type shownKeys struct {
	// seed is the seed of the hashes.
	seed maphash.Seed
	// hashes are those of the keys, by their highest eight bits, so that a list that grows is
	// copied in small parts.
	hashes [256][]uint64
	// bytes is how much memory the hashes take.
	bytes int64
	// allowed is how many bytes they may take at present, freeShown in any case.
	allowed int64
	// memory is what they take of the bound.
	memory bound.Hold
	// full says that keys were shown that are not remembered.
	full bool
}

const (
	// freeShown is how many bytes of hashes an export may have, however little room there is.
	freeShown = 64 << 10
	// shownGrowStep is how many bytes an export takes at once of those for all.
	shownGrowStep = 256 << 10
	// maxShownBytes is how many bytes an export may have.
	maxShownBytes = 32 << 20
	// shownBytes is how many bytes all exports together may have.
	shownBytes = 64 << 20
	// smallShown is up to how many bytes an export finds room however large others are, for 100,000
	// keys.
	smallShown = 1 << 20
)

// shownSpec describes the bound of what exports remember.
var shownSpec = bound.Spec{
	Name: "export-bytes",
	Of: "bytes of what exports remember of the keys that they have shown, beyond 64 KiB for " +
		"each; about 10 for each key",
	Unit:     bound.Bytes,
	Limit:    shownBytes,
	PerOwner: shownBytes * 3 / 4,
	Reserve:  maxExports * smallShown,
	Small:    smallShown,
	AtLimit: "an export of 100,000 keys or more remembers no more of them; a key that is written " +
		"meanwhile can then come twice",
}

// newShownKeys returns a memory without keys, for the context's owner. It must be released.
func (c *Client) newShownKeys(ctx context.Context) *shownKeys {
	s := &shownKeys{seed: maphash.MakeSeed()}
	// Nothing always fits.
	_ = c.limits.shown.TakeFor(ctx, &s.memory, 0)
	return s
}

// release gives back what is taken of the bound.
func (s *shownKeys) release() { s.memory.Release() }

// add remembers a key, if there is room.
func (s *shownKeys) add(key string) {
	if s.full {
		return
	}
	hash := maphash.String(s.seed, key)
	hashes := &s.hashes[hash>>56]
	if len(*hashes) == cap(*hashes) {
		more := max(4, cap(*hashes)/4)
		if !s.grow(int64(more) * 8) {
			s.full = true
			return
		}
		*hashes = append(make([]uint64, 0, cap(*hashes)+more), *hashes...)
	}
	*hashes = append(*hashes, hash)
}

// grow counts more bytes. It returns false, and counts nothing, if there is no room for them.
func (s *shownKeys) grow(more int64) bool {
	switch want := s.bytes + more; {
	case want > maxShownBytes:
		return false
	case want > max(s.allowed, freeShown):
		if !s.memory.Grow(want + shownGrowStep) {
			return false
		}
		s.allowed = want + shownGrowStep
	}
	s.bytes += more
	return true
}

// sort prepares the memory for has. No key may be added afterwards.
func (s *shownKeys) sort() {
	for _, hashes := range s.hashes {
		slices.Sort(hashes)
	}
}

// has reports whether a key is remembered.
func (s *shownKeys) has(key string) bool {
	hash := maphash.String(s.seed, key)
	_, found := slices.BinarySearch(s.hashes[hash>>56], hash)
	return found
}
