package main

import (
	"encoding/json"
	"errors"
	"net"
	"time"
)

// rawClient is the parent's end of the raw role.
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

// do asks for one thing and waits for it, with patience for thousands of writes.
func (c *rawClient) do(call rawCall) (outcome, error) {
	if err := c.conn.SetDeadline(time.Now().Add(call.Time + 4*answerTimeout)); err != nil {
		return outcome{}, err
	}
	if err := c.calls.Encode(call); err != nil {
		return outcome{}, err
	}
	var answer rawAnswer
	if err := c.answers.Decode(&answer); err != nil {
		return outcome{}, err
	}
	if answer.Error != "" {
		return outcome{}, errors.New(answer.Error)
	}
	return answer.Outcome, nil
}

// open readies the role's workers for a cell.
func (c *rawClient) open(forCell cell) (driver, error) {
	_, err := c.do(rawCall{Call: callOpen, Cell: forCell})
	return rawDriver{c, forCell}, err
}

// rawDriver has the raw role's process do the rounds.
type rawDriver struct {
	client *rawClient
	cell   cell
}

func (d rawDriver) run(t time.Duration) (outcome, error) {
	return d.client.do(rawCall{Call: callRun, Cell: d.cell, Time: t})
}

func (d rawDriver) close() {}
