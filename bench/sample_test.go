package main

import (
	"fmt"
	"slices"
	"testing"
)

func TestSpreadOf(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{5, 1, 3}, spread{3, 1, 5}},
		{[]float64{4, 1, 2, 10}, spread{3, 1, 10}},
	} {
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("%v: %v, not %v", test.values, got, test.want)
		}
	}
}

// A disturbance that doubled one round's figures leaves its ratio as it was.
func TestRatioIsTakenRoundByRound(t *testing.T) {
	r := cellResult{Cell: cell{opGet, 32, 128}, Samples: map[string][]sample{
		gatewayEmbedded: {{CPU: 50}, {CPU: 100}, {CPU: 60}},
		bare:            {{CPU: 25}, {CPU: 50}, {CPU: 25}},
		rawInProcess:    {{CPU: 15}, {CPU: 30}, {CPU: 15}},
	}}
	got, ok := r.ratio(cpuOf, gatewayEmbedded, bare, rawInProcess)
	if want := (spread{1.25, 1.25, 1.5}); !ok || got != want {
		t.Errorf("%v %v, not %v", got, ok, want)
	}
	if _, ok := r.ratio(cpuOf, gatewayExternal, bare, rawTCP); ok {
		t.Error("a ratio of systems that did not run")
	}
}

func TestUnbatchedTakesRawFromTheCellOfOneConnection(t *testing.T) {
	one := cellResult{Cell: cell{opGet, 1, 128}, Samples: map[string][]sample{rawInProcess: {{CPU: 20}}}}
	many := cellResult{Cell: cell{opGet, 32, 128}, Samples: map[string][]sample{gatewayEmbedded: {{CPU: 60}}, bare: {{CPU: 30}}, rawInProcess: {{CPU: 10}}}}
	if got, ok := many.unbatched([]cellResult{one, many}, gatewayEmbedded, rawInProcess); !ok || got != 1.2 {
		t.Errorf("%v %v", got, ok)
	}
	if _, ok := many.unbatched([]cellResult{many}, gatewayEmbedded, rawInProcess); ok {
		t.Error("a ratio without the cell of one connection")
	}
}

// Puts with more than a value take turns with the plain one.
func TestGroups(t *testing.T) {
	get, put, key, ttl, other := cell{opGet, 32, 128}, cell{opPut, 32, 128}, cell{opPutKey, 32, 128}, cell{opPutTTL, 32, 128}, cell{opPutTTL, 1, 128}
	got := fmt.Sprint(groups([]cell{key, get, put, ttl, other}))
	if want := fmt.Sprint([][]cell{{get}, {put, key, ttl}, {other}}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	plain := cellResult{Cell: put, Samples: map[string][]sample{bare: {{CPU: 10}, {CPU: 20}, {CPU: 40}}}}
	more := cellResult{Cell: key, Samples: map[string][]sample{bare: {{CPU: 11}, {CPU: 20}, {CPU: 50}}}}
	if got, ok := more.over(plain, cpuOf, bare); !ok || got != (spread{1.1, 1, 1.25}) {
		t.Errorf("%v %v", got, ok)
	}
	if _, ok := more.over(plain, cpuOf, rawTCP); ok {
		t.Error("a ratio of a system that did not run")
	}
}

func TestParseCells(t *testing.T) {
	got, err := parseCells("get/32/128,put/*/4096")
	want := []cell{{opGet, 32, 128}, {opPut, 1, 4096}, {opPut, 32, 4096}, {opPut, 256, 4096}}
	if extra, err := parseCells("put-key/32/128,put-ttl/32/128"); err != nil || !slices.Equal(extra, extraCells()) {
		t.Errorf("%v, %v", extra, err)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if all, err := parseCells("*/*/*"); err != nil || !slices.Equal(all, product(operations, connections, valueSizes)) {
		t.Errorf("%v, %v", all, err)
	}
	for _, bad := range []string{"", "get/32", "head/1/128", "get/0/128", "get/1/x", "get/100000/128", "get/1/9999999"} {
		if _, err := parseCells(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
