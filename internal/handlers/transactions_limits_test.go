package handlers_test

import (
	"testing"
)

// A request that is no transaction, or one that the bucket would refuse, does not count against the
// rate.
func TestRefusedTransactionsAreNotCounted(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.TransactionRate = 1 })
	kv := g.shop(t)
	put(t, kv, "a", "v")
	const target = "/buckets/shop/transactions"
	good := `{"operations":[{"op":"put","key":"a","value":1}]}`
	for range 5 {
		g.do(t, "POST", target, good, jsonType).problem(t, 409, "transactions-not-enabled")
	}
	g.do(t, "PATCH", "/buckets/shop", `{"allow_atomic":true}`, jsonType).is(t, 200)
	for range 5 {
		g.do(t, "POST", target, `{}`, jsonType).problem(t, 400, "invalid-body")
		g.do(t, "POST", target, `{"operations":[{"op":"check","key":"a","if_revision":1}]}`,
			jsonType).is(t, 400)
		g.do(t, "POST", target,
			`{"operations":[{"op":"put","key":"a","value":1,"if_absent":true}]}`,
			jsonType).is(t, 412)
	}
	g.do(t, "POST", target, good, jsonType).is(t, 200)
}
