// Package feedsheet writes the interface sheet of a feed: one page or two that the hospital's integration team and the hub sign off together.
// It is made from the feed's own file and from what the hub reads, so that it cannot say anything else than what happens.
package feedsheet

import (
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	text "text/template"
	"time"

	"maps"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/tools/homeward/feedcheck"
)

// Sheet is what the page says.
type Sheet struct {
	Feed     discharge.Feed
	Endpoint string
	Triggers []Row
	Fields   []feedcheck.Field
	Methods, Destinations,
	Pathways []Code
	Sample string
}

// Row is a name with what it means.
type Row struct{ Name, Meaning string }

// Code is a national code, what it means, and the sender's own words for it.
type Code struct {
	Code, Meaning string
	Words         []string
}

// meanings of the triggers that hospitals send.
var meanings = map[string]string{
	"A01": "admission", "A02": "transfer", "A03": "discharge: starts the six weeks", "A04": "registration", "A05": "pre-admission",
	"A06": "becomes an inpatient", "A07": "becomes an outpatient", "A08": "update: corrects whatever it tells",
	"A11": "admission cancelled: the spell never was", "A12": "transfer cancelled", "A13": "discharge cancelled: the six weeks are void",
	"A14": "admission expected", "A15": "transfer expected", "A16": "discharge expected", "A17": "beds swapped", "A18": "patients merged",
	"A21": "leave of absence", "A22": "back from leave", "A23": "visit deleted", "A25": "expected discharge cancelled", "A26": "expected transfer cancelled",
	"A27": "expected admission cancelled", "A28": "person added", "A29": "person deleted", "A31": "person updated", "A34": "patients merged",
	"A35": "account numbers merged", "A36": "patient and account numbers merged", "A38": "pre-admission cancelled", "A40": "patients merged",
	"A42": "visit goes on under another number", "A44": "account moved to another person", "A45": "visit moved to another person", "A47": "patient number changed",
	"A50": "visit number changed", "A52": "leave cancelled", "A53": "return cancelled",
}

// Of makes the sheet of a feed.
func Of(f discharge.Feed, endpoint string) Sheet {
	s := Sheet{
		Feed: f, Endpoint: endpoint, Fields: feedcheck.ReadFields(f), Sample: strings.ReplaceAll(string(sample(f, "A03")), "\r", "\n"),
		Methods: codes(discharge.Method, f.Mapping.Methods), Destinations: codes(discharge.Destination, f.Mapping.Destinations),
	}
	if f.Mapping.Pathway.Segment != "" {
		s.Pathways = codes(discharge.PathwayText, f.Mapping.Pathways)
	}
	for n := range 63 {
		trigger := fmt.Sprintf("A%02d", n)
		merged := "MRG|7654321^^^" + f.Mapping.PatientAuthority + "^PI||||SPELL0000\r" // some are handled only where they name what was before
		r, err := discharge.FromHL7(f, append(sample(f, trigger), merged...))
		if err == nil && r.NotHandled == "" {
			s.Triggers = append(s.Triggers, Row{"ADT^" + trigger, meanings[trigger]})
		}
	}
	return s
}

func codes(meaning func(string) string, words map[string]string) []Code {
	var all []Code
	for n := range 100 {
		code := fmt.Sprint(n)
		if meaning(code) == "" {
			continue
		}
		c := Code{Code: code, Meaning: meaning(code)}
		for _, w := range slices.Sorted(maps.Keys(words)) {
			if words[w] == code {
				c.Words = append(c.Words, w)
			}
		}
		all = append(all, c)
	}
	return all
}

