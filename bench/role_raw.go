package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How the raw role's client reaches its server.
const (
	transportInProcess = "inproc"
	transportTCP       = "tcp"
)

// rawRole runs a nats-server and nats.go in this process and does what the parent asks for.
func rawRole(o roleOptions) error {
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
	service := &rawService{conn: conn, steps: make(map[cell][]step)}
	go service.serve(listener)
	untilStopped()
	return nil
}

// rawCall is what the parent asks for, a JSON value on one TCP connection; each gets a rawAnswer.
type rawCall struct {
	Call string // callPrepare, callOpen or callRun
	Cell cell
	Time time.Duration // of callRun
}

type rawAnswer struct {
	Outcome outcome // of callRun
	Error   string  // "" for none
}

const (
	callPrepare = "prepare"
	callOpen    = "open"
	callRun     = "run"
)

// rawService answers the parent, which asks for one thing at a time.
type rawService struct {
	conn  *nats.Conn
	steps map[cell][]step // of the cells that were opened
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

func (s *rawService) do(call rawCall) (outcome, error) {
	switch call.Call {
	case callPrepare:
		return outcome{}, s.prepare(call.Cell)
	case callOpen:
		return outcome{}, s.open(call.Cell)
	case callRun:
		return closedLoop(s.steps[call.Cell], call.Time)
	}
	return outcome{}, fmt.Errorf("no call %q", call.Call)
}

// makeBucket makes a bucket with the defaults, as a native client would, but for the limit_marker_ttl that its name asks for.
func makeBucket(conn *nats.Conn, name string) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	config := jetstream.KeyValueConfig{Bucket: name}
	if strings.HasSuffix(name, ttlSuffix) {
		config.LimitMarkerTTL = time.Hour
	}
	_, err = js.CreateKeyValue(context.Background(), config)
	return err
}

// prepare makes the bucket of a cell and writes the keys of its workers.
func (s *rawService) prepare(c cell) error {
	if err := makeBucket(s.conn, c.bucket()); err != nil {
		return err
	}
	for i := range c.Connections {
		w := newRawWorker(s.conn, i, c)
		for range keysPerWorker {
			if err := w.put(); err != nil {
				return err
			}
		}
	}
	return nil
}

// open makes the workers of a cell.
func (s *rawService) open(c cell) error {
	var steps []step
	for i := range c.Connections {
		w := newRawWorker(s.conn, i, c)
		switch c.Operation {
		case opGet:
			steps = append(steps, w.get)
		case opPut, opPutTTL:
			steps = append(steps, w.put)
		case opPutKey:
			steps = append(steps, w.putKey)
		case opCAS:
			if err := w.learnRevisions(); err != nil {
				return err
			}
			steps = append(steps, w.compareAndSet)
		}
	}
	s.steps[c] = steps
	return nil
}
