package redis

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"keyward/ratelimit"
	"keyward/ratelimit/failover"
)

// startCluster starts a cluster of three real nodes.
func startCluster(t *testing.T) (nodes []*server, url string) {
	t.Helper()
	var buses, addresses []string
	for i := range 3 {
		bus := freePort(t)
		node := startServer(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000")
		node.must(fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*5461+min(i, 1), min((i+1)*5461, 16383)))
		nodes, buses, addresses = append(nodes, node), append(buses, bus), append(addresses, node.addr)
	}
	for i, node := range nodes[1:] {
		_, port, _ := net.SplitHostPort(node.addr)
		nodes[0].must("CLUSTER MEET 127.0.0.1 " + port + " " + buses[i+1])
	}
	url = "redis+cluster://" + strings.Join(addresses, ",")
	probe := openStore(t, url, patient)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if clusterAnswers(t, probe) {
			return nodes, url
		}
		if time.Now().After(end) {
			t.Fatal("the cluster did not form")
		}
	}
}

// clusterAnswers sends requests of enough subjects that each node is used, by
// its own view of the cluster.
func clusterAnswers(t *testing.T, s *Store) bool {
	for i := range 32 {
		one := []ratelimit.Limit{limit(numbered(200, i), ratelimit.Rate{Count: 1000, Period: time.Second}), limit(numbered(100+i, 0), ratelimit.Rate{Count: 1000, Period: time.Second})}
		if _, err := s.Take(t.Context(), time.Now(), one, make([]ratelimit.Result, 2)); err != nil {
			return false
		}
	}
	return true
}

func TestCluster(t *testing.T) {
	t.Parallel()
	nodes, url := startCluster(t)
	s := openStore(t, url, patient)
	hour := func(n int) ratelimit.Rate { return ratelimit.Rate{Count: n, Period: time.Hour} }

	t.Run("one subject, one script", func(t *testing.T) {
		wide, narrow := limit(numbered(1, 1), hour(10)), limit(numbered(1, 2), hour(2))
		if groups := s.group([]ratelimit.Limit{wide, narrow}, make([]ratelimit.Params, 2), true); len(groups) != 1 {
			t.Fatal(len(groups))
		}
		for range 2 {
			take(t, s, wide, narrow)
		}
		if refused, results := take(t, s, wide, narrow); refused != 1 || results[0].Remaining != 8 {
			t.Error(refused, results)
		}
	})
	t.Run("a refusal of another node refunds the charge", func(t *testing.T) {
		wide, narrow := limit(numbered(2, 1), hour(10)), limit(numbered(3, 1), hour(2))
		for range 2 {
			take(t, s, wide, narrow)
		}
		for range 20 {
			if refused, results := take(t, s, wide, narrow); refused != 1 || results[0].Remaining != 8 {
				t.Fatal(refused, results)
			}
		}
		if _, results := take(t, s, wide); results[0].Remaining != 7 {
			t.Error(results)
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		wide, narrow := limit(numbered(4, 1), hour(1000)), limit(numbered(5, 1), hour(50))
		var admitted atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 50 {
					results := make([]ratelimit.Result, 2)
					if refused, err := s.Take(t.Context(), time.Now(), []ratelimit.Limit{wide, narrow}, results); err != nil {
						t.Error(err)
					} else if refused == ratelimit.NotRefused {
						admitted.Add(1)
					}
				}
			})
		}
		all.Wait()
		if _, results := take(t, s, wide); admitted.Load() != 50 || results[0].Remaining != 949 {
			t.Error(admitted.Load(), results)
		}
	})
	t.Run("scripts lost", func(t *testing.T) {
		one, two, three := limit(numbered(6, 1), hour(10)), limit(numbered(7, 1), hour(10)), limit(numbered(8, 1), hour(10))
		for i := range 3 {
			if _, results := take(t, s, one, two, three); results[0].Remaining != 9-i || results[1].Remaining != 9-i || results[2].Remaining != 9-i {
				t.Fatal(results)
			}
			for _, node := range nodes {
				node.must("SCRIPT FLUSH")
			}
		}
	})
	t.Run("reset", func(t *testing.T) {
		if err := s.Reset(t.Context(), numbered(6, 1), numbered(7, 1), numbered(1, 1)); err != nil {
			t.Fatal(err)
		}
		if _, results := take(t, s, limit(numbered(6, 1), hour(10)), limit(numbered(8, 1), hour(10))); results[0].Remaining != 9 || results[1].Remaining != 6 {
			t.Error(results)
		}
	})
}

// TestClusterNodeFrozen: if one of three nodes does not answer, requests are
// decided locally, and none waits long for it.
func TestClusterNodeFrozen(t *testing.T) {
	t.Parallel()
	nodes, url := startCluster(t)
	onTime(t, func() error {
		l := startLoad(t, url, failover.FailLocal)
		defer l.close()
		if _, _, admitted, err := l.phase(time.Second); err != nil || admitted < 90 {
			return fmt.Errorf("%d admitted, %v", admitted, err)
		}
		for _, node := range nodes {
			node.signal(syscall.SIGSTOP)
			p99, longest, _, err := l.phase(time.Second)
			t.Logf("p99 %s, longest %s, %+v", p99, longest, l.f.Stats())
			node.signal(syscall.SIGCONT)
			if err != nil || p99 > limitOfP99 {
				return fmt.Errorf("p99 %s, %v", p99, err)
			}
			time.Sleep(2 * time.Second)
			if l.f.Stats().Unavailable {
				return errors.New("did not recover within 2 s")
			}
		}
		return nil
	})
}
