// Package kv has the words of the domain: keys, filters, revisions, preconditions, entries,
// configurations and errors. It imports neither NATS nor HTTP, and nothing of the gateway.
//
// Text is parsed where it enters, by [ParseKey], [ParseBucketName], [ParseFilters] and
// [ParsePosition], and is not checked again: whoever has a [Key] has one that NATS takes.
//
//	key.go, filter.go, filtertree.go  what is named, and what selects it
//	revision.go, check.go             when: revision, epoch, check and position
//	precondition.go                   what a key's last entry must be (RFC 9110 §13)
//	entry.go, json.go, jsonvalue.go   a key's value or its absence, and its JSON (jsontext.go)
//	config.go, status.go, terms.go    what a bucket is, and by which settings its entries end
//	extent.go                         which keys of its origin a mirror holds
//	duration.go                       times to live, and times in configurations as JSON
//	errors.go                         what can be refused or fail
package kv
