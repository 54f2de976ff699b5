package auth

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// A field is a member of a mapping in an auth file.
type field struct {
	// name is that of the member, and key the node of the name.
	name string
	key  ast.Node
	// value is the node of the value.
	value ast.Node
}

// fields returns the members of a mapping. what says of what, in the words of the mistakes.
func (r *fileReader) fields(n ast.Node, what string) (fields []field, ok bool) {
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		r.fault(n, "%s must be a mapping of names to values, not %s", what, kindOf(n))
		return nil, false
	}
	for _, member := range mapping.Values {
		name, isText := scalarText(member.Key)
		if !isText {
			r.fault(member.Key, "write out what is merged here: an auth file has no anchors, so "+
				"that each entry can be read by itself")
			continue
		}
		fields = append(fields, field{name, member.Key, member.Value})
	}
	return fields, true
}

// members returns the values of a mapping by their names. The required ones must be there, and none
// but them and the optional ones may be.
func (r *fileReader) members(
	n ast.Node, what string, required, optional []string,
) map[string]ast.Node {
	fields, ok := r.fields(n, what)
	if !ok {
		return nil
	}
	known := slices.Concat(required, optional)
	values := make(map[string]ast.Node)
	for _, f := range fields {
		values[f.name] = f.value
		if !slices.Contains(known, f.name) {
			r.fault(f.key, "%s has no field %q: its fields are %s", what, f.name,
				strings.Join(known, ", "))
		}
	}
	for _, name := range required {
		if _, given := values[name]; !given {
			r.fault(n, "%s needs the field %s", what, name)
		}
	}
	return values
}

// list returns the items of a list, which must not be empty. instead says what to do in the place
// of an empty one.
func (r *fileReader) list(n ast.Node, what, instead string) []ast.Node {
	sequence, ok := n.(*ast.SequenceNode)
	switch {
	case !ok:
		r.fault(n, "%s must be a list, not %s", what, kindOf(n))
		return nil
	case len(sequence.Values) == 0:
		r.fault(n, "%s must not be empty: %s", what, instead)
	}
	return sequence.Values
}

// A word is a text of an auth file, with its node.
type word struct {
	text string
	node ast.Node
}

// words returns the items of a list of texts, none of which may be there twice.
func (r *fileReader) words(n ast.Node, what, instead string) (words []word) {
	seen := make(map[string]bool)
	for _, item := range r.list(n, what, instead) {
		text, ok := r.text(item, "each item of "+what)
		switch {
		case !ok:
		case seen[text]:
			r.fault(item, "%q is twice in %s: remove one", text, what)
		default:
			seen[text] = true
			words = append(words, word{text, item})
		}
	}
	return words
}

// text returns a text, which must not be empty. A number is taken as it is written.
func (r *fileReader) text(n ast.Node, what string) (string, bool) {
	text, ok := scalarText(n)
	switch {
	case !ok:
		r.fault(n, "%s must be a text, not %s", what, kindOf(n))
		return "", false
	case text == "":
		r.fault(n, "%s must not be empty", what)
		return "", false
	}
	return text, true
}

// scalarText returns the text of a node that is a text or a number. Texts on several lines are none
// that an auth file has.
func scalarText(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// kindOf says what a node is, in the words of the mistakes.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing: give a value, or leave the field out"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false; a text of that name needs quotes"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.StringNode:
		return "a text"
	case *ast.LiteralNode:
		return "a text on several lines"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias: write it out, so that each entry can be read by itself"
	}
	return "something else"
}
