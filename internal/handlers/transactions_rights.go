package handlers

import (
	"errors"

	"kvgateway/internal/auth"
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

// withholdFailed returns the error of a transaction as its caller may see it. If there is a
// condition on a key that the caller may not get, the answer does not say which conditions on such
// keys do not hold, and neither whether any does not.
func (x *exchange) withholdFailed(
	err error,
	b *kvclient.Bucket,
	steps []kvclient.Step,
) error {
	failed, ok := errors.AsType[*kv.TransactionFailedError](err)
	if !ok {
		return err
	}
	hidden := func(k kv.Key) bool { return !mayWrite(x.caller.Rights, auth.Get, b, k) }
	incomplete := false
	for i := range steps {
		incomplete = incomplete || !steps[i].Precondition.Always() && hidden(steps[i].Key)
	}
	if !incomplete {
		return err
	}
	var shown []kv.FailedStep
	for _, f := range failed.Failed {
		if !hidden(f.Key) {
			shown = append(shown, f)
		}
	}
	return failedProblem(shown, true)
}
