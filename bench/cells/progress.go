package cells

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
)

// A progress shows on a terminal how far a run has come. It writes nothing to anything else, since
// the lines would be in the way in a log.
type progress struct {
	w     io.Writer // nil if it is no terminal
	now   func() time.Time
	begun time.Time // the first step
	cells int       // how many there are
	steps int       // how many rounds of all cells there are
	done  int       // how many of them are done
}

// newProgress returns the progress of a run of that many cells, with steps rounds in all.
func newProgress(w io.Writer, cells, steps int) *progress {
	if f, ok := w.(*os.File); !ok || !isatty.IsTerminal(f.Fd()) {
		w = nil
	}
	return &progress{w: w, now: time.Now, cells: cells, steps: steps}
}

// clearLine goes back to the beginning of the line and removes what it has.
const clearLine = "\r\x1b[K"

// step begins a round of a cell, and counts the one before as done. Cells and rounds count from 0.
func (p *progress) step(cell int, name string, round, rounds int) {
	if p.w == nil {
		return
	}
	if p.begun.IsZero() {
		p.begun = p.now()
	} else {
		p.done++
	}
	elapsed := p.now().Sub(p.begun)
	line := fmt.Sprintf("cell %d of %d, %s, round %d of %d, %s", cell+1, p.cells, name,
		round+1, rounds, elapsed.Round(time.Second))
	if p.done > 0 {
		left := elapsed * time.Duration(p.steps-p.done) / time.Duration(p.done)
		line += fmt.Sprintf(", about %s left", left.Round(time.Second))
	}
	io.WriteString(p.w, clearLine+line)
}

// say leaves a line of its own above the progress.
func (p *progress) say(format string, args ...any) {
	if p.w != nil {
		io.WriteString(p.w, clearLine+strings.TrimSpace(fmt.Sprintf(format, args...))+"\n")
	}
}

// close removes the line of progress.
func (p *progress) close() {
	if p.w != nil {
		io.WriteString(p.w, clearLine)
	}
}
