// Package client proves that a client generated from the contract compiles and works. It is a
// module of its own, so that the generator's dependencies are not the gateway's. The generated
// package gen is not kept in the repository:
//
//	go generate ./... && KVGW_URL=http://127.0.0.1:8080 go test ./...
package client

//go:generate go tool oapi-codegen -config oapi-codegen.yaml ../../../api/openapi.yaml
