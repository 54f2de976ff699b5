package feed

import (
	"errors"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// Whatever the source was lost with, advisories may have been lost too, from the time on at which
// the source was last heard.
func TestAdvisoriesMayBeMissedSinceTheSourceWasLastHeard(t *testing.T) {
	heard := time.Unix(1, 0)
	src := feedAt(streamAt(1, 0)).source
	src.lastHeard = func() time.Time { return heard }
	if src.noteLost(kv.ErrTimeout); !src.audit.missedSince.Equal(heard) {
		t.Errorf("missed since %v", src.audit.missedSince)
	}
}

// The advisory of a deletion can come when the next bucket of that name is there already. A bucket
// that is restored can have the epoch of the deleted one, and be there before the feed has missed
// it.
func TestDeletionOfAnEarlierStreamIsIgnored(t *testing.T) {
	created := time.Unix(100, 0)
	for name, tc := range map[string]struct {
		at   time.Time
		want string
	}{
		"this one":       {created.Add(time.Second), ReasonHorizon},
		"the one before": {created.Add(-time.Second), ""},
	} {
		s := streamAt(10, 0)
		s.Created = created
		src := feedAt(s).source
		err := src.handleAdvisory(kvclient.Advisory{Kind: kvclient.StreamDeleted, At: tc.at})
		if !errors.Is(err, errRestart) || src.audit.dueReset != tc.want {
			t.Errorf("%s: %v, reset for %q", name, err, src.audit.dueReset)
		}
	}
}

// Settings can be changed and changed back before the feed looks, with all that vanished
// meanwhile.
func TestTermsThatWereChangedBackAreAReset(t *testing.T) {
	asked := time.Unix(100, 0)
	mine, other := kv.Terms{MaxAge: time.Hour}, kv.Terms{MaxAge: time.Second}
	for name, tc := range map[string]struct {
		terms *kv.Terms
		after time.Duration // the start of the source
		want  string
	}{
		"others":          {&other, time.Second, ReasonConfig},
		"before it began": {&other, -time.Second, ""},
		"the same":        {&mine, time.Second, ""},
		"unknown":         {nil, time.Second, ""},
	} {
		s := streamAt(10, 0)
		s.At, s.Terms = asked, mine
		s.Terms.Subjects = "$KV.b."
		src := feedAt(s).source
		told := kvclient.Advisory{
			Kind: kvclient.StreamUpdated, Terms: tc.terms, At: asked.Add(tc.after),
		}
		err := src.handleAdvisory(told)
		if !errors.Is(err, errRestart) || src.audit.dueReset != tc.want {
			t.Errorf("%s: %v, reset for %q, want %q", name, err, src.audit.dueReset, tc.want)
		}
	}
}

// When advisories were dropped, the source starts anew and compares the stream.
func TestDroppedAdvisoriesRestartTheSource(t *testing.T) {
	f := feedAt(streamAt(10, 0))
	err := f.source.handleAdvisory(kvclient.Advisory{Kind: kvclient.AdvisoriesMissed})
	if !errors.Is(err, errRestart) {
		t.Errorf("%v", err)
	}
}
