package problem

import (
	"bytes"
	"html/template"
)

// Page returns the page of the kind for people.
func (k *Kind) Page() ([]byte, error) {
	var page bytes.Buffer
	err := pageTemplate.Execute(&page, k)
	return page.Bytes(), err
}

// pageTemplate is the page of a kind.
var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Code}}: {{.Title}}</title>
<style>
body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}
code{font-size:.95em}
</style>
<h1>{{.Title}}</h1>
<p><code>{{.Code}}</code>, HTTP status {{.Status}}</p>
<h2>What it means</h2>
<p>{{.Meaning}}</p>
<h2>How to fix it</h2>
<p>{{.Mend}}</p>
</html>
`))
