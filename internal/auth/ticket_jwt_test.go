package auth_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"kvgateway/internal/auth"
	"kvgateway/internal/natstest"
)

// A ticket of a JWT is good at every gateway that has its key and would take the token: the token
// itself is not needed again. Whatever makes the token void makes the ticket void.
func TestTicketOfAJWTIsDecidedAnew(t *testing.T) {
	t.Parallel()
	keys := keyFile(t, a256())
	entry := issuerEntry(issuerA, keys, "RS256")
	gate := gateOf(t, jwtFile(entry))
	token := a256().sign(t, nil, claimsOf(issuerA, body{
		"roles": []string{"clerk", "own", "of-another-service"}, "tenant": "t1",
	}))
	unshared, _ := ticketFor(t, gate, token, watched(t, "orders.>"))
	if strings.Contains(unshared, strings.Split(token, ".")[2][:20]) {
		t.Error("the ticket has the token's signature")
	}
	ring := base64.StdEncoding.EncodeToString(make([]byte, 32))
	share := func(gate *auth.Gate) {
		t.Helper()
		if err := gate.TicketKeys().Set([]byte(ring)); err != nil {
			t.Fatal(err)
		}
	}
	share(gate)
	ticket, end := ticketFor(t, gate, token, watched(t, "orders.>"))
	other := gateOf(t, jwtFile(entry))
	share(other)
	caller, err := present(t, other, ticket)
	if err != nil {
		t.Fatal(err)
	}
	if caller.Kind != auth.JWT || caller.Name != issuerA+"#ann" || !caller.Expires.Equal(end) ||
		!may(caller, auth.Watch, "shop", "orders.1") ||
		!may(caller, auth.Watch, "shop", "users.ann.x") ||
		!may(caller, auth.Watch, "shop", "tenants.t1") || may(caller, auth.Watch, "shop", "stock") {
		t.Errorf("the caller is %v %s until %v", caller.Kind, caller.Name, caller.Expires)
	}
	unnamed := signingKey{"1", jose.RS256, rsaKey2()}
	for why, file := range map[string]string{
		"another issuer":    jwtFile(issuerEntry(issuerB, keys, "RS256")),
		"another algorithm": jwtFile(issuerEntry(issuerA, keys, "PS256")),
		"another audience": strings.ReplaceAll(jwtFile(entry), "audience: kv.example.com",
			"audience: kv2.example.com"),
		"another key of that id": jwtFile(issuerEntry(issuerA, keyFile(t, unnamed), "RS256")),
		"a key of another id": jwtFile(issuerEntry(issuerA,
			keyFile(t, signingKey{"2", jose.RS256, rsaKey()}), "RS256")),
		"a claim that the ticket lacks": strings.ReplaceAll(jwtFile(entry), "{claim.tenant}",
			"{claim.team}"),
		"no JWTs at all": tokenFile(annsToken, ""),
	} {
		changed := gateOf(t, file)
		share(changed)
		refused(t, changed, ticket, why)
		other.SetPolicy(policyOf(t, file))
		refused(t, other, ticket, why+", in the same process")
	}
	less := gateOf(t, strings.Replace(jwtFile(entry), `keys: ["orders.>"]`, `keys: ["stock"]`, 1))
	share(less)
	caller, err = present(t, less, ticket)
	if err != nil || may(caller, auth.Watch, "shop", "orders.1") {
		t.Errorf("the role lost the right, and the ticket has it, or %v", err)
	}
}

// presentWith returns who comes with an Authorization header or a ticket over a connection with a
// client certificate.
func presentWith(
	t *testing.T, gate *auth.Gate, header, ticket string, pair *natstest.Pair,
) (*auth.Caller, error) {
	t.Helper()
	presented := &auth.Presented{Ticket: ticket}
	if header != "" {
		presented.Authorization = []string{header}
	}
	if pair != nil {
		presented.Chain = []*x509.Certificate{pair.TLS.Leaf}
	}
	return gate.Identify(t.Context(), presented)
}

