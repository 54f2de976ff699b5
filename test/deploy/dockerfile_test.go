//go:build full

package deploy

// The libraries of this file take minutes to compile, so `make full` has it, and the gate has not.

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// noRegistry answers for every image, so that no registry is asked.
type noRegistry struct{}

// ResolveImageConfig returns the configuration of an image with one layer for the platform that is
// wanted.
func (noRegistry) ResolveImageConfig(
	_ context.Context, ref string, opt sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	layers := []digest.Digest{digest.FromString("a layer")}
	config, err := json.Marshal(ocispecs.Image{Platform: *opt.ImageOpt.Platform,
		RootFS: ocispecs.RootFS{Type: "layers", DiffIDs: layers}})
	return ref, digest.FromBytes(config), config, err
}

// buildOptions are those of a build on linux/amd64 for an architecture.
func buildOptions(text []byte, arch string) dockerfile2llb.ConvertOpt {
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", text)
	source.Definition = &llb.Definition{}
	target := ocispecs.Platform{OS: "linux", Architecture: arch}
	return dockerfile2llb.ConvertOpt{
		MetaResolver:   noRegistry{},
		SourceMap:      source,
		TargetPlatform: &target,
		Config: dockerui.Config{
			BuildPlatforms:  []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}},
			TargetPlatforms: []ocispecs.Platform{target}},
	}
}

// The Dockerfile passes `docker build --check`.
func TestDockerfileHasNoWarnings(t *testing.T) {
	text := []byte(read(t, "Dockerfile"))
	results, err := dockerfile2llb.DockerfileLint(t.Context(), text, buildOptions(text, "amd64"))
	if err != nil {
		t.Fatal(err)
	}
	if results.Error != nil {
		t.Errorf("it cannot be built: %s", results.Error.Message)
	}
	for _, w := range results.Warnings {
		t.Errorf("%s: %s", w.RuleName, w.Detail)
	}
}

// The image runs the gateway as a user without privileges, on an address that can be reached from
// outside of the container, and asks it for its health.
func TestImageRunsTheGateway(t *testing.T) {
	text := []byte(read(t, "Dockerfile"))
	result, err := dockerfile2llb.Dockerfile2LLB(t.Context(), text, buildOptions(text, "amd64"))
	if err != nil {
		t.Fatal(err)
	}
	config := result.Image.Config
	if config.User != "65532:65532" {
		t.Errorf("the user is %q", config.User)
	}
	if got := strings.Join(append(config.Entrypoint, config.Cmd...), " "); got !=
		"/usr/local/bin/gateway serve" {
		t.Errorf("it runs %s", got)
	}
	if got := strings.Join(config.Healthcheck.Test, " "); got !=
		"CMD /usr/local/bin/gateway healthcheck" {
		t.Errorf("its health is checked by %s", got)
	}
	if _, ok := config.Volumes["/kvgw-data"]; !ok || config.WorkingDir != "/" {
		t.Errorf("volumes %v, directory %s", config.Volumes, config.WorkingDir)
	}
	settings := map[string]string{"KVGW_ALLOW_ANONYMOUS": "true"}
	for _, variable := range config.Env {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "KVGW_") {
			settings[name] = value
		}
	}
	if settings["KVGW_LISTEN"] != "0.0.0.0:8080" {
		t.Errorf("it listens on %q", settings["KVGW_LISTEN"])
	}
	wantAccepted(t, settings)
}

// compilation returns the operation that compiles the gateway, and its script with the values of
// its environment.
func compilation(t *testing.T, definition *llb.Definition) (op *pb.Op, script string) {
	t.Helper()
	for _, bytes := range definition.Def {
		op := &pb.Op{}
		if err := op.Unmarshal(bytes); err != nil {
			t.Fatal(err)
		}
		run := op.GetExec()
		if run == nil || !strings.Contains(strings.Join(run.Meta.Args, " "), "go build") {
			continue
		}
		environment := map[string]string{}
		for _, variable := range run.Meta.Env {
			name, value, _ := strings.Cut(variable, "=")
			environment[name] = value
		}
		return op, os.Expand(strings.Join(run.Meta.Args, " "),
			func(name string) string { return environment[name] })
	}
	t.Fatal("nothing is compiled")
	return nil, ""
}

// The binary is one for the image's platform, and is compiled on that of the machine that builds.
func TestImageHasABinaryForItsPlatform(t *testing.T) {
	text := []byte(read(t, "Dockerfile"))
	for _, arch := range []string{"amd64", "arm64"} {
		result, err := dockerfile2llb.Dockerfile2LLB(t.Context(), text, buildOptions(text, arch))
		if err != nil {
			t.Fatal(err)
		}
		if result.Image.Architecture != arch {
			t.Errorf("for %s the image is for %s", arch, result.Image.Architecture)
		}
		definition, err := result.State.Marshal(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		op, script := compilation(t, definition)
		if op.Platform.Architecture != "amd64" {
			t.Errorf("for %s it is compiled on %s", arch, op.Platform.Architecture)
		}
		if want := "GOOS=linux GOARCH=" + arch + " go build "; !strings.Contains(script, want) {
			t.Errorf("for %s there is no %q in %s", arch, want, script)
		}
	}
}
