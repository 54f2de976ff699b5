package kv_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"kvgateway/internal/kv"
)

// wantOffset checks that the error is a SyntaxError about what was parsed, at this offset.
func wantOffset(t *testing.T, err error, what string, offset int) {
	t.Helper()
	syntax, ok := errors.AsType[*kv.SyntaxError](err)
	if !ok {
		t.Fatalf("error %v, want a SyntaxError", err)
	}
	if syntax.What != what || syntax.Offset != offset || syntax.Reason == "" {
		t.Errorf("%s at offset %d (%q), want %s at %d",
			syntax.What, syntax.Offset, syntax.Reason, what, offset)
	}
}

func TestParseKeyAccepts(t *testing.T) {
	for _, s := range []string{
		"a", "A.b", "a/b", "a//b", "a/./b", "a/.b", "/", "//", "=", "-", "_", "a=b", "k.1.2.3",
		"orders/2026-11-22",
		"/.a", "a./", strings.Repeat("k", kv.MaxKeyBytes), strings.Repeat("a.", 511) + "ab",
		strings.Repeat("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_=", 10),
	} {
		k, err := kv.ParseKey(s)
		if err != nil || k.String() != s {
			t.Errorf("ParseKey(%.40q) = %.40q, %v", s, k, err)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for _, tc := range []struct {
		key    string
		offset int
	}{
		{"", 0}, {".", 0}, {"..", 0}, {".a", 0}, {"a.", 1}, {"a..b", 2}, {"a.b..", 4},
		{"a/../b", 3}, {"../a", 0}, {"a/..", 3},
		{"*", 0}, {">", 0}, {"a.*", 2}, {"a.>", 2}, {"a*b", 1}, {"a>", 1},
		{" ", 0}, {"a b", 1}, {"a\tb", 1}, {"a\nb", 1}, {"a\r\nb", 1}, {"a\x00b", 1},
		{"\x00", 0}, {"a\x7f", 1},
		{"é", 0}, {"key-é", 4}, {"key\xff", 3}, {"日本", 0}, {"a%2Fb", 1}, {"a+b", 1},
		{"a:b", 1}, {"a@b", 1}, {"a|b", 1}, {"$KV.b.k", 0}, {"a~", 1}, {"a?b", 1}, {"a#b", 1},
		{"a\\b", 1}, {`a"b`, 1}, {"a,b", 1}, {"a;b", 1}, {"{k}", 0},
	} {
		_, err := kv.ParseKey(tc.key)
		if err == nil {
			t.Errorf("ParseKey(%q) accepts", tc.key)
			continue
		}
		wantOffset(t, err, "key", tc.offset)
	}
}

func TestParseKeyRefusesLongKeys(t *testing.T) {
	for _, n := range []int{kv.MaxKeyBytes + 1, 4050, 5000, 1 << 20} {
		// The length is checked first, whatever the bytes are.
		for _, char := range []string{"k", "*", "."} {
			s := strings.Repeat(char, n)
			if _, err := kv.ParseKey(s); !errors.Is(err, kv.ErrKeyTooLong) {
				t.Errorf("%d bytes of %q: %v, want ErrKeyTooLong", n, s[:1], err)
			}
		}
	}
}

func TestParseBucketName(t *testing.T) {
	longest := strings.Repeat("n", kv.MaxBucketNameBytes)
	for _, s := range []string{"b", "B-1_x", "_", "-", "0", longest} {
		if name, err := kv.ParseBucketName(s); err != nil || name.String() != s {
			t.Errorf("ParseBucketName(%.40q) = %.40q, %v", s, name, err)
		}
	}
	for _, tc := range []struct {
		name   string
		offset int
	}{
		{"", 0}, {".", 0}, {"..", 0}, {"a.b", 1}, {"a b", 1}, {"*", 0}, {">", 0}, {"a/b", 1},
		{"é", 0}, {"a\x00", 1}, {"a=", 1}, {"$a", 0},
		{strings.Repeat("n", kv.MaxBucketNameBytes+1), kv.MaxBucketNameBytes},
	} {
		_, err := kv.ParseBucketName(tc.name)
		if err == nil {
			t.Errorf("ParseBucketName(%.40q) accepts", tc.name)
			continue
		}
		wantOffset(t, err, "bucket name", tc.offset)
	}
}

// adr8Key is the grammar of ADR-8. Dots at the beginning, at the end and next to each other are
// not allowed either; isKey checks these.
var adr8Key = regexp.MustCompile(`\A[-/_=.A-Za-z0-9]+\z`)

// isKey reports what the contract says of a key, apart from its length.
func isKey(s string) bool {
	return adr8Key.MatchString(s) && !strings.HasPrefix(s, ".") &&
		!strings.HasSuffix(s, ".") && !strings.Contains(s, "..")
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{
		"", "a", "a.b", ".a", "a.", "a..b", "a//b", "a/../b", "*", ">", "é", "a\nb",
		strings.Repeat("k", 1024), strings.Repeat("k", 1025),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := kv.ParseKey(s)
		switch {
		case len(s) > kv.MaxKeyBytes:
			if !errors.Is(err, kv.ErrKeyTooLong) {
				t.Fatalf("%d bytes: %v, want ErrKeyTooLong", len(s), err)
			}
		case isKey(s):
			if err != nil || k.String() != s {
				t.Fatalf("%q: %q, %v", s, k, err)
			}
		default:
			syntax, ok := errors.AsType[*kv.SyntaxError](err)
			if !ok || k != (kv.Key{}) {
				t.Fatalf("%q: %q, %v, want a SyntaxError", s, k, err)
			}
			checkKeyOffset(t, s, syntax.Offset)
		}
	})
}

// checkKeyOffset checks that an error's offset is that of the first byte because of which s is no
// key. The bytes before it could begin a key.
func checkKeyOffset(t *testing.T, s string, offset int) {
	t.Helper()
	if s == "" && offset == 0 {
		return
	}
	if offset < 0 || offset >= len(s) {
		t.Fatalf("%q: offset %d is outside", s, offset)
	}
	if offset > 0 && !isKey(s[:offset]+"x") {
		t.Fatalf("%q: offset %d, but the bytes before it are wrong already", s, offset)
	}
	if offset < len(s)-1 && isKey(s[:offset+1]+"x") {
		t.Fatalf("%q: nothing is wrong at offset %d", s, offset)
	}
}
