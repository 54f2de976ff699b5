package bound

import "time"

// began is when the process began, with a reading of the monotonic clock.
var began = time.Now()

// now returns the time since the process began, by the monotonic clock. So leases and stalls last
// no longer when the wall clock is set back, and end no earlier when it is set forward.
func now() time.Duration { return time.Since(began) }
