// Linearizable runs clients of two gateways and of NATS between faults, and checks that one order
// explains all that they were answered; see README.md.
package main

import "kvgateway/test/checkers/harness"

func main() {
	harness.ServeNATSIfChild(true)
	r := &run{}
	r.Define("linearizable", "logs, and histories that no order explains,")
	harness.Main("linearizable", r.all, r.stop)
}
