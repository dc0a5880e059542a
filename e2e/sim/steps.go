package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/kit/event"
)

// Most of what goes wrong on the way is repaired, and no outcome tells of it. So every seed is also held to what must be so at each step.

// watchInbox lets the database itself write down every version that an inbox applies although it is not newer.
func (db *database) watchInbox(ctx context.Context, s *schema) error {
	return db.run(ctx, fmt.Sprintf(`
		CREATE TABLE %[1]s.not_newer (id uuid, type text);
		CREATE FUNCTION %[1]s.not_newer() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN INSERT INTO %[1]s.not_newer VALUES (new.id, new.type); RETURN new; END';
		CREATE TRIGGER not_newer BEFORE UPDATE ON %[1]s.inbox FOR EACH ROW
			WHEN ((new.epoch, new.version) <= (old.epoch, old.version)) EXECUTE FUNCTION %[1]s.not_newer()`, s.name))
}

// checkSteps looks, when no flow is under way, whether every step so far kept to its promise.
func (w *world) checkSteps() {
	for _, service := range w.services {
		w.checkNewer(service)
		w.checkSent(service)
		w.checkApplied(service)
	}
	w.checkClocks()
}

// checkClocks: no sweeper has fired by a clock that is far ahead.
func (w *world) checkClocks() {
	w.none("notices that a wrong clock fired", fmt.Sprintf(`SELECT count(*) FROM community_pickup.notice WHERE fired_at > '%s'::timestamptz + interval '5 minutes'`,
		w.now().Format(time.RFC3339Nano)))
}

// checkNewer: an inbox applied each version once, and none after a newer one.
func (w *world) checkNewer(service string) {
	for _, e := range w.versions(`SELECT type, id, 0, 0::bigint FROM ` + w.db.schemas[service].name + `.not_newer`) {
		w.fail("%s applied a version of %s %s although it held one that is as new", service, e.Type, e.ID)
	}
}

// checkSent: the bus has taken what an outbox holds as sent.
func (w *world) checkSent(service string) {
	schema := w.db.schemas[service].name
	for _, e := range w.versions(`SELECT type, id, epoch, version FROM ` + schema + `.outbox WHERE id NOT IN (SELECT id FROM ` + schema + `.outbox_unsent)`) {
		if t, ok := w.courier.taken[aggregate{e.Type, e.ID}]; !ok || e.NewerThan(t.Epoch, t.Version) {
			w.fail("%s holds version %d of %s %s as sent, and nobody acknowledged it", service, e.Version, e.Type, e.ID)
		}
	}
}

// checkApplied: an inbox holds what its service acknowledged to the bus.
func (w *world) checkApplied(service string) {
	held := map[aggregate]event.Event{}
	for _, e := range w.versions(`SELECT type, id, epoch, version FROM ` + w.db.schemas[service].name + `.inbox`) {
		held[aggregate{e.Type, e.ID}] = e
	}
	for a, e := range w.courier.applied {
		if h, ok := held[a.aggregate]; a.service == service && (!ok || e.NewerThan(h.Epoch, h.Version)) {
			w.fail("%s acknowledged version %d of %s %s to the bus and has not applied it", service, e.Version, e.Type, e.ID)
		}
	}
}

func (w *world) versions(sql string) []event.Event {
	rows, err := w.db.admin.Query(w.ctx, sql)
	if err != nil {
		w.fail("%s: %v", sql, err)
		return nil
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e event.Event, err error) {
		err = row.Scan(&e.Type, &e.ID, &e.Epoch, &e.Version)
		return e, err
	})
	if err != nil {
		w.fail("%s: %v", sql, err)
	}
	return list
}
