package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// guideDir has the pages that users read.
const guideDir = "../../docs/guide"

// shownOnly are the languages of blocks that are no commands and no files: what something looks
// like, and pages for browsers, which test/browser opens.
var shownOnly = map[string]bool{"text": true, "html": true}

// TestGuideSnippetsWork runs all that the pages of docs/guide show, as it is printed, except for
// the addresses. Each page has a gateway and a directory of its own. Blocks of sh are commands, as
// in the recipes of docs/security.md; "gateway serve" ends the gateway that runs, and starts
// another. Blocks of js are programs for Node.js. A block with the name of a file is written to
// that file.
func TestGuideSnippetsWork(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s", tool)
		}
	}
	pages, err := filepath.Glob(filepath.Join(guideDir, "*.md"))
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	for _, page := range pages {
		t.Run(strings.TrimSuffix(filepath.Base(page), ".md"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			g := &guide{kitchen: newKitchen(t)}
			for i, block := range strings.Split("\n"+string(text), "\n```") {
				if i%2 == 1 {
					g.try(block + "\n")
				}
			}
		})
	}
}

// A guide is a page whose snippets are run.
type guide struct {
	*kitchen
	// running are the gateways that run.
	running []*gateway
}

// try runs a block of a page. Its first line has the language and, for a file, its name.
func (g *guide) try(block string) {
	g.t.Helper()
	head, text, _ := strings.Cut(block, "\n")
	language, file, _ := strings.Cut(head, " ")
	switch {
	case file != "":
		g.write(file, text)
	case language == "sh":
		g.commands(text)
	case language == "js":
		g.module(text)
	case !shownOnly[language]:
		g.t.Errorf("a block of %q is not tried: give it the name of a file, or another language",
			language)
	}
}

// commands runs a block of commands, with the address of the gateway in the variable KV.
func (g *guide) commands(block string) {
	g.t.Helper()
	var rest strings.Builder
	quotes := 0
	for line := range strings.Lines(block) {
		flags, isServe := strings.CutPrefix(strings.TrimSpace(line), "gateway serve")
		switch {
		case isServe:
			g.replace(flags)
		case strings.HasPrefix(line, "KV="):
		default:
			// A text in quotes may go on in the next line.
			if quotes += strings.Count(line, "'"); quotes%2 == 1 {
				line = strings.TrimSuffix(line, "\n") + " "
			}
			rest.WriteString(line)
		}
	}
	if g.gateway == nil {
		g.replace("--data-dir data")
	}
	g.addVariable("KV=http://" + g.gateway.listen.Addr)
	g.run(rest.String())
}

// replace ends the gateway that runs and starts another, which takes its place in the commands. One
// that connects to the NATS of the first runs beside it.
func (g *guide) replace(flags string) {
	g.t.Helper()
	flags = strings.NewReplacer("0.0.0.0:8080", "127.0.0.1:0",
		"--embedded-listen 127.0.0.1:4222", "--embedded-listen 127.0.0.1:0").Replace(g.real(flags))
	if !strings.Contains(flags, "--nats-url") {
		for _, old := range g.running {
			old.end()
		}
		g.running = nil
	}
	g.serve(strings.Fields(flags))
	g.running = append(g.running, g.gateway)
	g.addresses = []string{"http://127.0.0.1:8080", "http://" + g.gateway.listen.Addr,
		"nats://127.0.0.1:4222", g.gateway.listen.NATSURL}
}

// addVariable puts a variable into the environment of the commands.
func (k *kitchen) addVariable(variable string) { k.environment = append(k.environment, variable) }

// module runs a program with Node.js and compares what it prints with the lines that begin with
// "//> ". It is a test of its own, so that it alone is skipped where there is no Node.js.
func (g *guide) module(text string) {
	g.t.Helper()
	if g.gateway == nil {
		g.replace("--data-dir data")
	}
	g.write("snippet.mjs", text)
	g.t.Run("js", func(t *testing.T) {
		node, err := exec.LookPath("node")
		if err != nil {
			t.Skip("there is no Node.js to run this program with")
		}
		run := exec.Command(node, "snippet.mjs")
		run.Dir, run.Env = g.dir, append(os.Environ(), g.environment...)
		out, err := run.CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", text, err, out)
		}
		for line := range strings.Lines(text) {
			promise, ok := strings.CutPrefix(strings.TrimSpace(line), "//> ")
			if ok && !strings.Contains(string(out), promise) {
				t.Errorf("%s\nprinted:\n%s\nwant in it: %s", text, out, promise)
			}
		}
	})
}
