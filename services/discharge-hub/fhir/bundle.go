package fhir

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Found is a page of a search. Next is empty on the last one.
func Found(resources []any, urlOf func(id string) string, self, next string) any {
	entries := []object{}
	for _, r := range resources {
		o := r.(object)
		entries = append(entries, object{"fullUrl": urlOf(o["id"].(string)), "resource": o, "search": object{"mode": "match"}})
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
