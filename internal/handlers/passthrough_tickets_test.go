package handlers_test

import "testing"

// A ticket of a NATS credential opens the streams of its account, also as the first request of the
// credential. One that NATS does not know gets none.
func TestPassedThroughTicketsAreApart(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	tickets := make(map[string]string)
	for _, user := range []string{"ann", "bob"} {
		put(t, bucketAs(t, s, user, "shop"), "of-"+user, "v")
		tickets[user], _ = g.do(t, "POST", "/tickets", `{"watch":["shop"]}`, jsonType,
			basicAs(user)).is(t, 200).object(t)["ticket"].(string)
	}
	for user, ticket := range tickets {
		stream := g.watch(t, "/buckets/shop/watch?ticket="+ticket)
		if b := stream.until("put"); b.object(t)["key"] != "of-"+user {
			t.Errorf("the ticket of %s is sent %s", user, b.data)
		}
	}
	g.do(t, "POST", "/tickets", `{"watch":["shop"]}`, jsonType,
		"Authorization: Basic YW5uOndyb25n").problem(t, 401, "unauthenticated")
}
