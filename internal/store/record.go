// SPDX-License-Identifier: Apache-2.0

package store

import (
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// column ties a column to a field of a record: field is a pointer, which serves as
// the argument when writing and as the destination when reading, so that the two
// directions can't drift apart.
type column struct {
	name  string
	field any
}

// table is a table of whole records; the first keys columns are its identity.
type table struct {
	name string
	keys int
}

var (
	jobTable      = table{"jobs", 2}
	instanceTable = table{"instances", 1}
	runnerTable   = table{"runners", 1}
	metaTable     = table{"meta", 1}
)

func jobColumns(j *fleet.Job) []column {
	return []column{
		{"coordinator", &j.Coordinator},
		{"id", &j.ID},
		{"owner", &j.Owner},
		{"runner", &j.Runner},
		{"state", &j.State},
		{"token", hidden{&j.Token}},
		{"payload", opaque{&j.Payload}},
		{"nonce", hidden{&j.Nonce}},
		{"name", &j.Name},
		{"project", &j.Project},
		{"web_url", &j.WebURL},
		{"tenant", &j.Tenant},
		{"namespace", &j.Namespace},
		{"namespace_id", &j.NamespaceID},
		{"flavor", &j.Flavor},
		{"weight", &j.Weight},
		{"timeout", span{&j.Timeout}},
		{"seq", &j.Seq},
		{"prefix", &j.Prefix},
		{"prefix_acked", &j.PrefixAcked},
		{"prefix_frozen", truth{&j.PrefixFrozen}},
		{"failure_reason", &j.FailureReason},
		{"failure_text", &j.FailureText},
		{"failure_mark", &j.FailureMark},
		{"cancel_at", instant{&j.CancelAt}},
		{"result", &j.Result},
		{"acquired_at", instant{&j.AcquiredAt}},
		{"launching_at", instant{&j.LaunchingAt}},
		{"starting_at", instant{&j.StartingAt}},
		{"running_at", instant{&j.RunningAt}},
		{"finished_at", instant{&j.FinishedAt}},
		{"closed_at", instant{&j.ClosedAt}},
	}
}

func instanceColumns(i *fleet.Instance) []column {
	return []column{
		{"instance_key", &i.Key},
		{"job_coordinator", &i.Job.Coordinator},
		{"job_id", &i.Job.ID},
		{"owner", &i.Owner},
		{"runner", &i.Runner},
		{"tenant", &i.Tenant},
		{"namespace", &i.Namespace},
		{"namespace_id", &i.NamespaceID},
		{"provisioner", &i.Provisioner},
		{"zone", &i.Zone},
		{"flavor", &i.Flavor},
		{"weight", &i.Weight},
		{"state", &i.State},
		{"handle", opaque{&i.Handle}},
		{"started", truth{&i.Started}},
		{"creates", &i.Creates},
		{"destroys", &i.Destroys},
		{"last_error", &i.LastError},
		{"intended_at", instant{&i.IntendedAt}},
		{"created_at", instant{&i.CreatedAt}},
		{"started_at", instant{&i.StartedAt}},
		{"deleting_at", instant{&i.DeletingAt}},
		{"gone_at", instant{&i.GoneAt}},
	}
}

func runnerColumns(r *RunnerRecord) []column {
	return []column{{"owner", &r.Owner}, {"name", &r.Name}, {"coordinator", &r.Coordinator}}
}

func metaColumns(key, value *string) []column {
	return []column{{"meta_key", key}, {"meta_value", value}}
}

func names(columns []column) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.name
	}
	return strings.Join(list, ", ")
}

func fields(columns []column) []any {
	list := make([]any, len(columns))
	for i, c := range columns {
		list[i] = c.field
	}
	return list
}

// upsert is the statement that writes a whole record; SQLite and PostgreSQL take it.
func (t table) upsert(columns []column) string {
	values := make([]string, len(columns))
	for i := range columns {
		values[i] = "$" + strconv.Itoa(i+1)
	}
	var sets []string
	for _, c := range columns[t.keys:] {
		sets = append(sets, c.name+" = excluded."+c.name)
	}
	return "INSERT INTO " + t.name + " (" + names(columns) + ") VALUES (" + strings.Join(values, ", ") +
		") ON CONFLICT (" + names(columns[:t.keys]) + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

// instant keeps a time as microseconds since 1970, the zero time as 0.
type instant struct{ t *time.Time }

func (v instant) Value() (driver.Value, error) {
	if v.t.IsZero() {
		return int64(0), nil
	}
	return v.t.UnixMicro(), nil
}

func (v instant) Scan(src any) error {
	n, err := integer(src)
	if *v.t = (time.Time{}); n != 0 {
		*v.t = time.UnixMicro(n).UTC()
	}
	return err
}

// span keeps a duration as microseconds.
type span struct{ d *time.Duration }

func (v span) Value() (driver.Value, error) { return v.d.Microseconds(), nil }

func (v span) Scan(src any) error {
	n, err := integer(src)
	*v.d = time.Duration(n) * time.Microsecond
	return err
}

// truth keeps a bool as 0 or 1.
type truth struct{ b *bool }

func (v truth) Value() (driver.Value, error) {
	if *v.b {
		return int64(1), nil
	}
	return int64(0), nil
}

func (v truth) Scan(src any) error {
	n, err := integer(src)
	*v.b = n != 0
	return err
}

// hidden keeps a secret's value.
type hidden struct{ s *secret.String }

func (v hidden) Value() (driver.Value, error) { return v.s.Reveal(), nil }

func (v hidden) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("want a text, have %T", src) // never the value
	}
	*v.s = secret.New(text)
	return nil
}

// opaque keeps bytes, and none as NULL.
type opaque struct{ b *[]byte }

func (v opaque) Value() (driver.Value, error) {
	if len(*v.b) == 0 {
		return nil, nil
	}
	return *v.b, nil
}

func (v opaque) Scan(src any) error {
	switch data := src.(type) {
	case nil:
		*v.b = nil
	case []byte:
		*v.b = append([]byte(nil), data...) // the driver's own is reused
	default:
		return fmt.Errorf("want bytes, have %T", src)
	}
	return nil
}

func integer(src any) (int64, error) {
	n, ok := src.(int64)
	if !ok {
		return 0, fmt.Errorf("want a whole number, have %T", src)
	}
	return n, nil
}
