package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// readCompose reads compose.yaml as `docker compose config` does, which checks it against the
// schema.
func readCompose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{files + "/compose.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeStartsTheCluster(t *testing.T) {
	project := readCompose(t)
	count := map[string]int{}
	for name, s := range project.Services {
		kind, _, _ := strings.Cut(name, "-")
		count[kind]++
		if kind != "gateway" && !strings.Contains(s.Image, ":") {
			t.Errorf("%s: image %s has no version", name, s.Image)
		}
		for on := range s.DependsOn {
			isGateway := strings.HasPrefix(on, "gateway") // the image has a check
			if project.Services[on].HealthCheck == nil && !isGateway {
				t.Errorf("%s waits for %s, which has no health check", name, on)
			}
		}
	}
	if count["nats"] != 3 || count["gateway"] != 2 || count["proxy"] != 1 {
		t.Errorf("services: %v", count)
	}
	for _, volume := range []string{"nats-1", "nats-2", "nats-3"} {
		mounts := project.Services[volume].Volumes
		if len(mounts) != 1 || mounts[0].Source != volume || mounts[0].Target != "/data" {
			t.Errorf("the volume of %s: %+v", volume, mounts)
		}
	}
	for _, c := range project.Configs {
		if _, err := os.Stat(c.File); err != nil {
			t.Error(err)
		}
	}
}

func TestComposeGivesSettingsThatAreAccepted(t *testing.T) {
	gateway := readCompose(t).Services["gateway-1"]
	settings := map[string]string{}
	for name, value := range gateway.Environment {
		settings[name] = *value
	}
	wantTimeToStop(t, settings, time.Duration(*gateway.StopGracePeriod))
	wantAccepted(t, settings)
}

// The command of the proxy makes a configuration whose gateways are the services.
func TestComposeProxyLeadsToTheGateways(t *testing.T) {
	command := readCompose(t).Services["proxy"].Command
	script, _, ok := strings.Cut(command[len(command)-1], "&&")
	if !ok {
		t.Fatalf("command %q", command)
	}
	result := filepath.Join(t.TempDir(), "default.conf")
	script = strings.NewReplacer("/etc/kvgateway/nginx.conf", files+"/proxies/nginx.conf",
		"/etc/nginx/conf.d/default.conf", result).Replace(script)
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	conf, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	servers := regexp.MustCompile(`(?m)^\s*server ([^;{]+);`).
		FindAllStringSubmatch(string(conf), -1)
	if len(servers) != 2 || !strings.HasPrefix(servers[0][1], "gateway-1:8080 resolve ") ||
		!strings.HasPrefix(servers[1][1], "gateway-2:8080 resolve ") {
		t.Errorf("the servers are %q", servers)
	}
	if !strings.Contains(string(conf), "\n    zone kvgateway ") {
		t.Error("there is no zone, without which nginx refuses to resolve names again")
	}
}

// Compose gives a container that it makes anew another address. nginx asks Docker's name server for
// it again, whatever that says about how long the old one is valid.
func TestComposeProxyFollowsNewAddresses(t *testing.T) {
	proxy := readCompose(t).Services["proxy"]
	const resolver = "\n    resolver 127.0.0.11 valid="
	if main := read(t, "compose/nginx.conf"); !strings.Contains(main, resolver) {
		t.Errorf("there is no %q in\n%s", resolver, main)
	}
	// The first version of nginx that is free and has `resolve` is 1.27.3.
	m := regexp.MustCompile(`^nginx:1\.(\d+)-`).FindStringSubmatch(proxy.Image)
	if m == nil || len(m[1]) != 2 || m[1] < "28" {
		t.Errorf("the image is %s", proxy.Image)
	}
	mounted := slices.ContainsFunc(proxy.Configs, func(c types.ServiceConfigObjConfig) bool {
		return c.Source == "proxy-main" && c.Target == "/etc/nginx/nginx.conf"
	})
	if !mounted {
		t.Errorf("the main configuration is not where nginx reads it: %+v", proxy.Configs)
	}
}

// The proxy has room for thousands of streams, each of which takes two connections.
func TestComposeProxyHoldsThousandsOfStreams(t *testing.T) {
	m := regexp.MustCompile(`worker_connections (\d+);`).
		FindStringSubmatch(read(t, "compose/nginx.conf"))
	if m == nil {
		t.Fatal("compose/nginx.conf has no worker_connections")
	}
	connections, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	if connections < 10_000 {
		t.Errorf("a worker process has %d connections", connections)
	}
	files := readCompose(t).Services["proxy"].Ulimits["nofile"]
	if files == nil || files.Single <= connections {
		t.Errorf("%d connections, and files %+v", connections, files)
	}
}
