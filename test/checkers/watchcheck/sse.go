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

// Parser reads an event stream by the letter of the WHATWG specification. It is our own, so that a client's leniency
// cannot hide a frame that browsers would read otherwise.
type Parser struct{ r *bufio.Reader }

func NewParser(r io.Reader) *Parser { return &Parser{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next block. A block that a cut left without its empty line is an error, never a block: a browser
// neither dispatches it nor takes its id.
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
			if !strings.ContainsRune(value, 0) { // an id with NUL is ignored, says the specification
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
	_ = json.Unmarshal([]byte(line), &d) // what is no object has no event's name either, which no promise allows
	return Block{Event: d.Event, ID: d.ID, HasID: d.ID != "", Data: line}, nil
}

// line reads up to LF, CR or CRLF. Only LF and CRLF are joined here; a lone CR inside a line is a line end of its own.
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
