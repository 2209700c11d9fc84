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

// status is what is printed. As JSON it has the texts of the database as they are.
type status struct {
	Database upkeep.Database `json:"database"`
	Replicas []replicaStatus `json:"replicas"`
	Omitted  int64           `json:"replicas_omitted,omitempty"`
}

// replicaStatus is how a replica was when it reported last.
type replicaStatus struct {
	Name     string       `json:"name"`
	Login    string       `json:"login"`
	Seq      int64        `json:"seq"`
	Behind   int64        `json:"behind"`
	Reported time.Time    `json:"reported,omitzero"`
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
	s := &status{of, []replicaStatus{}, max(0, of.Replicas-int64(len(replicas)))}
	for i := range replicas {
		r := &replicas[i]
		shown := replicaStatus{r.Name, r.Login, r.Applied, r.Behind, r.Reported.UTC(), r.Identity == of.Identity, r.Held, r.Lost, []lostRecord{}}
		for _, lost := range r.Records {
			shown.Records = append(shown.Records, lostRecord(lost))
		}
		s.Replicas = append(s.Replicas, shown)
	}
	return s, nil
}

// write writes the status as text. What the database lacks follows the table. No text of
// the database can control the terminal, or look like another line.
func (s *status) write(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "last change %d, epoch %s\n", s.Database.Seq, confusable.Shown(s.Database.Epoch))
	if len(s.Replicas) == 0 {
		fmt.Fprintln(w, "no replica has reported")
		return
	}
	command.Table(w, func(row func(cells ...any)) {
		row("REPLICA", "LOGIN", "SEQ", "BEHIND", "REPORTED", "HELD", "LOST")
		for i := range s.Replicas {
			r := &s.Replicas[i]
			row(command.OrDash(r.Name), command.OrDash(r.Login), r.Seq, r.Behind, reportedAgo(r.Reported, now), r.Held, r.Lost)
		}
	})
	if s.Omitted > 0 {
		fmt.Fprintf(w, "and %d more replicas, of logins that have too many\n", s.Omitted)
	}
	for i := range s.Replicas {
		s.Replicas[i].writeLost(w)
	}
}

// reportedAgo is how long ago a replica reported.
func reportedAgo(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return fmt.Sprint(max(0, now.Sub(at)).Round(time.Second), " ago")
}

func (r *replicaStatus) writeLost(w io.Writer) {
	if r.Lost == 0 && len(r.Records) == 0 {
		return
	}
	lost := max(r.Lost, int64(len(r.Records)))
	fmt.Fprintf(w, "%s had seen %d records that the database lacks or has otherwise:\n", command.OrDash(r.Name), lost)
	for _, record := range r.Records {
		fmt.Fprintf(w, "  %s %s: %s (change %d)\n", command.OrDash(record.Kind), command.OrDash(record.ID), command.OrDash(record.What), record.Seq)
	}
	if more := lost - int64(len(r.Records)); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}
