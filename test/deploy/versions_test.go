package deploy

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The nats-servers have the version with which the gateway is tested.
func TestComposeHasTheTestedNATS(t *testing.T) {
	mod, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`nats-server/v2 v(\S+)`).FindSubmatch(mod)
	want := "nats:" + string(m[1]) + "-alpine"
	if image := readCompose(t).Services["nats-1"].Image; image != want {
		t.Errorf("image %s, want %s", image, want)
	}
}

// The image is built by the version of Go that go.mod asks for.
func TestImageIsBuiltByTheModulesGo(t *testing.T) {
	mod, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)[1]
	want := "ARG GO_VERSION=" + string(version) + "\n"
	if !strings.Contains(read(t, "Dockerfile"), want) {
		t.Errorf("the Dockerfile has not %q", want)
	}
}
