package audit

import "time"

// An Outcome is what became of a change.
type Outcome string

// The outcomes.
const (
	// Done: the change was made.
	Done Outcome = "done"
	// Partial: a part of it was made, and the counts say how much.
	Partial Outcome = "partial"
	// Denied: the caller is not known, or lacks the right, or a page of another site asked.
	Denied Outcome = "denied"
	// Refused: it was not made, since it was malformed, a condition did not hold, or a limit was
	// reached.
	Refused Outcome = "refused"
	// Failed: it was not made, since the gateway or NATS failed.
	Failed Outcome = "failed"
	// Unknown: it may have been made or not.
	Unknown Outcome = "unknown"
)

// An Entry is what a line of the log says.
type Entry struct {
	// Time is when the request came, and ID is its id, which the access log and the answer have.
	Time time.Time `json:"time"`
	ID   string    `json:"id,omitempty"`
	// Kind and Caller say who asked: by what the caller was recognised, and its name. They are ""
	// if the caller is not known.
	Kind   string `json:"kind,omitempty"`
	Caller string `json:"caller,omitempty"`
	// Client is the address of the client, without a port.
	Client string `json:"client"`
	// More is how many further requests of the client were refused that have no line. Such an entry
	// is of no request and has nothing but this, Time, Client and Outcome. Client can be the prefix
	// of an IPv6 site, or "others".
	More int `json:"more,omitempty"`
	// Method is the method of the request, and Action what it asks for, such as "put".
	Method string `json:"method,omitempty"`
	Action string `json:"action,omitempty"`
	// Bucket and Key are the target; "" if there is none, or none that could be one.
	Bucket string `json:"bucket,omitempty"`
	Key    string `json:"key,omitempty"`
	// Filters select the keys of a deletion by filter; MoreFilters counts those that are left out.
	Filters     []string `json:"filters,omitempty"`
	MoreFilters int      `json:"more_filters,omitempty"`
	// DryRun reports whether the client only wanted to know what would be done.
	DryRun bool `json:"dry_run,omitempty"`

	// Status is the status of the answer, 499 if the client went away before it had one.
	Status int `json:"status,omitempty"`
	// Outcome is what became of it.
	Outcome Outcome `json:"outcome"`
	// Problem is the code of the problem that was answered; "" for none.
	Problem string `json:"problem,omitempty"`
	// Revision is the revision that the change made, the last one if it made several; "" for none.
	Revision string `json:"revision,omitempty"`
	// Counts say how much of something was done, such as "stored" of an import.
	Counts map[string]int `json:"counts,omitempty"`
}
