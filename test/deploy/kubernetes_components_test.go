package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// withComponents returns the pods of the gateways in a kustomization with these components.
func withComponents(t *testing.T, components ...string) corev1.PodSpec {
	t.Helper()
	whole, err := filepath.Abs(files + "/kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// Kustomize takes no absolute paths.
	relative, err := filepath.Rel(dir, whole)
	if err != nil {
		t.Fatal(err)
	}
	text := "resources: [" + relative + "]\ncomponents:\n"
	for _, c := range components {
		text += "  - " + relative + "/" + c + "\n"
	}
	err = os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	for _, r := range built.Resources() {
		if r.GetKind() != "Deployment" {
			continue
		}
		text, err := r.AsYAML()
		if err == nil {
			err = yaml.UnmarshalStrict(text, &d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return d.Spec.Template.Spec
}

// mountOf returns where the gateway finds the files of a Secret.
func mountOf(t *testing.T, pod corev1.PodSpec, secret string) string {
	t.Helper()
	for _, v := range pod.Volumes {
		if v.Secret == nil || v.Secret.SecretName != secret {
			continue
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if m.Name == v.Name && m.SubPath == "" {
				return m.MountPath
			}
		}
	}
	t.Fatalf("%s is not mounted: %+v, %+v", secret, pod.Volumes, pod.Containers[0].VolumeMounts)
	return ""
}

// Each component mounts its Secret where the settings name it, in whatever order they are added,
// and with that for TLS the probes ask over TLS.
func TestComponentsFit(t *testing.T) {
	for _, order := range [][]string{{"tls", "auth"}, {"auth", "tls"}} {
		t.Run(strings.Join(order, " and "), func(t *testing.T) {
			pod := withComponents(t, order...)
			c := pod.Containers[0]
			env := map[string]string{}
			for _, e := range c.Env {
				env[e.Name] = e.Value
			}
			tls, auth := mountOf(t, pod, "kvgateway-tls"), mountOf(t, pod, "kvgateway-auth")
			for name, want := range map[string]string{
				"KVGW_TLS_CERT":        tls + "/" + corev1.TLSCertKey,
				"KVGW_TLS_KEY":         tls + "/" + corev1.TLSPrivateKeyKey,
				"KVGW_AUTH_FILE":       auth + "/auth.yaml",
				"KVGW_TICKET_KEY":      auth + "/ticket.key",
				"KVGW_ALLOW_ANONYMOUS": "false",
				"GOMEMLIMIT":           "920MiB",
			} {
				if env[name] != want {
					t.Errorf("%s is %q, want %s", name, env[name], want)
				}
			}
			for _, probe := range []*corev1.Probe{
				c.StartupProbe, c.LivenessProbe, c.ReadinessProbe,
			} {
				if probe.HTTPGet.Scheme != corev1.URISchemeHTTPS || probe.HTTPGet.Path == "" {
					t.Errorf("a probe asks %+v", probe.HTTPGet)
				}
			}
		})
	}
}
