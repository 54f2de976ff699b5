// Package pages makes the documentation that the gateway shows at /docs/.
//
// A [Site] has its files: the pages of package docs, which goldmark turns into HTML; the reference
// of the API, which is made of the contract; the page of the problems, which is made of the table
// of package problem; and the style sheets and scripts of all of them. It knows neither HTTP nor
// who asks: the documentation holds no data, so anyone may read it.
//
// # Why the reference is not Swagger UI
//
// It was tried under the same policy, from the module github.com/swaggest/swgui v1.8.5, in Chromium
// on two cores of an AMD EPYC, with the contract of 42 operations:
//
//	                          Swagger UI 5.29           this reference
//	loaded                    1,900 KB (430 compressed) 440 KB (55 compressed)
//	the first operation shows after 1.16 to 1.72 s      after 0.61 to 0.90 s
//	the policy                needs img-src data:       'self' alone
//	a watch that is tried     shows nothing of it       shows events as they come
//	codes of problems         as a list of words        as links to what they mean
//	without scripts           empty                     all but the forms
//
// # What pages are
//
// A page works without scripts, but for the trying of operations. Nothing is inline and nothing is
// loaded from elsewhere, so that every page has a strict Content-Security-Policy. Raw HTML in
// Markdown is not shown; goldmark leaves it out, and addresses such as javascript: as well.
//
// Links of a page are written as they are right in the repository, and become addresses below the
// base path of the gateway. A link to a file that is no page is shown as the name of the file.
package pages
