package cells

import (
	"fmt"
	"slices"

	"kvgateway/bench/load"
	"kvgateway/bench/meter"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

// A streamSample is one measurement of one system. CPU is in microseconds.
type streamSample struct {
	deliveries float64 // a second
	p50, p99   float64 // from the PUT to the arrival of an event, in milliseconds
	slowest    float64 // the same of the last to arrive
	aloneP99   float64 // where a reader stopped, p99 without it
	cpu        float64 // of the system, for a delivery, without eventCPU
	eventCPU   float64 // of the system, for an event that nobody follows
	totalCPU   float64 // of the system, for an event with all its deliveries
	generator  float64 // of the generator, for a delivery
	memory     float64 // KB a subscriber
	rampTime   float64 // to accept a subscriber, in microseconds
	rampCPU    float64 // the same in CPU
	lost       bool    // events were lost, and there are no figures
}

// newStreamSample makes a sample of what was sent and delivered, and of what the system had used at
// its start, when the subscribers had joined, and at the end.
func newStreamSample(
	subscribers, eventCPU float64, sending *load.Sending, subs *load.Subscribers,
	used [3]roles.Usage,
) streamSample {
	atStart, joined, end := used[0], used[1], used[2]
	ramp, run := joined.CPU.Since(atStart.CPU), end.CPU.Since(joined.CPU)
	cpu := meter.Microseconds(run.Serving[0])
	sent, delivered := float64(sending.Sent), float64(subs.Delivered)
	return streamSample{
		deliveries: delivered / end.At.Sub(joined.At).Seconds(),
		p50:        meter.Microseconds(subs.Latencies.Quantile(0.50)) / 1000,
		p99:        meter.Microseconds(subs.Latencies.Quantile(0.99)) / 1000,
		slowest:    meter.Microseconds(subs.Latencies.Longest()) / 1000,
		cpu:        (cpu - eventCPU*sent) / delivered,
		eventCPU:   eventCPU,
		totalCPU:   cpu / sent,
		generator:  meter.Microseconds(run.Generator) / delivered,
		memory:     float64(end.Memory-atStart.Memory) / 1024 / subscribers,
		rampTime:   meter.Microseconds(joined.At.Sub(atStart.At)) / subscribers,
		rampCPU:    meter.Microseconds(ramp.Serving[0]) / subscribers,
	}
}

// String describes a sample in one line, for the progress.
func (s streamSample) String() string {
	if s.lost {
		return "lost events"
	}
	return fmt.Sprintf("%.1f µs CPU a delivery, p99 %.1f ms, "+
		"%.1f KB and %.0f µs CPU a subscriber, generator %.1f µs",
		s.cpu, s.p99, s.memory, s.rampCPU, s.generator)
}

// streamFigures are the figures of a row, and what they are of a sample.
var streamFigures = map[string]func(streamSample) float64{
	"deliveries_per_second": func(s streamSample) float64 { return s.deliveries },
	"event_us":              func(s streamSample) float64 { return s.eventCPU },
	"delivery_us":           deliveryCPU,
	"p50_ms":                func(s streamSample) float64 { return s.p50 },
	"p99_ms":                func(s streamSample) float64 { return s.p99 },
	"max_ms":                func(s streamSample) float64 { return s.slowest },
	"generator_us":          func(s streamSample) float64 { return s.generator },
	"memory_kb":             func(s streamSample) float64 { return s.memory },
	"accept_us":             func(s streamSample) float64 { return s.rampTime },
	"accept_cpu_us":         func(s streamSample) float64 { return s.rampCPU },
}

func deliveryCPU(s streamSample) float64 { return s.cpu }

func totalCPU(s streamSample) float64 { return s.totalCPU }

// streamRow returns the figures of a system, and its ratios to the others that ran. There are none
// of a system that lost events in a round.
func streamRow(c load.StreamCell, system string, samples map[string][]streamSample) report.Row {
	row := report.Row{Cell: c.String(), System: system}
	for name, figure := range streamFigures {
		row.Set(name, streamValues(samples[system], figure))
	}
	cpu := streamValues(samples[system], deliveryCPU)
	for _, other := range []string{roles.Nchan, roles.FanOut, roles.FanOutKV} {
		others := streamValues(samples[other], deliveryCPU)
		row.Set("delivery_to_"+other, meter.Ratios(cpu, others))
	}
	row.Set("event_to_"+roles.FanOutKV, meter.Ratios(streamValues(samples[system], totalCPU),
		streamValues(samples[roles.FanOutKV], totalCPU)))
	if c.Slow {
		alone := func(s streamSample) float64 { return s.aloneP99 }
		without, with := streamValues(samples[system], alone), row.Rounds["p99_ms"]
		row.Set("p99_alone_ms", without)
		row.Set("p99_to_alone", meter.Ratios(with, without))
	}
	return row
}

// streamValues returns a figure, one value for each round; none if a round lost events.
func streamValues(samples []streamSample, figure func(streamSample) float64) (values []float64) {
	if slices.ContainsFunc(samples, func(s streamSample) bool { return s.lost }) {
		return nil
	}
	for _, s := range samples {
		values = append(values, figure(s))
	}
	return values
}
