package handlers

import (
	"testing"

	"kvgateway/internal/auth"
	"kvgateway/internal/kv"
)

// rightsTo returns the rights of one rule for the bucket shop.
func rightsTo(t *testing.T, can auth.Actions, keys ...string) *auth.Rights {
	t.Helper()
	bucket, err := auth.ParseBucketPattern("shop")
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewRights(auth.Rule{Bucket: bucket, Keys: filters(t, keys...), Can: can})
}

// filters returns filters.
func filters(t *testing.T, patterns ...string) kv.Filters {
	t.Helper()
	fs, err := kv.ParseFilters(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestRequestMayGoOnWhileItsGrantsHold(t *testing.T) {
	t.Parallel()
	shop, err := kv.ParseBucketName("shop")
	if err != nil {
		t.Fatal(err)
	}
	key, err := kv.ParseKey("a.1")
	if err != nil {
		t.Fatal(err)
	}
	narrower := rightsTo(t, auth.Read, "a.1")
	same := rightsTo(t, auth.Read|auth.Put, "a.>")
	wider := rightsTo(t, auth.Read, ">")
	none := rightsTo(t, auth.Put, "a.>")
	for name, c := range map[string]struct {
		begin func(*exchange) error
		// With the rights of ends the request must end, and with those of goes it goes on.
		ends, goes []*auth.Rights
	}{
		"key": {
			begin: func(x *exchange) error { return x.need(auth.Get, shop, key) },
			ends:  []*auth.Rights{none, new(auth.Rights)},
			goes:  []*auth.Rights{narrower, same, wider},
		},
		"list": {
			begin: func(x *exchange) error {
				_, err := x.narrow(auth.List|auth.Get, shop, nil)
				return err
			},
			ends: []*auth.Rights{narrower, none, new(auth.Rights)},
			goes: []*auth.Rights{same, wider},
		},
		"stream": {
			begin: func(x *exchange) error {
				_, err := x.narrowStream(shop, filters(t, ">"))
				return err
			},
			ends: []*auth.Rights{narrower, wider, none, new(auth.Rights)},
			goes: []*auth.Rights{same},
		},
		"deletion": {
			begin: func(x *exchange) error {
				return x.needAll(auth.Get, shop, filters(t, "a.b.>"))
			},
			ends: []*auth.Rights{narrower, none, new(auth.Rights)},
			goes: []*auth.Rights{same, wider},
		},
	} {
		x := &exchange{caller: &auth.Caller{Rights: rightsTo(t, auth.Read, "a.>")}}
		if err := c.begin(x); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		still := x.still()
		*x = exchange{} // as it is when it serves another request
		for i, rights := range c.ends {
			if still(rights) {
				t.Errorf("%s goes on with rights %d, of those with which it must end", name, i)
			}
		}
		for i, rights := range c.goes {
			if !still(rights) {
				t.Errorf("%s ends with rights %d, of those with which it may go on", name, i)
			}
		}
	}
}
