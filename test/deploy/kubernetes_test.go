package deploy

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests are the objects that `kubectl apply -k` would send.
type manifests struct {
	deployment appsv1.Deployment
	service    corev1.Service
	settings   corev1.ConfigMap
	disruption policyv1.PodDisruptionBudget
	network    networkingv1.NetworkPolicy
}

// readManifests builds the kustomization and decodes each object, with no field that its type does
// not have.
func readManifests(t *testing.T) *manifests {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), files+"/kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	var m manifests
	types := map[string]any{
		"apps/v1 Deployment":                 &m.deployment,
		"v1 Service":                         &m.service,
		"v1 ConfigMap":                       &m.settings,
		"policy/v1 PodDisruptionBudget":      &m.disruption,
		"networking.k8s.io/v1 NetworkPolicy": &m.network,
	}
	for _, r := range built.Resources() {
		kind := r.GetApiVersion() + " " + r.GetKind()
		into := types[kind]
		if into == nil {
			t.Fatalf("there are two objects of kind %s, or it is not known", kind)
		}
		delete(types, kind)
		text, err := r.AsYAML()
		if err == nil {
			err = yaml.UnmarshalStrict(text, into)
		}
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for kind := range types {
		t.Errorf("there is no %s", kind)
	}
	return &m
}

func TestManifestsFitTogether(t *testing.T) {
	m := readManifests(t)
	pod := m.deployment.Spec.Template
	selectors := map[string]*metav1.LabelSelector{
		"deployment": m.deployment.Spec.Selector,
		"service":    {MatchLabels: m.service.Spec.Selector},
		"disruption": m.disruption.Spec.Selector,
		"network":    &m.network.Spec.PodSelector,
		"spread":     pod.Spec.TopologySpreadConstraints[0].LabelSelector,
	}
	for name, selector := range selectors {
		if selector == nil || len(selector.MatchLabels) == 0 {
			t.Errorf("%s has no selector", name)
			continue
		}
		for label, value := range selector.MatchLabels {
			if pod.Labels[label] != value {
				t.Errorf("%s selects %s=%s, which the pods are not", name, label, value)
			}
		}
	}

	c := pod.Spec.Containers[0]
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	used := []string{m.service.Spec.Ports[0].TargetPort.StrVal}
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		used = append(used, probe.HTTPGet.Port.StrVal)
	}
	for _, rule := range m.network.Spec.Ingress {
		used = append(used, rule.Ports[0].Port.StrVal)
	}
	for _, name := range used {
		if !ports[name] {
			t.Errorf("port %q is used, and the container has none of that name", name)
		}
	}
	if got, want := c.EnvFrom[0].ConfigMapRef.Name, m.settings.Name; got != want {
		t.Errorf("the settings are taken from %s, and are in %s", got, want)
	}
	wantAccepted(t, m.settings.Data)
}

// A gateway that is ended serves until nobody sends it anything, and ends before it is killed.
func TestPodIsDrainedInTime(t *testing.T) {
	m := readManifests(t)
	pod := m.deployment.Spec.Template.Spec
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	wantTimeToStop(t, m.settings.Data, grace)

	probe := pod.Containers[0].ReadinessProbe
	noticed := time.Duration(probe.PeriodSeconds*probe.FailureThreshold) * time.Second
	if delay, err := time.ParseDuration(m.settings.Data["KVGW_DRAIN_DELAY"]); err != nil ||
		delay < noticed+5*time.Second {
		t.Errorf("it drains for %v (%v), and is found not to be ready after %v", delay, err,
			noticed)
	}
}

func TestPodIsConfined(t *testing.T) {
	pod := readManifests(t).deployment.Spec.Template.Spec
	c := pod.Containers[0]
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser == 0 ||
		*c.SecurityContext.AllowPrivilegeEscalation || *pod.AutomountServiceAccountToken ||
		!*c.SecurityContext.ReadOnlyRootFilesystem ||
		c.SecurityContext.Capabilities.Drop[0] != "ALL" || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("the pod may do more than it needs: %+v", c.SecurityContext)
	}
}
