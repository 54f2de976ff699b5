package main

import (
	"fmt"
	"strconv"
	"strings"
)

// leastMemoryForAnswers leaves room for a page of large values beside the room that is kept for
// small answers.
const leastMemoryForAnswers = 32 << 20

// A byteSize is a number of bytes, written as 128MiB, 512KiB, 1GiB or in bytes.
type byteSize int64

// byteUnits has the units of a byteSize. Bytes come last, since they have no suffix.
var byteUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}}

// UnmarshalText parses the text of a setting.
func (b *byteSize) UnmarshalText(text []byte) error {
	for _, unit := range byteUnits {
		number, found := strings.CutSuffix(string(text), unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 32)
		if unit.bytes == 1 {
			n, err = strconv.ParseInt(number, 10, 64)
		}
		if err != nil || n < 0 {
			break
		}
		*b = byteSize(n * unit.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 128MiB", text)
}
