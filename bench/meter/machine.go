package meter

import (
	"runtime"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A Machine is where a run was made, and with which versions.
type Machine struct {
	Cores      int    `json:"cores"`
	CPU        string `json:"cpu"`    // the processor's name
	System     string `json:"system"` // the operating system and its version
	Go         string `json:"go"`
	NATSServer string `json:"nats_server"`
	NATSGo     string `json:"nats_go"`
}

// ThisMachine describes the machine that this process runs on.
func ThisMachine() Machine {
	return Machine{runtime.NumCPU(), cpuModel(), runtime.GOOS + " " + kernelRelease(),
		runtime.Version(), server.VERSION, nats.Version}
}
