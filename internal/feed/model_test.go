package feed

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"

	"kvgateway/internal/kvclient"
)

// A model is a stream as plain data: what it holds, what it held at each revision, and what the server has yet to tell of it.
type model struct {
	rand       *rand.Rand
	history    int
	forgets    bool // markers may vanish without a word
	lives      int
	missing    bool
	epoch      kvclient.Epoch
	last       kvclient.Revision
	messages   []kvclient.Entry                        // that are stored, in order
	states     map[kvclient.Revision]map[string]string // the keys' values when that revision was the last
	advisories []kvclient.Advisory
	read       kvclient.Revision // by the feed
	mayVanish  kvclient.Revision // markers live for a second at least: newer ones have yet to be read
	purges     int               // of values
}

func newModel(r *rand.Rand) *model {
	m := &model{rand: r, history: 1 + r.IntN(3), forgets: r.IntN(4) == 0}
	m.create()
	return m
}

func (m *model) create() {
	m.lives++
	m.missing, m.epoch, m.last, m.messages = false, kvclient.Epoch("e"+strconv.Itoa(m.lives)), 0, nil
	m.states = map[kvclient.Revision]map[string]string{0: {}}
}

func (m *model) state() kvclient.StreamState {
	s := kvclient.StreamState{Epoch: m.epoch, Last: m.last, First: m.last + 1, Messages: uint64(len(m.messages)), Forgets: m.forgets}
	if len(m.messages) > 0 {
		s.First = m.messages[0].Revision
	}
	return s
}

// happen lets something happen to the stream.
func (m *model) happen() {
	key := string("abc"[m.rand.IntN(3)]) + "." + strconv.Itoa(m.rand.IntN(1+m.rand.IntN(4)))
	switch n := m.rand.IntN(1000); {
	case m.missing:
		if n < 300 {
			m.create()
			m.advisories = append(m.advisories, kvclient.Advisory{Kind: kvclient.StreamCreated})
		}
	case n < 700:
		m.store(key, kvclient.Put)
	case n < 850:
		m.store(key, kvclient.Delete)
	case n < 920:
		m.store(key, kvclient.Purge)
	case n < 940:
		m.purgeMarkers()
	case n < 945:
		m.purge(key)
	case n < 946:
		m.missing, m.messages = true, nil
		m.advisories = append(m.advisories, kvclient.Advisory{Kind: kvclient.StreamDeleted})
	case m.forgets:
		m.vanish()
	}
}

func (m *model) store(key string, operation kvclient.Operation) {
	m.last++
	e := kvclient.Entry{Key: key, Operation: operation, Position: kvclient.Position{Epoch: m.epoch, Revision: m.last}}
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
	m.advisories = append(m.advisories, kvclient.Advisory{Kind: kvclient.StreamPurged, Key: key, Purged: uint64(before - len(m.messages))})
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

// vanish lets a marker come to the end of its time.
func (m *model) vanish() {
	last := m.lastOf()
	for _, key := range slices.Sorted(maps.Keys(last)) {
		if e := last[key]; e.IsMarker() && e.Revision <= m.mayVanish {
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
