package handlers

import (
	"net/url"
	"slices"
	"strings"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/pages"
)

// These are the parts of the paths of the contract that stand for a name. A key and a code end
// their paths.
const (
	bucketPattern = "{bucket}"
	keyPattern    = "{key}"
	codePattern   = "{code}"
	pagePattern   = "{page}"
)

// A pathFinder finds the paths that were probably meant by those that no route has.
type pathFinder struct {
	// templates are the paths of the contract.
	templates []string
	// exists reports whether a route has a path.
	exists func(path string) bool
}

// near returns the path that was probably meant; "" if none is near. A path has at most 1,024 bytes
// and 16 parts for that. Where the name of a key is missing, the path ends in {key}.
func (f *pathFinder) near(path string) string {
	if len(path) > 1024 || strings.Count(path, "/") > 16 {
		return ""
	}
	for _, guess := range f.guesses(path) {
		if guess != path && guess != "/" && f.leads(guess) {
			return guess
		}
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	best, least := "", maxMisspelt
	for _, template := range f.templates {
		guess, d := fitPath(parts, strings.Split(template[1:], "/"))
		if guess != "" && d < least && f.leads(guess) {
			best, least = guess, d
		}
	}
	if best == "" && len(parts) > 2 && parts[0] == "buckets" && !f.hasResource(parts[2]) {
		best = "/buckets/" + parts[1] + "/keys/" + strings.Join(parts[2:], "/")
		if !f.leads(best) {
			return ""
		}
	}
	return best
}

// guesses returns what may have been meant if all parts of a path are right, but a slash is too
// much, /buckets is missing, the bucket and what is wanted of it are swapped, or the path has a
// beginning that other APIs have.
func (f *pathFinder) guesses(path string) []string {
	found := []string{strings.TrimRight(path, "/"), strings.ReplaceAll(path, "//", "/")}
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 3)
	if len(parts) > 1 {
		found = append(found, "/buckets"+path)
		if f.isResource(parts[0]) {
			swapped := append([]string{"/buckets", parts[1], parts[0]}, parts[2:]...)
			found = append(found, strings.Join(swapped, "/"))
		}
	}
	if _, near := misspeltPart(parts[0], "buckets"); near {
		return found
	}
	for rest, count := path, 0; count < 2; count++ {
		i := strings.IndexByte(rest[min(1, len(rest)):], '/')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		found = append(found, rest)
	}
	return found
}

// resources returns what there is of a bucket, such as keys.
func (f *pathFinder) resources() (found []string) {
	for _, template := range f.templates {
		parts := strings.Split(template, "/")
		if len(parts) > 3 && parts[2] == bucketPattern && !slices.Contains(found, parts[3]) {
			found = append(found, parts[3])
		}
	}
	return found
}

// isResource reports whether a part of a path names what there is of a bucket.
func (f *pathFinder) isResource(part string) bool { return slices.Contains(f.resources(), part) }

// hasResource reports whether a part of a path is near to the name of what there is of a bucket.
func (f *pathFinder) hasResource(part string) bool {
	return slices.ContainsFunc(f.resources(), func(name string) bool {
		_, near := misspeltPart(part, name)
		return near
	})
}

// leads reports whether a route has a path, and its names can be those of a bucket, a key or a
// problem.
func (f *pathFinder) leads(path string) bool { return f.exists(path) && hasNames(path) }

// hasNames reports whether the names in a path can be those of a bucket or a key, or are those of a
// problem or a page.
func hasNames(path string) bool {
	parts := strings.SplitN(path, "/", 5)
	if len(parts) > 2 && parts[1] == "problems" && parts[2] != codePattern {
		return problem.KindOf(parts[2]) != nil
	}
	if len(parts) > 2 && parts[1] == "console" {
		return false // Files that nobody types.
	}
	if len(parts) > 2 && parts[1] == "docs" && parts[2] != pagePattern {
		return slices.Contains(pages.Names(), parts[2])
	}
	if len(parts) > 2 && parts[1] == "buckets" {
		name, err := url.PathUnescape(parts[2])
		if _, bad := kv.ParseBucketName(name); err != nil || bad != nil {
			return false
		}
	}
	if len(parts) == 5 && parts[4] != keyPattern {
		name, err := url.PathUnescape(parts[4])
		_, bad := kv.ParseKey(name)
		return err == nil && bad == nil
	}
	return true
}

// fitPath returns the parts of a path as a path of the template, and how far it is from what was
// sent; "" if it does not fit. The name at the end of a template may be missing.
func fitPath(parts, template []string) (fitted string, d int) {
	for i, want := range template {
		isName := strings.HasPrefix(want, "{")
		switch {
		case i == len(parts) && isName && want != bucketPattern:
			return fitted + "/" + want, d + 1
		case i >= len(parts) || parts[i] == "":
			return "", 0
		case want == keyPattern:
			return fitted + "/" + strings.Join(parts[i:], "/"), d
		case want == codePattern || want == pagePattern:
			names := problemCodes()
			if want == pagePattern {
				names = pages.Names()
			}
			near := nearest(parts[i], names)
			if near == "" {
				return "", 0
			}
			fitted += "/" + near
		case isName:
			fitted += "/" + parts[i]
		default:
			more, near := misspeltPart(parts[i], want)
			if !near {
				return "", 0
			}
			d += more
			fitted += "/" + want
		}
	}
	if len(parts) != len(template) {
		return "", 0
	}
	return fitted, d
}

// misspeltPart returns how far a part of a path is from the one that is wanted, and reports whether
// it is near.
func misspeltPart(part, want string) (d int, near bool) {
	plain := plainName(part)
	switch {
	case part == want:
		return 0, true
	case want == "":
		return 0, false
	case otherWords[plain] == want:
		return 1, true
	case strings.HasSuffix(plain, "y") && strings.TrimSuffix(plain, "y")+"ies" == want:
		return 1, true // the plural
	}
	return max(1, distance(plain, plainName(want))), nearest(part, []string{want}) != ""
}

// otherWords are words that other APIs have for the parts of paths.
var otherWords = map[string]string{"value": "keys", "values": "keys"}

// problemCodes returns the codes of all problems.
func problemCodes() (codes []string) {
	for _, kind := range problem.Kinds() {
		codes = append(codes, string(kind.Code))
	}
	return codes
}
