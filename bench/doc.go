// Command bench measures the gateway against what it is made of: a bare chi handler that answers from memory, and
// nats.go used directly on the same kind of server. Every system runs in a process of its own on 127.0.0.1, so that the
// CPU an operation costs can be read from /proc, apart from the load generator's.
//
// The systems of a cell (operation × connections × value size) take turns in short rounds, since the load generator and
// whatever else runs on the machine share its cores: absolute figures move from minute to minute, ratios within one
// round hardly do. README.md says how to run it and how to read it.
package main
