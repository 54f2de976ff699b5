package main

import "testing"

func TestDescriptorsAreDivided(t *testing.T) {
	embedded := func(streams int64) storeNeed { return storeNeed{embedded: true, streams: streams} }
	for _, c := range []struct {
		limit int64
		need  storeNeed
		want  descriptorPlan
	}{
		{0, storeNeed{}, descriptorPlan{places: mostPlaces}},
		{0, embedded(9), descriptorPlan{places: mostPlaces, streams: mostPlaces}},
		{256, storeNeed{}, descriptorPlan{limit: 256, places: 184}},
		{256, embedded(0), descriptorPlan{limit: 256, streams: 46, places: 138}},
		{256, embedded(100), descriptorPlan{limit: 256, streams: 116, places: 68}},
		{256, embedded(400), descriptorPlan{limit: 256, streams: 168, places: 16}},
		{256, storeNeed{embedded: true, listens: true},
			descriptorPlan{limit: 256, streams: 46, clients: 32, places: 106}},
		{1024, embedded(0), descriptorPlan{limit: 1024, streams: 232, places: 696}},
		{524_288, embedded(0), descriptorPlan{limit: 524_288, streams: 130_800, places: 392_400}},
		{20, embedded(0), descriptorPlan{limit: 20, streams: 16, places: 16}},
	} {
		if got := planDescriptors(c.limit, c.need); got != c.want {
			t.Errorf("of %d with %+v: %+v, want %+v", c.limit, c.need, got, c.want)
		}
	}
}
