// Package attack has the programs of a hostile client. Each one holds or asks for as much as it
// can by one means, and none of them is meant to reach its end.
package attack

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// An Attack is one way to harm the other clients of a gateway.
type Attack struct {
	Name string
	// About says what it does, as a phrase.
	About string
	// Files is the gateway's limit of file descriptors for this attack, 0 for that of the shell.
	Files int
	// Setup prepares what the attack needs, such as values that are already stored. The innocent
	// client begins after it. It may be nil.
	Setup func(ctx context.Context, t *Target) error
	// Open says that docs/found.md lists it as open that the claims do not hold beside this attack.
	// It is run only if it is named.
	Open bool
	// Run attacks until the context ends. What the gateway refuses is no error of it.
	Run func(ctx context.Context, t *Target)
}

// All are the attacks in the order in which they are tried.
var All = []Attack{
	unreadValues, floodHTTP2, unreadValuesPlain, unreadEntries, unreadEntry,
	deepList, deepWatch, deepExport, withinBounds,
	filters, match, scan, abandon, missing, stuck,
	trickledImports, unreadExports, trickledTransactions, junk, trickledPuts,
	herd, polls, pollsHTTP2, descriptors,
	trickledStreams, revisionWaits, bucketLists, bucketPatches,
}

// Closed are the attacks beside which all claims are to hold.
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
