// Package js embeds the client for browsers, so that a Go program can serve it.
package js

import _ "embed"

// Name is the name under which pages expect the client.
const Name = "kvgateway.js"

// Client is the client: one ES module, which imports nothing. `make js-build` makes it from the
// sources, and `make js-test` fails if it is not what they give.
//
//go:embed dist/kvgateway.js
var Client []byte