// A ticket of a client certificate, or of a token that is bound to one, needs the certificate.
func TestTicketOfACertificateNeedsIt(t *testing.T) {
	t.Parallel()
	authority := natstest.NewAuthority(t, "clients")
	name := func(c *x509.Certificate) { c.DNSNames = []string{"ann.example"} }
	pair, renewed := authority.Issue(t, "ann", name), authority.Issue(t, "ann", name)
	sum := sha256.Sum256(pair.TLS.Leaf.Raw)
	token := a256().sign(t, nil, claimsOf(issuerA, body{
		"cnf": body{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])},
	}))
	gate := gateOf(t, jwtFile(issuerEntry(issuerA, keyFile(t, a256()), "RS256"))+
		"certificates: [{ san: ann.example, roles: [clerk] }]\n")
	for what, header := range map[string]string{"certificate": "", "token": "Bearer " + token} {
		caller, err := presentWith(t, gate, header, "", pair)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		ticket, _, err := gate.NewTicket(caller, []auth.Watched{watched(t, "orders.1")})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		again, err := presentWith(t, gate, "", ticket, pair)
		if err != nil || again.Kind != caller.Kind || again.Name != caller.Name ||
			!may(again, auth.Watch, "shop", "orders.1") {
			t.Errorf("%s: the caller is %+v: %v", what, again, err)
		}
		for without, other := range map[string]*natstest.Pair{"none": nil, "another": renewed} {
			_, err := presentWith(t, gate, "", ticket, other)
			if refusal, ok := errors.AsType[*auth.Refusal](err); !ok || !refusal.Invalid {
				t.Errorf("%s: with the certificate %s: %v", what, without, err)
			}
		}
	}
}

// A gateway cannot present to NATS what it does not have.
func TestTicketOfANATSCredentialIsGoodWhereItIsKnown(t *testing.T) {
	t.Parallel()
	const file = "nats: { enabled: true }"
	here, there := gateOf(t, file), gateOf(t, file)
	ring := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, gate := range []*auth.Gate{here, there} {
		if err := gate.TicketKeys().Set([]byte(ring)); err != nil {
			t.Fatal(err)
		}
	}
	caller, err := identify(t, here, basic("ann", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	ticket, _, err := here.NewTicket(caller, []auth.Watched{watched(t, "orders.1")})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, here, ticket, "NATS has not said that it knows the credential")
	here.NATSAccepted(caller)
	again, err := present(t, here, ticket)
	if err != nil || again.NATS == nil || again.NATS.ID() != caller.NATS.ID() {
		t.Errorf("the caller is %+v: %v", again, err)
	}
	here.NATSAccepted(again)
	if direct, err := identify(t, here, basic("ann", "secret")); err != nil || direct.HasTicket() {
		t.Errorf("who presents the credential itself is %+v: %v", direct, err)
	}
	refused(t, there, ticket, "another gateway does not have the credential")
	here.NATSFailed(caller.NATS.ID(), "192.0.2.1", true)
	refused(t, here, ticket, "NATS does not know the credential any more")
	here.NATSAccepted(caller)
	here.SetPolicy(policyOf(t, tokenFile(annsToken, "")))
	refused(t, here, ticket, "nothing is passed through any more")
}

// Each of the terms of an issuer makes the tickets of its tokens void when it changes so that their
// tokens would not be accepted any more, or with other roles.
func TestTicketEndsWithEachTermOfItsIssuer(t *testing.T) {
	t.Parallel()
	file := jwtFile(issuerEntry(issuerA, keyFile(t, a256()), "RS256"))
	token := a256().sign(t, nil, claimsOf(issuerA, body{"groups": []string{"clerk"}}))
	changes := map[string]*strings.Replacer{
		"name":       strings.NewReplacer(issuerA, issuerB),
		"audiences":  strings.NewReplacer("audience: kv.example.com", "audience: kv.example.org"),
		"algorithms": strings.NewReplacer("[RS256]", "[ES256]"),
		"rolesClaim": strings.NewReplacer("roles_claim: roles", "roles_claim: groups"),
	}
	for _, term := range auth.IssuerTerms() {
		change := changes[term]
		if change == nil {
			t.Errorf("what becomes of tickets when %s changes?", term)
			continue
		}
		gate := gateOf(t, file)
		ticket, _ := ticketFor(t, gate, token, watched(t, "orders.>"))
		caller, err := present(t, gate, ticket)
		if err != nil {
			t.Fatal(err)
		}
		stream := tied(t, gate, caller, "orders.1")
		gate.SetPolicy(policyOf(t, change.Replace(file)))
		refused(t, gate, ticket, term)
		if !stream.wasTold(auth.RightsChanged) {
			t.Errorf("%s: the stream of the ticket was told %v", term, stream.told)
		}
	}
}
