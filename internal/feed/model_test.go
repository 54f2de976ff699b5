package feed

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"kvgateway/internal/kvclient"
)

// A model is a stream as plain data: what it holds, what it held at each revision, and what the server has yet to tell of it.
type model struct {
	rand       *rand.Rand
	history    int
	often      struct{ purge, purgeMarkers, remove, cut, restart, fail, lose, move int } // in percent of what there could be
	forgets    bool                                                                      // markers may vanish without a word
	lives      int
	missing    bool
	epoch      kvclient.Epoch
	last       kvclient.Revision
	messages   []kvclient.Entry                        // that are stored, in order
	states     map[kvclient.Revision]map[string]string // the keys' values when that revision was the last
	clock      time.Time
	advisories []advised
	markers    map[string]kvclient.Revision // that the feed has read
	purges     int                          // of values
	writes     int                          // in all lives: no two messages are stored at the same time
	lastTime   time.Time                    // when the last message was stored
	backup     *backup                      // what a restored data directory has; nil for none
	losses     int                          // of the end
	moves      int                          // of the epoch
}

// A backup is what the stream held once.
type backup struct {
	life     int
	last     kvclient.Revision
	lastTime time.Time
	messages []kvclient.Entry
	states   map[kvclient.Revision]map[string]string
}

// save makes a backup.
func (m *model) save() {
	m.backup = &backup{m.lives, m.last, m.lastTime, slices.Clone(m.messages), maps.Clone(m.states)}
}

// lose takes the stream back to its backup: what was stored since is lost, and its revisions will be
// given out again. It reports whether there was anything to lose.
func (m *model) lose() bool {
	b := m.backup
	if m.missing || b == nil || b.life != m.lives || b.last == m.last {
		return false
	}
	m.losses++
	m.last, m.lastTime, m.messages, m.states = b.last, b.lastTime, slices.Clone(b.messages), maps.Clone(b.states)
	return true
}

// move gives the same stream another epoch, as a restart of an old server does.
func (m *model) move() {
	m.moves++
	m.epoch = kvclient.Epoch("e" + strconv.Itoa(m.lives) + "m" + strconv.Itoa(m.moves))
	for i := range m.messages {
		m.messages[i].Epoch = m.epoch
	}
}

// storedAt is when the message of a revision was stored; zero if there is none.
func (m *model) storedAt(revision kvclient.Revision) time.Time {
	for _, e := range m.messages {
		if e.Revision == revision {
			return e.Created
		}
	}
	return time.Time{}
}

// An advised is what the server tells, and since when.
type advised struct {
	kvclient.Advisory
	at time.Time
}

func (m *model) tell(a kvclient.Advisory) { m.advisories = append(m.advisories, advised{a, m.clock}) }

func newModel(r *rand.Rand) *model {
	m := &model{rand: r, clock: time.Unix(0, 0), history: 1 + r.IntN(3), forgets: r.IntN(4) == 0}
	for _, often := range []*int{&m.often.purge, &m.often.purgeMarkers, &m.often.remove, &m.often.cut, &m.often.restart, &m.often.fail, &m.often.lose, &m.often.move} {
		*often = max(0, 150-r.IntN(300)) // half of all worlds have none of it
	}
	if r.IntN(3) == 0 {
		m.history = 64 // nothing is overwritten, so that a feed can vouch for what it has not read
	}
	m.create()
	return m
}

func (m *model) create() {
	m.lives++
	m.missing, m.epoch, m.last, m.messages, m.lastTime = false, kvclient.Epoch("e"+strconv.Itoa(m.lives)), 0, nil, time.Time{}
	m.states = map[kvclient.Revision]map[string]string{0: {}}
}

func (m *model) state() kvclient.StreamState {
	var lifetime time.Duration
	if m.forgets {
		lifetime = time.Second
	}
	s := kvclient.StreamState{Epoch: m.epoch, Last: m.last, First: m.last + 1, Messages: uint64(len(m.messages)),
		Subjects: uint64(len(m.lastOf())), Lifetime: lifetime, LastTime: m.lastTime}
	if len(m.messages) > 0 {
		s.First = m.messages[0].Revision
	}
	return s
}

