package auth

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/goccy/go-yaml/ast"
)

// algorithms are the algorithms of signatures that a file can allow. All of them have a public key:
// with HMAC the key that checks could also sign, and a public key could be taken for its secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// algorithmNames lists the algorithms for the mistakes.
func algorithmNames() string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}

// maxIssuerBytes bounds the names of issuers and audiences.
const maxIssuerBytes = 1024

// issuers reads the section jwt.
func (r *fileReader) issuers(n ast.Node, p *Policy) {
	p.issuers = make(map[string]*issuer)
	for _, item := range r.list(n, "jwt", "leave it out if no JWT is accepted") {
		i := &issuer{}
		members := r.members(item, "an entry of jwt",
			[]string{"issuer", "audience", "algorithms", "keys", "roles_claim"}, nil)
		if m := members["issuer"]; m != nil {
			i.name = r.identifier(m, "issuer")
			if p.issuers[i.name] != nil {
				r.fault(m, "there are two entries for the issuer %s: put what they have into one",
					i.name)
			}
		}
		if m := members["audience"]; m != nil {
			i.audiences = r.audiences(m)
		}
		if m := members["algorithms"]; m != nil {
			i.algorithms = r.algorithms(m)
		}
		if m := members["keys"]; m != nil {
			i.keys = r.keySource(m)
		}
		if m := members["roles_claim"]; m != nil {
			i.rolesClaim, _ = r.text(m, "roles_claim")
		}
		p.issuers[i.name] = i
	}
}

// identifier reads a text that is compared with a claim byte by byte.
func (r *fileReader) identifier(n ast.Node, what string) string {
	text, ok := r.text(n, what)
	isControl := func(c rune) bool { return c <= ' ' || c == 0x7f }
	if ok && (len(text) > maxIssuerBytes || strings.ContainsFunc(text, isControl)) {
		r.fault(n, "%s must have no spaces, and at most %d bytes: copy it from the claim of a "+
			"token", what, maxIssuerBytes)
	}
	return text
}

// audiences reads one audience, or a list of them.
func (r *fileReader) audiences(n ast.Node) (audiences []string) {
	if _, isList := n.(*ast.SequenceNode); !isList {
		return []string{r.identifier(n, "audience")}
	}
	for _, w := range r.words(n, "audience", "name the audience of the gateway's tokens") {
		audiences = append(audiences, r.identifier(w.node, "audience"))
	}
	return audiences
}

// algorithms reads the algorithms that an issuer signs with.
func (r *fileReader) algorithms(n ast.Node) (allowed []jose.SignatureAlgorithm) {
	const instead = "name those with which the issuer signs, such as RS256"
	for _, w := range r.words(n, "algorithms", instead) {
		algorithm := jose.SignatureAlgorithm(w.text)
		if !slices.Contains(algorithms, algorithm) {
			r.fault(w.node, "the algorithm %q cannot be used: use some of %s", w.text,
				algorithmNames())
			continue
		}
		allowed = append(allowed, algorithm)
	}
	return allowed
}

// keySource reads where the keys of an issuer are. A file is read at once, so that a mistake in it
// is one of the auth file.
func (r *fileReader) keySource(n ast.Node) (source keySource) {
	text, ok := r.text(n, "keys")
	if !ok {
		return keySource{}
	}
	if scheme, _, isURL := strings.Cut(text, "://"); isURL {
		u, err := url.Parse(text)
		if err != nil || scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
			r.fault(n, "keys must be the address of a JWKS that begins with https://, without a "+
				"user and a fragment, or the name of a file with one")
		}
		return keySource{url: text}
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(r.dir, text)
	}
	keys, err := readKeyFile(text, r.files)
	if err != nil {
		r.fault(n, "keys: %v", err)
	}
	return keySource{file: text, keys: keys}
}
