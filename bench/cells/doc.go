// Package cells has the tables of what is compared, and measures them: single requests
// ([Requests]), streams ([Streams]), many keys at once ([Many]) and transactions ([Transactions]).
// Each of these is a command with flags of its own.
//
// The systems of a cell take turns in short rounds, and each round begins with another system. The
// load generator and whatever else runs on the machine share its cores, so absolute figures change
// from minute to minute; ratios within one round hardly do.
package cells
