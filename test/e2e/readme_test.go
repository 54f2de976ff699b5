package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestReadmeTourWorks runs the commands of the README's tour as they are printed, except for the
// addresses. A backslash at the end of a line continues it. A line that begins with "#>" has a text
// that the command before it must print.
func TestReadmeTourWorks(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s", tool)
		}
	}
	blocks := tourBlocks(t)
	if len(blocks) != 2 {
		t.Fatalf("the README has %d blocks of the tour, want 2", len(blocks))
	}
	data := t.TempDir()
	g := start(t, "--data-dir="+data)
	tour(t, g, blocks[0])
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	tour(t, start(t, "--data-dir="+data, "--embedded-listen=127.0.0.1:0"), blocks[1])
}

// tourBlocks returns the code blocks of the README that follow a comment "tour".
func tourBlocks(t *testing.T) (blocks []string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(readme), "<!-- tour")[1:] {
		_, block, _ := strings.Cut(part, "```sh\n")
		block, _, _ = strings.Cut(block, "```")
		blocks = append(blocks, block)
	}
	return blocks
}

// tour runs the commands of a block and checks what they promise to print.
func tour(t *testing.T, g *gateway, block string) {
	t.Helper()
	addresses := strings.NewReplacer("http://127.0.0.1:8080", g.url, "nats://127.0.0.1:4222",
		g.listen.NATSURL)
	block = strings.ReplaceAll(block, "\\\n", "")
	variables, command, printed, promises := "KV="+g.url+"\n", "", "", 0
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		if promise, ok := strings.CutPrefix(line, "#> "); ok {
			promises++
			if !strings.Contains(printed, promise) {
				t.Errorf("%s\nprinted:\n%s\nwant in it: %s", command, printed, promise)
			}
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "KV=") {
			continue
		}
		command = addresses.Replace(line)
		run := exec.Command("sh", "-c", variables+command)
		run.Dir = "../.."
		out, err := run.CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", command, err, out)
		}
		printed = string(out)
	}
	if promises == 0 {
		t.Error("the block promises nothing")
	}
}
