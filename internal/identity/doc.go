// Package identity has the NATS identities of callers whose credential is passed through.
//
// A caller with a credential of NATS gets an [Identity]: one connection to NATS, which is made when
// it is needed, a client over it, and a hub with the feeds of that client. Equal credentials share
// one. The [Pool] bounds them, and closes those that nobody uses.
//
// # An identity
//
//	event                    | none yet           | opening        | open            | ended
//	a caller comes           | opening, if it can | waits          | is used         | another one
//	                         | have a place       |                |                 | is opened
//	NATS accepts it          | -                  | takes a place: | -               | -
//	                         |                    | open           |                 |
//	NATS refuses it          | -                  | none           | ended: what is  | -
//	                         |                    |                | under way for   |
//	                         |                    |                | it is revoked   |
//	NATS denies it something | -                  | -              | its feeds look  | -
//	                         |                    |                | at their        |
//	                         |                    |                | streams; those  |
//	                         |                    |                | denied end      |
//	NATS is away             | -                  | none           | dials on        | -
//	unused for the idle time | -                  | -              | closed          | -
//	unused, another needs    | -                  | -              | closed          | -
//	its place                |                    |                |                 |
//	unused, and there may be | -                  | -              | closed          | -
//	fewer now (Configure)    |                    |                |                 |
//	Pool.Close               | refused            | refused        | closed          | closed
//
// One takes 86 KB, with the end of its connection at the server
// (TestPoolThousandCallersTakeLittleMemory).
//
// An identity that a request or a stream holds is never closed for another one. It has its place
// from the share of the address that it was opened from.
//
// # Wrong credentials
//
// A credential about which NATS is being asked has a place among the logins, of which one address
// has few, and none among the identities: nobody's connection is closed for what NATS has not
// accepted. Each login that does not end in a connection is told to the gate, whoever still waits
// for it. The gate remembers what NATS has refused, and limits such logins by address, before
// anybody comes here: see [auth.Gate.NATSFailed]. A credential that is open goes on working from
// such an address, too.
//
// A server that checks no credentials accepts any, so an invented one would say who calls. Where
// the server does not ask for credentials, it is asked about one that nobody has; if it accepts
// that, nobody is passed through.
//
// # Advisories
//
// Feeds need the server's advisories of what is removed. The server tells of each request to its
// API to everybody in the account who is subscribed, so that subscriptions for each identity would
// grow with the square of their number. One identity of each account subscribes, and all others of
// the account listen to it; in the account of the gateway itself, they listen to the gateway.
//
// What must not happen is that a caller of one account hears advisories of another one in the place
// of its own. So all depends on how the account is known:
//
//   - Not from the answer to $SYS.REQ.USER.INFO. It is a message: whoever may subscribe to that
//     subject, or publish to the inbox of another user, can answer it, and name any account
//     (TestForgedAccountNameIsNotBelieved).
//   - Nor from a message that is sent from one identity to another: whoever has users in two
//     accounts can hear it in one and repeat it in the other.
//   - It is what the server tells in the INFO of the connection, after it has accepted the
//     credential ("remote_account"). INFO is no message, so that no user can send one, and it comes
//     over a connection on which only the server speaks. Servers before 2.12 do not tell it; then
//     each identity hears for itself. A user that is moved to another account is looked up again
//     when it has connected again, and its identity ends as if NATS had refused it.
//
// Whoever hears for an account can suppress nothing on purpose: the subscription is the server's,
// and the gateway reads what comes. If its connection is lost, all that listen doubt what they
// have, and if it is closed another one hears for them. What remains is a user whose permissions
// deny some advisories and allow the rest: the server leaves them out and tells nobody. Permissions
// are made by who administers the account. What was missed is then found within 30 s, as by a feed
// without advisories.
//
// Where nobody of the account may subscribe, feeds compare themselves with their streams instead
// (TestPurgeWithoutAdvisoriesIsAReset).
//
// # Files
//
//	pool      which identities there are: opened, shared, evicted
//	identity  one identity: how it is opened, used and ended
//	ending    how identities are evicted, revoked and closed
//	checks    whether the server checks credentials at all
//	accounts  who hears the advisories of which account
package identity
