package stores

import (
	"fmt"
	"io"
	"time"

	"keyward/cmd/keyward/command"
	"keyward/store/confusable"
	"keyward/store/postgres/database"
	"keyward/store/postgres/upkeep"
)

type storeStatus struct {
	Config string `required:"" placeholder:"FILE" help:"Configuration that names the database and the pepper."`
	command.Output
}

// status is what is printed.
type status struct {
	Database upkeep.Database `json:"database"`
	Replicas []replicaStatus `json:"replicas"`
}

// replicaStatus is how a replica was when it reported last.
type replicaStatus struct {
	Name     string       `json:"name"`
	Login    string       `json:"login"`
	Seq      int64        `json:"seq"`
	Behind   int64        `json:"behind"`
	Reported time.Time    `json:"reported"`
	SameData bool         `json:"same_database"`
	Held     int64        `json:"held"`
	Lost     int64        `json:"lost"`
	Records  []lostRecord `json:"lost_records"`
}

// lostRecord is a record that the replica had seen, and that the database lacks or has
// otherwise.
type lostRecord struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Seq  int64  `json:"seq"`
	What string `json:"what"`
}

// Run prints the replicas.
func (c *storeStatus) Run(env *command.Env) error {
	db, err := open(env, c.Config)
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := readStatus(env, db)
	if err != nil {
		return err
	}
	return c.Print(env, s, func(w io.Writer) { s.write(w, env.Now()) })
}

func readStatus(env *command.Env, db *database.DB) (*status, error) {
	of, err := upkeep.Describe(env.Context, db)
	if err != nil {
		return nil, err
	}
	replicas, err := upkeep.Replicas(env.Context, db)
	if err != nil {
		return nil, err
	}
	s := &status{of, []replicaStatus{}}
	for i := range replicas {
		r := &replicas[i]
		shown := replicaStatus{confusable.Shown(r.Name), confusable.Shown(r.Login), r.Applied, r.Behind, r.Reported.UTC(), r.Identity == of.Identity, r.Held, r.Lost, []lostRecord{}}
		for _, lost := range r.Records {
			shown.Records = append(shown.Records, lostRecord(lost))
		}
		s.Replicas = append(s.Replicas, shown)
	}
	return s, nil
}

// write writes the status as text. What the database lacks follows the table.
func (s *status) write(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "last change %d, epoch %s\n", s.Database.Seq, s.Database.Epoch)
	if len(s.Replicas) == 0 {
		fmt.Fprintln(w, "no replica has reported")
		return
	}
	command.Table(w, func(row func(cells ...any)) {
		row("REPLICA", "LOGIN", "SEQ", "BEHIND", "REPORTED", "HELD", "LOST")
		for i := range s.Replicas {
			r := &s.Replicas[i]
			row(r.Name, r.Login, r.Seq, r.Behind, fmt.Sprint(max(0, now.Sub(r.Reported)).Round(time.Second), " ago"), r.Held, r.Lost)
		}
	})
	for i := range s.Replicas {
		s.Replicas[i].writeLost(w)
	}
}

func (r *replicaStatus) writeLost(w io.Writer) {
	if r.Lost == 0 {
		return
	}
	fmt.Fprintf(w, "%s had seen %d records that the database lacks or has otherwise:\n", r.Name, r.Lost)
	for _, lost := range r.Records {
		fmt.Fprintf(w, "  %s %s: %s (change %d)\n", lost.Kind, confusable.Shown(lost.ID), lost.What, lost.Seq)
	}
	if more := r.Lost - int64(len(r.Records)); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}
