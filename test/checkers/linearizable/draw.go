package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// draw writes a page that shows the longest orders which explain a part of a history, and a list of
// its operations.
func draw(dir, key string, model porcupine.Model, calls []porcupine.Operation,
	info porcupine.LinearizationInfo) error {
	name := filepath.Join(dir, strings.ReplaceAll(key, "/", "_"))
	if err := porcupine.VisualizePath(model, info, name+".html"); err != nil {
		return fmt.Errorf("draw %s: %w", key, err)
	}
	ordered := slices.Clone(calls)
	slices.SortStableFunc(ordered, func(a, b porcupine.Operation) int {
		return cmp.Compare(a.Call, b.Call)
	})
	var list strings.Builder
	for _, c := range ordered {
		list.WriteString(line(model, c))
	}
	list.WriteString(deadEnd(model, calls, longest(info)))
	return os.WriteFile(name+".txt", []byte(list.String()), 0o644)
}

func line(model porcupine.Model, c porcupine.Operation) string {
	end := "never"
	if c.Return != forever {
		end = fmt.Sprintf("%.6f", time.Duration(c.Return).Seconds())
	}
	return fmt.Sprintf("%10.6f %10s client %3d  %s\n", time.Duration(c.Call).Seconds(), end,
		c.ClientId, model.DescribeOperation(c.Input, c.Output))
}

// longest returns the order that explains most operations of one key's history, or all of them.
func longest(info porcupine.LinearizationInfo) (order []porcupine.Operation) {
	for _, orders := range info.PartialLinearizationsOperations() {
		for _, o := range orders {
			if len(o) > len(order) {
				order = o
			}
		}
	}
	return order
}

// deadEnd describes the state after the longest order, and the operations of which one must come
// next and none can.
func deadEnd(model porcupine.Model, calls, order []porcupine.Operation) string {
	s := model.Init()
	placed := map[string]int{}
	for _, c := range order {
		_, s = model.Step(s, c.Input, c.Output)
		placed[line(model, c)]++
	}
	var left []porcupine.Operation
	soonest := int64(forever)
	for _, c := range calls {
		if text := line(model, c); placed[text] > 0 {
			placed[text]--
			continue
		}
		left = append(left, c)
		soonest = min(soonest, c.Return)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe longest order explains %d of %d operations, and ends in: %s\n"+
		"None of these can come next:\n", len(order), len(calls), model.DescribeState(s))
	for _, c := range left {
		if c.Call <= soonest {
			b.WriteString(line(model, c))
		}
	}
	return b.String()
}
