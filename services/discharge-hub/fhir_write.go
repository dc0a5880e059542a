package dischargehub

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// formatFHIR is the format of a stored fhir.Request.
const formatFHIR format = "fhir"

// write is what a request is to do.
type write struct {
	*call
	feed discharge.Feed
	sent []fhir.Sent
	// create refuses a resource that is there, update one that is not; neither takes both.
	create, update bool
	// unlessThere makes a create of what is there no error, but nothing.
	unlessThere bool
	// ifMatch is the version that must be there: anyVersion for some, 0 where it does not matter.
	ifMatch int64
	message bool
}

// anyVersion is what `If-Match: *` asks for: that there is a current representation (RFC 9110, section 13.1.1).
const anyVersion = -1

// createResource is POST [type].
func createResource(d *fhirDoor, c *call) (fhirReply, error) {
	w := write{call: c, create: true}
	if condition := c.http.Header.Get("If-None-Exist"); condition != "" {
		w.unlessThere = true
		query, err := url.ParseQuery(condition)
		if err != nil {
			return fhirReply{}, refuse(http.StatusBadRequest, fhir.Value, "If-None-Exist must be identifier=<system>|<value>")
		}
		return d.writeOne(w, query)
	}
	return d.writeOne(w, nil)
}

// updateResource is PUT [type]/[id]: of a resource that was created before.
func updateResource(d *fhirDoor, c *call) (fhirReply, error) {
	return d.writeOne(write{call: c, update: true}, nil)
}

// updateByIdentifier is PUT [type]?identifier=…: it makes the resource, or replaces it.
func updateByIdentifier(d *fhirDoor, c *call) (fhirReply, error) {
	return d.writeOne(write{call: c}, c.http.URL.Query())
}

// writeOne stores one resource of the type in the address; condition, if any, says by which identifier it is found.
func (d *fhirDoor) writeOne(w write, condition url.Values) (fhirReply, error) {
	typ := typeAt(w.http)
	var err error
	if w.feed, err = d.feedOf(w.call); err != nil {
		return fhirReply{}, d.kept(w, err)
	}
	sent, issues := fhir.Examine(w.feed, w.body)
	if sent.Type != typ && !fhir.Malformed(issues) {
		issues = []fhir.Issue{{Severity: fhir.Error, Code: fhir.Structure, Expression: cmp.Or(sent.Type, typ) + ".resourceType",
			Diagnostics: "must be " + typ + " at this address"}}
	}
	if fhir.Refused(issues) {
		return fhirReply{}, d.kept(w, wrongBody(issues))
	}
	if id := w.http.PathValue("id"); id != "" {
		if !strings.EqualFold(id, sent.ID) {
			uid, err := uuid.Parse(id)
			if err != nil {
				return fhirReply{}, notThere()
			}
			there, err := d.store.hasFHIRResource(w.ctx, typ, uid, providers(w.feeds))
			if err != nil {
				return fhirReply{}, err
			}
			if !there {
				return fhirReply{}, notThere()
			}
			return fhirReply{}, d.kept(w, refuse(http.StatusBadRequest, fhir.Value, "the identifier in the body is that of another %s than the address", typ))
		}
	}
	if condition != nil {
		if err := matches(condition, w.feed, sent); err != nil {
			return fhirReply{}, d.kept(w, err)
		}
	}
	switch tag := w.http.Header.Get("If-Match"); tag {
	case "":
	case "*":
		w.ifMatch = anyVersion
	default:
		if w.ifMatch = versionIn(tag); w.ifMatch < 1 {
			return fhirReply{}, refuse(http.StatusBadRequest, fhir.Value, `If-Match must be an ETag of this server, such as W/"3", or *`)
		}
	}
	w.sent = []fhir.Sent{sent}
	answer, err := d.save(w)
	return answer, d.kept(w, err)
}

// processMessage is $process-message.
func processMessage(d *fhirDoor, c *call) (fhirReply, error) {
	w := write{call: c, message: true}
	var err error
	if w.feed, err = d.feedOf(c); err != nil {
		return fhirReply{}, d.kept(w, err)
	}
	sent, issues := fhir.Carried(w.feed, c.body)
	if fhir.Refused(issues) {
		return fhirReply{}, d.kept(w, wrongBody(issues))
	}
	w.sent = sent
	answer, err := d.save(w)
	return answer, d.kept(w, err)
}

// wrongBody is 400 for what is no FHIR, and 422 for what says something wrong.
func wrongBody(issues []fhir.Issue) error {
	if fhir.Malformed(issues) {
		return &refusal{status: http.StatusBadRequest, issues: issues}
	}
	return &refusal{status: http.StatusUnprocessableEntity, issues: issues}
}

