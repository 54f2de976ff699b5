package handlers

import (
	"github.com/prometheus/client_golang/prometheus"

	"kvgateway/internal/bound"
)

// boundMetrics exports the state of the gateway's bounds at the time of the scrape.
type boundMetrics struct{ set *bound.Set }

// The metrics of each bound.
var (
	descBoundLimit = prometheus.NewDesc("kvgw_bound_limit",
		"How much may be held of what the bound limits, in its unit.",
		[]string{"bound", "unit"}, nil)
	descBoundUsed = prometheus.NewDesc("kvgw_bound_used",
		"How much is held now, in the bound's unit.", []string{"bound"}, nil)
	descBoundWaiting = prometheus.NewDesc("kvgw_bound_waiting",
		"Requests that wait for room now.", []string{"bound"}, nil)
	descBoundRefused = prometheus.NewDesc("kvgw_bound_refused_total",
		"Requests that were refused because the bound was reached.", []string{"bound"}, nil)
	descBoundEvicted = prometheus.NewDesc("kvgw_bound_evicted_total",
		"Requests that were ended because they made no progress while others waited for room.",
		[]string{"bound"}, nil)
)

// Describe implements [prometheus.Collector].
func (m boundMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		descBoundLimit, descBoundUsed, descBoundWaiting, descBoundRefused, descBoundEvicted,
	} {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (m boundMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	counter := func(desc *prometheus.Desc, value uint64, labels ...string) {
		kind := prometheus.CounterValue
		ch <- prometheus.MustNewConstMetric(desc, kind, float64(value), labels...)
	}
	for _, r := range m.set.Read() {
		gauge(descBoundLimit, float64(r.Limit), r.Name, string(r.Unit))
		counter(descBoundRefused, r.Refused, r.Name)
		if r.Unit != bound.Bytes && r.Unit != bound.Places {
			continue
		}
		gauge(descBoundUsed, float64(r.Used), r.Name)
		gauge(descBoundWaiting, float64(r.Waiting), r.Name)
		counter(descBoundEvicted, r.Evicted, r.Name)
	}
}
