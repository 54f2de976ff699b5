package handlers

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"kvgateway/internal/kvclient"
)

const (
	// progressEach is after how many lines the answer tells how far it is.
	progressEach = 1000

	// In JSON a byte of text takes up to six (\u0001), and an entry has some members beside its value.
	lineBytesPerValueByte = 6
	lineBytesBesideValue  = 64 << 10
)

// An importRun is an import and what is told of it. What is told of lines is told by the import's goroutine, in their order.
type importRun struct {
	server *Server
	report *report
	all    bool // the revision of every entry is told
	read   int  // lines

	settled                            int  // lines that are, without a gap
	halted                             bool // something is wrong for all: settled rises no more
	stored, failed, expired, prolonged int
}

// importEntries stores the entries that come as lines, and answers while they come.
func (s *Server) importEntries(w http.ResponseWriter, r *http.Request) error {
	if err := refuseConditions(r.Header); err != nil {
		return err
	}
	query := queryOf(w)
	options, err := importOptions(query)
	if err != nil {
		return err
	}
	b, err := s.bucketToWrite(r)
	if err != nil {
		return err
	}
	if err := refuseEncoding(w, r); err != nil {
		return err
	}
	if !hasMediaType(r.Header, "application/x-ndjson") {
		return problemError{code: codeUnsupportedMediaType, detail: "An import is one entry a line. Send Content-Type: application/x-ndjson."}
	}
	if err := b.CheckTTL(r.Context(), options.TTL); err != nil {
		return err
	}
	limit := lineBytesPerValueByte*b.Room(kvclient.Write{}) + lineBytesBesideValue
	lines := newLineReader(s.openBody(w, r), limit)
	// Who sends nothing gets no place. A client that expects 100-continue sends nothing before it is read.
	if err := lines.first(); err != nil {
		return bodyError(err, " Nothing was stored.")
	}
	if err := lines.body.take(s.bodies.imports, &lines.body.place, 1); err != nil {
		return err
	}
	if err := holdReport(w.(*recorder)); err != nil { // an import without a place holds nothing
		return err
	}
	in, err := b.Import(r.Context(), options)
	if err != nil {
		return err
	}
	run := &importRun{server: s, all: query.Get("results") == "all"}
	if run.carryOut(in, lines, w.(*recorder)) != nil {
		drain(w, r.Body) // a client that is still sending is to hear of it
	}
	return nil
}

// carryOut stores the lines and reports meanwhile. It returns why the import ended early, which it
// has told the client.
func (run *importRun) carryOut(in *kvclient.Import, lines *lineReader, rec *recorder) error {
	_ = http.NewResponseController(rec.ResponseWriter).EnableFullDuplex() // HTTP/2 always is
	rec.unread = false
	run.report = startReport(rec)
	lines.body.whenEvicted(run.report.cut)
	lines.widen()
	err := run.feed(in, lines)
	if stopped := in.Close(); stopped != nil {
		err = stopped
	}
	if lines.body.wasEvicted() || run.report.backlog() <= freeBody {
		lines.body.release() // the client may take its time for what is left of the report
	}
	run.finish(err)
	lines.body.release()
	return err
}

// importOptions reads how entries are to be stored.
func importOptions(query url.Values) (options kvclient.ImportOptions, err error) {
	options.Create = query.Get("mode") == "create"
	options.IgnoreExpiry = query.Get("expires") == "ignore"
	options.TTL, err = timeToLive(query)
	return options, err
}

// cutProblem says why no more lines could be read.
func cutProblem(err error) error {
	err = bodyError(err, " What is acknowledged is stored.")
	if problemOf(err).code == codeRequestTimeout || problemOf(err).code == codeInvalidBody {
		return err
	}
	return problemError{code: codeBusy, members: members{"bound": "body-memory"}, detail: "The gateway has " +
		"no memory for a line of that size at the moment. What is acknowledged is stored; send the rest again."}
}

// feed reads lines and gives them to the import until there are no more, or something is wrong for all.
func (run *importRun) feed(in *kvclient.Import, lines *lineReader) error {
	for {
		line, tooLong, err := lines.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return cutProblem(err)
		}
		lines.body.note()
		run.read++
		if run.read%progressEach == 0 && run.server.options.Draining != nil && run.server.options.Draining() {
			return errShuttingDown
		}
		if err := run.put(in, run.read, line, tooLong, lines.limit); err != nil {
			return err
		}
	}
}

// put gives one line to the import.
func (run *importRun) put(in *kvclient.Import, number int, line []byte, tooLong bool, limit int) error {
	var parsed importLine
	var err error
	switch {
	case tooLong:
		err = problemError{code: codeBodyTooLarge, members: members{"max_body_bytes": limit},
			detail: "The line is longer than that of any entry that the bucket takes. It was not stored."}
	case len(line) == 0:
		parsed.end = true
	default:
		parsed, err = parseImportLine(line)
	}
	if err != nil || parsed.end {
		return in.Pass(func() error {
			if err != nil {
				return run.refuse(number, err)
			}
			return run.settle(number)
		})
	}
	return in.Put(parsed.entry, func(done kvclient.Imported, err error) error { return run.tell(number, done, err) })
}

// tell tells what became of an entry.
func (run *importRun) tell(number int, done kvclient.Imported, err error) error {
	switch {
	case errors.Is(err, kvclient.ErrExpired):
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

// refuse tells why a line was not stored.
func (run *importRun) refuse(number int, err error) error {
	run.failed++
	if gone := run.report.line(func(dst []byte) []byte {
		dst = append(strconv.AppendInt(append(dst, `{"line":`...), int64(number), 10), ',')
		return append(run.server.appendProblem(dst, run.report.rec, err), '}')
	}); gone != nil {
		return gone
	}
	return run.settle(number)
}

// settle notes that a line is done with, and all before it.
func (run *importRun) settle(number int) error {
	if run.halted {
		return nil
	}
	if run.settled = number; number%progressEach == 0 {
		return run.report.progressed(number)
	}
	return nil
}

// finish sends the last line: that all is done, or why not, after the line from which on to send again.
func (run *importRun) finish(err error) {
	defer run.report.close()
	if errors.Is(err, errClientGone) {
		run.report.rec.status = statusClientClosedRequest
		return
	}
	if err != nil {
		_ = run.report.progressed(run.settled)
	}
	_ = run.report.line(func(dst []byte) []byte { // a client that is gone is nobody to tell
		if err != nil {
			dst = append(run.server.appendProblem(append(dst, '{'), run.report.rec, err), ',')
		} else {
			dst = append(dst, `{"done":true,`...)
		}
		for i, count := range []int{run.stored, run.failed, run.expired, run.prolonged} {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), [...]string{"stored", "failed", "expired", "prolonged"}[i]...), `":`...)
			dst = strconv.AppendInt(dst, int64(count), 10)
		}
		return append(dst, '}')
	})
}
