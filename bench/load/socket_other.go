//go:build !linux

package load

import (
	"errors"
	"time"
)

// The load generator uses epoll. Elsewhere than on Linux the program can be built, but does not
// run.
var (
	errNoEpoll       = errors.New("the benchmark runs on Linux only")
	errNothingToRead = errors.New("nothing to read")
)

func dialSocket(string) (int, error) { return -1, errNoEpoll }

func dial(string, int) (int, error) { return -1, errNoEpoll }

func closeSocket(int) {}

func readSocket(int, []byte) (int, error) { return 0, errNoEpoll }

func writeSocket(int, []byte) error { return errNoEpoll }

type poller struct{}

func newPoller([]int) (*poller, error) { return nil, errNoEpoll }

func (*poller) close() {}

func (*poller) wait(time.Duration, func(int) error) error { return errNoEpoll }
