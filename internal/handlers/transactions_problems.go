package handlers

import (
	"errors"
	"fmt"
	"maps"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// transactionProblem returns the problem for an error of a transaction that carries data.
func transactionProblem(err error) (problem.Error, bool) {
	if e, ok := errors.AsType[*kv.StepError](err); ok {
		return stepErrorProblem(e), true
	}
	if e, ok := errors.AsType[*kv.TransactionFailedError](err); ok {
		return failedProblem(e.Failed, ""), true
	}
	if e, ok := errors.AsType[*kv.AlreadyAppliedError](err); ok {
		return appliedProblem(e), true
	}
	if e, ok := errors.AsType[*kv.TransactionsNotEnabledError](err); ok {
		return problem.Error{
			Code: problem.NoTransactions,
			Members: problem.Members{
				"bucket": e.Bucket,
				"patch":  problem.Members{"allow_atomic": true},
			},
			Detail: "The bucket does not allow transactions and nothing was stored. " +
				"To allow them, send PATCH " + problem.Base + "/buckets/" + e.Bucket +
				` with {"allow_atomic":true}.`,
		}, true
	}
	return problem.Error{}, false
}

// stepErrorProblem returns the problem of one operation, with its index.
func stepErrorProblem(e *kv.StepError) problem.Error {
	var p problem.Error
	if rule, ok := errors.AsType[*kv.StepRuleError](e.Err); ok {
		p = problem.OfBody(fmt.Sprintf("/operations/%d", e.Index), rule.Reason)
	} else {
		p = problemOf(e.Err)
	}
	p.Detail = fmt.Sprintf("Operation %d: %s", e.Index, p.Detail)
	p.Members = maps.Clone(p.Members)
	if p.Members == nil {
		p.Members = problem.Members{}
	}
	p.Members["index"] = e.Index
	return p
}

// failedProblem returns the problem of a transaction with the operations whose conditions do not
// hold. If some conditions are about keys that the caller may not get, the operations with those
// keys are left out, it is not said whether the others are all, and incomplete is the detail;
// otherwise incomplete must be empty.
func failedProblem(shown []kv.FailedStep, incomplete string) problem.Error {
	failed := make([]problem.Members, 0, len(shown))
	for _, f := range shown {
		failed = append(failed, problem.Members{
			"index":            f.Index,
			"key":              f.Key.String(),
			"current_revision": f.Current,
		})
	}
	p := problem.Error{Code: problem.TransactionFailed, Members: problem.Members{"failed": failed},
		Detail: "The conditions of the operations in `failed` do not hold, and nothing was " +
			"stored. Read those keys and send a new transaction."}
	switch {
	case incomplete != "":
		p.Detail = incomplete
	case len(failed) == 0:
		p.Members["retry"] = true
		p.Detail = "Other writers were in the way and nothing was stored. All conditions hold " +
			"now. Send the same transaction again."
	}
	return p
}

// appliedProblem returns the problem of a transaction whose idempotency key was used for another
// one, or for the same one before.
func appliedProblem(e *kv.AlreadyAppliedError) problem.Error {
	p := problem.Error{Code: problem.AlreadyApplied, Members: problem.Members{},
		Detail: "A transaction with this Idempotency-Key " +
			"was carried out before, and this one was not."}
	if e.First == nil {
		p.Detail += " What the first one did was something else, or cannot be read any more."
		return p
	}
	results := make([]problem.Members, 0, len(e.Keys))
	for i, key := range e.Keys {
		results = append(results, problem.Members{
			"key":      key.String(),
			"revision": e.First.Revisions[i],
		})
	}
	p.Members = problem.Members{
		"id":       e.First.ID,
		"revision": e.First.Revision,
		"epoch":    e.First.Epoch,
		"results":  results,
	}
	return p
}
