package deploy

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every variable and every flag of the gateway that is named below deploy exists.
func TestSettingsExist(t *testing.T) {
	help, err := exec.Command(binary, "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	variables := regexp.MustCompile(`\bKVGW_[A-Z_]*[A-Z]`)
	// Flags of the gateway stand in texts and in commands of the gateway; those of other programs
	// begin with a name that the gateway does not have.
	flags := regexp.MustCompile(`gateway[^\n]* (--[a-z][a-z-]+)`)
	found := 0
	check := func(path, name, known string) {
		found++
		if !regexp.MustCompile(regexp.QuoteMeta(known) + `\b`).Match(help) {
			t.Errorf("%s names %s, which the gateway does not have", path, name)
		}
	}
	err = filepath.WalkDir(files, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, name := range variables.FindAllString(string(text), -1) {
			check(path, name, "$"+name)
		}
		for _, m := range flags.FindAllStringSubmatch(string(text), -1) {
			check(path, m[1], m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("only %d settings were found", found)
	}
}
