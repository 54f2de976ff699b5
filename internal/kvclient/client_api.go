package kvclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// An apiResponse is what every answer of the JetStream API can carry.
type apiResponse struct {
	// Error is why JetStream refused; nil if it did not.
	Error *kv.APIError `json:"error"`
}

func (r *apiResponse) apiError() *kv.APIError { return r.Error }

// api sends one request to the JetStream API and decodes the answer into response. It returns what
// refusal makes of what JetStream refuses, [kv.ErrUnavailable], or [kv.ErrTimeout], which for a
// change means that its outcome is unknown.
func (c *Client) api(
	ctx context.Context, l *link.Link, subject string, request any,
	response interface{ apiError() *kv.APIError },
) error {
	return c.ask(ctx, l, c.apiPrefix+subject, request, descriptionBytes, response)
}

// ask is api for a whole subject, which may be one of another account's or domain's JetStream, and
// for an answer of up to answer bytes.
func (c *Client) ask(
	ctx context.Context, l *link.Link, subject string, request any, answer int64,
	response interface{ apiError() *kv.APIError },
) error {
	msg := &nats.Msg{Subject: subject}
	if request != nil {
		body, err := json.Marshal(request)
		if err != nil {
			return fmt.Errorf("encode request %s: %w", subject, err)
		}
		msg.Data = body
	}
	reply, err := l.Request(ctx, msg, answer)
	if err == link.ErrNoResponders {
		return errNoJetStream
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(reply.Data, response); err != nil {
		return fmt.Errorf("%w: %s: %w", kv.ErrUnexpectedAnswer, subject, err)
	}
	if refused := response.apiError(); refused != nil {
		return refusal(refused)
	}
	return nil
}

// errNoJetStream says that nobody answers requests to the JetStream API.
var errNoJetStream = fmt.Errorf("%w: JetStream does not respond", kv.ErrUnavailable)

// The JetStream error codes that mean something to the client, in their order (nats-server,
// server/errors.json).
const (
	errCodeAccountResources     = 10002
	errCodeNoLeader             = 10008
	errCodeInsufficient         = 10023
	errCodeMaxConsumers         = 10026
	errCodeMaxStreams           = 10027
	errCodeMemoryResources      = 10028
	errCodeNoMessage            = 10037
	errCodeNotEnabled           = 10039
	errCodeStorageResources     = 10047
	errCodeStoreNotCreated      = 10049
	errCodeInvalidStreamConfig  = 10052
	errCodeMessageTooLarge      = 10054
	errCodeStreamNameInUse      = 10058
	errCodeStreamNotFound       = 10059
	errCodeWrongLastSeq         = 10071
	errCodeReplicasNotSupported = 10074
	errCodeUnavailable          = 10076
	errCodeStoreFailed          = 10077
	errCodeHeaderTooLarge       = 10097
	errCodeMaxBytesRequired     = 10113
	errCodeStreamOffline        = 10118
	errCodeMaxStreamBytes       = 10122
	errCodeDuplicateUnderWay    = 10158
	errCodeTemporarily          = 10163
	errCodeWrongLastSeqConstant = 10164
	errCodeTTLDisabled          = 10166
	errCodeTooManyRequests      = 10167
	errCodeBatchDisabled        = 10174
	errCodeBatchIncomplete      = 10176
	errCodeStreamOfflineReason  = 10194
	errCodeBatchTooLarge        = 10199
	errCodeBatchDuplicate       = 10201
	errCodeBatchesInFlight      = 10210
)

// refusal turns an answer by which JetStream refuses into an error of package kv: nothing was
// stored or changed. An answer for which there is no error stays an *[kv.APIError].
func refusal(e *kv.APIError) error {
	switch e.ErrCode {
	case errCodeNoLeader, errCodeNotEnabled, errCodeUnavailable, errCodeTemporarily,
		errCodeStreamOffline, errCodeStreamOfflineReason:
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, e)
	case errCodeDuplicateUnderWay:
		return fmt.Errorf("%w: %w", errUnderWay, e)
	case errCodeTooManyRequests:
		return fmt.Errorf("%w: %w", kv.ErrOverloaded, e)
	case errCodeHeaderTooLarge:
		return fmt.Errorf("%w: %w", kv.ErrHeaderTooLarge, e)
	case errCodeStoreFailed:
		switch {
		case strings.Contains(e.Description, "maximum bytes"):
			return fmt.Errorf("%w: %w", kv.ErrBucketFull, e)
		case strings.Contains(e.Description, "maximum messages"): // in all, or of a subject
			return fmt.Errorf("%w: %w", kv.ErrTooManyMessages, e)
		}
		return fmt.Errorf("%w: %w", kv.ErrStorageExhausted, e)
	case errCodeAccountResources, errCodeInsufficient, errCodeMemoryResources,
		errCodeStorageResources, errCodeMaxStreams, errCodeMaxConsumers, errCodeMaxBytesRequired,
		errCodeMaxStreamBytes:
		return fmt.Errorf("%w: %w", kv.ErrStorageExhausted, e)
	}
	return e
}

// ofMemory makes the refusal of a bucket whose storage is memory, for want of storage, an
// [kv.ErrMemoryExhausted]. Other errors stay as they are.
func ofMemory(err error) error {
	e, refused := errors.AsType[*kv.APIError](err)
	if !errors.Is(err, kv.ErrStorageExhausted) || refused && e.ErrCode == errCodeMaxStreams {
		return err
	}
	return fmt.Errorf("%w: %w", kv.ErrMemoryExhausted, err)
}

// isMismatch reports whether JetStream refused because the expected last revision was another.
func isMismatch(e *kv.APIError) bool {
	return e.ErrCode == errCodeWrongLastSeq || e.ErrCode == errCodeWrongLastSeqConstant
}

// namedRevision reads the revision that JetStream names in "wrong last sequence: 5". Replicated
// streams do not always name it (10164).
func namedRevision(e *kv.APIError) knownRevision {
	_, number, found := strings.Cut(e.Description, "wrong last sequence: ")
	if !found {
		return knownRevision{}
	}
	rev, err := kv.ParseRevision(number)
	return knownRevision{rev, err == nil}
}
