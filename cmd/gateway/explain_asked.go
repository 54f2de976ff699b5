package main

import (
	"errors"
	"fmt"
	"net/url"
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
	// theBucket: with the bucket itself.
	theBucket
	// anyRight: any right in the bucket will do, or in any bucket if there is none.
	anyRight
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
	"POST transactions": {actions: auth.Put, extent: bodyKeys},
	"GET markers":       {actions: auth.Configure, extent: shownKeys},
	"DELETE markers":    {actions: auth.Configure, extent: everyKey},
}

// whatIsAsked returns what a request needs.
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
		asked, err := askedOfBucket(method, strings.TrimPrefix(path, "buckets/"), u.Query())
		return []need{asked}, err
	case path == "tickets" && method == "POST":
		return nil, errors.New("a ticket needs what its stream needs: ask for GET /watch")
	case path == "buckets" || path == "watch":
		return nil, fmt.Errorf("there is no %s %s", method, u.Path)
	}
	return []need{{extent: nothing}}, nil
}

// askedOfBucket returns what a request needs whose path begins with a bucket.
func askedOfBucket(method, path string, query url.Values) (need, error) {
	name, rest, _ := strings.Cut(path, "/")
	bucket, err := kv.ParseBucketName(name)
	if err != nil {
		return need{}, err
	}
	room, key, hasKey := strings.Cut(rest, "/")
	operation := strings.TrimSpace(method + " " + room)
	if hasKey {
		return askedOfKey(operation, bucket, key, query)
	}
	asked, known := bucketNeeds[operation]
	if !known {
		return need{}, fmt.Errorf("there is no %s /buckets/%s", method, path)
	}
	asked.bucket = bucket
	asked.filters, err = filtersOf(query)
	return asked, err
}

// askedOfKey returns what an operation on one key needs.
func askedOfKey(
	operation string, bucket kv.BucketName, escaped string, query url.Values,
) (need, error) {
	actions, known := keyNeeds[operation]
	if !known {
		return need{}, fmt.Errorf("there is no %s/… with a key", operation)
	}
	text, err := url.PathUnescape(escaped)
	if err != nil {
		return need{}, err
	}
	if text == "~" {
		text = query.Get("key")
	}
	key, err := kv.ParseKey(text)
	if err != nil {
		return need{}, err
	}
	return need{actions: actions, bucket: bucket, filters: kv.Filters{kv.FilterOf(key)}}, nil
}

// filtersOf returns the filters of a query.
func filtersOf(query url.Values) (kv.Filters, error) {
	patterns := append(query["filter"], query["key"]...)
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
