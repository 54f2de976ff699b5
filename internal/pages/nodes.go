package pages

import (
	"bytes"
	"strings"

	"github.com/yuin/goldmark/ast"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/util"
)

// A fileMention stands for a link to a file of the repository that is no page.
type fileMention struct {
	ast.BaseInline
	// path is the path of the file in the repository.
	path string
}

// kindFileMention is the kind of a fileMention.
var kindFileMention = ast.NewNodeKind("FileMention")

// Kind returns the kind of the node.
func (*fileMention) Kind() ast.NodeKind { return kindFileMention }

// Dump prints the node, for debugging.
func (m *fileMention) Dump(source []byte, level int) {
	ast.DumpHelper(m, source, level, map[string]string{"Path": m.path}, nil)
}

// A nodeRenderer renders what the pages have otherwise than goldmark: code, of which the lines that
// commands print can be told apart, tables, which scroll on narrow screens, and mentions of files.
type nodeRenderer struct{}

// RegisterFuncs tells goldmark which nodes are rendered here.
func (nodeRenderer) RegisterFuncs(register renderer.NodeRendererFuncRegisterer) {
	register.Register(ast.KindFencedCodeBlock, renderCode)
	register.Register(extast.KindTable, renderTable)
	register.Register(kindFileMention, renderMention)
}

// renderMention renders the text of a link to a file that is no page.
func renderMention(
	w util.BufWriter, _ []byte, n ast.Node, entering bool,
) (ast.WalkStatus, error) {
	if !entering {
		_, _ = w.WriteString("</span>") // A BufWriter remembers its error.
		return ast.WalkContinue, nil
	}
	mention := n.(*fileMention)
	_, _ = w.WriteString(`<span class="file" title="`)
	_, _ = w.Write(util.EscapeHTML([]byte(mention.path + ", in the source of the gateway")))
	_, _ = w.WriteString(`">`)
	return ast.WalkContinue, nil
}

// renderTable renders a table in a box that scrolls, which the keyboard can reach, too.
func renderTable(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		_, _ = w.WriteString("</table></div>\n")
		return ast.WalkContinue, nil
	}
	class := ""
	if isHeadless(n) {
		class = ` class="headless"`
	}
	_, _ = w.WriteString(`<div class="scroll" tabindex="0"><table` + class + ">\n")
	return ast.WalkContinue, nil
}

// isHeadless reports whether the cells of the head of a table are empty.
func isHeadless(table ast.Node) bool {
	head := table.FirstChild()
	if head == nil {
		return false
	}
	for cell := head.FirstChild(); cell != nil; cell = cell.NextSibling() {
		if cell.HasChildren() {
			return false
		}
	}
	return true
}

// renderCode renders a block of code. The second word behind the fence is the name of a file.
func renderCode(
	w util.BufWriter, source []byte, n ast.Node, entering bool,
) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	block := n.(*ast.FencedCodeBlock)
	language, file := "text", ""
	if block.Info != nil {
		words := strings.Fields(string(block.Info.Value(source)))
		if len(words) > 0 {
			language = words[0]
		}
		if len(words) > 1 {
			file = words[1]
		}
	}
	_, _ = w.WriteString(`<figure class="code">`)
	if file != "" {
		_, _ = w.WriteString("<figcaption>")
		_, _ = w.Write(util.EscapeHTML([]byte(file)))
		_, _ = w.WriteString("</figcaption>")
	}
	_, _ = w.WriteString(`<pre tabindex="0"><code class="language-`)
	_, _ = w.Write(util.EscapeHTML([]byte(language)))
	_, _ = w.WriteString(`">`)
	for i := range block.Lines().Len() {
		line := block.Lines().At(i)
		renderLine(w, line.Value(source), language)
	}
	_, _ = w.WriteString("</code></pre></figure>\n")
	return ast.WalkContinue, nil
}

// renderLine renders a line of code. What a command prints, and comments, are marked.
func renderLine(w util.BufWriter, line []byte, language string) {
	class := ""
	switch start := bytes.TrimLeft(line, " \t"); {
	case language == "sh" && bytes.HasPrefix(start, []byte("#>")),
		language == "js" && bytes.HasPrefix(start, []byte("//>")):
		class = "printed"
	case (language == "sh" || language == "yaml") && bytes.HasPrefix(start, []byte("#")),
		language == "js" && bytes.HasPrefix(start, []byte("//")):
		class = "note"
	}
	escaped := util.EscapeHTML(line)
	if class == "" {
		_, _ = w.Write(escaped)
		return
	}
	_, _ = w.WriteString(`<span class="` + class + `">`)
	_, _ = w.Write(bytes.TrimSuffix(escaped, []byte("\n")))
	_, _ = w.WriteString("</span>\n")
}
