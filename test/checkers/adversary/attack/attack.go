// Package attack has the programs of a hostile client. Each holds or requests as much as it can by
// one means, until it is killed.
package attack

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// An Attack is one way to harm the other clients of a gateway.
type Attack struct {
	// Name is unique.
	Name string
	// About says in a phrase what it does.
	About string
	// Files is the number of file descriptors that the gateway may have, 0 for the shell's limit.
	Files int
	// Setup prepares what the attack needs, such as values that are already stored. The innocent
	// client begins after it. It may be nil.
	Setup func(ctx context.Context, t *Target) error
	// Open says that the claims do not hold beside this attack, which docs/found.md lists as open.
	// It is run only if it is named.
	Open bool
	// Run attacks until the context ends. A refusal by the gateway is no error.
	Run func(ctx context.Context, t *Target)
}

// All has the attacks in the order in which they are made.
var All = []Attack{
	unreadValues, floodHTTP2, unreadValuesPlain, unreadEntries, unreadEntry,
	deepList, deepWatch, deepExport, withinBounds,
	filters, match, scan, abandon, missing, stuck,
	trickledImports, unreadExports, trickledTransactions, junk, trickledPuts,
	herd, polls, pollsHTTP2, descriptors,
	trickledStreams, revisionWaits, bucketLists, bucketPatches,
}

// Closed returns the attacks beside which all claims must hold.
func Closed() []Attack {
	return slices.DeleteFunc(slices.Clone(All), func(a Attack) bool { return a.Open })
}

// Find returns the attack of that name.
func Find(name string) (Attack, error) {
	for _, a := range All {
		if a.Name == name {
			return a, nil
		}
	}
	return Attack{}, fmt.Errorf("there is no attack %q", name)
}

// each runs n goroutines, which are given their numbers, and waits for them.
func each(n int, run func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { run(i) })
	}
	all.Wait()
}

// again calls step until the context ends.
func again(ctx context.Context, step func()) {
	for ctx.Err() == nil {
		step()
	}
}

// eachAgain runs n goroutines that call step with their numbers until the context ends.
func eachAgain(ctx context.Context, n int, step func(i int)) {
	each(n, func(i int) {
		again(ctx, func() { step(i) })
	})
}
