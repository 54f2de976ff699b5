package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// given holds the addresses that were given out a moment ago and may have no listener yet.
var given sync.Map

// FreeAddr returns an address of the loopback interface on which nothing listens. Its port is below
// those that the system gives to outgoing connections, so that it is still free when a process that
// was killed is started again. The environment variable CHECK_PORTS gives another range of ports,
// such as 24000-24099.
func FreeAddr() string {
	from, to := 20000, 29999
	_, _ = fmt.Sscanf(os.Getenv("CHECK_PORTS"), "%d-%d", &from, &to)
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", from+rand.IntN(to-from+1))
		if _, again := given.LoadOrStore(addr, true); again {
			continue
		}
		time.AfterFunc(10*time.Second, func() { given.Delete(addr) })
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
}
