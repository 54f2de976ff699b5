// Package handlers is the gateway's HTTP surface: routes, endpoints, preconditions, problems and
// middleware.
//
// An endpoint parses its request into the domain's types, calls internal/kvclient, and writes the
// answer or returns an error. Errors become problem documents in one place ([Server.fail], by the
// table in problems.go); no endpoint knows a status code for a failure.
package handlers
