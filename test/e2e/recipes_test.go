package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// A recipe is a part of docs/security.md: files, and commands that use them.
type recipe struct {
	// name is what the comment before it says.
	name string
	// blocks are the code blocks, each with its first line, which has the kind and the name of a
	// file.
	blocks []string
}

// recipes returns the recipes of docs/security.md. One begins with a comment, and ends at the next
// heading.
func recipes(t *testing.T) (found []recipe) {
	t.Helper()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(page), "<!-- recipe: ")[1:] {
		name, text, _ := strings.Cut(part, " -->")
		text, _, _ = strings.Cut(text, "\n## ")
		r := recipe{name: name}
		for i, block := range strings.Split(text, "\n```") {
			if i%2 == 1 {
				r.blocks = append(r.blocks, block+"\n")
			}
		}
		found = append(found, r)
	}
	return found
}

// A kitchen is where a recipe is tried: a directory, and what runs for it.
type kitchen struct {
	t *testing.T
	// dir is where the commands run.
	dir string
	// gateway is the gateway of the recipe; nil before it runs.
	gateway *gateway
	// addresses replaces the addresses in the recipes by those that are real.
	addresses []string
	// environment is added to that of the commands and of the gateway.
	environment []string
}

// TestSecurityRecipesWork runs the recipes of docs/security.md as they are printed, except for the
// addresses.
func TestSecurityRecipesWork(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "sh", "openssl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s", tool)
		}
	}
	all := recipes(t)
	if len(all) < 4 {
		t.Fatalf("docs/security.md has %d recipes", len(all))
	}
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			k := newKitchen(t)
			if r.name == "oidc" {
				k.addProvider()
			}
			promises := 0
			for _, block := range r.blocks {
				head, text, _ := strings.Cut(block, "\n")
				switch kind, file, _ := strings.Cut(head, " "); kind {
				case "sh":
					promises += k.run(text)
				default:
					k.write(file, text)
				}
			}
			if promises == 0 {
				t.Error("the recipe promises nothing")
			}
		})
	}
}

// newKitchen returns an empty kitchen whose commands find the program under the name gateway.
func newKitchen(t *testing.T) *kitchen {
	t.Helper()
	k := &kitchen{t: t, dir: t.TempDir()}
	program, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(k.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, "gateway")); err != nil {
		t.Fatal(err)
	}
	k.environment = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "no_proxy=*"}
	return k
}

// real returns a text with the addresses that are real.
func (k *kitchen) real(text string) string {
	return strings.NewReplacer(k.addresses...).Replace(text)
}

// write writes a file of the recipe.
func (k *kitchen) write(name, text string) {
	k.t.Helper()
	if name == "" {
		k.t.Fatal("a block that is no command must have the name of a file")
	}
	err := os.WriteFile(filepath.Join(k.dir, name), []byte(k.real(text)), 0o600)
	if err != nil {
		k.t.Fatal(err)
	}
}

// run runs the commands of a block one by one, and compares what they print with the lines that
// begin with "#> ". It returns how many such lines there are.
func (k *kitchen) run(block string) (promises int) {
	k.t.Helper()
	command, printed := "", ""
	for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", "")) {
		line = strings.TrimSpace(line)
		if promise, ok := strings.CutPrefix(line, "#> "); ok {
			promises++
			if !strings.Contains(printed, promise) {
				k.t.Errorf("%s\nprinted:\n%s\nwant in it: %s", command, printed, promise)
			}
			continue
		}
		switch command = k.real(line); {
		case command == "" || command[0] == '#':
		case strings.HasPrefix(command, "nats-server -c "):
			k.startNATS(strings.TrimPrefix(command, "nats-server -c "))
		case strings.HasPrefix(command, "gateway --"):
			k.serve(strings.Fields(command)[1:])
		default:
			printed = k.output(command)
		}
	}
	return promises
}

// output runs a command and returns what it prints.
func (k *kitchen) output(command string) string {
	k.t.Helper()
	run := exec.Command("sh", "-c", command)
	run.Dir, run.Env = k.dir, append(os.Environ(), k.environment...)
	out, err := run.CombinedOutput()
	if err != nil {
		k.t.Fatalf("%s\n%v\n%s", command, err, out)
	}
	return string(out)
}

// serve runs the gateway with the flags of the recipe, and takes its address for the one in the
// recipes.
func (k *kitchen) serve(flags []string) {
	k.t.Helper()
	cmd := exec.Command(binary, serveArgs(flags)...)
	cmd.Dir, cmd.Env = k.dir, append(os.Environ(), k.environment...)
	if !filepath.IsAbs(cmd.Path) {
		path, err := filepath.Abs(cmd.Path)
		if err != nil {
			k.t.Fatal(err)
		}
		cmd.Path = path
	}
	k.gateway = launchCommand(k.t, cmd, flags)
	k.gateway.awaitListening()
	k.t.Cleanup(k.gateway.end)
	k.addresses = append(k.addresses, "http://127.0.0.1:8080", k.gateway.url,
		"https://127.0.0.1:8080", k.gateway.url)
}

// end stops the process, unless it has ended already.
func (g *gateway) end() {
	select {
	case <-g.exited:
	default:
		g.stop(syscall.SIGTERM)
	}
}

// startNATS runs a nats-server with a configuration of the recipe, on a free port.
func (k *kitchen) startNATS(configuration string) {
	k.t.Helper()
	options, err := server.ProcessConfigFile(filepath.Join(k.dir, configuration))
	if err != nil {
		k.t.Fatal(err)
	}
	options.Host, options.Port, options.NoSigs = "127.0.0.1", server.RANDOM_PORT, true
	options.StoreDir = filepath.Join(k.dir, "jetstream")
	nats, err := server.NewServer(options)
	if err != nil {
		k.t.Fatal(err)
	}
	nats.Start()
	k.t.Cleanup(nats.Shutdown)
	if !nats.ReadyForConnections(patience) {
		k.t.Fatal("nats-server is not ready")
	}
	k.addresses = append(k.addresses, "nats://127.0.0.1:4222", nats.ClientURL())
}
