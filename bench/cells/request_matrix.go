package cells

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kvgateway/bench/load"
)

// The matrix of single requests. The * of -cell stands for each of these.
var (
	operations  = []string{load.OpGet, load.OpPut, load.OpCAS}
	connections = []int{1, 32, 256}
	valueSizes  = []int{128, 4096}
)

// These bound what -cell can ask for: the keys of all workers are written at the start, and a value
// has to fit a NATS message with room for its headers.
const (
	maxConnections = 1024
	maxValueBytes  = 512 << 10
)

// plainOf returns the operation that one is compared with, "" for none.
func plainOf(operation string) string {
	if operation == load.OpPutKey || operation == load.OpPutTTL {
		return load.OpPut
	}
	return ""
}

// plainCell returns the cell that one is compared with. It has no operation if there is none.
func plainCell(c load.Cell) load.Cell {
	if c.Caller != "" {
		c.Caller, c.Authorization = "", ""
		return c
	}
	c.Operation = plainOf(c.Operation)
	return c
}

// fullMatrix returns all cells.
func fullMatrix() []load.Cell {
	return append(product(operations, connections, valueSizes), extraCells()...)
}

// quickMatrix returns the cells of a minute and a half, which have every figure with an aim.
func quickMatrix() []load.Cell {
	return slices.Concat(product([]string{load.OpGet}, []int{1}, []int{128}),
		product(operations, []int{32}, []int{128}), extraCells())
}

// extraCells returns the puts that have more than a value.
func extraCells() []load.Cell {
	return product([]string{load.OpPutKey, load.OpPutTTL}, []int{32}, []int{128})
}

// groups puts together the cells that are to take turns: a cell, and those that are compared with
// it.
func groups(cells []load.Cell) (groups [][]load.Cell) {
	for _, c := range cells {
		if slices.Contains(cells, plainCell(c)) {
			continue // It is in the group of that cell.
		}
		group := []load.Cell{c}
		for _, other := range cells {
			if plainCell(other) == c {
				group = append(group, other)
			}
		}
		groups = append(groups, group)
	}
	return groups
}

func product(ops []string, conns, sizes []int) (cells []load.Cell) {
	for _, op := range ops {
		for _, size := range sizes {
			for _, n := range conns {
				cells = append(cells, load.Cell{Operation: op, Connections: n, ValueBytes: size})
			}
		}
	}
	return cells
}

// parseCells reads a comma-separated list such as "get/32/128,put/*/4096".
func parseCells(list string) (cells []load.Cell, err error) {
	for text := range strings.SplitSeq(list, ",") {
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
		if !slices.Contains(load.AllOperations, ops[0]) {
			return nil, fmt.Errorf("-cell: operation of %q: none of %s",
				text, strings.Join(load.AllOperations, ", "))
		}
		cells = append(cells, product(ops, conns, sizes)...)
	}
	return cells, nil
}

// parseNumber reads a number from 1 to limit, or * for all of these.
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
