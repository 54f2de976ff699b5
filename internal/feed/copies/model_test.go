package copies_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
)

var (
	worlds   = flag.Int("worlds", 200, "how many random worlds TestCopyIsTheModel tries")
	onlySeed = flag.Uint64("seed", 0, "the only seed that TestCopyIsTheModel tries")
)

// A world is a bucket as plain data, a copy of it, and the feed between them, which lags behind.
type world struct {
	rand *rand.Rand
	now  time.Time
	copy *copies.Copy
	// stored has the last entry of each key by the bucket, and log what the feed has yet to bring.
	stored map[string]kv.Entry
	log    []kv.Entry
	last   kv.Revision
	// fed is the fold of what the feed has brought, with whole transactions only.
	fed map[string]kv.Entry
	// at is the revision of fed, and states has what fed was at each revision where the copy may
	// be.
	at     kv.Revision
	states map[kv.Revision]map[string]kv.Entry
	// purged has when a value was removed without a trace: it is not shown at any revision then.
	gone map[kv.Revision]bool
	// doubted has the markers that may be gone.
	doubted map[kv.Revision]bool
	// horizon is where the log of the feed begins.
	horizon kv.Revision
	// complete is the revision at which the copy became complete; loading until then.
	loading  bool
	complete kv.Revision
	scan     []kv.Entry
	pins     []pin
	// digests are those that are kept, and purgedAt is where the feed was at the last purge.
	digests  []keptDigest
	purgedAt kv.Revision
	counts   map[string]int
}

// A keptDigest is a digest of what filters select.
type keptDigest struct {
	*copies.Digest
	filters kv.Filters
	// since is where it began, and unknownTo where the feed was when a value was purged.
	since, unknownTo kv.Revision
}

// A pin is a view that somebody keeps.
type pin struct {
	copies.View
	at   kv.Revision
	made time.Time
}

var patterns = []string{">", "a.>", "ab.*", "a.*", "ab.x", "*.x", "a", "b.>", "a.b.>", "a.*.x"}

var keys = []string{"a", "a.x", "a.y", "a.b.x", "a.b-x", "a-.x", "a/x", "ab", "ab.x", "ab.y.x",
	"b", "b.x", "A.x", "a0"}

func newWorld(seed uint64) *world {
	w := &world{
		rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1000, 0),
		stored: make(map[string]kv.Entry), fed: make(map[string]kv.Entry),
		states: map[kv.Revision]map[string]kv.Entry{0: {}}, gone: make(map[kv.Revision]bool),
		doubted: make(map[kv.Revision]bool),
		loading: true, counts: make(map[string]int),
	}
	for range w.rand.IntN(20) {
		w.write()
	}
	for len(w.log) > 0 {
		w.deliver(nil)
	}
	w.copy = copies.New(copies.Options{}, position(w.at))
	w.scan = slices.SortedFunc(maps.Values(w.stored), func(a, b kv.Entry) int {
		return cmp.Compare(a.Revision, b.Revision)
	})
	return w
}

func position(r kv.Revision) kv.Position {
	return kv.Position{Epoch: "e", Revision: r, Check: kv.CheckOf(time.Unix(int64(r), 1))}
}

// store stores an entry in the bucket.
func (w *world) store(key string, part *kv.TransactionPart) {
	w.last++
	e := kv.Entry{Key: key, Position: position(w.last), Created: w.now, Transaction: part}
	switch w.rand.IntN(5) {
	case 0:
		e.Operation = kv.Delete
	case 1:
		e.Operation, e.RolledUp = kv.Purge, true
	default:
		e.Value = fmt.Append(nil, key, w.last)
	}
	if w.rand.IntN(4) == 0 {
		e.Expires = w.now.Add(time.Duration(1+w.rand.IntN(20)) * time.Second)
	}
	w.stored[key] = e
	w.log = append(w.log, e)
}

// write stores an entry, or a transaction.
func (w *world) write() {
	if w.rand.IntN(4) > 0 {
		w.store(keys[w.rand.IntN(len(keys))], nil)
		return
	}
	w.counts["transaction"]++
	size := 1 + w.rand.IntN(4)
	id := fmt.Sprint("t", w.last)
	for i, k := range w.rand.Perm(len(keys))[:size] {
		w.store(keys[k], &kv.TransactionPart{ID: id, Index: uint64(i), Last: i == size-1})
	}
}

