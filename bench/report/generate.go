package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The places of the files below the directory of the benchmarks.
const (
	resultsDir = "results"
	plotsDir   = "plots"
	readme     = "README.md"
)

// Generate makes the plots of all files of results below a directory, and the parts of its
// README.md that show them. It returns the texts by the paths of the files, and writes nothing.
//
// The part of results/NAME.jsonl is between the lines "<!-- results: NAME -->" and
// "<!-- end -->". There must be one for each file, and a file for each part.
func Generate(dir string) (map[string][]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, resultsDir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	page, err := os.ReadFile(filepath.Join(dir, readme))
	if err != nil {
		return nil, err
	}
	texts, parts := make(map[string][]byte), make(map[string]string)
	for _, file := range files {
		r, err := Read(file)
		if err != nil {
			return nil, err
		}
		run := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		var images strings.Builder
		names, plots := r.plots()
		for i, name := range names {
			path := plotsDir + "/" + run + "-" + name + ".svg"
			texts[filepath.Join(dir, path)] = []byte(plots[i].svg())
			fmt.Fprintf(&images, "![%s](%s)\n\n", plots[i].title, path)
		}
		parts[run] = r.part(images.String())
	}
	page, err = replaceParts(page, parts)
	texts[filepath.Join(dir, readme)] = page
	return texts, err
}

// part returns what README.md shows of a run: plots below its description, and then the tables.
func (r Results) part(images string) string {
	description, tables, _ := strings.Cut(r.Markdown(), "\n\n")
	return description + "\n\n" + images + tables
}

const (
	partBegins = "<!-- results: "
	partEnds   = "<!-- end -->"
)

// replaceParts replaces what is between the lines that begin and end each part.
func replaceParts(page []byte, parts map[string]string) ([]byte, error) {
	var out bytes.Buffer
	seen, inside := 0, false
	for line := range strings.Lines(string(page)) {
		name, begins := strings.CutPrefix(strings.TrimSpace(line), partBegins)
		ends := strings.TrimSpace(line) == partEnds
		if begins || ends || !inside {
			out.WriteString(line)
		}
		switch {
		case begins && inside, ends && !inside:
			return nil, fmt.Errorf("%s: a part begins or ends at the wrong place: %s", readme, line)
		case begins:
			part, found := parts[strings.TrimSuffix(name, " -->")]
			if !found {
				return nil, fmt.Errorf("%s: there are no results for %s", readme, line)
			}
			inside = true
			seen++
			fmt.Fprintf(&out, "\n%s", part)
		case ends:
			inside = false
		}
	}
	if inside || seen != len(parts) {
		return nil, fmt.Errorf("%s shows %d of %d results, or a part of it does not end",
			readme, seen, len(parts))
	}
	return out.Bytes(), nil
}

// WriteAll writes the texts of [Generate].
func WriteAll(texts map[string][]byte) error {
	for file, text := range texts {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
