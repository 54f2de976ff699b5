package harness

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Settings are the flags that the checkers of data have in common.
type Settings struct {
	Duration time.Duration // How long clients and faults run.
	Seed     uint64        // Determines every random choice.
	Gateway  string        // The path of the gateway's binary.
	Output   string        // The directory for logs and for what was found.
	Only     string        // Names of the faults to inject, separated by commas; "" for all.
}

// Define defines the flags of the checker called name, and says which outputs it writes.
func (s *Settings) Define(name, outputs string) {
	flag.DurationVar(&s.Duration, "duration", 2*time.Minute, "how long clients and faults run")
	flag.Uint64Var(&s.Seed, "seed", uint64(time.Now().UnixNano()),
		"the seed of every random choice")
	flag.StringVar(&s.Gateway, "gateway", "bin/gateway", "the gateway's binary")
	flag.StringVar(&s.Output, "output", "test/output/"+name, "the directory that "+outputs+" go to")
	flag.StringVar(&s.Only, "only", "",
		"the faults to inject, separated by commas, or none; all by default")
}

// Main parses the flags, calls check, and ends the process. If the process is interrupted before,
// it calls stop, which must end the child processes, and fails.
func Main(name string, check func() error, stop func()) {
	flag.Parse()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		stop()
		Exit(name, errors.New("interrupted"))
	}()
	Exit(name, check())
}

// Exit ends the process. If err is not nil it is printed, and the exit status is 1.
func Exit(name string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}
