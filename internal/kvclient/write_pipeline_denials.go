package kvclient

import (
	"github.com/nats-io/nats.go"

	"kvgateway/internal/kvclient/link"
)

// waits is the [link.Waits] of the pipeline: the first flight of a subject that NATS has not denied
// yet, or the first one if it denies the inbox.
func (p *pipeline) waits(subject string) (order uint64, reply string, waits bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first *flight
	for _, f := range p.flights {
		if f != nil && !f.denied && (f.msg.Subject == subject || subject == p.inbox+"*") &&
			(first == nil || f.number < first.number) {
			first = f
		}
	}
	if first == nil {
		return 0, "", false
	}
	return first.order, first.msg.Reply, true
}

// denied takes the message of a denial that waits has claimed, in the place of an acknowledgement.
// The next denial of the subject is of another flight.
func (p *pipeline) denied(msg *nats.Msg) bool {
	p.mu.Lock()
	for _, f := range p.flights {
		if f != nil && f.msg.Reply == msg.Subject {
			f.denied = true
		}
	}
	p.mu.Unlock()
	return link.Into(p.acks)(msg)
}