func notThere() error {
	return refuse(http.StatusNotFound, "not-found", "there is no such resource; create it by POST, or by PUT with ?identifier=<system>|<value>")
}

// feedOf returns the feed for which the client sends, by the identifiers in the body.
func (d *fhirDoor) feedOf(c *call) (discharge.Feed, error) {
	systems := fhir.Systems(c.body)
	feed, ok := feedBySystems(c.feeds, systems)
	own := ok && (systems[feed.VisitSystem] || systems[feed.PatientSystem])
	if !own {
		for _, other := range d.feeds() {
			if other.Door == discharge.DoorFHIR && (systems[other.VisitSystem] || systems[other.PatientSystem]) {
				return feed, refuse(http.StatusForbidden, "forbidden", "the identifiers are those of %s, for which you may not send", other.Provider)
			}
		}
	}
	if !ok {
		return feed, refuse(http.StatusUnprocessableEntity, fhir.Required, "no identifier says for which of your organisations this is")
	}
	return feed, nil
}

// matches checks that a condition names the resource that is sent.
func matches(condition url.Values, feed discharge.Feed, sent fhir.Sent) error {
	name, want := "identifier", ""
	switch sent.Type {
	case fhir.Patient:
		want = feed.PatientSystem + "|" + sent.PatientNumber
	case fhir.Encounter:
		want = feed.VisitSystem + "|" + sent.VisitNumber
	case fhir.ServiceRequest:
		name, want = "encounter.identifier", feed.VisitSystem+"|"+sent.VisitNumber
	}
	if len(condition) != 1 || len(condition[name]) != 1 {
		return refuse(http.StatusBadRequest, fhir.Value, "the condition must be %s=<system>|<value> alone", name)
	}
	if condition[name][0] != want {
		return refuse(http.StatusBadRequest, fhir.Value, "the condition and the body must name the same %s, of the system %s", name, strings.Split(want, "|")[0])
	}
	return nil
}

// kept keeps the bytes of a request that is refused for what it says, and returns the refusal.
func (d *fhirDoor) kept(w write, err error) error {
	if err == nil {
		return nil
	}
	switch refusalOf(err).status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusUnprocessableEntity:
		if err := d.receive(w.ctx, inbound{Feed: w.feed.Key, Format: formatFHIR, ControlID: w.requestID, Body: w.body, Span: w.span}); err != nil {
			return err
		}
	}
	return err
}

// save stores what a request says, in one transaction with its answer: whoever repeats it gets the same.
func (d *fhirDoor) save(w write) (answer fhirReply, err error) {
	ctx := w.ctx
	digest := sha256.Sum256([]byte(w.http.Method + " " + w.http.URL.RequestURI() + "\n" + string(w.body)))
	err = d.store.db.InTx(ctx, "fhir", func(tx pgx.Tx) error {
		earlier, err := claimAnswer(w.ctx, tx, w.client, w.requestID, digest[:], d.answeredAt())
		if err != nil {
			return err
		}
		if earlier != nil && !failpoint.Bug("request-id-forgotten") {
			answer = *earlier
			return pg.ErrNothing
		}
		if answer, err = d.saveIn(tx, w); err != nil {
			return err
		}
		return saveAnswer(w.ctx, tx, w.client, w.requestID, answer)
	})
	if err == nil {
		d.pending.Raise()
	}
	if answer.status != 0 && failpoint.Bug("answered-uncommitted") {
		return answer, nil
	}
	return answer, err
}

func (d *fhirDoor) saveIn(tx pgx.Tx, w write) (fhirReply, error) {
	now := d.now()
	req := fhir.Request{ID: w.requestID, Resource: w.body}
	if err := d.references(tx, w, &req); err != nil {
		return fhirReply{}, err
	}
	held := map[string]*fhirResource{}
	for _, s := range w.sent {
		r, err := lockResource(w.ctx, tx, s.Type, s.ID, w.feed.Provider)
		if err != nil {
			return fhirReply{}, err
		}
		if err := w.allowed(s, r); err != nil {
			return fhirReply{}, err
		}
		if w.unlessThere && r.version > 0 {
			return d.written(s, r, http.StatusOK, nil), nil
		}
		held[s.Type] = r
		if !now.After(r.updatedAt) { // one order for what is said of a resource, whatever the clock
			now = r.updatedAt.Add(time.Microsecond)
		}
	}
	req.Received = now
	issues, err := d.tell(tx, w, req, held)
	if err != nil {
		return fhirReply{}, err
	}
	for _, s := range w.sent {
		if err := held[s.Type].save(w.ctx, tx, s, now); err != nil {
			return fhirReply{}, err
		}
	}
	if w.message {
		return d.answered(w, now, issues), nil
	}
	s := w.sent[0]
	status := http.StatusOK
	if held[s.Type].version == 1 {
		status = http.StatusCreated
	}
	return d.written(s, held[s.Type], status, issues), nil
}

