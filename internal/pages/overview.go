package pages

import (
	"fmt"
	"strings"
)

// overviewName is the name of the file that lists the pages for programs.
const overviewName = "llms.txt"

// overview returns the list of all pages as Markdown, in the form of https://llmstxt.org: a title,
// a summary, and chapters with links, each with what it leads to.
func (s *Site) overview() (*File, error) {
	first, err := s.article(allPages()[0])
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# KV Gateway\n\n> %s\n\n", first.Summary)
	fmt.Fprintf(&out, "To use the API, read [one page](%s/docs/assistants.md) first. The "+
		"contract, in OpenAPI 3.0, is at [%[1]s/openapi.yaml](%[1]s/openapi.yaml).\n", s.basePath)
	for _, c := range contents {
		fmt.Fprintf(&out, "\n## %s\n\n", c.Title)
		for _, p := range c.Pages {
			a, err := s.article(p)
			if err != nil {
				return nil, err
			}
			path := p.path(s.basePath)
			if name := p.markdownName(); name != "" {
				path = s.basePath + "/docs/" + name
			}
			fmt.Fprintf(&out, "- [%s](%s): %s\n", p.Title, path, firstSentence(a.Summary))
		}
	}
	return &File{ContentType: typeText, Body: []byte(out.String())}, nil
}
