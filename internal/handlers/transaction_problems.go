package handlers

import (
	"errors"
	"fmt"
	"maps"

	"kvgateway/internal/kvclient"
)

// transactionProblem returns the problem for an error of a transaction that carries data.
func transactionProblem(err error) (problemError, bool) {
	if e, ok := errors.AsType[*kvclient.StepError](err); ok {
		return stepErrorProblem(e), true
	}
	if e, ok := errors.AsType[*kvclient.TransactionFailedError](err); ok {
		return failedProblem(e), true
	}
	if e, ok := errors.AsType[*kvclient.AlreadyAppliedError](err); ok {
		return appliedProblem(e), true
	}
	if e, ok := errors.AsType[*kvclient.TransactionsNotEnabledError](err); ok {
		return problemError{
			code:    codeNoTransactions,
			members: members{"bucket": e.Bucket, "patch": members{"allow_atomic": true}},
			detail: "The bucket does not allow transactions and nothing was stored. " +
				"To allow them, send PATCH /buckets/" + e.Bucket + ` with {"allow_atomic":true}.`,
		}, true
	}
	return problemError{}, false
}

// stepErrorProblem returns the problem of one operation, with its index.
func stepErrorProblem(e *kvclient.StepError) problemError {
	var p problemError
	if rule, ok := errors.AsType[*kvclient.StepRuleError](e.Err); ok {
		p = invalidBody(fmt.Sprintf("/operations/%d", e.Index), rule.Reason)
	} else {
		p = problemOf(e.Err)
	}
	p.detail = fmt.Sprintf("Operation %d: %s", e.Index, p.detail)
	p.members = maps.Clone(p.members)
	if p.members == nil {
		p.members = members{}
	}
	p.members["index"] = e.Index
	return p
}

// failedProblem returns the problem of a transaction whose conditions do not hold.
func failedProblem(e *kvclient.TransactionFailedError) problemError {
	failed := make([]members, 0, len(e.Failed))
	for _, f := range e.Failed {
		failed = append(failed, members{
			"index":            f.Index,
			"key":              f.Key.String(),
			"current_revision": f.Current,
		})
	}
	p := problemError{code: codeTransactionFailed, members: members{"failed": failed},
		detail: "The conditions of the operations in `failed` do not hold, and nothing was " +
			"stored. Read those keys and send a new transaction."}
	if len(failed) == 0 {
		p.members["retry"] = true
		p.detail = "Other writers were in the way and nothing was stored. All conditions hold " +
			"now. Send the same transaction again."
	}
	return p
}

// appliedProblem returns the problem of a transaction whose idempotency key was used for another
// one, or for the same one before.
func appliedProblem(e *kvclient.AlreadyAppliedError) problemError {
	p := problemError{code: codeAlreadyApplied, members: members{},
		detail: "A transaction with this Idempotency-Key " +
			"was carried out before, and this one was not."}
	if e.First == nil {
		p.detail += " What the first one did was something else, or cannot be read any more."
		return p
	}
	results := make([]members, 0, len(e.Steps))
	for i, step := range e.Steps {
		results = append(results, members{
			"key":      step.Key.String(),
			"revision": e.First.Revisions[i],
		})
	}
	p.members = members{
		"id":       e.First.ID,
		"revision": e.First.Revision,
		"epoch":    e.First.Epoch,
		"results":  results,
	}
	return p
}
