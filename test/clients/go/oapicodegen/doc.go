// Package oapicodegen has the tests of the client that oapi-codegen makes.
package oapicodegen

//go:generate go tool oapi-codegen -config oapi-codegen.yaml ../../../../api/openapi.yaml
