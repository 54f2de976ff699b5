package main

import (
	"context"
	"fmt"
)

// read reads a register in one of several ways, and records the read by what it promises. An answer
// of the leader, in a bucket with one replica, is the state of the register. An answer of any
// server was true at some time.
func (w *worker) read(ctx context.Context, r *register, gateway *gatewayClient) {
	in, entry := input{Op: read}, registerBucket+"/"+r.name
	req := request{method: "GET", path: "/buckets/" + registerBucket + "/keys/" + r.name,
		header: map[string]string{}}
	var least uint64 // The min_revision of a weak read.
	weak := false
	switch w.random.IntN(8) {
	case 0:
		req.path = "/buckets/" + registerBucket + "/entries/" + r.name + "?values=json"
	case 1:
		if in.If = (condition{ifOther, [2]uint64{r.guess(w.random)}}); in.If.Revisions[0] > 0 {
			w.setCondition(req.header, registerBucket, in.If)
		}
	case 2, 3:
		weak = true
		req.path += "?consistency=any"
	case 4:
		weak = true
		least = w.highest.Load()
		req.path += fmt.Sprintf("?consistency=any&min_revision=%d-%s",
			least, w.epochs[registerBucket])
	case 5:
		req.path += fmt.Sprintf("?min_revision=%d", w.highest.Load())
	}
	call := w.history.now()
	a, err := gateway.do(ctx, req)
	out, fate := w.outputOf(a, err, in, registerBucket)
	if fate != answered {
		w.history.without("GET", "no answer")
		return
	}
	switch said := a.header.Get("KV-Consistency"); {
	case said == "any" && weak && out.Outcome != notModified:
		w.history.addWeak(entry,
			weakRead{Min: least, Kind: out.Kind, At: out.Revision, Doc: out.Doc})
		return
	case said != "leader":
		w.history.accuse("answer", fmt.Sprintf("GET %s: KV-Consistency %q", req.path, said))
		return
	}
	w.history.add(entry, w.id, in, call, out)
	w.learn(r, in, out)
}
