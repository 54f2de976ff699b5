package feed

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A model is a stream as plain data: what it holds, what it held at each revision, and what the
// server has yet to report of it.
type model struct {
	rand *rand.Rand
	// history is how many messages of a key are kept.
	history int
	// chance says what may happen, and how often.
	chance chances
	// forgets: markers may vanish without a word.
	forgets bool
	// lives counts the streams of this bucket.
	lives int
	// missing: there is no stream.
	missing bool
	epoch   kv.Epoch
	created time.Time
	// last is the revision of the last message that was stored.
	last kv.Revision
	// messages are those that are stored, in order.
	messages []kv.Entry
	// states has the keys' values as they were when that revision was the last.
	states map[kv.Revision]map[string]string
	// clock is the time of everybody.
	clock time.Time
	// lastTime is when the last message was stored.
	lastTime time.Time
	// maxAge is the age at which messages vanish without a word; 0 for never.
	maxAge time.Duration
	// updates counts the changes of maxAge.
	updates int
	// stored says when each value was stored.
	stored map[string]time.Time
	// aged has the values that have vanished.
	aged map[string]bool
	// saved is what a crash brings back; nil for nothing.
	saved *savedModel
	// advisories are those that have yet to be handled, the oldest first.
	advisories []queuedAdvisory
	// markers are those that the feed has read.
	markers map[string]kv.Revision
	// read is the revision up to which the feed has read.
	read kv.Revision
	// purges counts the removals that change what somebody holds.
	purges int
	// writes counts the messages of all lives: no two messages are stored at the same time.
	writes int
	// losses counts the losses of the stream's end.
	losses int
	// moves counts the changes of the epoch of the same stream.
	moves int
}

// chances say in percent, or nearly so, how often something happens that can happen.
type chances struct {
	// purge is that of a purge of any key; purgeMarkers, of all markers; delete, of the deletion
	// of one message.
	purge, purgeMarkers, delete int
	// remove is that of the deletion of the bucket, config that of a change of maxAge.
	remove, config int
	// cut is that of a lost connection, restart of another feed, fail of a failed reading.
	cut, restart, fail int
	// lose is that of a loss of the stream's end, move that of a change of its epoch.
	lose, move int
}

// A savedModel is a stream as it was on disk.
type savedModel struct {
	life     int
	last     kv.Revision
	lastTime time.Time
	messages []kv.Entry
	states   map[kv.Revision]map[string]string
}

// A queuedAdvisory is one that the server has sent.
type queuedAdvisory struct {
	kvclient.Advisory
	// at is when it was sent.
	at time.Time
	// number is model.purges with the purge that it reports; 0 if that one did not count.
	number int
}

// report sends an advisory.
func (m *model) report(a kvclient.Advisory) {
	m.advisories = append(m.advisories, queuedAdvisory{Advisory: a, at: m.clock})
}

// newModel makes a stream, and decides what can happen to it.
func newModel(r *rand.Rand) *model {
	m := &model{rand: r, clock: time.Unix(0, 0), history: 1 + r.IntN(3), forgets: r.IntN(4) == 0}
	if r.IntN(3) == 0 {
		// Nothing is removed by itself, so that a feed can vouch for what it has not read.
		m.history = 1000
	}
	for _, chance := range []*int{
		&m.chance.purge, &m.chance.purgeMarkers, &m.chance.remove, &m.chance.cut, &m.chance.restart,
		&m.chance.fail, &m.chance.config, &m.chance.delete, &m.chance.lose, &m.chance.move,
	} {
		*chance = max(0, 150-r.IntN(300)) // half of all worlds have none of it
	}
	if r.IntN(5) == 0 { // nothing is ever removed, so that a feed can go on after most losses
		m.history, m.forgets = 1000, false
		o := &m.chance
		o.purge, o.purgeMarkers, o.remove, o.config, o.delete = 0, 0, 0, 0, 0
	}
	m.create()
	return m
}

// create creates the stream, again or for the first time.
func (m *model) create() {
	m.lives++
	m.epoch = kv.Epoch("e" + strconv.Itoa(m.lives))
	m.missing, m.last, m.messages = false, 0, nil
	m.states = map[kv.Revision]map[string]string{0: {}}
	m.created, m.lastTime = m.clock, time.Time{}
	m.stored, m.aged = make(map[string]time.Time), make(map[string]bool)
	m.saved = nil
}

