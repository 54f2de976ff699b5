package main

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

func bankCall(begin, end int64, in bankInput, out bankOutput) porcupine.Operation {
	if end == 0 {
		end = forever
	}
	return porcupine.Operation{Input: in, Output: out, Call: begin, Return: end}
}

// moved is a transaction that sets the two balances on condition that the accounts have the
// revisions a and b.
func moved(id int, a, b uint64, balanceA, balanceB int, more ...part) bankInput {
	parts := []part{{first, put, revisionIs(a), balanceA}, {second, put, revisionIs(b), balanceB}}
	return bankInput{ID: id, Parts: append(parts, more...)}
}

func at(revisions ...uint64) bankOutput { return bankOutput{Revisions: revisions} }

func both(a, b sight) bankOutput {
	a.Key, b.Key = first, second
	return bankOutput{Sights: []sight{a, b, {Key: fence, NoRevision: true}}}
}

func balance(revision uint64, by, n int) sight {
	return sight{Kind: value, Revision: revision, Doc: doc{by, by, n}}
}

func TestBankHistoriesAreJudged(t *testing.T) {
	opened := bankCall(1, 2, bankInput{ID: 1, Parts: []part{
		{first, put, absent, 60}, {second, put, absent, 40}}}, at(5, 6))
	fenceMoved := bankCall(3, 4, bankInput{ID: 2, Parts: []part{{Key: fence, Op: put}}}, at(8))
	refused, lost := bankOutput{Outcome: mismatch}, bankOutput{Outcome: unknown}
	guarded := moved(3, 5, 6, 50, 50, part{fence, check, revisionIs(7), 0})
	var look bankInput
	for _, tc := range []struct {
		name  string
		legal bool
		calls []porcupine.Operation
	}{
		{"moved and seen", true, []porcupine.Operation{opened,
			bankCall(3, 4, moved(2, 5, 6, 50, 50), at(8, 9)),
			bankCall(5, 6, look, both(balance(8, 2, 50), balance(9, 2, 50)))}},
		{"half seen", false, []porcupine.Operation{opened,
			bankCall(3, 9, moved(2, 5, 6, 50, 50), at(8, 9)),
			bankCall(4, 5, look, both(balance(8, 2, 50), balance(6, 1, 40)))}},
		{"half done, outcome unknown", false, []porcupine.Operation{opened,
			bankCall(3, 0, moved(2, 5, 6, 50, 50), lost),
			bankCall(4, 5, look, both(balance(8, 2, 50), balance(6, 1, 40)))}},
		{"done, outcome unknown", true, []porcupine.Operation{opened,
			bankCall(3, 0, moved(2, 5, 6, 50, 50), lost),
			bankCall(4, 5, look, both(balance(5, 1, 60), balance(6, 1, 40))),
			bankCall(6, 7, look, both(balance(8, 2, 50), balance(9, 2, 50)))}},
		{"half open", false, []porcupine.Operation{opened,
			bankCall(4, 5, look, both(balance(5, 1, 60), sight{NoRevision: true}))}},
		{"two transfers from the same revisions", false, []porcupine.Operation{opened,
			bankCall(3, 9, moved(2, 5, 6, 50, 50), at(8, 9)),
			bankCall(3, 9, moved(3, 5, 6, 70, 30), at(11, 12))}},
		{"refused, although every condition holds", false, []porcupine.Operation{opened,
			bankCall(3, 4, moved(2, 5, 6, 50, 50), refused)}},
		{"refused for the fence", true, []porcupine.Operation{opened, fenceMoved,
			bankCall(5, 6, guarded, refused)}},
		{"done, although the fence had moved", false, []porcupine.Operation{opened, fenceMoved,
			bankCall(5, 6, guarded, at(9, 10, 7))}},
		{"refused with a wrong current revision", false, []porcupine.Operation{opened, fenceMoved,
			bankCall(5, 6, look, bankOutput{
				Sights: []sight{{Key: fence, Revision: 7, NoValue: true}}})}},
		{"revisions of an older state", false, []porcupine.Operation{opened,
			bankCall(3, 4, moved(2, 5, 6, 50, 50), at(3, 4))}},
	} {
		if got := porcupine.CheckOperations(bankModel, resolve(tc.calls, nil)); got != tc.legal {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestHalvesAreFound(t *testing.T) {
	for name, tc := range map[string]struct {
		seen  bankOutput
		wrong int
	}{
		"open":            {both(balance(5, 1, 60), balance(6, 1, 40)), 0},
		"closed":          {both(sight{NoRevision: true}, sight{NoRevision: true}), 0},
		"half":            {both(balance(5, 1, 60), sight{NoRevision: true}), 1},
		"does not add up": {both(balance(5, 1, 60), balance(6, 1, 41)), 1},
	} {
		seen := []porcupine.Operation{bankCall(1, 2, bankInput{}, tc.seen)}
		if found := halves("banks/b", seen); len(found) != tc.wrong {
			t.Errorf("%s: %v", name, found)
		}
	}
}
