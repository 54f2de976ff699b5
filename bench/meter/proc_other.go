//go:build !linux

package meter

import (
	"errors"
	"time"
)

// The figures come from Linux's /proc. Elsewhere the program can be built, but does not run.
var errNotLinux = errors.New("the benchmark runs on Linux only")

// CPUTime fails.
func CPUTime(int) (time.Duration, error) { return 0, errNotLinux }

// ResidentMemory fails.
func ResidentMemory(int) (int64, error) { return 0, errNotLinux }

// Written fails.
func Written(int) (int64, error) { return 0, errNotLinux }

func cpuModel() string { return "" }

func kernelRelease() string { return "" }
