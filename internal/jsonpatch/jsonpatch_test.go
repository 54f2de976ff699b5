package jsonpatch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/jsonpatch"
)

// plenty is a limit that the results of most tests do not reach.
const plenty = 1 << 20

// apply applies a JSON Patch with plenty of room.
func apply(document, patch string) ([]byte, error) {
	return jsonpatch.Apply([]byte(document), []byte(patch), plenty)
}

// merge applies a merge patch with plenty of room.
func merge(document, patch string) ([]byte, error) {
	return jsonpatch.Merge([]byte(document), []byte(patch), plenty)
}

// patchOf returns the JSON Patch of some operations.
func patchOf(operations ...string) string { return "[" + strings.Join(operations, ",") + "]" }

// nested returns arrays within each other, to a depth.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// The examples of RFC 7396, appendix A, and what else a merge must keep.
func TestMerge(t *testing.T) {
	for _, tc := range []struct{ document, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},

		{`{"a":1}`, `{"a":[{"x":null}]}`, `{"a":[{"x":null}]}`},
		{`5`, `{"x":null,"y":1}`, `{"y":1}`},
		{" {\n \"b\" : 1.0, \"a\" : [ 1 ] } ", `{}`, "{\n \"b\" : 1.0, \"a\" : [ 1 ] }"},
		{`{"z": {"k" : 1e400}, "a": 1}`, `{"a":2}`, `{"z":{"k" : 1e400},"a":2}`},
		{`{"n":[1.0,-0,1e400,12345678901234567890,0.1e-7]}`, `{"m":-0.0}`,
			`{"n":[1.0,-0,1e400,12345678901234567890,0.1e-7],"m":-0.0}`},
		{`{"a":"<&>\u00e9\ud83d\ude00"}`, `{"b":"</script>"}`,
			`{"a":"<&>\u00e9\ud83d\ude00","b":"</script>"}`},
		{`{"\u0061":1}`, `{"a":2}`, `{"\u0061":2}`},
		{`{"":1}`, `{"":{"":2}}`, `{"":{"":2}}`},
		{`{"\ud800":1,"\ufffd":2}`, `{"\ud801":3,"\udc00\ud800":4}`,
			`{"\ud800":1,"\ufffd":2,"\ud801":3,"\udc00\ud800":4}`},
		{`{"\ud83d\ude00":1,"\uD800":2}`, `{"😀":3,"\ud800":null}`, `{"\ud83d\ude00":3}`},
	} {
		got, err := merge(tc.document, tc.patch)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s with %s is %s (%v), want %s", tc.document, tc.patch, got, err, tc.want)
		}
	}
}

