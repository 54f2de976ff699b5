package pages

import (
	"bytes"
	"fmt"
	"html/template"
	"net/url"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// converter turns Markdown into HTML: CommonMark and tables, with an id for each heading, as GitHub
// makes it. It leaves out raw HTML, and addresses that would run a script.
var converter = goldmark.New(
	goldmark.WithExtensions(extension.Table),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	goldmark.WithRendererOptions(renderer.WithNodeRenderers(
		util.Prioritized(nodeRenderer{}, 100))), // The lower number wins.
)

// An article is a page, as it is put into the template.
type article struct {
	// Title is its first heading, and Summary the text of its first paragraph.
	Title, Summary string
	// Sections are its headings of the second level.
	Sections []section
	// Body is its content, headings included.
	Body template.HTML
}

// A section is a heading with its id.
type section struct{ ID, Title string }

// A linker turns the links of a file into addresses of the gateway.
type linker struct {
	// basePath is the path below which everything is mounted.
	basePath string
	// file is the file in package docs, from which relative links lead on.
	file string
}

// convert turns Markdown into an article.
func (l linker) convert(source []byte) (*article, error) {
	document := converter.Parser().Parse(text.NewReader(source))
	a := &article{}
	var links []*ast.Link
	var hidden []ast.Node
	err := ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			a.addHeading(n, source)
		case *ast.Paragraph:
			if a.Summary == "" {
				a.Summary = plainText(n, source)
			}
		case *ast.Link:
			links = append(links, n)
		case *ast.HTMLBlock: // A comment, which tests read.
			hidden = append(hidden, n)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return nil, err
	}
	for _, n := range hidden {
		n.Parent().RemoveChild(n.Parent(), n)
	}
	for _, link := range links {
		l.resolve(link)
	}
	var body bytes.Buffer
	if err := converter.Renderer().Render(&body, source, document); err != nil {
		return nil, fmt.Errorf("render Markdown: %w", err)
	}
	a.Body = template.HTML(body.String()) // #nosec G203 -- goldmark has escaped it.
	return a, nil
}

// addHeading notes the title, or a section.
func (a *article) addHeading(h *ast.Heading, source []byte) {
	title := plainText(h, source)
	switch h.Level {
	case 1:
		a.Title = title
	case 2:
		id, _ := h.AttributeString("id")
		name, _ := id.([]byte)
		a.Sections = append(a.Sections, section{string(name), title})
	}
}

// plainText returns the text in a node, on one line.
func plainText(n ast.Node, source []byte) string {
	var out strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			out.Write(t.Value(source))
			if t.SoftLineBreak() {
				out.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return out.String()
}

// resolve gives a link the address that it has at the gateway. A link to a file that is no page
// becomes the name of the file.
func (l linker) resolve(link *ast.Link) {
	target, file := l.address(string(link.Destination))
	if target != "" {
		link.Destination = []byte(target)
		return
	}
	mention := &fileMention{path: file}
	for child := link.FirstChild(); child != nil; {
		next := child.NextSibling()
		mention.AppendChild(mention, child)
		child = next
	}
	link.Parent().ReplaceChild(link.Parent(), link, mention)
}

// address returns the address of a link at the gateway. If it leads to a file that is no page, it
// returns the path of that file in the repository instead.
func (l linker) address(destination string) (address, file string) {
	u, err := url.Parse(destination)
	switch {
	case err != nil || u.Scheme != "" || u.Path == "":
		return destination, "" // Of another host, or a place on the same page.
	case strings.HasPrefix(u.Path, "/"):
		u.Path = l.basePath + u.Path
		return u.String(), ""
	}
	file = path.Join("docs", path.Dir(l.file), u.Path)
	if file == "api/openapi.yaml" {
		return l.basePath + "/openapi.yaml", ""
	}
	p, ok := pageOfFile(strings.TrimPrefix(file, "docs/"))
	if !ok {
		return "", file
	}
	u.Path = p.path(l.basePath)
	return u.String(), ""
}
