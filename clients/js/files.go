// Package js embeds the browser module, so that a Go program can serve it: a page imports live-map.js, which imports the others.
package js

import "embed"

//go:embed live-map.js connection.js state.js sse.js
var Files embed.FS