// happen lets something happen to the stream.
func (m *model) happen() {
	key := m.key()
	switch n := m.rand.IntN(1000); {
	case m.missing:
		if n < 300 {
			m.create()
			m.tell(kvclient.Advisory{Kind: kvclient.StreamCreated})
		}
	case n < 30:
		m.shrink()
	case n < 32 && m.rand.IntN(100) < m.often.remove:
		m.missing, m.messages = true, nil
		m.tell(kvclient.Advisory{Kind: kvclient.StreamDeleted})
	case n < 40:
		m.save()
	case n < 100 && m.forgets:
		m.vanish()
	case n < 750:
		m.store(key, kvclient.Put)
	case n < 900:
		m.store(key, kvclient.Delete)
	default:
		m.store(key, kvclient.Purge)
	}
}

// shrink removes something, and stores nothing.
func (m *model) shrink() {
	switch {
	case m.rand.IntN(200) < m.often.purge:
		m.purge(m.key())
	case m.rand.IntN(100) < m.often.purgeMarkers:
		m.purgeMarkers()
	}
}

// key is one of some, among them hot ones.
func (m *model) key() string {
	return string("abc"[m.rand.IntN(3)]) + "." + strconv.Itoa(m.rand.IntN(1+m.rand.IntN(4)))
}

func (m *model) store(key string, operation kvclient.Operation) {
	m.last++
	m.writes++
	m.lastTime = m.clock.Add(time.Duration(m.writes))
	at := kvclient.Position{Epoch: m.epoch, Revision: m.last, Check: kvclient.CheckOf(m.lastTime)}
	e := kvclient.Entry{Key: key, Operation: operation, Position: at, Created: m.lastTime}
	state := maps.Clone(m.states[m.last-1])
	if operation == kvclient.Put {
		e.Value = strconv.AppendUint(nil, uint64(m.last), 10)
		state[key] = string(e.Value)
	} else {
		delete(state, key)
	}
	m.states[m.last] = state
	keep := m.history - 1
	if operation == kvclient.Purge {
		keep = 0
	}
	for i := len(m.messages) - 1; i >= 0; i-- {
		if m.messages[i].Key != key {
			continue
		}
		if keep--; keep < 0 {
			m.messages = slices.Delete(m.messages, i, i+1)
		}
	}
	m.messages = append(m.messages, e)
}

// lastOf returns the last entry of each key.
func (m *model) lastOf() map[string]kvclient.Entry {
	last := make(map[string]kvclient.Entry)
	for _, e := range m.messages {
		last[e.Key] = e
	}
	return last
}

// purge removes all messages of a key, as other tools do.
func (m *model) purge(key string) {
	before, last := len(m.messages), m.lastOf()[key]
	m.messages = slices.DeleteFunc(m.messages, func(e kvclient.Entry) bool { return e.Key == key })
	if len(m.messages) == before {
		return
	}
	m.tell(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: key, Purged: uint64(before - len(m.messages))})
	if !last.IsMarker() {
		m.states[m.last] = maps.Clone(m.states[m.last])
		delete(m.states[m.last], key)
	}
	if !last.IsMarker() || m.markers[key] != last.Revision {
		m.purges++
	}
}

// purgeMarkers is PurgeDeletes.
func (m *model) purgeMarkers() {
	last := m.lastOf()
	for _, key := range slices.Sorted(maps.Keys(last)) {
		if e := last[key]; e.IsMarker() {
			m.purge(key)
		}
	}
}

// vanish lets a marker come to the end of its time. Those that have one of their own are such as remove what was before them; where
// all entries have a time, what was before ends earlier.
func (m *model) vanish() {
	last := m.lastOf()
	for _, key := range slices.Sorted(maps.Keys(last)) {
		if e := last[key]; e.Operation == kvclient.Purge && m.clock.Sub(e.Created) >= time.Second {
			m.messages = slices.DeleteFunc(m.messages, func(o kvclient.Entry) bool { return o.Key == key })
			return
		}
	}
}

// after returns up to count of the messages after a revision.
func (m *model) after(revision kvclient.Revision, count int) (entries []kvclient.Entry) {
	for _, e := range m.messages {
		if e.Revision > revision && len(entries) < count {
			entries = append(entries, e)
		}
	}
	return entries
}

// selected is the state at a revision for some filters.
func (m *model) selected(at kvclient.Revision, fs kvclient.Filters) map[string]string {
	state := maps.Clone(m.states[at])
	maps.DeleteFunc(state, func(key, _ string) bool { return !fs.Matches(key) })
	return state
}
