package handlers

import (
	"github.com/prometheus/client_golang/prometheus"

	"kvgateway/internal/feed"
)

// feedMetrics exports what the hub of the feeds counts, at the time of the scrape.
type feedMetrics struct{ hub *feed.Hub }

// The metrics of the feeds of all buckets together.
var (
	descFeeds = prometheus.NewDesc("kvgw_feeds",
		"Buckets that are followed, with one consumer each.", nil, nil)
	descLogBytes = prometheus.NewDesc("kvgw_feed_log_bytes",
		"Bytes of the recent changes that feeds hold.", nil, nil)
	descSubscriptions = prometheus.NewDesc("kvgw_subscriptions",
		"Streams and long polls that follow a feed now.", nil, nil)
	descChanges = prometheus.NewDesc("kvgw_feed_changes_total",
		"Changes that feeds have read from NATS.", nil, nil)
	descRestarts = prometheus.NewDesc("kvgw_feed_restarts_total",
		"Times that a feed lost its source.", nil, nil)
	descSnapshots = prometheus.NewDesc("kvgw_snapshots_total",
		"Snapshots and replays read from NATS, each for all streams that share it.", nil, nil)
	descMemorySnapshots = prometheus.NewDesc("kvgw_memory_snapshots_total",
		"Snapshots and replays read from memory, each for all streams that share it.", nil, nil)
	descSlow = prometheus.NewDesc("kvgw_subscriptions_slow_total",
		"Subscriptions that were ended because they could not catch up.", nil, nil)
	descQuestions = prometheus.NewDesc("kvgw_memory_questions_total",
		"Questions to the leaders of streams for what is stored, each for all that wait for it.",
		nil, nil)
	descFresh = prometheus.NewDesc("kvgw_memory_reads_total",
		"Reads that were answered from memory as new as the leader has it.", nil, nil)
	descFallbacks = prometheus.NewDesc("kvgw_memory_fallbacks_total",
		"Reads that were to be, and had to go to NATS, by reason.", []string{"reason"}, nil)
	descResets = prometheus.NewDesc("kvgw_resets_total",
		"Subscriptions that were reset, by reason.", []string{"reason"}, nil)
	descHeals = prometheus.NewDesc("kvgw_heals_total",
		"Comparisons of a bucket with NATS after a doubt, by whether its streams went on.",
		[]string{"result"}, nil)
	descRemoved = prometheus.NewDesc("kvgw_removed_keys_total",
		"Keys that were found to be gone without a marker.", nil, nil)
	descRemovedTold = prometheus.NewDesc("kvgw_removed_told_total",
		"Times that a stream was told that a key is gone.", nil, nil)
	descCopies = prometheus.NewDesc("kvgw_copies",
		"Buckets that are in memory, from where reads can be answered.", nil, nil)
	descCopyBytes = prometheus.NewDesc("kvgw_copy_bytes",
		"Bytes that the buckets in memory take, with those that are being loaded.", nil, nil)
	descCopyEntries = prometheus.NewDesc("kvgw_copy_entries",
		"Entries that the buckets in memory have, markers included.", nil, nil)
	descCopyLoads = prometheus.NewDesc("kvgw_copy_loads_total",
		"Buckets that were loaded into memory.", nil, nil)
	descCopyDrops = prometheus.NewDesc("kvgw_copy_drops_total",
		"Copies of buckets in memory that were dropped, by reason.", []string{"reason"}, nil)
	descCopyChecks = prometheus.NewDesc("kvgw_copy_checks_total",
		"Comparisons of a bucket in memory with NATS that found no difference.", nil, nil)
	descCopyMismatches = prometheus.NewDesc("kvgw_copy_mismatches_total",
		"Comparisons of a bucket in memory with NATS that found a difference: report it.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (m feedMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements [prometheus.Collector].
func (m feedMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	counter := func(desc *prometheus.Desc, value uint64, labels ...string) {
		kind := prometheus.CounterValue
		ch <- prometheus.MustNewConstMetric(desc, kind, float64(value), labels...)
	}
	feeds, bytes := m.hub.Size()
	stats := m.hub.Stats()
	gauge(descFeeds, float64(feeds))
	gauge(descLogBytes, float64(bytes))
	gauge(descSubscriptions, float64(stats.Subscriptions.Load()))
	counter(descChanges, stats.Changes.Load())
	counter(descRestarts, stats.Restarts.Load())
	counter(descSnapshots, stats.Snapshots.Load())
	counter(descMemorySnapshots, stats.MemorySnapshots.Load())
	counter(descSlow, stats.Slow.Load())
	counter(descHeals, stats.Healing.Heals.Load(), "healed")
	counter(descHeals, stats.Healing.Failed.Load(), "reset")
	counter(descRemoved, stats.Healing.Removed.Load())
	counter(descRemovedTold, stats.Healing.Told.Load())
	copies, size := m.hub.MemorySize()
	gauge(descCopies, float64(copies))
	gauge(descCopyBytes, float64(size.Bytes))
	gauge(descCopyEntries, float64(size.Entries))
	counter(descCopyLoads, stats.Copies.Loaded.Load())
	counter(descCopyChecks, stats.Copies.Checks.Load())
	counter(descCopyMismatches, stats.Copies.Mismatches.Load())
	stats.Copies.EachDrop(func(reason feed.Dropped, count uint64) {
		counter(descCopyDrops, count, string(reason))
	})
	counter(descQuestions, stats.Questions.Load())
	counter(descFresh, stats.Fresh.Load())
	stats.EachFallback(func(why feed.Fallback, count uint64) {
		counter(descFallbacks, count, why.String())
	})
	stats.EachReset(func(reason string, count uint64) { counter(descResets, count, reason) })
}
