package handlers

import (
	"net/url"
	"slices"
	"strings"

	"kvgateway/internal/kv"
)

// loggedNames are what the access log names of a request's target, if [Options.LogKeys] is set.
type loggedNames struct {
	// bucket is the bucket that the path names, or the buckets of /watch, separated by commas, and
	// key the key. They are "" if the target has none, or none that could be one.
	bucket, key string
}

// namesOf returns the names in the target of a request. It is called before anything is checked, so
// that a request which is refused is logged with its names, too.
func namesOf(target *url.URL, basePath string) (names loggedNames) {
	path, below := strings.CutPrefix(target.EscapedPath(), basePath)
	parts := strings.SplitN(path, "/", 5)
	switch {
	case !below || len(parts) < 2 || parts[0] != "":
	case parts[1] == "watch" && len(parts) == 2:
		names.bucket = watchedBuckets(target.Query()["watch"])
	case parts[1] == "buckets" && len(parts) > 2:
		names.bucket = bucketIn(parts[2])
		if len(parts) == 5 {
			names.key = keyIn(parts[4], target)
		}
	}
	return names
}

// bucketIn returns the name of a bucket in a part of a path; "" if it cannot be one.
func bucketIn(part string) string {
	name, err := url.PathUnescape(part)
	if err != nil {
		return ""
	}
	bucket, err := kv.ParseBucketName(name)
	if err != nil {
		return ""
	}
	return bucket.String()
}

// keyIn returns the key that a path ends with, or that its query has instead; "" if it cannot be
// one.
func keyIn(rest string, target *url.URL) string {
	name, err := url.PathUnescape(rest)
	if err != nil {
		return ""
	}
	if name == keyInQuery {
		name = target.Query().Get(keyParameter)
	}
	key, err := kv.ParseKey(name)
	if err != nil {
		return ""
	}
	return key.String()
}

// watchedBuckets returns the buckets of BUCKET:FILTER, each once.
func watchedBuckets(watches []string) string {
	var buckets []string
	for _, watch := range watches[:min(len(watches), kv.MaxFilters)] {
		name, _, _ := strings.Cut(watch, ":")
		bucket, err := kv.ParseBucketName(name)
		if err == nil && !slices.Contains(buckets, name) && len(buckets) < maxWatches {
			buckets = append(buckets, bucket.String())
		}
	}
	return strings.Join(buckets, ",")
}