// state is what the leader answers about the stream.
func (m *model) state() kvclient.StreamState {
	var lifetime time.Duration
	if m.forgets {
		lifetime = time.Second
	}
	if m.maxAge > 0 && (lifetime == 0 || m.maxAge < lifetime) {
		lifetime = m.maxAge
	}
	s := kvclient.StreamState{
		Epoch:    m.epoch,
		Created:  m.created,
		Last:     m.last,
		First:    m.last + 1,
		Messages: uint64(len(m.messages)),
		Subjects: uint64(len(m.lastOf())),
		Lifetime: lifetime,
		LastTime: m.lastTime,
		At:       m.clock,
		Terms:    kv.Terms{MaxAge: m.maxAge},
		History:  int64(m.history),
	}
	if len(m.messages) > 0 {
		s.First = m.messages[0].Revision
	}
	return s
}

// changeOnce lets something happen to the stream.
func (m *model) changeOnce() {
	key := m.key()
	switch n := m.rand.IntN(1000); {
	case m.missing:
		if n < 300 {
			m.create()
			m.report(kvclient.Advisory{Kind: kvclient.StreamCreated})
		}
	case n < 30:
		m.shrink()
	case n < 40 && m.rand.IntN(100) < m.chance.config:
		m.reconfigure()
	case n < 90 && m.rand.IntN(100) < m.chance.lose:
		m.save()
	case n < 92 && m.rand.IntN(100) < m.chance.remove:
		m.missing, m.messages = true, nil
		m.report(kvclient.Advisory{Kind: kvclient.StreamDeleted, At: m.clock})
	case n < 130 && m.forgets:
		m.vanish()
	case n < 750:
		m.store(key, kv.Put)
	case n < 900:
		m.store(key, kv.Delete)
	default:
		m.store(key, kv.Purge)
	}
}

// shrink removes something, and stores nothing.
func (m *model) shrink() {
	switch {
	case m.rand.IntN(400) < m.chance.delete:
		m.deleteMessage()
	case m.rand.IntN(200) < m.chance.purge:
		m.purge(m.key())
	case m.rand.IntN(100) < m.chance.purgeMarkers:
		m.purgeMarkers()
	}
}

// key returns one of some keys, of which a few are hot.
func (m *model) key() string {
	return string("abc"[m.rand.IntN(3)]) + "." + strconv.Itoa(m.rand.IntN(1+m.rand.IntN(4)))
}

