package handlers

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

const (
	// progressEach is after how many lines the report says how far the import has come.
	progressEach = 1000

	// lineBytesPerValueByte is how many bytes of JSON a byte of text can take (\u0001).
	lineBytesPerValueByte = 6
	// lineBytesBesideValue is room for the other members of an entry.
	lineBytesBesideValue = 64 << 10
)

// An importRun is an import under way, and what is reported of it.
//
// Two goroutines work on it. The one that answers the request reads lines and gives them to the
// import; read belongs to it. The goroutine of the import calls tell, refuse and settle in the
// order of the lines, as it learns what became of each; the fields from settled on belong to it.
// When the import is closed, that goroutine has ended, and finish reads all fields.
type importRun struct {
	// draining reports whether the gateway is shutting down.
	draining func() bool
	// bucket is the bucket that the entries go to.
	bucket *kvclient.Bucket
	// gate and caller say who imports; gate is nil if callers are not asked. The caller is the one
	// at the moment; each line is checked with its rights.
	gate   *auth.Gate
	caller atomic.Pointer[auth.Caller]
	// report is the answer.
	report *report
	// all reports whether the client wants to have the revision of every entry.
	all bool
	// read counts the lines that were read.
	read int

	// settled is the last line up to which the outcome of all lines is known. A client whose import
	// ends early goes on after it.
	settled int
	// halted reports whether an error concerns all further lines, so that settled must not rise.
	halted bool
	// stored, failed, expired and prolonged count the lines by their outcome: their entries were
	// stored, were refused, or had expired already; prolonged ones were stored and will live longer
	// than their line said.
	stored, failed, expired, prolonged int
}

// importEntries stores the entries that come as lines, and answers while they come.
//
// The first complete line is awaited before the head of the answer is sent: if the answer began
// first, net/http would not send 100 Continue to a client that waits for it before it sends the
// body. Only then does the import take its place; see [importPlaces].
func (s *Server) importEntries(x *exchange) error {
	if err := refuseConditions(x.request.Header); err != nil {
		return err
	}
	options, err := importOptions(x.query)
	if err != nil {
		return err
	}
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	if err := x.needSome(auth.Put, name); err != nil {
		return err
	}
	b, err := x.store.client.BucketToWrite(x.context(), name)
	if err != nil {
		return err
	}
	if err := x.refuseEncoding(); err != nil {
		return err
	}
	if !hasMediaType(x.request.Header, "application/x-ndjson") {
		return problem.Error{Code: problem.UnsupportedMediaType,
			Detail: "An import has one entry on each line. Send Content-Type: " +
				"application/x-ndjson."}
	}
	if err := b.CheckTTL(x.context(), options.TTL); err != nil {
		return err
	}
	limit := lineBytesPerValueByte*b.MaxValueBytes(kvclient.Write{}) + lineBytesBesideValue
	lines := newLineReader(s.bodies.openFor(x), limit)
	// A client that sends nothing gets no place.
	if err := lines.first(); err != nil {
		if lines.body.hasLostRights() {
			return x.rightsLost()
		}
		return bodyError(err, " Nothing was stored.")
	}
	if err := lines.body.take(s.bodies.imports, &lines.body.place, 1); err != nil {
		return err
	}
	if err := holdReport(x); err != nil {
		return err
	}
	if err := x.recheck(); err != nil { // The first line may have taken long.
		return err
	}
	if err := x.beginChange(); err != nil {
		return err
	}
	in, err := b.Import(x.context(), options)
	if err != nil {
		return err
	}
	run := &importRun{
		draining: s.options.Draining, bucket: b, all: x.query.Get("results") == "all",
		gate: x.gate,
	}
	run.caller.Store(x.caller)
	if ended := run.carryOut(in, lines, x); ended != nil {
		drain(x, x.request.Body) // A client that is still sending must get the report.
	}
	return nil
}

