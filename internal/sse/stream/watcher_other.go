//go:build !linux

package stream

import "errors"

// CanLoop reports whether [NewLoops] works on this system.
const CanLoop = false

// A watcher needs epoll. Without it all streams are written by a [Writer].
type watcher struct{}

// newWatcher returns an error, so that no other function here is ever called.
func newWatcher() (*watcher, error) { return nil, errors.New("taken-over connections need Linux") }

func (*watcher) close()                  {}
func (*watcher) run()                    {}
func (*watcher) watch(*LoopStream) error { return nil }
func (*watcher) forget(*LoopStream)      {}
