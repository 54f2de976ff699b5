package kv

import "strings"

// A FilterTree finds those of many filters that match a key. Each filter has a value. A key of n
// tokens visits at most 2^n nodes, however many there are: at each node it goes on by its next
// token and by `*`. The nodes are a sixth of the size of those of nats-server's gsl, in which the
// filters of an event stream with 512 tokens took 180 KB. The zero tree has no filters. A tree has
// no lock.
type FilterTree[T any] struct {
	// root stands for the filters' beginning, before the first token.
	root filterNode[T]
}

// A filterNode stands for the filters that begin with the tokens on the way to it. Most nodes have
// one child, so a map is made only for the second.
type filterNode[T any] struct {
	// token is the token that leads to only.
	token string
	// only is the child for a token, if there is just one.
	only *filterNode[T]
	// children are the children by tokens, once there were several.
	children map[string]*filterNode[T]
	// any is the child for `*`.
	any *filterNode[T]
	// here is the value of the filter that ends here.
	here *T
	// rest is the value of the filter that ends with `>` here.
	rest *T
}

// Set gives the filter a value, in the place of the one that it has. A nil value removes the
// filter.
func (t *FilterTree[T]) Set(filter string, v *T) { t.root.set(filter, v) }

// set is Set below a node. It reports whether the node is empty now, so that it can be removed.
func (n *filterNode[T]) set(filter string, v *T) (empty bool) {
	token, tail, more := strings.Cut(filter, ".")
	if token == ">" {
		n.rest = v
		return n.isEmpty()
	}
	child := n.child(token)
	if child == nil {
		child = new(filterNode[T])
		n.put(token, child)
	}
	if !more {
		child.here = v
		empty = child.isEmpty()
	} else {
		empty = child.set(tail, v)
	}
	if empty {
		n.drop(token)
	}
	return n.isEmpty()
}

// isEmpty reports whether no filter leads to the node or beyond it.
func (n *filterNode[T]) isEmpty() bool {
	return n.only == nil && len(n.children) == 0 && n.any == nil && n.here == nil && n.rest == nil
}

// child returns the child for a token of a filter, nil if there is none.
func (n *filterNode[T]) child(token string) *filterNode[T] {
	if token == "*" {
		return n.any
	}
	return n.named(token)
}

// named returns the child for a token of a key, nil if there is none.
func (n *filterNode[T]) named(token string) *filterNode[T] {
	if n.only != nil {
		if n.token == token {
			return n.only
		}
		return nil
	}
	return n.children[token]
}

// put adds the child for a token of a filter.
func (n *filterNode[T]) put(token string, child *filterNode[T]) {
	switch {
	case token == "*":
		n.any = child
	case n.only == nil && n.children == nil:
		n.token, n.only = token, child
	case n.children == nil:
		n.children = map[string]*filterNode[T]{n.token: n.only, token: child}
		n.token, n.only = "", nil
	default:
		n.children[token] = child
	}
}

// drop removes the child for a token of a filter.
func (n *filterNode[T]) drop(token string) {
	switch {
	case token == "*":
		n.any = nil
	case n.only != nil:
		n.token, n.only = "", nil
	default:
		if delete(n.children, token); len(n.children) == 0 {
			n.children = nil
		}
	}
}

// Match calls visit with the value of each filter that matches the key.
func (t *FilterTree[T]) Match(key string, visit func(*T)) { t.root.match(key, visit) }

// match is Match below a node.
func (n *filterNode[T]) match(key string, visit func(*T)) {
	if n.rest != nil {
		visit(n.rest)
	}
	token, tail, more := strings.Cut(key, ".")
	for _, child := range [2]*filterNode[T]{n.named(token), n.any} {
		switch {
		case child == nil:
		case more:
			child.match(tail, visit)
		case child.here != nil:
			visit(child.here)
		}
	}
}

// Has reports whether any of the filters matches the key.
func (t *FilterTree[T]) Has(key string) bool { return t.root.has(key) }

// has is Has below a node.
func (n *filterNode[T]) has(key string) bool {
	if n.rest != nil {
		return true
	}
	token, tail, more := strings.Cut(key, ".")
	for _, child := range [2]*filterNode[T]{n.named(token), n.any} {
		switch {
		case child == nil:
		case more && child.has(tail), !more && child.here != nil:
			return true
		}
	}
	return false
}
