package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"keyward/ratelimit"
)

// group holds the limits of one script, by their indices.
type group struct {
	limits  []int
	keys    []string
	args    []any
	cmd     *redis.Cmd
	charged bool
}

var (
	errReply = errors.New("redis: a reply is not what the script returns")
)

func (s *Store) eval(ctx context.Context, limits []ratelimit.Limit, results []ratelimit.Result, charge bool) (int, error) {
	if len(limits) > ratelimit.MaxLimits || len(results) < len(limits) {
		return ratelimit.NotRefused, ratelimit.ErrLimits
	}
	if len(limits) == 0 {
		return ratelimit.NotRefused, nil
	}
	params := make([]ratelimit.Params, len(limits))
	for i := range limits {
		var err error
		if params[i], err = ratelimit.NewParams(limits[i].Rate); err != nil {
			return ratelimit.NotRefused, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	groups := s.group(limits, params, charge)
	if err := s.run(ctx, groups); err != nil {
		return ratelimit.NotRefused, fmt.Errorf("redis: %w", err)
	}
	for i := range groups {
		if err := groups[i].read(params, results); err != nil {
			return ratelimit.NotRefused, err
		}
	}
	refused := ratelimit.Refused(limits, results)
	if refused != ratelimit.NotRefused && len(groups) > 1 && charge {
		s.refund(ctx, groups, params, results)
	}
	return refused, nil
}

// group groups the limits that one script may test.
func (s *Store) group(limits []ratelimit.Limit, params []ratelimit.Params, charge bool) []group {
	groups := make([]group, 0, len(limits))
	for i := range limits {
		g := -1
		for j := range groups {
			if first := limits[groups[j].limits[0]].Bucket; !s.split || [8]byte(first[:8]) == [8]byte(limits[i].Bucket[:8]) {
				g = j
			}
		}
		if g < 0 {
			g = len(groups)
			groups = append(groups, group{args: []any{flag(charge)}})
		}
		r := &params[i]
		groups[g].limits = append(groups[g].limits, i)
		groups[g].keys = append(groups[g].keys, s.key(&limits[i].Bucket))
		groups[g].args = append(groups[g].args, r.Count, r.EmissionInterval.Micros, r.EmissionInterval.Part, r.BurstTolerance.Micros, r.BurstTolerance.Part,
			formatInterval(r.IntervalMicros), flag(limits[i].Shadow), min(limits[i].Deferred, ratelimit.MaxDeferred))
	}
	return groups
}

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}

// formatInterval returns a text that parses to the same number in double
// precision everywhere.
func formatInterval(interval float32) string {
	return strconv.FormatFloat(float64(interval), 'g', 17, 64)
}

// run runs the groups' scripts. A restarted server that does not have the
// script receives it with the request.
func (s *Store) run(ctx context.Context, groups []group) error {
	if len(groups) == 1 {
		groups[0].cmd = s.take.Run(ctx, s.client, groups[0].keys, groups[0].args...)
		return groups[0].cmd.Err()
	}
	_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range groups {
			groups[i].cmd = s.take.EvalSha(ctx, pipe, groups[i].keys, groups[i].args...)
		}
		return nil
	})
	if err == nil {
		return nil
	}
	for i := range groups {
		g := &groups[i]
		if redis.HasErrorPrefix(g.cmd.Err(), "NOSCRIPT") {
			g.cmd = s.take.Eval(ctx, s.client, g.keys, g.args...)
		}
		if err := g.cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}

// read converts the script's reply to results.
func (g *group) read(params []ratelimit.Params, results []ratelimit.Result) error {
	reply, err := g.cmd.Int64Slice()
	if err != nil || len(reply) != 1+4*len(g.limits) {
		return errReply
	}
	g.charged = reply[0] == 1
	for j, i := range g.limits {
		one := reply[4*j+1 : 4*j+5]
		tat, applied := ratelimit.Interval{Micros: one[1], Part: one[2]}, one[3]
		maxTAT := params[i].MaxTAT()
		if tat.Micros < 0 || tat.Part < 0 || tat.Part >= params[i].Count || tat.Micros > maxTAT.Micros ||
			tat.Micros == maxTAT.Micros && tat.Part > maxTAT.Part || applied < 0 || applied > ratelimit.MaxDeferred {
			return errReply
		}
		params[i].Report(&results[i], tat, one[0] == 1)
		results[i].Applied = int(applied)
	}
	return nil
}

// refund undoes the charges of a request that another group refused. A failed
// refund costs the subject one request.
func (s *Store) refund(ctx context.Context, groups []group, params []ratelimit.Params, results []ratelimit.Result) {
	_, _ = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range groups {
			if g := &groups[i]; g.charged {
				keys, args := g.refund(params, results)
				s.refundScript.Eval(ctx, pipe, keys, args...)
			}
		}
		return nil
	})
}

func (g *group) refund(params []ratelimit.Params, results []ratelimit.Result) (keys []string, args []any) {
	for j, i := range g.limits {
		if results[i].Allowed { // a shadow limit that would have refused was not charged
			r := &params[i]
			results[i].Remaining++
			keys = append(keys, g.keys[j])
			args = append(args, r.Count, r.EmissionInterval.Micros, r.EmissionInterval.Part, formatInterval(r.IntervalMicros))
		}
	}
	return keys, args
}
