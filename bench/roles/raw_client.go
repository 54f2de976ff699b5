package roles

import (
	"encoding/json"
	"errors"
	"net"
	"time"

	"kvgateway/bench/load"
)

// A rawClient is the parent's end of the connection to a raw role.
type rawClient struct {
	conn    net.Conn
	calls   *json.Encoder
	answers *json.Decoder
}

func dialRaw(address string) (*rawClient, error) {
	conn, err := net.Dial("tcp4", address)
	if err != nil {
		return nil, err
	}
	return &rawClient{conn, json.NewEncoder(conn), json.NewDecoder(conn)}, nil
}

func (c *rawClient) hangUp() { c.conn.Close() }

// do makes one call and waits for its answer, long enough for thousands of writes.
func (c *rawClient) do(call rawCall) (load.Outcome, error) {
	if err := c.conn.SetDeadline(time.Now().Add(call.Time + 4*load.AnswerTimeout)); err != nil {
		return load.Outcome{}, err
	}
	if err := c.calls.Encode(call); err != nil {
		return load.Outcome{}, err
	}
	var answer rawAnswer
	if err := c.answers.Decode(&answer); err != nil {
		return load.Outcome{}, err
	}
	if answer.Error != "" {
		return load.Outcome{}, errors.New(answer.Error)
	}
	return answer.Outcome, nil
}

// open makes the role's workers for a cell.
func (c *rawClient) open(cell load.Cell) (load.Driver, error) {
	_, err := c.do(rawCall{Call: callOpen, Cell: cell})
	return rawDriver{c, cell}, err
}

// A rawDriver lets the process of the raw role do the rounds.
type rawDriver struct {
	client *rawClient
	cell   load.Cell
}

// Run asks for a round.
func (d rawDriver) Run(t time.Duration) (load.Outcome, error) {
	return d.client.do(rawCall{Call: callRun, Cell: d.cell, Time: t})
}

// Close does nothing: the role keeps its workers.
func (d rawDriver) Close() {}
