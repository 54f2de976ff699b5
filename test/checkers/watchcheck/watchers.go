package main

import (
	"net/url"
	"slices"
	"strings"
)

func anyKey(string) bool { return true }

func below(prefix string) func(string) bool {
	return func(key string) bool { return strings.HasPrefix(key, prefix) }
}

// variants are the forms of a watch of one bucket. Values are base64, so that every byte is
// compared.
var variants = []struct {
	name, query string
	view        View
	options     clientOptions
}{
	{"all", "", View{Matches: anyKey}, clientOptions{}},
	{"steady", "", View{Matches: anyKey}, clientOptions{steady: true}},
	{"hot", "filter=hot.*", View{Matches: below("hot.")}, clientOptions{}},
	{"overlap", "filter=hot.>&filter=hot.k1&filter=cas.k0&bookmarks=id",
		View{Matches: func(key string) bool {
			return below("hot.")(key) || key == "cas.k0"
		}}, clientOptions{bare: true}},
	{"second", "filter=*.k1", View{Matches: func(key string) bool {
		return strings.HasSuffix(key, ".k1")
	}}, clientOptions{}},
	{"quiet", "filter=quiet.>", View{Matches: below("quiet.")}, clientOptions{}},
	{"removals", "removals=event",
		View{Matches: anyKey, Removals: true}, clientOptions{}},
	{"toldhot", "removals=event&filter=hot.*&heartbeat=3s",
		View{Matches: below("hot."), Removals: true}, clientOptions{steady: true}},
	{"history", "include_history=true",
		View{Matches: anyKey, History: true}, clientOptions{}},
	{"updates", "updates_only=true",
		View{Matches: anyKey, UpdatesOnly: true}, clientOptions{}},
	{"nodeletes", "ignore_deletes=true",
		View{Matches: anyKey, IgnoreDeletes: true}, clientOptions{}},
	{"meta", "meta_only=true",
		View{Matches: anyKey, NoValues: true}, clientOptions{noValues: true}},
	{"novalues", "values=none&filter=cold.>",
		View{Matches: below("cold."), NoValues: true}, clientOptions{noValues: true}},
	{"lines", "filter=hot.>&filter=cold.>", View{Lines: true, Matches: func(key string) bool {
		return below("hot.")(key) || below("cold.")(key)
	}}, clientOptions{lines: true}},
	{"messages", "events=message",
		View{Matches: anyKey}, clientOptions{messages: true}},
	{"first", "resume_from_revision=1",
		View{Matches: anyKey, History: true}, clientOptions{}},
	// A change that waits for the heartbeat of this one is late.
	{"seldom", "heartbeat=3s", View{Matches: anyKey}, clientOptions{steady: true}},
	// Of the many syncs of this one some are told while more is overwritten than anybody reads.
	{"brief", "filter=hot.*", View{Matches: below("hot.")}, clientOptions{brief: true}},
	{"stopping", "",
		View{Matches: anyKey}, clientOptions{steady: true, buffer: 256 << 10}},
}

// copyVariants are the forms in which the buckets that copy another are watched.
var copyVariants = []string{"all", "steady", "meta", "messages"}

// several are the watches of all buckets on one connection.
var several = []struct {
	name, query string
	keys        map[string]func(string) bool
	options     clientOptions
}{
	{"several", "watch=one&watch=five:hot.>&watch=long:cold.>",
		map[string]func(string) bool{
			"one": anyKey, "five": below("hot."), "long": below("cold."),
		}, clientOptions{}},
	{"several-bare", "watch=five&watch=one:quiet.>&bookmarks=id",
		map[string]func(string) bool{"one": below("quiet."), "five": anyKey},
		clientOptions{bare: true}},
	{"several-lines", "watch=long&watch=one:cas.*",
		map[string]func(string) bool{"long": anyKey, "one": below("cas.")},
		clientOptions{lines: true}},
	{"several-removals", "watch=one&watch=five:hot.>&removals=event",
		map[string]func(string) bool{"one": anyKey, "five": below("hot.")},
		clientOptions{}},
	{"several-steady", "watch=one&watch=five&watch=long",
		map[string]func(string) bool{"one": anyKey, "five": anyKey, "long": anyKey},
		clientOptions{steady: true}},
}

// makeClients makes a client of each form for each bucket.
func (r *run) makeClients() {
	add := func(o clientOptions) {
		r.clients = append(r.clients, newClient(r.addr, o, r.Seed, uint64(1000+len(r.clients))))
	}
	form := func(query string, o clientOptions) string {
		query += "&digest=true"
		if !o.noValues {
			query += "&values=base64"
		}
		if !strings.Contains(query, "heartbeat=") {
			query += "&heartbeat=1s"
		}
		return strings.ReplaceAll(strings.TrimPrefix(query, "&"), ">", url.QueryEscape(">"))
	}
	for _, bucket := range allNames() {
		for _, v := range variants {
			if slices.Contains(copyNames, bucket) && !slices.Contains(copyVariants, v.name) {
				continue
			}
			o := v.options
			o.name, o.bucket, o.views = bucket+"-"+v.name, bucket, map[string]View{bucket: v.view}
			o.target = "/buckets/" + bucket + "/watch?" + form(v.query, o)
			add(o)
		}
	}
	for _, s := range several {
		o := s.options
		o.name, o.views, o.target = s.name, map[string]View{}, "/watch?"+form(s.query, o)
		for bucket, matches := range s.keys {
			o.views[bucket] = View{Matches: matches, Lines: o.lines,
				Removals: strings.Contains(s.query, "removals=event")}
		}
		add(o)
	}
}
