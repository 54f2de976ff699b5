package native

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of README.md")

// The table stands between these lines.
const (
	tableBegins = "<!-- table: go test -run TestReadmeHasTheTable -args -update -->\n"
	tableEnds   = "<!-- end of the table -->\n"
)

// TestReadmeHasTheTable compares the README with what the scenarios and the clients are.
func TestReadmeHasTheTable(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), tableBegins)
	old, after, ended := strings.Cut(rest, tableEnds)
	if !found || !ended {
		t.Fatal("README.md has no place for the table")
	}
	if old == table() {
		return
	}
	if !*update {
		t.Fatalf("the table of README.md is old; %s", tableBegins)
	}
	text = []byte(before + tableBegins + table() + tableEnds + after)
	if err := os.WriteFile("README.md", text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEveryRefusalIsOfAScenario proves that the lists of what clients cannot do have no mistyped
// name, and that the same is shown over HTTP.
func TestEveryRefusalIsOfAScenario(t *testing.T) {
	for _, c := range clients {
		for name := range c.cannot {
			i := slices.IndexFunc(scenarios, func(sc scenario) bool { return sc.name == name })
			if i < 0 {
				t.Errorf("%s cannot do %q, which is no scenario", c.name, name)
			} else if scenarios[i].overHTTP == nil {
				t.Errorf("%s cannot do %q, which is not shown over HTTP", c.name, name)
			}
		}
	}
}

// table returns what the clients can do as Markdown, with the reasons below.
func table() string {
	var b, reasons strings.Builder
	b.WriteString("\n| scenario: the client can … |")
	for _, c := range clients {
		fmt.Fprintf(&b, " %s: %s %s |", c.language, c.library, c.version)
	}
	b.WriteString(" HTTP |\n|---|" + strings.Repeat("---|", len(clients)+1) + "\n")
	for _, sc := range scenarios {
		fmt.Fprintf(&b, "| `%s`: %s |", sc.name, sc.what)
		for _, c := range clients {
			reason, refused := c.cannot[sc.name]
			switch {
			case c.unmeasured:
				b.WriteString(" not run |")
				continue
			case refused:
				b.WriteString(" **no** |")
				fmt.Fprintf(&reasons, "| %s | `%s` | %s |\n", c.language, sc.name, reason)
			default:
				b.WriteString(" yes |")
			}
		}
		b.WriteString(" yes |\n")
	}
	b.WriteString("\n| client | scenario | why not |\n|---|---|---|\n")
	return b.String() + reasons.String() + "\n"
}
