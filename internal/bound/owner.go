package bound

import (
	"context"
	"strings"
)

type ownerKey struct{}

// owned is what a context says of who works under it.
type owned struct {
	owner string
	turn  *Turn
}

// WithOwner returns a context that says who will own what is claimed under it, for claims that are
// made far from where the owner is known.
func WithOwner(ctx context.Context, owner string) context.Context {
	return WithTurn(ctx, owner, nil)
}

// WithTurn is [WithOwner] for what is done in a turn.
func WithTurn(ctx context.Context, owner string, turn *Turn) context.Context {
	return context.WithValue(ctx, ownerKey{}, owned{owner, turn})
}

// OwnerOf returns the owner that [WithOwner] has put into the context, "" if there is none.
func OwnerOf(ctx context.Context) string {
	o, _ := ctx.Value(ownerKey{}).(owned)
	return o.owner
}

// TurnOf returns the turn that [WithTurn] has put into the context, nil if there is none.
func TurnOf(ctx context.Context) *Turn {
	o, _ := ctx.Value(ownerKey{}).(owned)
	return o.turn
}

// partMark separates an owner from its part. No address has it.
const partMark = "\x00"

// Part returns a part of an owner, such as what one client holds for one bucket. An owner's share
// is what all of its parts hold, while the claims of each part wait in a line of their own: they
// take turns with those of the other parts.
func Part(owner, part string) string { return owner + partMark + part }

// whole returns the owner that an owner is a part of, or itself.
func whole(owner string) string {
	owner, _, _ = strings.Cut(owner, partMark)
	return owner
}
