// Package link carries requests to NATS and their answers. A [Link] is a connection that is made
// anew whenever it is lost; a request gets one answer, or an error that says whether it was sent.
// The package knows nothing of buckets.
//
// # Files
//
//	link      the connection: it is dialled, lost, and dialled anew
//	request   one message and its one answer, and what the errors of nats.go mean
//	batch     several messages that have one answer
//	denials   what the server denies, brought to whoever waits for an answer
//	replies   the subscriptions on which requests wait for their answers
//	window    what bounds requests in time, and ends them when the connection is lost
//	claim     the room that is reserved for an answer
//	answers   how many bytes of answers may be under way
//
// # The life of a request
//
// Every request and its one answer go through [Link.Request]:
//
//	step                               | if it fails
//	the connection is open             | ErrUnavailable
//	a context: a window shared with    | ErrUnavailable, since no time is left
//	other requests, or a deadline      |
//	room for the answer is claimed,    | *bound.FullError (a claim); acknowledgements of
//	clients taking turns               | writes need no claim
//	a subscription of its own is taken | for a read one is made; an acknowledgement waits
//	                                   | in nats.go's way
//	the message is sent                | ErrUnavailable
//	the answer comes                   | ErrTimeout, with the claim abandoned; ErrNoResponders;
//	                                   | *kv.DeniedError, which comes as fast as an answer
//
// See [Claim] for the states of a claim, [Link] for those of a connection, and windows for what
// ends requests when the connection is lost. [Link.Batch] sends several messages that have one
// answer. Requests that are answered by many messages are sent over [Link.Conn] by whoever reads
// those, with a claim of [Link.Claim], and end with [Link.Gone].
//
// What a lost connection and a claim do is tested in kvclient, with a client over real servers and
// proxies, since it shows in what becomes of reads and writes: in client_link_test.go and
// client_claim_test.go there.
package link
