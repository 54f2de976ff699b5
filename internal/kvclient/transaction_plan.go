package kvclient

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"kvgateway/internal/kv"
)

const (
	// headerExpectedSubject names the subject whose last revision headerExpected gives, if that is
	// not the message's own.
	headerExpectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject"

	// noStep is the guard of a member with which no precondition travels.
	noStep = -1
)

// A plan is a transaction made ready for the server: which messages there are, and which
// precondition travels with which.
//
//	step               | what happens                                   | next
//	toWrite            | the rules of the stream are asked for          | plan
//	plan               | keys, guards and times to live are checked     | makeReady
//	makeReady          | roll-ups, sizes and headroom are found out     | checkPreconditions
//	checkPreconditions | what must be absent is read, and from the      | Admit at the first try,
//	                   | second try on all that has a precondition; at  | then commit
//	                   | the first try not if there is an idempotency   |
//	                   | key                                            |
//	commit             | the batch is sent, and sent again if nobody    | see below
//	                   | took it or the server did not get all of it    |
//
//	answer to commit   | next
//	all is stored      | done
//	a wrong revision   | checkPreconditions, maxTries times
//	a duplicate        | alreadyApplied finds out what was done
//	another refusal    | an error; nothing was stored
//	none               | ErrOutcomeUnknown
type plan struct {
	// bucket is the bucket that the transaction changes.
	bucket *Bucket
	// rules are those of the stream that is written to.
	rules *writeRules
	// steps are the transaction's steps.
	steps []Step
	// allowed is that of the transaction.
	allowed func() error
	// expected are the revisions that the server is to expect, for each step with a precondition.
	expected []kv.Revision
	// members are the steps that write, in order: one message each.
	members []member
	// rollUp has the steps that write over an entry which never expires.
	rollUp map[int]bool
	// messageID is for the server's duplicate check; "" for none.
	messageID string
	// suffix ends the batch's id, by which a repetition knows it; "" for none.
	suffix string
}

// A member is a step that writes, with the step whose precondition travels with it. Both are
// indexes of steps.
type member struct {
	// step is the step that writes.
	step int
	// guard is the step whose precondition travels with it: its own, a check's, or noStep.
	guard int
}

// plan checks a transaction against the rules, and makes it ready.
func (b *Bucket) plan(t Transaction, rules *writeRules) (*plan, error) {
	if len(t.Steps) == 0 || len(t.Steps) > MaxSteps {
		return nil, breaksRule(max(0, len(t.Steps)-1), "a transaction has 1 to 1,000 operations")
	}
	p := &plan{
		bucket: b, rules: rules, steps: t.Steps, expected: make([]kv.Revision, len(t.Steps)),
		allowed: t.Allowed,
	}
	if err := p.checkKeys(); err != nil {
		return nil, err
	}
	if err := p.assignGuards(); err != nil {
		return nil, err
	}
	for i, s := range p.steps {
		if err := cmp.Or(b.checkExtent(s.Key), rules.checkTTL(s.TTL)); err != nil {
			return nil, &kv.StepError{Index: i, Err: err}
		}
		if rev, ok := s.Precondition.IfRevision(b.epoch); ok {
			p.expected[i] = rev
		}
	}
	if t.Idempotency.Key != "" {
		p.identify(t.Idempotency)
	}
	return p, nil
}

// breaksRule returns the error of a step that breaks a rule of transactions.
func breaksRule(step int, reason string) error {
	return &kv.StepError{Index: step, Err: &kv.StepRuleError{Reason: reason}}
}

// keys returns the keys of the steps.
func (p *plan) keys() []kv.Key {
	keys := make([]kv.Key, len(p.steps))
	for i := range p.steps {
		keys[i] = p.steps[i].Key
	}
	return keys
}

// checkKeys refuses a key that occurs twice. The server checks all preconditions against the state
// before the transaction; so a second condition on a key could not see the first write, and a
// second write would hide the first one from everybody.
func (p *plan) checkKeys() error {
	seen := make(map[kv.Key]int, len(p.steps))
	for i, s := range p.steps {
		if other, twice := seen[s.Key]; twice {
			return breaksRule(i, fmt.Sprintf(
				"operation %d has the same key; a transaction has each key once", other))
		}
		seen[s.Key] = i
	}
	return nil
}

