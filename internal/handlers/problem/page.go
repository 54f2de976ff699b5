package problem

import (
	"bytes"
	"html/template"
)

// Page returns the page of the kind for people, of a gateway that is mounted below a base path, ""
// for none. See [Kind.Below] for the paths in its texts.
func (k *Kind) Page(basePath string) ([]byte, error) {
	var page bytes.Buffer
	err := pageTemplate.Execute(&page, struct {
		*Kind
		BasePath string
	}{k, basePath})
	return page.Bytes(), err
}

// PageStyle is the style sheet of the gateway's pages. Their Content-Security-Policy has its hash.
const PageStyle = `
body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}
code{font-size:.95em;overflow-wrap:anywhere}
dd{margin:0 0 .75rem}
`

// pageTemplate is the page of a kind.
var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Code}}: {{.Title}}</title>
<style>` + PageStyle + `</style>
<h1>{{.Title}}</h1>
<p><code>{{.Code}}</code>, HTTP status {{.Status}}</p>
<h2>What it means</h2>
<p>{{.Meaning}}</p>
<h2>How to fix it</h2>
<p>{{.Fix}}</p>
<p><a href="{{.BasePath}}/docs/errors#{{.Code}}">All problems</a> ·
<a href="{{.BasePath}}/docs/">The documentation</a></p>
</html>
`))
