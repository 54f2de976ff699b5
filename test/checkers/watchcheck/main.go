// Watchcheck runs the gateway between faults and checks what its watchers were told; see README.md.
package main

import "kvgateway/test/checkers/harness"

func main() {
	harness.ServeNATSIfChild(false)
	r := &run{}
	r.Define("watchcheck", "the gateway's log, and traces of violations,")
	harness.Main("watchcheck", r.all, r.stop)
}
