package bound

import "context"

type ownerKey struct{}

// WithOwner returns a context that says who will own what is claimed under it, for claims that are
// made far from where the owner is known.
func WithOwner(ctx context.Context, owner string) context.Context {
	return context.WithValue(ctx, ownerKey{}, owner)
}

// OwnerOf returns the owner that [WithOwner] has put into the context, "" if there is none.
func OwnerOf(ctx context.Context) string {
	owner, _ := ctx.Value(ownerKey{}).(string)
	return owner
}
