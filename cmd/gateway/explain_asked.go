package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/kv"
)

// A need is a right that a request needs.
type need struct {
	// actions are what is done, all of which must be allowed.
	actions auth.Actions
	// bucket is where; the zero name for a request about no bucket.
	bucket kv.BucketName
	// filters are the keys; none are all of them.
	filters kv.Filters
	// extent says with which of the keys the actions must be allowed.
	extent extent
	// note says more about it, where it is allowed; "" if there is nothing to say.
	note string
}

// An extent says with how much of what a request is about its actions must be allowed.
type extent uint8

// The extents.
const (
	// everyKey: with every key that the filters select.
	everyKey extent = iota
	// shownKeys: with some of the keys that the filters select; the answer has those alone.
	shownKeys
	// bodyKeys: with each key in the body, which is not known here.
	bodyKeys
	// bodySteps: one of them, with each key in the body: what it is for a key stands there.
	bodySteps
	// theBucket: with the bucket itself.
	theBucket
	// allBuckets: with every bucket there is or will be, and by a credential of the gateway.
	allBuckets
	// anyRight: any right in the bucket will do, or in any bucket if there is none.
	anyRight
	// anyCaller: no right is needed, but a caller who is known.
	anyCaller
	// nothing: everybody may do it.
	nothing
)

// keyNeeds are what the operations on one key need, by method and the part of the path before it.
var keyNeeds = map[string]auth.Actions{
	"GET keys": auth.Get, "HEAD keys": auth.Get, "PUT keys": auth.Put,
	"PATCH keys": auth.Get | auth.Put, "DELETE keys": auth.Delete,
	"GET entries": auth.Get, "GET history": auth.Get,
}

// bucketNeeds are what the other operations in a bucket need, in the same way. "GET" alone is the
// bucket itself.
var bucketNeeds = map[string]need{
	"GET":               {extent: anyRight},
	"PUT":               {actions: auth.Configure, extent: theBucket},
	"PATCH":             {actions: auth.Configure, extent: theBucket},
	"DELETE":            {actions: auth.Configure, extent: theBucket},
	"GET keys":          {actions: auth.List, extent: shownKeys},
	"DELETE keys":       {actions: auth.Delete | auth.List, extent: everyKey},
	"GET entries":       {actions: auth.Get | auth.List, extent: shownKeys},
	"POST entries":      {actions: auth.Put, extent: bodyKeys},
	"GET watch":         {actions: auth.Watch, extent: shownKeys},
	"POST transactions": {actions: auth.Put | auth.Delete, extent: bodySteps},
	"GET markers":       {actions: auth.Configure, extent: shownKeys},
	"DELETE markers":    {actions: auth.Configure, extent: everyKey},
}

// openPaths are the paths that everybody may ask for, without a slash in front. One that ends in a
// slash stands for all that begin with it.
var openPaths = []string{
	"", "livez", "healthz", "readyz", "version", "openapi.yaml", "openapi.json", "problems/",
	"docs", "docs/", "llms.txt", "console", "console/", ".well-known/oauth-protected-resource",
}

// isOpenPath reports whether everybody may ask for a path, given without a slash in front.
func isOpenPath(path string) bool {
	return slices.ContainsFunc(openPaths, func(open string) bool {
		return path == open || strings.HasSuffix(open, "/") && strings.HasPrefix(path, open)
	})
}

// whatIsAsked returns what a request needs. What the gateway does not serve is an error: it must
// not be taken for something that is open.
func whatIsAsked(method, target string) ([]need, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Host != "" {
		return nil, fmt.Errorf("PATH %q must begin with a slash, as /buckets/shop does", target)
	}
	path := strings.TrimPrefix(u.EscapedPath(), "/")
	switch {
	case path == "watch" && method == "GET":
		return askedOfWatch(u.Query()["watch"])
	case path == "buckets" && method == "GET":
		return []need{{extent: anyRight}}, nil
	case strings.HasPrefix(path, "buckets/"):
		return askedOfBucket(method, strings.TrimPrefix(path, "buckets/"), u.Query())
	case path == "access" && method == "GET":
		return []need{{extent: anyCaller}}, nil
	case path == "status" && method == "GET":
		return []need{{actions: auth.Configure, extent: allBuckets}}, nil
	case path == "tickets" && method == "POST":
		return nil, errors.New("a ticket needs what its stream needs: ask for GET /watch")
	case isOpenPath(path) && (method == "GET" || method == "HEAD"):
		return []need{{extent: nothing}}, nil
	}
	return nil, fmt.Errorf("the gateway has no %s %s: give the path as the contract has it, "+
		"without a --base-path", method, u.Path)
}