// deliver lets the feed bring the next entry to the copy, if there is one already.
func (w *world) deliver(c *copies.Copy) {
	if len(w.log) == 0 {
		return
	}
	e := w.log[0]
	w.log = w.log[1:]
	if c != nil && !c.Apply(e, true) {
		panic("the copy was given up")
	}
	if w.states[e.Revision] == nil {
		w.fed = maps.Clone(w.fed)
	}
	w.fed[e.Key] = e
	if t := e.Transaction; t == nil || t.Last {
		w.at = e.Revision
		w.states[w.at] = maps.Clone(w.fed)
	}
}

// purge removes the messages of a key without a trace, as the feed hears of it.
func (w *world) purge() {
	key := keys[w.rand.IntN(len(keys))]
	e, ok := w.fed[key]
	if !ok || w.stored[key].Revision != e.Revision || w.fed[key].Revision > w.at {
		return // only what the feed has brought is purged here
	}
	w.counts["purge"]++
	delete(w.stored, key)
	delete(w.fed, key)
	for _, state := range w.states {
		if state[key].Revision > 0 {
			w.gone[state[key].Revision] = true
		}
		delete(state, key)
	}
	w.copy.Remove(key, e.Revision)
	w.purgedAt = w.last // as far as the feed has come, in the midst of a transaction, too
	if len(w.log) > 0 {
		w.purgedAt = w.log[0].Revision - 1
	}
	for i := range w.digests {
		if d := &w.digests[i]; e.Expires.IsZero() && !e.IsMarker() && d.filters.Matches(key) {
			d.unknownTo = w.purgedAt
		}
	}
}

func (w *world) step() {
	w.now = w.now.Add(time.Duration(w.rand.IntN(700)) * time.Millisecond)
	switch n := w.rand.IntN(100); {
	case n < 30:
		w.write()
	case n < 60:
		w.deliver(w.copy)
	case n < 65:
		w.purge()
	case n < 75 && w.loading:
		for range w.rand.IntN(5) {
			w.load()
		}
	case n < 80:
		w.horizon = max(w.horizon, w.at-min(w.at, kv.Revision(w.rand.IntN(12))))
		w.copy.Prune(w.horizon)
	case n < 83:
		w.copy.Sweep(w.now)
	case n < 85:
		w.doubt()
	case n < 90:
		w.pin()
	case n < 92:
		w.keepDigest()
	case n < 94:
		w.settle()
	}
}

// keepDigest begins to keep a digest, or drops one.
func (w *world) keepDigest() {
	if len(w.digests) > 3 {
		w.digests[0].Drop()
		w.digests = w.digests[1:]
	}
	fs := w.filters()
	if d := w.copy.NewDigest(fs, textOf(fs), w.now); d != nil {
		w.digests = append(w.digests, keptDigest{Digest: d, filters: fs, since: w.at})
	}
}

