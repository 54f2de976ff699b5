package feed

import (
	"testing"

	"kvgateway/internal/kv"
)

func TestExactnessFollowsTheRule(t *testing.T) {
	// An act is something that the feed learns. Afterwards it claims a position to be exact, or
	// does not.
	type act func(e *exactness, revision *kv.Revision, q *question)
	read := func(next kv.Revision) act {
		return func(e *exactness, revision *kv.Revision, _ *question) {
			e.read(*revision, next)
			*revision = next
		}
	}
	pass := func(to kv.Revision) act {
		return func(e *exactness, revision *kv.Revision, _ *question) {
			e.pass(*revision, to)
			*revision = to
		}
	}
	ask := func(e *exactness, revision *kv.Revision, q *question) { *q = e.ask(*revision) }
	answer := func(last kv.Revision) act {
		return func(e *exactness, revision *kv.Revision, q *question) {
			e.answered(*q, last, *revision)
		}
	}
	disclaim := func(e *exactness, _ *kv.Revision, _ *question) { e.disclaim() }
	for name, tc := range map[string]struct {
		acts []act
		// exact says which positions are claimed, and which are not. The feed begins at 10.
		exact claims
	}{
		"nothing skipped": {
			[]act{read(11), read(12)},
			claims{9: false, 10: true, 12: true, 13: false},
		},
		"a skip": {
			[]act{read(11), read(13)},
			claims{10: true, 11: true, 12: false, 13: false},
		},
		"a skip, and all has come": {
			[]act{read(12), ask, answer(12)},
			claims{10: true, 11: false, 12: true},
		},
		"a skip, and more is stored": {
			[]act{read(12), ask, answer(14), read(13)},
			claims{12: false, 13: false},
		},
		"all that was stored came": {
			[]act{read(12), ask, answer(14), read(13), read(14), read(15)},
			claims{13: false, 14: true, 15: true},
		},
		"came while it was asked": {
			[]act{read(12), ask, read(13), read(14), answer(13)},
			claims{12: false, 13: true, 14: true},
		},
		"a skip after the question": {
			[]act{read(12), ask, read(14), answer(12)},
			claims{12: false, 14: false},
		},
		"a skip after the answer": {
			[]act{read(12), ask, answer(14), read(15)},
			claims{14: false, 15: false},
		},
		"asked before the skip": {
			[]act{ask, read(12), answer(12)},
			claims{12: false},
		},
		"a second answer is no better": {
			[]act{read(12), ask, answer(13), ask, answer(15), read(13)},
			claims{13: true},
		},
		"passed over, and asked again": {
			[]act{pass(14), ask, answer(14)},
			claims{10: true, 12: false, 14: true},
		},
		"passed over, not asked again": {
			[]act{pass(14)},
			claims{10: true, 14: false},
		},
		"disclaimed, whatever is answered": {
			[]act{disclaim, ask, answer(10), read(11)},
			claims{10: false, 11: false},
		},
		"behind the last run but one": {
			[]act{read(11), read(13), ask, answer(13), read(15)},
			claims{11: false, 13: true, 15: false},
		},
		"a leader that knows less": {
			[]act{read(12), ask, answer(11)},
			claims{11: false, 12: true},
		},
		"an answer where none is owing": {
			[]act{ask, answer(20), read(11)},
			claims{10: true, 11: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var e exactness
			e.begin(10)
			revision, q := kv.Revision(10), question{}
			for _, do := range tc.acts {
				do(&e, &revision, &q)
			}
			for at, want := range tc.exact {
				if got := e.holds(at, revision); got != want {
					t.Errorf("%d is exact: %v, want %v (at %d: %+v)", at, got, want, revision, e)
				}
			}
		})
	}
}

// claims says of positions whether they are called exact.
type claims = map[kv.Revision]bool