// carryOut stores the lines and reports their outcomes meanwhile. It returns why the import ended
// early, which the report has told the client already.
func (run *importRun) carryOut(in *kvclient.Import, lines *lineReader, x *exchange) error {
	// HTTP/2 is always full duplex.
	_ = http.NewResponseController(x.ResponseWriter).EnableFullDuplex()
	x.unread = false
	if x.audited != nil {
		x.audited.isLong = true
	}
	run.report = startReport(x)
	lines.body.whenEvicted(run.report.cut)
	lines.widen()
	err := run.feed(x, in, lines)
	if stopped := in.Close(); stopped != nil {
		err = stopped
	}
	run.audit(x, err)
	if lines.body.wasEvicted() || run.report.backlog() <= freeBody {
		lines.body.release() // The client may now take its time for the rest of the report.
	}
	run.finish(err)
	lines.body.release()
	return err
}

// audit writes the line of the audit log, with what was done until the import ended with an error;
// nil if all lines were read. It does so before the client has the rest of the report, for which it
// may take its time.
func (run *importRun) audit(x *exchange, err error) {
	x.count("stored", run.stored)
	x.count("failed", run.failed)
	x.count("expired", run.expired)
	if errors.Is(err, errClientGone) {
		x.status = statusClientClosedRequest
	}
	if x.audited != nil {
		x.audited.isPartial = err != nil
		x.endAudit()
	}
}

// importOptions reads how entries are to be stored.
//
// An entry's expiry is not lost silently. If the bucket takes no times to live, a line that has one
// is refused, unless the bucket's own ttl ends every entry: a bucket's own export must go in again,
// and `prolonged` counts the entries that will live longer. With expires=ignore the client says
// that expiries do not matter.
func importOptions(query url.Values) (options kvclient.ImportOptions, err error) {
	options.Create = query.Get("mode") == "create"
	options.IgnoreExpiry = query.Get("expires") == "ignore"
	options.TTL, err = timeToLive(query)
	return options, err
}

// cutProblem returns the problem of an import whose next line could not be read.
func cutProblem(err error) error {
	err = bodyError(err, "")
	if code := problemOf(err).Code; code == problem.RequestTimeout || code == problem.InvalidBody {
		return err
	}
	return problem.Error{Code: problem.Busy, Members: problem.Members{"bound": "body-memory"},
		Detail: "The gateway has no memory for a line of that size at the moment."}
}

// feed reads lines and gives them to the import, until there are no more or an error concerns all
// of them.
func (run *importRun) feed(x *exchange, in *kvclient.Import, lines *lineReader) error {
	for {
		line, tooLong, err := lines.next()
		if err == io.EOF {
			return nil
		}
		if lines.body.hasLostRights() {
			return x.rightsLost()
		}
		if err != nil {
			return cutProblem(err)
		}
		run.read++
		// Both are asked for each line, since a slow client may take minutes for a few of them.
		if run.draining() {
			return problem.New(problem.ShuttingDown)
		}
		if err := x.recheck(); err != nil {
			return err
		}
		run.caller.Store(x.caller)
		if err := run.put(in, run.read, line, tooLong, lines.limit); err != nil {
			return err
		}
	}
}

// put gives one line to the import. Empty lines and the last line of an export have nothing to
// store, and lines that cannot be read are refused; these only keep their place in the order of
// outcomes.
func (run *importRun) put(
	in *kvclient.Import,
	number int,
	line []byte,
	tooLong bool,
	limit int,
) error {
	var parsed importLine
	var err error
	switch {
	case tooLong:
		err = problem.Error{Code: problem.BodyTooLarge,
			Members: problem.Members{"max_body_bytes": limit},
			Detail: "The line is longer than that of any entry " +
				"that the bucket takes. It was not stored."}
	case len(line) == 0:
		parsed.end = true
	default:
		parsed, err = parseImportLine(line)
	}
	if err == nil && !parsed.end {
		err = run.need(parsed.entry.Key)
	}
	if err != nil || parsed.end {
		return in.Barrier(func() error {
			if err != nil {
				return run.refuse(number, err)
			}
			return run.settle(number)
		})
	}
	k := parsed.entry.Key
	if run.gate != nil { // The line may wait for room.
		parsed.entry.Allowed = func() error { return run.need(k) }
	}
	return in.Put(parsed.entry, func(done kvclient.Imported, err error) error {
		if err != nil && !run.maySee(k) && !saysNothingOfKeys(err) {
			err = withheldProblem(problem.RevisionMismatch, "The precondition does not hold", false)
		}
		return run.tell(number, done, err)
	})
}

