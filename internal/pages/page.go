package pages

import (
	"bytes"
	_ "embed"
	"html/template"
	"regexp"
	"strings"

	"kvgateway/docs"
)

// pageSource is the template of all pages.
//
//go:embed page.gohtml
var pageSource string

// pageTemplate is the template of all pages.
var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// A view is what the template of a page is given.
type view struct {
	*article
	// Base is the path below which everything is mounted.
	Base string
	// Page is the page itself.
	Page page
	// Chapters are the menu.
	Chapters []chapter
	// Cards are the pages with their summaries, on the first page.
	Cards []card
	// Previous and Next are the pages before and after it; nil if there are none.
	Previous, Next *page
	// Tries reports whether the page can send requests.
	Tries bool
}

// A card leads to a page.
type card struct {
	// Title is the title of the page, and Summary its first paragraph.
	Title, Summary string
	// Path is its path.
	Path string
}

// Path returns the path of a page for the template.
func (v view) Path(p page) string { return p.path(v.Base) }

// IsCurrent reports whether a page is the one that is shown.
func (v view) IsCurrent(p page) bool { return p.Name == v.Page.Name }

// page returns a page as HTML.
func (s *Site) page(p page) (*File, error) {
	a, err := s.article(p)
	if err != nil {
		return nil, err
	}
	v := view{article: a, Base: s.basePath, Page: p, Chapters: contents}
	all := allPages()
	for i := range all {
		if all[i].Name != p.Name {
			continue
		}
		if i > 0 {
			v.Previous = &all[i-1]
		}
		if i+1 < len(all) {
			v.Next = &all[i+1]
		}
	}
	policy := readingPolicy
	if p.Name == referenceName {
		policy, v.Tries = tryingPolicy, true
	}
	if p.Name == "" {
		if v.Cards, err = s.cards(); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, v); err != nil {
		return nil, err
	}
	return &File{ContentType: typeHTML, Policy: policy, Body: out.Bytes()}, nil
}

// cards returns a card for each page but the first.
func (s *Site) cards() (cards []card, err error) {
	for _, p := range allPages()[1:] {
		a, err := s.article(p)
		if err != nil {
			return nil, err
		}
		cards = append(cards, card{p.Title, firstSentence(a.Summary), p.path(s.basePath)})
	}
	return cards, nil
}

// firstSentence returns a text up to its first full stop.
func firstSentence(text string) string {
	if i := strings.Index(text, ". "); i > 0 {
		return text[:i+1]
	}
	return text
}

// article returns the content of a page.
func (s *Site) article(p page) (*article, error) {
	if p.Name == referenceName {
		return s.reference()
	}
	source, err := s.source(p)
	if err != nil {
		return nil, err
	}
	return linker{s.basePath, p.file}.convert(source)
}

// source returns the Markdown of a page.
func (s *Site) source(p page) ([]byte, error) {
	source, err := docs.Files.ReadFile(p.file)
	if err != nil {
		return nil, err
	}
	return bytes.Replace(source, []byte(problemsMark), s.problems(), 1), nil
}

// parentLink finds a link from a page in guide to one beside guide.
var parentLink = regexp.MustCompile(`\]\(\.\./([a-z-]+\.md)`)

// markdownFile returns the Markdown of a page, with its links as they are below /docs/.
func (s *Site) markdownFile(p page) (*File, error) {
	source, err := s.source(p)
	if err != nil {
		return nil, err
	}
	body := parentLink.ReplaceAll(source, []byte("]($1"))
	return &File{ContentType: typeMarkdown, Body: body}, nil
}