// store stores a message, and removes what it takes the place of.
func (m *model) store(key string, operation kv.Operation) {
	m.last++
	m.writes++
	m.lastTime = m.clock.Add(time.Duration(m.writes))
	e := kv.Entry{Key: key, Operation: operation, Position: m.position(), Created: m.lastTime}
	state := maps.Clone(m.states[m.last-1])
	if operation == kv.Put {
		e.Value = fmt.Appendf(nil, "%d.%d", m.last, m.writes) // a crash may give the revision again
		state[key] = string(e.Value)
		m.stored[string(e.Value)] = m.lastTime
	} else {
		delete(state, key)
	}
	m.states[m.last] = state
	keep := m.history - 1
	if operation == kv.Purge {
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

// position returns that of the last message.
func (m *model) position() kv.Position {
	return kv.Position{Epoch: m.epoch, Revision: m.last, Check: kv.CheckOf(m.lastTime)}
}

// lastOf returns the last entry of each key.
func (m *model) lastOf() map[string]kv.Entry {
	last := make(map[string]kv.Entry)
	for _, e := range m.messages {
		last[e.Key] = e
	}
	return last
}

// reconfigure changes the age at which messages vanish. The server reports what it is now.
func (m *model) reconfigure() {
	if m.maxAge = time.Duration(m.rand.IntN(4)) * time.Second; m.maxAge > 0 {
		m.maxAge += 10 * time.Millisecond // nothing ends between a step of the clock and a message
	}
	m.updates++
	terms := kv.Terms{MaxAge: m.maxAge}
	m.report(kvclient.Advisory{Kind: kvclient.StreamUpdated, Terms: &terms, At: m.clock})
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

// deleteMessage removes a message by its number. What was stored before it counts again, if it is
// there.
func (m *model) deleteMessage() {
	if len(m.messages) == 0 {
		return
	}
	i := m.rand.IntN(len(m.messages))
	m.messages = slices.Delete(slices.Clone(m.messages), i, i+1)
	m.purges++
	m.report(kvclient.Advisory{Kind: kvclient.StreamPurged, At: m.clock})
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
	m.saved = &savedModel{
		m.lives, m.last, m.lastTime, slices.Clone(m.messages), maps.Clone(m.states),
	}
}

// lose takes back all that happened since the stream was saved: what was stored since is lost, and
// its revisions will be given out again. It reports whether anything could be lost. It can happen
// again, since the stream is still on disk as it was.
func (m *model) lose() bool {
	s := m.saved
	if m.state().NothingRemoved() && m.last > 0 && m.rand.IntN(2) == 0 {
		s = m.shortened()
	}
	if s == nil || s.life != m.lives || m.missing {
		return false
	}
	m.losses++
	m.last, m.lastTime = s.last, s.lastTime
	m.messages, m.states = slices.Clone(s.messages), maps.Clone(s.states)
	for i := range m.messages {
		m.messages[i].Epoch = m.epoch
		delete(m.aged, string(m.messages[i].Value))
	}
	m.age()
	return true
}

// shortened returns the stream, which must hold every message that it was given, without the last
// few, or without those that the feed has yet to read.
func (m *model) shortened() *savedModel {
	few := min(m.last, kv.Revision(1+m.rand.IntN(4)))
	s := &savedModel{life: m.lives, last: m.last - few, states: m.states}
	if m.read < m.last && m.rand.IntN(4) > 0 {
		s.last = m.read
	}
	if s.messages = m.messages[:s.last]; s.last > 0 {
		s.lastTime = s.messages[s.last-1].Created
	}
	return s
}

// move gives the same stream another epoch, as a restart of an old server does.
func (m *model) move() {
	m.moves++
	m.epoch, m.created = kv.Epoch(fmt.Sprintf("e%dm%d", m.lives, m.moves)), m.clock
	for i := range m.messages {
		m.messages[i].Epoch = m.epoch
	}
}

// storedAt returns when the message of a revision was stored; zero if there is none.
func (m *model) storedAt(revision kv.Revision) time.Time {
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
	m.removeKey(key)
	if len(m.messages) == before {
		return
	}
	purged := uint64(before - len(m.messages))
	m.report(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: key, Purged: purged, At: m.clock})
	if !last.IsMarker() {
		m.states[m.last] = maps.Clone(m.states[m.last])
		delete(m.states[m.last], key)
	}
	if !last.IsMarker() || m.markers[key] != last.Revision {
		m.purges++
		m.advisories[len(m.advisories)-1].number = m.purges
	}
}

// removeKey removes all messages of a key.
func (m *model) removeKey(key string) {
	m.messages = slices.DeleteFunc(m.messages, func(e kv.Entry) bool { return e.Key == key })
}

// purgeMarkers does what PurgeDeletes does.
func (m *model) purgeMarkers() {
	last := m.lastOf()
	for _, key := range slices.Sorted(maps.Keys(last)) {
		if e := last[key]; e.IsMarker() {
			m.purge(key)
		}
	}
}

// vanish lets a marker come to the end of its time. Markers with a time of their own are purges,
// which have removed what was before them; where all entries have a time, what was before ends
// earlier.
func (m *model) vanish() {
	last := m.lastOf()
	for _, key := range slices.Sorted(maps.Keys(last)) {
		if e := last[key]; e.Operation == kv.Purge && m.clock.Sub(e.Created) >= time.Second {
			m.removeKey(key)
			return
		}
	}
}

// after returns up to count of the messages after a revision.
func (m *model) after(revision kv.Revision, count int) (entries []kv.Entry) {
	for _, e := range m.messages {
		if e.Revision > revision && len(entries) < count {
			e.Expires = expires(e.Created, m.maxAge)
			entries = append(entries, e)
		}
	}
	return entries
}

// selected returns the state at a revision for some filters.
func (m *model) selected(at kv.Revision, fs kv.Filters) map[string]string {
	state := maps.Clone(m.states[at])
	maps.DeleteFunc(state, func(key, value string) bool {
		old := m.maxAge > 0 && m.clock.Sub(m.stored[value]) >= m.maxAge
		return !fs.Matches(key) || m.aged[value] || old
	})
	return state
}

// expires returns when a message vanishes; zero for never.
func expires(stored time.Time, maxAge time.Duration) time.Time {
	if maxAge == 0 {
		return time.Time{}
	}
	return stored.Add(maxAge)
}
