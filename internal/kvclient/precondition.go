package kvclient

// A Condition is a set of revisions that a key's last entry is compared with. The zero Condition is absent.
type Condition struct {
	Any       bool // "*": the key has a value
	Positions []Position
}

// Present tells whether there is a condition at all.
func (c Condition) Present() bool { return c.Any || len(c.Positions) > 0 }

// Matches reports whether a key whose last entry is e, nil if it was never written, is in the set. A
// marker has a revision as a value has, but it is no value. A position with a check matches the
// message that has this check, whatever the epoch is called; one without a check never matches in
// another epoch, where its revision counts in another bucket.
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

// A Precondition says what a key's last entry must be for a request to be carried out (RFC 9110 §13). The zero Precondition
// always holds.
type Precondition struct {
	IfMatch     Condition // the last entry is one of these
	IfNoneMatch Condition // the last entry is none of these
}

// Always tells whether there is no precondition.
func (p Precondition) Always() bool { return !p.IfMatch.Present() && !p.IfNoneMatch.Present() }

// Holds tells whether the precondition holds for a key whose last entry is e, nil if it was never written.
func (p Precondition) Holds(e *Entry, epoch Epoch) bool {
	if p.IfMatch.Present() && !p.IfMatch.Matches(e, epoch) {
		return false
	}
	return !p.IfNoneMatch.Present() || !p.IfNoneMatch.Matches(e, epoch)
}

// ifAbsent tells whether the precondition is only that the key has no value.
func (p Precondition) ifAbsent() bool { return p.IfNoneMatch.Any && !p.IfMatch.Present() }

// ifRevision returns the one revision that the precondition asks for, where it is that simple: then
// the server can check it as it stores, and nothing needs to be read first. The server compares no
// checks, so a position that has one is read first.
func (p Precondition) ifRevision(epoch Epoch) (Revision, bool) {
	if p.IfMatch.Any || len(p.IfMatch.Positions) != 1 || p.IfNoneMatch.Present() {
		return 0, false
	}
	position := p.IfMatch.Positions[0]
	simple := !position.Check.Known() && (position.Epoch == "" || position.Epoch == epoch)
	return position.Revision, simple
}

// foreignEpoch tells whether the precondition names an epoch other than this one.
func (p Precondition) foreignEpoch(epoch Epoch) bool {
	for _, c := range []Condition{p.IfMatch, p.IfNoneMatch} {
		for _, position := range c.Positions {
			if position.Epoch != "" && position.Epoch != epoch {
				return true
			}
		}
	}
	return false
}
