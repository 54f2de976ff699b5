// Package auth decides who is calling, what they may do, and until when.
//
// A [Policy] is an auth file that was read and checked. A [Gate] has the policy in force. From the
// credential of a request it makes a [Caller], whose [Rights] say what may be done. What outlives
// the decision, such as a stream, is tied to its caller ([Gate.Tie]) and is ended when the right,
// the credential or the caller is gone.
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
//	key          of a bucket; said of an issuer or of tickets, what signs them
//	tie          what ends something under way when its caller loses the right that it began
//	             with; tie.go
//
// # Who is calling
//
// A credential is looked at by the first of these that it could be meant for, and by no later one,
// even if it is not valid:
//
//	presented                     who looks                     checked against
//	a ticket                      identifyTicket, ticket.go     its signature, and the credential
//	                                                            that it names
//	Bearer kvgw_…                 identifyOwnToken,             the hashes of the file
//	                                identify.go
//	Bearer, a JWT of an issuer    identifyJWT,                  the entry of the issuer, and its
//	  of the file                   identify_jwt.go             keys (keys_source.go)
//	Bearer, anything else, and    identifyNATS,                 NATS, when it is used
//	  Basic                         identify_nats.go
//	a client certificate          certificateCaller,            its names
//	                                certificate.go
//	nothing                       identifyNobody, identify.go   the section anonymous
//
// What is valid is kept, so that the next request with it costs next to nothing. What is dear is
// limited by the address of the client: asking NATS (failures.go), and checks of signatures and
// waits for keys (bounds.go). A good credential never counts against others of its address.
//
// What is under way is tied to its caller (ties.go). After a change each of these callers is
// decided anew (decide.go) by what is known of it: no signature is checked again.
//
// # The file
//
// [Load] reads the file node by node (file.go, file_*.go and nodes.go), so that each mistake has
// its place, and returns all of them. A policy knows nothing of a gate. When it is put in force,
// the gate adopts a copy (adopt.go), to which it ties the keys of issuers that it has fetched.
package auth
