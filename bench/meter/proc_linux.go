package meter

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CPUTime returns the time that the threads of a process were on a CPU. It adds up
// /proc/PID/task/*/schedstat, which counts nanoseconds, where /proc/PID/stat counts ticks of 10 ms.
// Threads that have ended are missing from it, but Go programs keep theirs.
func CPUTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat")
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no schedstat of process %d: is /proc mounted, "+
			"and the kernel built with CONFIG_SCHED_INFO?", pid)
	}
	var sum time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue // The thread has ended since.
		}
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// ResidentMemory returns what a process has in memory, in bytes. Of memory that it shares with
// others it counts its part (proportional set size).
func ResidentMemory(pid int) (bytes int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\nPss:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kb, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("smaps_rollup of process %d: %w", pid, err)
	}
	return kb << 10, nil
}

// Written returns how many bytes a process has written with write and writev, to files and to
// connections. Programs in Go write with nothing else.
func Written(pid int) (bytes int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/io")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "wchar: ")
	number, _, _ := strings.Cut(rest, "\n")
	if bytes, err = strconv.ParseInt(number, 10, 64); err != nil {
		return 0, fmt.Errorf("io of process %d: %w", pid, err)
	}
	return bytes, nil
}

// cpuModel returns the name of the processor.
func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(info), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Trim(line, " \t:")
}

// kernelRelease returns the version of the running kernel.
func kernelRelease() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(release))
}
