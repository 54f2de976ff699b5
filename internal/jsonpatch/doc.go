// Package jsonpatch changes JSON documents by JSON merge patch (RFC 7396, [Merge]) and JSON Patch
// (RFC 6902, [Apply]). Everything that a patch does not touch stays as it was written: numbers such
// as 1e400 and -0, escapes, the order of members, and white space. The package knows neither HTTP
// nor NATS.
//
// Documents and patches come from anybody. Work and memory are bounded by their sizes and by the
// limits below; what a copy of a copy of a copy would grow to is known before it exists. A patch
// takes some thirty times the memory of the text, so the gateway applies four patches above 64 KiB
// at a time (large-patches in docs/bounds.md), of 4 MiB at most.
//
// # Why it is our own
//
// evanphx/json-patch 5.9.11 panics on a test of an array with null in it, takes /01 for an index,
// finds null equal to a value that is not there, turns < into \u003c, and changes a document in
// which a name stands twice. encoding/json makes the same character of every half of a surrogate
// pair, so that different names and values would be the same.
//
// # How it works
//
// A document is read into a tree of nodes, each with the text as it was written (parse). An
// operation changes the tree in place, so it costs what it moves and not what the document has
// (TestManyOperationsOnALargeValue). With a new tree for each operation, a patch of 60 KB kept a
// processor busy for 17 s over a value of 1 MB. Only nodes that a copy has put into a second place
// are replaced by new ones on the way to a change (node.own). A node that was changed has lost its
// text, and is written again from its children.
package jsonpatch
