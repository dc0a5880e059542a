package fhir

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Found is a page of a search, with what is to be said of the search itself. Next is empty on the last one.
func Found(resources []any, issues []Issue, urlOf func(id string) string, self, next string) any {
	entries := []object{}
	for _, r := range resources {
		o := r.(object)
		entries = append(entries, object{"fullUrl": urlOf(o["id"].(string)), "resource": o, "search": object{"mode": "match"}})
	}
	if len(issues) > 0 {
		entries = append(entries, object{"resource": Outcome(issues...), "search": object{"mode": "outcome"}})
	}
	links := []object{{"relation": "self", "url": self}}
	if next != "" {
		links = append(links, object{"relation": "next", "url": next})
	}
	b := object{"resourceType": Bundle, "type": "searchset", "link": links}
	if len(entries) > 0 {
		b["entry"] = entries
	}
	return b
}

// WithMeta returns a stored resource as it is read: as it was sent, with the id and the version that it has here.
func WithMeta(raw []byte, id string, version int64, updated time.Time) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var resource object
	if err := dec.Decode(&resource); err != nil {
		return nil, err
	}
	m, _ := resource["meta"].(object)
	if m == nil {
		m = object{}
	}
	m["versionId"], m["lastUpdated"] = itoa(version), instant(updated)
	resource["meta"], resource["id"] = m, id
	return resource, nil
}

// Attempt is one attempt to post a Task. Status is HTTP's, 0 when there was no answer; Error is empty when the Task was taken.
type Attempt struct {
	Version int64
	At      time.Time
	Status  int
	Error   string
}

// Deliveries are attempts as Parameters, in their order.
func Deliveries(list []Attempt) any {
	parameters := []object{}
	for _, a := range list {
		parts := []object{{"name": "version", "valueInteger": a.Version}, {"name": "at", "valueInstant": instant(a.At)},
			{"name": "taken", "valueBoolean": a.Error == ""}}
		if a.Status != 0 {
			parts = append(parts, object{"name": "status", "valueInteger": a.Status})
		}
		if a.Error != "" {
			parts = append(parts, object{"name": "error", "valueString": a.Error})
		}
		parameters = append(parameters, object{"name": "attempt", "part": parts})
	}
	p := object{"resourceType": "Parameters"}
	if len(parameters) > 0 {
		p["parameter"] = parameters
	}
	return p
}
