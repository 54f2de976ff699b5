package kvclient

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient/link"
)

// A consumerRequest is a request to CONSUMER.CREATE.
type consumerRequest struct {
	Stream string                   `json:"stream_name"` // The stream that the consumer reads.
	Config jetstream.ConsumerConfig `json:"config"`      // The consumer's configuration.
	Action string                   `json:"action"`      // "create".
}

// newConsumer creates a consumer for some subjects of the stream. It returns how many messages the
// consumer had to deliver then, as the server counted.
func (b *Bucket) newConsumer(
	ctx context.Context, l *link.Link, config jetstream.ConsumerConfig, subjects []string,
) (pending uint64, err error) {
	subject := "CONSUMER.CREATE." + b.stream + "." + config.Name
	if config.FilterSubjects = subjects; len(subjects) == 1 {
		// A single filter goes into the request's subject too, where an account's permissions can
		// see it (ADR-15).
		config.FilterSubject, config.FilterSubjects = subjects[0], nil
		subject += "." + subjects[0]
	}
	var response struct {
		apiResponse
		jetstream.ConsumerInfo
	}
	err = b.client.api(ctx, l, subject, consumerRequest{b.stream, config, "create"}, &response)
	return response.NumPending, bucketError(b.name, err)
}

// dropConsumer asks for a consumer to be deleted, so that it does not count against the stream's
// limit until it is found inactive. The answer is not waited for: it does not come if the consumer
// was lost with its node.
func (b *Bucket) dropConsumer(l *link.Link, name string) {
	subject := b.client.apiPrefix + "CONSUMER.DELETE." + b.stream + "." + name
	if err := l.Conn().Publish(subject, nil); err != nil {
		b.client.logger.Debug().Err(err).Str("bucket", b.name.String()).
			Msg("the request to delete a consumer was not sent")
	}
}
