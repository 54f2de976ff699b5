package native

import "strconv"

func checkWatch(s *scene) {
	s.create(`{"history":5}`)
	s.put("a", "1")
	s.revision("put", "b", text("2"), "0")
	over := s.stream("")
	over.want("put", "a", "1")
	over.want("put", "b", "2")
	over.want("sync", "", "")
	s.want("ok", "watch", ">", "0")
	s.wantUpdate("put", "a", "1")
	s.wantUpdate("put", "b", "2")
	s.want("end", "next", milliseconds(patience))
	s.want("timeout", "next", milliseconds(wait))

	s.put("a", "3")
	s.wantUpdate("put", "a", "3")
	over.want("put", "a", "3")
	s.http(200, "DELETE", "/keys/a", "")
	s.wantUpdate("delete", "a", "")
	over.want("delete", "a", "")
	s.http(200, "DELETE", "/keys/b?purge=true", "")
	s.wantUpdate("purge", "b", "")
	over.want("purge", "b", "")
	s.want("ok", "unwatch")

	revision := s.revision("put", "a", text("4"), "0")
	if e := over.want("put", "a", "4"); strconv.FormatUint(e.Revision, 10) != revision {
		s.t.Errorf("event over HTTP: revision %d; natively %s", e.Revision, revision)
	}
	s.want("ok", "delete", "a", "0")
	over.want("delete", "a", "")
	s.want("ok", "purge", "a", "0")
	over.want("purge", "a", "")
}

func checkWatchEmpty(s *scene) {
	s.create(`{}`)
	s.want("ok", "watch", ">", "0")
	got := s.native("next", milliseconds(wait))
	if got.kind == "timeout" {
		s.want("ok", "unwatch")
		s.cannot(endWithLast)
	}
	if got.kind != "end" {
		s.t.Fatalf("native watch of an empty bucket: %v", got)
	}
	s.put("a", "1")
	s.wantUpdate("put", "a", "1")
	s.want("ok", "unwatch")
}

func watchEmptyOverHTTP(s *scene) {
	s.create(`{}`)
	over := s.stream("")
	over.want("sync", "", "")
	s.revision("put", "a", text("1"), "0")
	over.want("put", "a", "1")
}

func checkWatchFilter(s *scene) {
	s.create(`{}`)
	s.put("orders.1", "1")
	s.put("stock.1", "2")
	over := s.stream("?filter=orders.*")
	over.want("put", "orders.1", "1")
	over.want("sync", "", "")
	s.want("ok", "watch", "orders.*", "0")
	s.wantUpdate("put", "orders.1", "1")
	s.want("end", "next", milliseconds(patience))
	s.put("stock.1", "3")
	s.revision("put", "stock.2", text("4"), "0")
	s.put("orders.2", "5")
	s.wantUpdate("put", "orders.2", "5")
	over.want("put", "orders.2", "5")
	s.want("ok", "unwatch")
}
