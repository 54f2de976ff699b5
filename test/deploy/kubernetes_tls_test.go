package deploy

import (
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// The component for TLS mounts the certificate where the settings name it, and the probes ask over
// TLS.
func TestComponentForTLSFits(t *testing.T) {
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
	text := "resources: [" + relative + "]\ncomponents: [" + relative + "/tls]\n"
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
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	mounted := ""
	for _, v := range pod.Volumes {
		if v.Secret != nil && v.Secret.SecretName == "kvgateway-tls" {
			mounted = v.Name
		}
	}
	if mounted == "" || len(c.VolumeMounts) != 1 || c.VolumeMounts[0].Name != mounted ||
		c.VolumeMounts[0].SubPath != "" {
		t.Fatalf("the Secret is not mounted: %+v, %+v", pod.Volumes, c.VolumeMounts)
	}
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	for name, file := range map[string]string{
		"KVGW_TLS_CERT": corev1.TLSCertKey, "KVGW_TLS_KEY": corev1.TLSPrivateKeyKey,
	} {
		if want := c.VolumeMounts[0].MountPath + "/" + file; env[name] != want {
			t.Errorf("%s is %q, want %s", name, env[name], want)
		}
	}
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe.HTTPGet.Scheme != corev1.URISchemeHTTPS {
			t.Errorf("a probe asks over %s", probe.HTTPGet.Scheme)
		}
	}
}
