package handlers

import (
	"time"

	"kvgateway/internal/auth"
)

// The reasons of the goaway of a stream that ends with the rights of its caller.
const (
	reasonPermissions  = "permissions"
	reasonAuthExpiring = "auth-expiring"
)

// A dismissable is the writer of a stream, as far as it ends with the rights of a caller.
type dismissable interface {
	// GoAway ends the stream; see stream.LoopStream.
	GoAway(reason string, by time.Time)
}

// tieToCaller makes the stream end with the rights of its caller. It comes before the stream
// begins, so that no change of rules is missed.
func (o *openStream) tieToCaller(x *exchange, writer dismissable) {
	if !x.canLoseRights() {
		return
	}
	o.still, o.writer = x.still(), writer
	x.tie(&o.tie, o)
}

// StillAllowed reports whether the stream may go on: whether its filters, narrowed to what the
// caller may watch now, are those that it has.
func (o *openStream) StillAllowed(rights *auth.Rights) bool { return o.still(rights) }

// End ends the stream with a goaway. Its client comes again with the id that it has, and is then
// judged anew.
func (o *openStream) End(reason auth.End, until time.Time) {
	switch reason {
	case auth.CredentialExpiring:
		o.writer.GoAway(reasonAuthExpiring, until)
	case auth.CredentialExpired:
		o.writer.GoAway(reasonAuthExpiring, time.Now().Add(endGrace))
	case auth.RightsChanged:
		o.writer.GoAway(reasonPermissions, time.Now().Add(endGrace))
	}
}
