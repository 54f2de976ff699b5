package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
)

// FreeAddr takes a port of the loopback interface below those that the system gives to outgoing
// connections, so that it is still free when a process that was killed is started again. The
// environment variable CHECK_PORTS, such as 24000-24099, gives another range of ports.
func FreeAddr() string {
	from, to := 20000, 29999
	_, _ = fmt.Sscanf(os.Getenv("CHECK_PORTS"), "%d-%d", &from, &to)
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", from+rand.IntN(to-from+1)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
}
