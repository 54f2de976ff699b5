package kv

// A Condition is a set of positions that a key's last entry is compared with. The zero Condition is
// absent.
type Condition struct {
	// Any stands for "*": every position at which the key has a value.
	Any bool
	// Positions are the positions, if it is not that.
	Positions []Position
}

// Present reports whether there is a condition at all.
func (c Condition) Present() bool { return c.Any || len(c.Positions) > 0 }

// Matches reports whether a key whose last entry is e, nil if it was never written, is in the set.
// A marker has a revision as a value has, but it is no value. A position with a check matches the
// message that has this check, whatever the epoch is; a position without a check never matches in
// another epoch, in which its revision belongs to another bucket.
func (c Condition) Matches(e *Entry, epoch Epoch) bool {
	if c.Any {
		return e != nil && !e.IsMarker()
	}
	var last Position
	if e != nil {
		last = e.Position
	}
	for _, p := range c.Positions {
		if p.names(last, epoch) {
			return true
		}
	}
	return false
}

// A Precondition says what a key's last entry must be for a request to be carried out (RFC 9110
// §13). The zero Precondition always holds. Two kinds are simple enough for the server to check as
// it stores, so that a write need not read first: [Precondition.IfAbsent] and
// [Precondition.IfRevision] recognise them.
type Precondition struct {
	// IfMatch must match the last entry, if it is present.
	IfMatch Condition
	// IfNoneMatch must not match the last entry, if it is present.
	IfNoneMatch Condition
}

// Always reports whether there is no precondition.
func (p Precondition) Always() bool { return !p.IfMatch.Present() && !p.IfNoneMatch.Present() }

// Holds reports whether the precondition holds for a key whose last entry is e, nil if it was never
// written.
func (p Precondition) Holds(e *Entry, epoch Epoch) bool {
	if p.IfMatch.Present() && !p.IfMatch.Matches(e, epoch) {
		return false
	}
	return !p.IfNoneMatch.Present() || !p.IfNoneMatch.Matches(e, epoch)
}

// IfAbsent reports whether the precondition is only that the key has no value.
func (p Precondition) IfAbsent() bool { return p.IfNoneMatch.Any && !p.IfMatch.Present() }

// IfRevision returns the one revision that the precondition asks for, if it is that simple: then
// the server can check it as it stores, and nothing needs to be read first.
//
// A position with a check is not that simple, since NATS compares revisions and knows no checks. It
// is read even if the embedded server syncs before it acknowledges: a data directory that was
// restored from a copy gives revisions out again too, and nothing in it says so. Beside a synced
// write the read costs about a hundredth. A PUT's own tag has no check, since the acknowledgement
// does not say when the value was stored, so chains of writes that send the tag of the one before
// read nothing.
func (p Precondition) IfRevision(epoch Epoch) (Revision, bool) {
	if p.IfMatch.Any || len(p.IfMatch.Positions) != 1 || p.IfNoneMatch.Present() {
		return 0, false
	}
	position := p.IfMatch.Positions[0]
	simple := !position.Check.Known() && (position.Epoch == "" || position.Epoch == epoch)
	return position.Revision, simple
}

// NamesOtherEpoch reports whether the precondition names an epoch other than this one.
func (p Precondition) NamesOtherEpoch(epoch Epoch) bool {
	for _, c := range []Condition{p.IfMatch, p.IfNoneMatch} {
		for _, position := range c.Positions {
			if position.Epoch != "" && position.Epoch != epoch {
				return true
			}
		}
	}
	return false
}
