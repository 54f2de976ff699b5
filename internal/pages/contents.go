package pages

import "strings"

// A chapter is a part of the menu.
type chapter struct {
	// Title is what the menu calls it.
	Title string
	// Pages are its pages, in their order.
	Pages []page
}

// A page is a page of the documentation.
type page struct {
	// Name is the last part of its path; "" for the first page.
	Name string
	// Title is its title in the menu.
	Title string
	// file is its Markdown in package docs; "" for the reference, which is made of the contract.
	file string
}

// contents are all pages, in the order in which they are read.
var contents = []chapter{
	{"Begin here", []page{
		{"", "What this is", "guide/index.md"},
		{"tour", "A tour", "guide/tour.md"},
		{"concepts", "Concepts", "guide/concepts.md"},
		{"watching", "Watching from a page", "guide/watching.md"},
	}},
	{"Use it", []page{
		{"compare-and-set", "Compare and set", "guide/compare-and-set.md"},
		{"keys-and-filters", "Keys and filters", "guide/keys-and-filters.md"},
		{"time-to-live", "Time to live", "guide/time-to-live.md"},
		{"transactions", "Transactions", "guide/transactions.md"},
		{"reads", "What reads promise", "guide/reads.md"},
		{"errors", "Errors", "guide/errors.md"},
	}},
	{"Coming from elsewhere", []page{
		{"rest", "For REST people", "guide/rest.md"},
		{"other-clients", "From other stores", "guide/other-clients.md"},
	}},
	{"Run it", []page{
		{"running", "Running and sizing", "guide/running.md"},
		{"proxies", "Behind a proxy", "guide/proxies.md"},
		{"deployment", "Deployment", "deployment.md"},
		{"security", "Security", "security.md"},
		{"nats-permissions", "Permissions in NATS", "nats-permissions.md"},
		{"bounds", "Bounds", "bounds.md"},
	}},
	{"Reference", []page{
		{referenceName, "The API", ""},
		{"assistants", "For assistants", "guide/assistants.md"},
	}},
}

// referenceName is the name of the page that is made of the contract.
const referenceName = "api"

// allPages returns the pages of all chapters, in their order.
func allPages() (all []page) {
	for _, c := range contents {
		all = append(all, c.Pages...)
	}
	return all
}

// pageOfFile returns the page that is made of a file of package docs.
func pageOfFile(file string) (found page, ok bool) {
	for _, p := range allPages() {
		if p.file != "" && p.file == file {
			return p, true
		}
	}
	return page{}, false
}

// Names returns the names of all pages, in the order in which they are read. That of the first page
// is empty.
func Names() (names []string) {
	for _, p := range allPages() {
		names = append(names, p.Name)
	}
	return names
}

// path returns the path of a page below a base path.
func (p page) path(basePath string) string {
	return strings.TrimSuffix(basePath+"/docs/"+p.Name, "/")
}

// markdownName returns the name under which the page is there as Markdown; "" if it is not.
func (p page) markdownName() string {
	switch {
	case p.file == "":
		return ""
	case p.Name == "":
		return "index.md"
	}
	return p.Name + ".md"
}