// assignGuards makes each precondition travel with a write: a message has room for one.
func (p *plan) assignGuards() error {
	var free []int // members without a precondition of their own
	for i := range p.steps {
		s := &p.steps[i]
		switch {
		case !s.writes():
		case s.Precondition.Always():
			free = append(free, len(p.members))
			p.members = append(p.members, member{i, noStep})
		default:
			p.members = append(p.members, member{i, i})
		}
	}
	for i := range p.steps {
		if p.steps[i].writes() {
			continue
		}
		if len(free) == 0 {
			return breaksRule(i, "each check travels with a write that has no condition of its "+
				"own, and there is none left; put the condition on a write of the same key, or "+
				"split the transaction")
		}
		p.members[free[0]].guard, free = i, free[1:]
	}
	return nil
}

// identify makes two ids from an idempotency key: one for the server's duplicate check, and the end
// of the batch's id, by which the entries of a transaction that was the very same are known. That
// end is a digest of the key and of the work: with the work alone, TestClusterTransactionsAreAtomic
// took half of its transactions for those of other workers that did the same. No single write has
// the empty key that stands for a transaction.
func (p *plan) identify(i Idempotency) {
	work := make([][]byte, 0, 2*len(p.steps))
	for _, s := range p.steps {
		step := fmt.Appendf(nil, "%d %s %q %s %v",
			s.Kind, s.Key, s.ContentType, s.TTL, s.Precondition)
		work = append(work, step, s.Value)
	}
	stamp := i.stamp(p.bucket.name, kv.Key{}, "TRANSACTION", work...)
	p.messageID = stamp.messageID
	p.suffix = "-" + digest([]byte(stamp.messageID), []byte(stamp.request))
}

// newID returns an id for the batch that no other batch has: the server would take two batches with
// one id for one batch.
func (p *plan) newID() string { return nuid.Next() + p.suffix }

// checkSizes refuses messages that the bucket or the server would not take, with the headers that
// they have at most.
func (p *plan) checkSizes() error {
	for i, msg := range p.messages(p.newID(), p.greatest()) {
		if room := p.bucket.maxMessage - headerBytes(msg.Header); len(msg.Data) > room {
			return &kv.StepError{
				Index: p.members[i].step, Err: p.bucket.tooLarge(msg.Header),
			}
		}
	}
	return nil
}

// greatest returns expected revisions of the greatest length.
func (p *plan) greatest() []kv.Revision {
	greatest := make([]kv.Revision, len(p.steps))
	for i := range greatest {
		greatest[i] = kv.MaxRevision
	}
	return greatest
}

// messages returns the batch, expecting these revisions of the steps with a precondition.
func (p *plan) messages(id string, expected []kv.Revision) []*nats.Msg {
	messages := make([]*nats.Msg, len(p.members))
	for i, m := range p.members {
		msg := p.message(&p.steps[m.step])
		if p.rollUp[m.step] {
			setHeader(msg, headerRollup, rollupSubject)
		}
		setHeader(msg, headerBatchID, id)
		setHeader(msg, headerBatchSequence, strconv.Itoa(i+1))
		if m.guard != noStep {
			expectRevision(msg, expected[m.guard])
		}
		if m.guard != noStep && m.guard != m.step {
			setHeader(msg, headerExpectedSubject, p.bucket.readPrefix+p.steps[m.guard].Key.String())
		}
		messages[i] = msg
	}
	if p.messageID != "" {
		// On the first message it is looked at before every precondition, so that a repetition is
		// told from a conflict.
		setHeader(messages[0], headerMessageID, p.messageID)
	}
	setHeader(messages[len(messages)-1], headerBatchCommit, "1")
	return messages
}

// message returns a step as it would be published alone.
func (p *plan) message(s *Step) *nats.Msg {
	if s.Kind == PutStep {
		w := Write{Key: s.Key, Value: s.Value, ContentType: s.ContentType, TTL: s.TTL}
		return w.message(p.bucket)
	}
	return Deletion{Key: s.Key, Purge: s.Kind == PurgeStep, TTL: s.TTL}.message(p.bucket)
}
