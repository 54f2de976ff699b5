package main

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// The contract lists the reasons in the row of its table of events.
var (
	rowOfReset = regexp.MustCompile("(?m)^ *\\| `reset` \\|.* `reason` is (.*) \\|$")
	quoted     = regexp.MustCompile("`([^`]+)`")
)

func TestResetReasonsAreThoseOfTheContract(t *testing.T) {
	contract, err := os.ReadFile("../../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	row := rowOfReset.FindSubmatch(contract)
	if row == nil {
		t.Fatal("the contract has no row for resets")
	}
	var want []string
	for _, match := range quoted.FindAllSubmatch(row[1], -1) {
		want = append(want, string(match[1]))
	}
	if !slices.Equal(resetReasons, want) {
		t.Errorf("the reasons are %q, those of the contract %q", resetReasons, want)
	}
}
