// Package audit writes a line of JSON for each change that somebody asked for, done or refused.
//
// No change is made without room for its line: a request takes a place ([Log.Take]) before it
// changes anything, and its line is queued once its outcome is known ([Line.Write]). A request that
// was refused before that has a line if there is room ([Log.Refused]); clients without a credential
// cannot fill the log with such lines.
//
// One goroutine writes the lines, as many at a time as wait. If the disk is slow or full, the
// places run out, and further changes wait for a moment and are then refused, while readers notice
// nothing. So the lines that wait are bounded, and none of them is lost while the process runs: a
// write that fails is tried again until it succeeds or [Log.Close] gives up.
//
// What can be lost is what waits when the process is killed, which is some milliseconds of lines,
// and what the system has not put on its disk when the machine loses power: the log is not synced.
package audit
