package auth_test

import (
	"errors"
	"os"
	"testing"

	"kvgateway/internal/auth"
)

// Whatever a file has, it is either taken or refused with places in it.
func FuzzParse(f *testing.F) {
	for _, c := range fileMistakes {
		f.Add(c.file)
	}
	example, err := os.ReadFile("../../deploy/auth.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Fuzz(func(t *testing.T, text string) {
		policy, err := auth.Parse([]byte(text))
		if (policy == nil) == (err == nil) {
			t.Errorf("a policy %v with the error %v", policy, err)
		}
		wrong, ok := errors.AsType[*auth.FileError](err)
		if err != nil && len(text) <= auth.MaxFileBytes && (!ok || len(wrong.Mistakes) == 0) {
			t.Errorf("the error is %v", err)
		}
	})
}

// Whatever a client sends, it is nobody else.
func FuzzIdentify(f *testing.F) {
	gate := gateOf(f, limitsFile(f))
	good := a256().sign(f, nil, claimsOf(issuerA, nil))
	for _, header := range []string{"Bearer " + good, "Bearer " + annsToken, basic("ann", "x"),
		"bearer x", "Basic", "", "Bearer a.b.c", "Bearer eyJ.e30."} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		caller, err := identify(t, gate, header)
		switch {
		case err != nil:
			if _, ok := errors.AsType[*auth.Refusal](err); !ok {
				t.Errorf("%q: %v", header, err)
			}
		case caller.Kind == auth.JWT && caller.Name != issuerA+"#ann",
			caller.Kind == auth.OwnToken && caller.Name != "ann", caller.Kind == auth.Anonymous:
			t.Errorf("%q is %v %s", header, caller.Kind, caller.Name)
		}
	})
}
