package pages_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kvgateway/api"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/pages"
)

// newSite returns the documentation below a base path.
func newSite(t *testing.T, basePath string) *pages.Site {
	t.Helper()
	contract, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	return pages.NewSite(basePath, contract)
}

// read returns the content of a file, which must be there.
func read(t *testing.T, s *pages.Site, name string) string {
	t.Helper()
	file, err := s.File(name)
	if err != nil || file == nil {
		t.Fatalf("%q: %v", name, err)
	}
	return string(file.Body)
}

var (
	href    = regexp.MustCompile(`(?:href|src)="([^"]*)"`)
	id      = regexp.MustCompile(` id="([^"]*)"`)
	mention = regexp.MustCompile(`class="file" title="([^",]*),`)
)

// ids returns the ids in a page, each of which must be there once.
func ids(t *testing.T, name, page string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, match := range id.FindAllStringSubmatch(page, -1) {
		if found[match[1]] {
			t.Errorf("%q has the id %q twice", name, match[1])
		}
		found[match[1]] = true
	}
	return found
}

// Every link of every page leads to something: to a page, a place on it, a file of the site, a
// problem, or one of the paths that the gateway has.
func TestLinksOfAllPagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	const base = "/kv"
	s := newSite(t, base)
	places := make(map[string]map[string]bool)
	for _, name := range pages.Names() {
		places[name] = ids(t, name, read(t, s, name))
	}
	for _, name := range pages.Names() {
		page := read(t, s, name)
		for _, match := range href.FindAllStringSubmatch(page, -1) {
			if fault := leads(s, base, places, name, match[1]); fault != "" {
				t.Errorf("page %q: %s: %s", name, match[1], fault)
			}
		}
		for _, match := range mention.FindAllStringSubmatch(page, -1) {
			if _, err := os.Stat(filepath.Join("../..", match[1])); err != nil {
				t.Errorf("page %q names a file that is not there: %s", name, match[1])
			}
		}
	}
}

// leads says what is wrong with a link of a page; "" if it leads somewhere.
func leads(
	s *pages.Site, base string, places map[string]map[string]bool, name, link string,
) (fault string) {
	target, place, hasPlace := strings.Cut(link, "#")
	rest, isDocs := strings.CutPrefix(target, base+"/docs")
	code, isProblem := strings.CutPrefix(target, base+"/problems/")
	switch {
	case target == "":
		rest = name
	case strings.HasPrefix(target, "https://"), target == base+"/openapi.yaml",
		target == base+"/openapi.json", target == base+"/llms.txt", target == base+"/":
		return ""
	case isProblem && problem.KindOf(code) == nil:
		return "there is no such problem"
	case isProblem:
		return ""
	case !isDocs:
		return "it leads to nothing that is known"
	}
	rest = strings.Trim(rest, "/")
	if file, err := s.File(rest); file == nil || err != nil {
		return "there is no such page"
	}
	if hasPlace && !places[rest][place] {
		return "there is no such place"
	}
	return ""
}

// Every page says in its source what the menu shows, and has no raw HTML, which would be left out.
func TestPagesAreWhole(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for _, name := range pages.Names() {
		page := read(t, s, name)
		for _, want := range []string{
			"<h1", `aria-current="page"`, `<meta name="description" content="`,
		} {
			if strings.Count(page, want) != 1 {
				t.Errorf("page %q has %s %d times", name, want, strings.Count(page, want))
			}
		}
		for _, never := range []string{
			"raw HTML omitted", "<style", "style=\"", " onclick", "content=\"\"", "<no value>",
		} {
			if strings.Contains(page, never) {
				t.Errorf("page %q has %s", name, never)
			}
		}
		if scripts := regexp.MustCompile(`<script[^>]*>[^<]`).FindString(page); scripts != "" {
			t.Errorf("page %q has a script in itself: %s", name, scripts)
		}
	}
}

// The Markdown of a page leads to the Markdown of others, and the overview leads to all of it.
func TestMarkdownOfPagesIsThere(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/kv")
	overview, err := s.Overview()
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)# ]*)[^)]*\)`)
	seen := 0
	for _, match := range link.FindAllStringSubmatch(string(overview.Body), -1) {
		name := strings.TrimPrefix(match[1], "/kv/docs/")
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		seen++
		for _, match := range link.FindAllStringSubmatch(read(t, s, name), -1) {
			target := match[1]
			if _, err := os.Stat("../../docs/" + target); strings.Contains(target, "/") ||
				path.Ext(target) != ".md" || err == nil && target != "index.md" {
				continue // It leads elsewhere, or to a file that is no page.
			}
			read(t, s, target)
		}
	}
	if want := len(pages.Names()) - 2; seen < want {
		t.Errorf("the overview leads to %d pages, want %d at least", seen, want)
	}
}

// The page of the errors is made from the table of problems, and has all of them.
func TestErrorsPageHasEveryProblem(t *testing.T) {
	t.Parallel()
	page := read(t, newSite(t, "/kv"), "errors")
	places := ids(t, "errors", page)
	for _, kind := range problem.Kinds() {
		if !places[string(kind.Code)] {
			t.Errorf("%s is missing", kind.Code)
		}
	}
	if !strings.Contains(page, "/kv/openapi.yaml") || strings.Contains(page, problem.Base) {
		t.Error("the paths in the texts are not below the base path")
	}
}
