package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The operations: read a value, store one unconditionally, store one if the revision that this worker wrote last is
// still the key's last (PUT with If-Match).
const (
	opGet = "get"
	opPut = "put"
	opCAS = "cas"

	// A put with an idempotency key that is new each time, and one with a time to live, in a bucket that takes it. Beside a
	// plain put of as many connections and bytes they take turns with it.
	opPutKey = "put-key"
	opPutTTL = "put-ttl"
)

// plainOf is what an operation is compared with, "" for nothing.
func plainOf(operation string) string {
	if operation == opPutKey || operation == opPutTTL {
		return opPut
	}
	return ""
}

// The full matrix; -cell's * stands for each of these.
var (
	operations  = []string{opGet, opPut, opCAS}
	connections = []int{1, 32, 256}
	valueSizes  = []int{128, 4096}
)

var allOperations = append(slices.Clone(operations), opPutKey, opPutTTL)

// maxConnections and maxValueBytes bound what -cell may ask for: the keys of all workers are written at the start, and
// a value has to fit a NATS message with room for its headers.
const (
	maxConnections = 1024
	maxValueBytes  = 512 << 10
)

// cell is one combination that all systems are measured at.
type cell struct {
	Operation   string `json:"operation"`
	Connections int    `json:"connections"` // goroutines, for the raw systems
	ValueBytes  int    `json:"value_bytes"`
}

func (c cell) String() string {
	return fmt.Sprintf("%s/%d/%d", c.Operation, c.Connections, c.ValueBytes)
}

func fullMatrix() []cell {
	return append(product(operations, connections, valueSizes), extraCells()...)
}

// extraCells are what a put costs with more than a value.
func extraCells() []cell { return product([]string{opPutKey, opPutTTL}, []int{32}, []int{128}) }

// groups puts cells together that are to take turns: a cell, and those that are compared with it.
func groups(cells []cell) (groups [][]cell) {
	plain := func(c cell) cell { return cell{plainOf(c.Operation), c.Connections, c.ValueBytes} }
	for _, c := range cells {
		if slices.Contains(cells, plain(c)) {
			continue // in the group of that cell
		}
		group := []cell{c}
		for _, other := range cells {
			if plain(other) == c {
				group = append(group, other)
			}
		}
		groups = append(groups, group)
	}
	return groups
}

// quickMatrix is small enough for a minute and a half, and has every figure that the aims are about.
func quickMatrix() []cell {
	return slices.Concat(product([]string{opGet}, []int{1}, []int{128}), product(operations, []int{32}, []int{128}), extraCells())
}

func product(ops []string, conns, sizes []int) (cells []cell) {
	for _, op := range ops {
		for _, size := range sizes {
			for _, n := range conns {
				cells = append(cells, cell{op, n, size})
			}
		}
	}
	return cells
}

// parseCells reads a comma-separated list such as "get/32/128,put/*/4096".
func parseCells(list string) (cells []cell, err error) {
	for _, text := range strings.Split(list, ",") {
		parts := strings.Split(text, "/")
		if len(parts) != 3 {
			return nil, fmt.Errorf("-cell: %q is not operation/connections/bytes", text)
		}
		ops := operations
		if parts[0] != "*" {
			ops = []string{parts[0]}
		}
		conns, err := parseNumber(parts[1], connections, maxConnections)
		if err != nil {
			return nil, fmt.Errorf("-cell: connections of %q: %w", text, err)
		}
		sizes, err := parseNumber(parts[2], valueSizes, maxValueBytes)
		if err != nil {
			return nil, fmt.Errorf("-cell: bytes of %q: %w", text, err)
		}
		if !slices.Contains(allOperations, ops[0]) {
			return nil, fmt.Errorf("-cell: operation of %q: none of %s", text, strings.Join(allOperations, ", "))
		}
		cells = append(cells, product(ops, conns, sizes)...)
	}
	return cells, nil
}

// parseNumber reads a number from 1 to limit, or * for all of them.
func parseNumber(text string, all []int, limit int) ([]int, error) {
	if text == "*" {
		return all, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > limit {
		return nil, fmt.Errorf("not a number from 1 to %d", limit)
	}
	return []int{n}, nil
}

// keysPerWorker spreads a worker's operations over some keys, so that neither caches nor the store see a single one.
const keysPerWorker = 8

// ttlSuffix ends the name of a bucket whose entries can have a time to live, by its limit_marker_ttl.
const ttlSuffix = "ttl"

// bucket names the bucket that holds the values of a cell.
func (c cell) bucket() string {
	name := "bench" + strconv.Itoa(c.ValueBytes)
	if c.Operation == opPutTTL {
		name += ttlSuffix
	}
	return name
}

// keyFor names key i of a worker; keys are shaped like those of applications, two tokens.
func keyFor(worker, i int) string { return fmt.Sprintf("worker%04d.key%d", worker, i) }

// payload is a value of the given size, the same in every system: printable and not compressible to nothing.
func payload(size int) []byte {
	value := make([]byte, size)
	x := uint32(1)
	for i := range value {
		x = x*1664525 + 1013904223
		value[i] = 'a' + byte(x>>24)%26
	}
	return value
}
