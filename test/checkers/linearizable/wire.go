package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// writeRequest returns the HTTP request for a write.
func (w *worker) writeRequest(bucket, key string, in input) request {
	r := request{path: "/buckets/" + bucket + "/keys/" + key, header: map[string]string{}}
	switch in.Op {
	case put:
		r.method, r.body = http.MethodPut, doc{By: in.ID, Put: in.ID, N: in.N}.json()
		r.header["Content-Type"] = "application/json"
	case remove:
		r.method = http.MethodDelete
	case purge:
		r.method, r.path = http.MethodDelete, r.path+"?purge=true"
	case merge:
		r.method, r.body = http.MethodPatch, fmt.Appendf(nil, `{"by":%d}`, in.ID)
		r.header["Content-Type"] = "application/merge-patch+json"
	case increment:
		r.method = http.MethodPatch
		r.body = fmt.Appendf(nil, `[{"op":"test","path":"/n","value":%d},`+
			`{"op":"replace","path":"/n","value":%d},{"op":"replace","path":"/by","value":%d}]`,
			in.N, in.N+1, in.ID)
		r.header["Content-Type"] = "application/json-patch+json"
	}
	w.setCondition(r.header, bucket, in.If)
	return r
}

// setCondition adds a condition to the headers, in one of the forms that mean the same.
func (w *worker) setCondition(header map[string]string, bucket string, c condition) {
	tag := func(revision uint64) string {
		if revision > 0 && w.random.IntN(2) == 0 {
			return fmt.Sprintf(`"%d-%s"`, revision, w.epochs[bucket])
		}
		return fmt.Sprintf(`"%d"`, revision)
	}
	switch c.Kind {
	case ifRevision:
		header["If-Match"] = tag(c.Revisions[0])
	case ifOneOf:
		header["If-Match"] = tag(c.Revisions[0]) + ", " + tag(c.Revisions[1])
	case ifPresent:
		header["If-Match"] = "*"
	case ifAbsent:
		header["If-None-Match"] = "*"
	case ifOther:
		header["If-None-Match"] = tag(c.Revisions[0])
	}
}

// outputOf turns the answer to a request for one key into an output. An answer that no such request
// may get is a finding, and leaves the outcome open.
func (s *setting) outputOf(a *answer, err error, in input, bucket string) (output, fate) {
	f := fateOf(a, err)
	if f == nothing || f == open {
		return output{}, f
	}
	out, err := output{}, error(nil)
	if f == answered {
		out, err = parseAnswer(a, in.Op)
		if err == nil {
			err = s.checkTag(a, bucket, out)
		}
	}
	if f == wrong || err != nil {
		s.history.accuse("answer", fmt.Sprintf("%v%v: %v: %v", in.Op, in.If, a, err))
		return output{}, open
	}
	return out, answered
}

// checkTag checks that the epoch is the bucket's. No bucket is created again during a run.
func (s *setting) checkTag(a *answer, bucket string, out output) error {
	if out.Outcome == testFailed || out.Revision == 0 {
		return nil
	}
	if _, epoch, err := a.tag(); err != nil || epoch != s.epochs[bucket] {
		return fmt.Errorf("epoch %q, error %v", epoch, err)
	}
	return nil
}

// parseAnswer reads an answer that says what became of an operation.
func parseAnswer(a *answer, o op) (out output, err error) {
	switch {
	case a.status == http.StatusConflict && o == increment:
		return output{Outcome: testFailed}, nil
	case a.status == http.StatusNotModified && o == read:
		return output{Outcome: notModified}, nil
	}
	if out.Revision, _, err = a.tag(); err != nil {
		return out, err
	}
	switch {
	case a.status == http.StatusNotFound && o != put:
		out.Outcome = missing
		if a.code == "key-deleted" {
			out.Kind = marker
		}
		return out, nil
	case a.status == http.StatusPreconditionFailed && o != read:
		out.Outcome = mismatch
		return out, agree(a, "current_revision", out.Revision)
	case a.status == http.StatusOK && o == read:
		out.Kind = value
		out.Doc, err = readDoc(a.body)
		return out, err
	case a.status == http.StatusOK && o != read, a.status == http.StatusCreated && o == put:
		out.Created = a.status == http.StatusCreated
		return out, agree(a, "revision", out.Revision)
	}
	return out, fmt.Errorf("not an answer to %v", o)
}

// agree checks that the body has the revision of the ETag.
func agree(a *answer, member string, revision uint64) error {
	var body map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &body); err != nil {
		return err
	}
	if told := string(body[member]); told != fmt.Sprint(revision) {
		return fmt.Errorf("%s %s, but the ETag says %d", member, told, revision)
	}
	return nil
}

// readDoc reads the doc of a value or of an entry.
func readDoc(body []byte) (d doc, err error) {
	if bytes.Contains(body, []byte(`"bucket"`)) {
		var entry struct{ Value json.RawMessage }
		if err := json.Unmarshal(body, &entry); err != nil {
			return d, err
		}
		body = entry.Value
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&d)
	return d, err
}
