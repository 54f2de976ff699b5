package kvclient

import (
	"context"
	"errors"
	"slices"
	"strings"

	"kvgateway/internal/kv"
)

// A PageOf says which part of a selection, in the order of names, is asked for.
type PageOf struct {
	// After is a name; only names after this one are in the page.
	After string
	// Limit is how many names the page has at most.
	Limit int
}

// An EntryPage is a part of a selection: the last entry of each key that has a value, in the order
// of names.
type EntryPage struct {
	// Revision is what every entry is at least as new as.
	Revision kv.Revision
	// Snapshot says that the entries are the bucket's state at Revision, with no transaction torn.
	Snapshot bool
	// Served says who answered.
	Served Consistency
	// Last is the name that the page ends with if there is more; else it is empty.
	Last string
	// Hidden is how many keys with a value the selection leaves out, on all pages, since they are
	// outside the grammar.
	Hidden int

	// bucket is what the values of listed are read from.
	bucket *Bucket
	// entries are those of an instant.
	entries []kv.Entry
	// listed are the keys of a page that is no instant, whose values are read when it is visited.
	listed []ListedKey
}

// MaxPageBytes bounds the values of a page that is no instant, unless it has only one.
const MaxPageBytes = 32 << 20

// Entries reads a page of entries. If the selection has no more than [MaxInstantKeys] keys and 32
// MiB, they are read at one instant, with one direct get ([Bucket.multiLast], judged by
// [Bucket.judge]). Otherwise the names and sizes are listed, and the values of the page are read in
// parts while it is visited.
//
// It returns the errors of Keys, and with a minimal revision those of Get.
func (b *Bucket) Entries(
	ctx context.Context, s Selection, of PageOf, options ReadOptions,
) (*EntryPage, error) {
	b, since, err := b.overBulk().freshEnough(ctx, &options)
	if err != nil {
		return nil, err
	}
	in, err := b.readInstant(ctx, s.subjects(b.readPrefix), since, options.Consistency)
	if err != nil {
		return nil, err
	}
	if in == nil {
		return b.listedPage(ctx, s, of)
	}
	page := &EntryPage{Revision: in.upTo, Snapshot: in.isolated, Served: in.served}
	selected := s.matcher()
	page.entries = slices.DeleteFunc(in.entries, func(e kv.Entry) bool {
		if e.IsMarker() || !selected(e.Key) {
			return true
		}
		shown := b.shows(e.Key)
		if !shown {
			page.Hidden++
		}
		return !shown || e.Key <= of.After
	})
	slices.SortFunc(page.entries, func(a, b kv.Entry) int { return strings.Compare(a.Key, b.Key) })
	if len(page.entries) > of.Limit {
		page.entries = page.entries[:of.Limit]
		page.Last = page.entries[of.Limit-1].Key
	}
	return page, nil
}

// freshEnough waits for the minimal revision that a read asks for, after which the read goes to the
// leader. It returns the revision that the answer must contain.
func (b *Bucket) freshEnough(
	ctx context.Context, options *ReadOptions,
) (_ *Bucket, since kv.Revision, err error) {
	if options.MinRevision != (kv.Position{}) {
		end := b.client.endOf(options.Wait)
		if b, err = b.awaitRevision(ctx, options.MinRevision, end); err != nil {
			return nil, 0, err
		}
		options.Consistency = Leader
		return b, b.lastSeq, nil
	}
	if b.replicated && options.Consistency == Leader {
		b, err = b.rebind(ctx)
		if err != nil {
			return nil, 0, err
		}
		return b, b.lastSeq, nil
	}
	return b, 0, nil
}

// shows reports whether a key is within the grammar; other keys are never shown.
func (b *Bucket) shows(key string) bool {
	_, err := kv.ParseKey(key)
	if err != nil {
		b.client.hiddenKeys.Add(1)
	}
	return err == nil
}

// listedPage lists the names, and leaves the values of those that the page has room for to be read
// when it is visited.
func (b *Bucket) listedPage(ctx context.Context, s Selection, of PageOf) (*EntryPage, error) {
	listing, err := b.listSelection(ctx, s)
	if err != nil {
		return nil, err
	}
	defer listing.Release()
	page := &EntryPage{Revision: listing.Revision, Served: b.LeaderConsistency(), bucket: b,
		Hidden: listing.HiddenBelow(s.Prefix)}
	bytes := 0
	for _, k := range listing.Entries {
		if k.Key <= of.After || !strings.HasPrefix(k.Key, s.Prefix) {
			continue
		}
		bytes += k.Size()
		full := len(page.listed) == of.Limit || bytes > MaxPageBytes && len(page.listed) > 0
		if full {
			page.Last = page.listed[len(page.listed)-1].Key
			break
		}
		k.Key = strings.Clone(k.Key) // or the page would keep the names of the whole listing
		page.listed = append(page.listed, k)
	}
	return page, nil
}

