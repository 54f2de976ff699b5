package feed

import (
	"fmt"
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
	often      struct{ purge, purgeMarkers, remove, cut, restart, fail, config, delete, crash int } // in percent of what there could be
	forgets    bool                                                                                 // markers may vanish without a word
	lives      int
	missing    bool
	epoch      kvclient.Epoch
	created    time.Time
	last       kvclient.Revision
	messages   []kvclient.Entry                        // that are stored, in order
	states     map[kvclient.Revision]map[string]string // the keys' values when that revision was the last
	clock      time.Time
	lastTime   time.Time            // when the last message was stored
	maxAge     time.Duration        // at which messages vanish without a word; 0 for never
	updates    int                  // of maxAge
	stored     map[string]time.Time // when each value was
	aged       map[string]bool      // values that have vanished
	saved      *savedModel          // what a crash brings back; nil for nothing
	rewritten  kvclient.Revision    // the first revision that a crash gave to another message; 0 for none
	advisories []advised
	read       kvclient.Revision // by the feed
	purges     int               // of values
}

// A savedModel is a stream as it was on disk.
type savedModel struct {
	epoch    kvclient.Epoch
	last     kvclient.Revision
	lastTime time.Time
	messages []kvclient.Entry
	states   map[kvclient.Revision]map[string]string
}

// An advised is what the server tells, and since when.
type advised struct {
	kvclient.Advisory
	at time.Time
}

func (m *model) tell(a kvclient.Advisory) { m.advisories = append(m.advisories, advised{a, m.clock}) }

func newModel(r *rand.Rand) *model {
	m := &model{rand: r, clock: time.Unix(0, 0), history: 1 + r.IntN(3), forgets: r.IntN(4) == 0}
	if r.IntN(4) == 0 {
		m.history = 1000 // nothing is removed by itself
	}
	for _, often := range []*int{&m.often.purge, &m.often.purgeMarkers, &m.often.remove, &m.often.cut, &m.often.restart, &m.often.fail,
		&m.often.config, &m.often.delete, &m.often.crash} {
		*often = max(0, 150-r.IntN(300)) // half of all worlds have none of it
	}
	m.create()
	return m
}

func (m *model) create() {
	m.lives++
	m.missing, m.epoch, m.last, m.messages = false, kvclient.Epoch("e"+strconv.Itoa(m.lives)), 0, nil
	m.states = map[kvclient.Revision]map[string]string{0: {}}
	m.created, m.lastTime = m.clock, time.Time{}
	m.stored, m.aged = make(map[string]time.Time), make(map[string]bool)
	m.saved, m.rewritten = nil, 0
}

func (m *model) state() kvclient.StreamState {
	var lifetime time.Duration
	if m.forgets {
		lifetime = time.Second
	}
	if m.maxAge > 0 && (lifetime == 0 || m.maxAge < lifetime) {
		lifetime = m.maxAge
	}
	s := kvclient.StreamState{Epoch: m.epoch, Created: m.created, Last: m.last, First: m.last + 1, Messages: uint64(len(m.messages)),
		Subjects: uint64(len(m.lastOf())), Lifetime: lifetime,
		LastTime: m.lastTime, At: m.clock, Terms: kvclient.Terms{MaxAge: m.maxAge}}
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
	case n < 40 && m.rand.IntN(100) < m.often.config:
		m.reconfigure()
	case n < 90 && m.rand.IntN(100) < m.often.crash:
		m.save()
	case n < 92 && m.rand.IntN(100) < m.often.remove:
		m.missing, m.messages = true, nil
		m.tell(kvclient.Advisory{Kind: kvclient.StreamDeleted, At: m.clock})
	case n < 130 && m.forgets:
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
	case m.rand.IntN(400) < m.often.delete:
		m.deleteMessage()
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
	e := kvclient.Entry{Key: key, Operation: operation, Position: kvclient.Position{Epoch: m.epoch, Revision: m.last}, Created: m.clock}
	state := maps.Clone(m.states[m.last-1])
	if operation == kvclient.Put {
		e.Value = fmt.Appendf(nil, "%d.%d", m.last, m.clock.UnixMilli()) // the revision may be given again
		state[key] = string(e.Value)
		m.stored[string(e.Value)] = m.clock
	} else {
		delete(state, key)
	}
	m.states[m.last], m.lastTime = state, m.clock
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

// reconfigure changes the age at which messages vanish. The server tells what it is now.
func (m *model) reconfigure() {
	m.maxAge = time.Duration(m.rand.IntN(4)) * time.Second
	m.updates++
	terms := kvclient.Terms{MaxAge: m.maxAge}
	m.tell(kvclient.Advisory{Kind: kvclient.StreamUpdated, Terms: &terms, At: m.clock})
	m.age()
}

// age lets the messages vanish that are old enough.
func (m *model) age() {
	if m.maxAge == 0 {
		return
	}
	for len(m.messages) > 0 && m.clock.Sub(m.messages[0].Created) >= m.maxAge {
		m.aged[string(m.messages[0].Value)] = true
		m.messages = m.messages[1:]
	}
}

// deleteMessage removes a message by its number. What was stored before it counts again, if it is there.
func (m *model) deleteMessage() {
	if len(m.messages) == 0 {
		return
	}
	i := m.rand.IntN(len(m.messages))
	m.messages = slices.Delete(slices.Clone(m.messages), i, i+1)
	m.purges++
	m.tell(kvclient.Advisory{Kind: kvclient.StreamPurged, At: m.clock})
	state := make(map[string]string)
	for key, e := range m.lastOf() {
		if !e.IsMarker() {
			state[key] = string(e.Value)
		}
	}
	m.states[m.last] = state
}

// save keeps what a crash brings back.
func (m *model) save() {
	m.saved = &savedModel{m.epoch, m.last, m.lastTime, slices.Clone(m.messages), maps.Clone(m.states)}
}

// crash takes back all that happened since it was saved.
func (m *model) crash() {
	s := m.saved
	if s == nil || s.epoch != m.epoch || m.missing {
		return
	}
	if m.last > s.last && (m.rewritten == 0 || m.rewritten > s.last) {
		m.rewritten = s.last + 1
	}
	m.purges++
	m.last, m.lastTime, m.messages, m.states, m.saved = s.last, s.lastTime, s.messages, s.states, nil
	m.age()
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
	if !last.IsMarker() || last.Revision > m.read {
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
			e.Expires = expires(e.Created, m.maxAge)
			entries = append(entries, e)
		}
	}
	return entries
}

// selected is the state at a revision for some filters.
func (m *model) selected(at kvclient.Revision, fs kvclient.Filters) map[string]string {
	state := maps.Clone(m.states[at])
	maps.DeleteFunc(state, func(key, value string) bool {
		return !fs.Matches(key) || m.aged[value] || m.maxAge > 0 && m.clock.Sub(m.stored[value]) >= m.maxAge
	})
	return state
}

// expires is when what was stored vanishes; zero for never.
func expires(stored time.Time, maxAge time.Duration) time.Time {
	if maxAge == 0 {
		return time.Time{}
	}
	return stored.Add(maxAge)
}
