package handlers

import (
	"runtime"
	"strconv"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
)

// The headers of draft-ietf-httpapi-ratelimit-headers-10.
const (
	headerRateLimit       = "RateLimit"
	headerRateLimitPolicy = "RateLimit-Policy"
)

// ratePerProcessor is the default rate for each processor. The cheapest requests take some 30 µs
// of a processor (bench/README.md), so one caller can use three quarters of the machine, as one
// address can have three quarters of most bounds, and no client of the benchmarks meets the rate.
// That callers come to their turns beside one another is the business of the bounds, not of the
// rate.
const ratePerProcessor = 25_000

// DefaultRate is how many requests each caller may send in a second unless the options say
// otherwise.
func DefaultRate() int { return ratePerProcessor * runtime.GOMAXPROCS(0) }

// callerRates bound the requests of each caller in a second.
type callerRates struct {
	// rates count them; nil if there is no bound.
	rates *bound.Rates
	// policy is the header that says what the bound is.
	policy []string
}

// newCallerRates adds the bound to the set, unless perSecond is 0, which means no bound.
func newCallerRates(set *bound.Set, perSecond int) *callerRates {
	if perSecond <= 0 {
		return &callerRates{}
	}
	return &callerRates{
		policy: []string{`"default";q=` + strconv.Itoa(perSecond) + `;w=1`},
		rates: set.NewRates(bound.Spec{
			Name: "request-rate",
			Of: "requests that come in a second, except for those about the gateway " +
				"itself",
			PerOwner: int64(perSecond),
			OwnerIs:  ownerIsCaller,
			AtLimit:  "the request is refused with 429; what is open goes on",
			Setting:  "--rate",
		}),
	}
}

// ownerIsCaller says what the owners of the bounds of callers are.
const ownerIsCaller = "caller, or address without one"

// countRequest counts a request towards the rate of its caller, and says in its answer how many
// more may come. It returns a *[bound.FullError] if it is one too many. A request whose caller is
// not known counts towards the rate of its address.
func (s *Server) countRequest(x *exchange) error {
	if s.rates.rates == nil {
		return nil
	}
	left, err := s.rates.rates.Begin(x.callerName())
	h := x.Header()
	h[headerRateLimitPolicy] = s.rates.policy
	// What was used up is there again after a second at the latest.
	var text [48]byte
	value := strconv.AppendInt(append(text[:0], `"default";r=`...), left, 10)
	h[headerRateLimit] = []string{string(append(value, ";t=1"...))}
	return err
}

// callerName returns what identifies the caller of a request in the bounds of callers: the address
// of the client, if there is no caller or an anonymous one.
func (x *exchange) callerName() string {
	if x.caller == nil || x.caller.Kind == auth.Anonymous {
		return x.client.owner
	}
	return x.caller.Kind.String() + " " + x.caller.Name
}
