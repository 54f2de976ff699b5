package native

import (
	"net/url"
	"strconv"
)

// checkResume begins a watch at an earlier revision, as one does that was away since.
func checkResume(s *scene) {
	s.create(`{"history":5}`)
	s.put("a", "1")
	second := s.put("a", "2")
	s.revision("put", "b", text("3"), "0")
	s.want("ok", "watch", ">", second)
	s.wantUpdate("put", "a", "2")
	s.wantUpdate("put", "b", "3")
	s.want("end", "next", milliseconds(patience))
	s.put("b", "4")
	s.wantUpdate("put", "b", "4")
	s.want("ok", "unwatch")
}

func resumeOverHTTP(s *scene) {
	s.create(`{"history":5}`)
	s.put("a", "1")
	second := s.put("a", "2")
	s.revision("put", "b", text("3"), "0")
	over := s.stream("?resume_from_revision=" + second)
	over.want("put", "a", "2")
	over.want("put", "b", "3")
	over.want("sync", "", "")
	s.revision("put", "b", text("4"), "0")
	over.want("put", "b", "4")
}

// checkResumeTold resumes a watch after a key was deleted, and its marker removed.
func checkResumeTold(s *scene) {
	s.create(`{}`)
	s.put("a", "1")
	seen, err := strconv.Atoi(s.put("b", "1"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.http(200, "DELETE", "/keys/a", "")
	s.http(200, "DELETE", "/markers?older_than=0s", "")
	s.put("b", "2")
	s.want("ok", "watch", ">", strconv.Itoa(seen+1))
	s.wantUpdate("put", "b", "2")
	for {
		switch got := s.native("next", milliseconds(wait)); {
		case got.kind == "timeout":
			s.want("ok", "unwatch")
			s.cannot(notTold)
		case got.kind == "ok" && got.fields[2] == "a":
			s.want("ok", "unwatch")
			return
		case got.kind != "end":
			s.t.Fatalf("native update: %v", got)
		}
	}
}

func resumeToldOverHTTP(s *scene) {
	s.create(`{}`)
	s.put("a", "1")
	over := s.stream("")
	over.want("put", "a", "1")
	last := over.want("sync", "", "").id
	over.close()
	s.want("ok", "delete", "a", "0")
	s.http(200, "DELETE", "/markers?older_than=0s", "")
	over = s.stream("?after=" + url.QueryEscape(last))
	// The gateway can still know of the delete. If it does not, it says that it begins anew.
	switch e := over.next(); {
	case e.name == "delete" && e.Key == "a":
	case e.name == "reset":
		over.want("sync", "", "")
	default:
		s.t.Errorf("a stream that resumes begins with %+v", e)
	}
}
