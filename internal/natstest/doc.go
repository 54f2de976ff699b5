// Package natstest runs real nats-servers for tests: single ones that can be stopped and started
// again on the same port and store, and clusters of three. A TCP proxy in front of a server breaks
// connections in the ways in which networks do.
//
// It is imported by tests only. Everything that it starts ends with the test. If something goes
// wrong, the functions fail the test, so most of them return no errors.
//
// A [Server] and a [Cluster] have addresses for the code under test (URL, InProcessConn), and they
// connect native clients for the test itself (Conn, JetStream). A [Proxy] stands in front of a
// server, and its URL is given to the code under test instead of the server's. It can do this:
//
//	Cut              resets all connections
//	Refuse           resets new connections
//	Pause, Resume    is silent for a while, like a process that is stopped
//	Strand           loses all packets of a connection, of which nobody is told
//	CutAnswerTo      resets the connection between a request and its answer
//	SwallowAnswerTo  loses the answer to a request
//	Hold             lets something happen between the sending of a request and its arrival
//	Tamper           changes an answer
//
// Tests do not sleep. They wait for a condition with [Eventually], or check with [Holds] that a
// condition stays true for a while.
package natstest
