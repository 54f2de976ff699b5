package kvclient

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// A consumer is what a scan, an export, a replay or a tail reads with: a pull consumer on the
// bucket's stream, in the memory of one server, which acknowledges nothing.
//
//	makeConsumer | the server begins to count what it has to deliver
//	listen       | there is an inbox for what comes
//	ask          | the server is asked for a batch of messages, again and again
//	arrived      | a message is numbered; none may be missing
//	close        | nothing comes any more, and the server is asked to delete the consumer
//
// What comes to the inbox is a message of the stream, or what the server says of a batch: see
// meaning. What it does about that is up to the reader: see scanReader.readBatch and [Tail]. A
// consumer is used by one goroutine.
type consumer struct {
	// bucket is the bucket whose stream is read.
	bucket *Bucket
	// link carries the consumer's requests and its messages.
	link *link.Link
	// name is the consumer's name.
	name string
	// pending is how many messages it had to deliver when it was made, as the server counted.
	pending uint64
	// received is how many messages have arrived; the server numbers them.
	received uint64

	// conn is the connection that the messages come over. It and the fields below are set by
	// listen.
	conn *nats.Conn
	// gone is closed when that connection is lost.
	gone <-chan struct{}
	// inbox is the subject that the messages come to.
	inbox string
	// messages are those that have come to the inbox and were not looked at yet.
	messages chan *nats.Msg
	// subscription is the one to the inbox; nil before listen.
	subscription *nats.Subscription
	// stopListening ends the bringing of what NATS denies to messages.
	stopListening func()
}

// A consumerSpec says what a consumer is to deliver.
type consumerSpec struct {
	// purpose becomes a part of the name, for whoever looks at the server.
	purpose string
	// subjects are those whose messages are delivered.
	subjects []string
	// from is the revision from which on all are delivered; 0 for the last of each subject.
	from kv.Revision
	// headersOnly says that values are left out.
	headersOnly bool
	// inactive is after what time without a request the server drops the consumer.
	inactive time.Duration
}

// A consumerRequest is a request to CONSUMER.CREATE.
type consumerRequest struct {
	// Stream is the stream that the consumer reads.
	Stream string `json:"stream_name"`
	// Config is the consumer's configuration.
	Config jetstream.ConsumerConfig `json:"config"`
	// Action is "create".
	Action string `json:"action"`
}

// makeConsumer makes a consumer. If there is an error, such as a timeout, it may be there all the
// same, until the server finds it inactive.
func (b *Bucket) makeConsumer(
	ctx context.Context, l *link.Link, spec consumerSpec,
) (*consumer, error) {
	c := &consumer{bucket: b, link: l, name: "kvgw-" + spec.purpose + "-" + nuid.Next()}
	config := jetstream.ConsumerConfig{
		Name:              c.name,
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       spec.headersOnly,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: spec.inactive,
		FilterSubjects:    spec.subjects,
	}
	if spec.from > 0 {
		config.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		config.OptStartSeq = uint64(spec.from)
	}
	subject := "CONSUMER.CREATE." + b.stream + "." + c.name
	if len(spec.subjects) == 1 {
		// A single filter goes into the request's subject too, where an account's permissions can
		// see it (ADR-15).
		config.FilterSubject, config.FilterSubjects = spec.subjects[0], nil
		subject += "." + spec.subjects[0]
	}
	var response struct {
		apiResponse
		jetstream.ConsumerInfo
	}
	err := b.client.api(ctx, l, subject, consumerRequest{b.stream, config, "create"}, &response)
	c.pending = response.NumPending
	return c, bucketError(b.name, err)
}

// listen makes the inbox, with a buffer of size messages.
func (c *consumer) listen(size int) (err error) {
	c.conn = c.link.Conn()
	c.gone = c.link.Gone()
	c.inbox, c.messages = c.conn.NewInbox(), make(chan *nats.Msg, size)
	if c.subscription, err = c.conn.ChanSubscribe(c.inbox, c.messages); err != nil {
		return fmt.Errorf("%w: subscribe: %w", kv.ErrUnavailable, err)
	}
	c.stopListening = c.link.ListenTo(c.messages, c.inbox, c.next())
	return nil
}

// ask asks for a batch, which comes to the inbox.
func (c *consumer) ask(batch []byte) error {
	if err := c.conn.PublishRequest(c.next(), c.inbox, batch); err != nil {
		return fmt.Errorf("%w: ask a consumer: %w", kv.ErrUnavailable, err)
	}
	return nil
}

