// Package console has the web console that the gateway shows at /console/.
//
// A [Console] has its files: one page, its style sheet, its modules, and the client for JavaScript,
// through which the console makes all its requests. It knows neither HTTP nor who asks: the files
// hold no data, so anyone may read them, and what the console shows is what the API answers to the
// token that its user gives it.
//
// # How it is built
//
// src has the sources and dist what `make console-build` makes of them. dist is committed, so that
// the gateway needs only Go. esbuild, the bundler of the client, compiles the JSX of Preact, so
// that no other library for templates is loaded, and a mistake in one is found when it is built.
// The editor, CodeMirror, is a module of its own, which loads when a value is opened. The client is
// not part of the bundle: the page imports clients/js as it is embedded there, and so a change of
// the client does not make dist stale.
//
// # What the page may do
//
// Its Content-Security-Policy allows files and requests of the gateway alone, and images that the
// page makes of bytes it has read (blob:). Nothing is inline. CodeMirror makes its styles by
// script, which the policy forbids in a document, but not in a shadow tree, where they are style
// sheets that are constructed; so that is where the editor is.
//
// A token stays in the memory of the page. The mode read hides what changes something; it is no
// protection, since the API is the same for everybody: what a caller may do is up to its rules.
package console
