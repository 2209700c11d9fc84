package admission

import (
	"net/netip"
	"time"
)

// debt is failed work that time pays off, as the moment when it is paid (GCRA).
// The zero debt is none.
type debt time.Duration

// longestMemory is as far as a debt gets ahead of the time.
const longestMemory = 10 * time.Minute

// left is how long it takes until the debt is paid.
func (d debt) left(now time.Duration) time.Duration { return max(0, time.Duration(d)-now) }

// add charges work at a price: so many units of time pay for one of work.
func (d *debt) add(now, work time.Duration, price float64) {
	left := d.left(now) + time.Duration(float64(work)*price)
	*d = debt(now + min(left, longestMemory))
}

// Suspicion lasts long, so that a client that sends one forged token every few
// seconds is still known by the next: at these prices the failures of 5,000
// addresses that keep a quarter of a processor busy are remembered. A network has
// many clients, and what one of them did says less of the others.
const (
	addressPrice = 20_000
	networkPrice = 200
)

// waitPrice is what it adds to a client's suspicion that it had to wait, so that in
// a flood those that come again and again go behind those that come once.
const waitPrice = 3 * time.Second

// familiarFor is how long a good credential speaks for its client.
const familiarFor = 10 * time.Minute

// account is what is known of an address or a network. The zero account is of
// one that nothing is known of.
type account struct {
	budget    debt          // failed work, of which a client may do so much
	suspicion debt          // failed work too, remembered longer, and waits; it orders those that wait
	familiar  time.Duration // until then the last credential, which was good, counts
}

// Client is where a credential came from: the range that counts as one client,
// and the network around it. Clients without an address are all the zero
// Client. It has no budget of its own: one of them would lock out the others.
type Client struct{ Address, Network netip.Prefix }

// standing is how a client stands among others.
type standing struct {
	owes      time.Duration // until its budget is whole again
	suspicion time.Duration // until its failures and its network's are forgotten
	familiar  bool
}

// ledger holds the accounts of clients that did something lately, in a bounded
// number: when the recent ones are too many they become the older ones, and
// the older ones are forgotten.
type ledger struct{ recent, older map[netip.Prefix]account }

const maxAccounts = 1 << 16

func (l *ledger) get(p netip.Prefix) account {
	if a, ok := l.recent[p]; ok {
		return a
	}
	return l.older[p]
}

func (l *ledger) put(p netip.Prefix, a account) {
	if len(l.recent) >= maxAccounts || l.recent == nil {
		l.recent, l.older = map[netip.Prefix]account{}, l.recent
	}
	l.recent[p] = a
}

func (l *ledger) standing(c Client, now time.Duration) standing {
	address, network := l.get(c.Address), l.get(c.Network)
	return standing{
		owes:      address.budget.left(now),
		suspicion: address.suspicion.left(now) + network.suspicion.left(now),
		familiar:  now < address.familiar,
	}
}

func (l *ledger) failed(c Client, now, work time.Duration, clientPrice float64) {
	address, network := l.get(c.Address), l.get(c.Network)
	if c.Address.IsValid() {
		address.budget.add(now, work, clientPrice)
	}
	address.suspicion.add(now, work, addressPrice)
	address.familiar = 0
	network.suspicion.add(now, work, networkPrice)
	l.put(c.Network, network)
	l.put(c.Address, address) // the last: for the zero client both are one account
}

func (l *ledger) waited(c Client, now time.Duration) {
	address := l.get(c.Address)
	address.suspicion.add(now, waitPrice, 1)
	l.put(c.Address, address)
}

func (l *ledger) succeeded(c Client, now time.Duration) {
	address := l.get(c.Address)
	address.familiar = now + familiarFor
	l.put(c.Address, address)
}
