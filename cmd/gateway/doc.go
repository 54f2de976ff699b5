// Command gateway serves NATS Key/Value buckets over HTTP, on an embedded nats-server or on yours.
// "gateway --help" lists its commands and settings.
//
// # From the command line to the listeners
//
// parse reads the command line and the environment into a config, and lists all mistakes at once.
// serve builds the gateway from the inside out: the embedded nats-server, unless another NATS is
// given; the connections to NATS; the feeds; the handlers; the listeners. The listener of the API
// gives each connection a place and counts what it holds before a handler is asked (see
// connections). With TLS the handshake comes next (see handshakes), still before net/http knows of
// the connection; one tlsSource has the settings of all listeners. The admin listener, for metrics,
// profiles and the bounds in force, has places of its own.
//
// # Files that change
//
// The files of TLS, the auth file and the ticket keys are looked at all the time, and read again
// when they change and on SIGHUP; the audit log is opened anew on SIGHUP (see reread). SIGHUP never
// ends the process.
//
// # Shutdown
//
// serve takes the gateway down from the outside in:
//
//	readiness off     /readyz answers 503
//	--drain-delay     requests are served as before, until load balancers have noticed
//	farewell          streams get "goaway", and waits for a revision end; http.Server.Shutdown
//	                  alone would wait for them for ever
//	HTTP              no new connections; requests have --shutdown-timeout to finish, and streams
//	                  have the same time to send their last words
//	admin listener    closed this late, so that metrics are there while requests finish
//	feeds             closed
//	NATS              connections are flushed and closed, within two seconds
//	embedded server   stopped, within five seconds
//
// A second signal ends the process at once. In any case the process ends at most ten seconds
// (endGrace) after --drain-delay and --shutdown-timeout are over. The embedded server gets five of
// these, since it waits for the lock of every stream, and one consumer with 64 filters of 500
// tokens keeps a lock for minutes. If it is not down then, the process ends without it, with exit
// code 1, and the log says what that costs: nothing with --sync always, else what a power cut would
// lose now. The next start reads all blocks (TestShutdownDoesNotWaitForABusyStore in test/e2e).
//
// # Exit codes
//
// 0 is a clean end, 1 a failure, and 2 a mistake in the settings, which only a change of them can
// fix.
package main
