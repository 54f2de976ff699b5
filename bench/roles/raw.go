package roles

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/bench/load"
)

// How the raw role's client reaches its server.
const (
	transportInProcess = "inproc"
	transportTCP       = "tcp"
)

// rawRole runs a nats-server and nats.go in this process and does what the parent asks for.
func rawRole(o options) error {
	natsServer, err := startNATS(o.dataDir, o.transport == transportTCP)
	if err != nil {
		return err
	}
	defer natsServer.WaitForShutdown()
	defer natsServer.Shutdown()
	connect := nats.InProcessServer(natsServer)
	if o.transport == transportTCP {
		connect = nil
	}
	conn, err := nats.Connect(natsServer.ClientURL(), connect)
	if err != nil {
		return err
	}
	defer conn.Close()
	listener, err := listenLocally()
	if err != nil {
		return err
	}
	announce(listener.Addr().String())
	service := &rawService{conn: conn, steps: make(map[load.Cell][]load.Step)}
	go service.serve(listener)
	untilStopped()
	return nil
}

// A rawCall is what the parent asks for. It is a JSON value on one TCP connection, and is answered
// by a rawAnswer.
type rawCall struct {
	Call string        // callPrepare, callOpen or callRun
	Cell load.Cell     // what to prepare, open or run
	Time time.Duration // the length of a round, for callRun
}

// A rawAnswer is the answer to a rawCall.
type rawAnswer struct {
	Outcome load.Outcome // of callRun
	Error   string       // "" if there is none
}

// The calls.
const (
	callPrepare = "prepare" // makes a cell's bucket and writes its keys
	callOpen    = "open"    // makes the workers of a cell
	callRun     = "run"     // lets them do a round
)

// A rawService answers the parent, which asks for one thing at a time.
type rawService struct {
	conn  *nats.Conn
	steps map[load.Cell][]load.Step // of the cells that were opened
}

func (s *rawService) serve(listener net.Listener) {
	parent, err := listener.Accept()
	if err != nil {
		return
	}
	defer parent.Close()
	calls, answers := json.NewDecoder(parent), json.NewEncoder(parent)
	for {
		var call rawCall
		if calls.Decode(&call) != nil {
			return
		}
		answer := rawAnswer{}
		var err error
		if answer.Outcome, err = s.do(call); err != nil {
			answer.Error = err.Error()
		}
		if answers.Encode(answer) != nil {
			return
		}
	}
}

func (s *rawService) do(call rawCall) (out load.Outcome, err error) {
	switch call.Call {
	case callPrepare:
		if err := makeBucket(s.conn, call.Cell.Bucket()); err != nil {
			return out, err
		}
		return out, load.WriteKeys(s.conn, call.Cell)
	case callOpen:
		s.steps[call.Cell], err = load.RawSteps(s.conn, call.Cell)
		return out, err
	case callRun:
		return load.ClosedLoop(s.steps[call.Cell], call.Time)
	}
	return out, fmt.Errorf("no call %q", call.Call)
}

// makeBucket makes a bucket with the defaults of a native client, except for the limit_marker_ttl
// that its name asks for.
func makeBucket(conn *nats.Conn, name string) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	config := jetstream.KeyValueConfig{Bucket: name}
	if strings.HasSuffix(name, load.TTLSuffix) {
		config.LimitMarkerTTL = time.Hour
	}
	_, err = js.CreateKeyValue(context.Background(), config)
	return err
}
