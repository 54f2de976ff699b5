package handlers

import (
	"github.com/prometheus/client_golang/prometheus"

	"kvgateway/internal/auth"
)

// underwayMetrics exports how many callers have something under way, at the time of the scrape.
type underwayMetrics struct{ gate *auth.Gate }

// The metrics of what ends with the rights of its caller.
var (
	descCallers = prometheus.NewDesc("kvgw_callers",
		"Callers with something under way that can take long, such as a stream.", nil, nil)
	descUnderway = prometheus.NewDesc("kvgw_underway",
		"Streams, and other requests that can take long, which end with the rights of their "+
			"callers. A request with a body counts once more until its body has come.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (m underwayMetrics) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(m, ch)
}

// Collect implements [prometheus.Collector].
func (m underwayMetrics) Collect(ch chan<- prometheus.Metric) {
	callers, underway := m.gate.Tied()
	ch <- prometheus.MustNewConstMetric(descCallers, prometheus.GaugeValue, float64(callers))
	ch <- prometheus.MustNewConstMetric(descUnderway, prometheus.GaugeValue, float64(underway))
}
