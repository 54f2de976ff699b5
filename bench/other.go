//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

// The figures come from Linux's /proc and the load generator uses epoll: elsewhere the program builds, and says so.
var errNothingToRead = errors.New("nothing to read")

var errNotLinux = errors.New("the benchmark runs on Linux only")

func cpuTime(int) (time.Duration, error) { return 0, errNotLinux }

func residentMemory(int) (int64, error) { return 0, errNotLinux }

func childAttributes() *syscall.SysProcAttr { return nil }

func cpuModel() string { return "" }

func kernelRelease() string { return "" }

func dialSocket(string) (int, error) { return -1, errNotLinux }

func closeSocket(int) {}

func readSocket(int, []byte) (int, error) { return 0, errNotLinux }

func writeSocket(int, []byte) error { return errNotLinux }

type poller struct{}

func newPoller([]int) (*poller, error) { return nil, errNotLinux }

func (*poller) close() {}

func (*poller) wait(time.Duration, func(int) error) error { return errNotLinux }
