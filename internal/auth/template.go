package auth

import (
	"errors"
	"fmt"
	"strings"

	"kvgateway/internal/kv"
)

// A keyTemplate is a filter with places that are filled in from the claims of a JWT, such as
// users.{sub}.> has. A token of the filter has at most one place: of two, an attacker could move
// characters from one value to the other, and get at the keys of another caller.
type keyTemplate struct {
	// text is the template as the file has it.
	text string
	// literals are what stands around the places, one more than there are places.
	literals []string
	// claims are the names of the claims that are filled in.
	claims []string
}

// parseKeyTemplate reads a filter, which may have places. It returns an error that says what is
// wrong, in the words of a mistake.
func parseKeyTemplate(text string) (keyTemplate, error) {
	t := keyTemplate{text: text}
	rest := text
	for {
		literal, more, found := strings.Cut(rest, "{")
		t.literals = append(t.literals, literal)
		if !found {
			break
		}
		name, after, closed := strings.Cut(more, "}")
		if !closed {
			return keyTemplate{}, fmt.Errorf("the { in %q has no }", text)
		}
		claim, err := parsePlace(name)
		if err != nil {
			return keyTemplate{}, fmt.Errorf("{%s} in %q: %w", name, text, err)
		}
		t.claims = append(t.claims, claim)
		rest = after
	}
	for _, between := range t.literals[1 : len(t.literals)-min(1, len(t.claims))] {
		if !strings.Contains(between, ".") {
			return keyTemplate{}, fmt.Errorf("%q has two places without a dot between them: two "+
				"callers could come to the same keys", text)
		}
	}
	_, err := kv.ParseFilter(strings.Join(t.literals, "x"))
	return t, err
}

// parsePlace returns the name of the claim that a place between braces stands for.
func parsePlace(name string) (claim string, err error) {
	if name == "sub" {
		return name, nil
	}
	claim, isClaim := strings.CutPrefix(name, "claim.")
	if !isClaim || claim == "" {
		return "", errors.New("only {sub} and {claim.NAME} can be filled in")
	}
	return claim, nil
}

// isLiteral reports whether there is nothing to fill in.
func (t keyTemplate) isLiteral() bool { return len(t.claims) == 0 }

// fill returns the filter with the values of the claims. It returns a *[Refusal] for a value that
// is missing, empty, or has a byte that is not allowed in one token of a key: with a dot or a
// wildcard it would select the keys of others.
func (t keyTemplate) fill(values map[string]string) (string, error) {
	var b strings.Builder
	for i, claim := range t.claims {
		value := values[claim]
		if value == "" {
			return "", invalid("The token lacks the claim " + claim + ", which stands for a part " +
				"of keys here, or it is neither a text nor a whole number.")
		}
		if !isKeyToken(value) {
			return "", invalid("The claim " + claim + " of the token stands for a part of keys " +
				"here, so it may have letters, digits and - / _ = only.")
		}
		b.WriteString(t.literals[i])
		b.WriteString(value)
	}
	b.WriteString(t.literals[len(t.literals)-1])
	return b.String(), nil
}

// isKeyToken reports whether a text can stand between the dots of a key.
func isKeyToken(text string) bool {
	for i := range len(text) {
		switch b := text[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9',
			b == '-', b == '/', b == '_', b == '=':
		default:
			return false
		}
	}
	return text != ""
}
