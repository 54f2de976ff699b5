// Package native shows that the native clients of NATS share buckets with HTTP. It has tests only;
// README.md says how they are run, and what they found.
package native
