package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"sync"

	"kvgateway/clients/js"
	"kvgateway/internal/pages"
)

// A Mode says what the console offers.
type Mode string

// These are the modes. The zero Mode counts as Off.
const (
	// Off means that there is no console.
	Off Mode = "off"
	// Read offers nothing that changes something.
	Read Mode = "read"
	// Write offers everything that the caller may do.
	Write Mode = "write"
)

// policy is the Content-Security-Policy of the page. Values that are images are shown from the
// bytes that the page has read, which is what blob: is for.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// dist has what is built of src.
//
//go:embed dist
var dist embed.FS

// pageTemplate is the page, to which its base path and mode are added.
//
//go:embed console.gohtml
var pageText string

var pageTemplate = template.Must(template.New("console").Parse(pageText))

// fileTypes has the media types of the files that the page loads, by their names.
var fileTypes = map[string]string{
	"console.css": "text/css; charset=utf-8",
	"console.js":  "text/javascript; charset=utf-8",
	"editor.js":   "text/javascript; charset=utf-8",
	"icon.svg":    "image/svg+xml",
}

// A Console has the files of the console for a gateway below a base path. It may be used by many
// goroutines at once. A file is compressed when it is first asked for, and kept.
type Console struct {
	// files has what makes each file, by its name.
	files map[string]func() (*pages.File, error)
}

// New returns the console of a gateway below a base path, which is empty or has no slash at its
// end, or nil if the mode is Off.
func New(basePath string, mode Mode) *Console {
	if mode == Off || mode == "" {
		return nil
	}
	c := &Console{files: map[string]func() (*pages.File, error){}}
	c.add("", func() (*pages.File, error) { return page(basePath, mode) })
	for name, mediaType := range fileTypes {
		c.add(name, func() (*pages.File, error) {
			body, err := dist.ReadFile("dist/" + name)
			return &pages.File{ContentType: mediaType, Body: body}, err
		})
	}
	c.add(js.Name, func() (*pages.File, error) {
		return &pages.File{ContentType: fileTypes["console.js"], Body: js.Client}, nil
	})
	return c
}

// add adds a file that is made when it is first asked for.
func (c *Console) add(name string, make func() (*pages.File, error)) {
	c.files[name] = sync.OnceValues(func() (*pages.File, error) {
		file, err := make()
		if err == nil {
			err = file.Compress()
		}
		return file, err
	})
}

// page returns the page, which is the same for all addresses of the console.
func page(basePath string, mode Mode) (*pages.File, error) {
	var body bytes.Buffer
	err := pageTemplate.Execute(&body, struct {
		Base string
		Mode Mode
	}{basePath, mode})
	return &pages.File{
		ContentType: "text/html; charset=utf-8", Policy: policy, Body: body.Bytes(),
	}, err
}

// File returns the file with a name, which is empty for the page. It returns nil if there is none,
// and always if c is nil. It fails if a file is not as it is embedded, which the tests rule out.
func (c *Console) File(name string) (*pages.File, error) {
	if c == nil {
		return nil, nil
	}
	make, found := c.files[name]
	if !found {
		return nil, nil
	}
	file, err := make()
	if err != nil {
		return nil, fmt.Errorf("console: %q: %w", name, err)
	}
	return file, nil
}
