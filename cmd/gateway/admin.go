package main

import (
	"errors"
	"net/http"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers"
)

// adminOnly lets only callers through who may administer every bucket, by a credential of the
// gateway itself. NATS decides what its own credentials may do in NATS, which says nothing of the
// gateway's metrics and profiles, so they never count here; and neither do callers without any.
func adminOnly(gate *auth.Gate, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		presented := &auth.Presented{
			Authorization: r.Header["Authorization"],
			Address:       handlers.OwnerOf(r.RemoteAddr),
		}
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			presented.Chain = r.TLS.VerifiedChains[0]
		}
		caller, err := gate.Identify(r.Context(), presented)
		refusal, isRefusal := errors.AsType[*auth.Refusal](err)
		switch {
		case isRefusal && refusal.Limited:
			w.Header().Set("Retry-After", "1")
			http.Error(w, refusal.Detail, http.StatusTooManyRequests)
		case err != nil && !isRefusal, isRefusal && refusal.Unavailable:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "who is calling cannot be found out now", http.StatusServiceUnavailable)
		case isRefusal, caller.Kind == auth.Anonymous, caller.Kind == auth.NATS:
			w.Header().Set("WWW-Authenticate", `Bearer realm="kvgateway"`)
			http.Error(w, "This needs a token or a client certificate with the right to admin "+
				"every bucket.", http.StatusUnauthorized)
		case !caller.Rights.AdministerAll():
			http.Error(w, "This needs the right to admin every bucket: a rule with bucket: \"*\" "+
				"and can: [admin].", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// notCrossSite refuses requests that a page of another origin made a browser send, by what the
// browser itself says (Fetch Metadata). Such a page could not read the answer, but start profiles,
// which cost time and of which one at a time can run, with the client certificate of its visitor or
// on the visitor's own machine. [http.CrossOriginProtection] lets each GET through.
func notCrossSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin":
			next.ServeHTTP(w, r)
		default:
			http.Error(w, "A page of another origin may not ask for this. Type the address, or "+
				"use a program that is no browser.", http.StatusForbidden)
		}
	})
}
