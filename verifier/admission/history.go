package admission

import (
	"net/netip"
	"time"
)

// debt is failed work that time pays off. Its value is the time at which it is paid
// (GCRA). The zero debt is no debt.
type debt time.Duration

// longestMemory bounds how far in the future a debt is paid.
const longestMemory = 10 * time.Minute

// left returns how long it takes until the debt is paid.
func (d debt) left(now time.Duration) time.Duration { return max(0, time.Duration(d)-now) }

// add charges work at a price, in units of time per unit of work.
func (d *debt) add(now, work time.Duration, price float64) {
	left := d.left(now) + time.Duration(float64(work)*price)
	*d = debt(now + min(left, longestMemory))
}

// Suspicion lasts long, so that a client that sends one forged token every few seconds
// is still known by the next one. At these prices the failures of 5,000 addresses that
// keep a quarter of a processor busy are remembered. A network has many clients, and
// the failures of one say less about the others.
const (
	addressPrice = 20_000
	networkPrice = 200
)

// waitPrice is added to a client's suspicion when it has to wait, so that in a flood
// the clients that come repeatedly go behind those that come once.
const waitPrice = 3 * time.Second

// familiarFor is how long a client is familiar after a valid credential.
const familiarFor = 10 * time.Minute

// account is what is known about an address or a network. The zero account is that of
// an unknown one.
type account struct {
	budget    debt          // failed work; the client is refused beyond clientBurst
	suspicion debt          // failed work and waits, remembered longer; orders the queue
	familiar  time.Duration // until when the last credential, a valid one, counts
}

// Client is the origin of a credential: the address range that counts as one client, and
// the network around it. All clients without an address are the zero Client. It has no
// budget, since one of them could use it up for the others.
type Client struct{ Address, Network netip.Prefix }

// standing is how a client is treated now.
type standing struct {
	owes      time.Duration // until its budget is full again
	suspicion time.Duration // until its failures and those of its network are forgotten
	familiar  bool
}

// ledger holds the accounts of recently active clients, in two generations of bounded
// size. When the recent one is full it becomes the older one, which is dropped.
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
	l.put(c.Address, address) // last, since for the zero client both are one account
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
