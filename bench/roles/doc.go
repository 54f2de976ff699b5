// Package roles starts the processes that are measured: the gateway, nginx, and those that the
// benchmark's own program plays as "bench role NAME". The latter are what the gateway is compared
// with: a bare chi handler, nats.go beside a nats-server, the two of them together without any
// checks (thin), and a net/http handler that streams events (fan).
//
// A [Starter] starts systems, each of one or two processes, and stores what they are asked for.
package roles
