// Command bench measures the gateway against what it is made of: a bare chi handler that answers
// from memory, and nats.go used directly on the same kind of server. Every system runs in a process
// of its own on 127.0.0.1, so that the CPU time of an operation can be read from /proc apart from
// the load generator's.
//
// It has five rooms, and imports run from the first to the last:
//
//   - [kvgateway/bench/cells] has the tables of what is compared, and measures it.
//   - [kvgateway/bench/report] keeps the results and shows them.
//   - [kvgateway/bench/roles] has the processes that are measured.
//   - [kvgateway/bench/load] has their clients.
//   - [kvgateway/bench/meter] counts and times.
//
// README.md says how to run the command and how to read what it prints.
package main
