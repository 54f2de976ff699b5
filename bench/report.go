package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// machine is where a run was made.
type machine struct {
	Cores      int    `json:"cores"`
	CPU        string `json:"cpu"`
	System     string `json:"system"`
	Go         string `json:"go"`
	NATSServer string `json:"nats_server"`
	NATSGo     string `json:"nats_go"`
}

func thisMachine() machine {
	return machine{runtime.NumCPU(), cpuModel(), runtime.GOOS + " " + kernelRelease(), runtime.Version(), server.VERSION, nats.Version}
}

// report is all that a run found out.
type report struct {
	Machine   machine      `json:"machine"`
	Started   time.Time    `json:"started"`
	Took      string       `json:"took"`
	Rounds    int          `json:"rounds"`
	RoundTime string       `json:"round_time"`
	Gateway   string       `json:"gateway"` // its command line
	Cells     []cellResult `json:"cells"`
}

func (r report) writeJSON(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// writeMarkdown writes what README.md shows: cost, what bounds it, latency at one connection, and every figure.
func (r report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s: %d cores (%s), %s, %s, nats-server %s, nats.go %s; `%s`; %d rounds of %s, %s in all. Median (minimum–maximum).\n\n",
		r.Started.Format(time.DateOnly), m.Cores, m.CPU, m.System, m.Go, m.NATSServer, m.NATSGo, r.Gateway, r.Rounds, r.RoundTime, r.Took)
	costTable(r.Cells).write(&b)
	thinTable(r.Cells).write(&b)
	extraTable(r.Cells).write(&b)
	latencyTable(r.Cells).write(&b)
	b.WriteString("<details><summary>Every figure</summary>\n\n")
	detailTable(r.Cells).write(&b)
	b.WriteString("</details>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// summary is a cell in one line, for the progress.
func (r cellResult) summary() string {
	text := fmt.Sprintf("%-12s", r.Cell)
	for _, name := range allSystems {
		if cpu, ok := r.of(name, cpuOf); ok {
			ops, _ := r.of(name, opsOf)
			text += fmt.Sprintf("  %s %.1f µs %.1fk/s", name, cpu.Median, ops.Median/1000)
		}
	}
	return text
}
