package bound

import "time"

// began is when the process began, with a reading of the monotonic clock.
var began = time.Now()

// now returns the time since the process began, by the monotonic clock: when the wall clock is set
// back, what is held must not last longer.
func now() time.Duration { return time.Since(began) }