// askedOfBucket returns what a request needs whose path begins with a bucket.
func askedOfBucket(method, path string, query url.Values) ([]need, error) {
	escaped, rest, hasRoom := strings.Cut(path, "/")
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, err
	}
	bucket, err := kv.ParseBucketName(name)
	if err != nil {
		return nil, err
	}
	room, key, hasKey := strings.Cut(rest, "/")
	operation := strings.TrimSpace(method + " " + room)
	if hasKey {
		return askedOfKey(operation, bucket, key, query)
	}
	asked, known := bucketNeeds[operation]
	if !known || hasRoom && room == "" {
		return nil, fmt.Errorf("there is no %s /buckets/%s", method, path)
	}
	if operation == "GET entries" && len(query["key"]) > 0 {
		return askedOfEntries(bucket, query)
	}
	asked.bucket = bucket
	asked.filters, err = filtersOf(query)
	return []need{asked}, err
}

// askedOfEntries returns what a request for the entries of some keys needs, which may have filters
// for others as well.
func askedOfEntries(bucket kv.BucketName, query url.Values) (asked []need, err error) {
	for _, name := range query["key"] {
		key, err := kv.ParseKey(name)
		if err != nil {
			return nil, err
		}
		asked = append(asked, needOfKey(auth.Get, bucket, key))
	}
	filters, err := kv.ParseFilters(query["filter"])
	if err == nil && len(filters) > 0 {
		listed := bucketNeeds["GET entries"]
		listed.bucket, listed.filters = bucket, filters
		asked = append(asked, listed)
	}
	return asked, err
}

// needOfKey returns the need of actions with one key.
func needOfKey(actions auth.Actions, bucket kv.BucketName, key kv.Key) need {
	return need{actions: actions, bucket: bucket, filters: kv.Filters{kv.FilterOf(key)}}
}

// askedOfKey returns what an operation on one key needs. A PATCH of the time to live is taken to
// have no body.
func askedOfKey(
	operation string, bucket kv.BucketName, escaped string, query url.Values,
) ([]need, error) {
	actions, known := keyNeeds[operation]
	if !known {
		return nil, fmt.Errorf("there is no %s/… with a key", operation)
	}
	note := ""
	if operation == "PATCH keys" && query.Has("ttl") {
		actions, note = auth.Put, "A patch in the body needs get as well."
	}
	text, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, err
	}
	if text == "~" {
		text = query.Get("key")
	}
	key, err := kv.ParseKey(text)
	if err != nil {
		return nil, err
	}
	n := needOfKey(actions, bucket, key)
	n.note = note
	return []need{n}, nil
}

// filtersOf returns the filters of a query.
func filtersOf(query url.Values) (kv.Filters, error) {
	patterns := query["filter"]
	if prefix := query.Get("prefix"); prefix != "" && len(patterns) == 0 {
		if filter, ok := kv.PrefixFilter(prefix); ok {
			return kv.Filters{filter}, nil
		}
	}
	return kv.ParseFilters(patterns)
}

// askedOfWatch returns what a stream of several buckets needs.
func askedOfWatch(watches []string) (asked []need, err error) {
	if len(watches) == 0 {
		return nil, errors.New("/watch needs watch=BUCKET or watch=BUCKET:FILTER in its query")
	}
	for _, watch := range watches {
		name, filter, hasFilter := strings.Cut(watch, ":")
		n := need{actions: auth.Watch, extent: shownKeys}
		if n.bucket, err = kv.ParseBucketName(name); err != nil {
			return nil, err
		}
		if hasFilter {
			if n.filters, err = kv.ParseFilters([]string{filter}); err != nil {
				return nil, err
			}
		}
		asked = append(asked, n)
	}
	return asked, nil
}
