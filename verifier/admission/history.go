package admission

import (
	"net/netip"
	"time"
)

// tat is a theoretical arrival time (GCRA): the time at which failed work is
// paid off. The zero tat has nothing to pay.
type tat time.Duration

// maxBacklog bounds how far in the future a tat is.
const maxBacklog = 10 * time.Minute

// backlog returns how long it takes until the work is paid off.
func (t tat) backlog(now time.Duration) time.Duration { return max(0, time.Duration(t)-now) }

// charge adds work at a price, in units of time per unit of work.
func (t *tat) charge(now, work time.Duration, price float64) {
	backlog := t.backlog(now) + time.Duration(float64(work)*price)
	*t = tat(now + min(backlog, maxBacklog))
}

// Penalties last long, so that a client that sends one forged token every few
// seconds is still known by the next one. At these prices the failures of 5,000
// addresses that keep a quarter of a processor busy are remembered. A network
// has many clients, and the failures of one say less about the others.
const (
	addressPrice = 20_000
	networkPrice = 200
)

// waitPenalty is added to a client's penalty when it has to wait, so that in a
// flood the clients that come repeatedly go behind those that come once.
const waitPenalty = 3 * time.Second

// trustedFor is how long a client is trusted after a valid credential.
const trustedFor = 10 * time.Minute

// record is what is known about an address or a network. The zero record is
// that of an unknown one.
type record struct {
	budget       tat           // failed work; the client is refused beyond clientBurst
	penalty      tat           // failed work and waits, remembered longer; orders the queue
	trustedUntil time.Duration // until when the last credential, a valid one, counts
}

// Client is the origin of a credential: the address range that counts as one
// client, and the network around it. All clients without an address are the
// zero Client. It has no budget, since one of them could use it up for the
// others.
type Client struct{ Address, Network netip.Prefix }

// standing is how a client is treated now.
type standing struct {
	budgetBacklog time.Duration // until its budget is full again
	penalty       time.Duration // until its failures and those of its network are forgotten
	trusted       bool
}

// history holds the records of recently active clients, in two generations of
// bounded size. When the recent one is full it becomes the older one, which is
// dropped.
type history struct{ recent, older map[netip.Prefix]record }

const maxRecords = 1 << 16

func (h *history) get(p netip.Prefix) record {
	if r, ok := h.recent[p]; ok {
		return r
	}
	return h.older[p]
}

func (h *history) put(p netip.Prefix, r record) {
	if len(h.recent) >= maxRecords || h.recent == nil {
		h.recent, h.older = map[netip.Prefix]record{}, h.recent
	}
	h.recent[p] = r
}

func (h *history) standing(c Client, now time.Duration) standing {
	address, network := h.get(c.Address), h.get(c.Network)
	return standing{
		budgetBacklog: address.budget.backlog(now),
		penalty:       address.penalty.backlog(now) + network.penalty.backlog(now),
		trusted:       now < address.trustedUntil,
	}
}

func (h *history) failed(c Client, now, work time.Duration, clientPrice float64) {
	address, network := h.get(c.Address), h.get(c.Network)
	if c.Address.IsValid() {
		address.budget.charge(now, work, clientPrice)
	}
	address.penalty.charge(now, work, addressPrice)
	address.trustedUntil = 0
	network.penalty.charge(now, work, networkPrice)
	h.put(c.Network, network)
	h.put(c.Address, address) // last, since for the zero client both are one record
}

func (h *history) waited(c Client, now time.Duration) {
	address := h.get(c.Address)
	address.penalty.charge(now, waitPenalty, 1)
	h.put(c.Address, address)
}

func (h *history) succeeded(c Client, now time.Duration) {
	address := h.get(c.Address)
	address.trustedUntil = now + trustedFor
	h.put(c.Address, address)
}
