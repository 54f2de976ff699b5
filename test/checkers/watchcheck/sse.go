package main

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
)

// Block is one completely received block of an event stream: one that ended with its empty line.
type Block struct {
	Event, ID, Data string
	HasID           bool
}

// Parser reads an event stream by the letter of the WHATWG specification. It is our own, so that no
// leniency of a client hides a frame that browsers would read otherwise.
type Parser struct{ r *bufio.Reader }

// NewParser returns a parser of r.
func NewParser(r io.Reader) *Parser { return &Parser{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next block. A block that was cut before its empty line is an error, never a
// block: a browser neither dispatches it nor takes its id.
func (p *Parser) Next() (Block, error) {
	var b Block
	var data []string
	for {
		line, err := p.line()
		if err != nil {
			return Block{}, err
		}
		if line == "" {
			b.Data = strings.Join(data, "\n")
			return b, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			b.Event = value
		case "data":
			data = append(data, value)
		case "id":
			if !strings.ContainsRune(value, 0) { // The specification ignores an id with NUL.
				b.ID, b.HasID = value, true
			}
		}
	}
}

// NextLine returns the next line of NDJSON as a block.
func (p *Parser) NextLine() (Block, error) {
	line, err := p.line()
	if err != nil {
		return Block{}, err
	}
	var d struct{ Event, ID string }
	// What is no object has no event's name, which no promise allows.
	_ = json.Unmarshal([]byte(line), &d)
	return Block{Event: d.Event, ID: d.ID, HasID: d.ID != "", Data: line}, nil
}

// line reads a line, which ends with LF, CR or CRLF.
func (p *Parser) line() (string, error) {
	var out []byte
	for {
		c, err := p.r.ReadByte()
		if err != nil {
			return "", err
		}
		switch c {
		case '\n':
			return string(out), nil
		case '\r':
			if next, err := p.r.Peek(1); err == nil && next[0] == '\n' {
				_, _ = p.r.ReadByte()
			}
			return string(out), nil
		}
		out = append(out, c)
	}
}
