package handlers

import (
	"errors"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// stepActions are the rights that the operations of a transaction need. A check tells of its key
// whether it has the revision or not, so that it needs the right to get it.
var stepActions = [...]auth.Actions{
	kvclient.PutStep:    auth.Put,
	kvclient.DeleteStep: auth.Delete,
	kvclient.PurgeStep:  auth.Delete,
	kvclient.CheckStep:  auth.Get,
}

// needSteps returns an error unless the caller may carry out each step of a transaction.
func (x *exchange) needSteps(bucket kv.BucketName, steps []kvclient.Step) error {
	for i := range steps {
		actions, key := stepActions[steps[i].Kind], steps[i].Key
		if !x.caller.Rights.May(actions, bucket, key) {
			return &kv.StepError{Index: i, Err: forbidden(actions, bucket, key.String())}
		}
	}
	return nil
}

// needStepsInOrigin is needSteps in the origin of a mirror.
func (x *exchange) needStepsInOrigin(b *kvclient.Bucket, steps []kvclient.Step) error {
	for i := range steps {
		actions, key := stepActions[steps[i].Kind], steps[i].Key
		if !mayWrite(x.caller.Rights, actions, b, key) {
			err := forbiddenInOrigin(actions, b.Name(), key.String())
			return &kv.StepError{Index: i, Err: err}
		}
	}
	return nil
}

// withholdOfSteps returns the error of a transaction as its caller may see it. If there is a
// condition on a key that the caller may not get, the answer does not say which conditions on such
// keys do not hold, and neither whether any does not. With an idempotency key it does not say
// either whether it is the transaction itself that has changed such a key before.
func (x *exchange) withholdOfSteps(
	err error,
	b *kvclient.Bucket,
	t *kvclient.Transaction,
) error {
	known := x.recheck() == nil
	hidden := func(k kv.Key) bool { return !known || !mayWrite(x.caller.Rights, auth.Get, b, k) }
	isHidden, incomplete := false, false
	for i := range t.Steps {
		step := &t.Steps[i]
		isHidden = isHidden || hidden(step.Key)
		incomplete = incomplete || !step.Precondition.Always() && hidden(step.Key)
	}
	if !isHidden || saysNothingOfKeys(err) {
		return err
	}
	failed, isFailed := errors.AsType[*kv.TransactionFailedError](err)
	_, isApplied := errors.AsType[*kv.AlreadyAppliedError](err)
	idempotent := t.Idempotency.Key != ""
	switch {
	case isApplied && !incomplete:
		return errAppliedWithheld
	case isFailed && !incomplete:
		return err // It is about keys that the caller may get.
	case !isFailed || idempotent:
		return failedProblem(nil, whyIncomplete(idempotent))
	}
	var shown []kv.FailedStep
	for _, f := range failed.Failed {
		if !hidden(f.Key) {
			shown = append(shown, f)
		}
	}
	return failedProblem(shown, whyIncomplete(false))
}

// whyIncomplete returns the detail of a transaction that was not done, for a caller who is not told
// why.
func whyIncomplete(idempotent bool) string {
	why := "Conditions of the transaction do not hold, or other writers were in the way, "
	if idempotent {
		why += "or a transaction with this Idempotency-Key was carried out before, "
	}
	return why + "and nothing was stored. `failed` has only keys that the caller may get."
}

// errAppliedWithheld is the problem of a transaction whose idempotency key was used before, for a
// caller who may not get all of its keys. What is still there of the first one is not said.
var errAppliedWithheld = problem.Error{
	Code: problem.AlreadyApplied,
	Detail: "A transaction with this Idempotency-Key was carried out before, and this one was " +
		"not. The caller may not get all of its keys, so that it is not told what the first one " +
		"did.",
}
