package feed

import (
	"time"

	"kvgateway/internal/kv"
)

// A currency knows when a copy was last known to be current: to have everything that was stored by
// then. It learns so from the leader's answers. If the stream's last number is L in answer to a
// question that was sent at a time, then the copy is current as of that time once it has reached
// L at an exact position: what was stored before the question is in it, or was overwritten by what
// is.
//
// Answers come faster than positions become exact beside writers, so two of them are kept: the
// oldest, which will prove something first, and the newest. Feed.mu guards a currency.
type currency struct {
	// at is when the copy was last known to be current, by the gateway's clock.
	at time.Time
	// oldest and newest are answers that have yet to prove something.
	oldest, newest stored
}

// A stored says up to which revision the stream had something at a time.
type stored struct {
	// upTo is the revision.
	upTo kv.Revision
	// asked is when the question was sent; zero for no answer.
	asked time.Time
}

// answered notes the answer to a question that was sent at a time.
func (c *currency) answered(asked time.Time, last kv.Revision) {
	if c.oldest.asked.IsZero() {
		c.oldest = stored{last, asked}
		return
	}
	c.newest = stored{last, asked}
}

// reached notes the copy's position, and whether it is exact. It reports whether something was
// proved.
func (c *currency) reached(position kv.Revision, exact bool) (proved bool) {
	for exact && !c.oldest.asked.IsZero() && position >= c.oldest.upTo {
		c.at, proved = c.oldest.asked, true
		c.oldest, c.newest = c.newest, stored{}
	}
	return proved
}