// references reads what a resource refers to, which stays as it is until the transaction ends.
func (d *fhirDoor) references(tx pgx.Tx, w write, req *fhir.Request) error {
	if w.message {
		return nil // a message carries all that it refers to
	}
	s := w.sent[0]
	for _, to := range []struct {
		typ, id, path string
		into          *json.RawMessage
	}{{fhir.Patient, s.Subject, ".subject.reference", &req.Patient}, {fhir.Encounter, s.Encounter, ".encounter.reference", &req.Encounter}} {
		if to.id == "" {
			continue
		}
		body, err := shareResource(w.ctx, tx, to.typ, to.id, w.feed.Provider)
		if err != nil {
			return err
		}
		if body == nil {
			return &refusal{status: http.StatusUnprocessableEntity, issues: []fhir.Issue{{Severity: fhir.Error, Code: "not-found", Expression: s.Type + to.path,
				Diagnostics: "leads to nothing here; create the " + to.typ + " first, or contain it"}}}
		}
		*to.into = body
	}
	return nil
}

// tell stores for the interpreter what a request says.
func (d *fhirDoor) tell(tx pgx.Tx, w write, req fhir.Request, held map[string]*fhirResource) ([]fhir.Issue, error) {
	if !w.message {
		req.Before = held[w.sent[0].Type].body
	}
	e, issues := fhir.Read(w.feed, req)
	if fhir.Refused(issues) {
		return nil, wrongBody(issues)
	}
	if !discharge.FromEvent(w.feed, e).Usable {
		return nil, refuse(http.StatusUnprocessableEntity, fhir.Required, "nothing in it says for which stay or person it is")
	}
	body, err := req.Encode()
	if err != nil {
		return nil, err
	}
	return issues, insertFHIRInbound(w.ctx, tx, w.feed.Key, w.requestID, body, req.Received, w.span)
}

// allowed checks what a write asks of the version that is there.
func (w write) allowed(s fhir.Sent, r *fhirResource) error {
	switch {
	case w.create && !w.unlessThere && r.version > 0:
		return &refusal{status: http.StatusConflict, issues: []fhir.Issue{{Severity: fhir.Error, Code: "duplicate", Expression: s.Type + ".identifier",
			Diagnostics: "this " + s.Type + " is there already, as " + s.Type + "/" + s.ID + "; update it by PUT"}}}
	case w.update && r.version == 0:
		return notThere()
	case w.ifMatch == anyVersion && r.version == 0:
		return refuse(http.StatusPreconditionFailed, "conflict", "there is no such %s, and If-Match asks that there is one", s.Type)
	case w.ifMatch > 0 && w.ifMatch != r.version:
		return refuse(http.StatusPreconditionFailed, "conflict", "the version is %d, not the one in If-Match; read it, and decide again", r.version)
	}
	return nil
}

// written answers a resource that was stored.
func (d *fhirDoor) written(s fhir.Sent, r *fhirResource, status int, issues []fhir.Issue) fhirReply {
	text := "stored"
	if s.Spell != "" {
		text = "stored; the handover is " + discharge.Reference(s.Spell) + ", followed at Task/" + fhir.TaskID(s.Spell)
	}
	issues = append([]fhir.Issue{{Severity: fhir.Information, Code: fhir.Informative, Diagnostics: text}}, issues...)
	return fhirReply{status: status, etag: etag(r.version), location: d.base + "/" + s.Type + "/" + s.ID, body: fhir.Outcome(issues...)}
}

// answered answers a message that was stored.
func (d *fhirDoor) answered(w write, now time.Time, issues []fhir.Issue) fhirReply {
	spell := ""
	for _, s := range w.sent {
		spell = s.Spell // the Encounter comes behind the Patient
	}
	text := "stored; the handover is " + discharge.Reference(spell)
	issues = append([]fhir.Issue{{Severity: fhir.Information, Code: fhir.Informative, Diagnostics: text}}, issues...)
	return fhirReply{status: http.StatusOK, body: fhir.Answer(w.requestID, fhir.MessageID(w.body), now, fhir.TaskID(spell), issues)}
}

func etag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }

// versionIn is the version that an ETag names; 0 when it is none of this server's.
func versionIn(tag string) int64 {
	text, weak := strings.CutPrefix(tag, `W/"`)
	text, whole := strings.CutSuffix(text, `"`)
	version, err := strconv.ParseInt(text, 10, 64)
	if !weak || !whole || err != nil {
		return 0
	}
	return version
}
