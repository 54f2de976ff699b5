package jsonpatch

import "slices"

// merge is MergePatch of RFC 7396 §2. Values within arrays of a patch are taken as they are, null
// included. It returns target itself if nothing changes, so that its text stays.
func merge(target, patch *node) *node {
	if patch.kind != '{' {
		return patch
	}
	if target == nil || target.kind != '{' {
		target = newObject(nil)
	}
	find, members := target.finder(), slices.Clone(target.members)
	removed, changed := false, false
	for _, m := range patch.members {
		at := find(m.name)
		switch {
		case m.value.isNull() && at >= 0:
			members[at].value, removed = nil, true
		case m.value.isNull():
		case at >= 0:
			value := merge(members[at].value, m.value)
			changed = changed || value != members[at].value
			members[at].value = value
		default:
			m.value, changed = merge(nil, m.value), true
			members = append(members, m)
		}
	}
	if removed {
		members = slices.DeleteFunc(members, func(m member) bool { return m.value == nil })
	}
	if !removed && !changed && target.raw != nil {
		return target
	}
	return newObject(members)
}