// An object of any size is merged in linear time.
func TestMergeOfManyMembersIsLinear(t *testing.T) {
	var document, patch strings.Builder
	for i := range 30000 {
		fmt.Fprintf(&document, `,"k%d":%d`, i, i)
		fmt.Fprintf(&patch, `,"k%d":null`, 29999-i)
	}
	began := time.Now()
	got, err := merge("{"+document.String()[1:]+"}", "{"+patch.String()[1:]+"}")
	if err != nil || string(got) != "{}" {
		t.Errorf("%.100s, %v", got, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// An operation costs what it moves, however much the array or object has that it changes.
func TestManyOperationsOnALargeValue(t *testing.T) {
	array := "[" + strings.Repeat("1,", 499_999) + "2]"
	var object strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&object, `,"k%d":[]`, i)
	}
	for name, tc := range map[string]struct{ document, operation, want string }{
		"move": {array, `{"op":"move","from":"/499999","path":"/0"}`, "[1,"},
		"add":  {array, `{"op":"add","path":"/-","value":1}`, "[1,"},
		"add, remove": {"[[" + array + "]]", `{"op":"add","path":"/0/0/0","value":[3]},` +
			`{"op":"remove","path":"/0/0/0"}`, "[[[1,"},
		"copy": {`{"a":` + array + `,"b":[]}`,
			`{"op":"copy","from":"/a/499999","path":"/b/-"}`, `{"a":[1,`},
		"member": {"{" + object.String()[1:] + "}",
			`{"op":"replace","path":"/k49999","value":1}`, `{"k0":[],`},
	} {
		count := jsonpatch.MaxOperations / (1 + strings.Count(tc.operation, "},{"))
		patch := "[" + strings.Repeat(tc.operation+",", count-1) + tc.operation + "]"
		began := time.Now()
		got, err := jsonpatch.Apply([]byte(tc.document), []byte(patch), jsonpatch.MaxBytes)
		if err != nil || !strings.HasPrefix(string(got), tc.want) || !json.Valid(got) {
			t.Errorf("%s: %.20s, %v", name, got, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

// A copy is a value of its own, whatever is done to it or to the original.
func TestCopyIsAValueOfItsOwn(t *testing.T) {
	got, err := apply(`{"a":{ "x":[1] }}`, patchOf(
		`{"op":"copy","from":"/a","path":"/b"}`,
		`{"op":"add","path":"/a/x/-","value":2}`,
		`{"op":"copy","from":"/b/x","path":"/c"}`,
		`{"op":"replace","path":"/b/x/0","value":3}`,
		`{"op":"remove","path":"/c/0"}`,
		`{"op":"copy","from":"","path":"/a/y"}`,
		`{"op":"add","path":"/a/y/a/z","value":4}`,
		`{"op":"move","from":"/a/y/b","path":"/d"}`,
		`{"op":"add","path":"/d/x/0","value":5}`,
		`{"op":"move","from":"/d/x","path":"/e"}`,
		`{"op":"add","path":"/e/-","value":6}`,
	))
	const want = `{"a":{"x":[1,2],"y":{"a":{"x":[1,2],"z":4},"c":[]}},` +
		`"b":{"x":[3]},"c":[],"d":{},"e":[5,3,6]}`
	if err != nil || string(got) != want {
		t.Errorf("%s (%v), want %s", got, err, want)
	}
}

// The depth of a document is known exactly, even after its deepest part was removed.
func TestDepthIsExactAfterRemovals(t *testing.T) {
	add := `{"op":"add","path":"/a/-","value":` + nested(jsonpatch.MaxDepth-2) + `}`
	for patch, ok := range map[string]bool{
		patchOf(add): true,
		patchOf(add,
			`{"op":"add","path":"/a/0","value":{}}`,
			`{"op":"move","from":"/a/1","path":"/a/0/b"}`,
		): false,
		patchOf(add,
			`{"op":"remove","path":"/a/0"}`,
			`{"op":"copy","from":"/a","path":"/b/0/0"}`,
			`{"op":"move","from":"/a","path":"/b/0/1"}`,
			`{"op":"copy","from":"/b","path":"/b/-"}`,
		): true,
	} {
		_, err := apply(`{"a":[],"b":[[]]}`, patch)
		_, refused := errors.AsType[*jsonpatch.ApplyError](err)
		if refused == ok || !refused && err != nil {
			t.Errorf("%.40s…%.60s: %v", patch, patch[len(patch)-60:], err)
		}
	}
}

const (
	testFailed  = "test failed"
	cannotApply = "cannot be applied"
)

// The examples of RFC 6902, appendix A, and RFC 6901 §5, and the corners of both.
func TestApply(t *testing.T) {
	const pointers = `{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,` +
		`"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}`
	for _, tc := range []struct{ document, patch, want string }{
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`,
			`{"foo":"bar","baz":"qux"}`},
		{`{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`,
			`{"foo":["bar","qux","baz"]}`},
		{`{"baz":"qux","foo":"bar"}`, `[{"op":"remove","path":"/baz"}]`, `{"foo":"bar"}`},
		{`{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`,
			`{"foo":["bar","baz"]}`},
		{`{"baz":"qux","foo":"bar"}`, `[{"op":"replace","path":"/baz","value":"boo"}]`,
			`{"baz":"boo","foo":"bar"}`},
		{`{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}`,
			`[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]`,
			`{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}`},
		{`{"foo":["all","grass","cows","eat"]}`, `[{"op":"move","from":"/foo/1","path":"/foo/3"}]`,
			`{"foo":["all","cows","eat","grass"]}`},
		{`{"baz":"qux","foo":["a",2,"c"]}`,
			`[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]`,
			`{"baz":"qux","foo":["a",2,"c"]}`},
		{`{"baz":"qux"}`, `[{"op":"test","path":"/baz","value":"bar"}]`, testFailed},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/child","value":{"grandchild":{}}}]`,
			`{"foo":"bar","child":{"grandchild":{}}}`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","xyz":123}]`,
			`{"foo":"bar","baz":"qux"}`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz/bat","value":"qux"}]`, cannotApply},
		{`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":10}]`, `{"/":9,"~1":10}`},
		{`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":"10"}]`, testFailed},
		{`{"foo":["bar"]}`, `[{"op":"add","path":"/foo/-","value":["abc","def"]}]`,
			`{"foo":["bar",["abc","def"]]}`},

		{pointers, patchOf(
			`{"op":"test","path":"","value":`+pointers+`}`,
			`{"op":"test","path":"/","value":0}`,
			`{"op":"test","path":"/a~1b","value":1}`,
			`{"op":"test","path":"/i\\j","value":5}`,
			`{"op":"test","path":"/k\"l","value":6}`,
			`{"op":"test","path":"/m~0n","value":8}`,
			`{"op":"test","path":"/c%d","value":2}`,
		), pointers},

		{`{"a":1}`, `[]`, `{"a":1}`},
		{`5`, `[{"op":"replace","path":"","value":{}}]`, `{}`},
		{` [1] `, `[{"op":"add","path":"/0","value":2}]`, `[2,1]`},
		{`{"a":1}`, `[{"op":"add","path":"","value":"x"}]`, `"x"`},
		{`{"a":[1]}`, `[{"op":"move","from":"/a","path":""}]`, `[1]`},
		{`{"a":[1]}`, `[{"op":"copy","from":"","path":"/b"}]`, `{"a":[1],"b":{"a":[1]}}`},
		{`{"":{"a":1}}`, `[{"op":"replace","path":"//a","value":2}]`, `{"":{"a":2}}`},
		{`{"a":null}`,
			`[{"op":"replace","path":"/a","value":null},{"op":"test","path":"/a","value":null}]`,
			`{"a":null}`},
		{`{"a":1}`, `[{"op":"move","from":"/a","path":"/a"}]`, `{"a":1}`},
		{`{"ab":1}`, `[{"op":"move","from":"/ab","path":"/abc"}]`, `{"abc":1}`},
		{`{"a":{"b":1}}`, `[{"op":"move","from":"/a/b","path":"/a"}]`, `{"a":1}`},
		{`{}`, `[{"op":"add","path":"/<é\"","value":1}]`, `{"<é\"":1}`},

		{`{"a":1.0}`, `[{"op":"test","path":"/a","value":1}]`, `{"a":1.0}`},
		{`[1e400,-0,100,0.5e1,12345678901234567890]`,
			`[{"op":"test","path":"","value":[10e399,0.0,1E+2,5,12345678901234567890]}]`,
			`[1e400,-0,100,0.5e1,12345678901234567890]`},
		{`[12345678901234567890]`, `[{"op":"test","path":"/0","value":12345678901234567891}]`,
			testFailed},
		{`[1e99999999999999999999]`, `[{"op":"test","path":"/0","value":1e99999999999999999999}]`,
			`[1e99999999999999999999]`},
		{`[1]`, `[{"op":"test","path":"/0","value":-1}]`, testFailed},
		{`{"a":"\u00e9"}`, `[{"op":"test","path":"/a","value":"é"}]`, `{"a":"\u00e9"}`},
		{`{"a":[null,true]}`, `[{"op":"test","path":"/a","value":[null,true]}]`,
			`{"a":[null,true]}`},
		{`{"a":true}`, `[{"op":"test","path":"/a","value":false}]`, testFailed},
		{`{"a":1,"b":2}`, `[{"op":"test","path":"","value":{"b":2,"a":1}}]`, `{"a":1,"b":2}`},
		{`{"a":1,"b":2}`, `[{"op":"test","path":"","value":{"b":2,"c":1}}]`, testFailed},
		{`{"a":1}`, `[{"op":"test","path":"/b","value":null}]`, testFailed},
		{`{"a":1}`, `[{"op":"test","path":"/a/b","value":1}]`, testFailed},

		{`{"a":"\ud800"}`, `[{"op":"test","path":"/a","value":"\uD800"}]`, `{"a":"\ud800"}`},
		{`{"a":"\ud800"}`, `[{"op":"test","path":"/a","value":"\ud801"}]`, testFailed},
		{`{"a":"\ud800x"}`, `[{"op":"test","path":"/a","value":"\ufffdx"}]`, testFailed},
		{`{"a":"\ud83d\ude00\b\f\n\r\t\/\\\""}`,
			`[{"op":"test","path":"/a","value":"😀\u0008\u000c\u000A\u000d\u0009/\u005c\u0022"}]`,
			`{"a":"\ud83d\ude00\b\f\n\r\t\/\\\""}`},
		{`{"a":1}`, patchOf(
			`{"op":"add","path":"/\uDfff\ud800~1\ud83d\ude00\u0001\"","value":2}`,
			`{"op":"test","path":"/\udfff\ud800~1😀\u0001\"","value":2}`),
			`{"a":1,"\udfff\ud800/😀\u0001\"":2}`},

		{`{"a":1}`, `[{"op":"remove","path":""}]`, cannotApply},
		{`{"a":1}`, `[{"op":"remove","path":"/b"}]`, cannotApply},
		{`{"a":1}`, `[{"op":"replace","path":"/b","value":1}]`, cannotApply},
		{`{"a":1}`, `[{"op":"copy","from":"/b","path":"/c"}]`, cannotApply},
		{`{"a":{"b":1}}`, `[{"op":"move","from":"/a","path":"/a/b"}]`, cannotApply},
		{`{"a":{"b":1}}`, `[{"op":"move","from":"","path":"/a"}]`, cannotApply},
		{`{"a":null}`, `[{"op":"add","path":"/a/b","value":1}]`, cannotApply},
		{`[1,2]`, `[{"op":"remove","path":"/01"}]`, cannotApply},
		{`[1,2]`, `[{"op":"remove","path":"/+1"}]`, cannotApply},
		{`[1,2]`, `[{"op":"remove","path":"/-1"}]`, cannotApply},
		{`[1,2]`, `[{"op":"remove","path":"/-"}]`, cannotApply},
		{`[1,2]`, `[{"op":"replace","path":"/-","value":1}]`, cannotApply},
		{`[1,2]`, `[{"op":"add","path":"/3","value":1}]`, cannotApply},
		{`[1,2]`, `[{"op":"add","path":"/2","value":3}]`, `[1,2,3]`},
		{`[1,2]`, `[{"op":"add","path":"/99999999999999999999","value":1}]`, cannotApply},
		{`[]`, `[{"op":"add","path":"/x","value":1}]`, cannotApply},
	} {
		got, err := apply(tc.document, tc.patch)
		outcome := string(got)
		if _, ok := errors.AsType[*jsonpatch.ApplyError](err); ok {
			outcome = cannotApply
		} else if errors.Is(err, jsonpatch.ErrTestFailed) {
			outcome = testFailed
		} else if err != nil {
			outcome = err.Error()
		}
		if outcome != tc.want {
			t.Errorf("%s with %s:\n\t%s (%v), want %s",
				tc.document, tc.patch, outcome, err, tc.want)
		}
	}
}

func TestMalformedPatchIsRefusedWithItsPlace(t *testing.T) {
	for _, tc := range []struct{ patch, pointer string }{
		{`{`, ""}, {``, ""}, {`[] []`, ""}, {"\"\xff\"", ""}, {`{}`, ""}, {`null`, ""},
		{`[1]`, "/0"},
		{`[{"path":"/a"}]`, "/0/op"},
		{`[{"op":1,"path":"/a"}]`, "/0/op"},
		{`[{"op":"test","path":"/a","value":1},{"op":"spam","path":"/a"}]`, "/1/op"},
		{`[{"op":"remove"}]`, "/0/path"},
		{`[{"op":"remove","path":"a"}]`, "/0/path"},
		{`[{"op":"remove","path":"/a~2"}]`, "/0/path"},
		{`[{"op":"remove","path":"/a~"}]`, "/0/path"},
		{`[{"op":"add","path":"/a"}]`, "/0/value"},
		{`[{"op":"test","path":"/a"}]`, "/0/value"},
		{`[{"op":"move","path":"/a"}]`, "/0/from"},
		{`[{"op":"add","op":"remove","path":"/a"}]`, "/0/op"},
		{`[{"op":"add","path":"/a","value":{"x/y":{"b":1,"\u0062":2}}}]`, "/0/value/x~1y/b"},
		{"[" + strings.Repeat(`{"op":"remove","path":"/a"},`, jsonpatch.MaxOperations) +
			`{"op":"remove","path":"/a"}]`, ""},
		{nested(10000), ""},
		{strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000), ""},
		{strings.Repeat("[", 5_000_000), ""},
	} {
		_, err := apply(`{"a":1}`, tc.patch)
		format, ok := errors.AsType[*jsonpatch.FormatError](err)
		if !ok || format.Pointer != tc.pointer {
			t.Errorf("%.80s: %v, want a fault at %q", tc.patch, err, tc.pointer)
		}
	}
	_, err := merge(`{}`, `{"a":{"b":1,"b":1}}`)
	if err == nil || !strings.Contains(err.Error(), "/a/b") {
		t.Errorf("a name that stands twice: %v", err)
	}
}

func TestDocumentThatIsNotJSONIsRefused(t *testing.T) {
	for _, document := range []string{
		"", "x", `{"a":1`, `{"a":1,"a":2}`, "\"\xff\"", "01", `{"a":1}x`, nested(10000),
	} {
		_, err := merge(document, `{}`)
		if _, ok := errors.AsType[*jsonpatch.DocumentError](err); !ok {
			t.Errorf("%.50q: %v", document, err)
		}
	}
}

// Copies of copies, which grow without bound in a few operations, are refused before they exist.
func TestGrowingPatchesAreRefused(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	operations := strings.Repeat(`{"op":"copy","from":"","path":"/a"},`, 400)
	_, err := apply(`{"a":1,"b":2}`, patchOf(operations[:len(operations)-1]))
	_, deep := errors.AsType[*jsonpatch.ApplyError](err)
	if err != nil && !deep && !errors.Is(err, jsonpatch.ErrTooLarge) {
		t.Error(err)
	}
	doubling := strings.Repeat(`{"op":"copy","from":"/a","path":"/a/-"},`, 80)
	_, err = apply(`{"a":[1,1,1,1]}`, patchOf(doubling[:len(doubling)-1]))
	if !errors.Is(err, jsonpatch.ErrTooLarge) {
		t.Error(err)
	}
	_, err = apply(`[]`, patchOf(
		`{"op":"copy","from":"","path":"/0"}`,
		`{"op":"add","path":"/0","value":`+nested(900)+`}`,
	))
	if err != nil {
		t.Error(err)
	}
	path := strings.Repeat("/0", 899) + "/-"
	add := fmt.Sprintf(`{"op":"add","path":%q,"value":%s}`, path, nested(900))
	_, err = apply(nested(900), patchOf(add))
	if _, ok := errors.AsType[*jsonpatch.ApplyError](err); !ok {
		t.Errorf("a result of 1,800 levels: %v", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 100<<20 {
		t.Errorf("%d MiB for a few small patches", took>>20)
	}
	_, err = jsonpatch.Merge([]byte(`{"a":1}`), []byte(`{"b":2}`), 12)
	if !errors.Is(err, jsonpatch.ErrTooLarge) {
		t.Errorf("13 bytes with a limit of 12: %v", err)
	}
}

func FuzzPatches(f *testing.F) {
	f.Add(`{"a":[1,{"b":null}]}`, `{"a":{"b":1}}`)
	f.Add(`{"a":[1,{"b":null}]}`, patchOf(
		`{"op":"move","from":"/a/0","path":"/a/1/b"}`,
		`{"op":"copy","from":"","path":"/c"}`))
	f.Add(`{"\ud800":"\udfff\ud83d\ude00"}`,
		`[{"op":"add","path":"/\ud800\u001f\ud83d","value":1}]`)
	f.Add(`[1e400,-0]`, patchOf(
		`{"op":"test","path":"/0","value":1e400}`,
		`{"op":"add","path":"/-","value":"<"}`))
	f.Fuzz(func(t *testing.T, document, patch string) {
		type patcher func(document, patch []byte, limit int) ([]byte, error)
		for _, change := range []patcher{jsonpatch.Merge, jsonpatch.Apply} {
			got, err := change([]byte(document), []byte(patch), 1000)
			if err == nil && (!json.Valid(got) || len(got) > 1000) {
				t.Errorf("%q with %q is %q", document, patch, got)
			}
		}
	})
}
