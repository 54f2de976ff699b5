// Package clients proves that the clients which three generators of Go make of the contract compile
// and work: oapi-codegen, ogen and openapi-generator. It is a module of its own, so that the
// generators' dependencies are not the gateway's. The generated packages, gen in each room, are not
// kept in the repository; test/clients/run makes them.
package clients