// sample is a message of this feed about a synthetic person.
func sample(f discharge.Feed, trigger string) []byte {
	at := time.Date(2026, 9, 2, 14, 25, 0, 0, time.UTC).Format("20060102150405")
	b := &hl7.Builder{}
	facility := f.Provider
	if len(f.Facilities) > 0 {
		facility = f.Facilities[0]
	}
	b.Set("MSH-3", f.Application).Set("MSH-4", facility).Set("MSH-5", "HOMEWARD").Set("MSH-6", "HUB").Set("MSH-7", at).
		SetRaw("MSH-9", "ADT^"+trigger).Set("MSH-10", "MSG000042").Set("MSH-11", "P").Set("MSH-12", "2.4")
	b.Set("EVN-1", trigger).Set("EVN-2", at)
	b.SetRaw("PID-3", "9990000026^^^NHS^NH~1234567^^^"+f.Mapping.PatientAuthority+"^PI").SetRaw("PID-5", "TESTER^Ada").Set("PID-7", "19410312").
		SetRaw("PID-11", "1 EXAMPLE ROAD^^GRAYS^ESSEX^RM17 5AA^GBR^H").Set("PID-30", "N")
	practice := hl7.Path{Segment: "PD1", Field: 3}
	if len(f.Mapping.Practices) > 0 {
		practice = f.Mapping.Practices[0]
	}
	b.SetRaw(fmt.Sprintf("%s-%d", practice.Segment, practice.Field), "BALFOUR MEDICAL CENTRE^^F81155^^^NHS^ODS")
	b.Set("PV1-2", "I").SetRaw("PV1-3", "ELM^B2^04^"+facility).Set("PV1-19", "SPELL0001").Set("PV1-44", "20260825091500").Set("PV1-45", at).
		Set(f.Mapping.Method.String(), "1").Set(f.Mapping.Destination.String(), "19")
	return b.Bytes()
}

// Markdown writes the sheet.
func (s Sheet) Markdown(out io.Writer) error { return markdown.Execute(out, s) }

// HTML writes the sheet as a page that prints on A4.
func (s Sheet) HTML(out io.Writer) error { return page.Execute(out, s) }

var markdown = text.Must(text.New("sheet").Funcs(text.FuncMap{"join": strings.Join}).Parse(`# Interface sheet: feed {{.Feed.Key}}

| | |
|---|---|
| Sender | MSH-3 {{.Feed.Application}}, MSH-4 {{join .Feed.Facilities ", "}}, exactly as written |
| Provider | {{.Feed.Provider}}: whose visit and patient numbers these are |
| About | {{.Feed.Scope}} |
| Mode | {{.Feed.Mode}} |
| Endpoint | {{.Endpoint}}, MLLP over TCP (0x0B message 0x1C 0x0D), one message at a time, the connection stays open |
| Version | HL7 v2.1 to 2.5.1, ER7; text in UTF-8 or ISO 8859-1 (MSH-18) |
| Times | without an offset they are {{.Feed.Zone}}'s |
| Mapping | version {{.Feed.Mapping.Version}} |

## Answers

| MSA-1 | It means | The sender |
|---|---|---|
| AA | the bytes are durably stored, whatever is in them | never sends it again |
| AE | it could not be stored now | sends the same bytes again until AA |
| AR | it is no HL7 v2 message, or MSH-3 and MSH-4 are not this feed's; ERR and MSA-3 say what to change | stops, and tells a person |

The same bytes again are answered AA and have no second effect.

## Triggers

| Trigger | Meaning |
|---|---|
{{range .Triggers}}| {{.Name}} | {{.Meaning}} |
{{end}}
Every other message is stored, answered AA, and named as not handled.

## Fields that are read

| Field | Taken for |
|---|---|
{{range .Fields}}| {{.Path}} | {{.Meaning}} |
{{end}}
An empty field says nothing; ` + "`\"\"`" + ` says that what was told is wrong.

## Discharge method ({{.Feed.Mapping.Method}})

| Code | Meaning | Also sent as |
|---|---|---|
{{range .Methods}}| {{.Code}} | {{.Meaning}} | {{join .Words ", "}} |
{{end}}
## Discharge destination ({{.Feed.Mapping.Destination}})

| Code | Meaning | Also sent as |
|---|---|---|
{{range .Destinations}}| {{.Code}} | {{.Meaning}} | {{join .Words ", "}} |
{{end}}{{if .Pathways}}
## Pathway ({{.Feed.Mapping.Pathway}})

| Code | Meaning | Also sent as |
|---|---|---|
{{range .Pathways}}| {{.Code}} | {{.Meaning}} | {{join .Words ", "}} |
{{end}}{{end}}
## A message

A synthetic person; each line ends with CR.

` + "```" + `
{{.Sample}}` + "```" + `
`))

