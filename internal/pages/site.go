package pages

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/clients/js"
)

// A File is what is sent for a path.
type File struct {
	// ContentType is its media type.
	ContentType string
	// Policy is the Content-Security-Policy of a page; "" for other files.
	Policy string
	// Body is its content. It must not be changed.
	Body []byte
	// Compressed is its content with gzip. It must not be changed.
	Compressed []byte
}

// These are the policies of pages. The first is for pages that are only read. The page of the
// reference may also send requests to the gateway, and to nobody else.
const (
	readingPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	tryingPolicy = readingPolicy + "; connect-src 'self'"
)

// These are the media types of the files.
const (
	typeHTML     = "text/html; charset=utf-8"
	typeMarkdown = "text/markdown; charset=utf-8"
	typeText     = "text/plain; charset=utf-8"
	typeScript   = "text/javascript; charset=utf-8"
	typeStyle    = "text/css; charset=utf-8"
)

// assets are the files that pages load.
//
//go:embed assets
var assets embed.FS

// assetTypes has the media types of the assets by their names.
var assetTypes = map[string]string{
	"docs.css":      typeStyle,
	"docs.js":       typeScript,
	"icon.svg":      "image/svg+xml",
	"reference.css": typeStyle,
	"reference.js":  typeScript,
}

// A Site has the files of the documentation for a gateway below a base path. It may be used by many
// goroutines at once. A file is made when it is first asked for, and kept.
type Site struct {
	// basePath is the path below which everything is mounted, "" for none.
	basePath string
	// contract is what the reference is made of.
	contract *openapi3.T
	// files has what makes each file, by its name.
	files map[string]func() (*File, error)
}

// NewSite returns the documentation of a gateway below a base path, which is empty or has no slash
// at its end. The contract must not be changed afterwards.
func NewSite(basePath string, contract *openapi3.T) *Site {
	s := &Site{basePath: basePath, contract: contract, files: map[string]func() (*File, error){}}
	for _, p := range allPages() {
		s.add(p.Name, func() (*File, error) { return s.page(p) })
		if name := p.markdownName(); name != "" {
			s.add(name, func() (*File, error) { return s.markdownFile(p) })
		}
	}
	for name, mediaType := range assetTypes {
		s.add(name, func() (*File, error) {
			body, err := assets.ReadFile("assets/" + name)
			return &File{ContentType: mediaType, Body: body}, err
		})
	}
	s.add(js.Name, func() (*File, error) {
		return &File{ContentType: typeScript, Body: js.Client}, nil
	})
	s.add(overviewName, s.overview)
	return s
}

// add adds a file that is made when it is first asked for.
func (s *Site) add(name string, make func() (*File, error)) {
	s.files[name] = sync.OnceValues(func() (*File, error) { return compressed(make()) })
}

// File returns the file with a name: that of a page, which is empty for the first, of its Markdown,
// such as tour.md, or of what pages load. It returns nil if there is none. It fails if a file
// cannot be made of what is embedded, which the tests of this package rule out.
func (s *Site) File(name string) (*File, error) {
	make, found := s.files[name]
	if !found {
		return nil, nil
	}
	file, err := make()
	if err != nil {
		return nil, fmt.Errorf("documentation: %q: %w", name, err)
	}
	return file, nil
}

// compressed returns a file with its compressed content. The page of the reference has more than
// 400 KB, and a tenth of it so.
func compressed(file *File, err error) (*File, error) {
	if err != nil {
		return nil, err
	}
	return file, file.Compress()
}

// Compress sets Compressed, for a file that was made elsewhere.
func (f *File) Compress() error {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(f.Body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	f.Compressed = out.Bytes()
	return nil
}

// Overview returns /llms.txt, which lists the pages for programs that read them.
func (s *Site) Overview() (*File, error) { return s.File(overviewName) }
