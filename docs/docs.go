// Package docs embeds the pages of this directory that users read, so that the gateway can show
// them at /docs/. The others are for those who work on the gateway.
package docs

import "embed"

// Files has the pages, as Markdown (CommonMark and tables). Those in guide are written for /docs/;
// package pages says in which order they come.
//
//go:embed guide/*.md bounds.md deployment.md nats-permissions.md security.md
var Files embed.FS
