// Command streams-go follows a stream with a library of Go, and writes a line of JSON for each time
// that it is called back.
//
//	streams-go r3labs|go-sse URL
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

// largestEvent is the size of the largest event that is read, in bytes. By default both libraries
// read 64 KiB.
const largestEvent = 8 << 20

// output writes what was called back.
var output struct {
	sync.Mutex
	*json.Encoder
}

func main() {
	output.Encoder = json.NewEncoder(os.Stdout)
	follow := map[string]func(url string){"r3labs": followR3labs, "go-sse": followGoSSE}
	follow[os.Args[1]](os.Args[2])
}

// told writes what the library called back with.
func told(event, id, data string) {
	output.Lock()
	defer output.Unlock()
	line := map[string]string{"event": event, "id": id, "data": data}
	if err := output.Encode(line); err != nil {
		log.Fatal(err)
	}
}

// followR3labs subscribes again whenever Subscribe returns, which it does when a stream has ended.
// The client keeps the last id.
func followR3labs(url string) {
	client := r3labs.NewClient(url, r3labs.ClientMaxBufferSize(largestEvent))
	for {
		// Its errors are those of the network, after which it tried again for a quarter of an hour.
		_ = client.SubscribeRawWithContext(context.Background(), func(e *r3labs.Event) {
			told(string(e.Event), string(e.ID), string(e.Data))
		})
		time.Sleep(time.Second)
	}
}

// followGoSSE connects once: the library reconnects by itself.
func followGoSSE(url string) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	connection := tmaxmax.NewConnection(request)
	connection.Buffer(nil, largestEvent)
	connection.SubscribeToAll(func(e tmaxmax.Event) { told(e.Type, e.LastEventID, e.Data) })
	_ = connection.Connect() // It ends after a status other than 200.
}
