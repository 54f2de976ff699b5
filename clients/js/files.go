// Package js embeds the browser module, so that a Go program can serve it.
package js

import "embed"

// Files has the module's files. A page imports live-map.js, which imports the others.
//
//go:embed live-map.js connection.js state.js sse.js tickets.js
var Files embed.FS
