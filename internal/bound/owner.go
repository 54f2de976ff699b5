package bound

import (
	"context"
	"strings"
)

// ownerKey is the key of an owned in a context.
type ownerKey struct{}

// owned is what a context says about claims that are made under it.
type owned struct {
	// owner is for whom they are made.
	owner string
	// turn is paused while one of them waits. It is nil if there is none.
	turn *Turn
}

// WithOwner returns a context with the owner of what is claimed under it, for claims that are made
// far from where the owner is known.
func WithOwner(ctx context.Context, owner string) context.Context {
	return WithTurn(ctx, owner, nil)
}

// WithTurn returns a context with the owner and the turn of a request. A claim that waits under it
// pauses the turn.
func WithTurn(ctx context.Context, owner string, turn *Turn) context.Context {
	return context.WithValue(ctx, ownerKey{}, owned{owner, turn})
}

// OwnerOf returns the owner of a context, "" if it has none.
func OwnerOf(ctx context.Context) string {
	o, _ := ctx.Value(ownerKey{}).(owned)
	return o.owner
}

// TurnOf returns the turn of a context, nil if it has none.
func TurnOf(ctx context.Context) *Turn {
	o, _ := ctx.Value(ownerKey{}).(owned)
	return o.turn
}

// partSeparator separates an owner from its part. No address contains it.
const partSeparator = "\x00"

// Part returns a part of an owner, such as one client's work for one bucket. All parts of an owner
// have its share together. The claims of each part wait in a line of their own, which is served in
// turn with those of the other parts.
func Part(owner, part string) string { return owner + partSeparator + part }

// whole returns the owner of which an owner is a part, or the owner itself if it is no part.
func whole(owner string) string {
	owner, _, _ = strings.Cut(owner, partSeparator)
	return owner
}
