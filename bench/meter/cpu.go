package meter

import "time"

// A CPU is the CPU time, user and system, that processes have used up to a moment, or between two.
type CPU struct {
	Serving   []time.Duration // of each process under test
	Generator time.Duration   // of the load generator, which is this process
}

// Since returns what was used after an earlier reading of the same processes.
func (c CPU) Since(before CPU) CPU {
	used := CPU{Generator: c.Generator - before.Generator}
	for i := range c.Serving {
		used.Serving = append(used.Serving, c.Serving[i]-before.Serving[i])
	}
	return used
}
