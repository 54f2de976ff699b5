package auth

import "reflect"

// adopt returns a copy of a policy for this gate alone. What the gate knows of issuers stays: their
// keys as long as the file names the same place for them, and their tokens as long as the entry of
// the issuer is the same. g.changing is held, or the gate is new.
func (g *Gate) adopt(policy *Policy) *Policy {
	p := *policy
	if policy.anonymous != nil {
		p.anonymous = &Caller{
			Rights: policy.anonymous.Rights, policy: &p, presented: new(Presented),
		}
	}
	p.tokens = make(map[tokenHash]*ownToken, len(policy.tokens))
	for hash, t := range policy.tokens {
		p.tokens[hash] = &ownToken{name: t.name, rights: t.rights, expires: t.expires}
	}
	keys := make(map[string]*issuerKeys)
	p.issuers = make(map[string]*issuer, len(policy.issuers))
	for name, i := range policy.issuers {
		keys[name] = g.keysOf(i)
		p.issuers[name] = g.issuerInForce(i, keys[name])
	}
	g.keys = keys
	return &p
}

// keysOf returns the keys of an issuer, which are those in use if they come from the same place.
func (g *Gate) keysOf(i *issuer) *issuerKeys {
	keys := g.keys[i.name]
	if keys == nil || keys.source.url != i.keys.url || keys.source.file != i.keys.file {
		keys = &issuerKeys{
			source: i.keys, client: newKeysClient(g.options.Transport),
			changed: g.keysChanged, failed: g.options.KeysFailed,
		}
	}
	if read := i.keys.keys; read != nil {
		if old := keys.current.Load(); old == nil || old.text != read.text {
			keys.current.Store(read)
		}
	}
	return keys
}

// issuerInForce returns an issuer with its keys. If nothing has changed, it is the one in force, by
// which its tokens were checked. One whose file has other keys is another issuer: with the one in
// force, the next adoption would put the keys of before in force again.
func (g *Gate) issuerInForce(i *issuer, keys *issuerKeys) *issuer {
	if before := g.policy.Load(); before != nil {
		same := before.issuers[i.name]
		if same != nil && same.inUse == keys && same.keys.hasKeysOf(i.keys) &&
			reflect.DeepEqual(same.issuerTerms, i.issuerTerms) {
			return same
		}
	}
	inForce := *i
	inForce.inUse = keys
	return &inForce
}

// put puts a policy in force, which next makes of the one that is; nil if there is none yet.
func (g *Gate) put(next func(inForce *Policy) *Policy) {
	g.changing.Lock()
	defer g.changing.Unlock()
	if policy := next(g.policy.Load()); policy != nil {
		g.policy.Store(g.adopt(policy))
		if g.natsChanged != nil {
			g.natsChanged(policy.nats)
		}
	}
}

// keysChanged voids what was decided by keys that have changed, of issuers or of tickets: every
// caller is decided anew.
func (g *Gate) keysChanged() {
	g.put(func(inForce *Policy) *Policy { return inForce })
	g.DecideAnew()
}

// RefreshKeys fetches the keys of issuers that have become old, and does not wait for them. It is
// for a call every few seconds. A file with keys is read again with the auth file.
func (g *Gate) RefreshKeys() {
	g.changing.Lock()
	var all []*issuerKeys
	for _, keys := range g.keys {
		all = append(all, keys)
	}
	g.changing.Unlock()
	for _, keys := range all {
		keys.refresh()
	}
}
