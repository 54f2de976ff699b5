package load

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A Stamp begins the value of every event. It is written in hexadecimal between two signs that
// occur nowhere else in a stream.
type Stamp struct {
	Number int64
	Sent   time.Duration // since the generator was started
}

const (
	stampSign   = '@'
	stampLength = 34 // bytes: two signs and two numbers of 16 digits
)

// started is the zero of all stamps.
var started = time.Now()

func appendStamp(dst []byte, s Stamp) []byte {
	return fmt.Appendf(dst, "%c%016x%016x%c", stampSign, s.Number, s.Sent.Nanoseconds(), stampSign)
}

func parseStamp(text []byte) (s Stamp, err error) {
	number, err1 := strconv.ParseInt(string(text[1:17]), 16, 64)
	sent, err2 := strconv.ParseInt(string(text[17:33]), 16, 64)
	if err := errors.Join(err1, err2); err != nil || text[33] != stampSign {
		return s, fmt.Errorf("not a stamp: %q", text)
	}
	return Stamp{number, time.Duration(sent)}, nil
}

// StampedValue returns a value of that many bytes that begins with a stamp.
func StampedValue(s Stamp, size int) []byte {
	value := appendStamp(make([]byte, 0, size), s)
	return append(value, Payload(size)[len(value):]...)
}