// listSelection lists what a selection's filters select, and the keys that it names as they are.
func (b *Bucket) listSelection(ctx context.Context, s Selection) (listing KeyListing, err error) {
	if len(s.Filters) > 0 || len(s.Keys) == 0 {
		if listing, err = b.Keys(ctx, s.ScanFilters()); err != nil || len(s.Keys) == 0 {
			return listing, err
		}
	} else if b, err = b.rebind(ctx); err != nil {
		return listing, err
	} else {
		listing.Revision = b.lastSeq
	}
	for _, k := range s.Keys {
		listing.Entries = append(listing.Entries, ListedKey{Key: k.String()})
	}
	listing.Entries = lastOfEach(listing.Entries, nameOfListed)
	return listing, nil
}

// Share returns a page that another reader can visit, beside those of the page itself. The values
// belong to all of them.
func (p *EntryPage) Share() *EntryPage {
	shared := *p
	shared.entries = slices.Clone(p.entries)
	return &shared
}

// Bytes returns how much memory the page takes while its entries are visited.
func (p *EntryPage) Bytes() (n int64) {
	for i := range p.entries {
		n += p.entries[i].Bytes()
	}
	values := int64(0)
	for _, k := range p.listed {
		n += kv.EntryBytes + int64(len(k.Key))
		values += int64(k.Size())
	}
	return n + min(values, partBytes)
}

// IsInstant reports whether all entries of the page are in memory. Otherwise they are read in parts
// while they are visited.
func (p *EntryPage) IsInstant() bool { return len(p.listed) == 0 }

// Each calls visit for each entry of the page, and keeps none of them. The values of a page that is
// no instant are read now, and what was deleted since it was listed is left out. It returns what
// visit returns, and otherwise the errors of Get.
func (p *EntryPage) Each(ctx context.Context, visit func(*kv.Entry) error) error {
	for i := range p.entries {
		if err := visit(&p.entries[i]); err != nil {
			return err
		}
		p.entries[i] = kv.Entry{}
	}
	for rest := p.listed; len(rest) > 0; {
		part := p.bucket.partOf(rest)
		entries, err := p.bucket.readListed(ctx, part, p.Revision)
		if err != nil {
			return err
		}
		for i := range entries {
			if err := visit(&entries[i]); err != nil {
				return err
			}
			entries[i] = kv.Entry{}
		}
		rest = rest[len(part):]
	}
	return nil
}

// readListed reads the last entries of some keys that were listed, none of them older than since,
// in the order of names.
func (b *Bucket) readListed(
	ctx context.Context, listed []ListedKey, since kv.Revision,
) ([]kv.Entry, error) {
	var selection Selection
	for _, k := range listed {
		selection.Keys = append(selection.Keys, kv.KnownKey(k.Key))
	}
	in, err := b.readInstant(ctx, selection.subjects(b.readPrefix), since, Leader)
	if err != nil {
		return nil, err
	}
	if in != nil {
		return valuesOf(in.entries, listed), nil
	}
	return b.readOneByOne(ctx, selection.Keys)
}

// valuesOf returns those entries that are values of the keys that were listed, in their order.
func valuesOf(found []kv.Entry, listed []ListedKey) (entries []kv.Entry) {
	byName := make(map[string]*kv.Entry, len(found))
	for i := range found {
		byName[found[i].Key] = &found[i]
	}
	for _, k := range listed {
		if e := byName[k.Key]; e != nil && !e.IsMarker() {
			entries = append(entries, *e)
		}
	}
	return entries
}

// readOneByOne reads the last entries of some keys from the leader, and leaves out markers.
func (b *Bucket) readOneByOne(ctx context.Context, keys []kv.Key) (entries []kv.Entry, err error) {
	for _, k := range keys {
		request := getRequest{LastBySubject: b.readPrefix + k.String()}
		e, err := b.fetchEntry(ctx, b.leaderGet, request)
		if errors.Is(err, kv.ErrKeyNotFound) || err == nil && e.IsMarker() {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// partBytes bounds the values that are read at once of a page that is no instant, unless it is a
// single one.
const partBytes = 8 << 20

// partOf returns how many of some keys are read at once, counted from the first: few enough for one
// answer of NATS, and for one request.
func (b *Bucket) partOf(listed []ListedKey) []ListedKey {
	requestBytes, valueBytes := int(b.client.maxPayload())/2, 0
	for i, k := range listed {
		requestBytes -= len(b.readPrefix) + len(k.Key) + len(`"",`)
		valueBytes += k.Size()
		if i > 0 && (i == MaxInstantKeys || requestBytes < 0 || valueBytes > partBytes) {
			return listed[:i]
		}
	}
	return listed
}
