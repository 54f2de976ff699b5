package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/kv"
)

// errRefused ends the command auth explain for a request that would be refused.
var errRefused = errors.New("the request would be refused")

// explain prints whether a caller may make a request, and why.
func explain(out io.Writer, policy *auth.Policy, credential string, asked []need) error {
	var b strings.Builder
	err := explainTo(&b, policy, credential, asked)
	if _, failed := io.WriteString(out, b.String()); failed != nil {
		return failed
	}
	return err
}

// explainTo writes what explain prints.
func explainTo(b *strings.Builder, policy *auth.Policy, credential string, asked []need) error {
	if len(asked) == 1 && asked[0].extent == nothing {
		b.WriteString("allowed: this needs no credential\n")
		return nil
	}
	caller, isChecked, err := policy.IdentifyOffline(credential)
	if refusal, ok := errors.AsType[*auth.Refusal](err); ok {
		fmt.Fprintf(b, "refused (401): %s\n", refusal.Detail)
		if strings.HasPrefix(credential, auth.TokenPrefix) && !auth.IsWholeToken(credential) {
			b.WriteString("A character of the token is wrong or missing, by its checksum.\n")
		}
		return errRefused
	} else if err != nil {
		return err
	}
	fmt.Fprintf(b, "caller: %s\n", describe(caller))
	if !isChecked {
		b.WriteString("The signature of the JWT was not checked, since the keys of its issuer " +
			"are at an address.\n")
	}
	if caller.Kind == auth.NATS && asked[0].extent == allBuckets {
		b.WriteString("refused (403): the credential is none of the gateway, and what NATS lets " +
			"it do says nothing of the gateway\n")
		return errRefused
	}
	if caller.Kind == auth.NATS {
		b.WriteString("The credential is none of the gateway. It is passed through, and NATS " +
			"decides what it may do.\n")
		return nil
	}
	for _, n := range asked {
		if !n.explain(b, caller.Rights) {
			err = errRefused
		}
	}
	return err
}

// describe returns who a caller is.
func describe(caller *auth.Caller) string {
	text := strings.TrimSpace(caller.Kind.String() + " " + caller.Name)
	if !caller.Expires.IsZero() {
		text += ", until " + caller.Expires.UTC().Format(time.RFC3339)
	}
	return text
}

// explain writes whether rights are enough for a need, and reports whether they are.
func (n *need) explain(b *strings.Builder, rights *auth.Rights) bool {
	shown, allowed, err := n.allowed(rights)
	switch {
	case err != nil:
		fmt.Fprintf(b, "refused (400): %v\n", err)
		return false
	case !allowed:
		fmt.Fprintf(b, "refused (403): no rules let the caller %s\n", n)
		n.writeRules(b, rights, "the rules of the caller that are about it in part:")
		return false
	}
	fmt.Fprintf(b, "allowed: %s\n", n)
	if n.extent == shownKeys {
		fmt.Fprintf(b, "The answer has the keys that these filters select: %s\n", patterns(shown))
	}
	if n.extent == bodyKeys || n.extent == bodySteps {
		b.WriteString("Each key in the body is checked: these rules must allow it.\n")
	}
	if n.note != "" {
		b.WriteString(n.note + "\n")
	}
	n.writeRules(b, rights, "by these rules:")
	if n.changesKeys() {
		b.WriteString("If the bucket is a mirror, writes go to its origin, and the same rights " +
			"are needed there, too.\n")
	}
	return true
}

// changesKeys reports whether the request changes keys, and not only the bucket itself.
func (n *need) changesKeys() bool {
	return n.actions&(auth.Write|auth.Configure) != 0 && n.extent != theBucket &&
		n.extent != shownKeys && n.extent != allBuckets
}

// allowed reports whether rights are enough for a need, and returns the filters of what is shown.
func (n *need) allowed(rights *auth.Rights) (shown kv.Filters, allowed bool, err error) {
	switch n.extent {
	case everyKey:
		return nil, rights.Cover(n.actions, n.bucket, n.filters), nil
	case shownKeys:
		return rights.Narrow(n.actions, n.bucket, n.filters)
	case bodyKeys:
		return nil, rights.MaySome(n.actions, n.bucket), nil
	case bodySteps:
		return nil, rights.MaySome(auth.Put, n.bucket) || rights.MaySome(auth.Delete, n.bucket), nil
	case anyCaller:
		return nil, true, nil
	case theBucket:
		return nil, rights.Administer(n.bucket), nil
	case allBuckets:
		return nil, rights.AdministerAll(), nil
	}
	if n.bucket == (kv.BucketName{}) {
		return nil, rights.MayKnowSome(), nil
	}
	return nil, rights.Know(n.bucket), nil
}

// String returns what is needed, such as "get orders.1 in the bucket shop".
func (n *need) String() string {
	where := "in the bucket " + n.bucket.String()
	switch {
	case n.extent == anyCaller:
		return "ask for it with any credential that is known"
	case n.extent == allBuckets:
		return "admin every bucket"
	case n.bucket == (kv.BucketName{}):
		return "see a bucket"
	case n.extent == anyRight:
		return "see the bucket " + n.bucket.String()
	case n.extent == theBucket:
		return "admin the bucket " + n.bucket.String()
	case n.extent == bodyKeys:
		return n.actions.String() + " " + where
	case n.extent == bodySteps:
		return "put or delete " + where
	}
	return n.actions.String() + " " + patterns(n.filters) + " " + where
}

// patterns returns the text of filters.
func patterns(filters kv.Filters) string {
	if len(filters) == 0 {
		return kv.AllKeys.String()
	}
	texts := make([]string, len(filters))
	for i, f := range filters {
		texts[i] = f.String()
	}
	return strings.Join(texts, " ")
}

// writeRules writes the rules that have to do with a need, with their lines in the auth file.
func (n *need) writeRules(b *strings.Builder, rights *auth.Rights, title string) {
	var rules []string
	for _, r := range rights.Rules() {
		if n.concerns(r) {
			rules = append(rules, fmt.Sprintf("  line %d, role %s: bucket %s, keys %s, can %s\n",
				r.Line, r.Role, r.Bucket, patterns(r.Keys), r.Can))
		}
	}
	if len(rules) > 0 {
		b.WriteString(title + "\n" + strings.Join(rules, ""))
	}
}

// concerns reports whether a rule allows a part of what is needed.
func (n *need) concerns(r auth.Rule) bool {
	if n.extent == allBuckets {
		return r.Can&n.actions != 0
	}
	if n.bucket == (kv.BucketName{}) {
		return n.extent != anyCaller
	}
	if !r.Bucket.Matches(n.bucket) || n.actions != 0 && r.Can&n.actions == 0 {
		return false
	}
	_, some, err := kv.Narrow(n.filters, r.Keys)
	return some || err != nil
}
