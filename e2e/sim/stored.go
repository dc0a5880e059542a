package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"reflect"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/e2e/hospital"
)

// stored are the requests at the FHIR door that the hub has kept and acts on, by X-Request-ID.
func (w *world) stored() map[string][]storedRequest {
	rows, err := w.db.admin.Query(w.ctx, `SELECT control_id, body FROM discharge_hub.inbound WHERE format = 'fhir' AND accepted`)
	if err != nil {
		w.fail("stored requests: %v", err)
		return nil
	}
	all := map[string][]storedRequest{}
	var id string
	var body []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &body}, func() error {
		r := storedRequest{body: slices.Clone(body)}
		all[id] = append(all[id], r)
		return json.Unmarshal(r.body, &all[id][len(all[id])-1])
	}); err != nil {
		w.fail("stored requests: %v", err)
	}
	return all
}

type storedRequest struct {
	Received time.Time
	body     []byte
}

// repeatFHIR sends everything that was answered with 2xx once more, when all is quiet, and then counts: each request has one effect.
func (w *world) repeatFHIR() {
	p := w.processOf("discharge-hub", "FHIR")
	if p == nil {
		return // what does not settle has been told
	}
	for _, id := range slices.Sorted(maps.Keys(w.door.said)) {
		r := w.door.said[id].FHIRRequest
		if a := p.exchange(w.ctx, r); a.ok() {
			w.door.remember(r, a)
		} else {
			w.fail("FHIR request %s was answered with 2xx, and is then answered %d %s", id, a.status, a.body)
		}
	}
	stored := w.stored()
	sent := w.allSent()
	for spell, messages := range w.messages() {
		for _, id := range messages {
			w.once(id, stored)
		}
		if version, _ := w.resource("Encounter", spell); version != len(messages) {
			w.fail("spell %s: its Encounter has version %d after %d messages", spell, version, len(messages))
		}
	}
	for _, d := range w.desks {
		d.check(p, stored)
	}
	for id := range stored {
		if sent {
			w.fail("FHIR request %s is stored, and was not answered with 2xx", id)
		}
	}
	var answers int
	if err := w.db.admin.QueryRow(w.ctx, `SELECT count(*) FROM discharge_hub.fhir_answer WHERE request_id = ANY($1)`, slices.Collect(maps.Keys(w.door.said))).
		Scan(&answers); err != nil || answers != len(w.door.said) {
		w.fail("%d FHIR requests were answered with 2xx, and %d answers are kept: %v", len(w.door.said), answers, err)
	}
}

// messages are the FHIR messages that were accepted, by spell.
func (w *world) messages() map[string][]string {
	all := map[string][]string{}
	for _, m := range w.told {
		if m.FHIR != nil && !slices.Contains(all[m.SpellID], m.ControlID) {
			all[m.SpellID] = append(all[m.SpellID], m.ControlID)
		}
	}
	return all
}

// once takes out the one request of an id.
func (w *world) once(id string, stored map[string][]storedRequest) storedRequest {
	all := stored[id]
	delete(stored, id)
	if len(all) != 1 {
		w.fail("FHIR request %s was answered with 2xx, and is stored %d times", id, len(all))
		return storedRequest{}
	}
	return all[0]
}

// resource is the newest version of a resource; 0 when there is none.
func (w *world) resource(typ, id string) (version int, body string) {
	if err := w.db.admin.QueryRow(w.ctx, `SELECT version, body FROM discharge_hub.fhir_resource WHERE type = $1 AND id::text = $2`, typ, id).
		Scan(&version, &body); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		w.fail("%s %s: %v", typ, id, err)
	}
	return version, body
}

// check holds what the clerks were answered against what is there, and adds what they told to what everybody told.
func (d *desk) check(p *process, stored map[string][]storedRequest) {
	w := d.w
	for _, typ := range []string{"Patient", "Encounter", "ServiceRequest"} {
		chain := d.chain(typ)
		before := storedRequest{}
		status := ""
		for i, o := range chain {
			if o.version != i+1 {
				w.fail("%s: write %s was answered with version %d of %s, and is the %d.", d.record.Key, o.ID, o.version, typ, i+1)
			}
			if o.ifVersion > 0 && o.version != o.ifVersion+1 {
				w.fail("%s: write %s may replace version %d of %s only, and was answered with version %d", d.record.Key, o.ID, o.ifVersion, typ, o.version)
			}
			is := w.once(o.ID, stored)
			if !is.Received.After(before.Received) {
				w.fail("%s: write %s counts as received at %s, and %s before it at %s", d.record.Key, o.ID, is.Received, typ, before.Received)
			}
			m := o.Received(o.ID, status, is.Received, is.body)
			w.told, w.acceptedAt = append(w.told, m), append(w.acceptedAt, o.answeredAt)
			before, status = is, o.Status
		}
		for _, o := range d.refused {
			if o.Type == typ && len(chain) <= o.ifVersion {
				w.fail("%s: write %s was refused because another one came before, and %s has %d versions", d.record.Key, o.ID, typ, len(chain))
			}
		}
		for _, r := range d.reads {
			if r.typ == typ && (r.version > len(chain) || bare(r.body) != bare(string(chain[r.version-1].Write.Body))) {
				w.fail("%s: version %d of %s was read as %s", d.record.Key, r.version, typ, r.body)
			}
		}
		if len(chain) == 0 {
			continue
		}
		newest := chain[len(chain)-1]
		for _, c := range d.clerks {
			if c.at[typ] == "" {
				continue
			}
			a := p.exchange(w.ctx, hospital.FHIRRequest{Method: http.MethodGet, Path: c.at[typ]})
			if version, body := w.resource(typ, path.Base(c.at[typ])); !a.ok() || version != len(chain) || body != string(newest.Write.Body) || bare(a.body) != bare(body) {
				w.fail("%s: %s is stored in version %d of %d as %s, and read as %d %s; the newest one written is %s",
					d.record.Key, typ, version, len(chain), body, a.status, a.body, newest.Write.Body)
			}
			if a.etag != fmt.Sprintf(`W/"%d"`, len(chain)) {
				w.fail("%s: %s is read with the ETag %s, and has %d versions", d.record.Key, typ, a.etag, len(chain))
			}
		}
	}
}

// chain are the writes of a type, by the versions with which they were answered.
func (d *desk) chain(typ string) []*order {
	chain := slices.DeleteFunc(slices.Clone(d.written), func(o *order) bool { return o.Type != typ })
	slices.SortStableFunc(chain, func(a, b *order) int { return a.version - b.version })
	return chain
}

// bare is a resource without what the server adds to it.
func bare(body string) string {
	var resource map[string]any
	if err := json.Unmarshal([]byte(body), &resource); err != nil {
		return err.Error()
	}
	delete(resource, "id")
	delete(resource, "meta")
	return compact(resource)
}

// checkTasks reads every Task that the engine has accepted: it is as it was posted.
func (w *world) checkTasks() {
	p := w.processOf("discharge-hub", "FHIR")
	for _, id := range slices.Sorted(maps.Keys(w.engine.newest)) {
		posted := w.engine.newest[id]
		var read fhirTask
		a := p.exchange(w.ctx, hospital.FHIRRequest{Method: http.MethodGet, Path: "/fhir/Task/" + id})
		if err := json.Unmarshal([]byte(a.body), &read); err != nil || !a.ok() || !reflect.DeepEqual(read, posted) || a.etag != fmt.Sprintf(`W/"%d"`, posted.version()) {
			w.fail("Task %s is read as %d %s %s, and the engine has %+v: %v", id, a.status, a.etag, a.body, posted, err)
		}
	}
}
