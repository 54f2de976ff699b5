package kv

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// encodeInParts returns the entry's JSON, put together from its parts, and the length of the
// largest part.
func encodeInParts(t *testing.T, e *Entry, form ValueForm) (whole []byte, largest int) {
	t.Helper()
	sink := func(part []byte) ([]byte, error) {
		whole, largest = append(whole, part...), max(largest, len(part))
		return part[:0], nil
	}
	rest, err := e.EncodeJSON(nil, BucketName{"b"}, form, sink)
	if err != nil {
		t.Fatal(err)
	}
	return append(whole, rest...), max(largest, len(rest))
}

func TestEncodeJSONInPartsIsTheSameAsInOne(t *testing.T) {
	object := strings.Repeat(`  {"a" : [1.50, "x \" y\\" , true], "ü€😀 b":null}`+",\r\n\t", 20_000)
	for name, c := range map[string]struct {
		value, contentType string
		member             string
	}{
		"control characters": {strings.Repeat("\x01", 1_000_000), "text/plain", `"text":"\u0001`},
		"wide characters": {
			strings.Repeat("x€😀\u2028<&>", 90_000), "text/plain", `"text":"x€😀\u2028<&>x`,
		},
		"bytes": {strings.Repeat("\xff\x00a", 300_001) + "z", "", `"base64":"`},
		"JSON": {
			"[" + object + ` " a  b " ]`,
			"application/json",
			`"value":[{"a":[1.50,"x \" y\\",true]`,
		},
		"JSON with line breaks": {
			strings.Repeat("[ \"€\u2028\u2029\u0085\u0084\u2027 \\\\\u2028\" ] ", 1) +
				strings.Repeat(" ", 20_000),
			"application/json",
			`"value":["€\u2028\u2029\u0085` + "\u0084\u2027" + ` \\\u2028"]`,
		},
		"many line breaks": {
			`["` + strings.Repeat("x\u2028", 30_000) + `"]`, "application/json", `\u2028x\u2028"]`,
		},
		"small": {"v", "", `"text":"v"`},
		"empty": {"", "", `"text":""`},
	} {
		e := Entry{Key: "k", Value: []byte(c.value), Size: len(c.value), ContentType: c.contentType}
		got, largest := encodeInParts(t, &e, ValueByType)
		if !bytes.Contains(got, []byte(c.member)) || !json.Valid(got) {
			t.Errorf("%s: %.300s", name, got)
		}
		if whole := e.AppendJSON(nil, BucketName{"b"}, ValueByType); !bytes.Equal(got, whole) {
			t.Errorf("%s: parts differ from the whole", name)
		}
		if largest > jsonPart+6*valuePart {
			t.Errorf("%s: a part of %d bytes", name, largest)
		}
		var shown struct {
			Text   *string
			Value  json.RawMessage
			Base64 []byte
		}
		if err := json.Unmarshal(got, &shown); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(got, "\u0085\u2028\u2029") {
			t.Errorf("%s: a character is not escaped at which some programs break lines", name)
		}
		var compact bytes.Buffer
		switch {
		case shown.Text != nil && *shown.Text != c.value,
			shown.Base64 != nil && string(shown.Base64) != c.value,
			shown.Value != nil && (json.Compact(&compact, e.Value) != nil ||
				escapedLineBreaks.Replace(compact.String()) != string(shown.Value)):
			t.Errorf("%s: another value", name)
		}
	}
}

// escapedLineBreaks escapes the characters at which some programs break a line.
var escapedLineBreaks = strings.NewReplacer(
	"\u0085", `\u0085`, "\u2028", `\u2028`, "\u2029", `\u2029`)

// A string is written as encoding/json writes it, but for what matters only within HTML and for
// U+0085.
func TestTextIsWrittenAsEncodingJSONDoes(t *testing.T) {
	texts := []string{
		"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "<script>&</script>", "a\xffb",
		"\xe2\x80",
		"\xe2\x80\xa8", "\xc2", "\u0085", "\u0084\u2027\u2028\u2029\u202a", "€😀\ufffd",
		"\xed\xa0\x80",
	}
	for range 2000 {
		text := make([]byte, rand.IntN(12))
		for i := range text {
			text[i] = "ab\"\\\n\x00\xe2\x80\xa8\xa9\xc2\x85\xf0\x9f\xff<"[rand.IntN(16)]
		}
		texts = append(texts, string(text))
	}
	for _, text := range texts {
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(strings.ToValidUTF8(text, "\ufffd")); err != nil {
			t.Fatal(err)
		}
		got := string(appendString(nil, text))
		expected := escapedLineBreaks.Replace(strings.TrimSuffix(want.String(), "\n"))
		if got != expected {
			t.Errorf("%q is written as %s, want %s", text, got, expected)
		}
	}
}

// Wherever a value is cut into parts, its strings stay as they are, spaces included.
func TestCompacterTakesAnyParts(t *testing.T) {
	const value = "{ \"a \\\\\" : [ 1 , \"\\\" , \\\\\" ],\n\t\"b\" : \" \" }"
	var want bytes.Buffer
	if err := json.Compact(&want, []byte(value)); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		var c compacter
		var got []byte
		for rest := []byte(value); len(rest) > 0; {
			n := 1 + rand.IntN(len(rest))
			got, rest = c.append(got, rest[:n]), rest[n:]
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%s, want %s", got, want.Bytes())
		}
	}
}
