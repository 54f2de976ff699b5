package auth

import "strings"

// Actions is a set of actions.
type Actions uint8

// The actions. What each allows is said in docs/security.md.
const (
	// Get is to see values, entries and history, and what other answers show of them.
	Get Actions = 1 << iota
	// List is to see the names of keys.
	List
	// Watch is to see changes, with their values.
	Watch
	// Put is to store values.
	Put
	// Delete is to delete and purge keys.
	Delete
	// Configure is to create, configure and delete buckets, and to see and remove markers. A file
	// grants it only as a part of Admin.
	Configure

	// Read, Write and Admin stand for several actions.
	Read  = Get | List | Watch
	Write = Put | Delete
	Admin = Read | Write | Configure
)

// actionNames has the actions of which others consist, as files and problems name them.
var actionNames = []struct {
	action Actions
	name   string
}{
	{Get, "get"}, {List, "list"}, {Watch, "watch"}, {Put, "put"}, {Delete, "delete"},
	{Configure, "admin"},
}

// ParseAction returns what the name of an action in a file stands for.
func ParseAction(name string) (a Actions, ok bool) {
	switch name {
	case "read":
		return Read, true
	case "write":
		return Write, true
	case "admin":
		return Admin, true
	}
	for _, known := range actionNames {
		if known.name == name {
			return known.action, true
		}
	}
	return 0, false
}

// Has reports whether the set has all of the given actions.
func (a Actions) Has(actions Actions) bool { return a&actions == actions }

// String returns the names of the actions, such as "get, list".
func (a Actions) String() string {
	var names []string
	for _, known := range actionNames {
		if a.Has(known.action) {
			names = append(names, known.name)
		}
	}
	return strings.Join(names, ", ")
}
