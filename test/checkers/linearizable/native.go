package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A nativeWorker writes the keys that the HTTP clients write, through nats.go and past the proxies.
type nativeWorker struct {
	*worker
	conn *nats.Conn
	kv   jetstream.KeyValue
}

func (w *nativeWorker) run(ctx context.Context) {
	for ctx.Err() == nil {
		r := w.registers.pick(w.random)
		if w.random.IntN(4) == 0 {
			w.read(ctx, r)
		} else {
			w.write(ctx, r, w.choose(r))
		}
		time.Sleep(rand.N(2 * pace))
	}
}

// choose makes up one of the writes that a KeyValue offers: Put, Create, Update or Delete.
func (w *nativeWorker) choose(r *register) input {
	in := input{ID: int(w.ids.Add(1)), Op: put, N: w.random.IntN(3)}
	switch w.random.IntN(6) {
	case 0, 1:
	case 2:
		in.If.Kind = ifAbsent
	case 3, 4:
		in.If = revisionIs(r.guess(w.random))
	default:
		in.Op = removeNative
		if last := r.guess(w.random); last > 0 && w.random.IntN(2) == 0 {
			in.If = revisionIs(last)
		}
	}
	return in
}

// write carries a write out. Without an answer of the stream its outcome is not known: nats.go may
// have sent it, even more than once.
func (w *nativeWorker) write(ctx context.Context, r *register, in input) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	call, key := w.history.now(), registerBucket+"/"+r.name
	revision, err := w.send(ctx, r.name, in)
	current, refused := currentRevision(err)
	switch {
	case err == nil:
		out := output{Outcome: done, Revision: revision}
		w.history.add(key, w.id, in, call, out)
		w.learn(r, in, out)
	case refused && in.If.Kind == ifAbsent:
		// Between its attempts Create reads the key, perhaps from a mirror, and reports that the
		// key exists.
		w.history.without("native "+in.Op.String(), "not done")
	case refused:
		out := output{Outcome: mismatch, Revision: current}
		w.history.add(key, w.id, in, call, out)
		w.learn(r, in, out)
	default:
		w.history.add(key, w.id, in, call, output{Outcome: unknown})
	}
}

// send returns the revision of a write, or 0 for a deletion, whose revision nats.go does not
// report.
func (w *nativeWorker) send(ctx context.Context, key string, in input) (uint64, error) {
	text := doc{By: in.ID, Put: in.ID, N: in.N}.json()
	switch {
	case in.Op == removeNative && in.If.Kind == ifRevision:
		return 0, w.kv.Delete(ctx, key, jetstream.LastRevision(in.If.Revisions[0]))
	case in.Op == removeNative:
		return 0, w.kv.Delete(ctx, key)
	case in.If.Kind == ifRevision:
		return w.kv.Update(ctx, key, text, in.If.Revisions[0])
	case in.If.Kind == ifAbsent:
		return w.kv.Create(ctx, key, text)
	}
	return w.kv.Put(ctx, key, text)
}

var wrongLast = regexp.MustCompile(`wrong last sequence: (\d+)`)

// currentRevision returns the revision that a refusal names. It reports false if the error is not a
// refusal.
func currentRevision(err error) (revision uint64, refused bool) {
	if _, ok := errors.AsType[*jetstream.APIError](err); !ok {
		return 0, false
	}
	found := wrongLast.FindStringSubmatch(err.Error())
	if found == nil {
		return 0, false
	}
	revision, err = strconv.ParseUint(found[1], 10, 64)
	return revision, err == nil
}

// read asks the stream's leader, since the mirror may answer a KeyValue's Get.
func (w *nativeWorker) read(ctx context.Context, r *register) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	call := w.history.now()
	out, err := lastOf(ctx, w.conn, registerBucket, r.name)
	if err != nil {
		w.history.without("native GET", "no answer")
		return
	}
	w.history.add(registerBucket+"/"+r.name, w.id, input{Op: read}, call, out)
	w.learn(r, input{Op: read}, out)
}

// lastOf returns the last entry of a key that the stream's leader has. Every read that nats.go
// offers could be answered by the mirror.
func lastOf(ctx context.Context, conn *nats.Conn, bucket, key string) (out output, err error) {
	reply, err := conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET.KV_"+bucket,
		fmt.Appendf(nil, `{"last_by_subj":"$KV.%s.%s"}`, bucket, key))
	if err != nil {
		return out, err
	}
	var body struct {
		Error *struct {
			Code jetstream.ErrorCode `json:"err_code"`
		}
		Message struct {
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Data     []byte
		}
	}
	if err := json.Unmarshal(reply.Data, &body); err != nil {
		return out, err
	}
	switch m := body.Message; {
	case body.Error != nil && body.Error.Code == jetstream.JSErrCodeMessageNotFound:
		return output{Outcome: missing}, nil
	case body.Error != nil:
		return out, fmt.Errorf("STREAM.MSG.GET: %s", reply.Data)
	case bytes.Contains(m.Header, []byte("KV-Operation:")):
		return output{Outcome: missing, Revision: m.Sequence, Kind: marker}, nil
	default:
		out = output{Revision: m.Sequence, Kind: value}
		out.Doc, err = readDoc(m.Data)
		return out, err
	}
}