// next returns the subject of requests for batches.
func (c *consumer) next() string {
	return c.bucket.client.apiPrefix + "CONSUMER.MSG.NEXT." + c.bucket.stream + "." + c.name
}

// A meaning is what a message that comes to a consumer's inbox stands for.
//
// A message of the stream is known by the subject for its acknowledgement. nats.go knows it by its
// lack of a status; but a publisher can store a header `Status: 404`, which ends every native
// listing of the bucket at that entry (TestStoredHeadersDoNotBreakScans).
//
//	status                  | meaning
//	none that counts        | meansEntry: a message of the stream
//	100 Idle Heartbeat      | meansIdle: there was nothing to deliver for a while
//	100 otherwise           | meansRemark: nothing that matters here
//	409 Batch Completed     | meansRemark: the batch before has come to its end
//	404                     | meansNothing: the consumer has nothing at the moment
//	408                     | meansExpired: the consumer had nothing more in time
//	409 with MaxBytes       | meansFilled: the batch has the bytes that were asked for
//	409 otherwise           | meansGone: the consumer was deleted
//	503                     | meansUnserved: nobody serves the stream
//	any other               | meansUnknown
type meaning uint8

// The meanings. All but the first three end the batch.
const (
	meansEntry meaning = iota
	meansIdle
	meansRemark
	meansNothing
	meansExpired
	meansFilled
	meansGone
	meansUnserved
	meansUnknown
)

// idleHeartbeat is what the server says while it has nothing to deliver, if it was asked to. The
// time until the next heartbeat begins with each message and with each heartbeat (measured,
// nats-server 2.15.2).
const idleHeartbeat = "Idle Heartbeat"

// batchCompleted is what the server says behind the last message of a batch whose bytes were
// bounded and not used up. A reader that takes it for the end of the next batch has two requests
// under way at a time, which may bring more messages than there is room for.
const batchCompleted = "Batch Completed"

// meaningOf returns the meaning of a message.
func meaningOf(msg *nats.Msg) meaning {
	if strings.HasPrefix(msg.Reply, "$JS.ACK.") {
		return meansEntry
	}
	status, description := statusOf(msg)
	switch {
	case status == "100" && description == idleHeartbeat:
		return meansIdle
	case status == "100", status == "409" && description == batchCompleted:
		return meansRemark
	case status == "404":
		return meansNothing
	case status == "408":
		return meansExpired
	case status == "409" && strings.Contains(description, "MaxBytes"):
		return meansFilled
	case status == "409":
		return meansGone
	case status == "503":
		return meansUnserved
	}
	return meansUnknown
}

// statusOf returns the status of a message in which the server speaks, and its description.
func statusOf(msg *nats.Msg) (status, description string) {
	return first(msg.Header, "Status"), first(msg.Header, "Description")
}

// number numbers a message that came to the inbox and makes an entry of it, without a key if that
// is outside the grammar. It returns [kv.ErrUnavailable] if messages before this one were lost.
func (c *consumer) number(msg *nats.Msg) (kv.Entry, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return kv.Entry{}, fmt.Errorf("%w: consumer: %w", kv.ErrUnexpectedAnswer, err)
	}
	if c.received++; meta.Sequence.Consumer != c.received {
		return kv.Entry{}, fmt.Errorf("%w: messages were lost: the one after %d came as number %d",
			kv.ErrUnavailable, c.received-1, meta.Sequence.Consumer)
	}
	return c.bucket.entryOf(msg, meta), nil
}

// close ends the subscription and asks for the consumer to be deleted, so that it does not count
// against the stream's limit until it is found inactive. The answer is not waited for: it does not
// come if the consumer was lost with its node.
func (c *consumer) close() {
	if c.subscription != nil {
		c.stopListening()
		_ = c.subscription.Unsubscribe() // of a connection that is lost, it is gone in any case
	}
	subject := c.bucket.client.apiPrefix + "CONSUMER.DELETE." + c.bucket.stream + "." + c.name
	if err := c.link.Conn().Publish(subject, nil); err != nil {
		c.bucket.client.logger.Debug().Err(err).Str("bucket", c.bucket.name.String()).
			Msg("the request to delete a consumer was not sent")
	}
}
