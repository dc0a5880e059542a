package desk

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"time"

	"github.com/homeward-care/homeward/e2e/oracle"
)

// RequestsSQL reads the requests at the FHIR door that the hub acts on as a Request each; $1 is a record's key, or what those of several begin with.
// ResourcesSQL reads resources as a Resource each; $1 are their ids.
const (
	RequestsSQL  = `SELECT control_id, body FROM inbound WHERE format = 'fhir' AND accepted AND starts_with(control_id, $1)`
	ResourcesSQL = `SELECT id::text, version, body FROM fhir_resource WHERE version > 0 AND id = ANY($1::text[]::uuid[])`
)

// Request is a stored request, by its X-Request-ID.
type Request struct {
	ID   string
	Body []byte
}

// Resource is the newest version of a resource. Ids of two types are never the same.
type Resource struct {
	ID      string
	Version int
	Body    string
}

// Kept is what a hub keeps.
type Kept struct {
	requests  map[string][]Request
	resources map[string]Resource
}

// KeptOf is what was read.
func KeptOf(requests []Request, resources []Resource) Kept {
	k := Kept{map[string][]Request{}, map[string]Resource{}}
	for _, r := range requests {
		k.requests[r.ID] = append(k.requests[r.ID], r)
	}
	for _, r := range resources {
		k.resources[r.ID] = r
	}
	return k
}

// Resources are the ids of what the clerks have written.
func (d *Desk) Resources() (ids []string) {
	for _, o := range d.answered {
		ids = append(ids, path.Base(o.answer.Location))
	}
	return ids
}

// Check holds what the clerks were answered against what is kept: each write is stored once; the versions of a resource are 1, 2, 3, each the answer to one write,
// received one after another, and none is written over by who meant another; who was refused was overtaken; what was read is the version that it
// says. It returns what the hospital has told by all this.
func (d *Desk) Check(kept Kept) (told []oracle.Told, wrong []string) {
	say := func(format string, args ...any) {
		wrong = append(wrong, d.Record.Key+": "+fmt.Sprintf(format, args...))
	}
	wrong = append(wrong, d.wrong...)
	for _, o := range d.answered {
		want := 1
		if o.version == 0 {
			want = 0 // it was there before
		}
		if n := len(kept.requests[o.ID]); n != want {
			say("FHIR request %s is stored %d times, must be %d", o.ID, n, want)
			return nil, wrong
		}
	}
	for _, typ := range []string{"Patient", "Encounter", "ServiceRequest"} {
		chain := d.chain(typ)
		before, status := time.Time{}, ""
		for i, o := range chain {
			if o.version != i+1 || o.ifVersion > 0 && o.version != o.ifVersion+1 {
				say("write %s with If-Match %q was answered with version %d of %s, and is the %d.", o.ID, o.IfMatch, o.version, typ, i+1)
			}
			stored := kept.requests[o.ID][0]
			var is struct{ Received time.Time }
			if err := json.Unmarshal(stored.Body, &is); err != nil || !is.Received.After(before) {
				say("write %s counts as received at %s, and %s before it at %s: %v", o.ID, is.Received, typ, before, err)
			}
			told = append(told, o.Received(o.ID, status, is.Received, stored.Body))
			before, status = is.Received, o.Status
		}
		for _, o := range d.refused {
			if o.Type == typ && len(chain) <= o.ifVersion {
				say("write %s was refused because another one came before, and %s has %d versions", o.ID, typ, len(chain))
			}
		}
		for _, r := range d.reads {
			if r.typ == typ && (r.version > len(chain) || !sameResource(r.body, chain[r.version-1].Write.Body)) {
				say("version %d of %s was read as %s", r.version, typ, r.body)
			}
		}
		if len(chain) == 0 {
			continue
		}
		newest := chain[len(chain)-1]
		if is := kept.resources[path.Base(newest.answer.Location)]; is.Version != len(chain) || is.Body != string(newest.Write.Body) {
			say("%s is kept in version %d of %d as %s, and the newest one written is %s", typ, is.Version, len(chain), is.Body, newest.Write.Body)
		}
	}
	return told, wrong
}

// sameResource compares without what the server adds.
func sameResource(read string, written []byte) bool {
	var a, b map[string]any
	if json.Unmarshal([]byte(read), &a) != nil || json.Unmarshal(written, &b) != nil {
		return false
	}
	delete(a, "id")
	delete(a, "meta")
	return reflect.DeepEqual(a, b)
}