// rights returns what the caller may do now. Any goroutine may call it.
func (run *importRun) rights() (*auth.Rights, error) {
	caller := run.caller.Load()
	if run.gate == nil {
		return caller.Rights, nil
	}
	now, err := run.gate.Current(caller)
	if err != nil {
		return nil, err
	}
	return now.Rights, nil
}

// need returns an error if the caller may not put a key, by the rights that it has now.
func (run *importRun) need(k kv.Key) error {
	rights, err := run.rights()
	switch {
	case err != nil:
		return err
	case !rights.May(auth.Put, run.bucket.Name(), k):
		return forbidden(auth.Put, run.bucket.Name(), k.String())
	case !mayWrite(rights, auth.Put, run.bucket, k):
		return forbiddenInOrigin(auth.Put, run.bucket.Name(), k.String())
	}
	return nil
}

// maySee reports whether the caller may get a key, by the rights that it has now.
func (run *importRun) maySee(k kv.Key) bool {
	rights, err := run.rights()
	return err == nil && mayWrite(rights, auth.Get, run.bucket, k)
}

// tell reports what became of an entry.
func (run *importRun) tell(number int, done kvclient.Imported, err error) error {
	switch {
	case errors.Is(err, kv.ErrExpired):
		run.expired++
		return run.settle(number)
	case err != nil:
		run.halted = run.halted || kvclient.EndsImport(err)
		return run.refuse(number, err)
	}
	run.stored++
	if done.Prolonged {
		run.prolonged++
	}
	if run.all {
		if err := run.report.line(func(dst []byte) []byte {
			dst = strconv.AppendInt(append(dst, `{"line":`...), int64(number), 10)
			dst = strconv.AppendUint(append(dst, `,"revision":`...), uint64(done.Revision), 10)
			return append(dst, '}')
		}); err != nil {
			return err
		}
	}
	return run.settle(number)
}

// refuse reports why a line was not stored.
func (run *importRun) refuse(number int, err error) error {
	run.failed++
	if gone := run.report.line(func(dst []byte) []byte {
		dst = append(strconv.AppendInt(append(dst, `{"line":`...), int64(number), 10), ',')
		return append(run.report.x.appendProblem(dst, err), '}')
	}); gone != nil {
		return gone
	}
	return run.settle(number)
}

// settle notes that the outcome of a line is known, and so are those of all lines before it.
func (run *importRun) settle(number int) error {
	if run.halted {
		return nil
	}
	run.settled = number
	if number%progressEach == 0 {
		return run.report.progressed(number)
	}
	return nil
}

// finish sends the last line of the report. It says that everything was done, or which problem
// ended the import; in that case the progress before it says after which line to go on.
func (run *importRun) finish(err error) {
	defer run.report.close()
	if errors.Is(err, errClientGone) {
		return
	}
	if err != nil {
		_ = run.report.progressed(run.settled)
		err = run.report.x.afterPart(err, nil, "The import ended early. What is acknowledged is "+
			"stored; go on after the line that the last `progress` names.")
	}
	// If this fails, the client is gone, and there is nobody to tell.
	_ = run.report.line(func(dst []byte) []byte {
		if err != nil {
			dst = append(run.report.x.appendProblem(append(dst, '{'), err), ',')
		} else {
			dst = append(dst, `{"done":true,`...)
		}
		names := [...]string{"stored", "failed", "expired", "prolonged"}
		for i, count := range []int{run.stored, run.failed, run.expired, run.prolonged} {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), names[i]...), `":`...)
			dst = strconv.AppendInt(dst, int64(count), 10)
		}
		return append(dst, '}')
	})
}
