package bound

import "time"

// now returns the time.
func now() time.Duration { return time.Duration(time.Now().UnixNano()) }
