package bound

// A queue has claims that wait, in a line for each owner. A claim joins and leaves it in constant
// time, wherever in its line it is: with thousands of claims that are given up at once, anything
// else would hold the bound's mutex for seconds. Its bound's mutex guards it.
type queue struct {
	lines map[string]*line
	// turns is the end of a ring of the lines: next to it is the line whose turn it is.
	turns  line
	length int // the number of claims
}

// A line has the claims of one owner that wait, the oldest first.
type line struct {
	owner        string
	next, before *line // in the ring of turns
	length       int
	// end is the end of a ring of tickets: next to it is the one of the claim that is served first.
	end ticket
}

// A ticket is a claim's place in a line. Its line is nil while it is in none.
type ticket struct {
	claim        *claim
	line         *line
	next, before *ticket
}

func (q *queue) init() {
	q.lines = make(map[string]*line)
	q.turns.next, q.turns.before = &q.turns, &q.turns
}

// join puts a ticket into its owner's line, as the first one or the last.
func (q *queue) join(t *ticket, owner string, first bool) {
	l := q.lines[owner]
	if l == nil {
		l = &line{owner: owner}
		l.end.next, l.end.before = &l.end, &l.end
		q.lines[owner] = l
		q.last(l)
	}
	behind := l.end.before
	if first {
		behind = &l.end
	}
	t.line, t.before, t.next = l, behind, behind.next
	t.before.next, t.next.before = t, t
	l.length++
	q.length++
}

// leave takes a ticket out of its line, if it is in one.
func (q *queue) leave(t *ticket) {
	l := t.line
	if l == nil {
		return
	}
	t.before.next, t.next.before = t.next, t.before
	t.line, t.next, t.before = nil, nil, nil
	l.length--
	q.length--
	if l.length == 0 {
		delete(q.lines, l.owner)
		l.before.next, l.next.before = l.next, l.before
	}
}

// last makes a line the one whose turn comes last.
func (q *queue) last(l *line) {
	if l.next != nil {
		l.before.next, l.next.before = l.next, l.before
	}
	l.next, l.before = &q.turns, q.turns.before
	l.before.next, l.next.before = l, l
}

// first returns the claim whose turn it is. The queue must not be empty.
func (q *queue) first() *claim { return q.turns.next.end.next.claim }
