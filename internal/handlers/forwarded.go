package handlers

import "strings"

// A forwardedElement is what one proxy says of a request (RFC 7239 §4).
type forwardedElement struct {
	// node is from where the proxy was asked ("for"), and proto with which scheme; "" if it does
	// not say.
	node, proto string
}

// parseForwarded parses the value of the header Forwarded. It returns false if it has a mistake, or
// if an element says something twice.
func parseForwarded(value string) (elements []forwardedElement, ok bool) {
	var element forwardedElement
	isEmpty := true
	for {
		value = strings.TrimLeft(value, " \t")
		name, rest := cutToken(value)
		if name != "" {
			var text string
			if text, rest, ok = cutValue(rest); !ok || !element.set(name, text) {
				return nil, false
			}
			isEmpty = false
		}
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] == ',' {
			if !isEmpty { // Empty members of a list are to be ignored (RFC 9110 §5.6.1).
				elements = append(elements, element)
			}
			element, isEmpty = forwardedElement{}, true
			if rest == "" {
				return elements, true
			}
		} else if rest[0] != ';' {
			return nil, false
		}
		value = rest[1:]
	}
}

// set notes a parameter of the element. It reports whether it was not there before.
func (e *forwardedElement) set(name, value string) bool {
	field := (*string)(nil)
	switch strings.ToLower(name) {
	case "for":
		field = &e.node
	case "proto":
		field = &e.proto
	default:
		return true
	}
	if *field != "" || value == "" {
		return false
	}
	*field = value
	return true
}

// cutToken cuts the token with which a text begins (RFC 9110 §5.6.2); "" if there is none.
func cutToken(text string) (token, rest string) {
	for i := range len(text) {
		if !isTokenByte(text[i]) {
			return text[:i], text[i:]
		}
	}
	return text, ""
}

// isTokenByte reports whether a byte may be in a token.
func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// cutValue cuts "=" and a token, or a quoted string, with which a text begins. It returns false if
// it begins with something else.
func cutValue(text string) (value, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, "=")
	if !ok {
		return "", "", false
	}
	if !strings.HasPrefix(text, `"`) {
		value, rest = cutToken(text)
		return value, rest, value != ""
	}
	var unquoted strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return unquoted.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			unquoted.WriteByte(text[i])
		default:
			unquoted.WriteByte(c)
		}
	}
	return "", "", false // It has no end.
}
