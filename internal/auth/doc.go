// Package auth decides who is calling, what they may do, and until when.
//
// A [Policy] is an auth file that was read and checked. A [Gate] has the policy in force, and turns
// what a request presents into a [Caller], whose [Rights] say what it may do. Whatever outlives the
// decision, such as a stream, follows its caller ([Gate.Follow]) and is ended when the right, the
// credential or the caller is gone.
//
// # Words
//
//	word         meaning
//	credential   what a caller presents to say who it is: a token, a JWT, a certificate
//	caller       who makes a request; one without a credential is a caller, too: anonymous
//	action       what can be done with a key or a bucket: get, list, watch, put, delete, admin
//	rule         a bucket, filters of keys, and the actions that are allowed there
//	role         a named list of rules
//	rights       the rules of all roles of a caller
//	reach        the keys of a bucket for which a caller may take an action
//	to follow    to be ended when a caller loses the right that it began with; follow.go
package auth