var page = template.Must(template.New("sheet").Funcs(template.FuncMap{"join": strings.Join}).Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Interface sheet: feed {{.Feed.Key}}</title>
<style>
body { font: 11pt/1.4 sans-serif; max-width: 48em; margin: 2em auto; padding: 0 1em; color: #111; background: #fff }
table { border-collapse: collapse; width: 100%; margin: .5em 0 }
th, td { border: 1px solid #888; padding: .2em .5em; text-align: left; vertical-align: top }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #888; padding: .5em; font-size: 9pt }
h2 { break-after: avoid }
tr, pre { break-inside: avoid }
@page { size: A4; margin: 18mm }
@media print { body { margin: 0; max-width: none; font-size: 9.5pt } }
</style>
<h1>Interface sheet: feed {{.Feed.Key}}</h1>
<table>
<tr><th scope="row">Sender<td>MSH-3 {{.Feed.Application}}, MSH-4 {{join .Feed.Facilities ", "}}, exactly as written
<tr><th scope="row">Provider<td>{{.Feed.Provider}}: whose visit and patient numbers these are
<tr><th scope="row">About<td>{{.Feed.Scope}}
<tr><th scope="row">Mode<td>{{.Feed.Mode}}
<tr><th scope="row">Endpoint<td>{{.Endpoint}}, MLLP over TCP, one message at a time, the connection stays open
<tr><th scope="row">Version<td>HL7 v2.1 to 2.5.1, ER7; text in UTF-8 or ISO 8859-1 (MSH-18)
<tr><th scope="row">Times<td>without an offset they are {{.Feed.Zone}}'s
<tr><th scope="row">Mapping<td>version {{.Feed.Mapping.Version}}
</table>
<h2>Answers</h2>
<table>
<tr><th>MSA-1<th>It means<th>The sender
<tr><td>AA<td>the bytes are durably stored, whatever is in them<td>never sends it again
<tr><td>AE<td>it could not be stored now<td>sends the same bytes again until AA
<tr><td>AR<td>it is no HL7 v2 message, or MSH-3 and MSH-4 are not this feed's; ERR and MSA-3 say what to change<td>stops, and tells a person
</table>
<h2>Triggers</h2>
<table><tr><th>Trigger<th>Meaning
{{range .Triggers}}<tr><td>{{.Name}}<td>{{.Meaning}}
{{end}}</table>
<h2>Fields that are read</h2>
<table><tr><th>Field<th>Taken for
{{range .Fields}}<tr><td>{{.Path}}<td>{{.Meaning}}
{{end}}</table>
<h2>Discharge method ({{.Feed.Mapping.Method}})</h2>
{{template "codes" .Methods}}
<h2>Discharge destination ({{.Feed.Mapping.Destination}})</h2>
{{template "codes" .Destinations}}
{{if .Pathways}}<h2>Pathway ({{.Feed.Mapping.Pathway}})</h2>
{{template "codes" .Pathways}}{{end}}
<h2>A message</h2>
<p>A synthetic person; each line ends with CR.
<pre>{{.Sample}}</pre>
</html>
{{define "codes"}}<table><tr><th>Code<th>Meaning<th>Also sent as
{{range .}}<tr><td>{{.Code}}<td>{{.Meaning}}<td>{{join .Words ", "}}
{{end}}</table>{{end}}`))