// textOf returns filters as text, each once.
func textOf(fs kv.Filters) (texts []string) {
	if len(fs) == 0 {
		return []string{">"}
	}
	for _, f := range fs {
		texts = append(texts, f.String())
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// filters returns some filters.
func (w *world) filters() (fs kv.Filters) {
	for range w.rand.IntN(4) {
		f, _ := kv.ParseFilter(patterns[w.rand.IntN(len(patterns))])
		fs = append(fs, f)
	}
	return fs
}

// checkDigests compares the digests that are kept, at some revision, with the model.
func (w *world) checkDigests() error {
	for _, d := range w.digests {
		at := w.at - min(w.at, kv.Revision(max(0, w.rand.IntN(30)-15)))
		for w.states[at] == nil {
			at--
		}
		var entries []kv.Entry
		for key, e := range w.states[at] {
			if d.filters.Matches(key) {
				entries = append(entries, e)
			}
		}
		got, known := d.At(at)
		switch want := digestOf(entries); {
		case !known && at > w.purgedAt && at >= d.since:
			return fmt.Errorf("the digest of %v at %d is not known, at %d", d.filters, at, w.at)
		case known && d.unknownTo > 0 && at <= d.unknownTo:
			return fmt.Errorf("the digest of %v is known where a value was purged", d.filters)
		case !known, at <= w.purgedAt:
			w.counts["no digest"]++ // the model does not know what was before the purge
		case got.String() != want:
			return fmt.Errorf("the digest of %v at %d is %s, want %s", d.filters, at, got, want)
		case at < w.at:
			w.counts["earlier digest"]++
		default:
			w.counts["digest"]++
		}
	}
	return nil
}

// doubt makes a marker unsure that the copy has.
func (w *world) doubt() {
	key := keys[w.rand.IntN(len(keys))]
	e := w.states[w.at][key]
	if !e.IsMarker() || !e.Expires.IsZero() {
		return
	}
	w.counts["doubt"]++
	if w.loading {
		w.counts["doubt in a load"]++
	}
	w.doubted[e.Revision] = true
	w.copy.DoubtMarker(key, e.Revision)
}

// settle finds a marker in the store that may be gone, unless another doubt comes meanwhile.
func (w *world) settle() {
	key := keys[w.rand.IntN(len(keys))]
	e, doubts := w.states[w.at][key], w.copy.Doubts()
	if w.loading || !w.doubted[e.Revision] {
		return
	}
	if w.rand.IntN(3) == 0 {
		w.copy.DoubtMarker(key, e.Revision)
	} else {
		w.counts["settled"]++
		delete(w.doubted, e.Revision)
	}
	w.copy.SettleMarker(key, w.at, e.Revision, doubts)
}

// load brings the next entry of the scan, and completes the copy at its end.
func (w *world) load() {
	if len(w.scan) > 0 {
		w.copy.Load(w.scan[0])
		w.scan = w.scan[1:]
		return
	}
	if w.copy.Complete() {
		w.counts["complete"]++
		w.loading, w.complete = false, w.at
	}
}

// pin keeps a view, perhaps of an earlier revision.
func (w *world) pin() {
	v, ok := w.copy.View(w.now)
	if !ok || len(w.pins) > 3 {
		w.pins = nil
		return
	}
	at := v.Revision()
	if w.rand.IntN(2) == 0 {
		at -= min(at, kv.Revision(w.rand.IntN(10)))
		for w.states[at] == nil {
			at--
		}
		var held bool
		if v, held = v.At(at); !held {
			w.counts["not pinned"]++
			return
		}
		w.counts["pinned"]++
	}
	w.pins = append(w.pins, pin{v, at, w.now})
}

// want returns what a view of a revision shows, as text.
func (w *world) want(at kv.Revision, now time.Time, fs kv.Filters, after string) string {
	var shown []string
	for _, key := range slices.Sorted(maps.Keys(w.states[at])) {
		e := w.states[at][key]
		ended := !e.Expires.IsZero() && !now.Before(e.Expires)
		if key > after && fs.Matches(key) && !ended {
			shown = append(shown, text(&e))
		}
	}
	return strings.Join(shown, " ")
}

func text(e *kv.Entry) string {
	return fmt.Sprintf("%s@%d:%s:%s", e.Key, e.Revision, e.Operation, e.Value)
}

// check compares a view with the model. A view that was made before a purge, or before the end of
// an entry that was in a chain, may show what is gone, or not.
func (w *world) check(p pin, fresh bool) error {
	fs := w.filters()
	after := ""
	if w.rand.IntN(3) == 0 {
		after = keys[w.rand.IntN(len(keys))]
	}
	var got []string
	p.Ascend(fs, after, func(e *kv.Entry) bool {
		if !w.gone[e.Revision] {
			got = append(got, text(e))
		}
		return true
	})
	if !p.Holds() {
		w.counts["passed"]++
		return nil
	}
	want := w.want(p.at, p.made, fs, after)
	if joined := strings.Join(got, " "); joined != want && (fresh || p.made.Equal(w.now)) {
		return fmt.Errorf("filters %v after %q at %d:\n got %s\nwant %s",
			fs, after, p.at, joined, want)
	}
	for _, key := range keys {
		found := p.Get(key)
		if found.Unsure != w.doubted[w.states[p.at][key].Revision] && fresh {
			return fmt.Errorf("%s is unsure: %v", key, found.Unsure)
		}
		if e := found.Entry; e != nil && !w.gone[e.Revision] &&
			text(e) != text(new(w.states[p.at][key])) {
			return fmt.Errorf("%s is %s at %d, want %v (fresh %v, made %v)", key, text(e), p.at,
				w.states[p.at][key], fresh, p.made.Equal(w.now))
		}
	}
	return nil
}

// checkAll compares the copy, and all views that are kept, with the model.
func (w *world) checkAll() error {
	v, ok := w.copy.View(w.now)
	if ok == w.loading {
		return fmt.Errorf("shown: %v, loading: %v", ok, w.loading)
	}
	if !ok {
		return nil
	}
	if v.Revision() != w.at {
		return fmt.Errorf("the copy is at %d, want %d", v.Revision(), w.at)
	}
	for _, p := range w.pins {
		if err := w.check(p, false); err != nil {
			return fmt.Errorf("kept: %w", err)
		}
	}
	return cmp.Or(w.check(pin{v, w.at, w.now}, true), w.checkOrder(v), w.checkDigests())
}

// checkOrder compares what the copy has in the order of revisions with the model.
func (w *world) checkOrder(v copies.View) error {
	above := kv.Revision(w.rand.IntN(int(w.last) + 1))
	filters := w.filters()
	var got, want []string
	v.AscendRevisions(filters, above, func(e *kv.Entry) bool {
		got = append(got, text(e))
		return true
	})
	entries := slices.SortedFunc(maps.Values(w.states[w.at]), func(a, b kv.Entry) int {
		return cmp.Compare(a.Revision, b.Revision)
	})
	for _, e := range entries {
		if e.Revision > above && filters.Matches(e.Key) &&
			(e.Expires.IsZero() || w.now.Before(e.Expires)) {
			want = append(want, text(&e))
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%v above %d:\n got %v\nwant %v", filters, above, got, want)
	}
	return nil
}

// checkSize compares what the copy takes, once nothing old is needed, with what a new copy of the
// same takes.
func (w *world) checkSize() error {
	for len(w.log) > 0 {
		w.deliver(w.copy)
	}
	for w.loading {
		w.load()
	}
	w.copy.Sweep(w.now)
	w.copy.Prune(w.at)
	for _, key := range keys {
		w.copy.SettleMarker(key, w.at, w.states[w.at][key].Revision, w.copy.Doubts())
	}
	anew := copies.New(copies.Options{}, position(w.at))
	for _, e := range w.fed {
		if e.Expires.IsZero() || w.now.Before(e.Expires) {
			anew.Load(e)
		}
	}
	if got, want := w.copy.Size(), anew.Size(); got != want {
		return fmt.Errorf("the copy takes %+v, want %+v", got, want)
	}
	return nil
}

// The copy shows what a simple model of the bucket shows, at its position and at every earlier
// revision that it can be pinned at, whatever is written, purged, pruned or expires, and whenever
// the scan of the store is mixed with the changes.
func TestCopyIsTheModel(t *testing.T) {
	t.Parallel()
	total := make(map[string]int)
	from, to := uint64(1), uint64(*worlds)
	if *onlySeed != 0 {
		from, to = *onlySeed, *onlySeed
	}
	for seed := from; seed <= to; seed++ {
		w := newWorld(seed)
		for i := range 300 {
			w.step()
			if err := w.checkAll(); err != nil {
				t.Fatalf("-seed %d, step %d: %v", seed, i, err)
			}
		}
		if err := w.checkSize(); err != nil {
			t.Fatalf("-seed %d, in the end: %v", seed, err)
		}
		for name, n := range w.counts {
			total[name] += n
		}
	}
	t.Log(total)
	for _, what := range []string{
		"transaction", "purge", "complete", "pinned", "not pinned", "doubt", "doubt in a load",
		"settled", "passed",
		"digest", "earlier digest", "no digest",
	} {
		if total[what] == 0 && *onlySeed == 0 {
			t.Errorf("never: %s", what)
		}
	}
}
