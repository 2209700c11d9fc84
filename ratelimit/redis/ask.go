package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"keyward/ratelimit"
)

// group are the limits of one script: those at the places in at.
type group struct {
	at      []int
	keys    []string
	args    []any
	cmd     *redis.Cmd
	charged bool
}

var (
	errAnswer = errors.New("redis: an answer is not what the script returns")
)

func (s *Store) ask(ctx context.Context, limits []ratelimit.Limit, results []ratelimit.Result, charge bool) (int, error) {
	if len(limits) > ratelimit.MaxLimits || len(results) < len(limits) {
		return ratelimit.NotRefused, ratelimit.ErrLimits
	}
	if len(limits) == 0 {
		return ratelimit.NotRefused, nil
	}
	rules := make([]ratelimit.Rule, len(limits))
	for i := range limits {
		var err error
		if rules[i], err = ratelimit.RuleOf(limits[i].Rate); err != nil {
			return ratelimit.NotRefused, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	groups := s.group(limits, rules, charge)
	if err := s.run(ctx, groups); err != nil {
		return ratelimit.NotRefused, fmt.Errorf("redis: %w", err)
	}
	for i := range groups {
		if err := groups[i].read(rules, results); err != nil {
			return ratelimit.NotRefused, err
		}
	}
	refused := ratelimit.Refused(limits, results)
	if refused != ratelimit.NotRefused && len(groups) > 1 && charge {
		s.payBack(ctx, groups, rules, results)
	}
	return refused, nil
}

// group puts limits that one script may test into one group.
func (s *Store) group(limits []ratelimit.Limit, rules []ratelimit.Rule, charge bool) []group {
	groups := make([]group, 0, len(limits))
	for i := range limits {
		g := -1
		for j := range groups {
			if first := limits[groups[j].at[0]].Bucket; !s.split || [8]byte(first[:8]) == [8]byte(limits[i].Bucket[:8]) {
				g = j
			}
		}
		if g < 0 {
			g = len(groups)
			groups = append(groups, group{args: []any{flag(charge)}})
		}
		r := &rules[i]
		groups[g].at = append(groups[g].at, i)
		groups[g].keys = append(groups[g].keys, s.key(&limits[i].Bucket))
		groups[g].args = append(groups[g].args, r.Count, r.Step.Micros, r.Step.Part, r.Room.Micros, r.Room.Part,
			paceText(r.Pace), flag(limits[i].Shadow), min(limits[i].Owed, ratelimit.MaxOwed))
	}
	return groups
}

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}

// paceText reads back as the same number wherever it is read in double precision.
func paceText(pace float32) string { return strconv.FormatFloat(float64(pace), 'g', 17, 64) }

// run runs the groups' scripts. A server that does not have the script yet,
// since it was restarted, gets it with the question.
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

// read turns the script's answer into results.
func (g *group) read(rules []ratelimit.Rule, results []ratelimit.Result) error {
	answer, err := g.cmd.Int64Slice()
	if err != nil || len(answer) != 1+4*len(g.at) {
		return errAnswer
	}
	g.charged = answer[0] == 1
	for j, i := range g.at {
		one := answer[4*j+1 : 4*j+5]
		level, paid := ratelimit.Level{Micros: one[1], Part: one[2]}, one[3]
		full := rules[i].Full()
		if level.Micros < 0 || level.Part < 0 || level.Part >= rules[i].Count || level.Micros > full.Micros ||
			level.Micros == full.Micros && level.Part > full.Part || paid < 0 || paid > ratelimit.MaxOwed {
			return errAnswer
		}
		rules[i].Report(&results[i], level, one[0] == 1)
		results[i].Paid = int(paid)
	}
	return nil
}

// payBack undoes the charges of a request that another group refused. What can't
// be paid back is lost to its owner: one request.
func (s *Store) payBack(ctx context.Context, groups []group, rules []ratelimit.Rule, results []ratelimit.Result) {
	_, _ = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range groups {
			if g := &groups[i]; g.charged {
				keys, args := g.refund(rules, results)
				s.refund.Eval(ctx, pipe, keys, args...)
			}
		}
		return nil
	})
}

func (g *group) refund(rules []ratelimit.Rule, results []ratelimit.Result) (keys []string, args []any) {
	for j, i := range g.at {
		if results[i].Allowed { // a shadow limit that did not was not charged
			r := &rules[i]
			results[i].Remaining++
			keys = append(keys, g.keys[j])
			args = append(args, r.Count, r.Step.Micros, r.Step.Part, paceText(r.Pace))
		}
	}
	return keys, args
}
