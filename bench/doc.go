// Command bench measures the gateway against what it is made of: a bare chi handler that answers
// from memory, and nats.go used directly on the same kind of server. Every system runs in a process
// of its own on 127.0.0.1, so that the CPU time of an operation can be read from /proc apart from
// the load generator's.
//
// Its rooms are [kvgateway/bench/meter], which measures; [kvgateway/bench/load], the clients;
// [kvgateway/bench/roles], the processes that are measured; [kvgateway/bench/cells], the tables of
// what is compared, and their measurement; and [kvgateway/bench/report], which keeps results and
// shows them. Imports run from cells to report to roles to load to meter.
// README.md says how to run the command and how to read what it prints.
package main
