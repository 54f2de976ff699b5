package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestBucketListIsCompleteAndPaged(t *testing.T) {
	t.Parallel()
	g := start(t)
	if a := g.get(t, "/buckets").is(t, 200); len(a.object(t)) != 1 {
		t.Errorf("of no buckets: %s", a.body)
	}
	var want []string
	for i := range 12 {
		for _, name := range []string{fmt.Sprintf("b%d", i), fmt.Sprintf("B-%d", i)} {
			g.bucket(t, jetstream.KeyValueConfig{Bucket: name, Storage: jetstream.MemoryStorage})
			want = append(want, name)
		}
	}
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "a_mirror", Mirror: &jetstream.StreamSource{Name: "b1"},
	})
	want = append(want, "a_mirror")
	slices.Sort(want)
	for _, stream := range []jetstream.StreamConfig{
		{Name: "KV_odd", Subjects: []string{"odd"}}, {Name: "ORDERS", Subjects: []string{"orders"}},
		{Name: "KV_", Subjects: []string{"x"}},
		// This one keeps any number of messages of a key.
		{Name: "KV_b-odd", Subjects: []string{"$KV.b-odd.>"}},
	} {
		if _, err := g.js.CreateStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	names := stringsOf(g.get(t, "/buckets?names=true").is(t, 200).object(t)["names"])
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got)\n%s", diff)
	}
	for _, limit := range []int{1, 7, 12, 24, 25, 26, 1000} {
		found := g.allPages(t, fmt.Sprintf("/buckets?names=true&limit=%d", limit), limit,
			func(page map[string]any) []string { return stringsOf(page["names"]) })
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("limit=%d (-want +got)\n%s", limit, diff)
		}
	}
	found := g.allPages(t, "/buckets?limit=10", 10, func(page map[string]any) (names []string) {
		for _, bucket := range page["buckets"].([]any) {
			object := bucket.(map[string]any)
			names = append(names, object["bucket"].(string))
			got := withoutReplicas(g.get(t, "/buckets/"+object["bucket"].(string)).object(t))
			object = withoutReplicas(object)
			if cmp.Diff(got, object) != "" {
				t.Errorf("listed otherwise than got: %s", cmp.Diff(got, object))
			}
		}
		return names
	})
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("pages (-want +got)\n%s", diff)
	}
	for _, bad := range []string{
		"limit=0", "limit=1001", "limit=x", "limit=-1", "limit=", "limit=1.5", "names=maybe",
		"names=", "limit=1&limit=2",
	} {
		g.get(t, "/buckets?"+bad).problem(t, 400, "invalid-parameter")
	}
	for _, bad := range []string{"cursor=x", "cursor=!", "cursor=AAAA"} {
		g.get(t, "/buckets?"+bad).problem(t, 400, "invalid-cursor")
	}
	g.get(t, "/buckets?filter=x").problem(t, 400, "unknown-parameter")
}

// A bucket that the gateway's user may not look at does not hide the other ones.
func TestBucketListShowsOthersBesideOneOutOfReach(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		blind := &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.INFO.KV_secret"}},
		}
		o.Users = []*server.User{
			{Username: "admin", Password: "a"},
			{Username: "gateway", Password: "g", Permissions: blind},
		}
	}})
	g := start(t, func(s *setup) {
		s.client = kvclient.Options{
			URL: nats.URL(), User: "gateway", Password: "g", Name: "test",
			RequestTimeout: 500 * time.Millisecond, Logger: zerolog.Nop(),
		}
	})
	js := nats.JetStream(t, natsgo.UserInfo("admin", "a"))
	for _, name := range []string{"first", "secret", "third"} {
		_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: name})
		if err != nil {
			t.Fatal(err)
		}
	}
	names := stringsOf(g.get(t, "/buckets?names=true").is(t, 200).object(t)["names"])
	if diff := cmp.Diff([]string{"first", "secret", "third"}, names); diff != "" {
		t.Errorf("names (-want +got)\n%s", diff)
	}
	listed := g.get(t, "/buckets").is(t, 200).object(t)
	bucketIn := func(list string) (names []string) {
		for _, item := range listed[list].([]any) {
			names = append(names, item.(map[string]any)["bucket"].(string))
		}
		return names
	}
	if got := bucketIn("buckets"); !slices.Equal(got, []string{"first", "third"}) {
		t.Errorf("buckets are %v", got)
	}
	if got := bucketIn("out_of_reach"); !slices.Equal(got, []string{"secret"}) {
		t.Errorf("out of reach are %v", got)
	}
	secret := listed["out_of_reach"].([]any)[0].(map[string]any)
	if problem := secret["problem"].(map[string]any); problem["type"] != "/problems/forbidden" {
		t.Errorf("secret is listed as %v", secret)
	}
}

// allPages reads a list page by page. It goes to the next page by the Link header, which must agree
// with the member next, and returns the items of all pages.
func (g *gateway) allPages(t *testing.T, target string, limit int,
	items func(page map[string]any) []string) (all []string) {
	t.Helper()
	for pages := 0; target != ""; pages++ {
		a := g.get(t, target).is(t, 200)
		page := a.object(t)
		found := items(page)
		if len(found) > limit || pages > 2000 {
			t.Fatalf("%s: page %d has %d items", a.request, pages, len(found))
		}
		all = append(all, found...)
		next, _ := page["next"].(string)
		link, rest, _ := strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
		if (next == "") != (link == "") ||
			link != "" && (rest != `; rel="next"` || !strings.Contains(link, "cursor="+next)) {
			t.Errorf("%s: next %q, Link %q", a.request, next, a.header.Get("Link"))
		}
		if next != "" && len(found) != limit {
			t.Errorf("%s: %d items, and more to come", a.request, len(found))
		}
		target = strings.TrimPrefix(link, g.basePath)
	}
	return all
}

// Each list of buckets asks NATS for every bucket that it shows, so few are made at a time.
func TestListsOfBucketsAreBounded(t *testing.T) {
	t.Parallel()
	g, bounds := startBounded(t)
	g.shop(t)
	lists := bounds.Find("bucket-requests")
	var all bound.Hold
	if err := lists.Take(t.Context(), &all, "", lists.Limit(), nil); err != nil {
		t.Fatal(err)
	}
	answered := make(chan *answer, 1)
	go func() { answered <- g.get(t, "/buckets") }()
	eventually(t, "the list waits", func() bool { return lists.Waiting() == 1 })
	all.Release()
	(<-answered).is(t, 200)
}
