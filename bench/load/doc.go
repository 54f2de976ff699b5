// Package load generates load. It has the clients of the benchmarks: HTTP connections and nats.go
// workers that send one request after the other ([OpenHTTP], [RawSteps]), and subscribers and
// publishers of streams ([Subscribe], [SendEvents]).
//
// The HTTP clients talk to the kernel directly: they have one thread, epoll and two system calls an
// operation. With a goroutine and a net.Conn for each connection the load took 20 to 40 % more CPU,
// which it takes from the server where both share two cores.
package load
