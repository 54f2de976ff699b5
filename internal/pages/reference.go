package pages

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/api"
	"kvgateway/internal/handlers/problem"
)

// referenceSource is the template of the content of the reference.
//
//go:embed reference.gohtml
var referenceSource string

// referenceTemplate is the template of the content of the reference.
var referenceTemplate = template.Must(template.New("reference").Parse(referenceSource))

// referenceSummary is what the reference says of itself at its top.
const referenceSummary = "Every operation of the gateway, with its parameters, answers and " +
	"problems, and a form that sends it to this gateway. It is made from the contract, which is " +
	"what requests are checked against."

// A reference is what the template of the reference is given.
type reference struct {
	// Base is the path below which everything is mounted, and Summary what the page is.
	Base, Summary string
	// Groups are the operations by their tags.
	Groups []group
	// Schemas and Headers are those that the operations refer to.
	Schemas []namedSchema
	Headers []namedText
}

// A group is a tag of the contract with its operations.
type group struct {
	// ID is the place on the page.
	ID, Name    string
	Description template.HTML
	Operations  []operation
}

// A namedText is a description with its name.
type namedText struct {
	Name string
	Text template.HTML
}

// An operation is an operation of the contract.
type operation struct {
	// ID is its operationId, and its place on the page.
	ID, Method, Path, Summary string
	// Target is the path below the base path.
	Target      string
	Description template.HTML
	// Needs are the actions that its caller must be allowed to take.
	Needs []string
	// Changes reports whether it may change what is stored.
	Changes    bool
	Parameters []parameter
	// Body is the body of its request; nil if there is none.
	Body *body
	// Accepts are the media types that its answer can have, if there are several.
	Accepts   []string
	Responses []response
	Problems  []problem.Kind
	// Curl is the command that sends its example.
	Curl string
}

// methodsInOrder are the methods of an operation in the order in which they are shown.
var methodsInOrder = []string{"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"}

// reference returns the content of the page that is made of the contract.
func (s *Site) reference() (*article, error) {
	b := &builder{contract: s.contract, basePath: s.basePath}
	r := reference{Base: s.basePath, Summary: referenceSummary}
	a := &article{Title: "The API", Summary: referenceSummary}
	for _, tag := range s.contract.Tags {
		g := group{ID: "tag-" + anchor(tag.Name), Name: tag.Name,
			Description: b.markdown(tag.Description), Operations: b.operations(tag.Name)}
		r.Groups = append(r.Groups, g)
		a.Sections = append(a.Sections, section{g.ID, g.Name})
	}
	r.Schemas, r.Headers = b.schemas(), b.headers()
	a.Sections = append(a.Sections, section{"schemas", "Schemas"}, section{"headers", "Headers"})
	if b.err != nil {
		return nil, b.err
	}
	var body bytes.Buffer
	if err := referenceTemplate.Execute(&body, r); err != nil {
		return nil, err
	}
	a.Body = template.HTML(body.String()) // #nosec G203 -- the template has escaped it.
	return a, nil
}

// anchor returns a name as a part of an id.
func anchor(name string) string { return strings.ReplaceAll(strings.ToLower(name), " ", "-") }

// A builder turns the contract into what the template is given.
type builder struct {
	contract *openapi3.T
	basePath string
	// err is the first error; nil if there was none.
	err error
}

// markdown returns a description as HTML.
func (b *builder) markdown(source string) template.HTML {
	var out bytes.Buffer
	if err := converter.Convert([]byte(source), &out); err != nil && b.err == nil {
		b.err = fmt.Errorf("render a description: %w", err)
	}
	return template.HTML(out.String()) // #nosec G203 -- goldmark has escaped it.
}

// operations returns the operations with a tag, in the order in which the contract lists their
// paths.
func (b *builder) operations(tag string) (found []operation) {
	for _, path := range pathsInOrder(b.contract) {
		item := b.contract.Paths.Value(path)
		for _, method := range methodsInOrder {
			o := item.GetOperation(method)
			if o != nil && slices.Contains(o.Tags, tag) {
				found = append(found, b.operation(path, method, item, o))
			}
		}
	}
	return found
}

// pathsInOrder returns the paths in the order of the file, which the parsed contract has lost.
func pathsInOrder(contract *openapi3.T) []string {
	source := api.YAML("")
	at := make(map[string]int)
	for path := range contract.Paths.Map() {
		at[path] = bytes.Index(source, []byte("\n  "+path+":\n"))
	}
	paths := contract.Paths.Keys()
	slices.SortStableFunc(paths, func(a, b string) int { return at[a] - at[b] })
	return paths
}

// operation returns an operation.
func (b *builder) operation(
	path, method string, item *openapi3.PathItem, o *openapi3.Operation,
) operation {
	out := operation{
		ID: o.OperationID, Method: method, Path: path, Summary: o.Summary,
		Target:      b.basePath + path,
		Description: b.markdown(o.Description),
		Needs:       api.Needs(o),
		Changes:     method != "GET" && method != "HEAD",
	}
	if strings.HasPrefix(path, "/.well-known/") {
		out.Target = path + b.basePath // RFC 9728 §3.1
	}
	tried := api.Tried(o)
	for _, p := range slices.Concat(item.Parameters, o.Parameters) {
		shown := b.parameter(p.Value)
		if value := tried[shown.Name]; value != "" {
			shown.Example = value
		}
		out.Parameters = append(out.Parameters, shown)
	}
	if o.RequestBody != nil {
		out.Body = b.body(o.RequestBody.Value, tried["body"])
	}
	out.Responses, out.Accepts = b.responses(o)
	for _, code := range api.OperationProblemCodes(b.contract, o) {
		if kind := problem.KindOf(code); kind != nil {
			out.Problems = append(out.Problems, *kind)
		}
	}
	slices.SortStableFunc(out.Problems, func(a, b problem.Kind) int { return a.Status - b.Status })
	out.Curl = b.curl(&out)
	return out
}

// localAddress is where a gateway listens by default. Commands name it, until a script puts the
// address of the page in its place.
const localAddress = "http://127.0.0.1:8080"

// curl returns a command that sends the example of an operation.
func (b *builder) curl(o *operation) string {
	var out strings.Builder
	out.WriteString("curl")
	switch {
	case o.Method == "HEAD":
		out.WriteString(" -I")
	case o.Method != "GET":
		out.WriteString(" -X " + o.Method)
	}
	path, separator := o.Target, "?"
	var headers []string
	for _, p := range o.Parameters {
		switch {
		case p.In == "path":
			path = strings.Replace(path, "{"+p.Name+"}", p.Example, 1)
		case p.Example == "":
		case p.In == "query":
			path += separator + p.Name + "=" + p.Example
			separator = "&"
		case p.In == "header":
			headers = append(headers, p.Name+": "+p.Example)
		}
	}
	out.WriteString(" '" + localAddress + path + "'")
	if o.Body != nil {
		first := o.Body.Examples[0]
		headers = append(headers, "Content-Type: "+first.MediaType)
	}
	for _, header := range headers {
		out.WriteString(" \\\n  -H '" + header + "'")
	}
	if o.Body != nil {
		quoted := strings.ReplaceAll(o.Body.Examples[0].Text, "'", `'\''`)
		out.WriteString(" \\\n  --data-binary '" + quoted + "'")
	}
	return out.String()
}
